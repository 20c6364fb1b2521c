"""A release whose days are shifted by person answers what lies between a person's days, and refuses the rest."""

from __future__ import annotations

import pytest
from analyst_release import released

from record.reader import Record
from releases.measures.run import run_measure
from releases.measures.source import source_of
from releases.reader import Release
from standard.errors import PublishError

BY_PERSON = ("reentry_cfsr2", "reentry_cfsr3", "duplicated_assessments", "late_responsibilities", "school_change_gap")
BY_CASE_OR_REPORT = ("status_offense_history", "rereport_12_months", "recurrence_12_months", "rearrest_12_months")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Release]:
    return released(tmp_path_factory.mktemp("shifted"), shifted=True)


@pytest.mark.parametrize("name", BY_PERSON)
def test_what_lies_between_a_person_s_days_is_answered(name: str, both: tuple[Record, Release]) -> None:
    (true,), (shifted,) = (run_measure(name, source_of(tables, min_cell=1)).rows for tables in both)
    assert shifted["units"] == true["units"]
    assert 0 < shifted["observed"] < true["observed"], "of the last year it is not sure what was watched"
    assert abs(shifted["share"] - true["share"]) < 0.1


def test_the_order_of_agencies_is_that_of_the_true_days(both: tuple[Record, Release]) -> None:
    true, shifted = (run_measure("known_to_agencies_in_order", source_of(tables, min_cell=1)).rows for tables in both)
    assert {row["path"]: row["units"] for row in shifted} == {row["path"]: row["units"] for row in true}


@pytest.mark.parametrize("name", BY_CASE_OR_REPORT)
def test_days_shifted_by_case_or_report_are_refused_beside_a_person_s(name: str, both: tuple[Record, Release]) -> None:
    with pytest.raises(PublishError, match=r"shifted by the (case|report), not by the person"):
        run_measure(name, both[1])


def test_a_shifted_day_is_no_true_day(both: tuple[Record, Release]) -> None:
    true, shifted = (sorted(tables.table("removal").to_arrow()["removed_on"].to_pylist()) for tables in both)
    assert len(true) == len(shifted) and true != shifted
