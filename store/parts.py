"""A file on its way into the landing area: as a source lists it, and as far as it has come."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from standard.errors import ExchangeError

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
    regular: bool = True
    """Whether it is a file, and not a link, a pipe or a device."""


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
