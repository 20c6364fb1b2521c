"""A run that is killed at any stage is seen as dead; the next ends with the snapshot of an uninterrupted one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from expectations.great_expectations_engine import _engine
from flows.night import run_night
from flows.run import NightResult
from store import runs
from store.landing import Landing
from store.ledger import open_ledger, run, stage
from tests.exchange import MONDAY, PARTIES, TUESDAY, SmallExchange, small_exchange

STAGES = ("fetch", "map", "check", "fold", "project", "link", "publish", "report")
CORRECTED = """StudentNo,First,Last,DOB,Sex,Homeroom
004211,Amara,Osei,2013-04-02,1,12B
004212,Teodor,Quillfeather,2015-11-19,2,10A
004214,Bo,Hargreen,2013-08-08,2,12B
004215,Milo,Hargreen,2010-01-30,2,12B
"""


def exchange(folder: Path) -> SmallExchange:
    """After Monday's night, with Tuesday's deliveries waiting; the same secret for person ids everywhere."""
    folder.mkdir()
    small = small_exchange(folder)
    (small.home.keys / "identity").write_text("a secret for tests only")
    small.put_students()
    small.record(*PARTIES)
    return small


def send_tuesday(small: SmallExchange) -> None:
    small.put_students(CORRECTED, day="20260908")
    small.record(("P1", "AMARA", "OSEI-BREKKE", "2013-04-02", "2026-09-07 20:00:00"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[str | None]:
    """The snapshots of Monday and Tuesday."""
    _engine()  # imported once, before anything is forked from here
    small = exchange(tmp_path_factory.mktemp("uninterrupted") / "x")
    monday = forked(lambda: run_night(small.home, now=MONDAY))
    send_tuesday(small)
    return [monday["snapshot_id"], forked(lambda: run_night(small.home, now=TUESDAY))["snapshot_id"]]


def forked(work: Callable[[], NightResult], *, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """What a night in a process of its own says; {} where it was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            before()
            result = work()
            said = {"snapshot_id": result.snapshot_id, "failures": [str(f) for f in result.failures]}
            os.write(write, json.dumps(said).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    _, ended = os.waitpid(child, 0)
    assert said or os.WTERMSIG(ended) == signal.SIGKILL
    return json.loads(said) if said else {}


def killed_at(name: str, *, once_written: bool) -> Callable[[], None]:
    """Makes this process die by SIGKILL when a stage has done its work: before or after the ledger says so."""
    end_stage = runs._end_stage

    def dies(ledger: Any, going: runs.Stage, **given: Any) -> None:
        if once_written:
            end_stage(ledger, going, **given)
        if going.name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        if not once_written:
            end_stage(ledger, going, **given)

    return lambda: setattr(runs, "_end_stage", dies)


def states(small: SmallExchange) -> list[str]:
    ledger = open_ledger(small.home.ledger_file)
    with ledger.reading() as connection:
        found = list(connection.execute(sa.select(run.c.state).order_by(run.c.fence)).scalars())
    ledger.close()
    return found


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallExchange, list[dict[str, Any]]]:
    """The same two nights, each killed at every stage one after the other before it may end."""
    small = exchange(tmp_path_factory.mktemp("interrupted") / "x")
    for name in STAGES:
        assert forked(lambda: run_night(small.home, now=MONDAY), before=killed_at(name, once_written=False)) == {}
    monday = forked(lambda: run_night(small.home, now=MONDAY))
    send_tuesday(small)
    for name in STAGES:
        assert forked(lambda: run_night(small.home, now=TUESDAY), before=killed_at(name, once_written=True)) == {}
    return small, [monday, forked(lambda: run_night(small.home, now=TUESDAY))]


def test_nights_killed_at_every_stage_end_with_the_snapshots_of_uninterrupted_ones(
    uninterrupted: list[str | None], interrupted: tuple[SmallExchange, list[dict[str, Any]]]
) -> None:
    _, nights = interrupted
    assert [night["snapshot_id"] for night in nights] == uninterrupted
    assert [night["failures"] for night in nights] == [[], []]


def test_killed_runs_are_seen_as_dead_and_leave_nothing_half_done(
    interrupted: tuple[SmallExchange, list[dict[str, Any]]],
) -> None:
    small, _ = interrupted
    killed = ["dead"] * len(STAGES)
    assert states(small) == [*killed, "finished", *killed, "finished"]
    assert [left.name for left in small.home.record.iterdir() if left.name.startswith(".building")] == []
    assert not (small.home.root / "work").exists()


def test_rows_that_a_killed_process_was_writing_are_removed_by_the_next_run(tmp_path: Path) -> None:
    home = small_exchange(tmp_path).home
    half = [home.batches / "x" / ".mapped.parquet.7.part", home.state / "town" / "students" / ".spill" / "block"]
    resumable = home.landing / ".parts" / f"{'a' * 64}.part"
    for path in [*half, resumable]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with Landing(home.landing).scratch() as scratch:
        run_night(home, now=MONDAY)
        found = scratch.exists()
    assert (found, *(path.exists() for path in half), resumable.exists()) == (False, False, False, True)


def test_a_stage_that_was_finished_is_not_done_again(
    interrupted: tuple[SmallExchange, list[dict[str, Any]]],
) -> None:
    small, _ = interrupted
    ledger = open_ledger(small.home.ledger_file)
    with ledger.reading() as connection:
        per_extract = sa.select(stage.c.name, sa.func.count()).where(
            stage.c.extract_id.is_not(None), stage.c.state == "finished"
        )
        of_each = connection.execute(per_extract.group_by(stage.c.extract_id, stage.c.name)).all()
    ledger.close()
    assert {name: times for name, times in of_each if times != 1} == {}
