"""Person ids: opaque, minted once, never used again; a cluster keeps the id that most of its records had."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from enum import StrEnum

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

LENGTH = 26
_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", np.uint8)  # base32


class EventKind(StrEnum):
    """What happened to a person id."""

    MINTED = "minted"
    MERGED_INTO = "merged_into"
    SPLIT_FROM = "split_from"
    MOVED_TO = "moved_to"
    ENDED = "ended"


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


def assign_ids(con: duckdb.DuckDBPyConnection, *, secret: bytes, spent: Iterable[str] = ()) -> None:
    """Makes the tables `person_of` (cluster, person_id) and `person_event` (person_id, kind, other_id).

    Args:
        con: Holds `cluster`, `mention` and `known` (record_id, person_id) of the snapshot before; it may be empty.
        secret: The home's identity secret.
        spent: Ids of the past that no record bears any more.
    """
    con.execute(
        """CREATE OR REPLACE TEMP TABLE overlap AS
        SELECT c.cluster, k.person_id AS old, count(*) AS records
        FROM cluster c JOIN mention m USING (id) JOIN known k ON k.record_id = m.record_id GROUP BY ALL"""
    )
    _keep_ids(con)
    _mint_ids(con, secret, spent)
    con.execute(_EVENTS)


def _keep_ids(con: duckdb.DuckDBPyConnection) -> None:
    """Makes `person_of` with the clusters that keep an old id: most records first, then the smallest id."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE person_of AS
        SELECT cluster, old AS person_id FROM overlap
        QUALIFY count(*) OVER (PARTITION BY cluster) = 1 AND count(*) OVER (PARTITION BY old) = 1"""
    )
    ranked = con.sql(
        "SELECT cluster, old FROM overlap ANTI JOIN person_of USING (cluster) ORDER BY records DESC, old, cluster"
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
    con.execute("CREATE OR REPLACE TEMP TABLE taken AS SELECT person_id FROM past UNION SELECT person_id FROM known")
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


_EVENTS = """
CREATE OR REPLACE TEMP TABLE person_event AS
WITH moved AS (
    SELECT o.old, p.person_id AS new, o.records, o.old IN (SELECT person_id FROM person_of) AS lives,
p.person_id IN (SELECT person_id FROM known) AS was_there,
row_number() OVER (PARTITION BY o.old ORDER BY o.records DESC, p.person_id) AS place
    FROM overlap o JOIN person_of p USING (cluster)
)
SELECT person_id, 'minted' AS kind, NULL::VARCHAR AS other_id FROM person_of
    WHERE person_id NOT IN (SELECT person_id FROM known)
UNION ALL SELECT old, 'merged_into', new FROM moved WHERE NOT lives AND place = 1
UNION ALL SELECT new, 'split_from', old FROM moved WHERE new <> old AND NOT was_there
UNION ALL SELECT old, 'moved_to', new FROM moved WHERE new <> old AND was_there AND (lives OR place > 1)
UNION ALL SELECT DISTINCT person_id, 'ended', NULL FROM known
    WHERE person_id NOT IN (SELECT old FROM overlap)
"""
