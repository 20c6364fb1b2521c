"""Whether the audit log is, line for line, what was written: hashes, MACs and signatures are made anew and compared."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standard.errors import AuditError
from store.audit_entry import (
    CHECKPOINT,
    Checkpoint,
    Entry,
    checkpoint_of,
    mac_of,
    parse_line,
    read_key,
    signed_bytes,
)
from store.audit_log import HEAD, NOTHING_BEFORE, read_head, segments
from store.home import Home
from store.sign import is_signed, public_key

WITNESSES = ("receipts/*/*.json", "record/snapshots/*/manifest.json", "releases/*/*/manifest.json")
"""Where heads of the log stand within a home; those that went out stand at the agencies and recipients."""
TOLD_AS = ("audit", "audit_head")
"""The names under which a receipt or manifest tells the head."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written: code, place a person can open, and words."""

    code: str
    where: str
    what: str


@dataclass
class Found:
    """What was found of a log; it is whole where there are no faults."""

    entries: int = 0
    checkpoints: int = 0
    witnesses: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    end: str = NOTHING_BEFORE
    at: str = ""
    signed: Checkpoint | None = None
    open_intents: dict[int, str] = field(default_factory=dict)
    """Line -> what was begun and of which nobody wrote what became of it."""


@dataclass(frozen=True)
class Witness:
    """A head of the log that stands elsewhere."""

    seq: int
    sha256: str
    where: str


@dataclass(frozen=True)
class Keys:
    """What a log is checked with: the key of its MACs (None: they are left unasked) and the public key (PEM)."""

    mac: bytes | None
    public: str


def check_log(home: Home, given: Iterable[Path] = ()) -> Found:
    """Checks the log of a home against itself, its head, its checkpoints, and the heads in receipts and manifests.

    Args:
        home: The home.
        given: Receipts and manifests that agencies and recipients kept: JSON files.

    Raises:
        AuditError: The key is not there, or a file that was given tells no head.
        DeclarationError: The key is none.
    """
    paths = segments(home)
    within = [path for pattern in WITNESSES for path in sorted(home.root.glob(pattern))]
    if not paths and not (home.audit / HEAD).exists():
        found = Found()
        _compare(found, {}, [each for path in within for each in _heads_of(path)], [])
        return found
    keys = Keys(read_key(home), public_key(home.keys))
    found = Found()
    witnesses = [each for path in within for each in _heads_of(path)] + list(_given(given, keys, found))
    seen = _check_lines(_lines(paths, found), keys, found, {each.seq for each in witnesses})
    _check_head(home, keys, found, seen)
    _compare(found, seen, witnesses, paths)
    return found


def check_export(path: Path, public: str, given: Iterable[Path] = ()) -> Found:
    """Checks a log that was exported by what an outsider has: hashes, signatures and the heads that were given.

    Args:
        path: What `kith audit export` wrote.
        public: The exchange's public key (PEM).
        given: Receipts and manifests: JSON files.

    Raises:
        AuditError: A file that was given tells no head.
        DeclarationError: The public key is none.
    """
    found, keys = Found(), Keys(None, public)
    witnesses = list(_given(given, keys, found))
    seen = _check_lines(_lines([path], found), keys, found, {each.seq for each in witnesses})
    _compare(found, seen, witnesses, [path])
    return found


def read_entries(home: Home) -> Iterator[Entry]:
    """Every entry, the oldest first, as it stands; whether it is what was written `check_log` says.

    Raises:
        AuditError: A line is none.
    """
    for where, line in _lines(segments(home), Found()):
        try:
            yield parse_line(line)[0]
        except (ValueError, TypeError):
            raise AuditError("this is no line of the audit log", where=where, mend="kith audit verify") from None


def _lines(paths: Iterable[Path], found: Found) -> Iterator[tuple[str, bytes]]:
    """Every line with its place; half a line at the end is a fault until an append takes it away."""
    for path in paths:
        with path.open("rb") as log:
            for number, line in enumerate(log, start=1):
                where = f"{path}, line {number}"
                if line.endswith(b"\n"):
                    yield where, line[:-1]
                else:
                    what = "the line is cut; where an append was killed, the next one takes it away and says so"
                    found.faults.append(Fault("torn", where, what))


def _check_lines(lines: Iterable[tuple[str, bytes]], keys: Keys, found: Found, wanted: set[int]) -> dict[int, str]:
    """Checks each line against the one before; gives the hashes of the wanted lines and of the last two."""
    seen: dict[int, str] = {}
    seq, kept = 0, deque([0, 0])
    for where, line in lines:
        seq += 1
        found.entries += 1
        try:
            entry, values = parse_line(line)
        except (ValueError, TypeError) as error:
            found.faults.append(Fault("altered", where, f"this is no line as it was written: {error}"))
            continue
        _check_entry(entry, values, where, seq, keys, found)
        seq, found.end, found.at = entry.seq, entry.sha256, entry.at
        seen[seq] = entry.sha256
        before = kept.popleft()
        if before not in wanted:
            seen.pop(before, None)
        kept.append(seq)
    return seen


def _check_entry(entry: Entry, values: Mapping[str, Any], where: str, seq: int, keys: Keys, found: Found) -> None:
    def fault(code: str, what: str) -> None:
        found.faults.append(Fault(code, where, what))

    if keys.mac is not None and not hmac.compare_digest(str(entry.mac), mac_of(values, keys.mac)):
        fault("altered", "its MAC is not the one that the log's key gives")
    if entry.seq != seq:
        fault("order", f"it is line {entry.seq} of the log, where line {seq} is due")
    if entry.prev != found.end:
        fault("order", "it does not follow the line that stands before it")
    if entry.at < found.at:
        fault("order", "it is older than the line before it")
    if entry.event.action == CHECKPOINT or entry.signature is not None:
        found.checkpoints += 1
        found.signed = checkpoint_of(entry)
        if found.signed is None or not _is_ours(found.signed, keys.public):
            fault("signature", "the checkpoint's signature is not the exchange's")
    _follow(entry, found)


def _follow(entry: Entry, found: Found) -> None:
    """Which intents are still without an outcome."""
    if entry.event.decision == "intent":
        found.open_intents[entry.seq] = f"{entry.event.action} {entry.event.object}"
    if entry.of is not None:
        found.open_intents.pop(entry.of, None)


def _is_ours(checkpoint: Checkpoint, public: str) -> bool:
    try:
        signature = base64.b64decode(checkpoint.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return is_signed(signed_bytes(checkpoint.seq, checkpoint.sha256), signature, public)


def _check_head(home: Home, keys: Keys, found: Found, seen: Mapping[int, str]) -> None:
    """The log ends where its head says; a killed append may have left one line more."""
    where = str(home.audit / HEAD)
    assert keys.mac is not None  # of a home's own log it is always asked
    try:
        head = read_head(home, keys.mac)
    except AuditError as error:
        if found.entries > 1 or (home.audit / HEAD).exists():
            found.faults.append(Fault("head", where, error.what))
        return
    end = max(seen, default=0)
    if end - head.seq not in (0, 1) or seen.get(head.seq) != head.sha256:
        what = f"it says that the log ends with line {head.seq}; the log ends with line {end}, or another one"
        found.faults.append(Fault("truncated" if head.seq > end else "head", where, what))
    elif head.seq != end:
        found.notes.append(f"line {end} was written by an append that was killed before the head was")
    if head.seq == end and head.checkpoint != found.signed:
        found.faults.append(Fault("head", where, "its checkpoint is not the newest of the log"))


def _compare(found: Found, seen: Mapping[int, str], witnesses: Iterable[Witness], paths: list[Path]) -> None:
    """What stands in receipts and manifests stands in the log."""
    end = max(seen, default=0)
    for witness in witnesses:
        found.witnesses += 1
        if witness.seq > end:
            what = f"the log ends before line {witness.seq}, which stands in {witness.where}"
            found.faults.append(Fault("truncated", str(paths[-1]) if paths else "the audit log", what))
        elif seen.get(witness.seq) != witness.sha256:
            what = f"line {witness.seq} is another one than {witness.where} tells"
            found.faults.append(Fault("witness", str(paths[-1]), what))


def _given(paths: Iterable[Path], keys: Keys, found: Found) -> Iterator[Witness]:
    """The heads in files from outside; their checkpoints must be ours."""
    for path in paths:
        heads = list(_heads_of(path))
        if not heads:
            raise AuditError("this file tells no head of an audit log", where=str(path),
                             mend="give the JSON of a receipt, or the manifest of a snapshot or release")  # fmt: skip
        signed = _told(path).get("checkpoint")
        if signed and not _is_ours(Checkpoint(**signed), keys.public):
            found.faults.append(Fault("signature", str(path), "its checkpoint was not signed by the exchange"))
        yield from heads


def _heads_of(path: Path) -> Iterator[Witness]:
    """The head and the checkpoint that a receipt or manifest tells; of one without, none."""
    told = _told(path)
    for each in (told, told.get("checkpoint")):
        if each:
            yield Witness(int(each["seq"]), str(each["sha256"]), str(path))


def _told(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        told = next((content[name] for name in TOLD_AS if name in content), None)
    except (OSError, ValueError, TypeError):
        told = None
    return told if isinstance(told, dict) and "seq" in told and "sha256" in told else {}
