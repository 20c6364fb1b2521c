"""Codes that no crosswalk knows: they wait, each with the scope it was given in, for a line that says what it means."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import duckdb

from mappings.declarations import Feed
from store.home import literal, quoted


def columns_of(con: duckdb.DuckDBPyConnection, relation: str) -> set[str]:
    """The columns of a table or a view."""
    return {str(row[0]) for row in con.execute(f"DESCRIBE {relation}").fetchall()}


def pending_codes_sql(
    con: duckdb.DuckDBPyConnection, feed: Feed, known: Sequence[tuple[str, str]], *, rows: str = "mapped"
) -> str:  # fmt: skip
    """`element, scope, value, rows`: codes as sent that no crosswalk knows, by the scope they were given in.

    One of `known` that is known by now has 0 rows. `rows` are mapped rows with the columns of `mapped`.
    """
    there = columns_of(con, "mapped")
    counted = ["SELECT NULL::VARCHAR AS element, NULL::VARCHAR AS scope, NULL::VARCHAR AS value, 0 AS rows WHERE false"]
    for name, element in feed.elements.items():
        if element.code is None:
            continue
        source, unseen = quoted(f"{name}_source"), f"{quoted(f'{name}_match')} = 'unmapped'"
        if f"{name}_scope" in there and name in feed.scoped_by_lookup:
            # Where the row that gives the scope is not there yet, nothing is unseen.
            unseen = f"contains(concat(' ', _problems, ' '), {literal(f' {name}:unmapped_code ')})"
        waiting = ", ".join(literal(value) for of, value in known if of == name) or "NULL"
        counted.append(
            f"SELECT {literal(name)}, {_scope_sql(feed, name, there)} AS scope, {source},"
            f" count(*) FILTER (WHERE {unseen}) FROM {rows}"
            f" WHERE {source} IS NOT NULL AND ({unseen} OR {source} IN ({waiting})) GROUP BY ALL"
        )
    return " UNION ALL ".join(counted)


def _scope_sql(feed: Feed, name: str, there: Collection[str]) -> str:
    """The scope of a code as the agency writes it; empty where it has none."""
    code = feed.elements[name].code
    assert code is not None
    own = [f"{name}_scope"] if name in feed.scoped_by_lookup else [f"{code.scope}_source", code.scope]
    told = next((column for column in own if column in there), None)
    return f"coalesce(CAST({quoted(told)} AS VARCHAR), '')" if told else "''"
