"""The register of judgements in the ledger: who said what of two mentions, when and why; nothing is ever changed."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import sqlalchemy as sa

from linkage.judgements import SCHEMA
from standard.errors import JudgementError
from store import ledger as tables
from store.ledger import Ledger, now


class Verdict(StrEnum):
    """What a person says of two mentions."""

    SAME = "same"
    DIFFERENT = "different"
    UNSURE = "unsure"
    """Looked at and not decided: it changes nothing, and the pair comes last in the queue."""


class State(StrEnum):
    """How a judgement stands."""

    IN_FORCE = "in force"
    PENDING = "pending"
    """A second person must say the same."""
    WITHDRAWN = "withdrawn"
    NOTED = "noted"
    """Unsure: nothing to put in force."""


class Act(StrEnum):
    """What may become of a judgement."""

    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Judgement:
    """One judgement as it stands now; `needs` persons must say it before it holds, and before it is taken back."""

    judgement_id: int
    record_l: str
    record_r: str
    verdict: Verdict
    who: str
    at: str
    why: str
    authority: str | None
    needs: int
    needs_because: str | None
    reason: str | None = None
    confirmed_by: tuple[str, ...] = ()
    withdrawn_by: tuple[str, ...] = ()

    @property
    def pair(self) -> tuple[str, str]:
        return self.record_l, self.record_r

    @property
    def state(self) -> State:
        if self.verdict is Verdict.UNSURE:
            return State.NOTED
        holds = self.needs == 1 or bool(self.confirmed_by)
        if len(self.withdrawn_by) >= (self.needs if holds else 1):
            return State.WITHDRAWN
        return State.IN_FORCE if holds else State.PENDING


@dataclass(frozen=True)
class Need:
    """How many persons a judgement needs, and why more than one."""

    persons: int = 1
    because: str | None = None


def read_judgements(ledger: Ledger) -> list[Judgement]:
    """All judgements ever made, in their order, as they stand now."""
    with ledger.reading() as connection:
        return _read(connection)


def judgements_in_force(judgements: Iterable[Judgement]) -> pa.Table:
    """Those that linkage follows (linkage.judgements.SCHEMA), each pair once, in a fixed order."""
    said = {j.pair: j.verdict is Verdict.SAME for j in judgements if j.state is State.IN_FORCE}
    rows = [{"record_l": left, "record_r": right, "same": same} for (left, right), same in sorted(said.items())]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def record_judgement(
    ledger: Ledger,
    pair: tuple[str, str],
    verdict: Verdict,
    *,
    who: str,
    why: str,
    authority: str | None = None,
    need: Need | None = None,
    reason: str | None = None,
) -> Judgement:
    """Writes a judgement, or confirms the one another person made of the same pair.

    Args:
        ledger: The control plane.
        pair: The two mentions by record_id.
        verdict: What is said.
        who: The person who says it.
        why: On what grounds; it must hold no personal value.
        authority: Who or what allows it, such as the number of a court's order.
        need: How many persons it needs.
        reason: Why the pair was in the queue, so that the next of its kind are valued by what was said of it.

    Raises:
        JudgementError: It contradicts judgements in force, was made already, or the second person is the first.
    """
    pair = (min(pair), max(pair))
    _require_words(pair, who, why)
    with ledger.writing() as connection:
        _lock(connection)
        made = [j for j in _read(connection) if j.pair == pair and j.state in (State.IN_FORCE, State.PENDING)]
        _refuse_again(made, verdict, who)
        number = _confirm(connection, made[0], who, why) if made and verdict is not Verdict.UNSURE else _insert(
            connection, pair, verdict, who=who, why=why, authority=authority, need=need or Need(), reason=reason
        )  # fmt: skip
        found = _read(connection)
        _refuse_contradiction(found, number)
    return next(j for j in found if j.judgement_id == number)


def withdraw_judgement(ledger: Ledger, judgement_id: int, *, who: str, why: str) -> Judgement:
    """Takes a judgement back; one in force that needed two persons needs two for this, too.

    Raises:
        JudgementError: There is no such judgement, it is withdrawn already, or this person asked for it before.
    """
    with ledger.writing() as connection:
        _lock(connection)
        found = {j.judgement_id: j for j in _read(connection)}.get(judgement_id)
        if found is None or found.state in (State.WITHDRAWN, State.NOTED):
            raise JudgementError(
                f"there is no judgement {judgement_id} that could be taken back",
                mend="see them with: kith review list --judgements",
            )
        if who in found.withdrawn_by:
            raise JudgementError(
                f"{who} has asked already that judgement {judgement_id} be taken back",
                mend="it was made by two persons: a second one must ask, too",
            )
        _require_words(found.pair, who, why)
        _act(connection, judgement_id, Act.WITHDRAWN, who, why)
        judgements = _read(connection)
    return next(j for j in judgements if j.judgement_id == judgement_id)


def _require_words(pair: tuple[str, str], who: str, why: str) -> None:
    if pair[0] == pair[1]:
        raise JudgementError("a judgement is about two mentions", mend="name two different ones: agency/table/key")
    if not who.strip() or not why.strip():
        raise JudgementError("a judgement needs a person and a reason", mend="give --by and --why")


def _lock(connection: sa.Connection) -> None:
    """Lets one judgement be written at a time, so that no two that contradict each other pass side by side."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE judgement, judgement_act IN SHARE ROW EXCLUSIVE MODE"))
    else:
        connection.execute(tables.judgement_act.delete().where(sa.false()))  # SQLite locks at the first write


def _read(connection: sa.Connection) -> list[Judgement]:
    j, a = tables.judgement, tables.judgement_act
    acts: dict[tuple[int, str], list[str]] = defaultdict(list)
    for row in connection.execute(sa.select(a.c.judgement_id, a.c.act, a.c.who).order_by(a.c.act_id)):
        acts[row.judgement_id, row.act].append(row.who)
    return [
        Judgement(
            **{**row, "verdict": Verdict(row["verdict"])},
            confirmed_by=tuple(acts[row["judgement_id"], Act.CONFIRMED]),
            withdrawn_by=tuple(acts[row["judgement_id"], Act.WITHDRAWN]),
        )
        for row in connection.execute(sa.select(j).order_by(j.c.judgement_id)).mappings()
    ]


def _refuse_again(made: Sequence[Judgement], verdict: Verdict, who: str) -> None:
    for judgement in made:
        number = f"judgement {judgement.judgement_id}"
        if judgement.verdict is not verdict:
            raise JudgementError(
                f"{number} ({judgement.state}) says of this pair: {judgement.verdict}",
                mend=f"where it is wrong, take it back first: kith review undo {judgement.judgement_id} --why ...",
            )
        if judgement.state is State.IN_FORCE:
            raise JudgementError(f"{number} says so already", mend="nothing is left to decide")
        if judgement.who == who:
            raise JudgementError(
                f"{number} waits for a second person: {judgement.needs_because}",
                mend="somebody other than who made it must decide the same",
            )


def _insert(
    connection: sa.Connection, pair: tuple[str, str], verdict: Verdict, *, who: str, why: str, authority: str | None,
    need: Need, reason: str | None,
) -> int:  # fmt: skip
    row = tables.judgement.insert().values(
        record_l=pair[0], record_r=pair[1], verdict=str(verdict), who=who, at=now(), why=why, authority=authority,
        needs=need.persons, needs_because=need.because, reason=reason,
    )  # fmt: skip
    return int(connection.execute(row.returning(tables.judgement.c.judgement_id)).scalar_one())


def _confirm(connection: sa.Connection, judgement: Judgement, who: str, why: str) -> int:
    _act(connection, judgement.judgement_id, Act.CONFIRMED, who, why)
    return judgement.judgement_id


def _act(connection: sa.Connection, judgement_id: int, act: Act, who: str, why: str) -> None:
    row = {"judgement_id": judgement_id, "act": str(act), "who": who, "at": now(), "why": why}
    connection.execute(tables.judgement_act.insert().values(row))


def _refuse_contradiction(judgements: Iterable[Judgement], newest: int) -> None:
    """Raises where a pair said to be different is the same by a chain of others; `newest` is not written then."""
    near: dict[str, list[tuple[str, int]]] = defaultdict(list)
    different: list[Judgement] = []
    for j in judgements:
        if j.state is State.IN_FORCE and j.verdict is Verdict.SAME:
            near[j.record_l].append((j.record_r, j.judgement_id))
            near[j.record_r].append((j.record_l, j.judgement_id))
        elif j.state is State.IN_FORCE:
            different.append(j)
    for j in different:
        chain = _chain(near, *j.pair)
        if chain is not None:
            others = [f"judgement {number}" for number in sorted({j.judgement_id, *chain} - {newest})]
            raise JudgementError(
                f"this contradicts what is in force: {', '.join(others)}; two mentions would be the same and not",
                where="the ledger's table judgement",
                mend="look at them with: kith review list --judgements; take back what is wrong: kith review undo",
            )


def _chain(near: dict[str, list[tuple[str, int]]], start: str, end: str) -> list[int] | None:
    """The judgements by which one mention is the same as another, the shortest way; None where there is none."""
    came: dict[str, list[int]] = {start: []}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if node == end:
            return came[node]
        for other, number in near.get(node, ()):
            if other not in came:
                came[other] = [*came[node], number]
                queue.append(other)
    return None
