"""Crosswalks: what an agency's codes mean in common terms, how strongly, in which scope and period."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from standard.errors import DeclarationError
from store.home import written_whole

MATCHES = ("exact", "close", "broad", "narrow", "related")
APPLIED = frozenset({"exact", "close", "broad"})
"""Matches whose common term is taken; narrow and related are shown and never applied."""

_COLUMNS = ("value", "common", "match", "scope", "valid_from", "valid_to", "label", "definition", "note", "reviewer")
_FIRST, _LAST = dt.date(1, 1, 1), dt.date(9999, 12, 31)


@dataclass(frozen=True)
class Entry:
    """One line: what a value means in a scope ('' = any) from one day to another (both included)."""

    value: str
    common: str | None
    match: str
    scope: str
    valid_from: dt.date
    valid_to: dt.date
    line: int
    label: str = ""
    """The agency's own term, and below its own definition of it."""
    definition: str = ""
    note: str = ""
    reviewer: str = ""
    """Who said that the match is right."""

    @property
    def period(self) -> str:
        """When it holds, in words; empty: always."""
        since = f"from {self.valid_from}" if self.valid_from != _FIRST else ""
        until = f"to {self.valid_to}" if self.valid_to != _LAST else ""
        return " ".join(part for part in (since, until) if part)


@dataclass(frozen=True)
class Crosswalk:
    """The lines of one crosswalk."""

    path: Path
    entries: tuple[Entry, ...]

    @property
    def dated(self) -> bool:
        return any((e.valid_from, e.valid_to) != (_FIRST, _LAST) for e in self.entries)

    @property
    def scoped(self) -> bool:
        return any(e.scope for e in self.entries)

    def undated(self) -> list[Entry]:
        """Entries that hold whatever the date: their value means the same in every period of their scope."""
        groups = groupby(sorted(self.entries, key=_by_value), key=lambda e: (e.scope, e.value))
        kept = [list(group) for _, group in groups]
        return [group[0] for group in kept if len({(e.common, e.match) for e in group}) == 1]


def read_crosswalk(path: Path) -> Crosswalk:
    """Reads a crosswalk CSV: value, common, match, and optionally the other columns of docs/mapping.md.

    Raises:
        DeclarationError: An unknown column or match, a date that is none, or a value that means two things at once.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        header = rows.fieldnames or []
        if not {"value", "common", "match"} <= set(header) or set(header) - set(_COLUMNS):
            raise _wrong(path, 1, f"a crosswalk has the columns value,common,match and of {sorted(set(_COLUMNS))}")
        entries = tuple(_entry(path, rows.line_num, row) for row in rows)
    _refuse_overlap(path, entries)
    return Crosswalk(path, entries)


def _entry(path: Path, line: int, row: dict[str, str | None]) -> Entry:
    if None in row or None in row.values():
        raise _wrong(path, line, "the line has not as many fields as the header")
    text = {column: (value or "").strip() for column, value in row.items()}
    if text["match"] not in MATCHES and (text["common"] or text["match"]):
        raise _wrong(path, line, f"match is one of {', '.join(MATCHES)}")
    try:
        since = dt.date.fromisoformat(text["valid_from"]) if text.get("valid_from") else _FIRST
        until = dt.date.fromisoformat(text["valid_to"]) if text.get("valid_to") else _LAST
    except ValueError as error:
        raise _wrong(path, line, "valid_from and valid_to are dates like 2025-01-31") from error
    if since > until:
        raise _wrong(path, line, "valid_from is after valid_to")
    match = text["match"] or "exact"
    told = {name: text.get(name, "") for name in ("label", "definition", "note", "reviewer")}
    return Entry(text["value"], text["common"] or None, match, text.get("scope", ""), since, until, line, **told)


def add_line(path: Path, line: Mapping[str, str]) -> None:
    """Adds a line to a crosswalk CSV; what it tells that has no column yet gets one.

    Whether the line may stand there is found out by reading the file again.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        before, header = list(rows), list(rows.fieldnames or [])
    header += [column for column in _COLUMNS if line.get(column) and column not in header]
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*before, {column: line.get(column, "") for column in header}])


def _by_value(entry: Entry) -> tuple[str, str, dt.date]:
    return entry.scope, entry.value, entry.valid_from


def _refuse_overlap(path: Path, entries: tuple[Entry, ...]) -> None:
    ordered = sorted(entries, key=_by_value)
    for before, after in pairwise(ordered):
        same = (before.scope, before.value) == (after.scope, after.value)
        if same and after.valid_from <= before.valid_to:
            raise _wrong(path, after.line, f"the value {after.value!r} stands in line {before.line} for the same time")


def _wrong(path: Path, line: int, what: str) -> DeclarationError:
    return DeclarationError(what, where=f"{path}, line {line}", mend="see crosswalks in docs/mapping.md")
