"""A release of a million persons: seconds, peak memory and rows, measured in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from demo.governed import EVIDENCE, sign_all, write, write_parties
from governance import draft
from governance.load import governance_folder, load_governance
from mappings.load import load_agency
from record.publish import Inputs, publish
from record.withhold import REFERENCE_SCHEMA
from releases.release import make_release
from standard.schema import PROVENANCE, Entity, entities
from standard.sensitivity import Sensitivity
from store import ledger as tables
from store.home import Home, connect, literal, quoted
from store.ledger import Ledger, now, open_ledger

DAY = date(2026, 6, 15)
AGENCY = "riverbend_schools"
MOST_SECONDS, MOST_MEMORY = 60, 2 << 30
POLICY = """\
policy: million
recipient: university
purpose: research
agreement: DUL-1
columns:
  person: [person_id, mentions]
  person_demographic: [person_id, birth_date, sex, race, agency_id]
  enrollment: [person_id, school_id, grade, entry_date, exit_date, exit_type, status, agency_id, row_id]
  discipline: [person_id, date, behavior, action, agency_id, row_id]
  timeline: [person_id, event_type, occurred_on, ended_on, code, agency_id, row_id]
treatments: {"*.person_id": pseudonym, "*.row_id": pseudonym, "person_demographic.birth_date": year,
             "*.entry_date": shifted, "*.exit_date": shifted, "*.date": shifted, "*.occurred_on": shifted,
             "*.ended_on": shifted}
rows: {age_bands: [minor, adult, unknown], need_to_know: none}
"""
_ROWS = {
    "person": ("", {}),
    "person_demographic": ("", {
        "birth_date": "DATE '2004-01-01' + (hash(i) % 6000)::INTEGER", "sex": "['F', 'M'][(i % 2)::INTEGER + 1]",
        "race": "['WHITE', 'BLACK', 'ASIAN', 'HISPANIC'][(hash(i, 1) % 4)::INTEGER + 1]"}),
    "enrollment": ("", {
        "school_id": "(hash(i, 2) % 90)::VARCHAR", "grade": "(hash(i, 3) % 12)::VARCHAR",
        "entry_date": "DATE '2025-09-01' + (hash(i, 4) % 200)::INTEGER", "status": "'open'",
        "status_match": "'exact'"}),
    "discipline": ("WHERE i % 5 = 0", {
        "date": "DATE '2025-09-10' + (hash(i, 5) % 180)::INTEGER", "behavior": "'fighting'",
        "behavior_match": "'broad'"}),
}  # fmt: skip
"""Entity -> which persons have a row of it, and what stands in it; invented throughout."""


def make_home(root: Path, persons: int) -> tuple[Home, Ledger]:
    """A home with the published record of so many persons of one school, and all agreed."""
    home = Home(root).create()
    ledger = open_ledger(home.ledger_file)
    with ledger.writing() as connection:
        connection.execute(tables.run.insert().values(
            run_id="run-1", started_at=now(), state="running", pid=os.getpid(), host="here", fence=1))  # fmt: skip
    with connect(temp=root / ".spill") as con:
        paths = {name: root / f"{name}.parquet" for name in _ROWS}
        for name, path in paths.items():
            where, given = _ROWS[name]
            rows = f"SELECT {_columns(entities()[name], given)} FROM range({persons}) t(i) {where}"
            con.execute(f"COPY ({rows}) TO {literal(path)} (FORMAT parquet)")
        linked = root / "persons_linked.parquet"
        one = f"{_ref()} AS record_id, 'P' || i AS person_id, NULL::DOUBLE AS weight, 'single' AS how"
        con.execute(f"COPY (SELECT {one} FROM range({persons}) t(i)) TO {literal(linked)} (FORMAT parquet)")
    inputs = Inputs(paths, linked, pa.table([[], []], schema=REFERENCE_SCHEMA), DAY)
    publish(home, ledger, inputs, run_id="run-1", fence=1)
    _agree(home)
    return home, ledger


def _ref() -> str:
    return f"'{AGENCY}/students/' || i"


def _columns(entity: Entity, given: dict[str, str]) -> str:
    own = {"person_ref": _ref(), "agency_id": literal(AGENCY), "feed": "'students'", "source_key": "i::VARCHAR",
           "row_id": f"md5('{entity.entity}' || i)", "extract_id": "'x-1'", "record": "i", "line": "i",
           "as_of": "DATE '2026-06-01'"}  # fmt: skip
    assert set(PROVENANCE) <= set(own)
    filled = own | given
    return ", ".join(
        f"CAST({filled.get(name, 'NULL')} AS {kind}) AS {quoted(name)}"
        for name, kind in entity.stored_columns().items()
    )


def _agree(home: Home) -> None:
    folder = governance_folder(home)
    agency = load_agency(Path(__file__).parents[1] / "mappings" / "agencies" / AGENCY)
    term = {"effective": date(2026, 1, 1), "expires": date(2026, 12, 31)}
    members, purposes = ["hub", "university", AGENCY], ["research"]
    write_parties(folder, {"hub": None, "university": None, AGENCY: "education"}, keys=home.root / "officers")
    texts = {
        "MOU-1": draft.memorandum("MOU-1", members=members, purposes=purposes, **term),
        "DSA-1": draft.sharing("DSA-1", agency, parent="MOU-1", hub="hub", purposes=purposes,
                               evidence=EVIDENCE, **term),
        "DUL-1": draft.use(
            "DUL-1", disclosers=["hub", AGENCY], recipient="university", parent="MOU-1", purposes=purposes,
            fields=["*.*"], need_to_know="none", evidence=EVIDENCE, **term,
            sensitivities=[s for s in Sensitivity if s not in (
                Sensitivity.DIRECT_IDENTIFIER, Sensitivity.CONFIDENTIAL_ADDRESS, Sensitivity.REPORTER_IDENTITY,
                Sensitivity.CRIMINAL_JUSTICE, Sensitivity.SUBSTANCE_USE)],
        ),
    }  # fmt: skip
    for name, text in texts.items():
        write(folder / "agreements" / f"{name}.yaml", text)
    sign_all(folder, keys=home.root / "officers", today=DAY)
    write(folder / "policies" / "million.yaml", POLICY)


def release_of(home: Home) -> dict[str, float]:
    """Releases the record of a home, and says what it took: seconds, cpu, rows, peak memory in bytes."""
    ledger = open_ledger(home.ledger_file)
    agency = load_agency(Path(__file__).parents[1] / "mappings" / "agencies" / AGENCY)
    governance = load_governance(governance_folder(home), {AGENCY: agency})
    began, cpu = time.perf_counter(), time.process_time()
    given = make_release(home, ledger, governance, "million", at=datetime.now(UTC), day=DAY)
    took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    ledger.close()
    rows = sum(told["rows"] for told in given.manifest["tables"].values())
    return took | {"rows": rows, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def measure(persons: int, *, times: int) -> list[dict[str, float]]:
    """Makes a record of so many persons and releases it some times, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="kith-release-") as folder:
        home, ledger = make_home(Path(folder) / "home", persons)
        ledger.close()
        found = []
        for number in range(times):
            time.sleep(1.1 if number else 0)  # a release is named by its second
            command = [sys.executable, "-m", "benchmarks.release", "--of", str(home.root)]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
            found.append(json.loads(told.stdout))
        return found


def main(arguments: list[str] | None = None) -> int:
    """Prints what each release took; 1 where the quickest is slower, or one needs more memory, than is promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.release", description=__doc__)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=2, help="the second has retractions to look for")
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.of:
        print(json.dumps(release_of(Home(given.of))))
        return 0
    found = measure(given.persons, times=given.times)
    for took in found:
        print(f"{given.persons:,} persons, {took['rows']:,} rows released in {took['seconds']:.1f} s"
              f" ({took['cpu']:.1f} s of two cores' time), {took['memory'] / 2**30:.2f} GiB")  # fmt: skip
    quick = min(took["seconds"] for took in found) <= MOST_SECONDS
    return 0 if quick and all(took["memory"] <= MOST_MEMORY for took in found) else 1


if __name__ == "__main__":
    sys.exit(main())
