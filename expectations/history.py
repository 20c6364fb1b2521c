"""What a spreadsheet did to a file, found by comparing it with the feed's rows in force: zeros lost, days swapped."""

from __future__ import annotations

from pathlib import Path

import duckdb

from mappings.declarations import Feed
from store.extracts import Batch, FileFinding, Severity
from store.home import literal, quoted

HELD = "spreadsheet_damage"
"""Why a file is held whose keys or dates were changed by a spreadsheet."""
LEAST_ROWS = 5
"""Fewer damaged rows than this prove nothing about a file."""
_LEAST_IN_FORCE, _SAME_WIDTH = 50, 0.98
"""Numbers in force, and the share of them that must have one width, before a narrower one says anything."""


def damage_by_history(
    con: duckdb.DuckDBPyConnection, batch: Batch, feed: Feed, before: Path | None
) -> list[FileFinding]:
    """What the rows in force prove about a file.

    `lost_leading_zeros`: numbers narrower than all before, which with their zeros are numbers in force (an error where
    they are part of the key, because each would begin another identity). `swapped_day_and_month`: of the dates that
    changed most are the ones in force with day and month exchanged. Nothing is repaired: the agency sends it again.

    Args:
        con: Reads the files of the home.
        batch: The mapped rows.
        feed: Their feed.
        before: The feed's rows in force; None where there are none.
    """
    if before is None:
        return []
    there = {name for name, *_ in con.execute(f"DESCRIBE SELECT * FROM {literal(before)}").fetchall()}
    now, past = literal(batch.mapped), f"(SELECT * FROM {literal(before)} WHERE _deleted IS NULL)"
    numbers = [
        name
        for name, element in feed.elements.items()
        if element.identifier is not None and element.identifier.width is None and name in there
    ]
    dates = [name for name, element in feed.elements.items() if element.date is not None and name in there]
    return _narrowed(con, feed, numbers, now, past) + _swapped(con, feed, dates, now, past)


def _narrowed(
    con: duckdb.DuckDBPyConnection, feed: Feed, numbers: list[str], now: str, past: str
) -> list[FileFinding]:  # fmt: skip
    if not numbers:
        return []
    histograms = ", ".join(f"histogram(length({quoted(name)}))" for name in numbers)
    found = con.execute(f"SELECT {histograms} FROM {past}").fetchone() or ()
    widths = {name: _one_width(lengths or {}) for name, lengths in zip(numbers, found, strict=True)}
    findings = []
    for name, width in widths.items():
        if width is None:
            continue
        column = quoted(name)
        is_narrow = f"length({column}) < {width} AND regexp_full_match({column}, '[0-9]+')"
        narrow = f"SELECT {column} AS sent FROM {now} WHERE {is_narrow}"
        rows = _one(con, f"SELECT count(*) FROM ({narrow}) SEMI JOIN {past} b ON b.{column} = lpad(sent, {width}, '0')")
        if rows >= LEAST_ROWS:
            severity = Severity.ERROR if name in feed.key else Severity.WARNING
            detail = f"{feed.elements[name].sent[0]}: numbers with fewer than {width} digits that had them before"
            findings.append(FileFinding("lost_leading_zeros", severity, detail, rows))
    return findings


def _one_width(lengths: dict[int, int]) -> int | None:
    """The width that all numbers in force share, as far as that can be said."""
    total = sum(lengths.values())
    width, count = max(lengths.items(), key=lambda entry: entry[1], default=(0, 0))
    return width if total >= _LEAST_IN_FORCE and count >= _SAME_WIDTH * total else None


def _swapped(con: duckdb.DuckDBPyConnection, feed: Feed, dates: list[str], now: str, past: str) -> list[FileFinding]:
    if not dates:
        return []
    changed = "a.{c} <> b.{c}"
    exchanged = "year(a.{c}) = year(b.{c}) AND month(a.{c}) = day(b.{c}) AND day(a.{c}) = month(b.{c})"
    count = f"count(*) FILTER ({changed}), count(*) FILTER ({changed} AND {exchanged})"
    counts = ", ".join(count.format(c=column) for column in map(quoted, dates))
    found = con.execute(f"SELECT {counts} FROM {now} a JOIN {past} b USING (_key)").fetchone() or ()
    findings = []
    for name, all_changed, swapped in zip(dates, found[::2], found[1::2], strict=True):
        if swapped >= LEAST_ROWS and 2 * swapped >= all_changed:
            detail = f"{feed.elements[name].sent[0]}: dates in force with day and month exchanged"
            findings.append(FileFinding("swapped_day_and_month", Severity.ERROR, detail, swapped))
    return findings


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    (count,) = con.execute(query).fetchone() or (0,)
    return int(count)
