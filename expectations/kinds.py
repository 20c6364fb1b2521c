"""The expectations that may be declared, by Great Expectations' own names, each with the SQL that means the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import permutations
from typing import Any

from store.home import literal

Arguments = Mapping[str, Any]
TEXT = frozenset({"VARCHAR"})
NUMBERS = frozenset({"INTEGER", "BIGINT", "DOUBLE", "DECIMAL(9,4)"})
WHOLE = frozenset({"INTEGER", "BIGINT"})
ORDERED = TEXT | NUMBERS | {"DATE", "TIMESTAMP"}
ANY = ORDERED | {"BOOLEAN"}


class Scope(StrEnum):
    """What an expectation must see at once to judge."""

    ROW = "row"  # one row: any part of the rows may be judged apart
    EQUALS = "equals"  # all rows of equal values: parts made by the value may be judged apart
    DISTINCT = "distinct"  # the distinct values of a column
    COLUMN = "column"  # the whole of a column


def value_sql(value: object) -> str:
    """A typed value as an SQL literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, float):
        return f"{value!r}::DOUBLE"
    return str(value) if isinstance(value, int) else literal(str(value))


def _between(subject: str, given: Arguments) -> str:
    """The condition that a subject lies within the bounds given."""
    parts = []
    if "min_value" in given:
        parts.append(f"{subject} {'>' if given.get('strict_min') else '>='} {value_sql(given['min_value'])}")
    if "max_value" in given:
        parts.append(f"{subject} {'<' if given.get('strict_max') else '<='} {value_sql(given['max_value'])}")
    return " AND ".join(parts) or "true"


def _in_set(subject: str, given: Arguments) -> str:
    return f"{subject} IN ({', '.join(value_sql(value) for value in given['value_set']) or 'NULL'})"


def _greater(a: str, b: str, given: Arguments) -> str:
    return f"{a} {'>=' if given.get('or_equal') else '>'} {b}"


def _pair_in_set(a: str, b: str, given: Arguments) -> str:
    pairs = (f"({a} = {value_sql(x)} AND {b} = {value_sql(y)})" for x, y in given["value_pairs_set"])
    return " OR ".join(pairs) or "false"


def check_regex(regex: str) -> None:
    """Refuses a regular expression that Python (Great Expectations) and RE2 (DuckDB) read differently.

    Raises:
        ValueError: It is no regular expression, or uses a class that means other characters in the two.
    """
    re.compile(regex)
    if found := re.search(r"(?<!\\)(?:\\\\)*\\([dDwWsSbBAZz1-9])|\(\?[^:]", regex):
        raise ValueError(f"the regular expression uses {found.group().strip()!r}; write the characters out, as [0-9]")


def _regexp(subject: str, regex: str) -> str:
    """A search as Python does it: its $ also stands before a line break at the very end."""
    in_re2 = re.sub(
        r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\$", lambda m: r"(?:\n?\z)" if m.group() == "$" else m.group(), regex
    )
    return f"regexp_matches({subject}, {literal(in_re2)})"


def _matches(subject: str, given: Arguments) -> str:
    return _regexp(subject, given["regex"])


def _any_matches(subject: str, given: Arguments, *, join: str = " OR ") -> str:
    return join.join(_regexp(subject, regex) for regex in given["regex_list"])


def _matches_list(subject: str, given: Arguments) -> str:
    return _any_matches(subject, given, join=" AND " if given.get("match_on") == "all" else " OR ")


def _all_differ(columns: Sequence[str]) -> str:
    pairs = (f"{a} <> {b}" for n, a in enumerate(columns) for b in columns[n + 1 :])
    return " AND ".join(pairs)


@dataclass(frozen=True)
class Kind:
    """How one kind of expectation is evaluated in SQL."""

    scope: Scope
    columns: int
    """How many columns it names: 0, 1, 2 (column_A, column_B), or 3 for a list of two or more."""
    holds: Callable[[Sequence[str], Arguments], str]
    """The condition under which a row (or what was observed of the column) is as expected, as SQL."""
    observed: str = ""
    """What is observed of the whole: SQL over column `{0}` and its filter `{where}`; empty where rows are judged."""
    takes: str = ""
    requires: str = ""
    types: frozenset[str] = ANY
    counted: frozenset[str] = frozenset()
    """Arguments that are counts, whatever the column's type."""
    measured: bool = False
    """The bounds are decimal numbers whatever the column's type, and what is observed is rounded."""
    nulls_count: bool = False
    """Rows without a value are judged too."""
    extra: Arguments = field(default_factory=dict)
    """What Great Expectations must be told besides, so that both mean the same by rows without a value."""

    @property
    def arguments(self) -> frozenset[str]:
        """The arguments it takes."""
        return frozenset(self.takes.split()) | self.needs

    @property
    def needs(self) -> frozenset[str]:
        """The arguments it cannot do without."""
        return frozenset(self.requires.split())

    @property
    def judges_rows(self) -> bool:
        """Whether it says of each row if it is as expected."""
        return self.scope in {Scope.ROW, Scope.EQUALS}

    def fits(self, columns: Sequence[str]) -> bool:
        """Whether these are as many columns as it names."""
        return len(columns) >= 2 if self.columns == 3 else len(columns) == self.columns

    def says_columns(self) -> str:
        """The keys by which its columns are named."""
        return ("no column", "column", "column_A and column_B", "columns, two or more")[self.columns]


_BOUNDS = "min_value max_value strict_min strict_max"
_COUNTS = frozenset({"min_value", "max_value", "value"})
_EITHER = {"ignore_row_if": "either_value_is_missing"}
_SOME = {"ignore_row_if": "any_value_is_missing"}
_LENGTH = "length({})"


def _row(holds: Callable[[str, Arguments], str], **more: Any) -> Kind:
    return Kind(Scope.ROW, 1, lambda columns, given: holds(columns[0], given), **more)


def _pair(holds: Callable[[str, str, Arguments], str], **more: Any) -> Kind:
    return Kind(Scope.ROW, 2, lambda columns, given: holds(columns[0], columns[1], given), extra=_EITHER, **more)


def _column(observed: str, **more: Any) -> Kind:
    more = {"scope": Scope.COLUMN, "takes": _BOUNDS, **more}
    return Kind(columns=1, holds=lambda seen, given: _between(seen[0], given), observed=observed, **more)


def _set(observed: str, holds: Callable[[str, Arguments], str]) -> Kind:
    return Kind(Scope.DISTINCT, 1, lambda seen, given: holds(seen[0], given), observed=observed, requires="value_set")


def _list(values: Sequence[object]) -> str:
    return f"[{', '.join(value_sql(value) for value in values)}]"


KINDS: dict[str, Kind] = {
    "expect_column_values_to_not_be_null": _row(lambda c, _: f"{c} IS NOT NULL", nulls_count=True),
    "expect_column_values_to_be_null": _row(lambda c, _: f"{c} IS NULL", nulls_count=True),
    "expect_column_values_to_be_between": _row(_between, takes=_BOUNDS, types=ORDERED - TEXT),
    "expect_column_values_to_be_in_set": _row(_in_set, requires="value_set"),
    "expect_column_values_to_not_be_in_set": _row(lambda c, g: f"NOT ({_in_set(c, g)})", requires="value_set"),
    "expect_column_values_to_match_regex": _row(_matches, requires="regex", types=TEXT),
    "expect_column_values_to_not_match_regex": _row(
        lambda c, g: f"NOT {_matches(c, g)}", requires="regex", types=TEXT
    ),
    "expect_column_values_to_match_regex_list": _row(
        _matches_list, requires="regex_list", takes="match_on", types=TEXT
    ),
    "expect_column_values_to_not_match_regex_list": _row(
        lambda c, g: f"NOT ({_any_matches(c, g)})", requires="regex_list", types=TEXT
    ),
    "expect_column_value_lengths_to_be_between": _row(
        lambda c, g: _between(_LENGTH.format(c), g), takes=_BOUNDS, types=TEXT, counted=_COUNTS
    ),
    "expect_column_value_lengths_to_equal": _row(
        lambda c, g: f"{_LENGTH.format(c)} = {g['value']}", requires="value", types=TEXT, counted=_COUNTS
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(_greater, takes="or_equal", types=ORDERED - TEXT),
    "expect_column_pair_values_to_be_equal": _pair(lambda a, b, _: f"{a} = {b}"),
    "expect_column_pair_values_to_be_in_set": _pair(_pair_in_set, requires="value_pairs_set"),
    "expect_multicolumn_sum_to_equal": Kind(
        Scope.ROW, 3, lambda c, g: f"{' + '.join(c)} = {value_sql(g['sum_total'])}", requires="sum_total",
        types=WHOLE, extra=_SOME,
    ),
    "expect_select_column_values_to_be_unique_within_record": Kind(
        Scope.ROW, 3, lambda c, _: _all_differ(c), extra=_SOME
    ),
    "expect_column_values_to_be_unique": Kind(Scope.EQUALS, 1, lambda *_: ""),
    "expect_compound_columns_to_be_unique": Kind(Scope.EQUALS, 3, lambda *_: "", extra=_SOME),
    "expect_column_min_to_be_between": _column("min({0}) {where}", types=ORDERED - TEXT),
    "expect_column_max_to_be_between": _column("max({0}) {where}", types=ORDERED - TEXT),
    "expect_column_sum_to_be_between": _column("sum({0}) {where}", types=WHOLE),
    "expect_column_mean_to_be_between": _column("avg({0}) {where}", types=NUMBERS, measured=True),
    "expect_column_median_to_be_between": _column("median({0}) {where}", types=NUMBERS, measured=True),
    "expect_column_stdev_to_be_between": _column("stddev_samp({0}) {where}", types=NUMBERS, measured=True),
    "expect_column_unique_value_count_to_be_between": _column(
        "count(DISTINCT {0}) {where}", scope=Scope.DISTINCT, counted=_COUNTS, types=ANY - {"BOOLEAN"}
    ),
    "expect_column_proportion_of_unique_values_to_be_between": _column(
        "count(DISTINCT {0}) {where} / count({0}) {where}", measured=True, types=ANY - {"BOOLEAN"}
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": _column(
        "count({0}) {where} / count(*) {where}", measured=True, nulls_count=True
    ),
    "expect_column_distinct_values_to_be_in_set": _set(
        "list(DISTINCT {0}) {where}", lambda seen, g: f"list_has_all({_list(g['value_set'])}, {seen})"
    ),
    "expect_column_distinct_values_to_contain_set": _set(
        "list(DISTINCT {0}) {where}", lambda seen, g: f"list_has_all({seen}, {_list(g['value_set'])})"
    ),
    "expect_column_distinct_values_to_equal_set": _set(
        "list(DISTINCT {0}) {where}",
        lambda seen, g: " AND ".join(
            f"list_has_all({a}, {b})" for a, b in permutations((_list(g["value_set"]), seen))
        ),
    ),
    "expect_table_row_count_to_be_between": Kind(
        Scope.COLUMN, 0, lambda seen, g: _between(seen[0], g), observed="count(*) {where}", takes="min_value max_value",
        counted=_COUNTS, nulls_count=True,
    ),
    "expect_table_row_count_to_equal": Kind(
        Scope.COLUMN, 0, lambda seen, g: f"{seen[0]} = {g['value']}", observed="count(*) {where}", requires="value",
        counted=_COUNTS, nulls_count=True,
    ),
}  # fmt: skip
"""Every expectation that may be declared. A test holds each against Great Expectations' own engine."""
