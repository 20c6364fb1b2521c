"""Great Expectations judges the same in a process of its own, and nothing is used where that process fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.great_expectations_engine import validate
from expectations.judge_process import JudgeProcess
from expectations.suites import Check
from flows import run
from flows.night import run_night
from standard.errors import AccountError
from store.extracts import Severity
from tests.exchange import MONDAY, PARTIES, small_exchange

ROWS = "(VALUES (1, 'Osei', 3), (2, NULL, 40), (3, 'Quillfeather', 5)) AS rows(_record, surname, grade)"


def check(expect: str, column: str, **arguments: Any) -> Check:
    return Check(f"person_name.{expect}", expect, Severity.ERROR, "mend it", (column,), arguments)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    process = JudgeProcess(tmp_path_factory.mktemp("spill"))
    yield process
    process.close()


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TEMP TABLE checked AS FROM {ROWS}")
        yield connection


def test_it_gives_the_verdicts_of_the_engine_here_and_keeps_no_rows(
    judge: JudgeProcess, con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    checks = [
        check("expect_column_values_to_not_be_null", "surname"),
        check("expect_column_values_to_be_between", "grade", min_value=0, max_value=12),
        check("expect_column_values_to_be_unique", "grade"),
    ]
    theirs = judge(con, checks, "checked", beside=tmp_path)
    assert list(theirs()) == validate(con, checks, "checked")
    assert [outcome.unexpected for outcome in theirs()] == [1, 1, 0]
    assert list(tmp_path.iterdir()) == []


def test_what_it_cannot_judge_is_told_without_a_value_and_it_goes_on(
    judge: JudgeProcess, con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    wrong = [check("expect_column_values_to_be_between", "surname", min_value=1, max_value=2)]
    with pytest.raises(AccountError) as told:
        judge(con, wrong, "checked", beside=tmp_path)()
    assert "Quillfeather" not in str(told.value)
    right = [check("expect_column_values_to_not_be_null", "surname")]
    assert [outcome.unexpected for outcome in judge(con, right, "checked", beside=tmp_path)()] == [1]


def test_a_process_that_has_died_is_an_error(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    process = JudgeProcess(tmp_path / "spill")
    process._process.kill()
    asked = process(con, [check("expect_column_values_to_not_be_null", "surname")], "checked", beside=tmp_path)
    with pytest.raises(AccountError, match="process of Great Expectations has ended"):
        asked()
    assert list(tmp_path.iterdir()) == []
    process.close()


def test_a_night_with_much_to_judge_keeps_the_same_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    for name, much in (("here", run.MUCH_TO_JUDGE), ("beside", 0)):
        monkeypatch.setattr(run, "MUCH_TO_JUDGE", much)
        (tmp_path / name).mkdir()
        small = small_exchange(tmp_path / name)
        small.put_students()
        small.record(*PARTIES)
        assert run_night(small.home, now=MONDAY).failures == ()
        said = [json.loads(path.read_text()) for path in small.home.batches.glob("*/validation.json")]
        kept.append({each["extract_id"]: each["results"] for each in said})
        assert not list(small.home.batches.glob("*/.*"))
    assert kept[0] == kept[1]
    assert sorted(len(results) > 0 for results in kept[0].values()) == [True, True]
