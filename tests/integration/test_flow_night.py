"""A week of nights over a small exchange: when all is well, and when a source, a file or another run is in the way."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.failures import from_json
from flows.night import run_night
from flows.run import NightResult, open_night
from flows.settings import load_agencies_of, load_settings
from flows.status import ExchangeStatus, read_status
from record.reader import open_record
from standard.errors import BusyError, DeclarationError
from store.ledger import open_ledger, run
from tests.exchange import MONDAY, PARTIES, STUDENTS, TUESDAY, SmallExchange, small_exchange

WEDNESDAY, THURSDAY = TUESDAY + timedelta(days=1), TUESDAY + timedelta(days=2)


@dataclass(frozen=True)
class Night:
    """What was to be seen after a night."""

    result: NightResult
    people: dict[str, frozenset[str]]
    status: ExchangeStatus

    @property
    def mentions(self) -> frozenset[str]:
        return frozenset().union(*self.people.values())


def night(small: SmallExchange, now: datetime, *, agencies: list[str] | None = None) -> Night:
    result = run_night(small.home, now=now, agencies=agencies)
    ledger = open_ledger(small.home.ledger_file)
    status = read_status(small.home, ledger, load_agencies_of(small.home, load_settings(small.home)), now=now)
    ledger.close()
    return Night(result, people(small), status)


def people(small: SmallExchange) -> dict[str, frozenset[str]]:
    """Person -> the mentions that are the person."""
    found = open_record(small.home).table("person_source").to_pandas()
    mentions = found["agency"] + "/" + found["source_key"]
    return {person: frozenset(mentions[found["person_id"] == person]) for person in found["person_id"].unique()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallExchange:
    made = small_exchange(tmp_path_factory.mktemp("week"))
    made.put_students()
    made.record(*PARTIES)
    return made


@pytest.fixture(scope="module")
def week(small: SmallExchange) -> dict[str, Night]:
    nights = {"monday": night(small, MONDAY), "monday again": night(small, MONDAY)}
    away = small.drop.with_name("away")
    small.drop.rename(away)
    small.record(("P4", "Liv", "Tamm", "2011-05-05", "2026-09-08 03:00:00"))
    nights["the schools' folder is away"] = night(small, TUESDAY)
    away.rename(small.drop)
    small.put_students("A;B\n1;2\n", day="20260909")
    nights["a file in another layout"] = night(small, WEDNESDAY)
    small.put_students(STUDENTS.replace("004214,Bo,,", "004214,Bo,Hargreen,"), day="20260910")
    nights["only the court is asked"] = night(small, THURSDAY, agencies=["valley_court"])
    nights["the corrected file"] = night(small, THURSDAY)
    return nights


def test_a_child_of_the_school_and_a_party_of_the_court_become_one_person(week: dict[str, Night]) -> None:
    monday = week["monday"]
    assert (monday.result.exit_status, monday.result.published, monday.result.held) == (0, True, ())
    assert set(monday.people.values()) == {
        frozenset({"hillside_schools/004211", "valley_court/P1"}),
        frozenset({"hillside_schools/004212", "valley_court/P2"}),
        frozenset({"hillside_schools/004213"}),
        frozenset({"valley_court/P3"}),
    }
    assert monday.result.report is not None and monday.result.report.is_file()


def test_a_second_night_without_news_publishes_nothing_new_and_keeps_all_ids(week: dict[str, Night]) -> None:
    first, second = week["monday"], week["monday again"]
    assert (second.result.snapshot_id, second.result.published) == (first.result.snapshot_id, False)
    assert second.people == first.people


def test_one_agency_s_failure_leaves_the_others_running_and_its_last_state_in_force(week: dict[str, Night]) -> None:
    tuesday = week["the schools' folder is away"]
    assert [(f.agency, f.stage, f.exit_status) for f in tuesday.result.failures] == [("hillside_schools", "fetch", 4)]
    assert (tuesday.result.exit_status, tuesday.result.published) == (4, True)
    assert {"hillside_schools/004213", "valley_court/P4"} <= tuesday.mentions


def test_a_failure_stays_in_the_ledger_with_how_to_mend_it(small: SmallExchange, week: dict[str, Night]) -> None:
    result = week["the schools' folder is away"].result
    ledger = open_ledger(small.home.ledger_file)
    with ledger.reading() as connection:
        row = connection.execute(sa.select(run.c.state, run.c.error).where(run.c.run_id == result.run_id)).one()
    ledger.close()
    assert (row.state, from_json(row.error)) == ("failed", list(result.failures))
    assert all(failure.mend for failure in result.failures)


def test_a_file_in_another_layout_is_held_and_nothing_is_withdrawn_by_it(week: dict[str, Night]) -> None:
    before, wednesday = week["the schools' folder is away"], week["a file in another layout"]
    assert (wednesday.result.exit_status, len(wednesday.result.held), wednesday.result.published) == (5, 1, False)
    assert [(held["name"], held["status_reason"]) for held in wednesday.status.held] == [
        ("students_20260909.csv", "layout")
    ]
    assert wednesday.people == before.people


def test_an_agency_that_is_not_asked_keeps_what_it_sent(week: dict[str, Night]) -> None:
    assert week["only the court is asked"].people == week["a file in another layout"].people


def test_a_corrected_file_brings_the_quarantined_row_and_mends_what_was_held(week: dict[str, Night]) -> None:
    corrected = week["the corrected file"]
    assert corrected.result.exit_status == 0
    assert corrected.mentions - week["monday"].mentions == {"hillside_schools/004214", "valley_court/P4"}
    assert corrected.status.held == []


def test_status_tells_the_runs_what_is_late_and_what_is_published(week: dict[str, Night]) -> None:
    status = week["the corrected file"].status
    assert [row["state"] for row in status.runs] == [
        "finished",
        "finished",
        "finished",
        "failed",
        "finished",
        "finished",
    ]
    # Due on Mondays at 05:00 in Boston, and nightly at 02:00: both came since.
    assert {row["feed"]: row["late"] for row in status.feeds} == {"students": False, "party": False}
    assert status.snapshot is not None
    assert status.snapshot["snapshot_id"] == week["the corrected file"].result.snapshot_id


def test_what_has_not_come_is_late_once_its_grace_is_over(small: SmallExchange, week: dict[str, Night]) -> None:
    ledger = open_ledger(small.home.ledger_file)
    agencies = load_agencies_of(small.home, load_settings(small.home))
    on_monday = read_status(small.home, ledger, agencies, now=MONDAY + timedelta(days=7))
    on_tuesday = read_status(small.home, ledger, agencies, now=MONDAY + timedelta(days=8))
    ledger.close()
    assert {row["feed"]: row["late"] for row in on_monday.feeds} == {"students": False, "party": True}
    assert {row["feed"]: row["late"] for row in on_tuesday.feeds} == {"students": True, "party": True}


def test_a_table_read_again_on_another_day_changes_nothing_in_the_record(tmp_path: Path) -> None:
    small = small_exchange(tmp_path)
    small.record(*PARTIES)
    ids = {run_night(small.home, now=day).snapshot_id for day in (MONDAY, TUESDAY, TUESDAY, WEDNESDAY)}
    assert len(ids) == 1


def test_nothing_is_begun_while_another_run_holds_the_home(tmp_path: Path) -> None:
    small = small_exchange(tmp_path)
    holder = (
        "import sys, time; from pathlib import Path; from store.home import Home; from store.runs import hold_home\n"
        "with hold_home(Home(Path(sys.argv[1]))):\n  print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", holder, str(small.home.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(BusyError):
            run_night(small.home, now=MONDAY)
        assert not small.home.ledger_file.exists()
    finally:
        other.kill()
        other.wait()


def test_an_agency_that_is_named_twice_is_taken_in_once(tmp_path: Path) -> None:
    small = small_exchange(tmp_path)
    small.put_students()
    with open_night(small.home, now=MONDAY, agencies=["hillside_schools", "hillside_schools"]) as opened:
        assert opened.wanted == ("hillside_schools",)


def test_an_unknown_agency_is_refused_before_anything_begins(tmp_path: Path) -> None:
    small = small_exchange(tmp_path)
    with pytest.raises(DeclarationError, match="valley_curt"):
        run_night(small.home, now=MONDAY, agencies=["valley_curt"])
    assert not small.home.ledger_file.exists()
