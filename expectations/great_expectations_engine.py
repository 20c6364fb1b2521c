"""The same checks in Great Expectations' own engine: the judge of every batch, and the oracle of our compiled SQL."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import duckdb

from expectations.compile import Outcome, holds_mostly
from expectations.kinds import Scope
from expectations.suites import Check
from standard.errors import AccountError
from store.home import quoted

ROWS_AT_ONCE = 200_000
"""Rows of a relation that are in memory as a data frame at one time."""

_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}
_IDS = _COUNTS | {"result_format": "COMPLETE", "unexpected_index_column_names": ["_record"]}


@dataclass(frozen=True)
class _Engine:
    """Great Expectations, imported once: it takes seconds."""

    gx: Any
    expectations: Any
    suite: Any
    column: Any
    batch_definition: Any


@cache
def _engine() -> _Engine:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.row_conditions import Column

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("kith").add_dataframe_asset("rows")
    return _Engine(gx, gxe, ExpectationSuite, Column, asset.add_batch_definition_whole_dataframe("batch"))


def expectation_suite(checks: Sequence[Check]) -> Any:
    """The checks as a Great Expectations ExpectationSuite; each expectation bears its check's id in `meta`."""
    engine = _engine()
    suite = engine.suite(name="batch")
    for check in checks:
        suite.add_expectation(_expectation(engine, check))
    return suite


def _expectation(engine: _Engine, check: Check) -> Any:
    name = "".join(word.capitalize() for word in check.expect.split("_")).replace("ValuesAToBe", "ValuesAToBe")
    given: dict[str, Any] = dict(check.arguments) | dict(check.kind.extra)
    if check.kind.columns == 1:
        given["column"] = check.columns[0]
    elif check.kind.columns == 2:
        given["column_A"], given["column_B"] = check.columns
    elif check.kind.columns == 3:
        given["column_list"] = list(check.columns)
    if check.kind.judges_rows and check.kind.columns < 3:
        given["mostly"] = check.mostly
    if check.condition:
        given["row_condition"] = engine.column(check.condition) == True  # noqa: E712
    return getattr(engine.expectations, name)(**given, meta={"id": check.id})


def validate(con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str) -> list[Outcome]:
    """Lets Great Expectations judge a relation, in parts of bounded size whose counts are put together.

    Checks of single rows get the rows part by part; checks of equal values get parts made by the hash of the value,
    so that equal values are in one part; checks of a whole column get that column alone.

    Raises:
        AccountError: Great Expectations could not evaluate an expectation.
    """
    total = int(con.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])
    found: dict[str, Outcome] = {}
    for part in _parts(con, checks, relation, total):
        for name, outcome in part.items():
            found[name] = _together(found[name], outcome) if name in found else outcome
    return [_settled(found[check.id], check.mostly) for check in checks]


def _parts(
    con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str, total: int
) -> Iterator[dict[str, Outcome]]:
    whole = total <= ROWS_AT_ONCE
    together = [check for check in checks if not _apart(check) and (whole or check.kind.scope is Scope.ROW)]
    yield from _by_rows(con, together, relation, total)
    for check in checks:
        if check in together:
            continue
        if check.kind.scope is Scope.ROW:
            chosen = f"(SELECT * FROM {relation} WHERE {quoted(check.condition or '')})"
            yield from _by_rows(con, [replace(check, condition=None)], chosen, total)
        elif check.kind.scope is Scope.EQUALS:
            yield from _by_value(con, check, relation, total)
        else:
            distinct = "DISTINCT" if check.kind.scope is Scope.DISTINCT else ""
            yield _judge(_frame(con, f"SELECT {distinct} {_names([check])} FROM {relation}"), [check])


def _apart(check: Check) -> bool:
    """Whether Great Expectations must be given the rows of a condition rather than the condition."""
    return check.condition is not None and not check.kind.takes_condition


def _by_rows(
    con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str, total: int
) -> Iterator[dict[str, Outcome]]:
    if not checks:
        return
    columns = _names(checks)
    if total <= ROWS_AT_ONCE:
        yield _judge(_frame(con, f"SELECT _record, {columns} FROM {relation}"), checks)
        return
    [(highest,)] = con.execute(f"SELECT coalesce(max(_record), 0) FROM {relation}").fetchall()
    for start in range(0, int(highest) + 1, ROWS_AT_ONCE):
        where = f"_record >= {start} AND _record < {start + ROWS_AT_ONCE}"
        yield _judge(_frame(con, f"SELECT _record, {columns} FROM {relation} WHERE {where}"), checks)


def _by_value(con: duckdb.DuckDBPyConnection, check: Check, relation: str, total: int) -> Iterator[dict[str, Outcome]]:
    keys = ", ".join(quoted(column) for column in check.columns)
    buckets = math.ceil(total / ROWS_AT_ONCE)
    for bucket in range(buckets):
        where = f"hash({keys}) % {buckets} = {bucket}"
        yield _judge(_frame(con, f"SELECT {_names([check])} FROM {relation} WHERE {where}"), [check])


def _names(checks: Sequence[Check]) -> str:
    names = {column for check in checks for column in (*check.columns, check.condition) if column}
    return ", ".join(quoted(name) for name in sorted(names)) or "true"


def _frame(con: duckdb.DuckDBPyConnection, query: str) -> Any:
    return con.sql(query).df()


def _judge(frame: Any, checks: Sequence[Check], result_format: Mapping[str, Any] | None = None) -> dict[str, Outcome]:
    results = _results(frame, checks, result_format or _COUNTS)
    return {check.id: _outcome(check, results[check.id]) for check in checks if check.id in results}


def _results(frame: Any, checks: Sequence[Check], result_format: Mapping[str, Any]) -> dict[str, Any]:
    if not checks:
        return {}
    batch = _engine().batch_definition.get_batch(batch_parameters={"dataframe": frame})
    # Great Expectations keeps one of several equal expectations, which different entities may well have.
    asked = {
        check.id: (check.expect, check.columns, repr(check.arguments), check.condition, check.mostly)
        for check in checks
    }
    once = {asked[check.id]: check for check in checks}
    validated = batch.validate(expectation_suite(list(once.values())), result_format=dict(result_format))
    answers = {asked[result.expectation_config.meta["id"]]: result for result in validated.results}
    results = {check.id: answers[asked[check.id]] for check in checks}
    for name, result in results.items():
        if result.exception_info.get("raised_exception", True):
            # What Great Expectations says of an exception may hold a value; only its place is passed on.
            raise AccountError(
                f"Great Expectations could not evaluate the expectation {name}",
                where=f"expectations/suites/{name.split('.')[0]}.yaml",
                mend="give arguments that fit the type of the column",
            )
    return results


def _outcome(check: Check, result: Any) -> Outcome:
    values = result.result
    if not check.kind.judges_rows:
        seen = values.get("observed_value")
        return Outcome(
            check.id, bool(result.success), -1, None, float(seen) if check.kind.measured and seen is not None else None
        )
    missing = 0 if check.kind.nulls_count else int(values.get("missing_count") or 0)
    considered = int(values.get("element_count", 0)) - missing
    return Outcome(check.id, bool(result.success), considered, int(values.get("unexpected_count", 0)))


def _together(one: Outcome, other: Outcome) -> Outcome:
    """Two parts of the rows as one; only checks that judge rows come in parts."""
    assert one.unexpected is not None and other.unexpected is not None
    considered, unexpected = one.considered + other.considered, one.unexpected + other.unexpected
    return Outcome(one.id, one.holds and other.holds, considered, unexpected)


def _settled(outcome: Outcome, mostly: float) -> Outcome:
    if outcome.unexpected is None:
        return outcome
    holds = holds_mostly(outcome.considered, outcome.unexpected, mostly)
    return Outcome(outcome.id, holds, outcome.considered, outcome.unexpected)


def failing_records(frame: Any, checks: Sequence[Check]) -> dict[str, tuple[bool, set[int] | None]]:
    """Great Expectations' COMPLETE result: the verdict of each check and the `_record` of every failing row.

    Holds the whole frame and all ids in memory: meant for a comparison, not for a run.
    """
    results = _results(frame, [check for check in checks if not _apart(check)], _IDS)
    for check in checks:
        if _apart(check):
            results |= _results(frame[frame[check.condition].astype(bool)], [replace(check, condition=None)], _IDS)
    return {check.id: (bool(results[check.id].success), _records(check, results[check.id])) for check in checks}


def _records(check: Check, result: Any) -> set[int] | None:
    if not check.kind.judges_rows:
        return None
    listed = result.result.get("unexpected_index_list") or []
    return {int(record) for entry in listed for record in entry["_record"]}


def disagreements(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> list[str]:
    """The ids of checks on which two engines differ: in the verdict, or in how many rows fail.

    A rounded measure that lies on its bound may fall on either side; it agrees where both saw the same measure. A
    column without any value is not judged as a whole, whatever an engine says of nothing.
    """
    return [a.id for a, b in zip(ours, theirs, strict=True) if not _agree(a, b)]


def _agree(a: Outcome, b: Outcome) -> bool:
    if a.holds == b.holds and a.unexpected == b.unexpected:
        return True
    if a.unexpected is None and a.considered == 0:
        return True
    if a.observed is None or b.observed is None:
        return False
    return math.isclose(a.observed, b.observed, rel_tol=1e-9, abs_tol=1e-12)
