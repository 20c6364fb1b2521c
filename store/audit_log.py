"""The audit log: who did what, why and under which agreement; appended line by line, each bound to the one before.

A line is canonical JSON (sorted names, no blanks, nothing empty). `prev` is the SHA-256 of the line before, `mac` an
HMAC-SHA256 of the line under the log's own key. The heads that are signed and given to others (checkpoints) bear
witness of what stood there. Whether all of it holds is asked of `store.audit_check`.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import getpass
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standard.errors import AuditError
from store.audit_entry import (
    CHECKPOINT,
    Checkpoint,
    Entry,
    Event,
    Head,
    canonical,
    changed,
    checkpoint_of,
    fields_of,
    filled,
    head_mac,
    key_file,
    mac_of,
    parse_line,
    read_key,
    signed_bytes,
)
from store.home import Home, sync, written_whole
from store.sign import sign

__all__ = ["Checkpoint", "Entry", "Event", "Head", "Intent", "append", "checkpoint", "head", "intent", "operator"]

HEAD = "HEAD"
RECOVERED = "recovered"
NOTHING_BEFORE = "0" * 64
_RESERVE = ".reserve"
_RESERVED = 256 * 1024
"""Bytes kept free on the disk, so that what became of something can be told although the disk filled meanwhile."""
_LONGEST = 16 * 1024
"""Bytes of a line. An entry holds ids, words of closed lists and counts."""


@dataclass
class Intent:
    """Something that goes on; what is put here stands in its outcome."""

    entry: Entry
    object: str
    """The id of what it is done to; of what is only made by it, its id once it is known."""
    counts: dict[str, int] = field(default_factory=dict)
    decision: str = "done"


def operator() -> str:
    """The account that runs this process; in a container without names its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def append(home: Home, event: Event) -> Entry:
    """Writes an event to the log and to the disk, and only then returns.

    Raises:
        AuditError: It cannot be written (no room, no key), or the log is not as it was written: do not go on.
        DeclarationError: The key can be read by others, or is none.
    """
    with _writing(home) as log:
        return log.append(event)


@contextmanager
def intent(home: Home, event: Event) -> Iterator[Intent]:
    """Writes what is about to be done before the body, and after it what became of it: done, or failed and the class.

    Raises:
        AuditError: See `append`. Where the intent cannot be written the body is not begun.
    """
    with _writing(home) as log:
        log.reserve()
        began = log.append(changed(event, decision="intent"))
    going = Intent(began, event.object)
    try:
        yield going
    except BaseException as error:
        _end(home, event, going, decision="failed", reason=type(error).__name__)
        raise
    _end(home, event, going, decision=going.decision)


def _end(home: Home, event: Event, going: Intent, **outcome: Any) -> None:
    ended = changed(event, **outcome, object=going.object, counts={**event.counts, **going.counts})
    with _writing(home) as log:
        log.append(ended, of=going.entry.seq, may_use_reserve=True)


def checkpoint(home: Home) -> Head | None:
    """Signs where the log ends, unless that is signed already; None where nothing was ever logged.

    Raises:
        AuditError: See `append`.
    """
    with _writing(home) as log:
        if log.end.seq and not (log.signed and log.signed.seq == log.end.seq - 1):
            signature = sign(signed_bytes(log.end.seq, log.end.sha256), home.keys)
            event = Event(CHECKPOINT, str(log.end.seq), "exchange", role="exchange")
            log.append(event, signature=base64.b64encode(signature).decode())
    return head(home)


def head(home: Home) -> Head | None:
    """Where the log ends and its newest checkpoint; None where nothing was ever logged.

    Raises:
        AuditError: The file of the head is not as it was written.
    """
    if not (home.audit / HEAD).exists():
        return None
    return read_head(home, read_key(home))


def segments(home: Home) -> list[Path]:
    """The files of the log, one a month, the oldest first."""
    return sorted(home.audit.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl"))


def read_head(home: Home, key: bytes) -> Head:
    """The file of the head.

    Raises:
        AuditError: It is not as it was written.
    """
    path = home.audit / HEAD
    try:
        values = json.loads(path.read_bytes())
        told = values.pop("mac")
        if not hmac.compare_digest(told, head_mac(values, key)):
            raise ValueError
        signed = values.pop("checkpoint")
        return Head(**values, checkpoint=Checkpoint(**signed) if signed else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise AuditError(
            "the head of the audit log is not as it was written", where=str(path), mend=_MEND_ALTERED
        ) from None


_MEND_ALTERED = "see what else is wrong with: kith audit verify; then put the folder audit/ back from your copy"


@dataclass(frozen=True)
class _End:
    """The last line of the log."""

    seq: int
    sha256: str
    at: str
    signs: Checkpoint | None = None
    """Where the line is a checkpoint."""


class _Log:
    """The log while its lock is held."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.key = _key_to_write(home)
        known = read_head(home, self.key) if (home.audit / HEAD).exists() else None
        self.end, torn = self._read_end()
        self.signed = self.end.signs or (known.checkpoint if known else None)
        self._require_whole(known)
        if torn:
            self._recover(torn)

    def _read_end(self) -> tuple[_End, bytes]:
        """The last whole line, and what stands after it: a line whose writing was cut."""
        for path in reversed(segments(self.home)):
            whole, torn = _last_line(path)
            if whole is not None:
                return self._trusted(path, whole), torn
            if torn:
                before = segments(self.home)[:-1]
                last = _last_line(before[-1])[0] if before else None
                return (self._trusted(before[-1], last) if last else _End(0, NOTHING_BEFORE, "")), torn
        return _End(0, NOTHING_BEFORE, ""), b""

    def _trusted(self, path: Path, line: bytes) -> _End:
        try:
            entry, values = parse_line(line)
            if not hmac.compare_digest(entry.mac, mac_of(values, self.key)):
                raise ValueError
        except (ValueError, TypeError):
            raise AuditError(
                "the last line of the audit log is not as it was written", where=str(path), mend=_MEND_ALTERED
            ) from None
        return _End(entry.seq, entry.sha256, entry.at, checkpoint_of(entry))

    def _require_whole(self, known: Head | None) -> None:
        """A killed append may leave one line more than the head says; never less, and never two."""
        ahead = self.end.seq - (known.seq if known else 0)
        if ahead not in (0, 1) or (ahead == 0 and known and known.sha256 != self.end.sha256):
            raise AuditError(
                f"the audit log ends with line {self.end.seq}, its head says {known.seq if known else 'nothing'}",
                where=str(self.home.audit), mend=_MEND_ALTERED,
            )  # fmt: skip

    def _recover(self, torn: bytes) -> None:
        path = segments(self.home)[-1]
        with path.open("r+b") as log:
            log.truncate(path.stat().st_size - len(torn))
            os.fsync(log.fileno())
        if not path.stat().st_size:
            path.unlink()
        self.append(Event(RECOVERED, "the half line of an append that was cut is taken away", "exchange",
                          role="exchange", counts={"bytes": len(torn)}))  # fmt: skip

    def append(
        self, event: Event, *, of: int | None = None, signature: str | None = None, may_use_reserve: bool = False
    ) -> Entry:
        """Writes one line, then the head; of what cannot be written nothing stays."""
        now = max(datetime.now(UTC).isoformat(timespec="milliseconds"), self.end.at)
        values = {**fields_of(event), **filled(of=of, signature=signature),
                  "seq": self.end.seq + 1, "at": now, "prev": self.end.sha256}  # fmt: skip
        line = canonical({**values, "mac": mac_of(values, self.key)})
        if len(line) > _LONGEST:
            raise AuditError("an entry of the audit log is too long", where=event.action, mend="tell ids and counts")
        entry, _ = parse_line(line)
        path = self.home.audit / f"{now[:7]}.jsonl"
        signed = checkpoint_of(entry) or self.signed
        told = Head(entry.seq, entry.sha256, entry.at, signed)
        try:
            self._write(path, line + b"\n", told)
        except OSError as error:
            if may_use_reserve and error.errno in (errno.ENOSPC, errno.EDQUOT) and self._release_reserve():
                self._write(path, line + b"\n", told)
            else:
                raise _unwritable(path, error) from None
        self.end, self.signed = _End(entry.seq, entry.sha256, entry.at), signed
        return entry

    def _write(self, path: Path, line: bytes, told: Head) -> None:
        is_new = not path.exists()
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        before = os.fstat(handle).st_size
        try:
            if os.write(handle, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
            if is_new:
                sync(path.parent)
            self._write_head(told)
        except OSError:
            os.ftruncate(handle, before)
            os.fsync(handle)
            if not before:
                path.unlink()
            raise
        finally:
            os.close(handle)

    def _write_head(self, told: Head) -> None:
        values = told.told()
        mac = head_mac(values, self.key)
        with written_whole(self.home.audit / HEAD) as part:
            part.write_bytes(canonical({**values, "mac": mac}))

    def reserve(self) -> None:
        """Keeps room on the disk for the outcome of what is about to begin."""
        path = self.home.audit / _RESERVE
        if path.exists() and path.stat().st_size == _RESERVED:
            return
        try:
            with path.open("wb") as kept:
                os.posix_fallocate(kept.fileno(), 0, _RESERVED)
            path.chmod(0o600)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise _unwritable(path, error) from None

    def _release_reserve(self) -> bool:
        path = self.home.audit / _RESERVE
        was_there = path.exists()
        path.unlink(missing_ok=True)
        return was_there


@contextmanager
def _writing(home: Home) -> Iterator[_Log]:
    """The log, held against every other process and thread."""
    try:
        home.audit.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(home.audit / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(home.audit, error) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left in home.audit.glob(f".{HEAD}.*.part"):  # of who was killed: nobody else writes now
            left.unlink()
        yield _Log(home)
    finally:
        os.close(handle)


def _key_to_write(home: Home) -> bytes:
    """The key; made where nothing was ever logged. Without it nothing is added to a log that there is."""
    path = key_file(home)
    if not path.exists() and not segments(home) and not (home.audit / HEAD).exists():
        try:
            with written_whole(path) as part:
                part.touch(mode=0o600)
                part.write_text(secrets.token_hex(32), "ascii")
        except OSError as error:
            raise _unwritable(path, error) from None
    return read_key(home)


def _last_line(path: Path) -> tuple[bytes | None, bytes]:
    """The last whole line of a segment without its end, and the bytes after it."""
    with path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - 4 * _LONGEST))
        *lines, torn = log.read().split(b"\n")
    return (lines[-1] if lines else None), torn


def _unwritable(path: Path, error: OSError) -> AuditError:
    return AuditError(
        f"the audit log cannot be written: {error.strerror}; nothing is done that it could not tell of",
        where=str(path), mend="make room on the disk, or let the exchange's account write there; then do it again",
    )  # fmt: skip
