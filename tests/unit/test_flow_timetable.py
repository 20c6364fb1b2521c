"""When a feed is due and when it is late: by its cron line in the agency's own time, and its grace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.timetable import grace_of, is_late, last_due, next_due
from standard.errors import DeclarationError

MONDAYS = "30 4 * * 1"
NIGHTLY = "0 2 * * *"
BOSTON = "America/New_York"
DAY = timedelta(hours=24)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def late(cron: str, grace: timedelta, arrived: str | None, now: str) -> bool:
    return is_late(cron, timezone=BOSTON, grace=grace, last_arrival=at(arrived) if arrived else None, now=at(now))


def test_a_feed_is_due_by_the_agency_s_own_clock_in_summer_and_in_winter() -> None:
    assert last_due(MONDAYS, timezone=BOSTON, now=at("2026-07-08T00:00")) == at("2026-07-06T08:30")
    assert last_due(MONDAYS, timezone=BOSTON, now=at("2026-12-09T00:00")) == at("2026-12-07T09:30")
    assert next_due(MONDAYS, timezone=BOSTON, now=at("2026-07-06T08:30")) == at("2026-07-13T08:30")


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


def test_grace_is_none_where_nothing_is_declared_and_a_bare_number_is_refused() -> None:
    assert (grace_of(None), grace_of("24 hours")) == (timedelta(0), DAY)
    with pytest.raises(DeclarationError, match="without a unit"):
        grace_of("24")
