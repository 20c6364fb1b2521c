"""What Prefect costs a night: the same night over a small exchange, plain and orchestrated, one after the other."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flows.night import run_night
from flows.prefect_server import local_server, use_server
from store.home import Home
from tests.exchange import MONDAY, PARTIES, small_exchange


def main() -> None:
    """Prints the medians of several nights without news, of one home with two agencies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=7)
    nights = parser.parse_args().nights
    with tempfile.TemporaryDirectory() as folder:
        small = small_exchange(Path(folder))
        small.put_students()
        small.record(*PARTIES)
        run_night(small.home, now=MONDAY)
        first = seconds(partial(_start_and_stop, small.home))
        again = seconds(partial(_start_and_stop, small.home))
        plain, orchestrated = _nights(small.home, nights)
    cost = statistics.median(orchestrated) - statistics.median(plain)
    rows = {
        "server, first start (it makes its database)": first,
        "server, later starts (what `kith run` adds where `kith serve` is not up)": again,
        f"plain night, median of {nights}": statistics.median(plain),
        f"night under Prefect, median of {nights}": statistics.median(orchestrated),
        "Prefect's own share": cost,
    }
    print("| two agencies, nothing new | seconds |\n| --- | --- |")
    print("\n".join(f"| {what} | {value:.2f} |" for what, value in rows.items()))


def _start_and_stop(home: Home) -> None:
    with local_server(home):
        pass


def _nights(home: Home, nights: int) -> tuple[list[float], list[float]]:
    """Seconds of plain and of orchestrated nights, taken in turns."""
    plain, orchestrated = [], []
    with local_server(home) as url:
        use_server(home, url)
        from flows.pull_and_publish import orchestrate

        orchestrate(home.root, now=MONDAY)
        for _ in range(nights):
            plain.append(seconds(partial(run_night, home, now=MONDAY)))
            orchestrated.append(seconds(partial(orchestrate, home.root, now=MONDAY)))
    return plain, orchestrated


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
