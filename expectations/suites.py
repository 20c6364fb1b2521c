"""What must hold of the rows of each entity, as declared in suites/*.yaml, and what of it applies to a feed's rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from pydantic import Field, model_validator

from expectations.kinds import KINDS, Kind, check_regex
from standard.code_sets import code_set
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError
from standard.schema import Entity, entities
from store.extracts import Severity
from store.home import connect, quoted

FOLDER = Path(__file__).parent / "suites"

Value = str | int | float | bool | datetime
_ARGUMENTS = (
    "value_set", "value_pairs_set", "min_value", "max_value", "strict_min", "strict_max", "value", "sum_total",
    "or_equal", "regex", "regex_list", "match_on",
)  # fmt: skip
_NUMBERS = {"INTEGER", "BIGINT", "DOUBLE", "DECIMAL(9,4)"}
_MOMENTS = {"DATE", "TIMESTAMP"}


class Expectation(Declared):
    """One line of a suite: a Great Expectations expectation by its own name and arguments, and what to do about it."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    expect: str
    severity: Severity
    mend: str
    """What the agency can do, in its own words."""
    when: str | None = None
    """SQL over the entity's columns: only rows for which it is true are looked at."""
    column: str | None = None
    column_A: str | None = None
    column_B: str | None = None
    columns: tuple[str, ...] = ()
    mostly: float = Field(default=1.0, gt=0, le=1)
    """The share of rows for which it must hold; above it, the rows for which it does not are noted only."""
    code_set: str | None = None
    """A code set of the common schema in place of `value_set`."""
    value_set: tuple[str, ...] | None = None
    value_pairs_set: tuple[tuple[str, str], ...] | None = None
    min_value: str | None = None
    max_value: str | None = None
    strict_min: bool | None = None
    strict_max: bool | None = None
    value: str | None = None
    sum_total: str | None = None
    or_equal: bool | None = None
    regex: str | None = None
    regex_list: tuple[str, ...] | None = None
    match_on: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Expectation:
        if self.expect not in KINDS:
            raise ValueError(f"there is no expectation {self.expect!r}; known are: {', '.join(sorted(KINDS))}")
        if not self.kind.fits(self.named_columns()) or bool(self.columns) != (self.kind.columns == 3):
            raise ValueError(f"{self.expect} needs {self.kind.says_columns()}")
        given = {name for name in self.given() if name not in self.kind.arguments}
        if given:
            raise ValueError(f"{self.expect} does not take {', '.join(sorted(given))}")
        lacking = self.kind.needs - self.given().keys()
        if lacking:
            raise ValueError(f"{self.expect} needs {', '.join(sorted(lacking))}")
        return self

    @property
    def kind(self) -> Kind:
        """How it is evaluated."""
        return KINDS[self.expect]

    def named_columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        pair = (self.column_A, self.column_B)
        return (self.column,) if self.column else tuple(c for c in pair if c) or self.columns

    def given(self) -> dict[str, Any]:
        """The arguments that were given, as written; a code set as its codes."""
        given = {name: getattr(self, name) for name in _ARGUMENTS if getattr(self, name) is not None}
        if self.code_set:
            given["value_set"] = tuple(code_set(self.code_set))
        return given


class Suite(Declared):
    """What must hold of the rows of one entity."""

    entity: str
    expectations: tuple[Expectation, ...]

    @model_validator(mode="after")
    def _speaks_of_the_entity(self) -> Suite:
        if self.entity not in entities():
            raise ValueError(f"there is no entity {self.entity!r} in the common schema")
        stored = entities()[self.entity].stored_columns()
        for expectation in self.expectations:
            for column in expectation.named_columns():
                if column not in stored:
                    raise ValueError(f"{expectation.id}: {self.entity} has no column {column!r}")
        ids = [expectation.id for expectation in self.expectations]
        if twice := {name for name in ids if ids.count(name) > 1}:
            raise ValueError(f"the id {sorted(twice)[0]!r} stands twice")
        return self


@dataclass(frozen=True)
class Check:
    """An expectation on the columns of a relation that is to be checked, with typed arguments."""

    id: str
    """`entity.expectation`, with `#n` for the second and later rows of an entity that a source row makes."""
    expect: str
    severity: Severity
    mend: str
    columns: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    mostly: float = 1.0
    condition: str | None = None
    """A boolean column of the relation: only rows where it is true are looked at."""
    element: str = ""
    """The element of the feed, or else the column of the entity, that a finding names."""

    @property
    def kind(self) -> Kind:
        """How it is evaluated."""
        return KINDS[self.expect]


@cache
def load_suites(folder: Path = FOLDER) -> dict[str, Suite]:
    """All suites by entity.

    Raises:
        DeclarationError: A suite is wrong; with file and line.
    """
    suites = [(path, read_declaration(path, Suite)) for path in sorted(folder.glob("*.yaml"))]
    for path, suite in suites:
        if path.stem != suite.entity:
            raise DeclarationError(
                f"the suite of {suite.entity} stands in a file of another name",
                where=f"{path}, line 1",
                mend=f"name it {suite.entity}.yaml",
            )
        _try_arguments(path, suite, entities()[suite.entity])
    return {suite.entity: suite for _, suite in suites}


@cache
def expectations_of(entity: str, *, proved: frozenset[str] = frozenset()) -> tuple[Expectation, ...]:
    """What must hold of an entity's rows: its suite, and of every code that it is in the code set the schema names.

    Of the columns `proved` it is known already that they hold nothing else.
    """
    suite = load_suites().get(entity)
    return (suite.expectations if suite else ()) + tuple(
        Expectation(
            id=f"{name}_is_a_code",
            expect="expect_column_values_to_be_in_set",
            column=name,
            code_set=column.code_set,
            severity=Severity.ERROR,
            mend="report it to the exchange: its mapping gives a word that the common schema does not know",
        )
        for name, column in entities()[entity].columns.items()
        if column.code_set is not None and name not in proved
    )


def _try_arguments(path: Path, suite: Suite, entity: Entity) -> None:
    types = entity.stored_columns()
    for expectation in suite.expectations:
        try:
            typed_arguments(expectation, types, as_of=date.min)
            for regex in (expectation.regex, *(expectation.regex_list or ())):
                if regex is not None:
                    check_regex(regex)
            _try_condition(expectation.when, types)
        except (ValueError, re.error, duckdb.Error) as error:
            raise DeclarationError(
                f"{expectation.id}: {error}",
                where=str(path),
                mend="give values of the column's type, and SQL over columns",
            ) from error


def _try_condition(when: str | None, types: Mapping[str, str]) -> None:
    if when is None:
        return
    row = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in types.items())
    with connect(memory_limit="100MB", threads=1) as con:
        con.execute(f"EXPLAIN SELECT ({when})::BOOLEAN FROM (SELECT {row})").fetchall()


def typed_arguments(expectation: Expectation, types: Mapping[str, str], *, as_of: date) -> dict[str, Any]:
    """The arguments of an expectation in the types of its columns; `as_of` stands for the day the extract speaks for.

    Raises:
        ValueError: An argument is not of the column's type.
    """
    columns = expectation.named_columns()
    for column in columns:
        if types[column] not in expectation.kind.types:
            raise ValueError(f"{expectation.expect} does not fit the column {column} of type {types[column]}")
    kind = types[columns[0]] if columns else "INTEGER"
    given = expectation.given()
    for name, value in given.items():
        if name in expectation.kind.counted:
            given[name] = _typed(value, "INTEGER", as_of)
        elif name in {"min_value", "max_value", "sum_total"}:
            given[name] = _typed(value, "DOUBLE" if expectation.kind.measured else kind, as_of)
        elif name == "value_set":
            given[name] = [_typed(item, kind, as_of) for item in value]
        elif name == "value_pairs_set":
            given[name] = [tuple(_typed(v, types[c], as_of) for v, c in zip(p, columns, strict=True)) for p in value]
        elif name == "regex_list":
            given[name] = list(value)
    return given


def _typed(text: str, kind: str, as_of: date) -> Value:
    if kind in _MOMENTS:
        return datetime.combine(as_of, datetime.min.time()) if text == "as_of" else datetime.fromisoformat(text)
    if kind == "BOOLEAN":
        if text not in {"true", "false"}:
            raise ValueError(f"{text!r} is neither true nor false")
        return text == "true"
    if kind not in _NUMBERS:
        return text
    try:
        return int(text) if kind in {"INTEGER", "BIGINT"} else float(Decimal(text))
    except (ValueError, InvalidOperation) as error:
        raise ValueError(f"{text!r} is not a number") from error


def bind(
    expectations: Iterable[Expectation],
    *,
    entity: str,
    row: int,
    names: Mapping[str, str],
    types: Mapping[str, str],
    elements: Mapping[str, str],
    as_of: date,
) -> list[tuple[Check, str | None]]:
    """The checks that apply to one entity row of a feed, each with its `when` still in SQL over the entity's columns.

    Args:
        expectations: The suite of the entity.
        entity: Its name.
        row: Which of the feed's rows of this entity, from 0.
        names: Column of the entity -> column of the relation to be checked, for the columns the feed fills.
        types: Column of the entity -> SQL type.
        elements: Column of the entity -> element of the feed, where one fills it alone.
        as_of: The day the extract speaks for.
    """
    bound = []
    for expectation in expectations:
        columns = expectation.named_columns()
        if not set(columns) <= names.keys():
            continue
        check = Check(
            id=f"{entity}.{expectation.id}" + (f"#{row + 1}" if row else ""),
            expect=expectation.expect,
            severity=expectation.severity,
            mend=expectation.mend,
            columns=tuple(names[column] for column in columns),
            arguments=typed_arguments(expectation, types, as_of=as_of),
            mostly=expectation.mostly,
            element=elements.get(columns[0], f"{entity}.{columns[0]}") if columns else entity,
        )
        bound.append((check, expectation.when))
    return bound
