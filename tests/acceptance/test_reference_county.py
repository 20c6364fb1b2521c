"""The whole reference county against real servers: every count, every verdict, every day."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.reference_county.accounting import Found, agrees
from demo.reference_county.observed import Observed
from demo.reference_county.run import run_county
from demo.reference_county.traps import trap_lines
from demo.reference_county.truth import Sent, Trap, Truth
from demo.reference_county.verdicts import told
from store.home import Home
from store.ledger import open_ledger
from tests.servers import ServerMissing

LOADED = Sent(
    delivery=1, agency="hill_school", file="pupils.csv", rows_sent=10, status="load", quarantined=2,
    may_be_quarantined=1, duplicate=1, withheld=1, flagged=1, loaded=range(5, 7),
)  # fmt: skip


def found(status: str = "loaded", reason: str | None = None, **counts: int) -> Found:
    words = {"accepted": 6, "quarantined": 2, "duplicate": 1, "withheld": 1} | counts
    return Found(status, reason, sum(words.values()), words, flagged=1)


def test_a_file_agrees_only_where_every_count_does() -> None:
    assert agrees(LOADED, found())
    assert agrees(LOADED, found(accepted=5, quarantined=3))
    assert not agrees(LOADED, found(accepted=4, quarantined=4))
    assert not agrees(LOADED, found(duplicate=0, accepted=7))
    assert not agrees(LOADED, found(status="loaded_late"))
    assert not agrees(LOADED, replace(found(), flagged=0))


def test_a_held_file_agrees_only_where_none_of_its_rows_was_used() -> None:
    cut = replace(LOADED, status="hold_truncated")
    assert agrees(cut, found("held", "truncated", accepted=0, quarantined=10))
    assert not agrees(cut, found("held", "truncated"))
    assert not agrees(cut, found("held", "layout", accepted=0))


def test_a_kind_of_trap_that_nobody_judges_is_itself_off(tmp_path: Path) -> None:
    trap = Trap("new-01", "a_kind_of_tomorrow", "hill_school", "pupils.csv", [], 1, ())
    truth = Truth(tmp_path, traps=[trap])
    home = Home(tmp_path / "home").create()
    seen = Observed(home, open_ledger(home.ledger_file), truth, 1, [], [], {}, {})
    assert [line.ok for line in trap_lines(seen)] == [False]


@pytest.mark.timeout(600)
def test_every_count_and_every_verdict_of_the_reference_county_agrees_with_its_truth(
    shared: Path, tmp_path: Path
) -> None:
    try:
        lines = list(run_county(shared / "county", tmp_path / "county", progress=lambda _: None))
    except ServerMissing as error:
        pytest.skip(str(error))
    off = [line for line in lines if not line.ok]
    assert len(lines) > 500
    assert not off, told(off)
