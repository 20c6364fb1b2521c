"""Trying the SQL of declarations against the columns it may name, before any row is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import duckdb

from mappings.compile import element_columns
from mappings.declarations import Feed
from mappings.places import Place
from store.home import connect, quoted


class SqlCheck:
    """Binds expressions in a connection that has the macros and can reach no file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, place: Place) -> None:
        self.connection, self.place = connection, place

    def row_of(self, feed: Feed) -> dict[str, str]:
        """What SQL over elements may name: the feed's elements and `as_of`."""
        return element_columns(feed) | {"as_of": "DATE"}

    def arriving_row_of(self, feed: Feed) -> dict[str, str]:
        """The same before the rows of other feeds are known: without codes whose scope stands in one."""
        unknown = {part for name in feed.scoped_by_lookup for part in (name, f"{name}_match", f"{name}_scopes")}
        return {name: kind for name, kind in self.row_of(feed).items() if name not in unknown}

    def projected_row_of(self, feed: Feed, feeds: Mapping[str, Feed]) -> dict[str, str]:
        """What the `when` of an entity row may name: besides, the feed's lookups as structs."""
        row = self.row_of(feed)
        for alias, lookup in feed.lookups.items():
            fields = element_columns(feeds[lookup.feed])
            row[alias] = f"STRUCT({', '.join(f'{quoted(name)} {kind}' for name, kind in fields.items())})"
        return row

    def condition(self, sql: str, columns: Mapping[str, str], *keys: str | int) -> None:
        """An expression that must be true or false of one row."""
        self.expression(f"CAST((\n{sql}\n) AS BOOLEAN)", columns, *keys)

    def expression(self, sql: str, columns: Mapping[str, str], *keys: str | int) -> None:
        """An expression over one row.

        Raises:
            DeclarationError: It names a column that is not there, is no SQL, needs more than one row, or calls what
                does not give the same answer every time.
        """
        given = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
        # In a WHERE stands only what gives one value for one row: no aggregate, window or unnest.
        statement = f"SELECT 1 FROM (SELECT {given or 'NULL AS none'}) AS arriving WHERE ({sql}\n) IS NOT NULL"
        try:
            found = self.connection.extract_statements(statement)
            if len(found) != 1:
                raise duckdb.ParserException("more than one statement")
            self.connection.execute(f"EXPLAIN {statement}")
        except duckdb.Error as error:
            raise self.place.wrong(
                f"this SQL cannot be used: {str(error).splitlines()[0]}", *keys, mend="see SQL in docs/mapping.md"
            ) from error
        called = _called(_parsed(self.connection, statement), known=frozenset(columns))
        if fickle := sorted(name for name in set(called) if is_fickle(name)):
            name = fickle[0].partition("/")[0]
            raise self.place.wrong(
                f"this SQL calls {name}, which does not give the same answer every time it is asked", *keys,
                mend="use as_of, the day the extract speaks for, in place of today; see SQL in docs/mapping.md",
            )  # fmt: skip


_OF_THE_CLOCK = {"current_time", "current_timestamp", "current_localtime", "current_localtimestamp", "localtime",
                 "localtimestamp", "age/1"}  # fmt: skip
"""What DuckDB's catalogue calls consistent, or knows only as a word of SQL, and yet looks at the clock."""


@cache
def _catalogue() -> tuple[frozenset[str], dict[str, str]]:
    """Functions of DuckDB that its own catalogue calls other than consistent, and its macros with their SQL."""
    with connect(memory_limit="200MB", threads=1) as con:
        rows = con.execute("SELECT function_name, stability, macro_definition FROM duckdb_functions()").fetchall()
    unsure = {str(name) for name, stability, _ in rows if stability and stability != "CONSISTENT"}
    return frozenset(unsure | _OF_THE_CLOCK), {str(name): str(body) for name, _, body in rows if body}


@cache
def is_fickle(called: str) -> bool:
    """Whether the answer of a function of DuckDB is not decided by its arguments alone; a macro's, if one it calls is.

    Args:
        called: Its name in lower case, or name/n for its form with n arguments.
    """
    fickle, macros = _catalogue()
    if called in fickle or called not in macros:
        return called in fickle
    with connect(memory_limit="200MB", threads=1) as con:
        tree = _parsed(con, f"SELECT {macros[called]}")
    return any(is_fickle(name) for name in set(_called(tree, known=frozenset())) - {called})


def _parsed(con: duckdb.DuckDBPyConnection, statement: str) -> Any:
    """DuckDB's own syntax tree of a SELECT."""
    return json.loads(con.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchall()[0][0])


def _called(tree: Any, *, known: frozenset[str]) -> Iterator[str]:
    """What a syntax tree calls: functions, with /n for n arguments too, and words that are no known column."""
    if isinstance(tree, list):
        for part in tree:
            yield from _called(part, known=known)
    elif isinstance(tree, dict):
        if name := tree.get("function_name"):
            yield str(name).lower()
            yield f"{str(name).lower()}/{len(tree.get('arguments') or [])}"
        named = tree.get("column_names") if tree.get("class") == "COLUMN_REF" else None
        if named and len(named) == 1 and named[0] not in known:
            yield str(named[0]).lower()
        for part in tree.values():
            yield from _called(part, known=known)
