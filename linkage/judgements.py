"""What persons said of pairs, laid over what was scored: the same, or different; it outranks every weight and rule."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from linkage.identity import Cause
from store.home import literal

SCHEMA = pa.schema([("record_l", pa.string()), ("record_r", pa.string()), ("same", pa.bool_())])
"""Judgements in force, each pair once (record_l < record_r): the two mentions by record_id, and what was said."""
JUDGED_APART = "judged to be different persons"
"""The veto of a pair that a person said are two."""


def place_judgements(con: duckdb.DuckDBPyConnection, judgements: pa.Table | None) -> None:
    """Makes the tables `judgement` (as given) and `judged_pair` (id_l, id_r, same) of those whose mentions are there.

    Args:
        con: Holds `mention`.
        judgements: Judgements in force (SCHEMA); None is none.
    """
    con.register("given_judgements", (judgements or SCHEMA.empty_table()).cast(SCHEMA))
    con.execute("CREATE OR REPLACE TEMP TABLE judgement AS FROM given_judgements")
    con.unregister("given_judgements")
    con.execute(
        """CREATE OR REPLACE TEMP TABLE judged_pair AS
        SELECT least(l.id, r.id) AS id_l, greatest(l.id, r.id) AS id_r, j.same
        FROM judgement j JOIN mention l ON l.record_id = j.record_l JOIN mention r ON r.record_id = j.record_r"""
    )


def apply_judgements(con: duckdb.DuckDBPyConnection) -> None:
    """Decides the judged pairs of the table `edge` as they were judged; all of them must have been scored.

    `judged` (BOOLEAN) of a pair is what was said. Judged to be the same it is a link without veto; judged to be
    different it has the veto JUDGED_APART. `unjudged` keeps the decision it had, `apart` where a rule had vetoed
    it, and `doubt` the rule. Judgements that were applied before are taken back first.
    """
    con.execute("ALTER TABLE edge ADD COLUMN IF NOT EXISTS judged BOOLEAN")
    con.execute("ALTER TABLE edge ADD COLUMN IF NOT EXISTS unjudged VARCHAR")
    con.execute(
        """UPDATE edge SET decision = CASE WHEN unjudged = 'apart' THEN 'review' ELSE unjudged END,
            veto = CASE WHEN unjudged = 'apart' THEN doubt END, doubt = CASE WHEN unjudged <> 'apart' THEN doubt END,
            judged = NULL, unjudged = NULL
        WHERE judged IS NOT NULL"""
    )
    con.execute(
        f"""UPDATE edge SET judged = j.same, unjudged = CASE WHEN veto IS NULL THEN decision ELSE 'apart' END,
            decision = CASE WHEN j.same THEN 'link' ELSE 'no' END,
            veto = CASE WHEN NOT j.same THEN '{JUDGED_APART}' END, doubt = coalesce(veto, doubt)
        FROM judged_pair j WHERE j.id_l = edge.id_l AND j.id_r = edge.id_r"""
    )


def note_judgements(con: duckdb.DuckDBPyConnection, before: Path | None) -> None:
    """Adds to `change` the records of judgements that are new or taken back since those of a Parquet file (SCHEMA)."""
    earlier = f"read_parquet({literal(before)})" if before else "(FROM judgement LIMIT 0)"
    con.execute(
        f"""INSERT INTO change SELECT DISTINCT unnest([record_l, record_r]), '{Cause.JUDGEMENT}' FROM (
            (FROM judgement EXCEPT FROM {earlier}) UNION ALL (FROM {earlier} EXCEPT FROM judgement))"""
    )
