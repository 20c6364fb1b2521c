"""Rows in quarantine are tried again, cleared by what is newer, shown without a value, and released by a person."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from expectations.quarantine import count_quarantine, list_quarantine, mend_of, read_as_sent, show_row
from expectations.retry import clear_superseded, release_row, retry_quarantined
from expectations.trace import find_record, trace_row
from standard.errors import AccountError, ExtractError
from store.accounts import require_rows_agree, require_sums_hold
from store.home import Home
from store.ledger import account
from tests.intake import Intake, feed

MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 23), date(2026, 3, 24), date(2026, 3, 25)


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    elements = {"mark": "identifier", "number": "identifier", "grade": "text"}
    of_student = [{"elements": ["number"], "feed": "students", "to": ["number"]}]
    marks = feed("marks", key=["mark"], elements=elements, references=of_student)
    return Intake(Home(tmp_path), {"students": feed(), "marks": marks, "roll": feed("roll", holds="full")})


def retry(intake: Intake, name: str) -> int:
    return retry_quarantined(intake.home, intake.ledger, intake.agency, intake.feeds[name])


def clear(intake: Intake, name: str) -> int:
    return clear_superseded(intake.home, intake.ledger, intake.agency, intake.feeds[name])


def accounts(intake: Intake, extract_id: str) -> list[tuple[str, str, int]]:
    with intake.ledger.reading() as connection:
        rows = connection.execute(account.select().where(account.c.extract_id == extract_id)).all()
    return sorted((row.disposition, row.reason, row.rows) for row in rows)


def test_an_orphan_is_accepted_once_what_it_names_has_come(intake: Intake) -> None:
    checked = intake.load("marks", [{"mark": "m", "number": "1"}, {"mark": "n", "number": "9"}])
    assert retry(intake, "marks") == 0
    intake.load("students", [{"number": "1", "grade": "5"}])
    assert retry(intake, "marks") == 1
    assert intake.in_force("marks") == [("m",)]
    extract_id = checked.batch.extract.extract_id
    assert accounts(intake, extract_id) == [("accepted", "retried", 1), ("quarantined", "orphan", 1)]
    with intake.ledger.reading() as connection:
        require_sums_hold(connection)
        require_rows_agree(connection, checked)


def test_an_orphan_that_is_also_in_error_stays_for_its_error(intake: Intake) -> None:
    checked = intake.load("marks", [{"mark": "m", "number": "1", "_problems": "number:blank_required"}])
    intake.load("students", [{"number": "1", "grade": "5"}])
    assert retry(intake, "marks") == 1
    assert accounts(intake, checked.batch.extract.extract_id) == [("quarantined", "blank_required", 1)]
    assert intake.in_force("marks") == []


def test_a_delete_that_came_before_its_row_deletes_it_afterwards(intake: Intake) -> None:
    intake.load("students", [{"number": "1", "_action": "delete", "_version": "2"}])
    intake.load("students", [{"number": "1", "grade": "5", "_version": "1"}], as_of=TUESDAY)
    assert (retry(intake, "students"), intake.in_force("students")) == (1, [])


def test_a_newer_row_of_the_same_key_clears_what_was_held(intake: Intake) -> None:
    held = intake.load("students", [{"number": "1", "grade": "5"}, {"number": "1", "grade": "6"}])
    assert clear(intake, "students") == 0
    intake.load("students", [{"number": "1", "grade": "7"}], as_of=TUESDAY)
    assert clear(intake, "students") == 1
    assert clear(intake, "students") == 0
    assert list_quarantine(intake.home, intake.ledger) == []
    assert accounts(intake, held.batch.extract.extract_id) == [
        ("accepted", "", 1),
        ("quarantined", "conflicting_key", 1),
    ]


def test_a_newer_full_file_clears_the_file_that_was_held(intake: Intake) -> None:
    intake.load("roll", [{"number": "1", "grade": "5"}], hold="truncated")
    assert [count.rows for count in count_quarantine(intake.home, intake.ledger)] == [1]
    intake.load("roll", [{"number": "1", "grade": "5"}], as_of=TUESDAY)
    assert clear(intake, "roll") == 1
    assert count_quarantine(intake.home, intake.ledger) == []


def test_the_quarantine_says_where_and_why_and_never_what(intake: Intake) -> None:
    intake.load("marks", [{"mark": "secret-mark", "number": "secret-number"}])
    [row] = list_quarantine(intake.home, intake.ledger, reason="orphan")
    assert (row.line, row.record, row.reason) == (2, 1, "orphan")
    shown = show_row(intake.home, intake.ledger, extract_id=row.extract_id, record=1)
    assert [(f.element, f.rule) for f in shown.findings] == [("number", "reference")]
    assert shown.mend == mend_of("orphan") != ""
    assert "secret" not in repr(row) + repr(shown)


def test_an_expectation_says_how_to_mend_what_it_finds() -> None:
    assert "zip" in mend_of("address.zip_has_five_digits#2").lower()


def test_a_row_that_is_not_there_cannot_be_shown(intake: Intake) -> None:
    checked = intake.load("students", [{"number": "1", "grade": "5"}])
    with pytest.raises(ExtractError, match="no such row"):
        show_row(intake.home, intake.ledger, extract_id=checked.batch.extract.extract_id, record=7)


def test_a_person_releases_a_row_and_stands_for_it(intake: Intake) -> None:
    checked = intake.load("marks", [{"mark": "m", "number": "9"}])
    extract_id = checked.batch.extract.extract_id
    release_row(
        intake.home, intake.ledger, intake.feeds["marks"], extract_id=extract_id, record=1, who="ada", why="seen"
    )
    assert intake.in_force("marks") == [("m",)]
    shown = show_row(intake.home, intake.ledger, extract_id=extract_id, record=1)
    assert (shown.disposition, shown.reason, shown.moves[0][3]) == ("accepted", "released", "ada: seen")


@pytest.mark.parametrize("rows", [[{"number": None, "grade": "5"}], []])
def test_a_row_without_a_key_or_content_cannot_be_released(intake: Intake, rows: list[dict[str, str]]) -> None:
    torn = [] if rows else [{"_record": 1, "_line": 2, "code": "ragged", "raw_key": "1"}]
    checked = intake.load("students", rows, unreadable=torn)
    with pytest.raises(ExtractError, match="cannot be brought into force"):
        release_row(
            intake.home, intake.ledger, intake.feeds["students"],
            extract_id=checked.batch.extract.extract_id, record=1, who="ada", why="seen",
        )  # fmt: skip


def test_the_line_as_sent_is_read_from_the_landed_file_only_when_asked(intake: Intake) -> None:
    checked = intake.load("students", [{"number": "1", "grade": "5"}, {"number": "1", "grade": "6"}])
    landed = checked.batch.extract.path
    landed.parent.mkdir(parents=True, exist_ok=True)
    landed.write_text("number,grade\n1,5\n1,6\n", encoding="utf-8")
    of_row = {"extract_id": checked.batch.extract.extract_id, "record": 1}
    assert read_as_sent(intake.home, intake.ledger, intake.feeds["students"], **of_row) == "1,5"


def test_a_row_is_followed_to_what_replaced_it(intake: Intake) -> None:
    first = intake.load("students", [{"number": "1", "grade": "5"}]).batch.extract
    extract_id, record = find_record(intake.home, intake.ledger, name=first.name, line=2)
    students = intake.feeds["students"]
    assert trace_row(intake.home, intake.ledger, students, extract_id=extract_id, record=record).in_force
    second = intake.load("students", [{"number": "1", "grade": "6"}], as_of=TUESDAY).batch.extract
    trace = trace_row(intake.home, intake.ledger, students, extract_id=first.extract_id, record=1)
    assert (trace.in_force, trace.instead) == (False, f"newer:{second.extract_id}")


def test_sums_that_do_not_hold_stop_everything(intake: Intake) -> None:
    checked = intake.load("students", [{"number": "1", "grade": "5"}])
    with intake.ledger.writing() as connection:
        connection.execute(account.update().values(rows=2))
    with intake.ledger.reading() as connection:
        with pytest.raises(AccountError, match="1 rows were received and 2"):
            require_sums_hold(connection)
        with pytest.raises(AccountError, match="not what the rows come to"):
            require_rows_agree(connection, checked)
