"""The whole way of the demo: make the county, start its servers, run a night for each delivery day, sum up."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from demo.county import AGENCIES, DECLARATIONS, KEYS, County, copy_declarations, make_county
from demo.delivery import Outbox, deliver_day
from demo.governed import Term, govern
from demo.servers import HOST, SftpServer, make_key
from demo.summary import Summary, as_text, summarise
from flows.lay_out_home import lay_out_home, write_settings
from flows.run import NightResult
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from governance.load import governance_folder
from record.reader import open_record
from store.home import Home

AGREED = Term(dt.date(2020, 1, 1), dt.date(2039, 12, 31))
"""How long the demo's agreements last: longer than any county's deliveries."""
RunNight = Callable[[Home, dt.datetime], NightResult]
"""Runs one night over a home as at a moment, with Prefect or without."""


@dataclass(frozen=True)
class Shown:
    """A demo that ran.

    Args:
        county: What was made.
        nights: How each night went.
        summary: The figures; None where nothing was published.
        text: What to show.
    """

    county: County
    nights: tuple[NightResult, ...]
    summary: Summary | None
    text: str


def show_county(
    folder: Path, *, persons: int, days: int, seed: int, run_night: RunNight, progress: Callable[[str], None]
) -> Shown:
    """Makes a county and takes its deliveries into a new exchange, day by day.

    Args:
        folder: A new or empty folder: becomes the exchange's home; demo/ in it holds the county and its servers' files.
        persons: People who live in the county.
        days: Weekly deliveries.
        seed: Another seed, another county.
        run_night: Runs one night.
        progress: Told one line where something begins.

    Raises:
        ExchangeError: The folder is not empty, or a stage cannot go on.
    """
    home = lay_out_home(folder, name="demo county")
    copy_declarations(home.root)
    progress(f"making a county of {persons:,} people and {days} delivery days")
    county = make_county(persons=persons, days=days, seed=seed, into=home.root / "demo" / "county")
    outbox = Outbox(home.root / "demo" / "agencies").create()
    nights = []
    with agencies_served(home, outbox) as port:
        progress(
            f"the agencies' SFTP server listens on port {port}; their databases lie in {outbox.root / 'databases'}"
        )
        for day in range(1, days + 1):
            files = deliver_day(county, day, outbox)
            progress(f"delivery {day} of {days} ({county.date(day)}): {len(files)} files and 2 databases")
            nights.append(run_night(home, night_after(county, day)))
    summary = _summary(home, county) if nights[-1].snapshot_id else None
    return Shown(county, tuple(nights), summary, _text(home, county, nights, summary))


def night_after(county: County, day: int) -> dt.datetime:
    """The moment of the run that takes a delivery in: its day, shortly before midnight UTC."""
    return dt.datetime.combine(county.date(day), dt.time(23, 55), tzinfo=dt.UTC)


@contextmanager
def agencies_served(home: Home, outbox: Outbox) -> Iterator[int]:
    """Serves the agencies' files and databases while the block lasts, and points the home's settings at them.

    Args:
        home: A home with the demo's declarations.
        outbox: What the agencies keep.

    Yields:
        The SFTP server's port on the loopback.
    """
    user_key, host_key = make_key(home.keys / "demo_key"), make_key(home.keys / "demo_host_key")
    for agency in KEYS:
        _write_private(home.keys / f"{agency}_url", f"sqlite:///{outbox.database(agency).resolve()}\n")
    with SftpServer(outbox.sftp_roots(), host_key=host_key, user_key=user_key) as server:
        _write_private(home.keys / "known_hosts", server.known_hosts_line + "\n")
        write_settings(home, _settings(server.port))
        if not (governance_folder(home) / "parties.yaml").exists():
            agencies = load_agencies_of(home, load_settings(home))
            govern(home, agencies, term=AGREED, keys=home.root / "demo" / "officers")
        yield server.port


def _settings(port: int) -> str:
    # What a delivery brings is put there whole: nothing has to settle before it is taken.
    doors = {
        agency: {"exchange": {"sftp": {"host": HOST, "port": port, "settle": 0}}}
        for agency in AGENCIES
        if (DECLARATIONS / agency / "agency.yaml").read_text(encoding="utf-8").count("sftp:")
    }
    return yaml.safe_dump({"exchange": "demo county", "governance": "required", "sources": doors}, sort_keys=False)


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _summary(home: Home, county: County) -> Summary:
    ledger = open_home_ledger(home, load_settings(home))
    try:
        return summarise(ledger, person_source=open_record(home).table("person_source").path, truth=county.person_truth)
    finally:
        ledger.close()


_SERVERS_STOPPED = (
    "The agencies' SFTP server was part of the demo and is stopped: from now on kith run and kith doctor find the\n"
    "sources over SFTP away (exit status 4), and kith status calls their feeds late. What is published stays."
)


def _text(home: Home, county: County, nights: list[NightResult], summary: Summary | None) -> str:
    head = f"{county.persons:,} people, {county.days} deliveries from {county.date(1)} to {county.date(county.days)}"
    troubles = [f"night {n}: {failure.what}" for n, night in enumerate(nights, 1) for failure in night.failures]
    if summary is None:
        return "\n".join([head, "nothing was published", *troubles])
    places: dict[str, Path | str] = {
        "record": open_record(home).snapshot.folder,
        "report": nights[-1].report or "(none)",
        "truth": county.person_truth,
        "look": f"kith status --home {home.root}",
    }
    return "\n\n".join([head, *troubles, as_text(summary, places), _SERVERS_STOPPED])
