"""Every received row goes to one place, in the order of the rules."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

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
