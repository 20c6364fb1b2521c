"""Trying the SQL of declarations against the columns it may name, before any row is there."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from mappings.compile import element_columns
from mappings.declarations import Feed
from mappings.places import Place
from store.home import quoted


class SqlCheck:
    """Binds expressions in a connection that has the macros and can reach no file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, place: Place) -> None:
        self.connection, self.place = connection, place

    def row_of(self, feed: Feed) -> dict[str, str]:
        """What SQL over elements may name: the feed's elements and `as_of`."""
        return element_columns(feed) | {"as_of": "DATE"}

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
            DeclarationError: It names a column that is not there, is no SQL, or needs more than one row.
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
