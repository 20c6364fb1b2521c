"""Keep what arrives unchanged, named by its content, and record each arrival in the ledger."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from store import ledger as tables
from store.encryption_home import keys_of, open_to_write, size_of
from store.extracts import Extract, Holds, Status
from store.home import sync, written_whole
from store.ledger import Ledger
from store.parts import Listed, Part, disk_trouble_told


@dataclass(frozen=True)
class Packed:
    """A file as it came, where what lands is what was in it."""

    sha256: str
    size: int
    signer: str | None = None
    """The fingerprint of the key that signed it."""
    refused: str | None = None
    """Why it could not be opened; what lands is then the file as it came."""
    detail: str = ""


@dataclass(frozen=True)
class Arrival:
    """Content that has come whole and lies in the landing area."""

    name: str
    sha256: str
    size: int
    path: Path
    as_of: date
    listed: Listed | None = None
    """The file it came from; None for a table."""
    watermark: str | None = None
    """Up to where a table was read."""
    packed: Packed | None = None
    """Of a file that came packed or encrypted, how it came."""
    dated: bool = False
    """Whether its name tells the day it speaks for; else that is the day on which it was read."""


@dataclass(frozen=True)
class Left:
    """A file that is left for the next poll."""

    listed: Listed
    reason: str


@dataclass(frozen=True)
class Landing:
    """The landing area: files named by the SHA-256 of their content, mode 0600, never changed."""

    folder: Path
    agency: str = ""
    """Whose content it is: in an encrypted home each agency has its own folder, because it has its own key."""

    def path_of(self, sha256: str) -> Path:
        """Where content of this SHA-256 lies."""
        common = self.folder / sha256[:2] / sha256
        if keys_of(self.folder) is None or not self.agency:
            return common
        own = self.folder / self.agency / sha256[:2] / sha256
        return own if own.is_file() or not common.is_file() else common

    def part(self, source: str, listed: Listed) -> Part:
        """A part file for a file of a source."""
        return Part(self.folder / ".parts", source, listed)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A name to write to before its content is known; what still stands there at the end is removed."""
        path = self.folder / ".parts" / f"{uuid4().hex}.part"
        with disk_trouble_told(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def keep(self, part: Path, sha256: str | None = None) -> tuple[str, Path]:
        """Moves a synced part to its lasting place at once; the same content is kept once.

        Args:
            part: A file of mode 0600 on the landing area's disk.
            sha256: Its hash; None: it is not yet known, and the file not yet synced.

        Returns:
            SHA-256 and path.
        """
        with disk_trouble_told(self.folder):
            if sha256 is None:
                sync(part)
                with part.open("rb") as stream:
                    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            path = self.path_of(sha256)
            if not path.parent.is_dir():
                path.parent.parent.mkdir(mode=0o700, exist_ok=True)
                path.parent.mkdir(mode=0o700, exist_ok=True)
                sync(path.parent.parent)
                sync(self.folder)
            if path.is_file() and size_of(path) == part.stat().st_size:
                part.unlink()
            elif keys_of(path) is None:
                part.replace(path)
                sync(path.parent)
            else:
                self._encrypt(part, path)
        return sha256, path

    def _encrypt(self, part: Path, path: Path) -> None:
        with written_whole(path) as sealed, part.open("rb") as plain, open_to_write(path, at=sealed) as file:
            shutil.copyfileobj(plain, file, 1 << 20)
        part.unlink()


def extract_id(agency: str, feed: str, sha256: str, nth: int) -> str:
    """The id of the nth arrival of the same content in a feed: the same on every machine."""
    text = "\0".join((agency, feed, sha256, str(nth)))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def land(
    ledger: Ledger,
    arrival: Arrival,
    *,
    agency: str,
    feed: str,
    holds: Holds,
    run_id: str,
    received_at: datetime,
) -> Extract:
    """Records an arrival. Content the feed has had already is a duplicate and changes nothing.

    A file is compared with all files of its feed; a table with its last read only, since a table may return to what
    it was before. So may a full file, where its name tells that it speaks for a later day than what came in between.
    """
    table = tables.extract
    with ledger.writing() as connection:
        _one_writer(connection)
        same = _same_content(connection, agency, feed, arrival.sha256)
        if arrival.listed is None:
            first = _as_last_read(connection, agency, feed, arrival.sha256) if same else None
        else:
            went_back = arrival.as_of if arrival.dated and holds is Holds.FULL else None
            first = copied_file(connection, agency=agency, feed=feed, sha256=arrival.sha256, went_back=went_back)
        values = {
            "extract_id": extract_id(agency, feed, arrival.sha256, len(same) + 1),
            "agency": agency, "feed": feed, "name": arrival.name, "sha256": arrival.sha256, "size": arrival.size,
            "received_at": _iso(received_at), "as_of": arrival.as_of.isoformat(),
            "seq": sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0) + 1).scalar_subquery(),
            "holds": str(holds), "status": str(Status.DUPLICATE if first else Status.LANDED),
            "run_id": run_id, "watermark": arrival.watermark, "duplicate_of": first,
        }  # fmt: skip
        connection.execute(table.insert().values(values))
        if arrival.packed is not None:
            _note_packed(connection, str(values["extract_id"]), arrival.packed, held=not first)
        if arrival.listed is not None:
            _note_sighting(connection, agency, feed, arrival.listed, _iso(received_at), str(values["extract_id"]))
        row = connection.execute(table.select().where(table.c.extract_id == values["extract_id"])).one()
    return _extract(row, arrival.path)


def _note_packed(connection: sa.Connection, extract: str, packed: Packed, *, held: bool) -> None:
    """Records how a file came; one that could not be opened is held."""
    row = {"extract_id": extract, "sha256": packed.sha256, "size": packed.size, "signer": packed.signer}
    connection.execute(tables.packed.insert().values(row))
    if packed.refused is None:
        return
    connection.execute(tables.received.insert().values(extract_id=extract, rows=0))
    finding = {"extract_id": extract, "code": packed.refused, "severity": "error", "detail": packed.detail}
    connection.execute(tables.file_finding.insert().values(finding))
    if held:
        of_extract = tables.extract.update().where(tables.extract.c.extract_id == extract)
        connection.execute(of_extract.values(status=str(Status.HELD), status_reason=packed.refused))


def _one_writer(connection: sa.Connection) -> None:
    """Agencies land side by side; the order of arrival is given out one at a time."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE extract IN SHARE ROW EXCLUSIVE MODE")


def _same_content(connection: sa.Connection, agency: str, feed: str, sha256: str) -> list[str]:
    table = tables.extract
    chosen = sa.select(table.c.extract_id).where(
        table.c.agency == agency, table.c.feed == feed, table.c.sha256 == sha256
    )
    return list(connection.execute(chosen.order_by(table.c.seq)).scalars())


def copied_file(
    connection: sa.Connection, *, agency: str, feed: str, sha256: str, went_back: date | None
) -> str | None:  # fmt: skip
    """The first delivery of a file's content, of which the file is a duplicate; None: it is none.

    Args:
        connection: To the ledger.
        agency: Whose file it is.
        feed: Of which feed.
        sha256: Of its content.
        went_back: The day for which a full file speaks by its name: it is no duplicate where other content spoke for a
            day between. None: any copy counts.
    """
    same = _same_content(connection, agency, feed, sha256)
    if not same or (went_back is not None and _went_back(connection, agency, feed, sha256, went_back)):
        return None
    return same[0]


def _as_last_read(connection: sa.Connection, agency: str, feed: str, sha256: str) -> str | None:
    """The last reading of a table, if it is the same as this one."""
    table = tables.extract
    mine = sa.and_(table.c.agency == agency, table.c.feed == feed, table.c.status != Status.DUPLICATE)
    latest = connection.execute(
        sa.select(table.c.extract_id, table.c.sha256).where(mine).order_by(table.c.seq.desc()).limit(1)
    ).one()
    return str(latest.extract_id) if latest.sha256 == sha256 else None


def _went_back(connection: sa.Connection, agency: str, feed: str, sha256: str, as_of: date) -> bool:
    """Whether a file speaks for a later day than its copies, and other content for a day between."""
    table = tables.extract
    of_feed = sa.and_(table.c.agency == agency, table.c.feed == feed)
    copies = sa.select(sa.func.max(table.c.as_of)).where(of_feed, table.c.sha256 == sha256)
    others = sa.select(sa.func.max(table.c.as_of)).where(
        of_feed, table.c.sha256 != sha256, table.c.as_of <= as_of.isoformat()
    )
    copied, other = connection.execute(copies).scalar_one(), connection.execute(others).scalar_one()
    return other is not None and copied < other <= as_of.isoformat()


def note_left(ledger: Ledger, left: Left, *, agency: str, feed: str, at: datetime) -> None:
    """Remembers a file that was left, so that the next poll can tell whether it has changed since."""
    with ledger.writing() as connection:
        _note_sighting(connection, agency, feed, left.listed, _iso(at), None)


def forget_left(ledger: Ledger, *, agency: str, feed: str, still: Collection[str]) -> None:
    """Forgets the files of a feed that were left and are not there any more; `still` are the names that are."""
    table = tables.sighting
    left = sa.and_(table.c.agency == agency, table.c.feed == feed, table.c.extract_id.is_(None))
    with ledger.writing() as connection:
        connection.execute(table.delete().where(left, table.c.name.not_in(still)))


def _note_sighting(
    connection: sa.Connection, agency: str, feed: str, listed: Listed, at: str, extract: str | None
) -> None:
    """One sighting a file until it is fetched: that of its newest size and time, with when this was first seen."""
    table = tables.sighting
    named = sa.and_(table.c.agency == agency, table.c.feed == feed, table.c.name == listed.name)
    same = sa.and_(named, table.c.size == listed.size, table.c.changed_ns == listed.changed_ns)
    connection.execute(table.delete().where(named, table.c.extract_id.is_(None), sa.not_(same)))
    if connection.execute(sa.select(table.c.name).where(same)).first() is None:
        row = {"agency": agency, "feed": feed, "name": listed.name, "size": listed.size}
        connection.execute(table.insert().values(**row, changed_ns=listed.changed_ns, first_seen_at=at))
    if extract is not None:
        connection.execute(table.update().where(same).values(extract_id=extract))


def note_refusal(ledger: Ledger, listed: Listed, *, agency: str, source: str, reason: str, at: datetime) -> str:
    """Remembers what stands in an inbox and no feed takes; its id, the same at every look."""
    text = "\0".join((agency, source, listed.name, str(listed.size), str(listed.changed_ns)))
    refusal_id = hashlib.sha256(text.encode()).hexdigest()[:24]
    row = {"agency": agency, "source": source, "name": listed.name, "size": listed.size}
    with ledger.writing() as connection:
        connection.execute(tables.refusal.delete().where(tables.refusal.c.refusal_id == refusal_id))
        connection.execute(
            tables.refusal.insert().values(
                **row, refusal_id=refusal_id, changed_ns=listed.changed_ns, reason=reason, at=_iso(at)
            )
        )
    return refusal_id


def known_refusals(ledger: Ledger, *, agency: str, source: str) -> set[tuple[str, int, int]]:
    """Name, size and time of change of what was refused before in an inbox."""
    table = tables.refusal
    chosen = sa.select(table.c.name, table.c.size, table.c.changed_ns)
    with ledger.reading() as connection:
        rows = connection.execute(chosen.where(table.c.agency == agency, table.c.source == source))
        return {(row.name, row.size, row.changed_ns) for row in rows}


@dataclass(frozen=True)
class Sighting:
    """What the ledger knows of a file of one name, size and time of change."""

    first_seen_at: datetime
    fetched: bool


Known = dict[tuple[str, int, int], Sighting]
"""By name, size and time of change."""


def known_files(ledger: Ledger, *, agency: str, feed: str) -> Known:
    """The files of a feed that were seen before."""
    table = tables.sighting
    chosen = table.select().where(table.c.agency == agency, table.c.feed == feed)
    with ledger.reading() as connection:
        return {
            (row.name, row.size, row.changed_ns): Sighting(
                datetime.fromisoformat(row.first_seen_at), row.extract_id is not None
            )
            for row in connection.execute(chosen)
        }


def last_watermark(ledger: Ledger, *, agency: str, feed: str) -> tuple[str, str] | None:
    """Up to where a table's rows have been taken into the feed's state, and the SHA-256 of that reading; None: never.

    A read that is held or was not finished does not count: its rows are read again.
    """
    table = tables.extract
    chosen = sa.select(table.c.watermark, table.c.sha256).where(
        table.c.agency == agency,
        table.c.feed == feed,
        table.c.watermark.is_not(None),
        table.c.status.in_([Status.LOADED, Status.LOADED_LATE]),
    )
    with ledger.reading() as connection:
        row = connection.execute(chosen.order_by(table.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else (row.watermark, row.sha256)


def read_extract(ledger: Ledger, landing: Landing, extract_id: str) -> Extract:
    """An extract as the ledger knows it."""
    table = tables.extract
    with ledger.reading() as connection:
        row = connection.execute(table.select().where(table.c.extract_id == extract_id)).one()
    return _extract(row, replace(landing, agency=row.agency).path_of(row.sha256))


def _extract(row: sa.Row[Any], path: Path) -> Extract:
    return Extract(
        extract_id=row.extract_id, agency=row.agency, feed=row.feed, name=row.name, sha256=row.sha256, size=row.size,
        received_at=datetime.fromisoformat(row.received_at), as_of=date.fromisoformat(row.as_of), seq=row.seq,
        holds=Holds(row.holds), status=Status(row.status), path=path, status_reason=row.status_reason,
        watermark=row.watermark,
    )  # fmt: skip


def _iso(moment: datetime) -> str:
    """As the ledger writes a moment; without a zone it is this machine's local time."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")
