"""The entity tables in force as DuckDB relations, and which of their columns name persons, cases and so on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from standard.schema import DEFINED_BY as DEFINED_BY
from standard.schema import Entity, entities
from store.home import connect, literal, quoted

PERSON_PARTNERS = {
    "person_ref": "person_id",
    "related_ref": "related_id",
    "grantor_ref": "grantor_id",
    "perpetrator_ref": "perpetrator_id",
}
"""Reference columns that name a person, and the column of the record that holds the person id beside each."""

CONTAINERS = ("case_ref", "report_ref")
"""References to what people take part in."""

SAME_PERSON = "same_as"
"""An agency's word that two references are one person: it names a person and makes no row about the other one."""


@contextmanager
def working_database(below: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that spills only into a folder of its own below `below`, and is gone afterwards."""
    below.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=below, prefix=".spill-") as spill:
        con = connect(temp=Path(spill))
        try:
            yield con
        finally:
            con.close()


def attach_in_force(con: duckdb.DuckDBPyConnection, paths: Mapping[str, Path]) -> None:
    """Makes one view `in_force.<entity>` for every entity of the common schema; one that has no file has no rows."""
    con.execute("CREATE SCHEMA in_force")
    for name, entity in entities().items():
        columns = entity.stored_columns()
        if name in paths:
            chosen = ", ".join(f"CAST({quoted(c)} AS {kind}) AS {quoted(c)}" for c, kind in columns.items())
            rows = f"SELECT {chosen} FROM read_parquet({literal(paths[name])})"
        else:
            chosen = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(c)}" for c, kind in columns.items())
            rows = f"SELECT {chosen} WHERE false"
        con.execute(f"CREATE VIEW in_force.{quoted(name)} AS {rows}")


def only_row(con: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    """The one row of counts that a query gives."""
    row: tuple[int, ...] = con.execute(query).fetchall()[0]
    return row


def bearing_references(entity: Entity) -> list[str]:
    """The reference columns by which a row tells something about what they name."""
    return [column for column in entity.references() if column != SAME_PERSON]


def person_references(entity: Entity) -> list[str]:
    """The columns of an entity that name a person its rows tell about."""
    return [column for column in bearing_references(entity) if column in PERSON_PARTNERS]
