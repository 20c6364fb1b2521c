"""Which tables of counts each recipient has: what the next table is held against, so that no two tell a small cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.disclosures import check_register
from releases.suppression import Earlier, Key
from standard.errors import AuditError
from store.audit_check import Fault
from store.audit_entry import Entry
from store.audit_log import Event, append, operator
from store.home import Home, written_whole

ACTION = "aggregate.published"
"""The action under which the audit log tells of a table of the register, with its SHA-256."""


@dataclass(frozen=True)
class Dimension:
    """A column by which is counted, as the policy lets it out."""

    column: str
    treatment: str | None = None

    @property
    def name(self) -> str:
        return f"{self.column}_{self.treatment}" if self.treatment else self.column


@dataclass(frozen=True)
class Kept:
    """A table that went out.

    Attributes:
        aggregate_id: Its id.
        recipient: Who has it.
        table: The table of the record that was counted.
        measure: persons or rows.
        dims: By what.
        snapshot_id: Of which snapshot.
        rounding: The base to which it was rounded; 1 where it was not.
        cells: Every cell that was not zero -> what was published, None where it was hidden.
        members: Finest cell -> a hash of whom it counts, by which it is known whether they are the same today.
    """

    aggregate_id: str
    recipient: str
    table: str
    measure: str
    dims: tuple[Dimension, ...]
    snapshot_id: str
    rounding: int
    cells: Mapping[Key, int | None]
    members: Mapping[Key, str]

    def as_earlier(self, now: Mapping[Key, str]) -> Earlier:
        """What the recipient knows by it; `now` are the hashes of those who are counted in its cells today."""
        changed = (key for key in {*self.members, *now} if self.members.get(key) != now.get(key))
        return Earlier(tuple(d.name for d in self.dims), self.cells, frozenset(changed), self.rounding)


def register_folder(home: Home, recipient: str) -> Path:
    """Where the tables lie that a recipient has."""
    return home.disclosures / "aggregates" / recipient


def keep(home: Home, kept: Kept, *, agreement: str, actor: str | None = None) -> None:
    """Writes a table into the register and its hash into the audit log; before the recipient can see it.

    Raises:
        AuditError: Neither can be written, or the table is there already.
    """
    path = register_folder(home, kept.recipient) / f"{kept.aggregate_id}.json"
    if path.exists():
        raise AuditError("this table is in the register already", where=str(path), mend="make another one")
    content = json.dumps(_told(kept), ensure_ascii=False).encode()
    try:
        with written_whole(path) as part:
            part.touch(mode=0o600)
            part.write_bytes(content)
    except OSError as error:
        raise AuditError(f"the register of tables cannot be written: {error.strerror}; nothing goes out",
                         where=str(path.parent), mend="make room on the disk, then do it again") from None  # fmt: skip
    event = Event(ACTION, kept.aggregate_id, actor or operator(), agreement=agreement, snapshot=kept.snapshot_id,
                  counts={"cells": len(kept.cells)}, sha256=hashlib.sha256(content).hexdigest())  # fmt: skip
    try:
        append(home, event)
    except AuditError:
        path.unlink()
        raise


def kept_tables(home: Home, recipient: str, table: str) -> list[Kept]:
    """What a recipient has of a table of the record, the oldest first.

    Raises:
        AuditError: A file of the register is none.
    """
    paths = sorted(register_folder(home, recipient).glob("*.json"))
    return [kept for kept in map(_read, paths) if kept.table == table]


def check_tables(home: Home, entries: Iterable[Entry]) -> list[Fault]:
    """What of the register is not as the audit log tells."""
    return check_register(ACTION, sorted(home.disclosures.glob("aggregates/*/*.json")), entries)


def _told(kept: Kept) -> dict[str, Any]:
    return {
        "aggregate_id": kept.aggregate_id, "recipient": kept.recipient, "table": kept.table, "measure": kept.measure,
        "dims": [[d.column, d.treatment] for d in kept.dims], "snapshot_id": kept.snapshot_id,
        "rounding": kept.rounding, "cells": [[list(key), told] for key, told in kept.cells.items()],
        "members": [[list(key), told] for key, told in kept.members.items()],
    }  # fmt: skip


def _read(path: Path) -> Kept:
    try:
        told = json.loads(path.read_bytes())
        told["dims"] = tuple(Dimension(*each) for each in told["dims"])
        for name in ("cells", "members"):
            told[name] = _by_key(told[name])
        return Kept(**told)
    except (OSError, ValueError, TypeError, KeyError):
        raise AuditError("this is no file of the register of tables", where=str(path),
                         mend="put it back from your copy; see: kith audit verify") from None  # fmt: skip


def _by_key(pairs: Sequence[Sequence[Any]]) -> dict[Key, Any]:
    return {tuple(key): told for key, told in pairs}
