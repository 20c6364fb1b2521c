"""Invented children whose whole lives are known: their rows in the record, and what measures must say of them."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from record_rows import AS_OF, Row, inputs_of, new_home

from record.publish import publish
from record.reader import Record, open_record

Day = dt.date
CHILDREN = 700


@dataclass
class Life:
    """What befell one child, told agency by agency."""

    no: int
    born: Day
    sex: str
    schools: list[tuple[Day, Day | None, str | None]] = field(default_factory=list)
    absences: dict[Day, float] = field(default_factory=dict)
    reports: list[tuple[Day, Day | None, str, str]] = field(default_factory=list)
    """received, closed, source category, finding"""
    removals: list[tuple[Day, Day | None, str | None]] = field(default_factory=list)
    placements: list[Day] = field(default_factory=list)
    runaways: list[Day] = field(default_factory=list)
    arrests: list[Day] = field(default_factory=list)
    referrals: list[Day] = field(default_factory=list)
    custody: list[tuple[Day, Day]] = field(default_factory=list)
    adjudged: list[Day] = field(default_factory=list)
    assessments: list[tuple[str, str, Day]] = field(default_factory=list)
    services: list[tuple[str, str, Day, Day | None]] = field(default_factory=list)
    tasks: list[tuple[str, Day, Day | None]] = field(default_factory=list)

    def age(self, day: Day) -> int:
        return day.year - self.born.year - ((day.month, day.day) < (self.born.month, self.born.day))

    def removed_on(self, day: Day) -> bool:
        return any(a <= day and (b is None or b >= day) for a, b, _ in self.removals)


@cache
def lives(seed: int = 7) -> tuple[Life, ...]:
    """The children, the same for the same seed."""
    rng = random.Random(seed)
    return tuple(_life(number, rng) for number in range(CHILDREN))


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def _some_day(rng: random.Random, first: Day = Day(2022, 1, 1), last: Day = Day(2026, 3, 20)) -> Day:
    return first + days(rng.randrange(max((last - first).days, 1)))


def _past(day: Day) -> Day | None:
    return day if day <= AS_OF else None


def _life(number: int, rng: random.Random) -> Life:
    life = Life(number, _some_day(rng, Day(2004, 1, 1), Day(2016, 1, 1)), rng.choice("FM"))
    _at_school(life, rng)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        on = _some_day(rng)
        closed = _past(on + days(rng.randrange(10, 400)))
        source, finding = rng.choice(["law_enforcement", "education", "relative"]), rng.choice(_FINDINGS)
        life.reports.append((on, closed, source, finding))
        if finding == "confirmed_high" and not life.removed_on(on) and not any(a > on for a, _, _ in life.removals):
            _removal(life, on + days(rng.randrange(0, 20)), rng)
    _in_trouble(life, rng)
    for _ in range(rng.choice([0, 0, 1, 2])):
        on, domain = _some_day(rng), rng.choice(["safety", "education", "behavioral_health"])
        life.assessments.append(("care", domain, on))
        if rng.random() < 0.4:
            life.assessments.append(("clinic", domain, min(on + days(rng.choice([0, 30, 90, 91, 200])), AS_OF)))
        begun = on + days(rng.randrange(30))
        life.services.append(("care", "counseling", min(begun, AS_OF), _past(begun + days(rng.randrange(20, 300)))))
        if rng.random() < 0.3:
            life.services.append(("clinic", "counseling", min(on + days(60), AS_OF), None))
        due = on + days(45)
        met = due + days(rng.randrange(-20, 20)) if rng.random() < 0.7 else None
        life.tasks.append((rng.choice(["school", "court", "care"]), due, met if met and met <= AS_OF else None))
    return life


_FINDINGS = ["confirmed_high", "confirmed_high", "not_confirmed", "alternative_response"]


def _at_school(life: Life, rng: random.Random) -> None:
    entered = Day(2023, 8, 28) + days(rng.randrange(0, 60))
    for _ in range(rng.choice([1, 1, 2, 3])):
        left = entered + days(rng.randrange(60, 500))
        exit_type = rng.choice(["transfer_within_district", "transfer_in_state", "dropped_out"])
        gone = left <= AS_OF
        life.schools.append((entered, left if gone else None, exit_type if gone else None))
        entered = left + days(rng.choice([0, 1, 3, 10, 11, 40]))
        if not gone or entered > AS_OF:
            break
    for _ in range(rng.randrange(0, 60)):
        life.absences[_some_day(rng, Day(2023, 9, 1))] = rng.choice([0.5, 1.0])


def _removal(life: Life, on: Day, rng: random.Random) -> None:
    ended = on + days(rng.randrange(3, 500))
    reason = rng.choice(["reunified", "reunified", "guardianship", "adopted", "aged_out"])
    open_still = ended > AS_OF
    life.removals.append((on, None if open_still else ended, None if open_still else reason))
    life.placements += [on, *([on + days(20)] if rng.random() < 0.4 and ended > on + days(20) else [])]
    if not open_still and rng.random() < 0.4 and (again := ended + days(rng.choice([1, 100, 365, 366]))) <= AS_OF:
        life.removals.append((again, None, None))
        life.placements.append(again)


def _in_trouble(life: Life, rng: random.Random) -> None:
    for _ in range(rng.choice([0, 0, 1, 2])):
        on = _some_day(rng)
        life.runaways.append(on)
        if rng.random() < 0.5 and (asked := on + days(rng.choice([0, 3, 10, 30, 31, 60]))) <= AS_OF:
            life.referrals.append(asked)
    if rng.random() < 0.3:
        begun = _some_day(rng, last=Day(2025, 9, 1))
        ended = begun + days(rng.randrange(30, 300))
        life.custody.append((begun, ended))
        life.arrests += [ended + days(rng.choice([0, 1, 200, 365, 366])) for _ in range(rng.choice([0, 1]))]
        life.adjudged += [ended + days(rng.choice([1, 400, 730, 731])) for _ in range(rng.choice([0, 1]))]
        life.arrests, life.adjudged = ([d for d in found if d <= AS_OF] for found in (life.arrests, life.adjudged))


def rows_of(county: Iterable[Life]) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """The rows of the record in force, and which references are one person."""
    rows: dict[str, list[Row]] = {}
    persons: dict[str, str] = {}

    def add(entity: str, **row: Any) -> None:
        rows.setdefault(entity, []).append(row)

    for life in county:
        refs = {name: f"{name}/people/{life.no}" for name in ("school", "care", "police", "court", "clinic")}
        persons |= dict.fromkeys(refs.values(), f"P{life.no:04d}")
        for ref in refs.values():
            add("person", person_ref=ref)
        add("person_demographic", person_ref=refs["school"], birth_date=life.born, sex=life.sex)
        _school_rows(life, refs["school"], add)
        _care_rows(life, refs, add)
        _justice_rows(life, refs, add)
    return rows, persons


def _school_rows(life: Life, ref: str, add: Callable[..., None]) -> None:
    for n, (entry, left, kind) in enumerate(life.schools):
        add("enrollment", person_ref=ref, school_id=str(n), entry_date=entry, exit_date=left, exit_type=kind)
    for day, part in life.absences.items():
        add("attendance_day", person_ref=ref, date=day, status="absent_unexcused", duration_fraction=Decimal(part))


def _care_rows(life: Life, refs: dict[str, str], add: Callable[..., None]) -> None:
    ref = refs["care"]
    for n, (on, closed, source, finding) in enumerate(life.reports):
        report = f"care/reports/{life.no}-{n}"
        add("cw_report", report_ref=report, received_on=on, closed_on=closed, screening="screened_in",
            source_category=source)  # fmt: skip
        add("report_participant", report_ref=report, person_ref=ref, role="alleged_victim")
        add("allegation", report_ref=report, person_ref=ref, finding=finding, received_on=on if n % 2 else None)
    for n, (on, ended, reason) in enumerate(life.removals):
        add("removal", person_ref=ref, removal_ref=f"care/removals/{life.no}-{n}", removed_on=on, ended_on=ended,
            end_reason=reason)  # fmt: skip
    for on in life.placements:
        add("placement", person_ref=ref, started_on=on)
    for on in life.referrals:
        add("referral", person_ref=refs["police"], to_sector="child_welfare", made_on=on)
    for agency, domain, on in life.assessments:
        add("assessment", person_ref=refs[agency], domain=domain, done_on=on)
    for agency, category, begun, ended in life.services:
        add("service", person_ref=refs[agency], category=category, started_on=begun, ended_on=ended)
    for n, (agency, due, met) in enumerate(life.tasks):
        add("responsibility", person_ref=ref, plan_ref=f"care/plans/{life.no}-{n}", responsible_agency=agency,
            due_on=due, met_on=met)  # fmt: skip


def _justice_rows(life: Life, refs: dict[str, str], add: Callable[..., None]) -> None:
    for n, on in enumerate(life.runaways):
        add(
            "police_contact",
            person_ref=refs["police"],
            incident_no=f"r{life.no}-{n}",
            kind="runaway_report",
            occurred_on=on,
        )
    for n, on in enumerate(life.arrests):
        add(
            "police_contact",
            person_ref=refs["police"],
            incident_no=f"a{life.no}-{n}",
            kind="arrest_custody",
            occurred_on=on,
        )
    for n, (begun, ended) in enumerate(life.custody):
        case = f"court/cases/{life.no}-{n}"
        add("case", case_ref=case, type="delinquency", filed_on=begun - days(30))
        add("case_participant", case_ref=case, person_ref=refs["court"], role="youth")
        add("disposition", case_ref=case, disposition="commitment_state", ordered_on=begun, ends_on=ended)
        for m, on in enumerate(life.adjudged):
            add("charge", case_ref=case, charge_ref=f"court/charges/{life.no}-{m}", person_ref=refs["court"],
                finding="adjudicated_delinquent", offense_on=on, finding_on=on)  # fmt: skip


def published(root: Path, county: Iterable[Life] | None = None) -> Record:
    """A record of these lives."""
    home, ledger = new_home(root / "home")
    rows, persons = rows_of(lives() if county is None else county)
    publish(home, ledger, inputs_of(root / "in", rows, persons), run_id="run-1", fence=1)
    ledger.close()
    return open_record(home)
