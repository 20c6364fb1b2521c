"""How fast linkage is, in turns with Splink, and what a delivery costs beside what is kept.

    python -m benchmarks.linkage_speed whole [--rows 1000000] [--rounds 1]    whole job against Splink's whole job
    python -m benchmarks.linkage_speed deliveries [--rows 200000 1000000]    10 and 1,000 new mentions
    python -m benchmarks.linkage_speed parts FILE [--parts 30]               in parts against at once

Each whole job runs in a process of its own. Splink's is a plain pipeline of nine comparisons and eight rules, training
included; its pairs are not ours. FILE has the columns of ../shared/linkage/syn_200000.parquet.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.synthetic_people import make_people
from linkage.blocking import blocking_rules
from linkage.delivery import Clock, Delivery, deliver
from linkage.identity import note_changes
from linkage.index import LinkIndex
from linkage.judgements import SCHEMA
from linkage.kept import STATE, open_index
from linkage.link import LinkageSettings, link_people, pair_rules
from linkage.people import COLUMNS as PEOPLE
from linkage.people import read_column_map, read_people
from linkage.region import Past
from store.home import connect

COLUMNS = read_column_map(Path(__file__).parent / "linkage_sets" / "syn_200000.yaml")
SECRET = b"benchmark"


def whole(rows: int, rounds: int) -> None:
    """Prints seconds and peak memory of both, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        table = make_people(rows, Path(folder) / "people.parquet")
        runs: dict[str, list[dict[str, Any]]] = {"kith": [], "splink": []}
        for _ in range(rounds):
            for what, taken in runs.items():
                taken.append(_child("--one", what, str(table)))
                print(what, json.dumps(taken[-1]), flush=True)
    ratio = statistics.median(k["seconds"] / s["seconds"] for k, s in zip(runs["kith"], runs["splink"], strict=True))
    print(f"kith / splink, whole job: {ratio:.2f}")


def _child(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.linkage_speed", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def _one(what: str, table: Path) -> dict[str, Any]:
    """One whole job: seconds of the clock and of the processors, peak memory."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        found = _kith(table, Path(work)) if what == "kith" else _splink(table)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(time.perf_counter() - began, 1), "processor": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": used.ru_maxrss // 1024, **found,
    }  # fmt: skip


def _kith(table: Path, work: Path) -> dict[str, Any]:
    links = link_people(table, work / "links", secret=SECRET, columns=COLUMNS, index=work / "index")
    return {"pairs": links.pairs, "persons": links.persons, "steps": links.seconds}


def _splink(table: Path) -> dict[str, Any]:
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    rules = [
        block_on("ssn"), block_on("student_id"), block_on("first_name", "last_name"), block_on("dob"),
        block_on("last_name", "zip"), block_on("phone"),
        block_on("last_name", "substr(first_name, 1, 1)", "substr(dob, 1, 4)"),
        "l.first_name = r.last_name AND l.last_name = r.first_name AND l.dob = r.dob",
    ]  # fmt: skip
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[
            cl.NameComparison("first_name").configure(term_frequency_adjustments=True),
            cl.NameComparison("last_name").configure(term_frequency_adjustments=True),
            cl.DateOfBirthComparison("dob", input_is_string=True),
            cl.DamerauLevenshteinAtThresholds("ssn"),
            cl.DamerauLevenshteinAtThresholds("student_id"),
            cl.JaroWinklerAtThresholds("address", [0.95, 0.88]),
            cl.DamerauLevenshteinAtThresholds("phone"),
            cl.ExactMatch("zip"), cl.ExactMatch("sex"),
        ],
        blocking_rules_to_generate_predictions=rules,
    )  # fmt: skip
    api = DuckDBAPI(duckdb.connect(config={"threads": 2}))
    people = duckdb.read_parquet(str(table)).to_arrow_table()
    linker = Linker(api.register(people), settings)
    linker.training.estimate_probability_two_random_records_match(rules[:3], recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for rule in (block_on("dob", "last_name"), block_on("first_name", "last_name")):
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    edges = linker.inference.predict(threshold_match_weight=-4)
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(edges, threshold_match_probability=0.99)
    counted = api.query_sql(f"SELECT count(*) AS pairs FROM {edges.physical_name}").as_record_list()
    return {"pairs": counted[0]["pairs"], "clusters": clusters.physical_name}


def deliveries(sizes: list[int]) -> None:
    """Prints the median seconds, of the clock and of the processors, of deliveries of 10 and of 1,000 mentions in a
    process that holds the index open."""
    figures: dict[tuple[int, int], tuple[float, float]] = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            table = make_people(rows + 12_000, folder / "all.parquet")
            _cut(table, folder / "base.parquet", 0, rows)
            base = folder / "base.parquet"
            link_people(base, folder / "links", secret=SECRET, columns=COLUMNS, index=folder / "index")
            index = _open(folder / "index")
            begin = rows
            with connect(memory_limit="450MB") as con:
                for new in (10, 1_000):
                    seconds = []
                    for _ in range(6):
                        part = _cut(table, folder / "part.parquet", begin, begin + new)
                        begin += new
                        seconds.append(_deliver(index, con, part, rows))
                    clock, processor = map(statistics.median, zip(*seconds[1:], strict=True))
                    figures[rows, new] = clock, processor
                    print(f"{new:,} new of {rows:,}: {clock:.3f} s, of processors {processor:.3f} s", flush=True)
    if len(sizes) > 1:
        clock, processor = (m / few for m, few in zip(figures[sizes[-1], 10], figures[sizes[0], 10], strict=True))
        print(f"10 new, ratio {sizes[-1]:,} to {sizes[0]:,}: {clock:.2f}, of processors {processor:.2f}")


def _cut(table: Path, into: Path, begin: int, end: int) -> Path:
    duckdb.sql(f"FROM read_parquet('{table}') LIMIT {end - begin} OFFSET {begin}").write_parquet(str(into))
    return into


def _open(folder: Path) -> LinkIndex:
    stamp = json.loads((folder / STATE).read_text(encoding="utf-8"))["stamp"]
    index = open_index(folder, stamp, blocking_rules())
    if index is None:
        raise SystemExit("the index cannot be opened")
    return index


def _deliver(index: LinkIndex, con: duckdb.DuckDBPyConnection, part: Path, rows: int) -> tuple[float, float]:
    """Seconds from the rows in a table to clusters and ids, of the clock and of the processors."""
    read_people(con, part, COLUMNS)
    note_changes(con, None)
    con.execute("DROP TABLE IF EXISTS delivered; ALTER TABLE people RENAME TO delivered")
    delivery = Delivery(np.zeros(0, np.int32), con.sql("FROM change").to_arrow_table(), SCHEMA.empty_table())
    how, clock = pair_rules(LinkageSettings(), rows), Clock()
    began, used = time.perf_counter(), time.process_time()
    done = deliver(index, con, delivery, how=how, past=Past(SECRET), clock=clock)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    print(f"  {seconds:.3f} s, {done.compared} pairs, {done.touched} touched, {clock.laps}", flush=True)
    return seconds, processor


def parts(table: Path, count: int) -> None:
    """Links a table at once and in so many deliveries, and prints in what the results differ."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        con = connect(memory_limit="1GB")
        read_people(con, table, COLUMNS)
        con.execute(f"ALTER TABLE people ADD COLUMN part INTEGER; UPDATE people SET part = (_content >> 3) % {count}")
        known = None
        for number in range(count):
            into = folder / f"night{number}"
            into.mkdir()
            _people_until(con, number, into / "people.parquet")
            began = time.perf_counter()
            links = link_people(into / "people.parquet", into, secret=SECRET, known=known, index=folder / "index")
            seconds = time.perf_counter() - began
            print(f"night {number + 1}: {links.people:,} people, {links.pairs:,} pairs, {seconds:.1f} s", flush=True)
            known = into / "persons.parquet"
        once = link_people(links.into / "people.parquet", folder / "once", secret=SECRET)
        decided = "record_l, record_r, decision, veto, doubt, held, COLUMNS('gamma_.*')"
        for name, by in (("clusters", "*"), ("edges", decided)):
            one, other = (f"(SELECT {by} FROM '{at}/{name}.parquet')" for at in (once.into, links.into))
            row = con.sql(f"SELECT (SELECT count(*) FROM (FROM {one} EXCEPT FROM {other})), "
                          f"(SELECT count(*) FROM (FROM {other} EXCEPT FROM {one}))").fetchall()[0]  # fmt: skip
            print(f"{name}: {row[0]} only at once, {row[1]} only in parts")
        told = f"'{folder}/night*/events.parquet'"
        print(con.sql(f"SELECT kind, cause, count(*) FROM {told} GROUP BY ALL ORDER BY ALL"))


def _people_until(con: duckdb.DuckDBPyConnection, part: int, into: Path) -> None:
    columns = ", ".join(PEOPLE)
    con.sql(f"SELECT {columns} FROM people WHERE part <= {part} ORDER BY record_id").write_parquet(str(into))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["whole", "deliveries", "parts"])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--parts", type=int, default=30)
    parser.add_argument("--one", nargs=2)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(_one(given.one[0], Path(given.one[1]))))
    elif given.what == "whole":
        whole((given.rows or [1_000_000])[0], given.rounds)
    elif given.what == "deliveries":
        deliveries(given.rows or [200_000, 1_000_000])
    else:
        parts(given.file, given.parts)
