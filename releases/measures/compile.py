"""From a declared measure to one SQL statement that gives one row for each unit; nothing is counted here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

from releases.measures.declarations import COMMON_DIMENSIONS, Catalogue, Event, Measure, Rows, Window
from store.home import literal, peek, quoted

SUBJECTS = {"case": ("case_participant", "case_ref"), "report": ("report_participant", "report_ref")}
BESIDE = {"report": ("cw_report", "report_ref")}
STATES = ("happened", "did_not", "not_observed")
"""What is known of a unit: its window was watched to the end and the outcome found or not, or it was not watched."""

_PERSON_DIMENSIONS = {"sex": "sex", "race": "race"}
_AGE_BANDS = ((6, "0-5"), (12, "6-11"), (16, "12-15"), (18, "16-17"))


def needs(measure: Measure, events: Mapping[str, Event], by: Sequence[str] = ()) -> dict[str, set[str]]:
    """The tables and columns of the record that a measure reads.

    Args:
        measure: The measure.
        events: The catalogue's events.
        by: Dimensions that are asked for.
    """
    needed: dict[str, set[str]] = {}
    for rows in (rows for name in measure.events for rows in events[name].rows):
        for table, columns in _columns_of(rows).items():
            needed.setdefault(table, set()).update(columns)
    wanted = {_PERSON_DIMENSIONS[name] for name in by if name in _PERSON_DIMENSIONS}
    wanted |= {"birth_date"} if _needs_age(measure, by) else set()
    if wanted:
        needed["person_demographic"] = {"person_id", *wanted}
    return needed


def _columns_of(rows: Rows) -> dict[str, set[str]]:
    """Table -> the columns that the rows of an event are read from."""
    named = set().union(*map(columns_named, (rows.on, rows.until or "NULL", rows.where, *rows.keeps.values())))
    own = {"agency_id", *(names[-1] for names in named if len(names) == 1)}
    found: dict[str, set[str]] = {}
    if rows.through:
        people, shared = SUBJECTS[rows.through]
        found[people] = {shared, "person_id", "role"}
        own |= {shared}
    else:
        own |= {"person_id"}
    if rows.beside:
        table, shared = BESIDE[rows.beside]
        found[table] = {shared, *(names[-1] for names in named if names[0] == rows.beside and len(names) > 1)}
        own |= {shared}
    return found | {rows.table: own}


@cache
def columns_named(expression: str) -> frozenset[tuple[str, ...]]:
    """The columns that an SQL expression names, each with what it is qualified by, by DuckDB's own parser."""
    tree = peek().execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT {expression}"]).fetchall()[0][0]
    return frozenset(_column_names(json.loads(tree)))


def _column_names(tree: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, list):
        for part in tree:
            yield from _column_names(part)
    elif isinstance(tree, dict):
        if tree.get("class") == "COLUMN_REF":
            yield tuple(map(str, tree["column_names"]))
        for part in tree.values():
            yield from _column_names(part)


def _needs_age(measure: Measure, by: Iterable[str]) -> bool:
    said = [measure.index.where, *measure.dimensions.values(), measure.outcome.where if measure.outcome else ""]
    return "age_band" in by or any(re.search(r"\bage\b", sql) for sql in said)


def compile_units(
    measure: Measure, catalogue: Catalogue, *, by: Sequence[str] = (), watched: Mapping[str, tuple[date, date]]
) -> str:
    """One SELECT that gives a row for each unit of the measure.

    Args:
        measure: The measure.
        catalogue: Where its events stand.
        by: Dimensions: columns of the result under their names, as text; 'unknown' where nothing is known.
        watched: Table -> the first and last day that it tells of. A table that is not named tells of no day.

    Returns:
        SQL with the columns person_id, on_day, the dimensions and, by kind: `follows`: state, days (to the nearest
        outcome); `rate`: state, before_days, before_exposure, after_days, after_exposure; `sequence`: path, steps.
    """
    events = catalogue.events
    follows_order = measure.kind == "sequence"  # of which only the first days are taken: nothing is there to be doubled
    parts = [f"{quoted(name)} AS ({event_sql(events[name], each=follows_order)})" for name in measure.events]
    if _needs_age(measure, by) or set(by) & set(_PERSON_DIMENSIONS):
        parts.append(f"about AS ({_about_sql(_needs_age(measure, by), by)})")
    parts.append(f"unit AS {'NOT ' if follows_order else ''}MATERIALIZED ({_units_sql(measure, by)})")
    if follows_order:
        return f"WITH {', '.join(parts)} {_sequence_sql(by)}"
    days = _days_watched(measure, events, watched)
    make = _follows_sql if measure.kind == "follows" else _rate_sql
    return f"WITH {', '.join(parts)} {make(measure, days, by)}"


def event_sql(event: Event, *, each: bool = False) -> str:
    """SELECT of an event's rows: person_id, on_day, until_day, agency_id, what it keeps; alike ones once, or each."""
    return (" UNION ALL " if event.each_row or each else " UNION ").join(_rows_sql(rows) for rows in event.rows)


def _rows_sql(rows: Rows) -> str:
    keeps = "".join(f", {sql} AS {quoted(name)}" for name, sql in sorted(rows.keeps.items()))
    until = f"CAST({rows.until or rows.on} AS DATE)"
    return f"""SELECT person_id, CAST({rows.on} AS DATE) AS on_day, {until} AS until_day, agency_id{keeps}
        FROM {source_sql(rows)} WHERE person_id IS NOT NULL AND ({rows.on}) IS NOT NULL AND ({rows.where})"""


def source_sql(rows: Rows) -> str:
    """The table of an event's rows with the persons of its case or report, and with the report, where it names them."""
    table = quoted(rows.table)
    if rows.through:
        people, shared = SUBJECTS[rows.through]
        roles = ", ".join(map(literal, rows.roles))
        table = f"""(SELECT t.*, p.person_id FROM {table} t JOIN
            (SELECT DISTINCT {shared}, person_id FROM {people} WHERE role IN ({roles})) p USING ({shared}))"""
    if rows.beside:
        other, shared = BESIDE[rows.beside]
        table = f"(SELECT t.*, b AS {rows.beside} FROM {table} t LEFT JOIN {other} b ON b.{shared} = t.{shared})"
    return table


def _about_sql(ages: bool, by: Sequence[str]) -> str:
    """What most mentions of a person say of birth, sex and race; of two that are said as often, the first."""
    columns = (["birth_date"] if ages else []) + [c for name, c in _PERSON_DIMENSIONS.items() if name in by]
    said = ", ".join(f"mode({column} ORDER BY {column}) AS {column}" for column in columns)
    return f"SELECT person_id, {said} FROM person_demographic GROUP BY person_id"


def _units_sql(measure: Measure, by: Sequence[str]) -> str:
    index, about = measure.index, _needs_age(measure, by) or bool(set(by) & set(_PERSON_DIMENSIONS))
    aged = ", date_sub('year', birth_date, on_day) AS age" if _needs_age(measure, by) else ""
    chosen = ""
    if index.which != "each":
        order = "ASC" if index.which == "first" else "DESC"
        chosen = f"QUALIFY row_number() OVER (PARTITION BY i.person_id ORDER BY i.on_day {order}, i ASC) = 1"
    dimensions = "".join(
        f", coalesce(CAST({_dimension(measure, name)} AS VARCHAR), 'unknown') AS {_by(name)}" for name in by
    )
    source = f"(SELECT e.*{_sources(by)}{aged} FROM {quoted(index.event)} e"
    source += " LEFT JOIN about USING (person_id))" if about else ")"
    return f"""SELECT row_number() OVER () AS unit, i.*{dimensions} FROM
        (SELECT i.* FROM {source} i WHERE ({index.where}) {chosen}) i"""


def _sources(by: Sequence[str]) -> str:
    return "".join(f", {column}" for name, column in _PERSON_DIMENSIONS.items() if name in by)


def _dimension(measure: Measure, name: str) -> str:
    if name in measure.dimensions:
        return measure.dimensions[name]
    if name == "age_band":
        bands = " ".join(f"WHEN age < {below} THEN {literal(band)}" for below, band in _AGE_BANDS)
        return f"CASE {bands} WHEN age >= 18 THEN '18+' END"
    return {"agency": "i.agency_id", "year": "year(i.on_day)", **{n: f"i.{c}" for n, c in _PERSON_DIMENSIONS.items()}}[
        name
    ]


def _days_watched(
    measure: Measure, events: Mapping[str, Event], watched: Mapping[str, tuple[date, date]]
) -> tuple[date, date] | None:
    """The days on which every table that tells of the outcome was watched, or None where none of them has a row."""
    names = [measure.outcome.event] if measure.outcome else [measure.amount or "", measure.exposure or ""]
    tables = {rows.table for name in names for rows in events[name].rows}
    days = [watched[table] for table in tables if table in watched]
    if not days or (measure.kind == "rate" and len(days) < len(tables)):
        return None
    return max(first for first, _ in days), min(last for _, last in days)


def _seen(window: Window, days: tuple[date, date] | None) -> str:
    """SQL: whether the window of unit i was watched from its first day to its last."""
    if days is None:
        return "false"
    begins = f"i.on_day + {window.from_} >= DATE '{days[0]}' AND " if (window.from_ or 0) < 0 else ""
    return f"({begins}i.on_day + {window.to} <= DATE '{days[1]}')"


def _in_window(window: Window, day: str) -> str:
    first = "" if window.from_ is None else f"{day} >= i.on_day + {window.from_} AND "
    return f"{first}{day} <= i.on_day + {window.to}"


def _follows_sql(measure: Measure, days: tuple[date, date] | None, by: Sequence[str]) -> str:
    outcome, window = measure.outcome, measure.window
    assert outcome is not None and window is not None
    same = [f"i.{quoted(name)} = o.{quoted(name)}" for name in outcome.same]
    same += ["i.agency_id <> o.agency_id"] if outcome.another_agency else []
    fits = " AND ".join([_in_window(window, "o.on_day"), *same, f"({outcome.where})"])
    nearest = "max" if window.to <= 0 else "min"
    return f"""SELECT i.person_id, i.on_day{_listed(by)},
            CASE WHEN NOT {_seen(window, days)} THEN 'not_observed' WHEN f.day IS NOT NULL THEN 'happened'
                ELSE 'did_not' END AS state,
            CASE WHEN {_seen(window, days)} THEN f.day - i.on_day END AS days
        FROM unit i LEFT JOIN (
            SELECT i.unit, {nearest}(o.on_day) AS day FROM unit i JOIN {quoted(outcome.event)} o USING (person_id)
            WHERE {fits} GROUP BY i.unit) f USING (unit)"""


def _rate_sql(measure: Measure, days: tuple[date, date] | None, by: Sequence[str]) -> str:
    before, after = measure.before, measure.window
    assert before is not None and after is not None
    seen = f"{_seen(before, days)} AND {_seen(after, days)}"
    sums = ", ".join(
        f"count(*) FILTER ({inside}) AS {name}_exposure, coalesce(sum(missed) FILTER ({inside}), 0) AS {name}_days"
        for name, window in (("before", before), ("after", after))
        for inside in [_in_window(window, "d.day")]
    )
    return f"""SELECT i.person_id, i.on_day{_listed(by)},
            CASE WHEN {seen} AND s.before_exposure > 0 AND s.after_exposure > 0 THEN 'happened'
                WHEN {seen} THEN 'did_not' ELSE 'not_observed' END AS state,
            s.before_days, s.before_exposure, s.after_days, s.after_exposure
        FROM unit i LEFT JOIN (
            SELECT i.unit, {sums} FROM unit i JOIN (
                SELECT e.person_id, e.day, least(1, coalesce(a.missed, 0)) AS missed FROM (
                    SELECT DISTINCT w.person_id, w.day
                    FROM (SELECT person_id, on_day + CAST(k AS INTEGER) AS day FROM unit, range({before.from_},
                        {after.to + 1}) r(k)) w
                    JOIN {quoted(measure.exposure or "")} x ON x.person_id = w.person_id AND w.day >= x.on_day
                        AND (x.until_day IS NULL OR w.day <= x.until_day)
                    WHERE isodow(w.day) < 6) e
                LEFT JOIN (SELECT person_id, on_day AS day, sum(days) AS missed FROM {quoted(measure.amount or "")}
                    GROUP BY ALL) a USING (person_id, day)) d USING (person_id)
            GROUP BY i.unit) s USING (unit)"""


def _sequence_sql(by: Sequence[str]) -> str:
    keys = "".join(f", {_by(name)}" for name in by)
    return f"""SELECT i.person_id, min(i.day) AS on_day{_listed(by)},
            string_agg(i.agencies, ' > ' ORDER BY i.day) AS path, CAST(sum(i.steps) AS INTEGER) AS steps
        FROM (SELECT person_id{keys}, day, string_agg(agency_id, ' + ' ORDER BY agency_id) AS agencies,
                count(*) AS steps
            FROM (SELECT person_id{keys}, agency_id, min(on_day) AS day FROM unit GROUP BY ALL) GROUP BY ALL) i
        GROUP BY ALL"""


def _by(name: str) -> str:
    """The column of a unit that holds a dimension, beside what the event keeps under that name."""
    return quoted(f"by {name}")


def _listed(by: Sequence[str]) -> str:
    return "".join(f", i.{_by(name)} AS {quoted(name)}" for name in by)


def dimensions_of(measure: Measure) -> list[str]:
    """What a measure may be asked by, its own dimensions first."""
    return [*measure.dimensions, *(name for name in COMMON_DIMENSIONS if name in measure.by)]
