"""Runs a measure on a record or release: counts by group, the small ones not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb

from releases.measures.compile import compile_units, dimensions_of
from releases.measures.declarations import Catalogue, Measure, catalogue
from releases.measures.source import Source, Tables, source_of
from standard.errors import DeclarationError
from store.home import quoted

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
RARE = "(other paths)"
_STATES = ("happened", "did_not", "not_observed")
_COUNTS = frozenset({*_STATES, "units", "median_days", "before", "after"})


@dataclass(frozen=True)
class Result:
    """What a measure gave.

    Attributes:
        measure: The measure.
        source: Id of the snapshot or release.
        by: The dimensions asked for.
        rows: One row a group: the dimensions and, by kind, `follows`: units, observed, found, share, median_days,
            not_observed; `rate`: units, compared, before, after, change (per 100 weekdays), not_compared,
            not_observed; `sequence`: path, agencies, units. `suppressed`: something of the group is None because a
            count is smaller than `min_cell` or would give such a one away.
        min_cell: Smallest count shown.
        watched: Table of the outcome -> first and last day that it tells of.
        silent: Tables of the outcome of which no agency sends a row.
    """

    measure: Measure
    source: str
    by: tuple[str, ...]
    rows: tuple[Row, ...]
    min_cell: int
    watched: Mapping[str, tuple[date, date]]
    silent: tuple[str, ...]

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a data frame."""
        import pandas as pd

        return pd.DataFrame(list(self.rows)).convert_dtypes()

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain values, for JSON."""
        declared = self.measure
        return {
            "measure": declared.measure, "title": declared.title, "question": declared.question,
            "definition": declared.definition.model_dump(), "unit": declared.unit, "source": self.source,
            "by": list(self.by), "rows": list(self.rows), "min_cell": self.min_cell,
            "watched": {table: [first.isoformat(), last.isoformat()] for table, (first, last) in self.watched.items()},
            "silent": list(self.silent), "missing": declared.missing, "notes": list(declared.notes),
        }  # fmt: skip


def run_measure(name: str, of: Tables | Source, *, by: Sequence[str] = (), among: Catalogue | None = None) -> Result:
    """Asks a measure of a record or release.

    Args:
        name: The measure's id.
        of: What `open_record` or `open_release` gave.
        by: Dimensions to count by.
        among: Another catalogue than the project's own.

    Raises:
        DeclarationError: There is no such measure, or it is not asked by such a dimension.
        PublishError: The record or release lacks what the measure needs.
    """
    among = among or catalogue()
    measure, source = among.measure(name), of if isinstance(of, Source) else source_of(of)
    units, watched = _units(measure, source, by, among)
    rows = _shown(measure, _groups(measure, source.con, units, by), source.min_cell)
    tables = {r.table for event in _looked_for(measure) for r in among.events[event].rows}
    return Result(
        measure, source.name, tuple(by), tuple(rows), source.min_cell, watched, tuple(sorted(tables - set(watched)))
    )


def measure_units(
    name: str, of: Tables | Source, *, by: Sequence[str] = (), among: Catalogue | None = None
) -> duckdb.DuckDBPyRelation:
    """The units of a measure, one row each, for what an analyst does next: nothing of it is suppressed.

    Args:
        name: The measure's id.
        of: What `open_record` or `open_release` gave.
        by: Dimensions to add.
        among: Another catalogue than the project's own.

    Returns:
        The columns that `releases.measures.compile.compile_units` tells of.
    """
    among = among or catalogue()
    measure, source = among.measure(name), of if isinstance(of, Source) else source_of(of)
    return source.con.sql(_units(measure, source, by, among)[0])


def _units(
    measure: Measure, source: Source, by: Sequence[str], among: Catalogue
) -> tuple[str, dict[str, tuple[date, date]]]:
    unknown = [name for name in by if name not in dimensions_of(measure)]
    if unknown:
        raise DeclarationError(
            f"{measure.measure} is not asked by {unknown[0]}", where="the command",
            mend=f"ask by: {', '.join(dimensions_of(measure)) or 'nothing'}",
        )  # fmt: skip
    source.require(measure, among.events, by)
    watched = source.days_watched(among.events[name] for name in _looked_for(measure))
    return compile_units(measure, among, by=by, watched=watched), watched


def _looked_for(measure: Measure) -> list[str]:
    """The events whose tables must have been watched."""
    named = (measure.outcome.event if measure.outcome else None, measure.amount, measure.exposure)
    return [name for name in named if name]


_COUNTED = {
    "follows": """count(*) AS units, count(*) FILTER (state = 'happened') AS happened,
        count(*) FILTER (state = 'did_not') AS did_not, count(*) FILTER (state = 'not_observed') AS not_observed,
        median(days) FILTER (state = 'happened') AS median_days""",
    "rate": """count(*) AS units, count(*) FILTER (state = 'happened') AS happened,
        count(*) FILTER (state = 'did_not') AS did_not, count(*) FILTER (state = 'not_observed') AS not_observed,
        100 * sum(before_days) FILTER (state = 'happened') / sum(before_exposure) FILTER (state = 'happened') AS before,
        100 * sum(after_days) FILTER (state = 'happened') / sum(after_exposure) FILTER (state = 'happened') AS after""",
    "sequence": "count(*) AS units",
}


def _groups(measure: Measure, con: duckdb.DuckDBPyConnection, units: str, by: Sequence[str]) -> list[Row]:
    keys = [quoted(name) for name in by]
    own = ["path", "steps AS agencies"] if measure.kind == "sequence" else []
    chosen = ", ".join([*keys, *own, _COUNTED[measure.kind]])
    order = [*keys, "units DESC", "path"] if own else keys
    grouped = f"GROUP BY {', '.join([*keys, *(['path', 'steps'] if own else [])])}" if keys or own else ""
    query = f"SELECT {chosen} FROM ({units}) {grouped} {'ORDER BY ' + ', '.join(order) if order else ''}"
    found: list[Row] = con.sql(query).to_arrow_table().to_pylist()
    return found


def _shown(measure: Measure, rows: Sequence[Row], least: int) -> list[Row]:
    if measure.kind == "sequence":
        return _paths(rows, least)
    make = _follows_row if measure.kind == "follows" else _rate_row
    return [make(measure, row, least) for row in rows]


def _protected(row: Row, least: int) -> dict[str, Any]:
    """The counts of a group's three states and their sum; a small one is None, and where only one is, the sum is too.

    This looks at one table alone: what several tables give away together is for releases.aggregates to say.
    """
    shown: Row = {name: None if 0 < row[name] < least else row[name] for name in _STATES}
    small = [name for name in _STATES if shown[name] is None]
    return shown | {"units": None if len(small) == 1 else row["units"], "suppressed": bool(small)}


def _follows_row(measure: Measure, row: Row, least: int) -> Row:
    shown = _protected(row, least)
    found, other = ("happened", "did_not") if measure.outcome_is == "found" else ("did_not", "happened")
    observed = None if None in (shown[found], shown[other]) else row[found] + row[other]
    return {
        **_keys(row), "units": shown["units"], "observed": observed, "found": shown[found],
        "share": round(row[found] / observed, 4) if observed else None,
        **({"median_days": row["median_days"] if shown["happened"] else None} if _waits(measure) else {}),
        "not_observed": shown["not_observed"], "suppressed": shown["suppressed"],
    }  # fmt: skip


def _waits(measure: Measure) -> bool:
    """Whether days from the index event on tell how long the outcome took."""
    return measure.window is not None and measure.window.from_ is not None and measure.window.from_ >= 0


def _rate_row(_measure: Measure, row: Row, least: int) -> Row:
    shown = _protected(row, least)
    before, after = (round(float(row[n]), 2) if shown["happened"] else None for n in ("before", "after"))
    return {
        **_keys(row), "units": shown["units"], "compared": shown["happened"], "before": before, "after": after,
        "change": None if before is None or after is None else round(after - before, 2),
        "not_compared": shown["did_not"], "not_observed": shown["not_observed"], "suppressed": shown["suppressed"],
    }  # fmt: skip


def _paths(rows: Sequence[Row], least: int) -> list[Row]:
    """The paths taken by enough; the others together, by number of agencies, since a rare path can tell who it is."""
    shown = [row | {"suppressed": False} for row in rows if row["units"] >= least]
    rare: dict[tuple[Any, ...], int] = {}
    for row in rows:
        if row["units"] < least:
            key = tuple(value for name, value in row.items() if name not in ("path", "units"))
            rare[key] = rare.get(key, 0) + row["units"]
    names = [name for name in (rows[0] if rows else ()) if name not in ("path", "units")]
    for key, units in rare.items():
        few = units < least
        shown.append(dict(zip(names, key, strict=True))
                     | {"path": RARE, "units": None if few else units, "suppressed": few})  # fmt: skip
    return shown


def _keys(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _COUNTS}
