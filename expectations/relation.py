"""A batch's rows in the terms of the common schema, one row for every source row, so that suites can judge them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date

import duckdb

from expectations.suites import Check, bind, load_suites
from mappings.declarations import Feed, split_template, template_parts
from standard.schema import entities
from store.home import literal, quoted

_WORD = re.compile(r"'(?:[^']|'')*'|[a-z_][a-z0-9_]*")
"""A text in quotes, which stays, or a word, which may be a column of the entity."""


def make_relation(
    con: duckdb.DuckDBPyConnection, feed: Feed, *, source: str, as_of: date, name: str = "checked"
) -> list[Check]:
    """Makes the view that a feed's checks look at, and gives the checks.

    The view has `_record`, one column for every (entity row, column) a check looks at, and one boolean column for every
    condition: that the source row makes the entity row at all, and an expectation's `when`. Columns that come from
    another feed (a lookup) are not judged here; they are where they come from.

    Args:
        con: The connection that has `source`.
        feed: Whose rows these are.
        source: A table or view with the columns of mapped.parquet.
        as_of: The day the extract speaks for.
        name: The view that is made.
    """
    checks: list[Check] = []
    selected: dict[str, str] = {}
    for entity, row, declared in _entity_rows(feed):
        suite = load_suites().get(entity)
        if suite is None:
            continue
        values = _values(feed, entity, declared)
        names = {column: f"{entity}_{row + 1}.{column}" for column in values}
        elements = {column: text for column, text in declared.items() if text in feed.elements}
        bound = bind(
            suite.expectations, entity=entity, row=row, names=names, types=entities()[entity].stored_columns(),
            elements=elements, as_of=as_of,
        )  # fmt: skip
        for check, when in bound:
            condition = _condition(declared.get("when"), when, values)
            if condition is not None:
                at = f"{check.id}?"
                selected[at] = condition
                check = replace(check, condition=at)
            selected |= {column: values[column.partition(".")[2]] for column in check.columns}
            checks.append(check)
    columns = "".join(f", {expression} AS {quoted(column)}" for column, expression in selected.items())
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT _record{columns} FROM {source}")
    return checks


def _entity_rows(feed: Feed) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """The entity rows that the feed's own elements decide on."""
    for entity, rows in feed.entities.items():
        for number, declared in enumerate(rows):
            if not any(re.search(rf"\b{re.escape(lookup)}\.", declared.get("when", "")) for lookup in feed.lookups):
                yield entity, number, declared


def _condition(row_when: str | None, when: str | None, values: Mapping[str, str]) -> str | None:
    """When a source row makes the entity row and the expectation looks at it, as SQL over elements."""
    parts = [f"({row_when})"] if row_when else []
    if when:
        parts.append("(" + _WORD.sub(lambda word: values.get(word.group(), word.group()), when) + ")")
    return f"coalesce({' AND '.join(parts)}, false)" if parts else None


def _values(feed: Feed, entity: str, declared: Mapping[str, str]) -> dict[str, str]:
    """Column of the entity -> SQL over the feed's elements."""
    columns = entities()[entity].columns
    types = entities()[entity].stored_columns()
    values = {}
    for column, text in declared.items():
        if column not in columns or any("." in part for part in template_parts(text)):
            continue
        if text.startswith("=") or "{" in text or text in feed.elements:
            kind = "DOUBLE" if types[column].startswith("DECIMAL") else types[column]
            values[column] = f"({value_sql(text)})::{kind}"
    return values


def value_sql(text: str) -> str:
    """What an entity row declares for a column (element, =constant or template) as SQL over elements."""
    if text.startswith("="):
        return literal(text[1:])
    if "{" not in text:
        return quoted(text)
    parts = [f"{quoted(piece)}::VARCHAR" if own else literal(piece) for own, piece in split_template(text)]
    return " || ".join(parts)
