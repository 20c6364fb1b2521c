"""Whatever the order in which deliveries come, and however often they are sent again, they end in the same state."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from expectations.retry import clear_superseded, retry_quarantined
from store.home import Home
from tests.exchange import small_exchange
from tests.intake import Intake, feed
from tests.school import School

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


Change = tuple[str, str, bool]
"""A pupil's number, grade, and whether the row deletes."""

CHANGES = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("567"), st.booleans()),
        min_size=1, max_size=3, unique_by=lambda change: change[0],
    ),
    min_size=2, max_size=5,
)  # fmt: skip


def state_after_changes(root: Path, told: Sequence[tuple[int, Sequence[Change]]], *, versions: bool) -> list[Any]:
    """Loads deliveries of changes in the order given; gives number and grade of what is in force in the end."""
    changes = feed("changes", holds="delta", key=["number"], elements=ELEMENTS)
    intake = Intake(Home(root), {"changes": changes})
    for day, rows in told:
        version = {"_version": f"2026-01-{day + 1:02}"} if versions else {}
        sent = [
            {"number": number, "grade": grade, "_action": "delete" if gone else "upsert", **version}
            for number, grade, gone in rows
        ]
        # With versions the day of a file tells nothing: all speak for the same one.
        intake.load("changes", sent, as_of=MONDAY if versions else MONDAY + timedelta(days=day))
        clear_superseded(intake.home, intake.ledger, intake.agency, changes)
        retry_quarantined(intake.home, intake.ledger, intake.agency, changes)
    intake.ledger.close()
    return intake.in_force("changes", "_key", "grade")


@FEW
@given(CHANGES, st.booleans(), st.randoms(use_true_random=False))
def test_changes_deletes_and_restores_end_in_what_is_newest_of_each_row(days: Any, versions: bool, random: Any) -> None:
    told = list(enumerate(days))
    again = random.sample(told, random.randint(0, len(told)))
    mixed = random.sample([*told, *again], len(told) + len(again))
    newest: dict[str, tuple[str, bool]] = {}
    for rows in days:
        newest |= {number: (grade, gone) for number, grade, gone in rows}
    # A row that only deletes ever came for was never there.
    must = sorted((number, grade) for number, (grade, gone) in newest.items() if not gone)
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        assert state_after_changes(Path(one), told, versions=versions) == must
        assert state_after_changes(Path(other), mixed, versions=versions) == must


Sent = tuple[int, int]
"""The week a file speaks of, and how often it was sent before."""


def _zipped(text: str, level: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr("pupils.csv", text)
    return packed.getvalue()


def nights(folder: Path, weeks: Sequence[Sequence[Pupil]], order: Sequence[Sent], random: Any) -> list[Any]:
    """A night for each file; one that is sent again has another name, line ends, order of rows and zip."""
    folder.mkdir()
    school = School(small_exchange(folder, agencies=("hillside_schools",)))
    (school.folder / "roll.yaml").write_text(ROLL, "utf-8")
    school.edit("agency.yaml", "[students, visits]", "[students, visits, roll]")
    for week, before in order:
        rows = [f"{number},{year},{grade}" for number, year, grade in weeks[week]]
        random.shuffle(rows) if before else None
        text = ("\r\n" if before % 2 else "\n").join(["Number,Year,Grade", *rows, ""])
        name = f"roll_{MONDAY + timedelta(weeks=week):%Y%m%d}{'_again' * before}.zip"
        path = school.small.drop / name
        path.write_bytes(_zipped(text, 1 + before))
        os.utime(path, (0, 0))
        school.night()
    return school.state("roll", "_key", "year", "grade")


ROLL = """feed: roll
title: Who is enrolled in which year
source: drop
arrives: {files: "roll_{as_of:%Y%m%d}*.zip", packed: [zip]}
format: {kind: delimited}
holds: full
window: [year]
max_withdrawn: 1
key: [number, year]
elements:
  number: {column: Number, identifier: {}, required: true}
  year: {column: Year, text: {}, required: true}
  grade: {column: Grade, text: {}}
"""


@settings(FEW, max_examples=2, phases=[Phase.generate])
@given(WEEKS.filter(lambda weeks: len({str(sorted(week)) for week in weeks}) == len(weeks)), st.integers(0, 1 << 30))
def test_files_sent_again_under_other_names_end_in_the_same_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, weeks: Any, seed: int
) -> None:
    random, folder = Random(seed), tmp_path_factory.mktemp("order")
    order = [(week, before) for week in range(len(weeks)) for before in range(1 + (week == seed % len(weeks)))]
    random.shuffle(order)
    assert nights(folder / "mixed", weeks, order, random) == newest_of_each(weeks, by_year=True)


def test_a_week_that_says_again_what_an_earlier_one_said_takes_back_what_came_between(tmp_path: Path) -> None:
    first, second = [("a", "2024", "5")], [("a", "2024", "6")]
    told = nights(tmp_path / "back", [first, second, first], [(0, 0), (1, 0), (2, 0)], Random(1))
    assert told == [("a|2024", "2024", "5")]
