"""Every received row goes to one place, in the order of the rules."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from standard.errors import ExtractError
from store.home import Home
from tests.intake import Intake, feed, read, went

MONDAY, TUESDAY, NEXT_MONDAY = date(2026, 3, 23), date(2026, 3, 24), date(2026, 3, 30)


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return Intake(Home(tmp_path / "home"), {"students": feed(), "roll": feed("roll", holds="full")})


def test_a_copy_within_the_file_counts_once(intake: Intake) -> None:
    row = {"number": "0001", "grade": "05"}
    checked = intake.load("students", [row, {"number": "0002", "grade": "05"}, row])
    assert went(checked) == [(1, "accepted", ""), (2, "accepted", ""), (3, "duplicate", "exact_copy")]


def test_a_row_already_in_force_as_it_is_changes_nothing(intake: Intake) -> None:
    intake.load("students", [{"number": "0001", "grade": "05"}])
    again = intake.load(
        "students", [{"number": "0001", "grade": "05"}, {"number": "0001", "grade": "06"}], as_of=TUESDAY
    )
    assert went(again) == [(1, "duplicate", "unchanged"), (2, "accepted", "")]
    assert intake.in_force("students", "_key", "grade") == [("0001", "06")]


def test_a_key_that_comes_twice_with_other_content_keeps_the_first_row(intake: Intake) -> None:
    checked = intake.load("students", [{"number": "0001", "grade": "05"}, {"number": "0001", "grade": "06"}])
    assert went(checked) == [(1, "accepted", ""), (2, "quarantined", "conflicting_key")]


def test_two_versions_of_a_key_are_both_accepted_and_the_newest_is_in_force(intake: Intake) -> None:
    rows = [
        {"number": "0001", "grade": "06", "_version": "2026-03-23 09:00"},
        {"number": "0001", "grade": "05", "_version": "2026-03-23 08:00"},
    ]
    assert went(intake.load("students", rows)) == [(1, "accepted", ""), (2, "accepted", "")]
    assert intake.in_force("students", "grade") == [("06",)]


def test_a_row_without_a_key_is_quarantined_for_what_took_its_key(intake: Intake) -> None:
    rows = [
        {"number": None, "grade": "05", "_problems": "number:blank_required"},
        {"number": None, "grade": "06"},
    ]
    assert went(intake.load("students", rows)) == [(1, "quarantined", "blank_required"), (2, "quarantined", "no_key")]


def test_a_delete_of_an_unknown_key_is_set_apart_and_deletes_nothing(intake: Intake) -> None:
    intake.load("students", [{"number": "0001", "grade": "05"}])
    rows = [{"number": "0001", "_action": "delete"}, {"number": "0009", "_action": "delete"}]
    checked = intake.load("students", rows, as_of=TUESDAY)
    assert went(checked) == [(1, "accepted", ""), (2, "quarantined", "delete_unknown_key")]
    assert intake.gone("students") == [("0001", "deleted")]


def test_an_unreadable_record_is_quarantined_and_the_others_keep_their_numbers(intake: Intake) -> None:
    ragged = {"_record": 2, "_line": 3, "code": "ragged", "raw_key": "0002"}
    checked = intake.load("students", [{"number": "0001", "grade": "05"}], unreadable=[ragged])
    assert went(checked) == [(1, "accepted", ""), (2, "quarantined", "ragged")]


def test_a_warning_goes_along_and_an_error_stays_behind(tmp_path: Path) -> None:
    declared = feed(elements={"number": {"column": "N", "identifier": {}, "required": True}, "born": "date"})
    intake = Intake(Home(tmp_path), {"students": declared})
    checked = intake.load("students", [{"number": "0001", "born": None, "_problems": "born:unparsable_date"}])
    assert went(checked) == [(1, "accepted", "")]
    assert read(f"SELECT _record, element, rule, severity, code FROM '{checked.findings}'") == [
        (1, "born", "mapping", "warning", "unparsable_date")
    ]


def test_a_held_file_is_quarantined_whole_and_nothing_of_it_is_in_force(intake: Intake) -> None:
    intake.load("roll", [{"number": "0001", "grade": "05"}])
    checked = intake.load("roll", [{"number": "0002", "grade": "05"}], as_of=NEXT_MONDAY, hold="truncated")
    assert (checked.held, went(checked)) == ("truncated", [(1, "quarantined", "truncated")])
    assert intake.in_force("roll") == [("0001",)]


def test_a_full_file_older_than_the_one_in_force_is_withheld(intake: Intake) -> None:
    intake.load("roll", [{"number": "0001", "grade": "06"}], as_of=NEXT_MONDAY)
    late = intake.load("roll", [{"number": "0001", "grade": "05"}, {"number": "0002", "grade": "05"}])
    assert went(late) == [(1, "withheld", "superseded_by_newer"), (2, "withheld", "superseded_by_newer")]
    assert intake.in_force("roll", "_key", "grade") == [("0001", "06")]


@pytest.mark.parametrize(("as_of", "goes"), [(MONDAY, "superseded_by_newer"), (date(2026, 4, 6), "unlisted")])
def test_an_unlisted_file_is_held_unless_a_later_one_has_replaced_it(intake: Intake, as_of: date, goes: str) -> None:
    intake.load("roll", [{"number": "0001", "grade": "06"}], as_of=NEXT_MONDAY)
    unlisted = intake.load("roll", [{"number": "0001", "grade": "05"}], as_of=as_of, hold="unlisted")
    assert [reason for _, _, reason in went(unlisted)] == [goes]
    assert intake.in_force("roll", "_key", "grade") == [("0001", "06")]


def test_a_full_file_is_superseded_only_where_the_later_one_speaks(tmp_path: Path) -> None:
    declared = feed("roll", holds="full", window=["year"], elements={"number": "identifier", "year": "text"})
    intake = Intake(Home(tmp_path), {"roll": declared})
    intake.load("roll", [{"number": "0001", "year": "2026-27"}], as_of=NEXT_MONDAY)
    late = intake.load("roll", [{"number": "0002", "year": "2025-26"}, {"number": "0003", "year": "2026-27"}])
    assert went(late) == [(1, "accepted", ""), (2, "withheld", "superseded_by_newer")]
    assert intake.in_force("roll") == [("0001",), ("0002",)]


def test_a_row_out_of_scope_is_withheld_and_counted(tmp_path: Path) -> None:
    rule = {"drop": "number = '0000'", "reason": "test record"}
    intake = Intake(Home(tmp_path), {"students": feed(scope=[rule])})
    assert went(intake.load("students", [{"number": "0000"}])) == [(1, "withheld", "out_of_scope")]


def test_a_row_that_names_nobody_in_force_is_an_orphan(tmp_path: Path) -> None:
    marks = feed(
        "marks", elements={"mark": "identifier", "number": "identifier"}, key=["mark"],
        references=[{"elements": ["number"], "feed": "students", "to": ["number"]}],
    )  # fmt: skip
    intake = Intake(Home(tmp_path), {"students": feed(), "marks": marks})
    intake.load("students", [{"number": "0001", "grade": "05"}])
    rows = [{"mark": "a", "number": "0001"}, {"mark": "b", "number": "0009"}, {"mark": "c", "number": None}]
    checked = intake.load("marks", rows)
    assert went(checked) == [(1, "accepted", ""), (2, "quarantined", "orphan"), (3, "accepted", "")]
    assert read(f"SELECT _line, element, rule FROM '{checked.findings}'") == [(3, "number", "reference")]


@pytest.fixture
def court(tmp_path: Path) -> Intake:
    sealed = {"reason": "sealed", "when": "sealed = 'Y'", "covers": "cases/{case_id}", "lasting": True}
    cases = feed("cases", key=["case_id"], elements={"case_id": "identifier", "sealed": "text"}, withhold=[sealed])
    return Intake(Home(tmp_path), {"cases": cases})


def orders(intake: Intake) -> list[tuple[str, str, bool]]:
    with intake.ledger.reading() as connection:
        return [tuple(r) for r in connection.exec_driver_sql("SELECT ref, reason, arrived FROM order_ ORDER BY 1")]


def test_an_order_that_arrives_withholds_its_row_and_every_later_one(court: Intake) -> None:
    court.load("cases", [{"case_id": "C1", "sealed": "N"}, {"case_id": "C2", "sealed": "N"}])
    order = court.load("cases", [{"case_id": "C1", "sealed": "Y"}], as_of=TUESDAY)
    assert went(order) == [(1, "withheld", "sealed")]
    reopened = court.load("cases", [{"case_id": "C1", "sealed": "N", "_version": "9"}], as_of=NEXT_MONDAY)
    assert went(reopened) == [(1, "withheld", "sealed")]
    assert orders(court) == [("town_school/cases/C1", "sealed", True)]


def test_a_case_sealed_at_first_sight_is_accepted_and_noted(court: Intake) -> None:
    first = court.load("cases", [{"case_id": "C1", "sealed": "Y"}])
    assert went(first) == [(1, "accepted", "")]
    assert orders(court) == [("town_school/cases/C1", "sealed", False)]


def test_a_row_with_a_fault_still_brings_its_order(court: Intake) -> None:
    court.load("cases", [{"case_id": "C1", "sealed": "N"}])
    rows = [{"case_id": "C1", "sealed": "N", "_version": None, "x": 1}, {"case_id": "C1", "sealed": "Y"}]
    checked = court.load("cases", rows, as_of=TUESDAY)
    assert went(checked)[1] == (2, "quarantined", "conflicting_key")
    assert orders(court) == [("town_school/cases/C1", "sealed", True)]


def test_a_file_with_too_many_rows_in_error_is_held_whole(intake: Intake) -> None:
    bad = [{"number": None, "grade": str(n)} for n in range(5)]
    good = [{"number": f"{n:04d}", "grade": "05"} for n in range(15)]
    checked = intake.load("students", bad + good)
    assert checked.held == "error_limit"
    assert {reason for _, _, reason in went(checked)} == {"error_limit"}


def test_a_few_rows_in_error_never_hold_a_small_file(intake: Intake) -> None:
    checked = intake.load("students", [{"number": None}, {"number": "0001"}])
    assert checked.held is None


def test_a_full_file_that_would_withdraw_a_fifth_of_all_is_held(intake: Intake) -> None:
    children = [{"number": f"{n:04d}", "grade": "05"} for n in range(100)]
    intake.load("roll", children)
    checked = intake.load("roll", children[:79], as_of=NEXT_MONDAY)
    assert checked.held == "mass_withdrawal"
    assert len(intake.in_force("roll")) == 100
    assert intake.load("roll", children[:80], as_of=date(2026, 4, 6)).held is None
    assert len(intake.in_force("roll")) == 80


def test_codes_no_crosswalk_knows_wait_in_the_ledger_until_one_does(tmp_path: Path) -> None:
    elements = {"number": "identifier", "sex": {"column": "Sex", "code": {"crosswalk": "sex"}}}
    intake = Intake(Home(tmp_path), {"students": feed(elements=elements)})
    unseen = {"sex": None, "sex_source": "Q", "sex_match": "unmapped"}
    intake.load("students", [{"number": "1", **unseen}, {"number": "2", **unseen}])
    with intake.ledger.reading() as connection:
        pending = connection.exec_driver_sql("SELECT element, value, rows FROM code_pending").all()
    assert [tuple(row) for row in pending] == [("sex", "Q", 2)]
    intake.load("students", [{"number": "3", "sex": "X", "sex_source": "Q", "sex_match": "exact"}])
    with intake.ledger.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM code_pending").scalar() == 0


def test_sql_of_a_feed_may_name_the_day_and_a_row_of_another_feed(tmp_path: Path) -> None:
    rule = {"drop": "header.type = 'adult' OR heard > as_of", "reason": "adult case"}
    hearings = feed(
        "hearings", key=["hearing"], elements={"hearing": "identifier", "case_id": "identifier", "heard": "date"},
        lookups={"header": {"feed": "cases", "on": {"case_id": "case_id"}}}, scope=[rule],
    )  # fmt: skip
    cases = feed("cases", key=["case_id"], elements={"case_id": "identifier", "type": "text"})
    intake = Intake(Home(tmp_path), {"cases": cases, "hearings": hearings})
    rows = [{"hearing": "H1", "case_id": "C1", "heard": MONDAY}, {"hearing": "H2", "case_id": "C2", "heard": TUESDAY}]
    assert went(intake.check(intake.land("hearings", rows)))[0] == (1, "accepted", "")
    intake.load("cases", [{"case_id": "C1", "type": "adult"}, {"case_id": "C2", "type": "child"}])
    checked = intake.load("hearings", rows)
    assert went(checked) == [(1, "withheld", "out_of_scope"), (2, "withheld", "out_of_scope")]


def test_sql_that_fails_on_a_row_is_told_without_the_value(tmp_path: Path) -> None:
    rule = {"drop": "grade::INTEGER > 12", "reason": "not a pupil"}
    intake = Intake(Home(tmp_path), {"students": feed(scope=[rule])})
    with pytest.raises(ExtractError) as told:
        intake.load("students", [{"number": "1", "grade": "canary"}])
    assert "canary" not in str(told.value) and told.value.__cause__ is None
