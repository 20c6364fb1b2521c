"""From landed files to the published record, by stage and with peak memory, beside the plain script on the same.

    python -m benchmarks.whole_way [--persons 210000] [--rounds 3]

The first delivery day of a demo county is loaded into a new home. Every measurement runs in a process of its own;
what is compared is the process's whole time less fetching (shown apart), and its peak resident memory.
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

_FETCHING, _APART = "fetch", "set apart"
WHOLE, PEAK = "landed to published", "peak MiB"


def prepare(folder: Path, persons: int) -> None:
    """Makes the county."""
    make_county(persons=persons, days=1, seed=7, into=folder)


def run_kith(county_folder: Path, root: Path) -> dict[str, float]:
    """Seconds by stage of one night over the first delivery, without Prefect, and the process's peak memory."""
    start = time.perf_counter()
    home = lay_out_home(root, name="benchmark")
    copy_declarations(home.root)
    outbox = Outbox(home.root / "demo").create()
    county = County(folder=county_folder, persons=0, days=1, seed=7, arrivals=())
    deliver_day(county, 1, outbox)
    with agencies_served(home, outbox):
        preparing = time.perf_counter() - start
        result = run_night(home, now=night_after(county, 1), progress=lambda _: None)
    if result.failures or not result.published:
        raise SystemExit(f"the night failed: {[failure.what for failure in result.failures]}")
    seconds = _by_stage(home)
    seconds[_APART] = preparing + seconds.get(_FETCHING, 0.0)
    seconds[PEAK] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds


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
    """What a process of its own measured; its time is the whole process's, imports and all, less what it sets apart."""
    start = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found | {WHOLE: whole - found.pop(_APART, 0.0)}


def compare(persons: int, rounds: int) -> None:
    """Prints the medians of both, round by round in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        county = Path(scratch) / "county"
        prepare(county, persons)
        runs: dict[str, list[dict[str, float]]] = {"kith": [], "plain": []}
        for number in range(rounds):
            for what, taken in runs.items():
                into = Path(scratch) / f"{what}{number}"
                if what == "kith":
                    taken.append(_child("benchmarks.whole_way", "--county", str(county), "--into", str(into)))
                    _mentions(into)
                else:
                    taken.append(_child("benchmarks.plain_script", str(county / "deliveries" / "day01"), str(into)))
                shutil.rmtree(into, ignore_errors=True)
    for what, taken in runs.items():
        print(f"\n{what} (median of {rounds})")
        for name in taken[0]:
            print(f"  {name:<22}{statistics.median(run[name] for run in taken):>10.1f}")
    for name in (WHOLE, PEAK):
        ratio = statistics.median(k[name] / p[name] for k, p in zip(runs["kith"], runs["plain"], strict=True))
        print(f"kith / plain, {name}: {ratio:.2f}")


def _mentions(root: Path) -> None:
    print(f"mentions in the record: {open_record(open_home(root)).table('person_source').to_arrow().num_rows:,}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=210_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--county", type=Path)
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    if given.county:
        print(json.dumps(run_kith(given.county, given.into)))
    else:
        compare(given.persons, given.rounds)
