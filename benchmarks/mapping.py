"""Mapping a million rows of 20 columns against bare DuckDB SQL for the same result: `python -m benchmarks.mapping`.

Each run is a process of its own, ours and bare in turn; the ratio is that of the medians. CPU seconds stand beside the
seconds on the clock, because other work on the machine does not change them.
"""

from __future__ import annotations

import datetime as dt
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb

from mappings.load import load_agency
from mappings.map_extract import map_extract
from store.extracts import Extract, Holds, Status
from store.home import connect, literal

ROWS, RUNS = 1_000_000, 5
AS_OF = dt.date(2026, 3, 23)
BARE = Path(__file__).with_name("mapping_bare.sql")

AGENCY = """
agency: bench_schools
name: Bench Schools
sector: education
sources: {drop: {folder: {path: /srv/drop}}}
feeds: [students]
"""
FEED = """
feed: students
title: A million invented students
source: drop
arrives: {files: "students_{as_of:%Y%m%d}.csv"}
format: {kind: delimited}
holds: full
key: [lasid]
elements:
  lasid:      {column: LASID, identifier: {width: 7}, required: true}
  sasid:      {column: SASID, identifier: {width: 10}}
  surname:    {column: LastName, name: {}}
  given:      {column: FirstName, name: {}}
  middle:     {column: MiddleName, name: {}}
  birth_date:
    column: DateOfBirth
    date: {formats: ["%m/%d/%Y"], sentinels: ["1/1/1900"], not_after: as_of, not_before: 1900-01-02, excel_serial: true}
  sex:        {column: Gender, code: {crosswalk: sex}}
  race:
    columns: [RaceWhite, Hispanic]
    sql: "race_set(white := RaceWhite = 'Y', hispanic := Hispanic = 'Y')"
    type: text
  school_id:  {column: SchoolCode, identifier: {width: 8}}
  grade:      {column: Grade, text: {}}
  entry_date: {column: EntryDate, date: {formats: ["%m/%d/%Y"]}, required: true}
  entry_type: {column: EntryCode, code: {crosswalk: entry_type}}
  exit_date:  {column: ExitDate, date: {formats: ["%m/%d/%Y"]}, blank: not_applicable}
  line1:      {column: Street, address: {}}
  city:       {column: City, text: {}}
  zip:        {column: Zip, identifier: {width: 5}}
  phone:      {column: HomePhone, phone: {}}
  ssn:        {column: SSN, ssn: {}}
  days:       {column: Days, integer: {}}
"""
CROSSWALKS = {
    "sex": "value,common,match\nF,F,exact\nM,M,exact\nX,X,exact\nN,U,broad\n",
    "entry_type": "value,common,match\n01,start_of_year,exact\n02,transfer_other_district,exact\n",
}
STUDENTS = """
SELECT CASE WHEN i % 1000 = 1 THEN CAST(i AS VARCHAR) ELSE lpad(CAST(i AS VARCHAR), 7, '0') END AS "LASID",
    CASE WHEN i % 2000 = 3 THEN '1.21E+09' ELSE CAST(1000000000 + i AS VARCHAR) END AS "SASID",
    list_extract(['Garcia', 'Smith', 'Nguyen', 'O''Brien', 'Núñez', 'Edwards-Jones', 'Li'], 1 + h % 7) AS "LastName",
    list_extract(['Ana', 'Ben', 'Cleo', 'Dmitri', 'Eve  Maria'], 1 + h // 7 % 5) AS "FirstName",
    list_extract(['', 'L', 'Marie'], 1 + h // 35 % 3) AS "MiddleName",
    CASE h % 500 WHEN 7 THEN '38618' WHEN 8 THEN '1/1/1900' WHEN 9 THEN '31/12/2011'
         ELSE strftime(DATE '2003-01-01' + CAST(h // 11 % 6600 AS INTEGER), '%-m/%-d/%Y') END AS "DateOfBirth",
    list_extract(['F', 'M', 'F', 'M', 'X', 'N', 'Q'], 1 + h // 105 % 7) AS "Gender",
    list_extract(['Y', 'N'], 1 + h // 13 % 2) AS "RaceWhite", list_extract(['Y', 'N'], 1 + h // 17 % 2) AS "Hispanic",
    list_extract(['02410010', '02410505'], 1 + h // 19 % 2) AS "SchoolCode",
    list_extract(['PK', '01', '12'], 1 + h // 23 % 3) AS "Grade",
    strftime(DATE '2025-09-01' + CAST(h // 29 % 180 AS INTEGER), '%-m/%-d/%Y') AS "EntryDate",
    list_extract(['01', '02', '09'], 1 + h // 31 % 3) AS "EntryCode",
    CASE WHEN h % 5 = 0 THEN strftime(DATE '2026-01-01' + CAST(h // 37 % 60 AS INTEGER), '%-m/%-d/%Y') ELSE '' END
        AS "ExitDate",
    CAST(1 + h // 41 % 9999 AS VARCHAR) || ' Main Street' AS "Street",
    list_extract(['Harlow', 'East Riverbend'], 1 + h // 43 % 2) AS "City",
    list_extract(['01374', '01384'], 1 + h // 47 % 2) AS "Zip",
    '(413) 555-' || lpad(CAST(h // 53 % 10000 AS VARCHAR), 4, '0') AS "HomePhone",
    CASE h % 4 WHEN 0 THEN lpad(CAST(h // 59 % 1000000000 AS VARCHAR), 9, '0') WHEN 1 THEN '999999999' ELSE '' END
        AS "SSN",
    CAST(h // 61 % 30 AS VARCHAR) AS "Days"
FROM (SELECT i, CAST(hash(i) % 1000000007 AS BIGINT) AS h FROM range({rows}) AS numbers(i)) ORDER BY i
"""


def lay_out(folder: Path, rows: int) -> None:
    """Writes the file and the declarations."""
    agency = folder / "bench_schools"
    (agency / "crosswalks").mkdir(parents=True)
    (agency / "agency.yaml").write_text(AGENCY, encoding="utf-8")
    (agency / "students.yaml").write_text(FEED, encoding="utf-8")
    for name, text in CROSSWALKS.items():
        (agency / "crosswalks" / f"{name}.csv").write_text(text, encoding="utf-8")
    duckdb.sql(f"COPY ({STUDENTS.format(rows=rows)}) TO {literal(folder / 'students.csv')} (HEADER)")


def map_ours(folder: Path) -> None:
    """The file through its declaration, as the exchange does it."""
    agency = load_agency(folder / "bench_schools")
    extract = Extract(
        "bench", "bench_schools", "students", "students.csv", "0" * 64, 0, dt.datetime.now(), AS_OF, 1, Holds.FULL,
        Status.LANDED, folder / "students.csv",
    )  # fmt: skip
    batch = map_extract(extract, agency, agency.feeds["students"], into=folder / "ours")
    assert batch.hold is None, batch.findings


def map_bare(folder: Path) -> None:
    """The same by SQL written by hand."""
    with connect(temp=folder, memory_limit="600MB") as connection:
        select = BARE.read_text(encoding="utf-8").replace("'{source}'", literal(folder / "students.csv"))
        connection.execute(f"COPY ({select}) TO {literal(folder / 'bare.parquet')} (FORMAT parquet)")


WORK: dict[str, Callable[[Path], None]] = {"ours": map_ours, "bare": map_bare}


def measured(kind: str, folder: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak MiB of one run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mapping", kind, str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, cpu, peak = (float(word) for word in told.split())
    return seconds, cpu, peak


def peak_memory() -> float:
    """The most memory this process ever held, in MiB (getrusage would count what the parent held when it forked)."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def main() -> int:
    """Runs both in turn and prints medians and ratios; 1 where the results differ."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        lay_out(folder, ROWS)
        runs: dict[str, list[tuple[float, float, float]]] = {"ours": [], "bare": []}
        for _ in range(RUNS):
            for kind, found in runs.items():
                found.append(measured(kind, folder))
        ours, bare = (f"SELECT * FROM {literal(folder / name)}" for name in ("ours/mapped.parquet", "bare.parquet"))
        one_way = f"(SELECT count(*) FROM ({ours} EXCEPT ALL {bare}))"
        row = duckdb.sql(f"SELECT {one_way}, (SELECT count(*) FROM ({bare} EXCEPT ALL {ours}))").fetchall()[0]
    print(f"{ROWS:,} rows, 20 columns; medians of {RUNS} runs: seconds, CPU seconds, peak MiB")
    medians = {kind: [median(column) for column in zip(*found, strict=True)] for kind, found in runs.items()}
    for kind, (seconds, cpu, peak) in medians.items():
        print(f"{kind}  {seconds:6.2f}  {cpu:6.2f}  {peak:6.0f}")
    print("ratio" + "".join(f"  {a / b:6.2f}" for a, b in zip(medians["ours"], medians["bare"], strict=True)))
    print("the results are the same" if not any(row) else f"the results DIFFER in {row} rows")
    return int(any(row))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        began, used = time.perf_counter(), time.process_time()
        WORK[sys.argv[1]](Path(sys.argv[2]))
        print(time.perf_counter() - began, time.process_time() - used, peak_memory())
    else:
        sys.exit(main())
