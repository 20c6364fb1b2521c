"""The part of the kept mentions that a delivery touches: its components are clustered and given person ids anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linkage.blocking import Pairs, Slots
from linkage.clusters import cluster_table, component_table
from linkage.identity import Cause, assign_ids, mint
from linkage.index import LinkIndex
from linkage.judgements import apply_judgements, place_judgements
from linkage.pairs import PairRules, score_pairs

READ = ("record_id", "source", "given")
"""The columns of `mention` that clusters and ids read."""


@dataclass(frozen=True)
class Past:
    """What person ids are given by, and what is known of them where the index is empty."""

    secret: bytes
    spent: Collection[str] = ()
    """Ids of the past that no record bears any more."""
    cause: Cause | None = None
    known: pa.Table | None = None
    """record_id, person_id."""
    former: pa.Table | None = None
    """record_id, person_id, times (linkage.identity)."""


def region_of(index: LinkIndex, touched: Slots) -> Slots:
    """All mentions in force whose cluster or id may change: those touched, all that are linked to them, over however
    many links, and those that once bore one id with them."""
    found = touched[index.alive[touched]]
    frontier = found
    while len(frontier):
        linked = index.edges.neighbours(frontier, linked=True)
        once = index.once_together(frontier)
        frontier = np.setdiff1d(np.union1d(linked, once), found)
        found = np.union1d(found, frontier)
    return found.astype(np.int32)


class Region:
    """Tables `mention` (id, in the order of record_id) and `edge` of a part of the index, in a connection of its own.

    Records at the far end of an edge that is no link stand in `mention`, too: they may tell of a link that is torn.
    """

    def __init__(
        self, index: LinkIndex, con: duckdb.DuckDBPyConnection, work: duckdb.DuckDBPyConnection, how: PairRules
    ) -> None:
        self.index, self.con, self.work, self.how = index, con, work, how
        self.slots: Slots = np.zeros(0, np.int32)
        self.inside: Slots = self.slots

    def take(self, inside: Slots) -> None:
        """Takes the mentions and all their edges, which are no longer in the index until they are given back."""
        self.inside = inside
        around = self.index.edges.neighbours(inside, linked=False)
        mentions = self.index.mentions
        slots = np.union1d(inside, around).astype(np.int32)
        order = pc.sort_indices(mentions.take(slots, ["record_id"])["record_id"])
        self.slots = slots[np.asarray(order)]
        ids = pa.array(np.arange(1, len(slots) + 1, dtype=np.int32))
        self._table("mention", mentions.take(self.slots, READ).append_column("id", ids))
        self._table("inside", pa.table({"id": 1 + np.flatnonzero(np.isin(self.slots, inside))}))
        edges = self.index.edges.take(inside, out=True)
        if edges is None:
            edges = score_pairs(self.work, mentions, np.zeros((0, 2), np.int32), self.how)
            edges = edges.append_column("blocked", pa.array([], pa.bool_()))
        self._table("edge", self._by_id(edges))
        self.con.execute(
            """ALTER TABLE edge ADD COLUMN IF NOT EXISTS judged BOOLEAN;
            ALTER TABLE edge ADD COLUMN IF NOT EXISTS held VARCHAR;
            ALTER TABLE edge ADD COLUMN IF NOT EXISTS unjudged VARCHAR;
            UPDATE edge SET decision = 'link', held = NULL WHERE held IS NOT NULL"""
        )

    def cluster(self, judgements: pa.Table) -> None:
        """Makes `cluster`; a component is complete before: a veto between two of it must be known though no key
        brought them together."""
        con, how = self.con, self.how
        con.execute("CREATE OR REPLACE TEMP TABLE spare AS FROM edge WHERE NOT blocked AND judged IS NULL")
        if judgements.num_rows or self.index.judgements.num_rows:
            self._judge(judgements)
        else:
            con.execute("DELETE FROM edge WHERE NOT blocked")
        component_table(con)
        self._add(
            f"""SELECT l.id AS id_l, r.id AS id_r
            FROM component l JOIN component r ON l.component = r.component AND l.id < r.id
            WHERE l.size BETWEEN 3 AND {how.most_records}""",
            blocked=False,
        )
        cluster_table(con, most=how.most_records, prior=how.scorer.prior)

    def _judge(self, judgements: pa.Table) -> None:
        """Scores again what was judged before, and decides the pairs as they are judged now."""
        con = self.con
        place_judgements(con, judgements)
        con.execute("DELETE FROM judged_pair WHERE NOT (id_l IN (FROM inside) OR id_r IN (FROM inside))")
        con.execute("CREATE OR REPLACE TEMP TABLE judged_before AS FROM edge WHERE judged IS NOT NULL")
        con.execute("DELETE FROM edge WHERE NOT blocked OR judged IS NOT NULL")
        before = "SELECT id_l, id_r FROM judged_before WHERE blocked"
        self._add(before, blocked=True, least_weight=self.how.review_weight)
        self._add("SELECT id_l, id_r FROM judged_pair", blocked=False)
        apply_judgements(con)

    def _add(self, pairs: str, *, blocked: bool, least_weight: float | None = None) -> None:
        """Adds the pairs of a query that are no edges yet; what was scored before is taken from `spare`."""
        con = self.con
        con.execute(f"CREATE OR REPLACE TEMP TABLE wanted AS SELECT * FROM ({pairs}) ANTI JOIN edge USING (id_l, id_r)")
        con.execute("INSERT INTO edge BY NAME SELECT spare.* FROM spare SEMI JOIN wanted USING (id_l, id_r)")
        found = con.sql("SELECT id_l, id_r FROM wanted ANTI JOIN edge USING (id_l, id_r)").fetchnumpy()
        ends: Pairs = np.column_stack([found["id_l"], found["id_r"]]).astype(np.int32)
        if len(ends):
            edges = score_pairs(
                self.work, self.index.mentions, self.slots[ends - 1], self.how, least_weight=least_weight
            )
            con.register("scored_now", self._by_id(edges))
            con.execute(f"INSERT INTO edge BY NAME SELECT *, {blocked} AS blocked FROM scored_now")
            con.unregister("scored_now")

    def give_back(self) -> None:
        """Puts the edges into the index as they are now, and keeps only the mentions inside."""
        edges = self.con.sql("FROM edge").to_arrow_table()
        for side in ("id_l", "id_r"):
            slots = pa.array(self.slots[edges[side].to_numpy() - 1], pa.int32())
            edges = edges.set_column(edges.schema.get_field_index(side), side, slots)
        self.index.edges.append(edges)
        for table in ("mention", "cluster"):
            self.con.execute(f"DELETE FROM {table} WHERE id NOT IN (FROM inside)")

    def give_ids(self, removed: Slots, change: pa.Table, past: Past) -> pa.Table:
        """Gives the clusters ids that last, and returns what happened to ids (linkage.identity.assign_ids)."""
        index, con = self.index, self.con
        known = self._known(removed) if past.known is None else past.known
        self._table("known", known)
        concerned = index.former_of(np.union1d(index.record[self.inside], index.record[removed]))
        former = past.former if past.former is not None else concerned.select(["record_id", "person_id", "times"])
        self._table("former", former)
        self._table("change", change)
        spent = past.spent if len(self.inside) == index.people else self._spent(past)
        assign_ids(con, secret=past.secret, spent=spent, cause=past.cause)
        rows = con.sql(
            "SELECT m.id, p.person_id FROM mention m JOIN cluster USING (id) JOIN person_of p USING (cluster)"
        ).to_arrow_table()
        index.name(self.slots[rows["id"].to_numpy() - 1], rows["person_id"].to_pylist())
        rest = index.former.filter(pc.invert(pc.is_in(index.former["person_id"], pc.unique(concerned["person_id"]))))
        now = con.sql("SELECT record_id, person_id, times, hash(record_id) AS _record FROM former").to_arrow_table()
        index.former = pa.concat_tables([rest, now]).combine_chunks()
        return con.sql("FROM person_event").to_arrow_table()

    def _known(self, removed: Slots) -> pa.Table:
        """The ids that mentions had: of those inside, and of those that are gone."""
        slots = np.union1d(self.inside, removed).astype(np.int32)
        slots = slots[self.index.person[slots] != b""]
        records = self.index.mentions.take(slots, ["record_id"])["record_id"]
        return pa.table({"record_id": records, "person_id": self.index.person_ids(slots)})

    def _spent(self, past: Past) -> set[str]:
        """The ids that could be minted here and are taken elsewhere."""
        founders = self.con.sql("SELECT record_id FROM mention ORDER BY id").to_arrow_table()["record_id"].to_pylist()
        taken: set[str] = set()
        counter = 0
        while founders:
            ids = mint(past.secret, founders, counter).to_pylist()
            gone = [name in past.spent or borne for name, borne in zip(ids, self.index.bear(ids), strict=True)]
            taken.update(name for name, is_gone in zip(ids, gone, strict=True) if is_gone)
            founders = [founder for founder, is_gone in zip(founders, gone, strict=True) if is_gone]
            counter += 1
        return taken

    def _by_id(self, edges: pa.Table) -> pa.Table:
        """Edges with the ids of `mention` in place of slots."""
        ids = np.empty(len(self.index.mentions), np.int32)
        ids[self.slots] = np.arange(1, len(self.slots) + 1, dtype=np.int32)
        for side in ("id_l", "id_r"):
            there = pa.array(ids[edges[side].to_numpy()], pa.int32())
            edges = edges.set_column(edges.schema.get_field_index(side), side, there)
        return edges

    def _table(self, name: str, rows: pa.Table) -> None:
        self.con.register("rows_in", rows)
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM rows_in")
        self.con.unregister("rows_in")
