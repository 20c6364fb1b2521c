"""What an event is whatever key it bears: its kind, its day, its code and whom it is about; one text for each row."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from record.in_force import DEFINED_BY
from record.tables import main_code
from record.withhold import ROW
from standard.schema import Entity, entities
from store.home import quoted

PLACE_OF_EVENTS = "event"
"""Stands for the place of a mark that is of an event and not of a key."""
_SUBJECT_ROLES = ("youth", "defendant", "child", "alleged_victim")
"""Whom a case or report is about; by its other participants it is not told from that of a sibling."""
_PARTS = {"case_ref": "case_participant", "report_ref": "report_participant"}
_DAYS = {"case": "filed_on"}
"""The day of what is no event of the timeline."""


def attach_events(con: duckdb.DuckDBPyConnection) -> None:
    """Makes the view `event_text`: row (`agency/feed/key`), entity, own (the reference its row defines), text.

    The text names a person by name and birth date: it never leaves the connection but as a mark. Of persons without a
    name and birth date there is none.

    Args:
        con: A connection with the views of `attach_in_force`.
    """
    letters = "regexp_replace(upper(strip_accents({})), '[^A-Z]', '', 'g')"
    con.execute(f"""
        CREATE TEMP VIEW known_person AS
        SELECT DISTINCT n.person_ref, {letters.format("n.surname")} || '|' || {letters.format("n.given")} || '|'
            || d.birth_date AS person
        FROM in_force.person_name n JOIN in_force.person_demographic d ON d.person_ref = n.person_ref
        WHERE n.surname IS NOT NULL AND n.given IS NOT NULL AND d.birth_date IS NOT NULL
    """)
    con.execute(f"CREATE TEMP VIEW event_text AS {' UNION ALL '.join(_selects())}")


def _selects() -> Iterator[str]:
    for name, entity in entities().items():
        day = entity.event.date if entity.event else _DAYS.get(name)
        if day is None:
            continue
        own = next((column for column, of in DEFINED_BY.items() if of == name and column in entity.columns), None)
        told = f"{ROW} AS row, '{name}' AS entity, {f'e.{own}' if own else 'NULL'} AS own"
        code = main_code(entity)
        what = f"'{name}|' || e.{day} || '|' || {f'coalesce(e.{quoted(code)}, {_EMPTY})' if code else _EMPTY} || '|'"
        if persons := _persons(entity):
            yield f"SELECT {told}, {what} || p.person AS text FROM in_force.{quoted(name)} e {persons}"
        if name == "case":  # the number on the papers stays where a case gets another key
            number = "upper(regexp_replace(e.case_no, '[^0-9A-Za-z]', '', 'g'))"
            yield (
                f"SELECT {told}, 'case_no|' || e.agency_id || '|' || coalesce(e.type, '') || '|' || {number} AS text"
                " FROM in_force.case e WHERE e.case_no IS NOT NULL"
            )


_EMPTY = "''"


def _persons(entity: Entity) -> str | None:
    """The join to whom a row is about."""
    if "person_ref" in entity.columns:
        return "JOIN known_person p ON p.person_ref = e.person_ref"
    for shared, table in _PARTS.items():
        if shared in entity.columns:
            roles = ", ".join(f"'{role}'" for role in _SUBJECT_ROLES)
            return (
                f"JOIN in_force.{table} q ON q.{shared} = e.{shared} AND q.role IN ({roles})"
                " JOIN known_person p ON p.person_ref = q.person_ref"
            )
    return None
