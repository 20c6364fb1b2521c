"""When a feed is due and whether it is late: by its cron line in the agency's time zone, its calendar and its grace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from connectors.wanted import parse_overlap
from mappings.calendars import Calendar
from mappings.load import Agency
from standard.errors import DeclarationError

_MOMENT = timedelta(microseconds=1)
_NO_CALENDAR = Calendar(())


def grace_of(text: str | None) -> timedelta:
    """For how long after its due moment a feed is not late; none where nothing is declared.

    Raises:
        DeclarationError: It is not a span of time.
    """
    span = parse_overlap(text) if text else timedelta(0)
    if isinstance(span, timedelta):
        return span
    raise DeclarationError("the grace is a number without a unit", where=f"grace: {text!r}", mend="write 24 hours")


@dataclass(frozen=True)
class Cadence:
    """When a feed is expected. What is given back is in the agency's time zone."""

    cron: str
    timezone: str
    grace: timedelta = timedelta(0)
    calendar: Calendar = _NO_CALENDAR

    def last_due(self, now: datetime) -> datetime:
        """The last moment before now at which the feed was due."""
        local = now.astimezone(ZoneInfo(self.timezone))
        for stretch in reversed(self._stretches()):
            if stretch.cron is None or (stretch.start and stretch.start >= local):
                continue
            before = min(local, stretch.end) if stretch.end else local
            due: datetime = croniter(stretch.cron, before).get_prev(datetime)
            if stretch.start is None or due >= stretch.start:
                return due
        raise AssertionError("the first stretch has no beginning")

    def next_due(self, now: datetime) -> datetime:
        """The next moment after now at which the feed is due."""
        local = now.astimezone(ZoneInfo(self.timezone))
        for stretch in self._stretches():
            if stretch.cron is None or (stretch.end and stretch.end <= local):
                continue
            after = max(local, stretch.start - _MOMENT) if stretch.start else local
            due: datetime = croniter(stretch.cron, after).get_next(datetime)
            if stretch.end is None or due < stretch.end:
                return due
        raise AssertionError("the last stretch has no end")

    def opens(self, due: datetime) -> datetime:
        """From when on an arrival counts for a due moment: half a period of the schedule before it."""
        [stretch] = [s for s in self._stretches() if (not s.start or s.start <= due) and (not s.end or due < s.end)]
        before: datetime = croniter(stretch.cron, due).get_prev(datetime)
        return due - (due - before) / 2

    def missed(self, last_arrival: datetime | None, now: datetime, *, at_most: int = 3) -> int:
        """How many due moments in a row, their grace being over, nothing came for; no more are counted than asked."""
        due, count = self.last_due(now - self.grace), 0
        while count < at_most and (last_arrival is None or last_arrival < self.opens(due)):
            count, due = count + 1, self.last_due(due)
        return count

    def is_late(self, last_arrival: datetime | None, now: datetime) -> bool:
        """Whether a feed that was due, its grace being over, has not come."""
        return self.missed(last_arrival, now, at_most=1) == 1

    def grace_ends(self, last_arrival: datetime | None, now: datetime) -> datetime | None:
        """When the grace of the earliest due moment is over for which it still runs and nothing came."""
        waited, due = None, self.last_due(now)
        while due + self.grace > now:
            if last_arrival is None or last_arrival < self.opens(due):
                waited = due
            due = self.last_due(due)
        return waited + self.grace if waited is not None else None

    def is_early(self, arrival: datetime, *, before: datetime) -> bool:
        """Whether something came although nothing was due: what was due last had come before, the next is far off."""
        due = self.last_due(arrival)
        return before >= self.opens(due) and due + self.grace < arrival < self.opens(self.next_due(arrival))

    def _stretches(self) -> list[_Stretch]:
        """Time from beginning to end, by what holds: the feed's own schedule between the periods of its calendar."""
        found: list[_Stretch] = []
        end: datetime | None = None
        for period in self.calendar.periods:
            first, after = self._midnight(period.first), self._midnight(period.last + timedelta(days=1))
            if end is None or end < first:
                found.append(_Stretch(end, first, self.cron))
            found.append(_Stretch(first, after, period.schedule))
            end = after
        return [*found, _Stretch(end, None, self.cron)]

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, ZoneInfo(self.timezone))


@dataclass(frozen=True)
class _Stretch:
    start: datetime | None
    end: datetime | None
    cron: str | None


def cadence_of(agency: Agency, feed: str) -> Cadence | None:
    """When a feed of an agency is expected; None where it declares no schedule."""
    arrives = agency.feeds[feed].arrives
    if arrives.schedule is None:
        return None
    calendar = agency.calendars[arrives.calendar] if arrives.calendar else _NO_CALENDAR
    return Cadence(arrives.schedule, agency.timezone, grace_of(arrives.grace), calendar)
