"""Person ids: opaque, minted once, never used again; a cluster keeps the id that most of its records had."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import duckdb
import pyarrow as pa

LENGTH = 26


class EventKind(StrEnum):
    """What happened to a person id."""

    MINTED = "minted"
    MERGED_INTO = "merged_into"
    SPLIT_FROM = "split_from"
    MOVED_TO = "moved_to"
    ENDED = "ended"


@dataclass(frozen=True, order=True)
class PersonEvent:
    """One step in the history of a person id; `other_id` is what it merged into, was split from or gave records to."""

    person_id: str
    kind: EventKind
    other_id: str | None = None


def mint(secret: bytes, record_id: str, spent: Iterable[str] = ()) -> str:
    """The id founded on a record: 26 letters and digits that tell nothing; the next one where that one was spent."""
    taken = spent if isinstance(spent, (set, frozenset, dict)) else set(spent)
    counter = 0
    while True:
        digest = hmac.new(secret, f"{record_id}\x1f{counter}".encode(), hashlib.sha256).digest()
        person_id = base64.b32encode(digest).decode("ascii")[:LENGTH]
        if person_id not in taken:
            return person_id
        counter += 1


def assign_ids(con: duckdb.DuckDBPyConnection, *, secret: bytes, spent: Iterable[str] = ()) -> list[PersonEvent]:
    """Makes the table `person_of` (cluster, person_id) from `cluster`, `mention` and the table `known`.

    Args:
        con: Holds `known` (record_id, person_id) of the snapshot before; it may be empty.
        secret: The home's identity secret.
        spent: Ids of the past that no record bears any more.

    Returns:
        What happened to ids, sorted.
    """
    con.execute(
        """CREATE OR REPLACE TEMP TABLE overlap AS
        SELECT c.cluster, k.person_id AS old, count(*) AS records
        FROM cluster c JOIN mention m USING (id) JOIN known k ON k.record_id = m.record_id GROUP BY ALL"""
    )
    kept = _kept_ids(con)
    founders = con.sql(
        "SELECT c.cluster, min(m.record_id) FROM cluster c JOIN mention m USING (id) GROUP BY c.cluster ORDER BY 2"
    ).fetchall()
    taken = set(spent) | {old for (old,) in con.sql("SELECT DISTINCT person_id FROM known").fetchall()}
    person_of: dict[int, str] = {}
    for cluster, founder in founders:
        person_of[cluster] = kept.get(cluster) or mint(secret, founder, taken)
        taken.add(person_of[cluster])
    _register(con, person_of)
    return _events(con)


def _kept_ids(con: duckdb.DuckDBPyConnection) -> dict[int, str]:
    """The old id each cluster keeps: most records first, then the smallest id; an id goes to one cluster only."""
    kept: dict[int, str] = {}
    given: set[str] = set()
    ranked = con.sql("SELECT cluster, old FROM overlap ORDER BY records DESC, old, cluster").fetchall()
    for cluster, old in ranked:
        if cluster not in kept and old not in given:
            kept[cluster] = old
            given.add(old)
    return kept


def _register(con: duckdb.DuckDBPyConnection, person_of: dict[int, str]) -> None:
    rows = pa.table(
        {"cluster": pa.array(person_of.keys(), pa.int32()), "person_id": pa.array(person_of.values(), pa.string())}
    )
    con.register("ids_in", rows)
    con.execute("CREATE OR REPLACE TEMP TABLE person_of AS SELECT * FROM ids_in")
    con.unregister("ids_in")


def _events(con: duckdb.DuckDBPyConnection) -> list[PersonEvent]:
    rows = con.sql(
        """WITH moved AS (
            SELECT o.old, p.person_id AS new, o.records, o.old IN (SELECT person_id FROM person_of) AS lives,
                p.person_id IN (SELECT person_id FROM known) AS was_there,
                row_number() OVER (PARTITION BY o.old ORDER BY o.records DESC, p.person_id) AS place
            FROM overlap o JOIN person_of p USING (cluster)
        )
        SELECT person_id, 'minted', NULL FROM person_of WHERE person_id NOT IN (SELECT person_id FROM known)
        UNION ALL SELECT old, 'merged_into', new FROM moved WHERE NOT lives AND place = 1
        UNION ALL SELECT new, 'split_from', old FROM moved WHERE new <> old AND NOT was_there
        UNION ALL SELECT old, 'moved_to', new FROM moved WHERE new <> old AND was_there AND (lives OR place > 1)
        UNION ALL SELECT DISTINCT person_id, 'ended', NULL FROM known
            WHERE person_id NOT IN (SELECT old FROM overlap)"""
    ).fetchall()
    return sorted(
        (PersonEvent(person, EventKind(kind), other) for person, kind, other in rows),
        key=lambda e: (e.person_id, e.kind, e.other_id or ""),
    )
