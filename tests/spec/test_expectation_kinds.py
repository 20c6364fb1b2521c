"""Every kind of expectation means in SQL what it means in Great Expectations' own engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from expectations import great_expectations_engine as engine
from expectations.compile import Outcome, disagreements, run_checks
from expectations.kinds import KINDS
from expectations.suites import Check
from store.extracts import Severity

MARCH, MAY = datetime(2026, 3, 1), datetime(2026, 5, 1)


def check(expect: str, *columns: str, condition: str | None = None, mostly: float = 1.0, **arguments: Any) -> Check:
    return Check(
        id=f"{expect}/{'+'.join(columns)}/{sorted(arguments)}/{mostly}/{condition or ''}", expect=expect,
        severity=Severity.WARNING, mend="", columns=columns, arguments=arguments, mostly=mostly, condition=condition,
    )  # fmt: skip


def suite(condition: str | None) -> Iterator[Check]:
    """Every kind, in the forms a suite uses."""
    told = [
        ("not_be_null", ("text",), {}), ("not_be_null", ("text",), {"mostly": 0.5}), ("be_null", ("day",), {}),
        ("be_between", ("day",), {"min_value": MARCH, "max_value": MAY, "strict_max": True}),
        ("be_between", ("whole",), {"min_value": 1, "strict_min": True}),
        ("be_between", ("part",), {"min_value": 0.0, "max_value": 1.0, "mostly": 0.6}),
        ("be_in_set", ("text",), {"value_set": ["a", "b1"]}), ("be_in_set", ("whole",), {"value_set": [1, 2]}),
        ("be_in_set", ("yes",), {"value_set": [True]}), ("be_in_set", ("day",), {"value_set": [MARCH]}),
        ("not_be_in_set", ("text",), {"value_set": ["a"]}), ("not_be_in_set", ("whole",), {"value_set": [0]}),
        ("match_regex", ("text",), {"regex": "^[a-z][0-9]?$"}), ("not_match_regex", ("text",), {"regex": "[0-9]"}),
        ("match_regex_list", ("text",), {"regex_list": ["^a", "1$"]}),
        ("match_regex_list", ("text",), {"regex_list": ["^a", "1$"], "match_on": "all"}),
        ("not_match_regex_list", ("text",), {"regex_list": ["^a", "1$"]}),
        ("be_unique", ("text",), {}), ("be_unique", ("whole",), {}), ("be_unique", ("day",), {"mostly": 0.7}),
    ]  # fmt: skip
    for name, columns, arguments in told:
        yield check(f"expect_column_values_to_{name}", *columns, condition=condition, **arguments)
    others = [
        ("column_value_lengths_to_be_between", ("text",), {"min_value": 2, "max_value": 3}),
        ("column_value_lengths_to_equal", ("text",), {"value": 2}),
        ("column_pair_values_a_to_be_greater_than_b", ("later", "day"), {"or_equal": True}),
        ("column_pair_values_a_to_be_greater_than_b", ("whole", "other"), {}),
        ("column_pair_values_to_be_equal", ("text", "word"), {}),
        ("column_pair_values_to_be_equal", ("day", "later"), {}),
        ("column_pair_values_to_be_in_set", ("text", "word"), {"value_pairs_set": [("a", "a"), ("b1", "é")]}),
        ("multicolumn_sum_to_equal", ("whole", "other"), {"sum_total": 2}),
        ("select_column_values_to_be_unique_within_record", ("text", "word"), {}),
        ("compound_columns_to_be_unique", ("text", "whole"), {}),
        ("column_min_to_be_between", ("day",), {"min_value": MARCH}),
        ("column_min_to_be_between", ("whole",), {"max_value": 0}),
        ("column_max_to_be_between", ("part",), {"max_value": 1.0}),
        ("column_sum_to_be_between", ("whole",), {"min_value": 1}),
        ("column_mean_to_be_between", ("part",), {"min_value": 0.25}),
        ("column_median_to_be_between", ("whole",), {"max_value": 1.0}),
        ("column_stdev_to_be_between", ("whole",), {"max_value": 1.0}),
        ("column_unique_value_count_to_be_between", ("text",), {"min_value": 2, "max_value": 4}),
        ("column_proportion_of_unique_values_to_be_between", ("text",), {"min_value": 0.5}),
        ("column_proportion_of_non_null_values_to_be_between", ("text",), {"min_value": 0.5}),
        ("column_distinct_values_to_be_in_set", ("text",), {"value_set": ["a", "b1", "é"]}),
        ("column_distinct_values_to_contain_set", ("whole",), {"value_set": [1]}),
        ("column_distinct_values_to_equal_set", ("word",), {"value_set": ["a", "é"]}),
        ("table_row_count_to_be_between", (), {"min_value": 3, "max_value": 9}),
        ("table_row_count_to_equal", (), {"value": 5}),
    ]  # fmt: skip
    for name, columns, arguments in others:
        yield check(f"expect_{name}", *columns, condition=condition, **arguments)


# An example takes Great Expectations a second: a failing one is shown as it is, not made smaller.
QUICK: dict[str, Any] = {
    "deadline": None, "phases": (Phase.explicit, Phase.reuse, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}  # fmt: skip

EVERY = [*suite(None), *suite("counts")]

ROW = st.fixed_dictionaries(
    {
        "text": st.sampled_from([None, "a", "a", "b1", "B1", "é", "🙂1", "a\n", "", " a", "31/02"]),
        "word": st.sampled_from([None, "a", "é", "b1"]),
        "whole": st.sampled_from([None, 0, 1, 2, -3, 2_000_000_000]),
        "other": st.sampled_from([None, 0, 1, 2]),
        "part": st.sampled_from([None, 0.0, 0.25, 0.5, 1.0, 1.5]),
        "day": st.sampled_from([None, date(2026, 3, 1), date(2026, 4, 30), date(2026, 5, 1), date(1699, 1, 1)]),
        "later": st.sampled_from([None, date(2026, 3, 1), date(2026, 5, 2)]),
        "yes": st.sampled_from([None, True, False]),
        "counts": st.booleans(),
    }
)
TYPES = pa.schema(
    [("_record", pa.int64()), ("text", pa.string()), ("word", pa.string()), ("whole", pa.int32()),
     ("other", pa.int32()), ("part", pa.float64()), ("day", pa.date32()), ("later", pa.date32()),
     ("yes", pa.bool_()), ("counts", pa.bool_())]
)  # fmt: skip


def relation(rows: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    table = pa.Table.from_pylist([row | {"_record": n} for n, row in enumerate(rows, start=1)], schema=TYPES)
    con.register("rows", table)
    return con


def ours(con: duckdb.DuckDBPyConnection, checks: list[Check]) -> tuple[list[Outcome], dict[str, set[int]]]:
    outcomes = run_checks(con, checks, "rows")
    failing: dict[str, set[int]] = {each.id: set() for each in checks}
    for record, number in con.execute("SELECT _record, number FROM failing").fetchall():
        failing[checks[number].id].add(record)
    return outcomes, failing


def test_every_kind_is_held_against_the_engine() -> None:
    assert {each.expect for each in EVERY} == KINDS.keys()
    assert len(KINDS) >= 20


@settings(max_examples=10, **QUICK)
@given(st.lists(ROW, min_size=1, max_size=14))
def test_sql_and_the_engine_give_one_verdict_and_the_same_failing_rows(rows: list[dict[str, Any]]) -> None:
    with relation(rows) as con:
        outcomes, failing = ours(con, EVERY)
        # A column without any value is not judged as a whole: nothing was observed.
        judged = [c for c, o in zip(EVERY, outcomes, strict=True) if c.kind.judges_rows or o.considered > 1]
        theirs = engine.failing_records(con.sql("SELECT * FROM rows").df(), judged)
    verdicts = {outcome.id: outcome.holds for outcome in outcomes}
    for each in judged:
        holds, records = theirs[each.id]
        assert verdicts[each.id] == holds, each.id
        if records is not None:
            assert failing[each.id] == records, each.id


@settings(max_examples=2, **QUICK)
@given(st.lists(ROW, min_size=9, max_size=20))
def test_the_engine_judges_parts_as_it_judges_the_whole(rows: list[dict[str, Any]]) -> None:
    with relation(rows) as con, pytest.MonkeyPatch.context() as patch:
        outcomes, _ = ours(con, EVERY)
        whole = engine.validate(con, EVERY, "rows")
        assert disagreements(outcomes, whole) == []
        patch.setattr(engine, "ROWS_AT_ONCE", 4)
        assert disagreements(whole, engine.validate(con, EVERY, "rows")) == []
        patch.setattr(engine, "MANY_VALUES", 1)
        assert disagreements(whole, engine.validate(con, EVERY, "rows")) == []


@settings(max_examples=3, **QUICK)
@given(st.lists(ROW, min_size=1, max_size=6))
def test_the_engine_judges_distinct_values_as_it_judges_every_row(rows: list[dict[str, Any]]) -> None:
    of_rows = [each for each in EVERY if each.kind.judges_rows]
    # The same asked of several columns of one type is one expectation, whichever of them a row fails.
    of_rows += [check("expect_column_values_to_match_regex", "word", regex="^[a-z][0-9]?$")]
    of_rows += [check("expect_column_values_to_be_between", "later", min_value=MARCH, max_value=MAY, strict_max=True)]
    with relation(rows * 3 + rows[:1]) as con:
        every_row = engine.failing_records(con.sql("SELECT * FROM rows").df(), of_rows)
        outcomes = {outcome.id: outcome for outcome in engine.validate(con, of_rows, "rows")}
    for each in of_rows:
        holds, records = every_row[each.id]
        assert (outcomes[each.id].holds, outcomes[each.id].unexpected) == (holds, len(records or ())), each.id


def test_a_difference_between_the_engines_is_found() -> None:
    a, b = Outcome("x", True, 10, 0), Outcome("x", True, 10, 1)
    assert disagreements([a], [b]) == ["x"]
    assert disagreements([a], [Outcome("x", False, 10, 0)]) == ["x"]


def test_what_the_engine_keeps_of_a_batch_holds_no_value() -> None:
    secret = "Zebedee Canary"
    with relation([{"text": secret, "counts": True}]) as con:
        never = [check("expect_column_values_to_be_in_set", "text", value_set=["a"])]
        assert secret not in repr(engine.validate(con, never, "rows"))
