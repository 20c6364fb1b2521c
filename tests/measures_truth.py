"""What the measures must say of the invented lives, counted child by child in plain Python, without any SQL."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from lives import AS_OF, Day, Life, days, lives

Answer = tuple[int, int, int]
"""Units, of these observed, of these found."""
Unit = tuple[Day, Day | None]
"""Day of the index event, and of the outcome that was looked for."""


def counted(units: Sequence[Unit], *, after: int) -> Answer:
    """Whose window reaches beyond the last day told of is not observed, whatever was found."""
    watched = [found for index, found in units if index + days(after) <= AS_OF]
    return len(units), len(watched), sum(found is not None for found in watched)


def median_days(units: Sequence[Unit], *, after: int) -> float:
    return float(median((f - i).days for i, f in units if f is not None and i + days(after) <= AS_OF))


def first_after(found: Sequence[Day], index: Day, low: int, high: int) -> Day | None:
    return min((day for day in found if low <= (day - index).days <= high), default=None)


def reunified() -> list[Unit]:
    """CFSR 2: every exit home, and the next removal."""
    return [
        (end, first_after([on for on, _, _ in life.removals], end, 1, 365))
        for life in lives() for _, end, why in life.removals if end and why == "reunified"
    ]  # fmt: skip


def left_within_a_year() -> list[Unit]:
    """CFSR 3: in care 8 to 365 days, home or to a guardian, under 18 at the exit."""
    return [
        (end, first_after([on for on, _, _ in life.removals], end, 1, 365))
        for life in lives() for on, end, why in life.removals
        if end and why in ("reunified", "guardianship") and 8 <= (end - on).days <= 365 and life.age(end) < 18
    ]  # fmt: skip


def _proven(life: Life) -> list[Day]:
    return sorted(on for on, _, _, finding in life.reports if finding == "confirmed_high")


def recurrence_12() -> list[Unit]:
    firsts = [(life, next((d for d in _proven(life) if life.age(d) < 18), None)) for life in lives()]
    return [(on, first_after(_proven(life), on, 15, 365)) for life, on in firsts if on]


def recurrence_6() -> list[Unit]:
    return [(found[0], first_after(found, found[0], 1, 183)) for life in lives() if (found := _proven(life))]


def rereport() -> list[Unit]:
    reported = [sorted(on for on, *_ in life.reports) for life in lives()]
    return [(found[0], first_after(found, found[0], 1, 365)) for found in reported if found]


def rearrest() -> list[Unit]:
    return [(end, first_after(life.arrests, end, 1, 365)) for life in lives() for _, end in life.custody]


def readjudication() -> list[Unit]:
    return [(end, first_after(life.adjudged, end, 1, 730)) for life in lives() for _, end in life.custody]


def release_to_school() -> list[Unit]:
    """Enrolled on the day of release, or within 30 days after."""
    return [
        (end, next((a for a, b, _ in life.schools if (a - end).days <= 30 and (b is None or b >= end)), None))
        for life in lives() for _, end in life.custody
    ]  # fmt: skip


def gaps() -> list[Unit]:
    return [
        (left, first_after([a for a, _, _ in life.schools], left, 0, 10))
        for life in lives() for _, left, why in life.schools
        if left and why in ("transfer_in_state", "transfer_within_district")
    ]  # fmt: skip


def school_lost() -> list[Unit]:
    return [(on, first_after([a for a, _, _ in life.schools], on, 1, 30)) for life in lives() for on in life.placements]


def aged_out() -> list[Unit]:
    ends = [(life, max((e for _, e, w in life.removals if e and w == "aged_out"), default=None)) for life in lives()]
    return [(end, _support(life, end)) for life, end in ends if end]


def _support(life: Life, end: Day) -> Day | None:
    spells = [(a, b) for a, b, _ in life.schools] + [(a, b) for _, _, a, b in life.services]
    return next((a for a, b in spells if (a - end).days <= 90 and (b is None or b > end)), None)


def moved() -> list[Unit]:
    exits = [(life, left) for life in lives() for _, left, why in life.schools if left and why == "transfer_in_state"]
    return [(left, _went_on(life, left)) for life, left in exits
            if any(a <= left and (b is None or b >= left) for _, _, a, b in life.services)]  # fmt: skip


def _went_on(life: Life, left: Day) -> Day | None:
    spells = [(a, b) for _, _, a, b in life.services]
    return next((a for a, b in spells if (a - left).days <= 60
                 and (a > left or b is None or b >= left + days(30))), None)  # fmt: skip


def history(life: Life, day: Day) -> str:
    """Child protection before a day: open, past or none known."""
    spells = [(a, b) for a, b, _, _ in life.reports] + [(a, b) for a, b, _ in life.removals]
    before = [end for on, end in spells if on < day]
    if any(end is None or end >= day for end in before):
        return "open"
    return "past" if before else "none known"


def status_offenses() -> Counter[str]:
    """Children by their history on the day of the first status offense under 18."""
    firsts = [(life, _first_runaway(life, lambda _: True)) for life in lives()]
    return Counter(history(life, day) for life, day in firsts if day)


def _first_runaway(life: Life, fits: Callable[[Day], bool]) -> Day | None:
    return min((day for day in life.runaways if life.age(day) < 18 and fits(day)), default=None)


def asked(which: str | None = None) -> list[Unit]:
    """The first status offense with a history, and the first time child welfare was asked within 30 days."""
    units = []
    for life in lives():
        day = _first_runaway(life, lambda d, life=life: history(life, d) != "none known")  # type: ignore[misc]
        reported = [on for on, _, source, _ in life.reports if source in ("law_enforcement", "education")]
        if day and which in (None, history(life, day)):
            units.append((day, first_after([*life.referrals, *reported], day, 0, 30)))
    return units


def assessed_twice() -> list[Unit]:
    distinct = [(life, set(life.assessments)) for life in lives()]
    return [
        (on, first_after([d for a, k, d in found if a != agency and k == domain], on, 0, 90))
        for _, found in distinct for agency, domain, on in sorted(found)
    ]  # fmt: skip


def served_twice() -> list[Unit]:
    distinct = [set(life.services) for life in lives()]
    return [
        (on, next((a for other, k, a, b in found
                   if other != agency and k == kind and a <= on and (b is None or b >= on)), None))
        for found in distinct for agency, kind, on, _ in sorted(found, key=str)
    ]  # fmt: skip


def late() -> dict[str, tuple[int, int]]:
    """Agency -> what was due by the last day, and of this what was late."""
    due = Counter(agency for life in lives() for agency, day, _ in life.tasks if day <= AS_OF)
    behind = Counter(
        agency for life in lives() for agency, day, met in life.tasks if day <= AS_OF and (met is None or met > day)
    )
    return {agency: (due[agency], behind[agency]) for agency in sorted(due)}


def paths() -> Counter[str]:
    """Children by the order in which agencies came to know them while under 18."""
    return Counter(path for life in lives() if (path := _path(life)))


def _path(life: Life) -> str:
    known: dict[str, list[Day]] = {
        "school": [a for a, _, _ in life.schools] + list(life.absences),
        "care": [r[0] for r in life.reports] + [r[0] for r in life.removals] + life.placements,
        "police": life.runaways + life.arrests + life.referrals,
        "court": [begun for begun, _ in life.custody],
    }
    firsts = {who: min(d for d in found if life.age(d) < 18) for who, found in known.items()
              if any(life.age(d) < 18 for d in found)}  # fmt: skip
    by_day: dict[Day, list[str]] = {}
    for who, day in firsts.items():
        by_day.setdefault(day, []).append(who)
    return " > ".join(" + ".join(sorted(by_day[day])) for day in sorted(by_day))


def around_removal() -> tuple[int, int, int, float, float]:
    """Removals, observed in both windows, of these compared, and days missed per 100 days enrolled before and after."""
    start = max(
        min(d for life in lives() for d in life.absences), min(a for life in lives() for a, _, _ in life.schools)
    )
    seen = [
        (life, on) for life in lives() for on, _, _ in life.removals
        if on - days(90) >= start and on + days(90) <= AS_OF
    ]  # fmt: skip
    windows = [(list(_enrolled(life, on, range(-90, 0))), list(_enrolled(life, on, range(1, 91)))) for life, on in seen]
    both = [(before, after) for before, after in windows if before and after]
    rates = [100 * sum(m for w in side for m in w) / sum(len(w) for w in side) for side in zip(*both, strict=True)]
    return sum(len(life.removals) for life in lives()), len(seen), len(both), rates[0], rates[1]


def _enrolled(life: Life, on: Day, offsets: range) -> Iterator[float]:
    """For each weekday enrolled: the part missed."""
    for day in (on + dt.timedelta(days=k) for k in offsets):
        if day.weekday() < 5 and any(a <= day and (b is None or b >= day) for a, b, _ in life.schools):
            yield life.absences.get(day, 0.0)
