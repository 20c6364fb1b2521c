"""Tries every measure of a catalogue on tables of the common schema without a row, before anybody asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from record.tables import MEANINGS, entity_tables, published_columns
from releases.measures.compile import compile_units, dimensions_of, needs
from releases.measures.declarations import Catalogue, Measure
from standard.errors import DeclarationError
from standard.schema import entities
from store.home import connect, quoted

_OWN_TYPES = {"occurred_on": "DATE", "ended_on": "DATE", "weight": "DOUBLE"}


def check_catalogue(catalogue: Catalogue) -> None:
    """Binds every measure by every dimension.

    Raises:
        DeclarationError: A measure names a table or column that the record does not have, or its SQL cannot be used.
    """
    tables = _columns_of_the_record()
    with connect(memory_limit="200MB", threads=1) as con:
        for name, columns in tables.items():
            described = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
            con.execute(f"CREATE TABLE {quoted(name)} ({described})")
        for measure in catalogue.measures.values():
            _check(con, catalogue, measure, tables)


def _columns_of_the_record() -> Mapping[str, Mapping[str, str]]:
    own = {name: {column: _OWN_TYPES.get(column, "VARCHAR") for column in means} for name, means in MEANINGS.items()}
    return {**{name: published_columns(entities()[name]) for name in entity_tables()}, **own}


def _check(
    con: duckdb.DuckDBPyConnection, catalogue: Catalogue, measure: Measure, tables: Mapping[str, Mapping[str, str]]
) -> None:
    for by in ([], *([name] for name in dimensions_of(measure))):
        for table, columns in needs(measure, catalogue.events, by).items():
            if unknown := sorted(columns - set(tables.get(table, {}))):
                raise _wrong(catalogue, measure, f"the record has no column {table}.{unknown[0]}")
        _bind(con, catalogue, measure, by)


def _bind(con: duckdb.DuckDBPyConnection, catalogue: Catalogue, measure: Measure, by: Sequence[str]) -> None:
    try:
        con.execute(f"EXPLAIN {compile_units(measure, catalogue, by=by, watched={})}")
    except duckdb.Error as error:
        raise _wrong(catalogue, measure, f"its SQL cannot be used: {str(error).splitlines()[0]}") from error


def _wrong(catalogue: Catalogue, measure: Measure, what: str) -> DeclarationError:
    return DeclarationError(
        f"{measure.measure}: {what}", where=str(catalogue.folder / f"{measure.measure}.yaml"),
        mend="see docs/cookbook.md, A measure of your own",
    )  # fmt: skip
