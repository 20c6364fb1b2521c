"""Pairs of kept mentions scored, judged and decided: a part of them at a time, whatever the number of mentions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage.blocking import Pairs
from linkage.guard import Guard, judge, with_facts
from linkage.index import Mentions
from linkage.score import Scorer, both_sides

PAIRS_AT_ONCE = 500_000
FEW = 20_000


@dataclass(frozen=True)
class PairRules:
    """All that decides about a pair."""

    scorer: Scorer
    model: dict[str, Any]
    guard: Guard
    decide_sql: str
    """The decision over the columns weight, stated, veto and doubt."""
    review_weight: float
    most_records: int
    no_families: float = 0.0
    """Bits by which the table shows fewer relatives than one of families (linkage.families)."""

    @property
    def stated(self) -> str:
        """SQL: whether the agency itself says that both are one."""
        return self.guard.facts["stated"]


def score_pairs(
    con: duckdb.DuckDBPyConnection,
    mentions: Mentions,
    pairs: Pairs,
    how: PairRules,
    *,
    least_weight: float | None = None,
) -> pa.Table:
    """Edges of pairs: the columns of edges.parquet, but with slots as id_l and id_r, in the order of record_id.

    Args:
        con: Where the work is done.
        mentions: The pairs' mentions.
        pairs: Slots.
        how: Scores and decides.
        least_weight: Pairs below it are left out, unless the agency itself states them.
    """
    parts = np.array_split(pairs, max(1, -(-len(pairs) // PAIRS_AT_ONCE)))
    edges = [_score_part(con, mentions, part, how, least_weight) for part in parts]
    return pa.concat_tables(edges)


def _score_part(
    con: duckdb.DuckDBPyConnection, mentions: Mentions, pairs: Pairs, how: PairRules, least_weight: float | None
) -> pa.Table:
    left, right = _in_record_order(mentions, pairs)
    columns = [*how.scorer.columns, "record_id", "same_as"]
    both = both_sides(mentions.take(left, columns), mentions.take(right, columns), id_l=left, id_r=right)
    con.register("both_sides", both)
    rows = f"(SELECT *, {how.stated} AS stated FROM both_sides)"
    query = how.scorer.sql(rows, least_weight=least_weight, staged=len(pairs) > FEW)
    con.execute(f"CREATE OR REPLACE TEMP TABLE scored AS {query}")
    con.unregister("both_sides")
    with _their_mentions(con, mentions, how.guard):
        judge(con, "scored", how.model, how.guard, into="judged", no_families=how.no_families)
        edges = con.sql(f"SELECT *, {how.decide_sql} AS decision FROM judged").to_arrow_table()
    con.execute("DROP TABLE scored; DROP TABLE judged")
    return edges


def own_evidence(
    con: duckdb.DuckDBPyConnection, mentions: Mentions, edges: pa.Table, how: PairRules
) -> npt.NDArray[np.float64]:
    """Of each edge the guard's `own`: log2 odds of one person against two of one family."""
    con.register("scored_edge", edges)
    con.execute("CREATE OR REPLACE TEMP TABLE scored AS SELECT * EXCLUDE (stated) FROM scored_edge")
    con.unregister("scored_edge")
    with _their_mentions(con, mentions, how.guard):
        facts = with_facts("scored", how.model, how.guard, no_families=how.no_families)
        own: npt.NDArray[np.float64] = con.sql(f"SELECT own::DOUBLE AS own FROM ({facts})").fetchnumpy()["own"]
    con.execute("DROP TABLE scored")
    return own


@contextmanager
def _their_mentions(con: duckdb.DuckDBPyConnection, mentions: Mentions, guard: Guard) -> Iterator[None]:
    """The view `mention` of the pairs in the table `scored`, with the columns that the guard reads."""
    ends = con.execute("SELECT DISTINCT unnest([id_l, id_r]) AS id FROM scored ORDER BY id").fetchnumpy()["id"]
    mention = mentions.take(np.asarray(ends, np.int32), guard.columns)
    con.register("scored_mention", mention.append_column("id", pa.array(ends, pa.int32())))
    con.execute("CREATE OR REPLACE TEMP VIEW mention AS FROM scored_mention")
    yield
    con.execute("DROP VIEW mention")
    con.unregister("scored_mention")


def _in_record_order(mentions: Mentions, pairs: Pairs) -> tuple[Any, Any]:
    one, other = pairs[:, 0], pairs[:, 1]
    names = [mentions.take(side, ["record_id"])["record_id"] for side in (one, other)]
    wrong = np.asarray(pc.greater(*names))
    return np.where(wrong, other, one), np.where(wrong, one, other)
