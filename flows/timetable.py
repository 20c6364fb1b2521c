"""When a feed is due and whether it is late, by its cron line in the agency's time zone and its grace."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from connectors.wanted import parse_overlap
from standard.errors import DeclarationError


def grace_of(text: str | None) -> timedelta:
    """For how long after its due moment a feed is not late; none where nothing is declared.

    Raises:
        DeclarationError: It is not a span of time.
    """
    span = parse_overlap(text) if text else timedelta(0)
    if isinstance(span, timedelta):
        return span
    raise DeclarationError("the grace is a number without a unit", where=f"grace: {text!r}", mend="write 24 hours")


def last_due(cron: str, *, timezone: str, now: datetime) -> datetime:
    """The last moment at which a feed was due (aware, in the agency's time zone)."""
    due: datetime = croniter(cron, now.astimezone(ZoneInfo(timezone))).get_prev(datetime)
    return due


def next_due(cron: str, *, timezone: str, now: datetime) -> datetime:
    """The next moment at which a feed is due (aware, in the agency's time zone)."""
    due: datetime = croniter(cron, now.astimezone(ZoneInfo(timezone))).get_next(datetime)
    return due


def is_late(cron: str, *, timezone: str, grace: timedelta, last_arrival: datetime | None, now: datetime) -> bool:
    """Whether a feed that was due, its grace being over, has not come.

    An arrival counts for the due moment it lies nearest to: one that comes less than half a period early is on time.
    """
    due = last_due(cron, timezone=timezone, now=now - grace)
    before = last_due(cron, timezone=timezone, now=due)
    return last_arrival is None or last_arrival < due - (due - before) / 2
