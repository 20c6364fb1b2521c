"""The register of judgements: append-only, two persons where it matters, contradictions refused, all can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from linkage.register import (
    Judgement,
    Need,
    State,
    Verdict,
    judgements_in_force,
    read_judgements,
    record_judgement,
    withdraw_judgement,
)
from standard.errors import JudgementError
from store.ledger import Ledger, judgement, judgement_act, open_ledger

TWO = Need(2, "more than two agencies")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


def say(
    ledger: Ledger, left: str, right: str, verdict: Verdict, *, who: str = "ada", need: Need | None = None
) -> Judgement:
    return record_judgement(ledger, (left, right), verdict, who=who, why="birth records compared", need=need)


def in_force(ledger: Ledger) -> dict[tuple[str, str], bool]:
    rows = judgements_in_force(read_judgements(ledger)).to_pylist()
    return {(row["record_l"], row["record_r"]): row["same"] for row in rows}


def test_a_judgement_holds_whichever_mention_is_named_first(ledger: Ledger) -> None:
    assert say(ledger, "s/2", "c/1", Verdict.SAME).state is State.IN_FORCE
    assert in_force(ledger) == {("c/1", "s/2"): True}
    with pytest.raises(JudgementError, match="says so already"):
        say(ledger, "c/1", "s/2", Verdict.SAME)


def test_the_opposite_is_refused_until_the_first_is_taken_back(ledger: Ledger) -> None:
    made = say(ledger, "a", "b", Verdict.SAME)
    with pytest.raises(JudgementError, match=f"judgement {made.judgement_id}"):
        say(ledger, "a", "b", Verdict.DIFFERENT)
    withdraw_judgement(ledger, made.judgement_id, who="ada", why="the wrong twin")
    assert in_force(ledger) == {}
    assert say(ledger, "a", "b", Verdict.DIFFERENT).state is State.IN_FORCE


def test_a_contradiction_over_a_chain_is_refused_and_names_the_judgements(ledger: Ledger) -> None:
    for left, right in (("a", "b"), ("b", "c"), ("c", "d")):
        say(ledger, left, right, Verdict.SAME)
    with pytest.raises(JudgementError, match="judgement 1, judgement 2, judgement 3;"):
        say(ledger, "a", "d", Verdict.DIFFERENT)
    say(ledger, "d", "e", Verdict.DIFFERENT)
    with pytest.raises(JudgementError, match="contradicts"):
        say(ledger, "a", "e", Verdict.SAME)
    assert len(read_judgements(ledger)) == 4


def test_a_judgement_that_needs_two_waits_for_a_second_and_different_person(ledger: Ledger) -> None:
    assert say(ledger, "a", "b", Verdict.SAME, need=TWO).state is State.PENDING
    assert in_force(ledger) == {}
    with pytest.raises(JudgementError, match="second person: more than two agencies"):
        say(ledger, "a", "b", Verdict.SAME, need=TWO)
    with pytest.raises(JudgementError, match="pending"):
        say(ledger, "a", "b", Verdict.DIFFERENT, who="ben")
    confirmed = say(ledger, "b", "a", Verdict.SAME, who="ben")
    assert (confirmed.state, confirmed.confirmed_by) == (State.IN_FORCE, ("ben",))
    assert in_force(ledger) == {("a", "b"): True}


def test_what_two_persons_said_two_must_take_back(ledger: Ledger) -> None:
    number = say(ledger, "a", "b", Verdict.SAME, need=TWO).judgement_id
    say(ledger, "a", "b", Verdict.SAME, who="ben")
    assert withdraw_judgement(ledger, number, who="ben", why="an error").state is State.IN_FORCE
    with pytest.raises(JudgementError, match="ben has asked already"):
        withdraw_judgement(ledger, number, who="ben", why="an error")
    assert withdraw_judgement(ledger, number, who="cy", why="an error").state is State.WITHDRAWN
    with pytest.raises(JudgementError, match="could be taken back"):
        withdraw_judgement(ledger, number, who="ada", why="an error")


def test_a_confirmation_that_has_become_a_contradiction_is_refused(ledger: Ledger) -> None:
    say(ledger, "a", "b", Verdict.SAME, need=TWO)
    say(ledger, "b", "c", Verdict.SAME)
    say(ledger, "a", "c", Verdict.DIFFERENT)
    with pytest.raises(JudgementError, match="contradicts"):
        say(ledger, "a", "b", Verdict.SAME, who="ben")
    assert in_force(ledger) == {("b", "c"): True, ("a", "c"): False}


def test_unsure_decides_nothing_and_can_be_said_again(ledger: Ledger) -> None:
    assert say(ledger, "a", "b", Verdict.UNSURE).state is State.NOTED
    say(ledger, "a", "b", Verdict.UNSURE, who="ben")
    assert in_force(ledger) == {}
    assert say(ledger, "a", "b", Verdict.DIFFERENT).state is State.IN_FORCE


def test_nothing_that_was_written_is_changed_or_removed(ledger: Ledger) -> None:
    number = say(ledger, "a", "b", Verdict.SAME).judgement_id
    with ledger.reading() as connection:
        before = connection.execute(sa.select(judgement)).all()
    withdraw_judgement(ledger, number, who="ben", why="an error")
    with ledger.reading() as connection:
        assert connection.execute(sa.select(judgement)).all() == before
        assert [row.act for row in connection.execute(sa.select(judgement_act))] == ["withdrawn"]


@pytest.mark.parametrize(("left", "right", "why"), [("a", "a", "seen"), ("a", "b", "  ")])
def test_a_judgement_needs_two_mentions_and_a_reason(ledger: Ledger, left: str, right: str, why: str) -> None:
    with pytest.raises(JudgementError, match=r"needs|two mentions"):
        record_judgement(ledger, (left, right), Verdict.SAME, who="ada", why=why)
