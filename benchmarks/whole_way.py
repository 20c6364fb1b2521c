"""From landed files to the published record, by stage and with peak memory, beside the plain script on the same.

    python -m benchmarks.whole_way [--persons 210000] [--rounds 3]

The first delivery day of a demo county is loaded into a new home where it has landed. Both are processes of their own;
what is compared is their whole time, imports and all, and the peak of their memory with that of their children.
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

from demo.county import County, copy_declarations, make_county
from demo.delivery import Outbox, deliver_day
from demo.showing import agencies_served, night_after
from flows.fetching import fetch_agency
from flows.lay_out_home import lay_out_home
from flows.run import open_night
from record.reader import open_record
from store.home import open_home

WHOLE, PEAK = "landed to published", "peak MiB"


def prepare(folder: Path, persons: int) -> None:
    """Makes the county."""
    make_county(persons=persons, days=1, seed=7, into=folder)


def land(county_folder: Path, root: Path) -> datetime:
    """Brings the first delivery to the landing area of a new home; gives the moment of the night that loads it."""
    home = lay_out_home(root, name="benchmark")
    copy_declarations(home.root)
    outbox = Outbox(home.root / "demo").create()
    county = County(folder=county_folder, persons=0, days=1, seed=7, arrivals=())
    deliver_day(county, 1, outbox)
    now = night_after(county, 1)
    with agencies_served(home, outbox), open_night(home, now=now) as night:
        for agency in night.wanted:
            fetch_agency(night, agency)
    return now


def _child(*arguments: str) -> dict[str, float]:
    """What a process of its own measured, with its whole time and the peak of its memory, its children's included."""
    start, peak = time.perf_counter(), 0
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as trouble:
        process = subprocess.Popen(command, stdout=said, stderr=trouble)
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.02)
        whole = time.perf_counter() - start
        for stream in (said, trouble):
            stream.seek(0)
        if process.returncode:
            raise SystemExit(trouble.read()[-3000:])
        found: dict[str, float] = json.loads(said.read().splitlines()[-1])
    return found | {WHOLE: whole, PEAK: peak / 2**20}


def _resident(pid: int) -> int:
    """Bytes of memory that a process and its children hold; 0 of one that has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        children = Path(f"/proc/{pid}/task").glob("*/children")
        return pages * resource.getpagesize() + sum(_resident(int(n)) for c in children for n in c.read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return 0


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
                    now = land(county, into).isoformat()
                    taken.append(_child("benchmarks.load_landed", str(into), now))
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
    given = parser.parse_args()
    compare(given.persons, given.rounds)
