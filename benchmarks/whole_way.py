"""From landed files to the published record, by stage and with peak memory, beside the plain script on the same.

    python -m benchmarks.whole_way [--persons 210000] [--rounds 3]

The first delivery day of a demo county is loaded into a new home. Every measurement runs in a process of its own;
what is compared is the time from the landed extracts on (fetching is reported apart) and the peak resident memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from demo.county import County, copy_declarations, make_county
from demo.delivery import Outbox, deliver_day
from demo.showing import agencies_served, night_after
from flows.lay_out_home import lay_out_home
from flows.night import run_night
from flows.settings import load_settings, open_home_ledger
from record.reader import open_record
from store.home import Home, open_home
from store.ledger import stage

_FETCHING = "fetch"


def prepare(folder: Path, persons: int) -> None:
    """Makes the county."""
    make_county(persons=persons, days=1, seed=7, into=folder)


def run_kith(county_folder: Path, root: Path) -> dict[str, float]:
    """Seconds by stage of one night over the first delivery, without Prefect."""
    home = lay_out_home(root, name="benchmark")
    copy_declarations(home.root)
    outbox = Outbox(home.root / "demo").create()
    county = _county(county_folder)
    deliver_day(county, 1, outbox)
    with agencies_served(home, outbox):
        start = time.perf_counter()
        result = run_night(home, now=night_after(county, 1), progress=lambda _: None)
        whole = time.perf_counter() - start
    if result.failures or not result.published:
        raise SystemExit(f"the night failed: {[failure.what for failure in result.failures]}")
    seconds = _by_stage(home)
    seconds["landed to published"] = whole - seconds.get(_FETCHING, 0.0)
    return seconds


def _county(folder: Path) -> County:
    return County(folder=folder, persons=0, days=1, seed=7, arrivals=())


def _by_stage(home: Home) -> dict[str, float]:
    ledger = open_home_ledger(home, load_settings(home))
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(stage.c.name, stage.c.started_at, stage.c.finished_at)).all()
    ledger.close()
    seconds: dict[str, float] = {}
    for name, began, ended in rows:
        seconds[name] = seconds.get(name, 0.0) + _seconds_between(began, ended)
    return seconds


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _child(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.whole_way", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(what: str, county: Path, into: Path) -> dict[str, float]:
    """Runs in the child: what was asked for, with its peak memory."""
    if what == "kith":
        seconds = run_kith(county, into)
    else:
        from benchmarks import plain_script

        start = time.perf_counter()
        plain_script.run(county / "deliveries" / "day01", into)
        seconds = {**plain_script.SECONDS, "landed to published": time.perf_counter() - start}
    seconds["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds


def compare(persons: int, rounds: int) -> None:
    """Prints the medians of both, round by round in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        county = Path(scratch) / "county"
        prepare(county, persons)
        runs: dict[str, list[dict[str, float]]] = {"kith": [], "plain": []}
        for number in range(rounds):
            for what, taken in runs.items():
                into = Path(scratch) / f"{what}{number}"
                taken.append(_child("--measure", what, "--county", str(county), "--into", str(into)))
                if what == "kith":
                    _mentions(into)
                shutil.rmtree(into, ignore_errors=True)
    for what, taken in runs.items():
        print(f"\n{what} (median of {rounds})")
        for name in taken[0]:
            print(f"  {name:<22}{statistics.median(run[name] for run in taken):>10.1f}")
    for name in ("landed to published", "peak MiB"):
        ratio = statistics.median(k[name] / p[name] for k, p in zip(runs["kith"], runs["plain"], strict=True))
        print(f"kith / plain, {name}: {ratio:.2f}")


def _mentions(root: Path) -> None:
    print(f"mentions in the record: {open_record(open_home(root)).table('person_source').to_arrow().num_rows:,}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=210_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=["kith", "plain"])
    parser.add_argument("--county", type=Path)
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(_measured(given.measure, given.county, given.into)))
    else:
        compare(given.persons, given.rounds)
