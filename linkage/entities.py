"""The people table made from the entity tables of the common schema: one row per reference, the newest values first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from standard.errors import LinkageError
from store.home import literal, sql_path

# What is read of each entity; an entity or a column that is not there counts as empty.
READ = {
    "person": {"same_as": "VARCHAR", "adopted": "BOOLEAN", "placeholder": "BOOLEAN"},
    "person_name": {
        "use": "VARCHAR",
        "given": "VARCHAR",
        "middle": "VARCHAR",
        "surname": "VARCHAR",
        "suffix": "VARCHAR",
    },
    "person_identifier": {"type": "VARCHAR", "value": "VARCHAR"},
    "person_demographic": {
        "birth_date": "DATE",
        "birth_date_precision": "VARCHAR",
        "age_at_event": "INTEGER",
        "sex": "VARCHAR",
        "race": "VARCHAR",
    },
    "address": {"line1": "VARCHAR", "line2": "VARCHAR", "city": "VARCHAR", "zip": "VARCHAR", "phone": "VARCHAR"},
    "involvement": {"opened_on": "DATE"},
    "relationship": {"related_ref": "VARCHAR", "type": "VARCHAR"},
}
ALWAYS = dict.fromkeys(("person_ref", "agency_id", "feed", "source_key", "as_of", "row_id"), "VARCHAR")
SQL = Path(__file__).parent / "entities.sql"


def people_from_entities(con: duckdb.DuckDBPyConnection, entities: Mapping[str, Path | str], into: Path) -> Path:
    """Writes the people table of the entity tables to a Parquet file and returns its path.

    A reference may stand in several rows of an entity (several enrolments): the newest value that is not empty is the
    main one; older names, addresses and telephones are kept beside it.

    Args:
        con: Where the work is done; its temp tables and views named as in entities.sql are replaced.
        entities: Parquet file of each entity, or a view of `con`, by the entity's name in the common schema.
        into: The file to write (mode 0600).

    Raises:
        LinkageError: An entity table cannot be read.
    """
    for name, columns in READ.items():
        _take(con, name, {**ALWAYS, **columns}, entities.get(name))
    con.execute(SQL.read_text(encoding="utf-8"))
    part = into.with_suffix(".part")
    con.sql("FROM people_of_entities ORDER BY record_id").write_parquet(sql_path(part), compression="zstd")
    part.chmod(0o600)
    return part.replace(into)


def _take(con: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str], place: Path | str | None) -> None:
    """Makes the view `entity_<name>`: what is read of an entity, with the age of each row as text that sorts."""
    if place is None:
        fields = ", ".join(f"NULL::{kind} AS {column}" for column, kind in columns.items())
        con.execute(f"CREATE OR REPLACE TEMP VIEW entity_{name} AS SELECT {fields}, NULL::VARCHAR AS age LIMIT 0")
        return
    source = place if isinstance(place, str) else f"read_parquet({literal(place)})"
    try:
        there = {row[0] for row in con.sql(f"SELECT column_name FROM (DESCRIBE FROM {source})").fetchall()}
        fields = ", ".join(
            f"{column if column in there else 'NULL'}::{kind} AS {column}" for column, kind in columns.items()
        )
        con.execute(
            f"CREATE OR REPLACE TEMP VIEW entity_{name} AS "
            f"SELECT {fields}, coalesce(as_of::VARCHAR, '') || coalesce(row_id, '') AS age FROM {source}"
        )
    except duckdb.Error as error:
        raise LinkageError(
            f"the entity table {name} cannot be read", where=str(place), mend="project the entities again"
        ) from error
