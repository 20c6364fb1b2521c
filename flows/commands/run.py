"""Run the exchange and see how it stands: `kith run`, `kith serve`, `kith status`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from flows.governed import governance_lines
from flows.prefect_server import local_server, use_server
from flows.run import NightResult, those_wanted
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from flows.status import ExchangeStatus, Row, older_declarations, read_status
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
    # What is wrong with the words is told at once, not after the server's start.
    those_wanted(home, load_agencies_of(home, load_settings(home)), agencies)
    if is_held(home):
        raise BusyError("another run holds this home", where=str(lock_file(home)), mend="wait until it ends")
    with local_server(home) as url:
        use_server(home, url)
        from flows.pull_and_publish import orchestrate

        return orchestrate(home.root, agencies=agencies, now=now)


def how_it_went(result: NightResult) -> str:
    """A night's end in words."""
    news = "published" if result.published else "nothing new to publish; in force is"
    lines = [f"run {result.run_id}: {news} snapshot {result.snapshot_id or '(none yet)'}"]
    lines += [f"held: {extract_id} (kith receipt show {extract_id} says why)" for extract_id in result.held]
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
    """Say what ran, what is late, what is held, what waits or was left, and which snapshot is in force.

    Times are of the exchange's time zone (night.timezone in exchange.yaml); in JSON with their offset.

    \b
    Example: kith status --home exchange
    """
    at = home_at(home)
    settings = load_settings(at)
    ledger = open_home_ledger(at, settings)
    now, agencies = datetime.now(UTC), load_agencies_of(at, settings)
    try:
        found = read_status(at, ledger, agencies, now=now)
    finally:
        ledger.close()
    governed = governance_lines(at, settings, agencies, now=now)
    text = "\n".join([_status_text(found, settings.night.timezone), "\ngovernance", *governed])
    answer(asdict(found) | {"governance": governed}, text=text, as_json=as_json)


def _status_text(found: ExchangeStatus, zone: str) -> str:
    """The state of an exchange in lines of a terminal, all times in one time zone."""
    snapshot, at = found.snapshot, partial(_moment, zone=zone)
    parts = [
        f"snapshot {snapshot['snapshot_id']} of {at(snapshot['published_at'])}"
        if snapshot
        else "nothing is published yet",
        f"times are of {zone}",
        "\nruns (newest first)",
        table([_run_line(row, at) for row in found.runs], empty="none yet"),
        *(f"  {row['run_id']}: {failure}" for row in found.runs for failure in row["failures"]),
        "\nfeeds",
        table([_feed_line(row, at) for row in found.feeds], empty="no agency takes part yet"),
    ]
    for title, rows in (("held", found.held), ("waiting for the next run", found.waiting)):
        parts += [f"\n{title}", *([line for row in rows for line in _extract_lines(row)] or ["nothing"])]
    if found.left:
        parts += ["\nleft at the source: what changed only just now is taken by a later run"]
        parts += [f"{_of_feed(row)}  {row['name']}\n  seen since {at(row['first_seen_at'])}" for row in found.left]
    return "\n".join([*parts, *([f"\n{older_declarations(found.outdated)}"] if found.outdated else [])])


def _moment(text: str | None, *, zone: str) -> str | None:
    return f"{datetime.fromisoformat(text).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" if text else None


def _of_feed(row: Row) -> str:
    return f"{row['agency']}/{row['feed']}"


def _run_line(row: Row, at: Callable[[str | None], str | None]) -> Row:
    ended = at(row["finished_at"]) or f"in {row['last_stage']}"
    times = {"began": at(row["started_at"]), "ended": ended}
    return {"run": row["run_id"], **times, "state": row["state"], "failed": len(row["failures"])}


def _feed_line(row: Row, at: Callable[[str | None], str | None]) -> Row:
    stands = ", ".join(row["stands"]) or (None if row["late"] is None else "in time")
    if "short" in row["stands"]:
        stands = f"{stands} ({row['rows']:,} rows, usually {row['rows_usual']:,})"
    stands = f"{stands} (number {', '.join(map(str, row['missing']))})" if row["missing"] else stands
    return {"feed": _of_feed(row), "last came": at(row["last_arrival"]), "next due": at(row["next"]), "stands": stands}


def _extract_lines(row: Row) -> list[str]:
    reason = row["status_reason"]
    why = f"{row['status']} ({reason})" if reason else row["status"]
    return [f"{_of_feed(row)}  {row['name']}", f"  {why}, of {row['as_of']}, extract {row['extract_id']}"]
