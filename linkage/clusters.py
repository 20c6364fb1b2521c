"""From linked pairs to clusters in which no pair stands that must stay apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import duckdb
import pyarrow as pa

Pair = tuple[int, int]


def components(links: Iterable[Pair]) -> dict[int, int]:
    """The connected component (its smallest member) of every record that has a link."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for left, right in links:
        a, b = root(left), root(right)
        if a != b:
            parent[max(a, b)] = min(a, b)
    return {node: root(node) for node in parent}


def merge_in_order(links: Iterable[Pair], apart: Iterable[Pair], *, most: int) -> dict[int, int]:
    """Greedy clusters: links from the strongest on, each merging its two clusters unless something forbids it.

    Args:
        links: Linked pairs, the strongest first.
        apart: Pairs that must not stand in one cluster.
        most: Most records a cluster may have.

    Returns:
        The cluster (its smallest member) of every record that has a link.
    """
    enemies: dict[int, set[int]] = defaultdict(set)
    for left, right in apart:
        enemies[left].add(right)
        enemies[right].add(left)
    cluster: dict[int, int] = {}
    members: dict[int, set[int]] = {}
    for pair in links:
        for node in pair:
            if node not in cluster:
                cluster[node], members[node] = node, {node}
        a, b = cluster[pair[0]], cluster[pair[1]]
        if a == b or not _may_merge(members[a], members[b], enemies, most):
            continue
        small, large = sorted((a, b), key=lambda c: len(members[c]))
        for node in members[small]:
            cluster[node] = large
        members[large] |= members.pop(small)
    least = {name: min(nodes) for name, nodes in members.items()}
    return {node: least[name] for node, name in cluster.items()}


def _may_merge(one: set[int], other: set[int], enemies: dict[int, set[int]], most: int) -> bool:
    if len(one) + len(other) > most:
        return False
    small, large = sorted((one, other), key=len)
    return all(enemies[node].isdisjoint(large) for node in small if node in enemies)


def component_table(con: duckdb.DuckDBPyConnection) -> None:
    """Makes the table `component` (id, component, size) over the linked pairs of the table `edge`."""
    pairs = con.sql("SELECT id_l, id_r FROM edge WHERE decision = 'link'").fetchall()
    _table(con, "component", components(pairs))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE component AS "
        "SELECT id, value AS component, count(*) OVER (PARTITION BY value) AS size FROM component"
    )


def cluster_table(con: duckdb.DuckDBPyConnection, *, most: int) -> None:
    """Makes the table `cluster` (id, cluster) over all records, from `mention`, `edge` and `component`.

    Only components that hold a pair to be kept apart are merged link by link. One with too many records is frozen:
    only what an agency itself states is merged in it, all else is left for review.
    """
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE contested AS
        SELECT DISTINCT component FROM component WHERE size > {most}
        UNION
        SELECT l.component FROM edge e JOIN component l ON l.id = e.id_l JOIN component r ON r.id = e.id_r
        WHERE e.veto IS NOT NULL AND l.component = r.component"""
    )
    inside = "FROM edge e JOIN component c ON c.id = e.id_l SEMI JOIN contested USING (component)"
    links = con.sql(
        f"SELECT id_l, id_r {inside} WHERE decision = 'link' AND (stated OR size <= {most}) "
        "ORDER BY stated DESC, weight DESC, id_l, id_r"
    ).fetchall()
    apart = con.sql(f"SELECT id_l, id_r {inside} WHERE veto IS NOT NULL").fetchall()
    _table(con, "settled", merge_in_order(links, apart, most=most))
    con.execute(
        """CREATE OR REPLACE TEMP TABLE cluster AS
        SELECT m.id, coalesce(s.value, CASE WHEN x.component IS NULL THEN c.component END, m.id) AS cluster
        FROM mention m LEFT JOIN component c USING (id) LEFT JOIN settled s USING (id)
        LEFT JOIN contested x USING (component)"""
    )


def _table(con: duckdb.DuckDBPyConnection, name: str, values: dict[int, int]) -> None:
    rows = pa.table({"id": pa.array(values.keys(), pa.int32()), "value": pa.array(values.values(), pa.int32())})
    con.register("rows_in", rows)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM rows_in")
    con.unregister("rows_in")
