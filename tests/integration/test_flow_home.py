"""What a home keeps and what it lets go, and that it can be put back in another place."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flows.night import run_night
from store.home import Home
from tests.exchange import MONDAY, PARTIES, STUDENTS, TUESDAY, small_exchange

WEEK = 7 * 24 * 3600


def states(home: Home) -> list[str]:
    return sorted(path.parent.name for path in home.state.glob("*/*/*"))


def test_a_home_that_was_put_back_in_another_place_works_and_changes_nothing(tmp_path: Path) -> None:
    small = small_exchange(tmp_path)
    small.put_students()
    small.record(*PARTIES)
    before = run_night(small.home, now=MONDAY)
    small.home.root.rename(tmp_path / "restored")
    home = Home(tmp_path / "restored")
    after = run_night(home, now=MONDAY)
    assert (after.failures, after.snapshot_id, after.published) == ((), before.snapshot_id, False)
    small.put_students(STUDENTS.replace("Bo,,", "Bo,Hargreen,"), day="20260908")
    assert run_night(home, now=TUESDAY).published


def test_states_that_are_no_longer_in_force_are_removed_once_the_record_is_published(tmp_path: Path) -> None:
    small = small_exchange(tmp_path)
    small.put_students()
    small.record(*PARTIES)
    run_night(small.home, now=MONDAY)
    small.put_students(STUDENTS.replace("Bo,,", "Bo,Hargreen,"), day="20260908")
    run_night(small.home, now=TUESDAY)
    assert states(small.home) == ["party", "students"]


def test_the_part_of_a_file_that_no_poll_went_on_with_for_a_week_is_removed(tmp_path: Path) -> None:
    small = small_exchange(tmp_path)
    parts = small.home.landing / ".parts"
    parts.mkdir()
    gone, young = parts / f"{'a' * 64}.part", parts / f"{'b' * 64}.part"
    for path, age in ((gone, WEEK + 60), (gone.with_suffix(".json"), WEEK + 60), (young, 60)):
        path.write_text("half a file")
        os.utime(path, (time.time() - age,) * 2)
    run_night(small.home, now=MONDAY)
    assert list(parts.iterdir()) == [young]
