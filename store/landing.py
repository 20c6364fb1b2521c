"""Keep what arrives unchanged, named by its content, and record each arrival in the ledger."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from standard.errors import ExchangeError
from store import ledger as tables
from store.extracts import Extract, Holds, Status
from store.home import sync
from store.ledger import Ledger

_BLOCK = 8 << 20
_CHECKPOINT = 64 << 20


@dataclass(frozen=True)
class Listed:
    """A file as a source's listing shows it."""

    name: str
    """For people and the ledger; bytes that are not UTF-8 are written as \\xNN. Never used as a path."""
    size: int
    changed_ns: int
    """When it was last changed by the source's clock, in nanoseconds (whole seconds over SFTP)."""
    raw: bytes = b""
    """The name as the source knows it."""


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


@dataclass(frozen=True)
class Left:
    """A file that is left for the next poll."""

    listed: Listed
    reason: str


@contextmanager
def disk_trouble_told(place: Path) -> Iterator[None]:
    """Says what to do when this machine's disk, not the source, fails.

    Raises:
        ExchangeError: The disk is full or cannot be written.
    """
    try:
        yield
    except OSError as error:
        told = os.strerror(error.errno) if error.errno else type(error).__name__
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ExchangeError(
            f"the landing area cannot be written: {told}",
            where=str(place),
            mend=("free space on this disk" if full else "check the folder's permissions and the disk")
            + "; nothing was landed, the next run fetches it again",
        ) from error


class Part:
    """A file on its way into the landing area: written in blocks, hashed in order, resumable after a cut.

    What is taken up again is only what was hashed before, and only for the same file (name, size, time of change).
    """

    def __init__(self, folder: Path, source: str, listed: Listed) -> None:
        token = hashlib.sha256(source.encode() + b"\0" + (listed.raw or listed.name.encode())).hexdigest()
        self.path = folder / f"{token}.part"
        self._journal = folder / f"{token}.json"
        self._listed = {"size": listed.size, "changed_ns": listed.changed_ns}
        self._size = listed.size
        self.done = 0
        self._noted = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> Part:
        with disk_trouble_told(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            os.fchmod(self._fd, 0o600)
            self._take_up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is not None and self.path.exists():
                self._note()
        except OSError:
            self._journal.unlink(missing_ok=True)  # a full disk: the next poll begins anew
        finally:
            os.close(self._fd)

    def _take_up(self) -> None:
        """Goes on where a cut left off, if what is there is what was recorded."""
        noted = self._read_journal()
        if all(noted.get(key) == value for key, value in self._listed.items()):
            self._hash_up_to(min(int(noted["offset"]), os.fstat(self._fd).st_size))
        if self.done and self._hash.hexdigest() != noted.get("sha256"):
            self.done, self._hash = 0, hashlib.sha256()
        self._noted = self.done
        os.ftruncate(self._fd, self.done)

    def _read_journal(self) -> dict[str, Any]:
        try:
            noted = json.loads(self._journal.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def _note(self) -> None:
        """Records how far the part is whole, the content before the record of it."""
        os.fsync(self._fd)
        noted = {**self._listed, "offset": self.done, "sha256": self._hash.hexdigest()}
        beside = self._journal.with_suffix(".new")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as stream:
            json.dump(noted, stream)
        beside.replace(self._journal)
        self._noted = self.done

    def _hash_up_to(self, offset: int) -> None:
        while self.done < offset:
            block = os.pread(self._fd, min(_BLOCK, offset - self.done), self.done)
            if not block:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._hash.update(block)
            self.done += len(block)

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        """Puts blocks that follow each other at their place; places may come in any order, from any thread."""
        with disk_trouble_told(self.path):
            rest = memoryview(b"".join(blocks))
            while rest:
                written = os.pwrite(self._fd, rest, offset)
                rest, offset = rest[written:], offset + written

    def advance(self, offset: int) -> None:
        """Tells that everything before `offset` has been written."""
        with disk_trouble_told(self.path):
            self._hash_up_to(offset)
            if self.done - self._noted >= _CHECKPOINT:
                self._note()

    def discard(self) -> None:
        """Forgets the part."""
        self.path.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    def finish(self) -> str:
        """The SHA-256 of the whole, which is then synced to the disk."""
        with disk_trouble_told(self.path):
            if not self.done == os.fstat(self._fd).st_size == self._size:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            os.fsync(self._fd)
        self._journal.unlink(missing_ok=True)
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Landing:
    """The landing area: files named by the SHA-256 of their content, mode 0600, never changed."""

    folder: Path

    def path_of(self, sha256: str) -> Path:
        """Where content of this SHA-256 lies."""
        return self.folder / sha256[:2] / sha256

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
                path.parent.mkdir(mode=0o700, exist_ok=True)
                sync(self.folder)
            if path.is_file() and path.stat().st_size == part.stat().st_size:
                part.unlink()
            else:
                part.replace(path)
                sync(path.parent)
        return sha256, path


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
    it was before.
    """
    table = tables.extract
    with ledger.writing() as connection:
        _one_writer(connection)
        same = _same_content(connection, agency, feed, arrival.sha256)
        first = _duplicate_of(connection, agency, feed, arrival, same)
        values = {
            "extract_id": extract_id(agency, feed, arrival.sha256, len(same) + 1),
            "agency": agency, "feed": feed, "name": arrival.name, "sha256": arrival.sha256, "size": arrival.size,
            "received_at": _iso(received_at), "as_of": arrival.as_of.isoformat(),
            "seq": sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0) + 1).scalar_subquery(),
            "holds": str(holds), "status": str(Status.DUPLICATE if first else Status.LANDED),
            "run_id": run_id, "watermark": arrival.watermark, "duplicate_of": first,
        }  # fmt: skip
        connection.execute(table.insert().values(values))
        if arrival.listed is not None:
            _note_sighting(connection, agency, feed, arrival.listed, _iso(received_at), str(values["extract_id"]))
        row = connection.execute(table.select().where(table.c.extract_id == values["extract_id"])).one()
    return _extract(row, arrival.path)


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


def _duplicate_of(connection: sa.Connection, agency: str, feed: str, arrival: Arrival, same: list[str]) -> str | None:
    if not same or arrival.listed is not None:
        return same[0] if same else None
    table = tables.extract
    mine = sa.and_(table.c.agency == agency, table.c.feed == feed, table.c.status != Status.DUPLICATE)
    latest = connection.execute(
        sa.select(table.c.extract_id, table.c.sha256).where(mine).order_by(table.c.seq.desc()).limit(1)
    ).one()
    return str(latest.extract_id) if latest.sha256 == arrival.sha256 else None


def note_left(ledger: Ledger, left: Left, *, agency: str, feed: str, at: datetime) -> None:
    """Remembers a file that was left, so that the next poll can tell whether it has changed since."""
    with ledger.writing() as connection:
        _note_sighting(connection, agency, feed, left.listed, _iso(at), None)


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
    return _extract(row, landing.path_of(row.sha256))


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
