"""What agencies say of one person that cannot all be true is told with its sources, and settled by nobody here."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from record_rows import AS_OF, Row, add_order, inputs_of, new_home

from record.contradictions import contradictions, count_contradictions, find_contradictions
from record.publish import publish
from record.reader import Record, open_record
from record.report import write_report
from standard.errors import DeclarationError
from store.home import Home
from store.ledger import open_ledger

SCHOOL, OTHER_SCHOOL, CARE, COURT = "school/students/1", "hills/pupils/9", "care/clients/7", "court/party/P1"
ONE = dict.fromkeys((SCHOOL, OTHER_SCHOOL, CARE, COURT), "ONE")
CASE = "court/cases/C1"


def published(root: Path, orders: tuple[str, ...] = (), **rows: list[Row]) -> Record:
    home, ledger = new_home(root / "home")
    for order in orders:
        add_order(ledger, order)
    people = [{"person_ref": ref} for ref in ONE]
    publish(home, ledger, inputs_of(root / "in", {"person": people, **rows}, ONE), run_id="run-1", fence=1)
    ledger.close()
    return open_record(home)


def sources(root: Path, kind: str, **rows: Any) -> list[Row]:
    record = published(root, **rows)
    found: list[Row] = find_contradictions(record.snapshot, [kind], temp=root / "home").to_pylist()
    return found


def said(found: list[Row]) -> list[tuple[str, str]]:
    return [(row["agency"], row["says"]) for row in found]


def born(ref: str, day: date, **more: Any) -> Row:
    return {"person_ref": ref, "birth_date": day, **more}


def test_dates_of_birth_that_differ_are_told_with_every_source(tmp_path: Path) -> None:
    found = sources(tmp_path, "birth_date", person_demographic=[
        born(SCHOOL, date(2012, 3, 4)), born(CARE, date(2010, 7, 19)), born(COURT, date(2012, 3, 4)),
    ])  # fmt: skip
    assert sorted(said(found)) == [
        ("care", "date of birth 1"),
        ("court", "date of birth 2"),
        ("school", "date of birth 2"),
    ]
    (care,) = (row for row in found if row["agency"] == "care")
    assert (care["table"], care["source_key"], care["as_of"]) == ("clients", "7", AS_OF)


@pytest.mark.parametrize(
    ("one", "other", "may_be_two"),
    [
        (date(2012, 3, 4), date(2010, 7, 19), True),
        (date(2012, 3, 4), date(2012, 4, 3), False),  # day and month swapped
        (date(2012, 3, 4), date(2012, 3, 14), False),  # one of the three typed wrong
        (date(2012, 3, 4), date(2010, 1, 1), False),  # stands for not known
    ],
)
def test_two_dates_that_no_slip_of_the_pen_explains_are_a_hint_at_two_persons(
    one: date, other: date, may_be_two: bool, tmp_path: Path
) -> None:
    found = sources(tmp_path, "birth_date", person_demographic=[born(SCHOOL, one), born(CARE, other)])
    assert len(found) == 2
    hint = (CARE, SCHOOL) if may_be_two else (None, None)
    assert {(row["explain_l"], row["explain_r"]) for row in found} == {hint}


def test_the_same_date_an_estimated_one_and_one_agency_s_own_doubt_are_no_contradiction(tmp_path: Path) -> None:
    rows = [
        born(SCHOOL, date(2012, 3, 4)), born(COURT, date(2012, 3, 4)),
        born(CARE, date(2012, 1, 1), birth_date_precision="estimated"),
    ]  # fmt: skip
    assert sources(tmp_path / "a", "birth_date", person_demographic=rows) == []
    own = [born(CARE, date(2012, 3, 4)), born(CARE, date(2011, 3, 4))]
    assert sources(tmp_path / "b", "birth_date", person_demographic=own) == []


def test_sex_is_compared_where_it_is_known(tmp_path: Path) -> None:
    rows = [{"person_ref": SCHOOL, "sex": "F"}, {"person_ref": CARE, "sex": "U"}]
    assert sources(tmp_path / "a", "sex", person_demographic=rows) == []
    rows += [{"person_ref": COURT, "sex": "M"}]
    found = sources(tmp_path / "b", "sex", person_demographic=rows)
    assert sorted(said(found)) == [("court", "sex 1"), ("school", "sex 2")]


def test_who_died_is_not_at_school_afterwards(tmp_path: Path) -> None:
    died = [{"person_ref": CARE, "died_on": date(2026, 1, 10)}]
    late = {"person_ref": SCHOOL, "status": "tardy_excused", "date": date(2026, 1, 12)}
    missed = {"person_ref": SCHOOL, "status": "absent_unexcused", "date": date(2026, 1, 13)}
    same = {"person_ref": SCHOOL, "status": "tardy_excused", "date": date(2026, 1, 10)}
    found = sources(tmp_path, "deceased_attending", death=died, attendance_day=[late, missed, same])
    assert sorted(said(found)) == [("care", "died"), ("school", "at school")]
    assert {(row["explain_l"], row["explain_r"]) for row in found} == {(CARE, SCHOOL)}


def test_an_enrolment_may_stay_open_for_thirty_days_after_a_death(tmp_path: Path) -> None:
    enrolled = [{"person_ref": SCHOOL, "school_id": "1", "entry_date": date(2025, 9, 1)}]
    soon, long = (
        sources(
            tmp_path / name, "deceased_attending", enrollment=enrolled, death=[{"person_ref": CARE, "died_on": day}]
        )
        for name, day in (("soon", date(2026, 3, 10)), ("long", date(2026, 1, 10)))
    )
    assert soon == []
    assert {row["says"] for row in long} == {"died", "enrolled"}


CUSTODY = {
    "case": [{"case_ref": CASE, "type": "delinquency"}],
    "case_participant": [{"case_ref": CASE, "person_ref": COURT, "role": "youth"}],
    "disposition": [{"case_ref": CASE, "disposition": "commitment_state", "ordered_on": date(2026, 1, 5),
                     "term_days": 30}],
}  # fmt: skip


def at_school(day: date) -> Row:
    return {"person_ref": SCHOOL, "status": "tardy_unexcused", "date": day}


def test_who_is_in_custody_is_not_seen_at_school_between_the_first_and_last_day(tmp_path: Path) -> None:
    days = [at_school(date(2026, 1, 5)), at_school(date(2026, 1, 20)), at_school(date(2026, 2, 4))]
    found = sources(tmp_path, "custody_attending", **CUSTODY, attendance_day=days)
    assert sorted(said(found)) == [("court", "in custody by court order"), ("school", "at school")]


def test_custody_without_an_end_or_term_is_not_compared(tmp_path: Path) -> None:
    endless = {**CUSTODY, "disposition": [{**CUSTODY["disposition"][0], "term_days": None}]}
    assert sources(tmp_path, "custody_attending", **endless, attendance_day=[at_school(date(2026, 1, 20))]) == []


def test_a_sealed_case_contradicts_nothing(tmp_path: Path) -> None:
    record = published(tmp_path, (CASE,), **CUSTODY, attendance_day=[at_school(date(2026, 1, 20))])
    assert find_contradictions(record.snapshot, temp=tmp_path / "home").num_rows == 0


def enrolled(foster: bool | None, ref: str = SCHOOL) -> Row:
    return {"person_ref": ref, "school_id": "1", "entry_date": date(2025, 9, 1), "foster_care_reported": foster}


def test_foster_care_said_by_the_school_alone(tmp_path: Path) -> None:
    elsewhere = [{"person_ref": CARE, "removed_on": date(2024, 1, 1), "ended_on": date(2024, 9, 1)}]
    found = sources(tmp_path / "a", "foster_school_only", enrollment=[enrolled(True)], removal=elsewhere)
    assert said(found) == [("school", "in foster care")]
    going_on = [{"person_ref": CARE, "removed_on": date(2026, 1, 1)}]
    assert sources(tmp_path / "b", "foster_school_only", enrollment=[enrolled(True)], removal=going_on) == []
    assert sources(tmp_path / "c", "foster_school_only", enrollment=[enrolled(True)]) == [], "nobody tells of removals"


def test_foster_care_said_by_child_welfare_alone(tmp_path: Path) -> None:
    removed = [{"person_ref": CARE, "removed_on": date(2026, 1, 1)}]
    rows = [enrolled(False), enrolled(None, OTHER_SCHOOL)]
    found = sources(tmp_path / "a", "foster_welfare_only", enrollment=rows, removal=removed)
    assert sorted(said(found)) == [("care", "removed from home"), ("school", "not in foster care")]
    just_now = [{"person_ref": CARE, "removed_on": date(2026, 3, 15)}]
    assert sources(tmp_path / "b", "foster_welfare_only", enrollment=rows, removal=just_now) == []


def test_counts_tell_of_persons_and_hints_and_no_value(tmp_path: Path) -> None:
    record = published(tmp_path, person_demographic=[
        born(SCHOOL, date(2012, 3, 4), sex="F"), born(CARE, date(2010, 7, 19), sex="M"),
    ])  # fmt: skip
    counted = {c.kind: (c.persons, c.hints) for c in count_contradictions(record.snapshot, temp=tmp_path / "home")}
    assert counted.pop("birth_date") == (1, 1)
    assert counted.pop("sex") == (1, 0)
    assert set(counted.values()) == {(0, 0)}
    told = str(find_contradictions(record.snapshot, temp=tmp_path / "home").to_pylist())
    assert not [value for value in ("2012", "2010", "'F'", "'M'") if value in told]


def test_every_kind_says_what_is_contradicted_what_is_tolerated_and_when() -> None:
    for kind, declared in contradictions().items():
        assert all((declared.title, declared.contradicts, declared.tolerance, declared.period)), kind


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="no contradiction 'age'"):
        find_contradictions(published(tmp_path).snapshot, ["age"], temp=tmp_path / "home")


def test_the_page_of_a_run_tells_counts_only(tmp_path: Path) -> None:
    record = published(tmp_path, person_demographic=[born(SCHOOL, date(2012, 3, 4)), born(CARE, date(2010, 7, 19))])
    ledger = open_ledger(tmp_path / "home" / "ledger.db")
    report = write_report(Home(tmp_path / "home"), ledger, run_id="run-1", late={}, names={}, shown=lambda *_: "*")
    page = report.read_text("utf-8")
    ledger.close()
    section = page[page.index('<section id="contradictions">') :]
    section = section[: section.index("</section>")]
    (line,) = (line for line in section.splitlines() if "birth date" in line)
    assert '<td class="n">1</td><td class="n">1</td>' in line
    persons = [*ONE, "ONE", "2012", "2010", record.table("person_demographic").to_arrow()["row_id"][0].as_py()]
    assert [value for value in persons if value in section] == []
