"""Run the exchange and see how it stands: `kith run`, `kith serve`, `kith status`."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.prefect_server import local_server, use_server
from flows.run import NightResult
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from flows.status import ExchangeStatus, read_status
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, show_failures, show_progress, table
from standard.errors import BusyError
from store.home import Home
from store.runs import is_held, lock_file

log = logging.getLogger(__name__)

AgencyOption = Annotated[
    list[str] | None, typer.Option("--agency", help="Only this agency's sources (may be given several times).")
]


def run(
    home: HomeOption = HERE,
    agency: AgencyOption = None,
    plain: Annotated[bool, typer.Option("--plain", help="The same stages without Prefect.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run one night now: pull from every agency, map, check, link, publish, report.

    Goes on where a killed run stopped. Takes the Prefect server of `kith serve` where that is up, else starts one of
    its own for the run. Exit status 5 where an extract is held, 9 where another run holds the home.

    \b
    Example: kith run --home exchange
    Example: kith run --home exchange --agency hillside_schools --plain --json
    """
    show_progress()
    at = home_at(home)
    result = run_plain(at, agency) if plain else run_orchestrated(at, agency)
    show_failures(result.failures)
    answer(asdict(result) | {"exit_status": result.exit_status}, text=how_it_went(result), as_json=as_json)
    raise typer.Exit(result.exit_status)


def run_plain(home: Home, agencies: list[str] | None = None, *, now: datetime | None = None) -> NightResult:
    """One night without Prefect."""
    from flows.night import run_night

    return run_night(home, now=now or datetime.now(UTC), agencies=agencies)


def run_orchestrated(home: Home, agencies: list[str] | None = None, *, now: datetime | None = None) -> NightResult:
    """One night under Prefect, on the home's own server."""
    if is_held(home):  # told at once, not after the server's start
        raise BusyError("another run holds this home", where=str(lock_file(home)), mend="wait until it ends")
    with local_server(home) as url:
        use_server(home, url)
        from flows.pull_and_publish import orchestrate

        return orchestrate(home.root, agencies=agencies, now=now)


def how_it_went(result: NightResult) -> str:
    """A night's end in words."""
    news = "published" if result.published else "nothing new to publish; in force is"
    lines = [f"run {result.run_id}: {news} snapshot {result.snapshot_id or '(none yet)'}"]
    lines += [f"held: {extract_id} (kith status says why)" for extract_id in result.held]
    lines += [f"report: {result.report}"] if result.report else []
    return "\n".join(lines)


def serve(home: HomeOption = HERE) -> None:
    """Run every agency on its own schedule, and the whole exchange every night, until stopped.

    Keeps one Prefect server for the home (its page is told at the start) and one run at a time.

    \b
    Example: kith serve --home exchange
    """
    show_progress()
    at = home_at(home)
    settings = load_settings(at)
    agencies = load_agencies_of(at, settings)
    with local_server(at) as url:
        use_server(at, url)
        from flows.serve_agencies import serve_agencies

        log.info("Prefect's page: %s (user and password: keys/prefect_api)", url.removesuffix("/api"))
        serve_agencies(at, settings, agencies)


def status(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Say what ran, what is late, what is held, what waits, and which snapshot is in force.

    \b
    Example: kith status --home exchange
    """
    at = home_at(home)
    settings = load_settings(at)
    ledger = open_home_ledger(at, settings)
    try:
        found = read_status(at, ledger, load_agencies_of(at, settings), now=datetime.now(UTC))
    finally:
        ledger.close()
    answer(asdict(found), text=_status_text(found), as_json=as_json)


def _status_text(found: ExchangeStatus) -> str:
    failures = [f"  {run['run_id']}: {failure}" for run in found.runs for failure in run["failures"]]
    runs = [{**run, "failures": len(run["failures"])} for run in found.runs]
    snapshot = found.snapshot
    return "\n\n".join([
        f"snapshot {snapshot['snapshot_id']} of {snapshot['published_at']}" if snapshot else "nothing is published yet",
        "runs (newest first)\n" + "\n".join([table(runs, empty="none yet"), *failures]),
        "feeds\n" + table(found.feeds, empty="no agency takes part yet"),
        "held\n" + table(found.held),
        "waiting for the next run\n" + table(found.waiting),
    ])  # fmt: skip
