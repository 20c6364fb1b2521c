"""The tables of the published record as SQL over the visible rows and the persons linkage found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from record.in_force import PERSON_PARTNERS, SAME_PERSON, only_row
from standard.errors import PublishError
from standard.schema import Entity, entities
from store.home import literal, quoted

SUBJECTS = {"case": ("case_participant", "case_ref"), "report": ("report_participant", "report_ref")}
"""Where the persons of an event stand that names only its case or report: table and the column they share."""

TIMELINE_MEANING = {
    "person_id": "The person.",
    "event_type": "Table of the record in which the event stands.",
    "occurred_on": "Day of the event.",
    "ended_on": "Last day, where the event lasts.",
    "role": "The person's part in the event's case or report; empty where the event is the person's own.",
    "code": "Main code of the event, in common terms.",
    "code_element": "Column of the event's table that holds the main code.",
    "agency_id": "Agency that sent the row.",
    "row_id": "The event's row in its table.",
}
PERSON_MEANING = {
    "person_id": "Lasting, opaque id of the person.",
    "agencies": "Number of agencies that know the person.",
    "agency_ids": "These agencies, separated by a blank.",
    "mentions": "Number of references under which they know the person.",
    "lowest_weight": "Weight of the weakest link among the mentions; empty for a single mention.",
    "address_protected": "An agency keeps an address of the person confidential: nobody is told where the person is.",
}
PERSON_SOURCE_MEANING = {
    "agency": "Agency.",
    "table": "Table or file, as the agency names it.",
    "source_key": "Key of the person in that table or file.",
    "feeds": "Feeds that mention the person under this key, separated by a blank.",
    "person_ref": "The three as one reference: agency/table/key.",
    "person_id": "The person.",
    "weight": "Weight (log2 odds) of the mention's best link to the person's other mentions.",
    "how": "How it was decided: single, scored, agency (the agency says so), judged.",
}
MEANINGS = {"person": PERSON_MEANING, "person_source": PERSON_SOURCE_MEANING, "timeline": TIMELINE_MEANING}
"""Columns of the tables that are not entities of the common schema, with their meaning."""


def entity_tables() -> list[str]:
    """The entities that are tables of the record under their own name, sorted."""
    return sorted(name for name in entities() if name != "person")


def table_names() -> list[str]:
    """All tables of the record, sorted."""
    return sorted([*entity_tables(), *MEANINGS])


def attach_persons(con: duckdb.DuckDBPyConnection, persons: Path) -> int:
    """Makes the table `mention`: person_ref, person_id, weight, how for every visible reference to a person.

    A reference that only stands in `same_as` (a master index number) is the person of the rows that name it: of most of
    them, at a tie of the first by reference, so that it is the same in every home.

    Returns:
        How many such references are named by rows of more than one person: the agency holds them for one.

    Raises:
        PublishError: A visible person has no person id.
    """
    con.execute(f"""
        CREATE TEMP TABLE linked AS
            SELECT DISTINCT v.person_ref, l.person_id, l.weight, l.how FROM visible.person v
            LEFT JOIN read_parquet({literal(persons)}) l ON l.record_id = v.person_ref;
        CREATE TEMP TABLE inherited AS
            SELECT v.{SAME_PERSON} AS person_ref, l.person_id, count(*) AS times, min(v.person_ref) AS first
            FROM visible.person v JOIN linked l USING (person_ref)
            WHERE l.person_id IS NOT NULL AND v.{SAME_PERSON} IS NOT NULL
            AND v.{SAME_PERSON} NOT IN (SELECT ref FROM withheld) GROUP BY ALL;
        CREATE TEMP TABLE mention AS
        SELECT * FROM linked WHERE person_id IS NOT NULL
        UNION ALL
        SELECT person_ref, arg_min(person_id, (-times, first)), NULL, 'agency' FROM inherited
        WHERE person_ref NOT IN (SELECT person_ref FROM linked WHERE person_id IS NOT NULL) GROUP BY person_ref
    """)
    _require_one_person_each(con, persons)
    divided = "SELECT person_ref FROM inherited GROUP BY person_ref HAVING count(DISTINCT person_id) > 1"
    return int(only_row(con, f"SELECT count(*) FROM ({divided})")[0])


def _require_one_person_each(con: duckdb.DuckDBPyConnection, persons: Path) -> None:
    missing, doubled = only_row(
        con,
        """
        SELECT count(*) FILTER (m.person_ref IS NULL), (SELECT count(*) - count(DISTINCT person_ref) FROM mention)
        FROM (SELECT DISTINCT person_ref FROM visible.person) v LEFT JOIN mention m USING (person_ref)
    """,
    )
    if missing or doubled:
        raise PublishError(
            f"{missing} references to persons have no person id and {doubled} have more than one",
            where=str(persons),
            mend="link the people of these entity tables again, then publish",
        )


def person_source_sql() -> str:
    """One row per visible reference to a person."""
    return f"""
        WITH feed AS (
            SELECT person_ref, array_to_string(list_sort(list(feed)), ' ') AS feeds FROM (
                SELECT person_ref, feed FROM visible.person UNION SELECT {SAME_PERSON}, feed FROM visible.person)
            GROUP BY 1)
        SELECT split_part(person_ref, '/', 1) AS agency, split_part(person_ref, '/', 2) AS "table",
            regexp_replace(person_ref, '^[^/]*/[^/]*/', '') AS source_key,
            feeds, person_ref, person_id, CAST(weight AS DOUBLE) AS weight, how
        FROM mention LEFT JOIN feed USING (person_ref) ORDER BY person_id, person_ref
    """


def person_sql() -> str:
    """One row per person."""
    return """
        SELECT person_id, CAST(count(*) AS INTEGER) AS agencies,
            array_to_string(list_sort(list(agency)), ' ') AS agency_ids,
            CAST(sum(mentions) AS INTEGER) AS mentions, min(weight) AS lowest_weight,
            bool_or(protected) AS address_protected
        FROM (SELECT person_id, split_part(person_ref, '/', 1) AS agency, count(*) AS mentions,
                  min(CAST(weight AS DOUBLE)) AS weight,
                  bool_or(person_ref IN (SELECT person_ref FROM in_force.address WHERE confidential)) AS protected
              FROM mention GROUP BY ALL)
        GROUP BY person_id ORDER BY person_id
    """


def published_columns(entity: Entity) -> dict[str, str]:
    """Column -> SQL type of an entity's table in the record: each reference to a person has its person id beside it."""
    columns: dict[str, str] = {}
    for name, kind in entity.stored_columns().items():
        columns[name] = kind
        if name in PERSON_PARTNERS:
            columns[PERSON_PARTNERS[name]] = "VARCHAR"
    return columns


def entity_sql(name: str) -> str:
    """The visible rows of one entity with person ids, in a fixed order."""
    entity = entities()[name]
    reference_of = {partner: ref for ref, partner in PERSON_PARTNERS.items() if ref in entity.columns}
    chosen = ", ".join(
        f"m_{reference_of[column]}.person_id AS {column}" if column in reference_of else f"v.{quoted(column)}"
        for column in published_columns(entity)
    )
    references = reference_of.values()
    joins = "".join(f" LEFT JOIN mention m_{ref} ON m_{ref}.person_ref = v.{ref}" for ref in references)
    first = "person_id, " if "person_ref" in references else ""
    return f"SELECT {chosen} FROM visible.{quoted(name)} v{joins} ORDER BY {first}row_id"


def timeline_sql(folder: Path) -> str:
    """All events of all persons, from the event tables already written to `folder`."""
    parts = list(_timeline_parts(folder))
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY person_id, occurred_on, event_type, row_id"


def _timeline_parts(folder: Path) -> Iterator[str]:
    for name, entity in entities().items():
        if entity.event is None:
            continue
        code = main_code(entity)
        person, role, people = "e.person_id", "NULL", ""
        if entity.event.subjects is not None:
            person, role, people = "p.person_id", "p.role", _people_of(entity.event.subjects, folder)
        yield f"""
            SELECT {person} AS person_id, {literal(name)} AS event_type, e.{quoted(entity.event.date)} AS occurred_on,
                {f"e.{quoted(entity.event.end)}" if entity.event.end else "CAST(NULL AS DATE)"} AS ended_on,
                {role} AS role, {f"e.{quoted(code)}" if code else "NULL"} AS code,
                {literal(code) if code else "NULL"} AS code_element, e.agency_id, e.row_id
            FROM {_rows(folder, name)} e {people} WHERE {person} IS NOT NULL
        """


def _people_of(subjects: str, folder: Path) -> str:
    """SQL that joins the persons of an event's case or report, each once with all parts they have in it."""
    table, shared = SUBJECTS[subjects]
    return f"""JOIN (
        SELECT {shared}, person_id, string_agg(DISTINCT role, ' ' ORDER BY role) AS role
        FROM {_rows(folder, table)} GROUP BY ALL) p USING ({shared})"""


def main_code(entity: Entity) -> str | None:
    """The column that says what an event is: the first code its declaration names."""
    return next((name for name, column in entity.columns.items() if column.type == "code"), None)


def _rows(folder: Path, table: str) -> str:
    return f"read_parquet({literal(folder / f'{table}.parquet')})"
