"""What a spreadsheet did to a file, as the rows in force prove it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from store.extracts import Severity
from store.home import Home
from tests.intake import Intake, feed, went

TUESDAY = date(2026, 3, 24)
ELEMENTS = {"number": "identifier", "case_no": "identifier", "born": "date"}


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    found = Intake(Home(tmp_path / "home"), {"students": feed(elements=ELEMENTS)})
    found.load("students", [_child(n) for n in range(1, 61)])
    return found


def _child(number: int, /, **changed: Any) -> dict[str, Any]:
    row = {
        "number": f"{number:05d}",
        "case_no": f"{number + 700:06d}",
        "born": date(2010, 1 + number % 12, 1 + number % 28),
    }
    return row | changed


def _found(checked: Any) -> list[tuple[str, Severity, int | None]]:
    return [(f.code, f.severity, f.rows) for f in checked.batch.findings]


def test_keys_that_lost_their_zeros_hold_the_file_because_each_would_be_another_child(intake: Intake) -> None:
    checked = intake.load("students", [_child(n, number=str(n)) for n in range(1, 9)], as_of=TUESDAY)
    assert checked.held == "spreadsheet_damage"
    assert _found(checked) == [("lost_leading_zeros", Severity.ERROR, 8)]
    assert len(intake.in_force("students")) == 60


def test_other_numbers_that_lost_their_zeros_are_counted_and_the_rows_are_loaded(intake: Intake) -> None:
    rows = [_child(n, case_no=str(n + 700)) for n in range(1, 9)]
    checked = intake.load("students", rows, as_of=TUESDAY)
    assert (checked.held, _found(checked)) == (None, [("lost_leading_zeros", Severity.WARNING, 8)])


def test_short_numbers_that_are_none_in_force_with_zeros_prove_nothing(intake: Intake) -> None:
    rows = [_child(n, number=str(n + 900)) for n in range(1, 9)] + [_child(n, number=str(n)) for n in range(1, 5)]
    assert _found(intake.load("students", rows, as_of=TUESDAY)) == []


def test_dates_with_day_and_month_exchanged_hold_the_file(intake: Intake) -> None:
    rows = [
        _child(n, born=_child(n)["born"].replace(month=_child(n)["born"].day, day=_child(n)["born"].month))
        for n in range(1, 9)
    ]
    checked = intake.load("students", rows, as_of=TUESDAY)
    changed = sum(row["born"] != _child(n)["born"] for n, row in enumerate(rows, start=1))
    assert changed < 5 and _found(checked) == []
    swapped = [_child(n, number=f"{n + 900:05d}", born=date(2010, 3, n)) for n in range(4, 12)]
    intake.load("students", swapped, as_of=TUESDAY)
    again = [row | {"born": date(2010, row["born"].day, 3)} for row in swapped]
    checked = intake.load("students", again, as_of=date(2026, 3, 25))
    assert checked.held == "spreadsheet_damage"
    assert _found(checked) == [("swapped_day_and_month", Severity.ERROR, 8)]


def test_dates_that_changed_otherwise_are_news(intake: Intake) -> None:
    rows = [_child(n, born=date(2011, 5, n)) for n in range(1, 20)]
    checked = intake.load("students", rows, as_of=TUESDAY)
    assert (checked.held, _found(checked)) == (None, [])


def test_a_person_may_release_a_file_whose_dates_were_put_right(intake: Intake) -> None:
    rows = [_child(n, number=f"{n + 900:05d}", born=date(2010, 3, n)) for n in range(4, 12)]
    intake.load("students", rows, as_of=TUESDAY)
    batch = intake.land("students", [row | {"born": date(2010, row["born"].day, 3)} for row in rows])
    checked = intake.check(batch, overrule=frozenset({"spreadsheet_damage"}))
    assert checked.held is None and {disposition for _, disposition, _ in went(checked)} == {"accepted"}
