"""Answer an agency: write the receipts that are owed to it, and send them to its folder."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connectors.database import Database
from connectors.doors import open_door
from connectors.sources import FilesSource, Secrets
from flows.run import Night
from flows.standing import read_standings
from flows.timetable import cadence_of
from mappings.load import Agency
from receipts.owed import describe_delivery, owed_receipts
from receipts.write import Written, forget_lost, note_sent, unsent_receipts, write_receipt
from store.audit_log import Event, checkpoint, intent
from store.ledger import Ledger
from store.runs import stage_of


def send_receipts(night: Night, name: str) -> None:
    """Writes every receipt that is owed to an agency and sends what has not reached it yet.

    What is written stays written where the agency cannot be reached; the next run sends it. An agency without a folder
    for receipts is sent none: it reads them in the home, and gets those of before once it declares one.

    Raises:
        SourceError: The agency's folder of receipts cannot be written to.
    """
    agency = night.agencies[name]
    folder = receipts_folder(agency)
    if folder is not None:
        forget_lost(night.home, night.ledger, name)
    owed = owed_receipts(night.ledger, agency)
    if owed:
        checkpoint(night.home)
        overdue = overdue_feeds(night.ledger, agency, now=night.now)
        for each in owed:
            body = describe_delivery(night.home, night.ledger, agency, each.of, overdue=overdue)
            write_receipt(night.home, night.ledger, each, body, exchange=night.settings.exchange)
    if folder is not None and (unsent := unsent_receipts(night.home, night.ledger, name)):
        with stage_of(night.ledger, night.run.run_id, "answer", agency=name) as going:
            with intent(night.home, Event("receipts", name, "exchange", role="exchange", counts={"sent": len(unsent)})):
                _send(night, agency, folder, unsent)
            going.rows = len(unsent)
        night.progress(f"{name}: {len(unsent)} receipt{'' if len(unsent) == 1 else 's'} sent")


def overdue_feeds(ledger: Ledger, agency: Agency, *, now: datetime) -> list[dict[str, Any]]:
    """What an agency is asked for: feeds that were due, their grace being over, and have not come (feed, due), and
    numbers of its count that never came (feed, missing)."""
    with ledger.reading() as connection:
        standings = read_standings(connection, {agency.agency: agency}, now)
    late = [{"feed": each.feed, "due": _due(agency, each.feed, now)} for each in standings if each.late]
    return late + [{"feed": each.feed, "missing": list(each.missing)} for each in standings if each.missing]


def _due(agency: Agency, feed: str, now: datetime) -> str:
    cadence = cadence_of(agency, feed)
    assert cadence is not None  # a feed without a schedule is never late
    return cadence.last_due(now - cadence.grace).isoformat(timespec="minutes")


def receipts_folder(agency: Agency) -> tuple[str, str] | None:
    """(source, folder) of the agency's receipts: the first source that declares one; None: it reads them here."""
    return folder_of(agency, "receipts")


def folder_of(agency: Agency, kind: str) -> tuple[str, str] | None:
    """The first source of an agency that declares a folder of this kind (receipts, outbox), and the folder."""
    declared = {name: source.declared for name, source in agency.sources.items()}
    folders = {name: getattr(d, kind) for name, d in declared.items() if isinstance(d, FilesSource)}
    return next(((name, folder) for name, folder in folders.items() if folder), None)


def _send(night: Night, agency: Agency, folder: tuple[str, str], unsent: list[Written]) -> None:
    source, to = folder
    with open_door(agency.sources[source], Secrets(night.home.keys)) as door:
        assert not isinstance(door, Database)  # only a source of files declares a folder
        for written in unsent:
            for path in written.files:
                with path.open("rb") as content:
                    door.put(content, path.stat().st_size, to, path.name)
            note_sent(night.ledger, written)
