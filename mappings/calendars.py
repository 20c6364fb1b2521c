"""Calendars: on which days nothing is expected of an agency's feeds (holidays, summer), or another schedule holds."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from croniter import croniter

from standard.errors import DeclarationError

_COLUMNS = {"from", "to", "schedule", "note"}


@dataclass(frozen=True)
class Period:
    """Some days of a calendar, the last included."""

    first: dt.date
    last: dt.date
    schedule: str | None
    """The cron line that holds instead of the feed's own; None: nothing is expected."""
    line: int


@dataclass(frozen=True)
class Calendar:
    """The days on which a feed's own schedule does not hold, in order."""

    periods: tuple[Period, ...]


def read_calendar(path: Path) -> Calendar:
    """Reads a calendar CSV: from, and optionally to (else that day alone), schedule (else nothing is expected), note.

    Raises:
        DeclarationError: An unknown column, a date or cron line that is none, or periods that overlap.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        header = set(rows.fieldnames or [])
        if "from" not in header or header - _COLUMNS:
            raise _wrong(path, 1, f"a calendar has the column from, and of {sorted(_COLUMNS)}")
        periods = sorted((_period(path, rows.line_num, row) for row in rows), key=lambda period: period.first)
    for before, after in pairwise(periods):
        if after.first <= before.last:
            raise _wrong(path, after.line, f"its days stand in line {before.line} too")
    return Calendar(tuple(periods))


def _period(path: Path, line: int, row: dict[str, str | None]) -> Period:
    if None in row or None in row.values():
        raise _wrong(path, line, "the line has not as many fields as the header")
    text = {column: (value or "").strip() for column, value in row.items()}
    try:
        first = dt.date.fromisoformat(text["from"])
        last = dt.date.fromisoformat(text.get("to") or text["from"])
    except ValueError as error:
        raise _wrong(path, line, "from and to are dates like 2026-06-20") from error
    if last < first:
        raise _wrong(path, line, "to is before from")
    schedule = text.get("schedule") or None
    if schedule is not None and not croniter.is_valid(schedule):
        raise _wrong(path, line, "the schedule is no cron line")
    return Period(first, last, schedule, line)


def _wrong(path: Path, line: int, what: str) -> DeclarationError:
    return DeclarationError(what, where=f"{path}, line {line}", mend="see calendars in docs/mapping.md")
