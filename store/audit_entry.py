"""One line of the audit log: what it tells, the form it has, and the keys by which it is bound to the others."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from standard.errors import AuditError, DeclarationError
from store.home import Home

KEY = "audit_key"
"""The file of the keys folder that holds the log's key (64 hexadecimal digits)."""
KEY_VARIABLE = "KITH_AUDIT_KEY"
"""Names the key's file where it lies outside the home, as it should."""
CHECKPOINT = "checkpoint"
"""The action of an entry that signs the line before it."""
_ENTRY, _HEAD, _SIGNED = b"kith audit entry 1\0", b"kith audit head 1\0", b"kith audit checkpoint 1\0"


@dataclass(frozen=True)
class Event:
    """What is told. Ids, words of closed lists and counts only: never a value or a name of a person of the record.

    Attributes:
        action: What is done: publish, release, consent.record and so on.
        object: The id of what it is done to.
        actor: Who does it: an officer's id, or the account that runs the command (`operator()`).
        role: As what: officer, operator, exchange.
        decision: What was decided (granted, refused, agreed); of an intent `intent`, then `done` or `failed`.
        reason: Why: a reason code, a legal basis, the class of an error.
        agreement: Id of the agreement under which it is done.
        snapshot: Id of the snapshot it is done with.
        counts: What was counted -> how many.
        sha256: The hash of a file it is about.
    """

    action: str
    object: str
    actor: str
    role: str = "operator"
    decision: str = ""
    reason: str = ""
    agreement: str | None = None
    snapshot: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """A line of the log.

    Attributes:
        seq: 1 for the first line; no number is left out.
        at: When (ISO 8601, UTC); never before the line before it.
        event: What it tells.
        of: The line of the intent whose outcome this is.
        prev: SHA-256 of the line before; zeros for the first.
        signature: Of a checkpoint: Ed25519 (base64) over the line before it.
        mac: HMAC-SHA256 of the line without it.
        sha256: Hash of the line itself; it does not stand in it.
    """

    seq: int
    at: str
    event: Event
    of: int | None
    prev: str
    signature: str | None
    mac: str
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A head that the exchange has signed: who has one can prove that the log held it."""

    seq: int
    sha256: str
    at: str
    signature: str


@dataclass(frozen=True)
class Head:
    """Where the log ends, with its newest checkpoint; to be written into whatever leaves the exchange."""

    seq: int
    sha256: str
    at: str
    checkpoint: Checkpoint | None

    def told(self) -> dict[str, Any]:
        """As plain values, ready for JSON; `store.audit_check` finds them under the name `audit`."""
        return {**fields_of(self, "checkpoint"), "checkpoint": fields_of(self.checkpoint) if self.checkpoint else None}


def checkpoint_of(entry: Entry) -> Checkpoint | None:
    """What an entry signs: the line before it; None where it is no checkpoint."""
    if entry.signature is None:
        return None
    return Checkpoint(entry.seq - 1, entry.prev, entry.at, entry.signature)


def signed_bytes(seq: int, sha256: str) -> bytes:
    """What a checkpoint signs: its first words keep a signature from counting for anything else."""
    return _SIGNED + f"{seq} {sha256}".encode()


def key_file(home: Home) -> Path:
    """Where the log's key lies."""
    elsewhere = os.environ.get(KEY_VARIABLE)
    return Path(elsewhere) if elsewhere else home.keys / KEY


def read_key(home: Home) -> bytes:
    """The log's key.

    Raises:
        AuditError: It is not there.
        DeclarationError: Others can read it, or it is none.
    """
    path = key_file(home)
    if not path.is_file():
        raise AuditError("the key of the audit log is not there", where=str(path), mend="put it back from your copy")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise DeclarationError("the key of the audit log can be read by others", where=str(path),
                               mend=f"chmod 600 {path}, and make a checkpoint: kith audit checkpoint")  # fmt: skip
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        key = b""
    if len(key) < 32:
        raise DeclarationError("this is no key of an audit log", where=str(path), mend="put it back from your copy")
    return key


def canonical(values: Mapping[str, Any]) -> bytes:
    """JSON in the one form that the log has: names sorted, no blanks."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def mac_of(values: Mapping[str, Any], key: bytes) -> str:
    """The MAC that belongs to an entry's values (those but `mac`)."""
    return hmac.new(key, _ENTRY + canonical({n: v for n, v in values.items() if n != "mac"}), "sha256").hexdigest()


def head_mac(values: Mapping[str, Any], key: bytes) -> str:
    """The MAC that belongs to the file of the head."""
    return hmac.new(key, _HEAD + canonical(values), "sha256").hexdigest()


_EVENT_FIELDS = tuple(each.name for each in fields(Event))
_OWN_FIELDS = ("seq", "at", "of", "prev", "signature", "mac")


def parse_line(line: bytes) -> tuple[Entry, dict[str, Any]]:
    """An entry and its values as they stand in a line.

    Raises:
        ValueError: It is no line of a log, or not in its canonical form; the error's words name what is wrong.
    """
    values = json.loads(line)
    if not isinstance(values, dict) or canonical(values) != line:
        raise ValueError("it is not in the form in which it was written")
    missing = [name for name in ("seq", "at", "prev", "mac", "action", "object", "actor") if name not in values]
    if missing or (unknown := set(values) - {*_EVENT_FIELDS, *_OWN_FIELDS}):
        raise ValueError(f"it lacks {', '.join(missing)}" if missing else f"it has {', '.join(sorted(unknown))}")
    event = Event(**{name: values[name] for name in _EVENT_FIELDS if name in values})
    own = {name: values.get(name) for name in _OWN_FIELDS}
    return Entry(event=event, sha256=hashlib.sha256(line).hexdigest(), **own), values  # type: ignore[arg-type]


def changed(event: Event, **changes: Any) -> Event:
    """The event with other values."""
    return Event(**{name: changes.get(name, getattr(event, name)) for name in _EVENT_FIELDS})


def fields_of(given: object, *but: str) -> dict[str, Any]:
    """The fields of an event, head or checkpoint that say something, but those named."""
    return filled(**{f.name: getattr(given, f.name) for f in fields(given) if f.name not in but})  # type: ignore[arg-type]


def filled(**values: Any) -> dict[str, Any]:
    """The values that say something, as a line has them."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()
            if value not in (None, "", {})}  # fmt: skip
