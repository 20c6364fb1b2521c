"""Measures say of invented lives what a count by hand says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import measures_truth as truth
import pytest
from lives import lives, published
from measures_truth import Unit, counted

from record.reader import Record
from releases.measures.declarations import catalogue
from releases.measures.run import RARE, Result, measure_units, run_measure
from releases.measures.source import source_of
from standard.errors import DeclarationError


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return published(tmp_path_factory.mktemp("lives"))


@pytest.fixture(scope="module")
def ask(record: Record) -> Callable[..., Result]:
    source = source_of(record, min_cell=1)
    return lambda name, *by: run_measure(name, source, by=by)


FOLLOWED: dict[str, tuple[Callable[[], list[Unit]], int]] = {
    "reentry_cfsr2": (truth.reunified, 365),
    "reentry_cfsr3": (truth.left_within_a_year, 365),
    "recurrence_12_months": (truth.recurrence_12, 365),
    "recurrence_6_months": (truth.recurrence_6, 183),
    "rereport_12_months": (truth.rereport, 365),
    "rearrest_12_months": (truth.rearrest, 365),
    "readjudication_24_months": (truth.readjudication, 730),
    "release_to_school": (truth.release_to_school, 30),
    "school_change_gap": (truth.gaps, 10),
    "school_change_after_placement": (truth.school_lost, 30),
    "ageing_out_support": (truth.aged_out, 90),
    "support_after_move": (truth.moved, 60),
    "status_offense_referral": (truth.asked, 30),
    "duplicated_assessments": (truth.assessed_twice, 90),
    "duplicated_services": (truth.served_twice, 0),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_measure_says_what_a_count_by_hand_says(name: str, ask: Callable[..., Result]) -> None:
    make, after = FOLLOWED[name]
    units = make()
    (row,) = ask(name).rows
    expected = counted(units, after=after)
    assert (row["units"], row["observed"], row["found"]) == expected
    assert 0 < expected[2] < expected[1] < expected[0] or after == 0, "the lives must try all three states"
    assert row["share"] == pytest.approx(expected[2] / expected[1], abs=1e-4)
    assert "median_days" not in row or row["median_days"] == truth.median_days(units, after=after)


def test_every_measure_of_the_catalogue_is_held_to_a_count_by_hand() -> None:
    others = {"known_to_agencies_in_order", "status_offense_history", "attendance_around_removal",
              "late_responsibilities"}  # fmt: skip
    assert set(FOLLOWED) | others == set(catalogue().measures)


def test_children_with_a_status_offense_are_told_by_their_history(ask: Callable[..., Result]) -> None:
    rows = ask("status_offense_history", "history").rows
    assert {row["history"]: row["units"] for row in rows} == dict(truth.status_offenses())
    assert all(row["found"] == (0 if row["history"] == "none known" else row["units"]) for row in rows)


def test_referrals_are_told_by_history(ask: Callable[..., Result]) -> None:
    rows = {row["history"]: row for row in ask("status_offense_referral", "history").rows}
    for which in ("open", "past"):
        units = truth.asked(which)
        got = rows[which]
        assert (got["units"], got["observed"], got["found"]) == counted(units, after=30)
        assert got["median_days"] == truth.median_days(units, after=30)


def test_late_responsibilities_are_told_by_the_agency_that_agreed(ask: Callable[..., Result]) -> None:
    rows = ask("late_responsibilities", "responsible_agency").rows
    assert {row["responsible_agency"]: (row["observed"], row["found"]) for row in rows} == truth.late()


def test_children_are_told_by_the_order_in_which_agencies_came_to_know_them(ask: Callable[..., Result]) -> None:
    rows = ask("known_to_agencies_in_order").rows
    assert Counter({row["path"]: row["units"] for row in rows}) == truth.paths()


def test_school_days_missed_are_told_before_and_after_a_removal(ask: Callable[..., Result]) -> None:
    (row,) = ask("attendance_around_removal").rows
    removals, seen, compared, before, after = truth.around_removal()
    got = (row["units"], row["units"] - row["not_observed"], row["compared"])
    assert got == (removals, seen, compared)
    assert (row["before"], row["after"]) == (round(before, 2), round(after, 2))


def test_the_groups_of_every_dimension_sum_to_the_whole(ask: Callable[..., Result]) -> None:
    for name, measure in catalogue().measures.items():
        whole = sum(row["units"] for row in ask(name).rows)
        for dimension in {*measure.dimensions, *measure.by[-2:]}:
            assert sum(row["units"] for row in ask(name, dimension).rows) == whole, (name, dimension)


def test_a_child_s_sex_is_that_of_the_record(ask: Callable[..., Result]) -> None:
    rows = ask("rereport_12_months", "sex").rows
    reported = Counter(life.sex for life in lives() if life.reports)
    assert {row["sex"]: row["units"] for row in rows} == dict(reported)


ASKED = {
    "reentry_cfsr2": ("year",), "reentry_cfsr3": ("sex",), "status_offense_referral": ("history", "sex"),
    "attendance_around_removal": ("year",), "late_responsibilities": ("responsible_agency",),
}  # fmt: skip
COUNTS = ("units", "found", "compared", "not_compared", "not_observed")


def test_no_count_below_eleven_is_shown(record: Record) -> None:
    source, bare = source_of(record), source_of(record, min_cell=1)
    hidden = 0
    for name, by in ASKED.items():
        shown = run_measure(name, source, by=by).rows
        for row, true in zip(shown, run_measure(name, bare, by=by).rows, strict=True):
            for column in (c for c in COUNTS if c in row):
                assert row[column] in (None, true[column])
                if 0 < true[column] < 11:
                    assert row[column] is None and row["suppressed"], (name, by, column)
                    hidden += 1
            if row.get("found") is None and "found" in row:
                assert row["share"] is None
    assert hidden > 5


def test_what_is_hidden_cannot_be_subtracted_from_the_total(record: Record) -> None:
    rows = run_measure("reentry_cfsr2", record, by=["year"]).rows
    (whole,) = run_measure("reentry_cfsr2", record).rows
    assert any(row["found"] is None for row in rows)
    for column in ("found", "not_observed"):
        hidden = [row for row in rows if row[column] is None]
        assert len(hidden) != 1 or whole[column] is None, column


def test_a_rare_path_is_told_with_the_others_only(record: Record) -> None:
    rows = run_measure("known_to_agencies_in_order", record).rows
    taken = truth.paths()
    assert {row["path"] for row in rows} - {RARE} == {path for path, children in taken.items() if children >= 11}
    (rare,) = (row["units"] for row in rows if row["path"] == RARE)
    assert rare == sum(children for children in taken.values() if children < 11)
    assert all(row["units"] is None or row["units"] >= 11 for row in rows)


def test_an_event_without_a_day_has_no_place_and_is_counted_apart(ask: Callable[..., Result]) -> None:
    still_removed = sum(ended is None for life in lives() for _, ended, _ in life.removals)
    assert ask("reentry_cfsr2").undated == still_removed > 0
    assert ask("rereport_12_months").undated == 0


def test_an_allegation_without_a_day_has_that_of_its_report(ask: Callable[..., Result], record: Record) -> None:
    undated = record.to_duckdb().execute("SELECT count(*) FROM allegation WHERE received_on IS NULL").fetchall()[0][0]
    assert undated > 0
    assert ask("recurrence_6_months").undated == 0


def test_units_are_given_for_what_an_analyst_does_next(record: Record) -> None:
    units = measure_units("rereport_12_months", record, by=["sex"]).to_arrow_table().to_pylist()
    assert len(units) == sum(bool(life.reports) for life in lives())
    assert {"person_id", "on_day", "sex", "state", "days"} == set(units[0])


def test_a_dimension_that_a_measure_is_not_asked_by_is_refused(record: Record) -> None:
    with pytest.raises(DeclarationError, match="not asked by school_id"):
        run_measure("reentry_cfsr2", record, by=["school_id"])
    with pytest.raises(DeclarationError, match="no measure 'reentry'"):
        run_measure("reentry", record)


def test_lives_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    lives.cache_clear()
    first = lives()
    lives.cache_clear()
    assert lives() == first
