"""Nights under a real Prefect server: each agency its own subflow, no personal value, one run at a time."""

from __future__ import annotations

import base64
import json
import sqlite3
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.prefect_server import local_server, prefect_folder
from tests.exchange import PARTIES, small_exchange

ROOT = Path(__file__).resolve().parents[2]
PERSONAL = ("Quillfeather", "QUILLFEATHER", "Valdrin", "Amara", "AMARA", "2014-02-20", "2010-01-30", "HARGREEN")
NIGHTS = """
import json, sqlite3, sys
from pathlib import Path
import duckdb
from flows.commands.run import run_orchestrated
from flows.failures import failure_of
from flows.terminal import show_progress
from standard.errors import SourceError
from store.home import open_home
from store.runs import hold_home
from tests.exchange import MONDAY, STUDENTS, TUESDAY

show_progress()
home, drop, told, asked = open_home(Path(sys.argv[1])), Path(sys.argv[2]), [], []

def night(now):
    try:
        result = run_orchestrated(home, now=now)
        told.append([result.published, [f"{f.agency} {f.stage} {f.error}" for f in result.failures]])
    except Exception as error:
        told.append(failure_of(error, stage="run").error)

night(MONDAY)

import flows.intake, flows.pull_and_publish as orchestrated
mapped, fetched = flows.intake.map_extract, orchestrated.fetch_agency

def fails_on_a_row(extract, agency, feed, **given):
    if agency.agency == "hillside_schools":
        duckdb.connect().execute("SELECT CAST('Quillfeather, Teodor, born 2014-02-20' AS DATE)")
    return mapped(extract, agency, feed, **given)

with sqlite3.connect(sys.argv[3]) as court:  # the other agency has news, too
    court.execute("INSERT INTO party VALUES ('P77', 'NILS', 'ARDEN', '2012-05-06', '2026-09-08 09:00:00')")
court.close()
(drop / "students_20260908.csv").write_text(STUDENTS.replace("Bo,,", "Bo,Hargreen,"))
flows.intake.map_extract = fails_on_a_row
night(TUESDAY)
flows.intake.map_extract = mapped

def answers_at_the_third_time(night, agency):
    asked.append(agency)
    if agency == "valley_court" and asked.count(agency) < 3:
        raise SourceError("the database is gone")
    fetched(night, agency)

orchestrated.fetch_agency = answers_at_the_third_time
orchestrated.fetch_task = orchestrated.fetch_task.with_options(retry_delay_seconds=[0, 0, 0])
night(TUESDAY)
with hold_home(home):
    night(TUESDAY)
print(json.dumps([told, asked]))
"""


@dataclass(frozen=True)
class Told:
    """What the nights left: their results, whom the third asked, all output, and Prefect's own folder."""

    all_well: Any
    a_row_that_breaks_the_mapping: Any
    a_source_that_comes_back: Any
    a_home_that_is_held: Any
    asked: list[str]
    output: str
    prefect: Path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    small = small_exchange(tmp_path_factory.mktemp("prefect"))
    small.put_students()
    small.record(*PARTIES)
    with local_server(small.home):
        done = subprocess.run(
            [sys.executable, "-c", NIGHTS, str(small.home.root), str(small.drop), str(small.database)],
            cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    nights, asked = json.loads(done.stdout.splitlines()[-1])
    return Told(*nights, asked, done.stdout + done.stderr, prefect_folder(small.home))


def flow_runs(told: Told) -> list[tuple[str, str]]:
    """The nights in their order, each before its agencies, which go side by side, by name."""
    with sqlite3.connect(told.prefect / "prefect.db") as connection:
        found = connection.execute("SELECT name, state_type FROM flow_run ORDER BY start_time").fetchall()
    connection.close()
    nights: list[list[tuple[str, str]]] = []
    for name, state in found:
        if name.startswith("pull "):
            nights[-1].append((name, state))
        else:
            nights.append([("night", state)])
    return [run for night in nights for run in (night[0], *sorted(night[1:]))]


def test_every_agency_is_a_subflow_of_the_night_and_one_s_failure_leaves_the_other_running(told: Told) -> None:
    assert told.all_well == [True, []]
    assert told.a_row_that_breaks_the_mapping == [True, ["hillside_schools load ConversionException"]]
    schools, court = "pull hillside_schools", "pull valley_court"
    assert flow_runs(told) == [
        ("night", "COMPLETED"), (schools, "COMPLETED"), (court, "COMPLETED"),
        ("night", "FAILED"), (schools, "FAILED"), (court, "COMPLETED"),
        ("night", "COMPLETED"), (schools, "COMPLETED"), (court, "COMPLETED"),
    ]  # fmt: skip


def test_a_source_that_is_gone_is_asked_again_and_the_other_agency_is_not(told: Told) -> None:
    assert told.a_source_that_comes_back == [True, []]
    assert told.asked == ["hillside_schools", "valley_court", "valley_court", "valley_court"]


def test_a_held_home_refuses_the_run(told: Told) -> None:
    assert told.a_home_that_is_held == "BusyError"


def test_no_personal_value_reaches_prefect_or_the_terminal(told: Told) -> None:
    kept = {path: path.read_bytes() for path in told.prefect.rglob("*") if path.is_file()}
    assert any(b"hillside_schools" in content for content in kept.values())  # or nothing would have been looked at
    leaks = [(path.name, value) for path, content in kept.items() for value in PERSONAL if value.encode() in content]
    assert leaks == []
    pickled = [base64.b64decode(path.read_bytes()) for path in (told.prefect / "storage").iterdir()]
    assert [value for value in PERSONAL if any(value.encode() in content for content in pickled)] == []
    assert [value for value in PERSONAL if value in told.output] == []


def test_prefect_s_folder_is_private(told: Told) -> None:
    assert stat.S_IMODE(told.prefect.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in told.prefect.rglob("*") if path.is_file()}
    assert {name: f"{mode:o}" for name, mode in files.items() if mode & 0o077} == {}


def test_what_needs_a_person_becomes_an_event_and_its_end_another(told: Told) -> None:
    with sqlite3.connect(told.prefect / "prefect.db") as connection:
        found = connection.execute("SELECT event, resource_id FROM events WHERE event LIKE 'kith.%' ORDER BY occurred")
        events = found.fetchall()
    connection.close()
    assert ("kith.failed", "kith.hillside_schools") in events
    assert ("kith.failed.over", "kith.hillside_schools") in events
