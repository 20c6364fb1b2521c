"""A night over a small exchange: when all is well, and when a source, a file or another run is in the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.failures import from_json
from flows.night import run_night
from flows.settings import load_agencies_of, load_settings
from flows.status import read_status
from record.reader import open_record
from standard.errors import BusyError, DeclarationError
from store.ledger import extract, open_ledger, run
from tests.exchange import MONDAY, PARTIES, STUDENTS, TUESDAY, SmallExchange, small_exchange


@pytest.fixture
def small(tmp_path: Path) -> SmallExchange:
    made = small_exchange(tmp_path)
    made.put_students()
    made.record(*PARTIES)
    return made


def people(small: SmallExchange) -> dict[str, set[str]]:
    """Person -> the mentions that are the person."""
    found = open_record(small.home).table("person_source").to_pandas()
    mentions = found["agency"] + "/" + found["source_key"]
    return {person: set(mentions[found["person_id"] == person]) for person in found["person_id"].unique()}


def statuses(small: SmallExchange) -> list[tuple[str, str, str | None]]:
    ledger = open_ledger(small.home.ledger_file)
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(extract.c.name, extract.c.status, extract.c.status_reason)).all()
    ledger.close()
    return [(row.name, row.status, row.status_reason) for row in rows]


def test_a_child_of_the_school_and_a_party_of_the_court_become_one_person(small: SmallExchange) -> None:
    result = run_night(small.home, now=MONDAY)
    assert (result.exit_status, result.published, result.held) == (0, True, ())
    assert {frozenset(mentions) for mentions in people(small).values()} == {
        frozenset({"hillside_schools/004211", "valley_court/P1"}),
        frozenset({"hillside_schools/004212", "valley_court/P2"}),
        frozenset({"hillside_schools/004213"}),
        frozenset({"valley_court/P3"}),
    }
    assert result.report is not None and result.report.is_file()


def test_a_second_night_without_news_publishes_nothing_new_and_keeps_all_ids(small: SmallExchange) -> None:
    first = run_night(small.home, now=MONDAY)
    before = people(small)
    second = run_night(small.home, now=MONDAY)
    assert (second.snapshot_id, second.published) == (first.snapshot_id, False)
    assert people(small) == before


def test_one_agency_s_failure_leaves_the_others_running_and_its_last_state_in_force(small: SmallExchange) -> None:
    run_night(small.home, now=MONDAY)
    small.drop.rename(small.drop.with_name("away"))
    small.record(("P4", "Liv", "Tamm", "2011-05-05", "2026-09-08 03:00:00"))
    result = run_night(small.home, now=TUESDAY)
    assert [(f.agency, f.stage, f.exit_status) for f in result.failures] == [("hillside_schools", "fetch", 4)]
    assert (result.exit_status, result.published) == (4, True)
    mentions = {mention for of_person in people(small).values() for mention in of_person}
    assert {"hillside_schools/004213", "valley_court/P4"} <= mentions


def test_a_failure_stays_in_the_ledger_with_how_to_mend_it(small: SmallExchange) -> None:
    small.drop.rename(small.drop.with_name("away"))
    result = run_night(small.home, now=MONDAY)
    ledger = open_ledger(small.home.ledger_file)
    with ledger.reading() as connection:
        row = connection.execute(sa.select(run.c.state, run.c.error)).one()
    ledger.close()
    assert (row.state, from_json(row.error)) == ("failed", list(result.failures))


def test_a_file_in_another_layout_is_held_and_nothing_is_withdrawn_by_it(small: SmallExchange) -> None:
    run_night(small.home, now=MONDAY)
    before = people(small)
    small.put_students("A;B\n1;2\n", day="20260908")
    result = run_night(small.home, now=TUESDAY)
    assert (result.exit_status, len(result.held)) == (5, 1)
    assert ("students_20260908.csv", "held", "layout") in statuses(small)
    assert people(small) == before


def test_a_row_that_was_in_quarantine_is_cleared_by_the_next_delivery(small: SmallExchange) -> None:
    run_night(small.home, now=MONDAY)
    small.put_students(STUDENTS.replace("004214,Bo,,", "004214,Bo,Hargreen,"), day="20260908")
    run_night(small.home, now=TUESDAY)
    assert "hillside_schools/004214" in {mention for of_person in people(small).values() for mention in of_person}


def test_an_agency_that_is_not_asked_keeps_what_it_sent(small: SmallExchange) -> None:
    run_night(small.home, now=MONDAY)
    small.put_students(STUDENTS.replace("004213,Ines", "004219,Ines"), day="20260908")
    run_night(small.home, now=TUESDAY, agencies=["valley_court"])
    assert "hillside_schools/004213" in {mention for of_person in people(small).values() for mention in of_person}


def test_nothing_is_begun_while_another_run_holds_the_home(small: SmallExchange) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from store.home import Home; from store.runs import hold_home\n"
    )
    holder += "with hold_home(Home(Path(sys.argv[1]))):\n  print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", holder, str(small.home.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(BusyError):
            run_night(small.home, now=MONDAY)
        assert not small.home.ledger_file.exists()
    finally:
        other.kill()
        other.wait()


def test_an_unknown_agency_is_refused_before_anything_begins(small: SmallExchange) -> None:
    with pytest.raises(DeclarationError, match="valley_curt"):
        run_night(small.home, now=MONDAY, agencies=["valley_curt"])
    assert not small.home.ledger_file.exists()


def test_status_tells_what_is_late_what_is_held_and_what_is_published(small: SmallExchange) -> None:
    result = run_night(small.home, now=MONDAY)
    small.put_students("A;B\n1;2\n", day="20260908")
    run_night(small.home, now=TUESDAY, agencies=["hillside_schools"])
    ledger = open_ledger(small.home.ledger_file)
    agencies = load_agencies_of(small.home, load_settings(small.home))
    found = read_status(small.home, ledger, agencies, now=TUESDAY)
    ledger.close()
    # The court's table was due at 02:00 in Boston, with six hours of grace; it is noon UTC, 08:00 there.
    assert {row["feed"]: row["late"] for row in found.feeds} == {"students": False, "party": False}
    assert [(row["name"], row["status_reason"]) for row in found.held] == [("students_20260908.csv", "layout")]
    assert found.snapshot is not None and found.snapshot["snapshot_id"] == result.snapshot_id
    assert [row["state"] for row in found.runs] == ["finished", "finished"]
