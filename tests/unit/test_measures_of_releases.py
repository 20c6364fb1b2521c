"""What of a release a measure can be asked: pseudonyms and shifted days are enough, coarse or mixed days are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from lives import published

from record.reader import Record
from releases.measures.run import run_measure
from releases.measures.source import source_of
from releases.pseudonyms import FURTHEST
from standard.errors import PublishError


@dataclass(frozen=True)
class Given:
    """Tables as a recipient has them."""

    con: duckdb.DuckDBPyConnection
    manifest: Mapping[str, Any]

    def to_duckdb(self) -> duckdb.DuckDBPyConnection:
        return self.con


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return published(tmp_path_factory.mktemp("lives"))


def given(record: Record, tables: Mapping[str, str], treatments: Mapping[str, Mapping[str, str]]) -> Given:
    """Table -> SQL of its columns over the record's, with `days` for the shift of the row's person."""
    con, of = duckdb.connect(), record.to_duckdb()
    for name, columns in tables.items():
        days = f"CAST(hash(person_id) % {2 * FURTHEST} AS INTEGER) - {FURTHEST}"
        arrow = of.sql(f"SELECT {columns} FROM (SELECT *, {days} AS days FROM {name})").to_arrow_table()
        con.register(f"{name}_rows", arrow)
        con.execute(f"CREATE VIEW {name} AS FROM {name}_rows")
    entries = {name: {"treatments": dict(treatments.get(name, {}))} for name in tables}
    return Given(con, {"release_id": "REL-1", "min_cell": 5, "tables": entries})


WHOLE = "md5(person_id) AS person_id, agency_id, end_reason, as_of"
REMOVAL = f"{WHOLE}, removed_on + days AS removed_on, ended_on + days AS ended_on"
SHIFTED = {"removed_on": "shifted", "ended_on": "shifted"}


def test_days_shifted_by_person_keep_what_lies_between_them(record: Record) -> None:
    release = given(record, {"removal": REMOVAL}, {"removal": SHIFTED})
    (shifted,) = run_measure("reentry_cfsr2", source_of(release, min_cell=1)).rows
    (true,) = run_measure("reentry_cfsr2", source_of(record, min_cell=1)).rows
    assert shifted["units"] == true["units"]
    assert 0 < shifted["observed"] < true["observed"], "the last year is watched only as far as the shift leaves sure"
    assert 0 < shifted["found"] <= true["found"]


def test_of_shifted_days_only_units_surely_watched_are_observed(record: Record) -> None:
    release = given(record, {"removal": REMOVAL}, {"removal": SHIFTED})
    source = source_of(release, min_cell=1)
    result = run_measure("reentry_cfsr2", source)
    last = record.to_duckdb().execute("SELECT max(as_of) FROM removal").fetchall()[0][0]
    assert result.watched["removal"][1] == last - timedelta(days=2 * FURTHEST)


def test_the_agreement_s_least_count_is_that_of_the_release(record: Record) -> None:
    release = given(record, {"removal": REMOVAL}, {"removal": SHIFTED})
    assert source_of(release).min_cell == 5
    assert source_of(record).min_cell == 11


def test_a_release_without_a_column_is_refused_with_what_a_policy_must_give(record: Record) -> None:
    release = given(record, {"removal": "person_id, agency_id, removed_on, ended_on"}, {})
    with pytest.raises(PublishError, match=r"removal\.end_reason is not in it") as refused:
        run_measure("reentry_cfsr2", release)
    assert "removal: agency_id, end_reason, ended_on, person_id, removed_on" in str(refused.value)


def test_years_in_place_of_days_are_refused(record: Record) -> None:
    columns = f"{WHOLE}, year(removed_on)::VARCHAR AS removed_on, ended_on"
    release = given(record, {"removal": columns}, {"removal": {"removed_on": "year"}})
    with pytest.raises(PublishError, match=r"removal\.removed_on is there as varchar, not as a day"):
        run_measure("reentry_cfsr2", release)


def test_days_of_which_only_some_were_shifted_are_refused(record: Record) -> None:
    columns = f"{WHOLE}, removed_on + days AS removed_on, ended_on"
    release = given(record, {"removal": columns}, {"removal": {"removed_on": "shifted"}})
    with pytest.raises(PublishError, match="its days do not fit together"):
        run_measure("reentry_cfsr2", release)


def test_days_shifted_by_the_report_are_not_laid_beside_those_of_a_person(record: Record) -> None:
    con = record.to_duckdb()
    release = Given(con, {"release_id": "R", "tables": {"cw_report": {"treatments": {"received_on": "shifted"}}}})
    with pytest.raises(PublishError, match="shifted by the report, not by the person"):
        run_measure("rereport_12_months", release)


def test_a_table_without_a_row_is_not_known_and_not_none(record: Record, tmp_path: Path) -> None:
    con = record.to_duckdb()
    con.execute("DROP VIEW referral")
    con.register("none", record.table("referral").to_arrow().slice(0, 0))
    con.execute("CREATE VIEW referral AS FROM none")
    result = run_measure("status_offense_referral", Given(con, {"release_id": "R", "tables": {}}))
    assert result.silent == ("referral",)
    con.execute("DROP VIEW assessment")
    con.execute("CREATE VIEW assessment AS SELECT 'p' AS person_id, 'care' AS agency_id, 'safety' AS domain, DATE"
                " '2020-01-01' AS done_on WHERE false")  # fmt: skip
    nobody = run_measure("duplicated_assessments", Given(con, {"release_id": "R", "tables": {}}))
    assert nobody.silent == ("assessment",)
    assert [row["units"] for row in nobody.rows] == [0]
