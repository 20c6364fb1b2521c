"""When a feed is due and when it is late: by its cron line in the agency's own time, and its grace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.timetable import Cadence, grace_of
from mappings.calendars import read_calendar
from standard.errors import DeclarationError

MONDAYS = "30 4 * * 1"
NIGHTLY = "0 2 * * *"
BOSTON = "America/New_York"
DAY = timedelta(hours=24)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def late(cron: str, grace: timedelta, arrived: str | None, now: str) -> bool:
    return Cadence(cron, BOSTON, grace).is_late(at(arrived) if arrived else None, at(now))


def test_a_feed_is_due_by_the_agency_s_own_clock_in_summer_and_in_winter() -> None:
    assert Cadence(MONDAYS, BOSTON).last_due(at("2026-07-08T00:00")) == at("2026-07-06T08:30")
    assert Cadence(MONDAYS, BOSTON).last_due(at("2026-12-09T00:00")) == at("2026-12-07T09:30")
    assert Cadence(MONDAYS, BOSTON).next_due(at("2026-07-06T08:30")) == at("2026-07-13T08:30")


@pytest.mark.parametrize(
    ("arrived", "now", "verdict"),
    [
        ("2026-07-06T08:40", "2026-07-10T00:00", False),  # came ten minutes after it was due
        ("2026-07-05T20:00", "2026-07-10T00:00", False),  # came the evening before
        ("2026-06-29T08:40", "2026-07-07T08:00", False),  # this week's has not come, but its day of grace goes on
        ("2026-06-29T08:40", "2026-07-07T09:00", True),  # and now is over
        ("2026-07-01T12:00", "2026-07-10T00:00", True),  # last week's came late: this week's is still missing
        (None, "2026-07-10T00:00", True),  # never came
    ],
)
def test_a_weekly_file_is_late_when_its_grace_is_over(arrived: str | None, now: str, verdict: bool) -> None:
    assert late(MONDAYS, DAY, arrived, now) is verdict


@pytest.mark.parametrize(("now", "verdict"), [("2026-07-08T07:59", False), ("2026-07-08T08:01", True)])
def test_a_nightly_file_with_two_hours_of_grace_is_late_two_hours_after_it_was_due(now: str, verdict: bool) -> None:
    assert late(NIGHTLY, timedelta(hours=2), "2026-07-07T06:05", now) is verdict


@pytest.mark.parametrize(
    ("arrived", "now", "ends"),
    [
        (None, "2026-07-06T08:30:01", "2026-07-07T08:30"),
        ("2026-06-29T09:00", "2026-07-06T20:00", "2026-07-07T08:30"),
        ("2026-07-06T08:00", "2026-07-06T20:00", None),
        ("2026-06-29T09:00", "2026-07-07T08:30", None),
        ("2026-06-29T09:00", "2026-07-09T12:00", None),
    ],
)
def test_the_end_of_a_grace_is_waited_for_while_nothing_came(arrived: str | None, now: str, ends: str | None) -> None:
    cadence = Cadence(MONDAYS, BOSTON, timedelta(hours=24))
    assert cadence.grace_ends(at(arrived) if arrived else None, at(now)) == (at(ends) if ends else None)


def test_of_several_graces_that_run_the_one_that_ends_first_is_waited_for() -> None:
    nightly = Cadence("0 2 * * *", BOSTON, timedelta(hours=36))
    assert nightly.grace_ends(None, at("2026-07-08T12:00")) == at("2026-07-08T18:00")
    assert nightly.grace_ends(at("2026-07-07T06:01"), at("2026-07-08T12:00")) == at("2026-07-09T18:00")


def test_grace_is_none_where_nothing_is_declared_and_a_bare_number_is_refused() -> None:
    assert (grace_of(None), grace_of("24 hours")) == (timedelta(0), DAY)
    with pytest.raises(DeclarationError, match="without a unit"):
        grace_of("24")


SCHOOL_YEAR = """from,to,schedule,note
2026-06-20,2026-08-31,,summer
2026-12-21,2027-01-02,,holidays
2026-09-01,2026-09-15,0 4 * * *,every day while children enrol
"""


@pytest.fixture
def school(tmp_path: Path) -> Cadence:
    path = tmp_path / "school.csv"
    path.write_text(SCHOOL_YEAR)
    return Cadence(MONDAYS, BOSTON, DAY, read_calendar(path))


def test_nothing_is_due_in_summer_and_holidays_and_another_schedule_holds_while_children_enrol(school: Cadence) -> None:
    assert school.last_due(at("2026-07-30T00:00")) == at("2026-06-15T08:30")
    assert school.next_due(at("2026-06-16T00:00")) == at("2026-09-01T08:00")
    assert school.next_due(at("2026-09-02T12:00")) == at("2026-09-03T08:00")
    assert school.next_due(at("2026-09-15T12:00")) == at("2026-09-21T08:30")
    assert school.next_due(at("2026-12-15T00:00")) == at("2027-01-04T09:30")
    assert school.last_due(at("2027-01-04T09:00")) == at("2026-12-14T09:30")


@pytest.mark.parametrize(
    ("arrived", "now", "missed"),
    [
        ("2026-06-15T09:00", "2026-08-30T00:00", 0),  # the last file before summer came; it is still summer
        ("2026-06-08T09:00", "2026-08-30T00:00", 1),  # the last file before summer did not
        ("2026-06-15T09:00", "2026-09-02T09:00", 1),  # school began yesterday, its day of grace is over
        ("2026-06-15T09:00", "2026-09-05T09:00", 3),  # and nothing comes day by day
        ("2026-08-20T09:00", "2026-09-02T09:00", 1),  # what came in the middle of summer is not of September
    ],
)
def test_a_school_s_file_is_late_only_when_school_is_on(school: Cadence, arrived: str, now: str, missed: int) -> None:
    assert school.missed(at(arrived), at(now)) == missed


def test_a_file_that_comes_although_nothing_is_due_is_early_and_one_that_is_late_is_not(school: Cadence) -> None:
    last, summer = at("2026-06-15T09:00"), at("2026-07-20T09:00")
    assert school.is_early(summer, before=last)
    assert not school.is_early(summer, before=at("2026-06-01T09:00"))  # June's last file, at last
    assert not school.is_early(at("2026-06-15T20:00"), before=last)  # a second one within the grace: a correction


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("from,to\n2026-06-31,2026-07-01\n", "dates like"),
        ("from,to\n2026-07-02,2026-07-01\n", "before from"),
        ("from,to\n2026-07-02,2026-07-09\n2026-07-09,\n", "line 2 too"),
        ("from,schedule\n2026-07-02,each day\n", "no cron line"),
        ("day\n2026-07-02\n", "column from"),
        ("from,to\n2026-07-02\n", "as many fields"),
    ],
)
def test_a_calendar_that_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "school.csv"
    path.write_text(text)
    with pytest.raises(DeclarationError, match=what) as refused:
        read_calendar(path)
    assert "line" in refused.value.where
