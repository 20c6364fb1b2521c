"""Whatever the order in which full files come, and however often they are sent again, they end in the same state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations.retry import clear_superseded
from store.home import Home
from tests.intake import Intake, feed

MONDAY = date(2026, 3, 23)
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
ELEMENTS = {"number": "identifier", "year": "text", "grade": "text"}

Pupil = tuple[str, str, str]
Told = tuple[int, Sequence[Pupil]]
"""The week a file speaks of, and its pupils."""

PUPIL = st.tuples(st.sampled_from("abcd"), st.sampled_from(["2024", "2025"]), st.sampled_from("56"))
WEEKS = st.lists(st.lists(PUPIL, min_size=1, max_size=4, unique_by=lambda pupil: pupil[:2]), min_size=2, max_size=4)


def state_after(root: Path, told: Sequence[Told], *, window: list[str]) -> list[tuple[Any, ...]]:
    """Loads files in the order given; gives what is in force in the end."""
    roll = feed("roll", holds="full", key=["number", "year"], window=window, elements=ELEMENTS)
    intake = Intake(Home(root), {"roll": roll})
    for week, pupils in told:
        rows = [{"number": number, "year": year, "grade": grade} for number, year, grade in pupils]
        intake.load("roll", rows, as_of=MONDAY + timedelta(weeks=week))
        clear_superseded(intake.home, intake.ledger, intake.agency, roll)
    intake.ledger.close()
    return intake.in_force("roll", "_key", "year", "grade")


def newest_of_each(weeks: Sequence[Sequence[Pupil]], *, by_year: bool) -> list[tuple[str, str, str]]:
    """What must be in force: of each year (or of everything) what the newest file that speaks of it says."""
    found = []
    for year in ("2024", "2025"):
        speaking = [week for week in weeks if not by_year or any(pupil[1] == year for pupil in week)]
        found += [(f"{n}|{y}", y, g) for n, y, g in (speaking[-1] if speaking else []) if y == year]
    return sorted(found)


def check(weeks: Any, random: Any, *, window: list[str]) -> None:
    told = list(enumerate(weeks))
    again = random.sample(told, random.randint(0, len(told)))  # sent again, in another order of rows
    mixed = [
        (week, random.sample(list(rows), len(rows)))
        for week, rows in random.sample([*told, *again], len(told) + len(again))
    ]
    must = newest_of_each(weeks, by_year=bool(window))
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        assert state_after(Path(one), told, window=window) == must
        assert state_after(Path(other), mixed, window=window) == must


@FEW
@given(WEEKS, st.randoms(use_true_random=False))
def test_full_files_end_in_what_the_newest_says(weeks: Any, random: Any) -> None:
    check(weeks, random, window=[])


@FEW
@given(WEEKS, st.randoms(use_true_random=False))
def test_files_of_a_window_end_in_what_the_newest_says_of_each_year(weeks: Any, random: Any) -> None:
    check(weeks, random, window=["year"])
