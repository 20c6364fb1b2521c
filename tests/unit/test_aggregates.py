"""Tables of counts tell no small group, neither alone nor beside the tables that the recipient was given before."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from governed import DAY, ROWS, World, world
from record_rows import Row, inputs_of

from governance.load import Governance
from record.publish import publish
from releases.aggregates import Aggregate, make_aggregate
from releases.aggregates_count import Measure, Request
from releases.aggregates_register import check_tables, kept_tables, register_folder
from releases.suppression import keys_above
from standard.errors import AuditError, DeclarationError, PublishError
from store.audit_check import check_log, read_entries

POLICY = """\
policy: study
recipient: university
purpose: research
agreement: DUL-1
columns:
  enrollment: [person_id, school_id, grade, status, entry_date, agency_id]
  allegation: [person_id, type]
treatments: {"*.person_id": pseudonym, "enrollment.entry_date": month}
rows: {age_bands: [minor], need_to_know: none}
"""
AT = datetime(2026, 3, 30, 6, tzinfo=UTC)
PUPILS = {("1", "07"): 30, ("1", "08"): 4, ("2", "07"): 25, ("2", "08"): 40, ("3", "07"): 18, ("3", "08"): 22}
"""(school, grade) -> pupils: one group is small."""


def pupils(counts: dict[tuple[str, str], int]) -> tuple[dict[str, list[Row]], dict[str, str]]:
    people: list[Row] = []
    enrollments: list[Row] = []
    births: list[Row] = []
    for (school, grade), count in counts.items():
        for number in range(count):
            ref = f"school/students/{school}-{grade}-{number}"
            people.append({"person_ref": ref})
            births.append({"person_ref": ref, "birth_date": date(2012, 1, 1)})
            enrollments.append({"person_ref": ref, "school_id": school, "grade": grade, "status": "enrolled",
                                "entry_date": date(2025, 9, 1)})  # fmt: skip
    rows = {"person": people, "person_demographic": births, "enrollment": enrollments}
    return rows, {str(row["person_ref"]): f"P-{row['person_ref']}" for row in people}


def county(root: Path, counts: dict[tuple[str, str], int] = PUPILS, **of_use: object) -> World:
    rows, who = pupils(counts)
    small = world(root, {name: [*ROWS[name], *rows[name]] for name in rows}, who, **of_use)
    small.small.policy(POLICY)
    return small


def count(
    of: World, *by: str, measure: Measure = "persons", policy: str = "study", minute: int = 0, table: str = "enrollment"
) -> Aggregate:
    asked = Request(policy, table, by, measure, AT + timedelta(minutes=minute), DAY)
    governance: Governance = of.small.load()
    return make_aggregate(of.home, of.ledger, governance, asked)


@pytest.fixture
def schools(tmp_path: Path) -> World:
    return county(tmp_path)


def test_a_small_cell_is_hidden_and_others_with_it_so_that_totals_do_not_tell(schools: World) -> None:
    made = count(schools, "school_id", "grade")
    hidden = {key for key, told in made.cells.items() if told is None}
    assert ("1", "08") in hidden and len(hidden) >= 4
    shown = {key: told for key, told in made.cells.items() if told is not None}
    for (school, grade), pupils_there in PUPILS.items():
        assert shown.get((school, grade), pupils_there) == pupils_there
    for key in hidden:  # in each line and column of the table at least two are hidden, or the total is
        for place in range(2):
            line = [k for k in made.cells if k[1 - place] == key[1 - place]]
            assert sum(k in hidden for k in line) >= 2


def test_the_files_say_what_they_hold(schools: World) -> None:
    made = count(schools, "school_id")
    with (made.folder / "table.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    assert rows[0] == ["school_id", "persons"] and rows[1][0] == "(total)"
    told = json.loads((made.folder / "manifest.json").read_text("utf-8"))
    assert (told["recipient"], told["agreement"], told["measure"], told["rules"]["min_cell"]) == (
        "university", "DUL-1", "persons", 11,
    )  # fmt: skip
    assert told["audit"]["seq"] >= 1
    assert {oct(path.stat().st_mode & 0o777) for path in made.folder.iterdir()} == {"0o600"}


def test_a_child_at_two_schools_is_counted_once_as_of_several(tmp_path: Path) -> None:
    rows, who = pupils({("1", "07"): 30, ("2", "07"): 30})
    moved = [dict(row, school_id="2", entry_date=date(2026, 1, 5)) for row in rows["enrollment"][:12]]
    rows["enrollment"] += moved
    of = world(tmp_path, {**{name: [*ROWS[name], *rows[name]] for name in rows}, "enrollment": rows["enrollment"]}, who)
    of.small.policy(POLICY)
    made = count(of, "school_id")
    assert made.cells[("(several)",)] == 12
    assert made.cells[("1",)] == 18
    assert made.cells[(None,)] == 60


def test_what_the_recipient_has_of_before_is_held_against_the_next_table(tmp_path: Path) -> None:
    of = county(tmp_path, {("1", "07"): 30, ("1", "08"): 4, ("2", "07"): 25, ("2", "08"): 40})
    first = count(of, "school_id")
    second = count(of, "grade", minute=1)
    third = count(of, "school_id", "grade", minute=2)
    known = {("1", None): first.cells[("1",)], (None, "08"): second.cells[("08",)]}
    hidden = {key for key, told in third.cells.items() if told is None}
    assert ("1", "08") in hidden
    for line in ([k for k in third.cells if k[0] == "1"], [k for k in third.cells if k[1] == "08"]):
        finest = [k for k in line if None not in k]
        assert sum(k in hidden for k in finest) != 1 or known.get(next(k for k in line if None in k)) is None
    assert [kept.aggregate_id for kept in kept_tables(of.home, "university", "enrollment")] == [
        made.manifest["aggregate_id"] for made in (first, second, third)
    ]


def test_a_single_child_that_comes_does_not_show_what_was_hidden(tmp_path: Path) -> None:
    of = county(tmp_path)
    first = count(of, "school_id", "grade")
    rows, who = pupils({**PUPILS, ("2", "07"): 26})
    everyone = {name: [*ROWS[name], *rows[name]] for name in rows}
    from governed import WHO

    publish(of.home, of.ledger, inputs_of(tmp_path / "again", {**ROWS, **everyone}, WHO | who), run_id="run-1", fence=1)
    second = count(of, "school_id", "grade", minute=5)
    assert second.cells[("1", "08")] is None
    apart = {k for k in first.cells if (first.cells[k] is None) != (second.cells.get(k) is None)}
    assert not apart or all(first.cells[k] != 4 for k in apart)


def test_the_same_table_again_is_the_same(schools: World) -> None:
    assert count(schools, "school_id", "grade").cells == count(schools, "school_id", "grade", minute=1).cells


def test_counts_of_rows_beside_counts_of_persons_are_refused(schools: World) -> None:
    count(schools, "school_id")
    with pytest.raises(PublishError, match=r"R12.*has counts of persons"):
        count(schools, "school_id", measure="rows", minute=1)


def test_many_rows_of_few_children_are_small_too(tmp_path: Path) -> None:
    rows, who = pupils({("1", "07"): 30, ("2", "07"): 30, ("3", "07"): 2})
    rows["enrollment"] += [
        dict(row, entry_date=date(2025, 9, 2 + n)) for row in rows["enrollment"][60:] for n in range(20)
    ]
    of = world(tmp_path, {name: [*ROWS[name], *rows[name]] for name in rows}, who)
    of.small.policy(POLICY)
    assert count(of, "school_id", measure="rows").cells[("3",)] is None


def test_rows_nearly_all_of_one_child_are_hidden_where_dominance_is_agreed(tmp_path: Path) -> None:
    rows, who = pupils({("1", "07"): 30, ("2", "07"): 30})
    rows["enrollment"] += [dict(rows["enrollment"][0], entry_date=date(2020, 1, 1) + timedelta(n)) for n in range(600)]
    of = world(tmp_path, {name: [*ROWS[name], *rows[name]] for name in rows}, who)
    of.small.policy(POLICY + "aggregates: {min_cell: 11, dominance: [2, 0.9]}\n")
    assert count(of, "school_id", measure="rows").cells[("1",)] is None
    of.small.policy(POLICY.replace("study", "plain") + "aggregates: {min_cell: 11}\n", "plain")


def test_counts_are_rounded_where_that_is_agreed(schools: World) -> None:
    schools.small.policy(POLICY + "aggregates: {min_cell: 11, rounding: 5}\n")
    shown = [told for told in count(schools, "school_id", "grade").cells.values() if told is not None]
    assert shown and all(told % 5 == 0 for told in shown)


def test_a_table_of_which_nothing_could_be_shown_is_refused(tmp_path: Path) -> None:
    of = county(tmp_path, {("1", "07"): 3, ("2", "07"): 2})
    with pytest.raises(PublishError, match=r"R12.*nothing of it would be left"):
        count(of, "school_id")
    assert kept_tables(of.home, "university", "enrollment") == []
    assert not list((of.home.root / "releases" / "university").glob("*"))


@pytest.mark.parametrize(
    ("by", "says"),
    [
        (("person_id",), "a value for each person"), (("agency_id", "agency_id"), "one column twice"),
        ((), "nothing"), (("homeless",), "is not in the policy"),
    ],
)  # fmt: skip
def test_it_is_not_counted_by_what_would_tell_of_single_persons(schools: World, by: tuple[str, ...], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        count(schools, *by)


def test_a_table_that_the_policy_does_not_have_is_refused_before_anything_is_logged(schools: World) -> None:
    with pytest.raises(DeclarationError, match="no such table"):
        count(schools, "role", table="../case")
    assert not list(schools.home.audit.glob("*.jsonl"))


def test_nothing_is_counted_without_an_agreement_in_force(schools: World) -> None:
    schools.small.edit("DUL-1", "title:", "title: Another", signed=False)
    with pytest.raises(DeclarationError, match="is not in force"):
        count(schools, "school_id")
    assert [e.event.decision for e in read_entries(schools.home)] == ["intent", "failed"]


def test_a_day_is_counted_by_month(schools: World) -> None:
    assert ("2025-09-01",) in count(schools, "entry_date").cells


def test_whose_record_is_sealed_is_not_counted(tmp_path: Path) -> None:
    from record_rows import add_order

    of = county(tmp_path, {("1", "07"): 30, ("2", "07"): 30})
    add_order(of.ledger, "school/students/1-07-0")
    made = count(of, "school_id")
    assert made.cells[("1",)] in (29, None) and made.cells[("2",)] in (30, None)
    told = list(read_entries(of.home))[-1].event
    assert told.counts["R11"] == 1 and told.decision == "done"


def test_another_policy_does_not_tell_the_few_by_whom_it_differs(tmp_path: Path) -> None:
    of = county(tmp_path, {("1", "07"): 30, ("2", "07"): 30})
    everybody = POLICY.replace("policy: study", "policy: all_ages").replace("[minor]", "[minor, adult, unknown]")
    of.small.policy(everybody, "all_ages")
    first = count(of, "school_id", policy="all_ages")
    second = count(of, "school_id", minute=1)
    for key in {*first.cells} & {*second.cells}:
        one, two = first.cells[key], second.cells[key]
        assert one is None or two is None or one == two or abs(one - two) >= 11


def test_without_room_in_the_log_nothing_goes_out(schools: World) -> None:
    count(schools, "school_id")
    (schools.home.keys / "audit_key").rename(schools.home.keys / "away")
    with pytest.raises(AuditError):
        count(schools, "grade", minute=1)
    assert len(list((schools.home.root / "releases" / "university").iterdir())) == 1


def test_the_log_tells_of_the_table_and_is_whole(schools: World) -> None:
    made = count(schools, "school_id", "grade")
    actions = [(e.event.action, e.event.decision) for e in read_entries(schools.home)]
    assert actions == [("aggregate", "intent"), ("aggregate.published", ""), ("aggregate", "done")]
    hidden = sum(told is None for told in made.cells.values())
    assert list(read_entries(schools.home))[-1].event.counts["R12"] == hidden
    assert check_log(schools.home).faults == []
    assert check_tables(schools.home, read_entries(schools.home)) == []
    kept = register_folder(schools.home, "university") / f"{made.manifest['aggregate_id']}.json"
    kept.write_text(kept.read_text().replace("30", "31"))
    assert [fault.code for fault in check_tables(schools.home, read_entries(schools.home))] == ["altered"]


def test_every_total_that_counts_a_cell_is_a_key_above_it() -> None:
    assert set(keys_above(["a", "b"])) == {("a", "b"), ("a", None), (None, "b"), (None, None)}
