"""Open the door a source declares, look through it, and receive what is new into the landing area."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from connectors.database import Database
from connectors.files import fetch_files
from connectors.folder import Folder
from connectors.sftp import Sftp
from connectors.sources import DatabaseSource, FolderSource, Secrets, SftpSource, Source
from connectors.wanted import FilesWanted, TableWanted
from standard.errors import DeclarationError
from store.extracts import Extract, Holds
from store.landing import Arrival, Known, Landing, Left, known_files, land, last_watermark, note_left
from store.ledger import Ledger

Door = Sftp | Database | Folder
Wanted = FilesWanted | TableWanted


@dataclass(frozen=True)
class Received:
    """What one poll of one feed brought."""

    extracts: list[Extract] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


@contextmanager
def open_door(source: Source, secrets: Secrets) -> Iterator[Door]:
    """Opens a source once for all of its feeds.

    All tables read through one opening of a database are read in one snapshot.

    Raises:
        SourceError: It cannot be reached, refuses us, or is not the one that was pinned.
        DeclarationError: A secret or a variable that it names is missing.
    """
    declared = source.declared
    with closing(_open(declared, secrets)) as door:
        yield door


def _open(declared: SftpSource | DatabaseSource | FolderSource, secrets: Secrets) -> Door:
    if isinstance(declared, SftpSource):
        return Sftp(declared, secrets)
    if isinstance(declared, DatabaseSource):
        return Database(declared, secrets)
    return Folder(declared, secrets)


def probe(source: Source, secrets: Secrets) -> str:
    """Reaches a source and says in a sentence what is there.

    Raises:
        SourceError, DeclarationError: As `open_door`.
    """
    with open_door(source, secrets) as door:
        return door.probe()


def fetch_new(door: Door, wanted: Wanted, *, known: Known, landing: Landing, now: datetime) -> Iterator[Arrival | Left]:
    """Fetches what is wanted and not known, one arrival after the other; see `fetch_files` and `Database.fetch`."""
    if isinstance(door, Database) and isinstance(wanted, TableWanted):
        return iter([door.fetch(wanted, landing=landing, now=now)])
    if isinstance(door, Database) or isinstance(wanted, TableWanted):
        raise DeclarationError(
            "a database gives tables, and a folder or SFTP server gives files",
            where=door.place,
            mend="declare `table:` for a feed of a database, `files:` for the others",
        )
    return fetch_files(door, wanted, known=known, landing=landing, now=now)


def receive(
    door: Door,
    wanted: Wanted,
    *,
    agency: str,
    feed: str,
    holds: Holds,
    ledger: Ledger,
    landing: Landing,
    run_id: str,
    now: datetime,
) -> Received:
    """Polls one feed: fetches what is new and records each arrival in the ledger as soon as it is there.

    A table is read from the watermark up to which the ledger knows it loaded. What was received before an error stays
    received.

    Args:
        now: The moment of the poll in the agency's time zone.
    """
    if isinstance(wanted, TableWanted) and wanted.watermark and wanted.since is None:
        since, sha256 = last_watermark(ledger, agency=agency, feed=feed) or (None, None)
        wanted = replace(wanted, since=since, before=landing.path_of(sha256) if sha256 else None)
    received = Received()
    known = known_files(ledger, agency=agency, feed=feed)
    for came in fetch_new(door, wanted, known=known, landing=landing, now=now):
        if isinstance(came, Left):
            note_left(ledger, came, agency=agency, feed=feed, at=datetime.now(UTC))
            received.left.append(came)
            continue
        extract = land(
            ledger, came, agency=agency, feed=feed, holds=holds, run_id=run_id, received_at=now
        )  # fmt: skip
        received.extracts.append(extract)
    return received
