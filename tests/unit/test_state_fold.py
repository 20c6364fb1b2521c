"""The rows in force: newest versions, withdrawals, and what protects a key from being withdrawn."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from store.home import Home
from tests.intake import Intake, feed

MONDAY, NEXT_MONDAY, LAST_MONDAY = date(2026, 3, 23), date(2026, 3, 30), date(2026, 4, 6)


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    elements = {"number": "identifier", "school": "text", "year": "text"}
    roll = feed("roll", holds="full", key=["number", "school"], window=["year"], elements=elements)
    table = {"arrives": {"table": "cases", "watermark": "ts", "census": True}, "format": {"kind": "table"}}
    return Intake(
        Home(tmp_path), {"roll": roll, "cases": feed("cases", holds="changes", **table), "nights": feed("nights")}
    )


def child(number: str | None, school: str | None = "0010", year: str = "2025-26") -> dict[str, str | None]:
    return {"number": number, "school": school, "year": year}


def test_a_child_that_is_no_longer_in_the_full_file_is_withdrawn(intake: Intake) -> None:
    intake.load("roll", [child("1"), child("2")])
    intake.load("roll", [child("1")], as_of=NEXT_MONDAY)
    assert (intake.in_force("roll"), intake.gone("roll")) == ([("1|0010",)], [("2|0010", "withdrawn")])


def test_a_withdrawn_child_that_comes_back_is_in_force_again(intake: Intake) -> None:
    intake.load("roll", [child("1"), child("2")])
    intake.load("roll", [child("1")], as_of=NEXT_MONDAY)
    intake.load("roll", [child("1"), child("2")], as_of=LAST_MONDAY)
    assert intake.in_force("roll") == [("1|0010",), ("2|0010",)]


def test_a_full_file_of_one_year_withdraws_nothing_of_another(intake: Intake) -> None:
    intake.load("roll", [child("1", year="2024-25"), child("2")])
    intake.load("roll", [child("3")], as_of=NEXT_MONDAY)
    assert intake.in_force("roll") == [("1|0010",), ("3|0010",)]


def test_an_unreadable_record_protects_its_key(intake: Intake) -> None:
    intake.load("roll", [child("1"), child("2"), child("3")])
    torn = {"_record": 2, "_line": 3, "code": "ragged", "raw_key": "2|0010"}
    intake.load("roll", [child("1")], as_of=NEXT_MONDAY, unreadable=[torn])
    assert intake.in_force("roll") == [("1|0010",), ("2|0010",)]


def test_a_record_cut_in_its_key_protects_all_that_begin_alike(intake: Intake) -> None:
    intake.load("roll", [child("1"), child("2", "0010"), child("2", "0020"), child("3")])
    torn = {"_record": 2, "_line": 3, "code": "ragged", "raw_key": "2"}
    intake.load("roll", [child("1")], as_of=NEXT_MONDAY, unreadable=[torn])
    assert intake.in_force("roll") == [("1|0010",), ("2|0010",), ("2|0020",)]


def test_a_damaged_number_protects_the_children_of_its_school(intake: Intake) -> None:
    intake.load("roll", [child("1"), child("2"), child("3", "0020")])
    intake.load("roll", [child("1"), child(None)], as_of=NEXT_MONDAY)
    assert intake.in_force("roll") == [("1|0010",), ("2|0010",)]


def test_a_row_purged_at_the_source_is_seen_by_the_census(intake: Intake) -> None:
    intake.load("cases", [{"number": "1", "grade": "a"}, {"number": "2", "grade": "b"}, {"number": "3", "grade": "c"}])
    intake.load("cases", [{"number": "3", "grade": "d"}], as_of=NEXT_MONDAY, census=["1"])
    assert (intake.in_force("cases"), intake.gone("cases")) == ([("1",), ("3",)], [("2", "purged")])


def test_a_late_older_night_never_wins_over_a_newer_row(intake: Intake) -> None:
    intake.load("nights", [{"number": "1", "grade": "new", "_version": "0330"}], as_of=NEXT_MONDAY)
    intake.load("nights", [{"number": "1", "grade": "old", "_version": "0323"}], as_of=MONDAY)
    assert intake.in_force("nights", "grade") == [("new",)]


def test_what_is_gone_keeps_its_key_and_nothing_of_the_person(intake: Intake) -> None:
    intake.load("nights", [{"number": "1", "grade": "5", "_version": "1"}])
    intake.load("nights", [{"number": "1", "_action": "delete", "_version": "2"}], as_of=NEXT_MONDAY)
    assert intake.gone("nights") == [("1", "deleted")]
    assert intake.in_force("nights") == []


def test_without_a_version_the_later_day_wins_also_after_an_unchanged_row(intake: Intake) -> None:
    intake.load("nights", [{"number": "1", "grade": "a"}])
    intake.load("nights", [{"number": "1", "grade": "a"}], as_of=LAST_MONDAY)
    intake.load("nights", [{"number": "1", "grade": "b"}], as_of=NEXT_MONDAY)
    assert intake.in_force("nights", "grade") == [("a",)]


def test_a_row_that_came_again_unchanged_is_still_of_the_day_that_brought_it(intake: Intake) -> None:
    intake.load("nights", [{"number": "1", "grade": "a"}], as_of=NEXT_MONDAY)
    intake.load("nights", [{"number": "1", "grade": "a"}], as_of=LAST_MONDAY)
    assert intake.in_force("nights", "_extract[:4]", "_since", "_as_of") == [("x001", NEXT_MONDAY, LAST_MONDAY)]
