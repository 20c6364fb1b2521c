"""The doubtful pairs that wait for a person: which comes next, how many must say so, and what it would change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from linkage.register import Judgement, Need, State, Verdict
from standard.errors import JudgementError, LinkageError
from store.home import connect, literal, peek, sql_path

QUEUE = Path(__file__).parent / "queue.sql"
MOST_AGENCIES = 2
"""A judgement about persons of more agencies needs two persons."""
# How often such pairs are one person before anybody has judged any, and at how many judgements that counts.
EXPECTED = {"veto": 0.2, "held": 0.8, "doubt": 0.5, "weight": 0.8}
EXPECTED_COUNTS = 5
SHOWN = ("given", "middle", "surname", "suffix", "other_names", "birth_date", "birth_precision", "sex", "ssn",
         "student_id", "addresses", "phones", "relatives")  # fmt: skip
"""What a reviewer is shown of a mention, where it is asked for; of an SSN its last four digits. Race is not shown."""


@dataclass(frozen=True)
class OpenPair:
    """Two persons between whom a decision is open, by their likeliest pair of mentions.

    Attributes:
        record_l, record_r: The two mentions, by record_id.
        person_l, person_r: Their persons.
        weight: Of this pair (log2 odds).
        reason: Why it was not linked: the rule of the guard, what stands around it, or the weight.
        rule: The rule that keeps these two mentions apart, where they hold back a link between others.
        kind: veto, held, doubt or weight.
        records: Mentions of both persons.
        pairs: Pairs of mentions that a decision settles.
        agencies: Agencies that know one of the two.
        chance: How often such pairs are one person, by what was judged so far.
        settles: Pairs that are expected to be found by a decision: the queue's order.
        unsure: Somebody has looked at it and could not tell; it comes last.
    """

    record_l: str
    record_r: str
    person_l: str
    person_r: str
    weight: float
    reason: str
    rule: str | None
    kind: str
    records: int
    pairs: int
    agencies: int
    chance: float
    settles: float
    unsure: bool


def queue(links: Path, judgements: Iterable[Judgement], *, limit: int | None = None) -> list[OpenPair]:
    """The open decisions, those that settle most first.

    A decision settles all pairs between two persons. What it is worth is their number times the chance that they are
    one: how often pairs held for the same reason were judged to be one person, at most the pair's own probability.

    Args:
        links: Folder of the links.
        judgements: All judgements as they stand; what they settle already, or what waits for a second person, is left
            out.
        limit: At most so many.
    """
    with connect() as con:
        for name in ("edges", "persons", "people"):
            con.read_parquet(sql_path(links / f"{name}.parquet")).create_view(name)
        con.register("judged", _judged(judgements))
        con.execute("CREATE TEMP TABLE expected(kind VARCHAR, share DOUBLE, counts DOUBLE)")
        con.executemany(
            "INSERT INTO expected VALUES (?, ?, ?)", [(*said, EXPECTED_COUNTS) for said in EXPECTED.items()]
        )
        con.execute(QUEUE.read_text(encoding="utf-8"))
        order = "ORDER BY unsure, settles DESC, agencies DESC, record_l, record_r"
        rows = con.sql(f"FROM open_pair {order}{'' if limit is None else f' LIMIT {limit}'}").to_arrow_table()
    return [OpenPair(**row) for row in rows.to_pylist()]


def _judged(judgements: Iterable[Judgement]) -> pa.Table:
    """The pairs that were judged and not taken back; what is unsure only where nothing else was said."""
    standing = [j for j in judgements if j.state is not State.WITHDRAWN]
    decided = {j.pair for j in standing if j.verdict is not Verdict.UNSURE}
    kept = [j for j in standing if j.verdict is not Verdict.UNSURE or j.pair not in decided]
    names = ("record_l", "record_r", "verdict", "reason")
    rows = [{name: getattr(j, name) for name in names} for j in kept]
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in names]))


@dataclass(frozen=True)
class Concern:
    """The persons whom a judgement is about: their ids, mentions, agencies, and why records of theirs are protected."""

    persons: tuple[str, ...]
    records: int
    agencies: tuple[str, ...]
    protected: tuple[str, ...]

    @property
    def need(self) -> Need:
        """How many persons must judge."""
        reasons = [f"records of {len(self.agencies)} agencies"] if len(self.agencies) > MOST_AGENCIES else []
        reasons += [f"protected records ({', '.join(self.protected)})"] if self.protected else []
        return Need(2, "; ".join(reasons)) if reasons else Need()


def concern(links: Path, pair: tuple[str, str]) -> Concern:
    """Whom a judgement of two mentions is about.

    Raises:
        LinkageError: One of the two is no mention of the record.
    """
    persons, people = (f"read_parquet({literal(links / f'{name}.parquet')})" for name in ("persons", "people"))
    protected = f"read_parquet({literal(links / 'protected.parquet')})"
    found = (
        peek()
        .execute(
            f"""WITH named AS (SELECT person_id FROM {persons} WHERE record_id IN ($1, $2)),
        mine AS (SELECT p.person_id, m.record_id, m.source FROM {persons} p JOIN {people} m USING (record_id)
            SEMI JOIN named USING (person_id))
        SELECT (SELECT count(*) FROM named), list(DISTINCT person_id ORDER BY person_id), count(*),
            list(DISTINCT source ORDER BY source), (SELECT coalesce(list(DISTINCT reason ORDER BY reason), [])
                FROM {protected} SEMI JOIN mine USING (record_id)) FROM mine""",
            list(pair),
        )
        .fetchall()[0]
    )
    if found[0] != 2:
        raise LinkageError(
            "a judgement is about two mentions of the record, and one of these is none",
            where=str(links / "people.parquet"),
            mend="name them as agency/table/key, as kith review list shows them",
        )
    return Concern(tuple(found[1]), int(found[2]), tuple(found[3]), tuple(found[4]))


def require_authority(about: Concern, verdict: Verdict, authority: str | None) -> None:
    """Refuses to join the identities before and after an adoption on nobody's authority.

    Raises:
        JudgementError: No authority is named.
    """
    if verdict is Verdict.SAME and "adopted" in about.protected and not (authority or "").strip():
        raise JudgementError(
            "an adopted child's identities before and after are joined only on an authority",
            mend="name it by --authority, such as the court's order and its date",
        )


def shown_mentions(links: Path, records: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What a reviewer sees of mentions (SHOWN): personal values, for the eyes of the reviewer alone.

    Returns:
        record_id -> column -> value; of what is empty nothing.
    """
    columns = ", ".join(f"right(ssn, 4) AS {name}" if name == "ssn" else name for name in SHOWN)
    rows = peek().sql(
        f"""SELECT record_id, {columns} FROM read_parquet({literal(links / "people.parquet")})
        WHERE record_id IN ({", ".join(literal(record) for record in records)}) ORDER BY record_id"""
    )
    return {row.pop("record_id"): _filled(row) for row in rows.to_arrow_table().to_pylist()}


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in (None, [], "")}


def waiting_for(judgements: Collection[Judgement], who: str) -> list[Judgement]:
    """The pending judgements that this person may confirm: those that others made."""
    return [j for j in judgements if j.state is State.PENDING and j.who != who]
