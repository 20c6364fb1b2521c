"""Runs a measure on a record or release: counts by group, the small ones not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb

from releases.measures.compile import compile_units, dimensions_of
from releases.measures.declarations import Catalogue, Measure, catalogue
from releases.measures.protect import shown_counts
from releases.measures.source import Source, Tables, source_of
from standard.errors import DeclarationError
from store.home import literal, quoted

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
RARE = "(other paths)"


@dataclass(frozen=True)
class Result:
    """What a measure gave.

    Attributes:
        measure: The measure.
        source: Id of the snapshot or release.
        by: The dimensions asked for.
        rows: One row a group: the dimensions and, by kind, `follows`: units, observed, found, share, median_days,
            not_observed; `rate`: units, compared, before, after, change (per 100 weekdays), not_compared,
            not_observed; `sequence`: path, units. `suppressed`: something of the group is None because a
            count is smaller than `min_cell` or would give such a one away.
        min_cell: Smallest count shown.
        watched: Table of the outcome -> first and last day that it tells of.
        silent: Tables of the outcome of which no agency sends a row with a day.
        undated: Rows of the index event that have no day, and so no place here; None where they are few.
    """

    measure: Measure
    source: str
    by: tuple[str, ...]
    rows: tuple[Row, ...]
    min_cell: int
    watched: Mapping[str, tuple[date, date]]
    silent: tuple[str, ...]
    undated: int | None

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
            "silent": list(self.silent), "undated": self.undated,
            "missing": declared.missing, "notes": list(declared.notes),
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
    source.con.execute(f"CREATE OR REPLACE TEMP TABLE asked_unit AS {units}")  # counted in several ways, found once
    rows = _rows(measure, source, "FROM asked_unit", by)
    source.con.execute("DROP TABLE asked_unit")
    tables = {r.table for event in _looked_for(measure) for r in among.events[event].rows}
    return Result(
        measure, source.name, tuple(by), tuple(rows), source.min_cell, watched, tuple(sorted(tables - set(watched))),
        _few(source.undated(among.events[measure.index.event]), source.min_cell),
    )  # fmt: skip


def _few(count: int, least: int) -> int | None:
    return None if 0 < count < least else count


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


def _rows(measure: Measure, source: Source, units: str, by: Sequence[str]) -> list[Row]:
    if measure.kind == "sequence":
        return _paths(source, units, by)
    # Who was watched and who was not are two tables: the few that are not yet watched need not hide all the others.
    parts = (f"SELECT * FROM ({units}) WHERE state {which} 'not_observed'" for which in ("<>", "="))
    watched, others = (shown_counts(source.con, part, [*by, "state"], least=source.min_cell) for part in parts)
    figures = {tuple(row.pop(name) for name in by): row for row in _figures(measure, source.con, units, by)}
    make = _follows_row if measure.kind == "follows" else _rate_row
    rows = []
    for group in sorted(figures):
        counts = {name: watched.get((*group, name), 0) for name in ("happened", "did_not")}
        counts |= {"observed": watched.get((*group, None), 0), "not_observed": others.get((*group, "not_observed"), 0)}
        both = counts["observed"], counts["not_observed"]
        counts["units"] = None if None in both else sum(filter(None, both))
        answer = make(measure, counts, figures[group]) | {"suppressed": None in counts.values()}
        rows.append(dict(zip(by, group, strict=True)) | answer)
    return rows


_FIGURES = {
    "follows": "median(days) FILTER (state = 'happened') AS median_days",
    "rate": """100 * sum(before_days) FILTER (state = 'happened') / sum(before_exposure) FILTER (state = 'happened')
            AS before,
        100 * sum(after_days) FILTER (state = 'happened') / sum(after_exposure) FILTER (state = 'happened') AS after""",
}


def _figures(measure: Measure, con: duckdb.DuckDBPyConnection, units: str, by: Sequence[str]) -> list[Row]:
    """By group what is told beside the counts; without dimensions one group, also where there is no unit."""
    keys = [quoted(name) for name in by]
    grouped = f"GROUP BY {', '.join(keys)}" if keys else ""
    query = f"SELECT {', '.join([*keys, _FIGURES[measure.kind]])} FROM ({units}) {grouped}"
    found: list[Row] = con.sql(query).to_arrow_table().to_pylist()
    return found


def _follows_row(measure: Measure, counts: Row, figures: Row) -> Row:
    found, other = ("happened", "did_not") if measure.outcome_is == "found" else ("did_not", "happened")
    hidden = None in (counts[found], counts[other], counts["observed"])
    share = None if hidden or not counts["observed"] else round(counts[found] / counts["observed"], 4)
    waits = measure.window is not None and measure.window.from_ is not None and measure.window.from_ >= 0
    return {
        "units": counts["units"], "observed": counts["observed"], "found": counts[found],
        "share": share,
        **({"median_days": figures["median_days"] if counts["happened"] else None} if waits else {}),
        "not_observed": counts["not_observed"],
    }  # fmt: skip


def _rate_row(_measure: Measure, counts: Row, figures: Row) -> Row:
    before, after = (round(float(figures[n]), 2) if counts["happened"] else None for n in ("before", "after"))
    return {
        "units": counts["units"], "compared": counts["happened"], "before": before, "after": after,
        "change": None if before is None or after is None else round(after - before, 2),
        "not_compared": counts["did_not"], "not_observed": counts["not_observed"],
    }  # fmt: skip


def _paths(source: Source, units: str, by: Sequence[str]) -> list[Row]:
    """The paths that enough took, most first; the others together, since a rare path can tell who it is."""
    keys = ", ".join(map(quoted, [*by, "path"]))
    named = f"""SELECT * REPLACE (CASE WHEN count(*) OVER (PARTITION BY {keys}) < {source.min_cell} THEN {literal(RARE)}
        ELSE path END AS path) FROM ({units})"""
    shown = shown_counts(source.con, named, [*by, "path"], least=source.min_cell)
    rows: list[Row] = [
        {**dict(zip([*by, "path"], key, strict=True)), "units": count, "suppressed": count is None}
        for key, count in shown.items() if None not in key
    ]  # fmt: skip
    return sorted(rows, key=lambda row: ([row[name] for name in by], -(row["units"] or 0), row["path"]))
