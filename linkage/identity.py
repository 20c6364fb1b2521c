"""Person ids: opaque, minted once, never used again for others; what happens to them is told with its cause."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

from linkage.people import COLUMNS
from store.home import literal

LENGTH = 26
_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", np.uint8)  # base32


class EventKind(StrEnum):
    """What happened to a person id."""

    MINTED = "minted"
    RESTORED = "restored"
    """A merge came apart, or records came back: the part that had the id has it again."""
    MERGED_INTO = "merged_into"
    SPLIT_FROM = "split_from"
    MOVED_TO = "moved_to"
    ENDED = "ended"


class Cause(StrEnum):
    """Why, the weightiest first."""

    MODEL = "model"
    JUDGEMENT = "judgement"
    DELETION = "deletion"
    CORRECTION = "correction"
    NEW_EVIDENCE = "new_evidence"


def mint(secret: bytes, founders: Sequence[str], counter: int = 0) -> pa.StringArray:
    """The ids founded on records, one each: 26 letters and digits that tell nothing.

    Args:
        secret: The home's identity secret.
        founders: Record ids.
        counter: How many ids founded on these records were spent before.
    """
    digests = b"".join(hmac.digest(secret, f"{founder}\x1f{counter}".encode(), "sha256") for founder in founders)
    count = len(founders)
    bits = np.unpackbits(np.frombuffer(digests, np.uint8).reshape(count, hashlib.sha256().digest_size), axis=1)
    fives = np.packbits(bits[:, : 5 * LENGTH].reshape(count, LENGTH, 5), axis=2)[:, :, 0] >> 3
    offsets = np.arange(0, LENGTH * (count + 1), LENGTH, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(_LETTERS[fives].tobytes()))


def note_changes(con: duckdb.DuckDBPyConnection, before: Path | None) -> None:
    """Makes the table `change` (record_id, cause): what is new, gone or other than in the people table before.

    A value that is added to what was known is new evidence; one that is gone or another is a correction.

    Args:
        con: Holds `people`.
        before: The people table before in the common columns (Parquet), or None where it is not known.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE change(record_id VARCHAR, cause VARCHAR)")
    if before is None:
        return
    con.execute("CREATE OR REPLACE TEMP VIEW people_before AS " + f"FROM read_parquet({literal(before)})")
    there = {name for (name,) in con.sql("SELECT column_name FROM (DESCRIBE people_before)").fetchall()}
    compared = [name for name in COLUMNS if name in there and name != "record_id"]
    corrected = " OR ".join(f"({_is_lost(name)})" for name in compared)
    con.execute(
        f"""INSERT INTO change
        SELECT coalesce(n.record_id, o.record_id), CASE WHEN o.record_id IS NULL THEN '{Cause.NEW_EVIDENCE}'
            WHEN n.record_id IS NULL THEN '{Cause.DELETION}' WHEN {corrected} THEN '{Cause.CORRECTION}'
            ELSE '{Cause.NEW_EVIDENCE}' END
        FROM people n FULL JOIN people_before o ON n.record_id = o.record_id
        WHERE n.record_id IS NULL OR o.record_id IS NULL
            OR {" OR ".join(f"n.{name} IS DISTINCT FROM o.{name}" for name in compared)}"""
    )
    con.execute("DROP VIEW people_before")


def _is_lost(column: str) -> str:
    if COLUMNS[column].endswith("[]"):
        return f"o.{column} IS NOT NULL AND NOT coalesce(list_has_all(n.{column}, o.{column}), false)"
    return f"o.{column} IS NOT NULL AND n.{column} IS DISTINCT FROM o.{column}"


def assign_ids(
    con: duckdb.DuckDBPyConnection, *, secret: bytes, spent: Iterable[str] = (), cause: Cause | None = None
) -> None:
    """Makes the tables `person_of` (cluster, person_id) and `person_event` (person_id, kind, other_id, cause).

    Args:
        con: Holds `cluster`, `mention` and `known` (record_id, person_id) of the snapshot before; it may be empty.
            Where they are there, `former` (record_id, person_id, times), the ids that records bore when persons merged
            or ended, is read and made anew, and `change` (record_id, cause) tells causes.
        secret: The home's identity secret.
        spent: Ids of the past that no record bears any more.
        cause: Of all that no new record explains, where it is known: another model.
    """
    con.execute("CREATE TEMP TABLE IF NOT EXISTS former(record_id VARCHAR, person_id VARCHAR, times INTEGER)")
    con.execute("CREATE TEMP TABLE IF NOT EXISTS change(record_id VARCHAR, cause VARCHAR)")
    con.execute(
        """CREATE OR REPLACE TEMP TABLE overlap AS
        SELECT c.cluster, k.person_id AS old, count(*) AS records
        FROM cluster c JOIN mention m USING (id) JOIN known k ON k.record_id = m.record_id GROUP BY ALL"""
    )
    _keep_ids(con)
    _mint_ids(con, secret, spent)
    con.execute(_EVENTS)
    _tell_causes(con, cause)
    _remember(con)


def _keep_ids(con: duckdb.DuckDBPyConnection) -> None:
    """Makes `person_of` with the clusters that keep an old id or get a former one back.

    A cluster that alone has an id's records keeps it. Where persons merge, the id of most records stays. Where one
    comes apart, each part has again what most of its records bore when they came together.
    """
    con.execute(
        """CREATE OR REPLACE TEMP TABLE person_of AS
        SELECT cluster, old AS person_id FROM overlap
        QUALIFY count(*) OVER (PARTITION BY cluster) = 1 AND count(*) OVER (PARTITION BY old) = 1"""
    )
    ranked = con.sql(
        """WITH open AS (SELECT * FROM overlap ANTI JOIN person_of USING (cluster)),
        parted AS (SELECT old FROM open GROUP BY old HAVING count(*) > 1),
        vote AS (
            SELECT c.cluster, f.person_id, sum(f.times) AS votes
            FROM former f JOIN mention m USING (record_id) JOIN cluster c USING (id) GROUP BY ALL),
        coming_back AS (
            SELECT cluster, person_id, votes FROM vote ANTI JOIN known USING (person_id)
            WHERE cluster NOT IN (SELECT cluster FROM overlap WHERE old NOT IN (SELECT old FROM parted))
            QUALIFY 2 * votes > sum(votes) OVER (PARTITION BY person_id))
        SELECT cluster, old FROM (
            SELECT o.cluster, o.old, CASE WHEN p.old IS NOT NULL THEN v.votes END AS votes, o.records
            FROM open o LEFT JOIN parted p USING (old)
            LEFT JOIN vote v ON v.cluster = o.cluster AND v.person_id = o.old
            UNION ALL SELECT cluster, person_id, votes, 0 FROM coming_back)
        ORDER BY coalesce(votes, 0) DESC, records DESC, old, cluster"""
    ).fetchall()
    kept: dict[int, str] = {}
    given: set[str] = set()
    for cluster, old in ranked:
        if cluster not in kept and old not in given:
            kept[cluster] = old
            given.add(old)
    rows = pa.table({"cluster": pa.array(kept.keys(), pa.int32()), "person_id": pa.array(kept.values(), pa.string())})
    con.register("kept", rows)
    con.execute("INSERT INTO person_of SELECT * FROM kept")
    con.unregister("kept")


def _mint_ids(con: duckdb.DuckDBPyConnection, secret: bytes, spent: Iterable[str]) -> None:
    """Adds to `person_of` the clusters without an old id; one that is spent is passed over for the next."""
    past = pa.table({"person_id": pa.array(spent, pa.string())})
    con.register("past", past)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE taken AS SELECT person_id FROM past "
        "UNION SELECT person_id FROM known UNION SELECT person_id FROM former"
    )
    con.unregister("past")
    con.execute(
        """CREATE OR REPLACE TEMP TABLE minted AS
        SELECT c.cluster, min(m.record_id) AS founder, NULL::VARCHAR AS person_id
        FROM cluster c JOIN mention m USING (id) ANTI JOIN person_of USING (cluster) GROUP BY c.cluster"""
    )

    def minted(founders: pa.ChunkedArray, counters: pa.ChunkedArray) -> pa.ChunkedArray:
        return pa.chunked_array([mint(secret, founders.to_pylist(), counters[0].as_py())])

    con.create_function("mint", minted, ["VARCHAR", "INTEGER"], "VARCHAR", type=PythonUDFType.ARROW)
    unsettled, counter = "true", 0
    while con.execute(f"UPDATE minted SET person_id = mint(founder, {counter}) WHERE {unsettled}").fetchall()[0][0]:
        unsettled, counter = "person_id IN (SELECT person_id FROM taken)", counter + 1
    con.remove_function("mint")
    con.execute("INSERT INTO person_of SELECT cluster, person_id FROM minted; DROP TABLE minted; DROP TABLE taken")


_EVENTS = f"""
CREATE OR REPLACE TEMP TABLE person_event AS
WITH moved AS (
    SELECT o.old, p.person_id AS new, o.records, o.old IN (SELECT person_id FROM person_of) AS lives,
        p.person_id IN (SELECT person_id FROM known) AS was_there,
        row_number() OVER (PARTITION BY o.old ORDER BY o.records DESC, p.person_id) AS place,
        row_number() OVER (PARTITION BY p.person_id ORDER BY o.records DESC, o.old) AS source
    FROM overlap o JOIN person_of p USING (cluster)
), came AS (
    SELECT person_id, person_id IN (SELECT person_id FROM former) AS before FROM person_of
    WHERE person_id NOT IN (SELECT person_id FROM known)
)
SELECT person_id, '{EventKind.MINTED}' AS kind, NULL::VARCHAR AS other_id FROM came WHERE NOT before
UNION ALL SELECT person_id, '{EventKind.RESTORED}', m.old
    FROM came LEFT JOIN moved m ON m.new = person_id AND m.source = 1 WHERE before
UNION ALL SELECT old, '{EventKind.MERGED_INTO}', new FROM moved WHERE NOT lives AND place = 1
UNION ALL SELECT new, '{EventKind.SPLIT_FROM}', old FROM moved
    WHERE new <> old AND NOT was_there AND new NOT IN (SELECT person_id FROM came WHERE before)
UNION ALL SELECT old, '{EventKind.MOVED_TO}', new FROM moved WHERE new <> old AND was_there AND (lives OR place > 1)
UNION ALL SELECT DISTINCT person_id, '{EventKind.ENDED}', NULL FROM known
    WHERE person_id NOT IN (SELECT old FROM overlap)
"""


def _tell_causes(con: duckdb.DuckDBPyConnection, cause: Cause | None) -> None:
    """Adds to each event its cause: the weightiest of what happened to the records of the two persons.

    A person of new records only comes of them, and one whose records are all gone ends by that, whatever else changed.
    Where nothing happened to their records, it is what happened to others beside them; where nothing happened at all,
    the rules are others.
    """
    weight = "CASE cause " + " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(Cause)) + " END"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE person_event AS
        WITH ranked AS (SELECT record_id, min({weight}) AS place FROM change GROUP BY record_id),
        touched AS (
            SELECT k.person_id, min(place) AS place FROM known k JOIN ranked USING (record_id) GROUP BY ALL
            UNION ALL
            SELECT p.person_id, min(place) FROM ranked JOIN mention m USING (record_id) JOIN cluster c USING (id)
            JOIN person_of p USING (cluster) GROUP BY ALL
        ), near AS (SELECT person_id, min(place) AS place FROM touched GROUP BY person_id),
        anywhere AS (SELECT min(place) AS place FROM ranked)
        SELECT e.person_id, e.kind, e.other_id, list_extract({[str(name) for name in Cause]}, 1 + CASE
            WHEN e.kind = '{EventKind.ENDED}' THEN {list(Cause).index(Cause.DELETION)}
            WHEN e.kind = '{EventKind.MINTED}' AND e.person_id NOT IN (
                SELECT person_id FROM person_of JOIN overlap USING (cluster)
            ) THEN {list(Cause).index(Cause.NEW_EVIDENCE)}
            ELSE coalesce({"NULL" if cause is None else list(Cause).index(cause)}, least(a.place, b.place), x.place,
                {list(Cause).index(Cause.MODEL)}) END) AS cause
        FROM person_event e LEFT JOIN near a ON a.person_id = e.person_id LEFT JOIN near b ON b.person_id = e.other_id
        CROSS JOIN anywhere x"""
    )


def _remember(con: duckdb.DuckDBPyConnection) -> None:
    """Adds to `former` what the records bore whose persons merged now, and the records of persons that ended."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE former AS
        SELECT record_id, person_id, sum(times)::INTEGER AS times FROM (
            FROM former
            UNION ALL
            SELECT k.record_id, k.person_id, 1 FROM known k JOIN mention m USING (record_id) JOIN cluster c USING (id)
            SEMI JOIN (SELECT cluster FROM overlap GROUP BY cluster HAVING count(*) > 1) USING (cluster)
            UNION ALL
            SELECT record_id, person_id, 1 FROM known WHERE person_id NOT IN (SELECT old FROM overlap)
        ) GROUP BY ALL"""
    )
