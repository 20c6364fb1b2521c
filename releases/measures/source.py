"""What a measure is run on: the record of a home or a release, with the days that each table tells of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

import duckdb

from record.classes import column_classes
from releases.measures.compile import BESIDE, needs, source_sql
from releases.measures.declarations import Event, Measure, Rows
from releases.pseudonyms import FURTHEST
from standard.errors import PublishError
from store.home import literal

MIN_CELL = 11
"""Counts below it are not shown where no agreement says otherwise."""

MEMORY = "4GB"
"""What a measure may take where nothing may be spilled."""


class Tables(Protocol):
    """A pinned record, or a release: what `open_record` and `open_release` give."""

    @property
    def manifest(self) -> Mapping[str, Any]: ...
    def to_duckdb(self) -> duckdb.DuckDBPyConnection: ...


@dataclass(frozen=True)
class Source:
    """A record or release as relations on one connection.

    Attributes:
        name: Id of the snapshot or release.
        con: A connection with a view for each table.
        columns: Table -> column -> SQL type.
        told_until: (agency, feed) -> last day for which an extract of it was loaded; empty for a release.
        min_cell: Smallest count that is shown.
        treated: `table.column` -> how it was treated before it went out.
        shifted_by: Most days by which dates were shifted.
    """

    name: str
    con: duckdb.DuckDBPyConnection
    columns: Mapping[str, Mapping[str, str]]
    told_until: Mapping[tuple[str, str], date] = field(default_factory=dict)
    min_cell: int = MIN_CELL
    treated: Mapping[str, str] = field(default_factory=dict)
    shifted_by: int = 0

    def require(self, measure: Measure, events: Mapping[str, Event], by: Iterable[str]) -> None:
        """Refuses a measure for which something is not there.

        Raises:
            PublishError: A table or column is not there, a date went out as less than a day, or some dates of a
                person were shifted and others were not.
        """
        needed = needs(measure, events, tuple(by))
        for table, columns in sorted(needed.items()):
            absent = sorted(columns - set(self.columns.get(table, {})))
            if absent:
                raise self._wrong(measure, f"{table}.{absent[0]} is not in it", _list_of(needed))
        days = [(t, c) for t, columns in sorted(needed.items()) for c in sorted(columns) if _is_date(t, c)]
        self._require_days(measure, days)
        for rows in (rows for name in measure.events for rows in events[name].rows):
            table = BESIDE[rows.beside][0] if rows.beside else rows.table if rows.through else ""
            if "shifted" in {self.treated.get(f"{table}.{column}") for column in needed.get(table, ())}:
                what = f"the days of {table} were shifted by the {rows.through or rows.beside}, not by the person"
                raise self._wrong(measure, what, "ask for them as they are")

    def _require_days(self, measure: Measure, days: Iterable[tuple[str, str]]) -> None:
        """Refuses what is no day, and days that do not lie on one clock."""
        ways: dict[str, str] = {}
        for table, column in days:
            kind, name = self.columns[table][column], f"{table}.{column}"
            if kind != "DATE":
                raise self._wrong(measure, f"{name} is there as {kind.lower()}, not as a day", _ASK)
            ways[self.treated.get(name, "as it is")] = name
        if len(ways) > 1:
            told = ", ".join(f"{name} {way}" for way, name in sorted(ways.items()))
            raise self._wrong(measure, f"its days do not fit together: {told}", _ASK)

    def _wrong(self, measure: Measure, what: str, mend: str) -> PublishError:
        return PublishError(f"{measure.measure} cannot be asked of {self.name}: {what}", where=self.name, mend=mend)

    def days_watched(self, events: Iterable[Event]) -> dict[str, tuple[date, date]]:
        """Table -> the first and last day that every agency of it tells of; tables without a row are left out.

        The first is that of the agency whose events begin last, the last that of the agency that was heard last the
        longest ago: nobody is taken as watched whom one of them could not see. Of shifted days both are known to within
        twice the furthest shift only, that of the person and that of the last event, and so are taken narrowly.
        """
        aside = timedelta(days=2 * self.shifted_by)
        days: dict[str, tuple[date, date]] = {}
        for rows in (rows for event in events for rows in event.rows):
            spoke = self._spoke(rows)
            if spoke:
                first, last = max(s[0] for s in spoke) + aside, min(s[1] for s in spoke) - aside
                before = days.get(rows.table, (first, last))
                days[rows.table] = (min(first, before[0]), max(last, before[1]))
        return days

    def undated(self, event: Event) -> int:
        """How many rows of an event have no day."""
        counted = 0
        for rows in event.rows:
            query = f"SELECT count(*) FROM {source_sql(rows)} WHERE ({rows.on}) IS NULL AND ({rows.where})"
            counted += self.con.execute(query).fetchall()[0][0]
        return counted

    def _spoke(self, rows: Rows) -> list[tuple[date, date]]:
        """By agency: the first day of an event, and the last day of which it was heard."""
        here = self.columns[rows.table]
        feed, as_of = ("feed" if "feed" in here else "NULL"), ("as_of" if here.get("as_of") == "DATE" else "NULL")
        query = f"""SELECT agency_id, {feed}, min(CAST({rows.on} AS DATE)), max(CAST({rows.on} AS DATE)),
            max(CAST({as_of} AS DATE)) FROM {source_sql(rows)} WHERE ({rows.on}) IS NOT NULL GROUP BY ALL"""
        firsts: dict[str, date] = {}
        lasts: dict[str, date] = {}
        for agency, of_feed, first, latest, spoken in self.con.execute(query).fetchall():
            last = max(filter(None, (self.told_until.get((agency, of_feed)), spoken)), default=latest)
            firsts[agency] = min(first, firsts.get(agency, first))
            lasts[agency] = max(last, lasts.get(agency, last))
        return [(firsts[agency], lasts[agency]) for agency in firsts]


_ASK = "ask for days, all of them shifted or none: shifted dates keep what lies between two of a person's"


def source_of(tables: Tables, *, min_cell: int | None = None, spill: Path | None = None) -> Source:
    """What a measure can be run on, from an opened record or release.

    Args:
        tables: What `open_record` or `open_release` gave.
        min_cell: Smallest count to show; that of the agreement, or 11, without it.
        spill: A private folder for what does not fit into memory. Without it nothing is spilled, so that nothing of a
            person comes to lie where nobody looks after it, and more memory may be taken.
    """
    con, manifest = tables.to_duckdb(), tables.manifest
    con.execute(f"SET temp_directory = {literal(spill / f'.spill-{os.getpid()}' if spill else '')}")
    if spill is None:
        con.execute(f"SET memory_limit = '{MEMORY}'")
    found = con.execute("SELECT table_name, column_name, data_type FROM information_schema.columns").fetchall()
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in found:
        columns.setdefault(table, {})[column] = kind
    told: dict[tuple[str, str], date] = {}
    for extract in manifest.get("extracts", ()):
        key, day = (extract["agency"], extract["feed"]), date.fromisoformat(extract["as_of"])
        told[key] = max(day, told.get(key, day))
    treated = {
        f"{table}.{column}": way
        for table, entry in manifest["tables"].items() for column, way in entry.get("treatments", {}).items()
        if way in ("shifted", "month", "year")
    }  # fmt: skip
    return Source(
        str(manifest.get("release_id") or manifest["snapshot_id"]), con, columns, told,
        _least(tables) if min_cell is None else min_cell, treated,
        FURTHEST if "shifted" in treated.values() else 0,
    )  # fmt: skip


def _least(tables: Tables) -> int:
    """The smallest count that the agreement of a release lets be shown."""
    told = getattr(tables, "quality", {}).get("min_cell") or tables.manifest.get("min_cell")
    return int(told or MIN_CELL)


def _is_date(table: str, column: str) -> bool:
    return column_classes()[table][column].kind == "date"


def _list_of(needed: Mapping[str, set[str]]) -> str:
    tables = (f"{table}: {', '.join(sorted(columns))}" for table, columns in sorted(needed.items()))
    return f"a policy that lets it be asked gives {'; '.join(tables)}"
