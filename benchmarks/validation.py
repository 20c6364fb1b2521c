"""How long it takes to name all failing rows: the compiled suite against Great Expectations' own COMPLETE result."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from expectations.suites import Check
from store.extracts import Severity
from store.home import connect, literal

ROWS = """
    SELECT i AS _record,
        CASE WHEN h % 50 = 0 THEN NULL ELSE 'Name' || h % 5000 || if(h % 300 = 0, '7', '') END AS surname,
        CASE WHEN h % 40 = 0 THEN NULL ELSE 'Given' END AS given,
        (DATE '2005-01-01' + (h % 6000)::INTEGER + if(h % 400 = 0, 15000, 0)) AS born,
        DATE '2020-09-01' + (h % 900)::INTEGER AS entered,
        CASE WHEN h % 3 = 0 THEN NULL ELSE DATE '2020-09-01' + (h % 900 + h % 200 - 1)::INTEGER END AS left_on,
        CASE WHEN h % 10 = 0 THEN NULL ELSE lpad((h % 100000000)::VARCHAR, if(h % 90 = 1, 8, 9), '0') END AS ssn,
        lpad((h % 100000)::VARCHAR, if(h % 150 = 0, 4, 5), '0') AS zip,
        lpad((h % 10000000000)::VARCHAR, 10, '4') AS phone,
        if(h % 500 = 0, 'zz', ['female', 'male', 'unknown'][1 + h % 3]) AS sex,
        (h % 101 / 100.0)::DOUBLE AS part, (h % 130)::INTEGER AS age,
        if(h % 20000 = 0, 'K1', 'K' || i) AS key
    FROM (SELECT i, (hash(i) >> 8)::BIGINT AS h FROM range(1, {rows} + 1) t(i))
"""


def suite() -> list[Check]:
    """Twenty expectations as the suites of a student file would have them."""
    early, late = datetime(1990, 1, 1), datetime(2026, 3, 23)
    told: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        ("column_values_to_not_be_null", ("surname",), {}),
        ("column_values_to_not_be_null", ("given",), {"mostly": 0.9}),
        ("column_values_to_not_match_regex", ("surname",), {"regex": "[0-9]7$"}),
        ("column_value_lengths_to_be_between", ("surname",), {"min_value": 1, "max_value": 80}),
        ("column_value_lengths_to_be_between", ("given",), {"max_value": 80}),
        ("column_values_to_be_between", ("born",), {"min_value": early, "max_value": late}),
        ("column_values_to_be_between", ("entered",), {"min_value": early, "max_value": late}),
        ("column_pair_values_a_to_be_greater_than_b", ("left_on", "entered"), {"or_equal": True}),
        ("column_pair_values_a_to_be_greater_than_b", ("entered", "born"), {}),
        ("column_values_to_match_regex", ("ssn",), {"regex": "^[0-9]{9}$"}),
        ("column_value_lengths_to_equal", ("ssn",), {"value": 9}),
        ("column_values_to_match_regex", ("zip",), {"regex": "^[0-9]{5}$"}),
        ("column_values_to_match_regex", ("phone",), {"regex": "^[0-9]{10}$"}),
        ("column_values_to_be_in_set", ("sex",), {"value_set": ["female", "male", "unknown"]}),
        ("column_values_to_not_be_in_set", ("zip",), {"value_set": ["00000", "99999"]}),
        ("column_values_to_be_between", ("part",), {"min_value": 0.0, "max_value": 0.99}),
        ("column_values_to_be_between", ("age",), {"min_value": 0, "max_value": 120}),
        ("column_values_to_be_unique", ("key",), {}),
        ("compound_columns_to_be_unique", ("key", "zip"), {}),
        ("select_column_values_to_be_unique_within_record", ("surname", "given"), {}),
    ]
    return [
        Check(f"{n}", f"expect_{name}", Severity.WARNING, "", columns, given, given.pop("mostly", 1.0))
        for n, (name, columns, given) in enumerate(told)
    ]


def ours(path: Path) -> dict[str, Any]:
    """The compiled suite: the ids of all failing rows and the counts, by one connection of bounded memory."""
    from expectations.compile import run_checks

    with connect(temp=path.parent / ".spill") as con:
        started = time.perf_counter()
        con.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet({literal(path)})")
        outcomes = run_checks(con, suite(), "rows")
        seconds = time.perf_counter() - started
    return _told(seconds, {outcome.id: outcome.unexpected or 0 for outcome in outcomes})


def theirs(path: Path, result: str) -> dict[str, Any]:
    """Great Expectations: COMPLETE with the ids of all failing rows, or its counts alone as in a run."""
    from expectations import great_expectations_engine as engine

    engine.expectation_suite([])
    with connect(temp=path.parent / ".spill") as con:
        con.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet({literal(path)})")
        if result == "counts":
            started = time.perf_counter()
            outcomes = engine.validate(con, suite(), "rows")
            return _told(time.perf_counter() - started, {o.id: o.unexpected or 0 for o in outcomes})
        frame = con.sql("SELECT * FROM rows").df()
    started = time.perf_counter()
    found = engine.failing_records(frame, suite())
    return _told(time.perf_counter() - started, {id: len(records or ()) for id, (_, records) in found.items()})


def _told(seconds: float, failing: dict[str, int]) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mebibytes": peak, "failing": failing}


def _measured(what: str, path: Path, times: int) -> list[dict[str, Any]]:
    """Runs one way several times, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.validation", "--measure", what, "--file", str(path)]
    return [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(times)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--measure", choices=["ours", "ids", "counts"])
    parser.add_argument("--file", type=Path)
    given = parser.parse_args(arguments)
    if given.measure:
        print(json.dumps(ours(given.file) if given.measure == "ours" else theirs(given.file, given.measure)))
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        with connect() as con:
            con.execute(f"COPY ({ROWS.format(rows=given.rows)}) TO {literal(path)} (FORMAT parquet)")
        results = {what: _measured(what, path, given.times) for what in ("ours", "ids", "counts")}
    _print(given.rows, results)


def _print(rows: int, results: dict[str, list[dict[str, Any]]]) -> None:
    names = {
        "ours": "compiled suite, ids of all failing rows",
        "ids": "Great Expectations COMPLETE with ids",
        "counts": "Great Expectations counts (as in a run)",
    }
    failing = results["ours"][0]["failing"]
    assert all(each["failing"] == failing for runs in results.values() for each in runs), "the engines disagree"
    print(f"{rows:,} rows, {len(failing)} expectations, {sum(failing.values()):,} failures, the same in all\n")
    print("| | median s | peak MiB |\n| --- | ---: | ---: |")
    medians = {what: statistics.median(each["seconds"] for each in runs) for what, runs in results.items()}
    for what, runs in results.items():
        print(f"| {names[what]} | {medians[what]:.2f} | {max(each['mebibytes'] for each in runs):,.0f} |")
    print(f"\ncompiled / COMPLETE with ids: {medians['ours'] / medians['ids']:.3f} (wanted: at most 0.1)")


if __name__ == "__main__":
    main()
