"""The same checks in Great Expectations' own engine: the judge of every batch, and the oracle of our compiled SQL."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, reduce
from importlib import import_module
from itertools import chain
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa

from expectations.compile import Outcome, holds_mostly
from expectations.kinds import Scope
from expectations.suites import Check
from standard.errors import AccountError
from store.home import quoted

ROWS_AT_ONCE = 100_000
"""Rows of a relation, or distinct values of its columns, that are in memory as a data frame at one time."""

MANY_VALUES = 2_000
"""Distinct values from which on an expectation gets a data frame of its own."""

_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}
_IDS = _COUNTS | {"result_format": "COMPLETE", "return_unexpected_index_query": False}


@dataclass(frozen=True)
class _Engine:
    """Great Expectations, imported once: it takes seconds."""

    gx: Any
    expectations: Any
    suite: Any
    batch_definition: Any


class _StandIn(ModuleType):
    """A module that is imported when something of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import itself
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


@contextmanager
def _imported_when_used(*names: str) -> Iterator[None]:
    """While its body imports others, stand-ins take the place of some modules; what was imported before stays."""
    stand_ins = {name: _StandIn(name) for name in names if name not in sys.modules}
    for name, module in stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent in stand_ins:
            setattr(stand_ins[parent], child, module)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


@cache
def _engine() -> _Engine:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # Of these come charts and distributions: a second of time and 50 MiB that no expectation declared here needs.
    with _imported_when_used("altair", "scipy", "scipy.stats"):
        import great_expectations as gx
        import great_expectations.expectations as gxe
        from great_expectations.core.expectation_suite import ExpectationSuite
        from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("kith").add_dataframe_asset("rows")
    return _Engine(gx, gxe, ExpectationSuite, asset.add_batch_definition_whole_dataframe("batch"))


def expectation_suite(checks: Sequence[Check]) -> Any:
    """The checks as a Great Expectations ExpectationSuite; each expectation bears its check's id in `meta`.

    A condition is not in it: Great Expectations is given the rows for which it is true.
    """
    engine = _engine()
    suite = engine.suite(name="batch")
    for check in checks:
        suite.add_expectation(_expectation(engine, check))
    return suite


def _expectation(engine: _Engine, check: Check) -> Any:
    name = "".join(word.capitalize() for word in check.expect.split("_"))
    given: dict[str, Any] = dict(check.arguments) | dict(check.kind.extra)
    if check.kind.columns == 1:
        given["column"] = check.columns[0]
    elif check.kind.columns == 2:
        given["column_A"], given["column_B"] = check.columns
    elif check.kind.columns == 3:
        given["column_list"] = list(check.columns)
    if check.kind.judges_rows and check.kind.columns < 3:
        given["mostly"] = check.mostly
    return getattr(engine.expectations, name)(**given, meta={"id": check.id})


def validate(con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str) -> list[Outcome]:
    """Lets Great Expectations judge a relation, in frames of bounded size.

    Whether a single row is as expected depends on nothing but the values of its columns. So Great Expectations is given
    each distinct value once, and what it finds counts for all rows that have it; checks that ask the same of several
    columns are asked together. Checks of equal values get parts made by the hash of the value, so that equal values are
    in one part; checks of a whole column get that column alone.

    Raises:
        AccountError: Great Expectations could not evaluate an expectation.
    """
    of_rows = [check for check in checks if check.kind.scope is Scope.ROW]
    found = {outcome.id: outcome for outcome in _by_distinct_values(con, of_rows, relation)}
    for check in checks:
        if check.kind.scope is Scope.EQUALS:
            found[check.id] = _by_parts(con, check, relation)
        elif check.kind.scope is not Scope.ROW:
            distinct = "DISTINCT" if check.kind.scope is Scope.DISTINCT else ""
            found[check.id] = _judge(con, check, f"SELECT {distinct} {_names(check)} FROM {_chosen(check, relation)}")
    return [_settled(found[check.id], check.mostly) for check in checks]


@dataclass(frozen=True)
class _Alike:
    """Checks that ask the same of columns of the same types: one expectation on the values of all of them.

    Their distinct values are the temporary table `side`n, n being its own number: `number`n (which of the checks),
    `rows`n (how many rows have these values) and `v`n_0, `v`n_1 (the values).
    """

    n: int
    checks: Sequence[Check]

    @property
    def values(self) -> list[str]:
        return [f"v{self.n}_{place}" for place in range(len(self.checks[0].columns))]

    @property
    def asked(self) -> Check:
        return replace(self.checks[0], columns=tuple(self.values))

    @property
    def columns_sql(self) -> str:
        """The columns of a frame; no row has the values where other expectations of the suite have more to look at."""
        counted = (f"coalesce({name}{self.n}, 0) AS {name}{self.n}" for name in ("number", "rows"))
        return ", ".join([*counted, *self.values])

    def distinct_sql(self, relation: str) -> str:
        return " UNION ALL ".join(
            f"SELECT {number} AS number{self.n}, count(*) AS rows{self.n}, "
            + ", ".join(f"{quoted(c)} AS {v}" for c, v in zip(check.columns, self.values, strict=True))
            + f" FROM {_chosen(check, relation)} GROUP BY {', '.join(quoted(c) for c in check.columns)}"
            for number, check in enumerate(self.checks)
        )

    def judged(self, table: pa.Table, frame: Any, result: Any) -> list[Outcome]:
        """What came of the checks on the rows of a table, of which Great Expectations saw the values as a frame."""
        considered = frame.index if self.asked.kind.nulls_count else frame[self.values].dropna().index
        unexpected = result.result["unexpected_index_list"]
        counts = zip(self.checks, self._rows(table, considered), self._rows(table, unexpected), strict=True)
        return [Outcome(check.id, failing == 0, rows, failing) for check, rows, failing in counts]

    def _rows(self, table: pa.Table, places: Sequence[int]) -> list[int]:
        """How many rows each check has among those that stand at some places of a table."""
        import numpy as np

        number, rows = (table[f"{name}{self.n}"].to_numpy()[list(places)] for name in ("number", "rows"))
        return [int(each) for each in np.bincount(number, rows, minlength=len(self.checks))]


def _by_distinct_values(con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str) -> Iterator[Outcome]:
    """Judges checks of single rows by the distinct values of their columns, each with the number of its rows."""
    found: dict[str, Outcome] = {}
    lists = _alike(con, checks, relation)
    for framed in _side_by_side(con, lists, relation):
        columns = ", ".join(alike.columns_sql for alike in framed)
        sides = " POSITIONAL JOIN ".join(f"side{alike.n}" for alike in framed)
        for table in _tables(con, f"SELECT {columns} FROM {sides}"):
            frame = table.select([name for alike in framed for name in alike.values]).to_pandas(date_as_object=False)
            results = _results(frame, [alike.asked for alike in framed], _IDS)
            for outcome in chain.from_iterable(alike.judged(table, frame, results[alike.asked.id]) for alike in framed):
                found[outcome.id] = _together(found[outcome.id], outcome) if outcome.id in found else outcome
    for alike in lists:
        con.execute(f"DROP TABLE side{alike.n}")
    yield from found.values()


def _side_by_side(con: duckdb.DuckDBPyConnection, lists: Sequence[_Alike], relation: str) -> list[list[_Alike]]:
    """Makes the distinct values of each list, and says which lists are judged in one frame.

    Great Expectations copies the whole frame for each of its expectations: lists with many values go alone.
    """
    together: list[_Alike] = []
    alone: list[list[_Alike]] = []
    for alike in lists:
        con.execute(f"CREATE OR REPLACE TEMP TABLE side{alike.n} AS {alike.distinct_sql(relation)}")
        [(values,)] = con.execute(f"SELECT count(*) FROM side{alike.n}").fetchall()
        if values > MANY_VALUES:
            alone.append([alike])
        else:
            together.append(alike)
    return [together, *alone] if together else alone


def _tables(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    """The rows of a query in tables of bounded size; at least one, so that expectations on no row are asked."""
    reader = con.sql(query).to_arrow_reader(ROWS_AT_ONCE)
    gathered = [reader.schema.empty_table()]
    for batch in chain(reader, [None]):
        if batch is None or sum(part.num_rows for part in gathered) + batch.num_rows > ROWS_AT_ONCE:
            yield pa.concat_tables(gathered)
            gathered = []
        if batch is not None:
            gathered.append(pa.Table.from_batches([batch]))


def _alike(con: duckdb.DuckDBPyConnection, checks: Iterable[Check], relation: str) -> list[_Alike]:
    types = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    lists: dict[tuple[object, ...], list[Check]] = {}
    for check in checks:
        asked = (check.expect, repr(check.arguments), *(types[column] for column in check.columns))
        lists.setdefault(asked, []).append(check)
    return [_Alike(n, alike) for n, alike in enumerate(lists.values())]


def _chosen(check: Check, relation: str) -> str:
    """The rows that a check looks at by its condition."""
    return f"(SELECT * FROM {relation} WHERE {quoted(check.condition)})" if check.condition else relation


def _by_parts(con: duckdb.DuckDBPyConnection, check: Check, relation: str) -> Outcome:
    chosen = _chosen(check, relation)
    [(total,)] = con.execute(f"SELECT count(*) FROM {chosen}").fetchall()
    parts = max(1, math.ceil(int(total) / ROWS_AT_ONCE))
    where = f"hash({_names(check)}) % {parts}"
    judged = (_judge(con, check, f"SELECT {_names(check)} FROM {chosen} WHERE {where} = {n}") for n in range(parts))
    return reduce(_together, judged)


def _names(check: Check) -> str:
    return ", ".join(quoted(column) for column in check.columns) or "true"


def _judge(con: duckdb.DuckDBPyConnection, check: Check, query: str) -> Outcome:
    [result] = _results(con.sql(query).df(), [check], _COUNTS).values()
    return _outcome(check, result)


def _results(frame: Any, checks: Sequence[Check], result_format: Mapping[str, Any]) -> dict[str, Any]:
    batch = _engine().batch_definition.get_batch(batch_parameters={"dataframe": frame})
    validated = batch.validate(expectation_suite(checks), result_format=dict(result_format))
    results = {str(result.expectation_config.meta["id"]): result for result in validated.results}
    for check in checks:
        if results[check.id].exception_info.get("raised_exception", True):
            # What Great Expectations says of an exception may hold a value; only its place is passed on.
            raise AccountError(
                f"Great Expectations could not evaluate the expectation {check.id}",
                where=f"expectations/suites/{check.id.split('.')[0]}.yaml",
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
    considered = int(values.get("element_count", 0)) - int(values.get("missing_count") or 0)
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
    results: dict[str, Any] = {}
    for condition in {check.condition for check in checks}:
        rows = frame[frame[condition].astype(bool)] if condition else frame
        of_rows = [check for check in checks if check.condition == condition]
        results |= _results(rows, of_rows, _IDS | {"unexpected_index_column_names": ["_record"]})
    return {check.id: (bool(results[check.id].success), _records(check, results[check.id])) for check in checks}


def _records(check: Check, result: Any) -> set[int] | None:
    if not check.kind.judges_rows:
        return None
    listed = result.result.get("unexpected_index_list") or []
    return {int(record) for entry in listed for record in entry["_record"]}
