"""From linked pairs to clusters: judgements first, then agencies, then weights; never through one weak link."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import duckdb
import numpy as np
import pyarrow as pa

from standard.errors import LinkageError

Pair = tuple[int, int]

TORN_WITHIN = 5.0  # weights nearer than this do not tell two candidates apart
CLIP = 10.0  # what one pair may say for or against a merge, in log2 odds beside the prior
FARTHEST = 3  # links between two members of a cluster, at most
TORN = "fits two persons who must be kept apart"
PARTED = "joining them would join records that must stay apart"
UNSUPPORTED = "the other pairs of the two clusters speak against it"
STRETCHED = "the cluster would be a chain whose ends hardly touch"
OVERSIZED = "the cluster is too large"
HELD = (TORN, PARTED, UNSUPPORTED, STRETCHED, OVERSIZED)
"""Why a link is held back by what stands around it; the pair alone would be linked."""


@dataclass(frozen=True)
class ComparedPair:
    """A compared pair of one component; `speaks` is its weight without the prior, None where it was not scored."""

    pair: Pair
    speaks: float | None
    linked: bool
    apart: bool = False
    stated: bool = False
    judged: bool | None = None
    """What a person said: the same, or different; None where nobody did."""


@dataclass
class Settled:
    """What a component came to: node -> cluster (its smallest member), and why links between clusters were held."""

    cluster: dict[int, int] = field(default_factory=dict)
    held: dict[Pair, str] = field(default_factory=dict)


def components(links: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The connected component (its smallest member) of every record that has a link.

    Args:
        links: Shape (n, 2), the ids of linked records.

    Returns:
        The records, sorted, and beside each its component.
    """
    nodes, ends = np.unique(links, return_inverse=True)
    left, right = ends.reshape(-1, 2).T
    label = np.arange(len(nodes))
    while True:
        before = label.copy()
        low = np.minimum(label[left], label[right])
        for place in (before[left], before[right], left, right):
            np.minimum.at(label, place, low)
        while not np.array_equal(label, label[label]):
            label = label[label]
        if np.array_equal(before, label):
            return nodes, nodes[label]


class _Component:
    """One component while its clusters grow."""

    def __init__(self, pairs: Collection[ComparedPair], most: int) -> None:
        self.most = most
        self.about = {pair.pair: pair for pair in pairs}
        self.cluster = {node: node for pair in self.about for node in pair}
        self.members = {node: [node] for node in self.cluster}
        self.near: dict[int, list[int]] = defaultdict(list)
        for left, right in (p.pair for p in pairs if p.linked):
            self.near[left].append(right)
            self.near[right].append(left)

    def together(self, pair: Pair) -> bool:
        return self.cluster[pair[0]] == self.cluster[pair[1]]

    def merge(self, pair: Pair) -> None:
        kept, gone = sorted((self.cluster[pair[0]], self.cluster[pair[1]]))
        for node in self.members[gone]:
            self.cluster[node] = kept
        self.members[kept] += self.members.pop(gone)

    def refusal(self, pair: Pair) -> str | None:
        """Why the clusters of a link may not become one."""
        one, other = self.members[self.cluster[pair[0]]], self.members[self.cluster[pair[1]]]
        cross = [c for a in one for b in other if (c := self.about.get((min(a, b), max(a, b)))) is not None]
        if any(c.apart for c in cross):
            return PARTED
        if len(one) + len(other) > self.most:
            return OVERSIZED
        if not self.about[pair].stated and not _is_supported(cross, alone=1 in (len(one), len(other))):
            return UNSUPPORTED
        return STRETCHED if self._is_stretched(one + other) else None

    def _is_stretched(self, members: list[int]) -> bool:
        """Whether two members are farther from each other than FARTHEST links."""
        inside = set(members)
        return len(members) > FARTHEST + 1 and any(self._reach(node, inside) < len(members) for node in members)

    def _reach(self, start: int, inside: set[int]) -> int:
        far, queue = {start: 0}, deque([start])
        while queue:
            node = queue.popleft()
            if far[node] == FARTHEST:
                continue
            for other in self.near[node]:
                if other in inside and other not in far:
                    far[other] = far[node] + 1
                    queue.append(other)
        return len(far)


def _is_supported(cross: Sequence[ComparedPair], *, alone: bool) -> bool:
    """Two clusters become one where all compared pairs between them, taken together, speak for it; beside a pair that
    speaks against it one link between two clusters of several records is not enough."""
    said = [max(-CLIP, min(CLIP, c.speaks)) for c in cross if c.speaks is not None]
    single = not alone and sum(c.linked for c in cross) == 1
    return not said or (sum(said) >= 0 and not (single and min(said) < 0))


def settle(pairs: Collection[ComparedPair], *, most: int) -> Settled:
    """Clusters of one component: what persons judged to be the same, then the links in the order given.

    A link that is refused is tried again after others have merged, until nothing changes; so the result depends on the
    pairs and on the order of strength alone.

    Args:
        pairs: All compared pairs of the component (smaller id first), the links among them the strongest first.
        most: Most records a cluster may have, unless persons judged them to be the same.

    Raises:
        LinkageError: Judgements contradict each other.
    """
    component = _Component(pairs, most)
    _merge_as_judged(component, pairs)
    links = [p.pair for p in pairs if p.linked and p.judged is None]
    held: dict[Pair, str] = {}
    while _merge_once(component, links, held):
        pass
    return Settled(component.cluster, {pair: why for pair, why in held.items() if not component.together(pair)})


def _merge_as_judged(component: _Component, pairs: Collection[ComparedPair]) -> None:
    for pair in (p.pair for p in pairs if p.judged):
        if not component.together(pair):
            component.merge(pair)
    if any(p.judged is False and component.together(p.pair) for p in pairs):
        raise LinkageError(
            "judgements contradict each other: two records are the same by some and different by another",
            mend="see them with: kith review list --judgements; take one back with: kith review undo",
        )


def _merge_once(component: _Component, links: list[Pair], held: dict[Pair, str]) -> bool:
    """Goes once through the links and says whether anything merged."""
    merged = False
    for pair in links:
        if component.together(pair):
            continue
        reason = component.refusal(pair)
        if reason is None:
            component.merge(pair)
            merged = True
        else:
            held[pair] = reason
    return merged


def component_table(con: duckdb.DuckDBPyConnection) -> None:
    """Makes the table `component` (id, component, size) over the linked pairs of the table `edge`."""
    ends = con.sql("SELECT id_l, id_r FROM edge WHERE decision = 'link'").fetchnumpy()
    nodes, labels = components(np.column_stack([ends["id_l"], ends["id_r"]]))
    _table(con, "component", {"id": nodes, "component": labels})
    con.execute(
        "CREATE OR REPLACE TEMP TABLE component AS "
        "SELECT id, component, count(*) OVER (PARTITION BY component) AS size FROM component"
    )


def cluster_table(con: duckdb.DuckDBPyConnection, *, most: int, prior: float) -> None:
    """Makes the table `cluster` (id, cluster) over all records; a link held back goes to review and `held` says why.

    Only components in which something speaks against a pair are settled link by link. In one with too many records
    only what persons judged and agencies state is merged, all else is left for review.

    Args:
        con: Holds `mention` and `edge` with all compared pairs, those within a component complete (up to `most`).
            The columns `judged` (BOOLEAN) and `held` (VARCHAR) of `edge` are made where they are not there.
        most: Most records a cluster may have.
        prior: Weight of a pair before anything is compared.
    """
    con.execute("ALTER TABLE edge ADD COLUMN IF NOT EXISTS judged BOOLEAN")
    con.execute("ALTER TABLE edge ADD COLUMN IF NOT EXISTS held VARCHAR")
    _hold_torn(con)
    component_table(con)
    _settle_contested(con, most=most, prior=prior)
    con.execute(
        """CREATE OR REPLACE TEMP TABLE cluster AS
        SELECT m.id, coalesce(s.cluster, c.component, m.id) AS cluster
        FROM mention m LEFT JOIN component c USING (id) LEFT JOIN settled s USING (id)"""
    )
    con.execute(
        """UPDATE edge SET decision = 'review', held = parted.held FROM parted
        WHERE edge.id_l = parted.id_l AND edge.id_r = parted.id_r"""
    )


def _hold_torn(con: duckdb.DuckDBPyConnection) -> None:
    """A record whose first name is not quite that of the other goes to review where it fits a second one about as well
    that must be kept apart from the first: a misspelt twin belongs to one of two, and nobody can tell to which."""
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE torn AS
        WITH side AS (SELECT id_l AS a, id_r AS b, * FROM edge UNION ALL SELECT id_r, id_l, * FROM edge)
        SELECT DISTINCT x.id_l, x.id_r
        FROM side x JOIN side y ON y.a = x.a AND y.b <> x.b AND y.veto IS NULL AND y.weight >= x.weight - {TORN_WITHIN}
        JOIN side z ON z.a = x.b AND z.b = y.b AND z.veto IS NOT NULL
        JOIN mention l ON l.id = x.id_l JOIN mention r ON r.id = x.id_r
        WHERE x.decision = 'link' AND NOT x.stated AND x.judged IS NULL AND l.given IS DISTINCT FROM r.given"""
    )
    con.execute(
        f"""UPDATE edge SET decision = 'review', held = '{TORN}'
        FROM torn WHERE torn.id_l = edge.id_l AND torn.id_r = edge.id_r"""
    )


def _settle_contested(con: duckdb.DuckDBPyConnection, *, most: int, prior: float) -> None:
    """Makes `settled` (id, cluster) and `parted` (id_l, id_r, held) of the components that are not plainly one."""
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE contested AS
        SELECT l.component, any_value(l.size) AS size
        FROM edge e JOIN component l ON l.id = e.id_l JOIN component r ON r.id = e.id_r AND r.component = l.component
        GROUP BY l.component
        HAVING bool_or(e.veto IS NOT NULL OR e.judged IS NOT NULL OR e.weight < {prior}) OR any_value(l.size) > {most}
            OR (any_value(l.size) > {FARTHEST + 1}
                AND count(*) FILTER (e.decision = 'link') < any_value(l.size * (l.size - 1) // 2))"""
    )
    pairs = con.sql(
        f"""SELECT c.component, e.id_l, e.id_r, e.weight - {prior} AS speaks, e.decision = 'link' AS linked,
            e.veto IS NOT NULL AS apart, e.stated, e.judged, c.size > {most} AS oversized
        FROM edge e JOIN component l ON l.id = e.id_l JOIN component r ON r.id = e.id_r AND r.component = l.component
        JOIN contested c ON c.component = l.component
        JOIN mention a ON a.id = e.id_l JOIN mention b ON b.id = e.id_r
        ORDER BY c.component, e.stated DESC, round(e.weight, 6) DESC NULLS LAST,
            least(a.record_id, b.record_id), greatest(a.record_id, b.record_id)"""
    )
    ids: list[int] = []
    clusters: list[int] = []
    parted: list[tuple[int, int, str]] = []
    for found in _settled(pairs, most):
        ids.extend(found.cluster)
        clusters.extend(found.cluster.values())
        parted.extend((*pair, why) for pair, why in found.held.items())
    _table(con, "settled", {"id": pa.array(ids, pa.int32()), "cluster": pa.array(clusters, pa.int32())})
    left, right, why = zip(*parted, strict=True) if parted else ((), (), ())
    _table(con, "parted", {"id_l": pa.array(left, pa.int32()), "id_r": pa.array(right, pa.int32()),
                           "held": pa.array(why, pa.string())})  # fmt: skip


def _settled(pairs: duckdb.DuckDBPyRelation, most: int) -> Iterator[Settled]:
    """Settles component by component, so that memory is bounded by the largest."""
    rows = (
        row for batch in pairs.to_arrow_reader() for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
    )
    for _, group in groupby(rows, key=itemgetter(0)):
        compared, too_large = [], {}
        for _, left, right, speaks, linked, apart, stated, judged, oversized in group:
            merges = linked and (stated or judged or not oversized)
            compared.append(ComparedPair((left, right), speaks, merges, apart, stated, judged))
            if linked and not merges:
                too_large[left, right] = OVERSIZED
        found = settle(compared, most=most)
        found.held.update((p, why) for p, why in too_large.items() if found.cluster[p[0]] != found.cluster[p[1]])
        yield found


def _table(con: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, pa.Array | np.ndarray]) -> None:
    con.register("rows_in", pa.table(dict(columns)))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM rows_in")
    con.unregister("rows_in")
