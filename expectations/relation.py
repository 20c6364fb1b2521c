"""A batch's rows in the terms of the common schema, one row for every source row, so that suites can judge them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import duckdb

from expectations.suites import Check, bind, expectations_of
from mappings.compile import template_sql
from mappings.declarations import Feed, template_parts
from mappings.scoped_codes import StateOf
from standard.schema import entities
from store.home import literal, quoted

_WORD = re.compile(r"'(?:[^']|'')*'|[a-z_][a-z0-9_]*")
"""A text in quotes, which stays, or a word, which may be a column of the entity."""


def make_relation(
    con: duckdb.DuckDBPyConnection, feed: Feed, *, source: str, as_of: date, name: str = "checked"
) -> list[Check]:
    """Makes the view that a feed's checks look at, and gives the checks.

    The view has `_record`, one column for every (entity row, column) a check looks at, empty where the source row does
    not make the entity row, and one boolean column for every condition under which a check looks at a row. Columns that
    come from another feed (a lookup) are not judged here; they are where they come from.

    Args:
        con: The connection that has `source`.
        feed: Whose rows these are.
        source: A table or view of the feed's rows as `in_terms_sql` gives them.
        as_of: The day the extract speaks for.
        name: The view that is made.
    """
    view = _View()
    for entity, rows in feed.entities.items():
        for number, declared in enumerate(rows):
            view.add(feed, entity, number, declared, as_of=as_of)
    columns = "".join(f", {expression} AS {quoted(column)}" for expression, column in view.columns.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT _record{columns} FROM {source}")
    return view.checks


@dataclass
class _View:
    """The view while it is put together."""

    checks: list[Check] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    """SQL over elements -> the column that holds it; what is the same is computed and judged once."""
    judged: set[tuple[object, ...]] = field(default_factory=set)

    def add(self, feed: Feed, entity: str, number: int, declared: Mapping[str, str], *, as_of: date) -> None:
        """Adds what an entity's suite says of one entity row."""
        stored = entities()[entity].stored_columns()
        values = _values(feed, entity, declared)
        elements = {column: text for column, text in declared.items() if text in feed.elements}
        # A constant is checked once and for all when the declaration is loaded, and so are the codes of a crosswalk.
        names = {column: column for column in values if not declared[column].startswith("=")}
        proved = frozenset(column for column, name in elements.items() if feed.elements[name].code is not None)
        bound = bind(
            expectations_of(entity, proved=proved),
            entity=entity,
            row=number,
            names=names,
            types=stored,
            elements=elements,
            as_of=as_of,
        )
        for check, when in bound:
            row_when = declared.get("when")
            # A row that does not make the entity row has no value there; who judges such rows too needs the condition.
            condition = _condition(row_when if when or check.kind.nulls_count else None, when, _absent(stored) | values)
            masked = {column: _masked(values[column], row_when) for column in check.columns}
            same = (check.id.partition("#")[0], *masked.values(), condition)
            if same in self.judged:
                continue
            self.judged.add(same)
            judged = [self._column(sql, f"{entity}_{number + 1}_{column}") for column, sql in masked.items()]
            at = self._column(condition, f"when_{len(self.columns)}") if condition else None
            self.checks.append(replace(check, columns=tuple(judged), condition=at))

    def _column(self, expression: str, name: str) -> str:
        return self.columns.setdefault(expression, name)


def _absent(stored: Mapping[str, str]) -> dict[str, str]:
    """Columns that a feed does not fill, as SQL."""
    return dict.fromkeys(stored, "NULL")


def _masked(expression: str, when: str | None) -> str:
    return f"CASE WHEN {when} THEN {expression} END" if when else expression


def in_terms_sql(feed: Feed, source: str, *, as_of: date, state_of: StateOf) -> str:
    """A relation of a feed's rows with what the SQL of its declaration may name besides elements.

    That is `as_of`, the day the extract speaks for, and each lookup: the row in force of another feed, as a struct.
    """
    joins, structs = [], []
    for alias, lookup in feed.lookups.items():
        path = state_of(lookup.feed)
        if path is None:
            fields = sorted(set(re.findall(rf"\b{re.escape(alias)}\.([a-z][a-z0-9_]*)", sql_of(feed))))
            absent = ", ".join(f"{quoted(name)} VARCHAR" for name in fields or ["none"])
            structs.append(f", NULL::STRUCT({absent}) AS {quoted(alias)}")
            continue
        found = f"(SELECT found FROM read_parquet({literal(path)}) found WHERE _deleted IS NULL)"
        same = [f"{quoted(alias)}.found.{quoted(theirs)} = own.{quoted(mine)}" for mine, theirs in lookup.on.items()]
        joins.append(f" LEFT JOIN {found} {quoted(alias)} ON {' AND '.join(same)}")
        structs.append(f", {quoted(alias)}.found AS {quoted(alias)}")
    return f"(SELECT own.*, DATE '{as_of}' AS as_of{''.join(structs)} FROM {source} own{''.join(joins)})"


def sql_of(feed: Feed) -> str:
    """All SQL of a feed's declaration that is run on mapped rows."""
    rows = [text for rows in feed.entities.values() for row in rows for text in row.values()]
    return " ".join([*rows, *(rule.drop for rule in feed.scope), *(rule.when for rule in feed.withhold)])


def _condition(row_when: str | None, when: str | None, values: Mapping[str, str]) -> str | None:
    """When a source row makes the entity row and the expectation looks at it, as SQL over elements.

    `values` has the SQL of every column of the entity; that of one the row does not declare is NULL.
    """
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
    return template_sql(text)
