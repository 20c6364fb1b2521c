"""Run every night of a county against real servers and hold what comes of it against the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time
from pathlib import Path

from demo.reference_county.accounting import account_lines, row_lines
from demo.reference_county.deliver import Deliveries
from demo.reference_county.events import event_lines
from demo.reference_county.home import lay_out
from demo.reference_county.observed import Observed, extracts_of
from demo.reference_county.orders import order_lines
from demo.reference_county.persons import person_lines
from demo.reference_county.servers import postgres_server, sftp_server
from demo.reference_county.traps import trap_lines
from demo.reference_county.truth import Truth, day_of, read_truth
from demo.reference_county.verdicts import Line, judged
from flows.night import run_night
from flows.run import NightResult
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from mappings.entities import project_entities
from store.home import Home
from store.state import states_in_force

_CHECKS = (account_lines, row_lines, event_lines, order_lines, trap_lines, person_lines)


def run_county(
    county: Path, folder: Path, *, days: int | None = None, progress: Callable[[str], None] = print
) -> Iterator[Line]:
    """Serves a county, runs its nights, and gives a line for everything the truth speaks of.

    Args:
        county: A folder with deliveries/ and truth/.
        folder: An empty or missing folder for the servers' files and, as `home`, for the exchange.
        days: How many delivery days; all where nothing is said.
        progress: Told where the run stands.

    Raises:
        ExchangeError: The county is not whole.
        ServerMissing: A server is not installed.
    """
    truth = read_truth(county)
    with sftp_server(folder / "sftp") as sftp, postgres_server() as postgres:
        deliveries = Deliveries(county, sftp, postgres)
        deliveries.open_places()
        home = lay_out(folder / "home", sftp=sftp, postgres=postgres)
        runs: list[str] = []
        for day in range(1, min(days or deliveries.days(), deliveries.days()) + 1):
            deliveries.deliver(day)
            now = datetime.combine(day_of(day), time(12), tzinfo=UTC)
            night = run_night(home, now=now, progress=progress)
            progress(f"day {day}: night {night.run_id} ended with {night.exit_status}")
            yield judged("night", day, night.run_id, "no failure", [failure.what for failure in night.failures])
            runs.append(night.run_id)
            yield from _compare(home, truth, day, night, runs)


def _compare(home: Home, truth: Truth, day: int, night: NightResult, runs: list[str]) -> Iterator[Line]:
    settings = load_settings(home)
    ledger = open_home_ledger(home, settings)
    try:
        with ledger.reading() as connection:
            states = states_in_force(connection, home)
        into = home.root / "compared" / f"day{day:02d}"
        into.mkdir(mode=0o700, parents=True)
        seen = Observed(
            home, ledger, truth, day, extracts_of(ledger, home, [night.run_id]), extracts_of(ledger, home, runs[:-1]),
            project_entities(load_agencies_of(home, settings), states, into), states,
        ).open()  # fmt: skip
        for check in _CHECKS:
            yield from check(seen)
        seen.con.close()
    finally:
        ledger.close()
