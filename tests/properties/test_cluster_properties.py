"""What always holds of clusters, whatever the pairs: order, numbering, company do not matter, and judgements hold."""

from __future__ import annotations

import random
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.clusters import cluster_table

PRIOR = -14.0
MANY = settings(max_examples=15, deadline=None)


@dataclass(frozen=True)
class Pair:
    """A compared pair of two records, by their names."""

    left: str
    right: str
    weight: float
    apart: bool
    stated: bool
    judged: bool | None


@st.composite
def pairs(draw: st.DrawFn) -> list[Pair]:
    """Pairs among a dozen records: strong and weak, some vetoed, stated or judged (never against each other)."""
    names = [f"r{n:02}" for n in range(draw(st.integers(2, 12)))]
    person = {
        name: draw(st.integers(0, 3)) for name in names
    }  # whom judgements hold for whom; they agree among themselves
    found = []
    for n, left in enumerate(names):
        for right in names[n + 1 :]:
            if not draw(st.booleans()):
                continue
            said = draw(st.sampled_from([False] * 9 + [True]))
            judged = person[left] == person[right] if said else None
            weight = draw(st.sampled_from([-25.0, -15.0, -9.0, 1.0, 4.0, 9.5, 9.5, 20.0]))
            found.append(Pair(left, right, weight, draw(st.sampled_from([False] * 5 + [True])),
                              draw(st.sampled_from([False] * 7 + [True])), judged))  # fmt: skip
    return found


def clustered(found: list[Pair], names: list[str], numbers: dict[str, int]) -> set[frozenset[str]]:
    """The clusters by record, where records bear these numbers."""
    rows = [_edge(pair, numbers) for pair in found]
    with duckdb.connect() as con:
        mention = {"id": [numbers[n] for n in names], "record_id": names, "given": ["A"] * len(names)}
        con.register("mentions", pa.table(mention, schema=_MENTION))
        con.register("edges", pa.Table.from_pylist(rows, schema=_EDGE))
        con.execute("CREATE TEMP TABLE mention AS FROM mentions; CREATE TEMP TABLE edge AS FROM edges")
        cluster_table(con, most=8, prior=PRIOR)
        grouped = con.sql("SELECT list(record_id) FROM cluster JOIN mention USING (id) GROUP BY cluster").fetchall()
    return {frozenset(members) for (members,) in grouped}


_MENTION = pa.schema([("id", pa.int32()), ("record_id", pa.string()), ("given", pa.string())])
_EDGE = pa.schema([
    ("id_l", pa.int32()), ("id_r", pa.int32()), ("weight", pa.float64()), ("stated", pa.bool_()), ("veto", pa.string()),
    ("doubt", pa.string()), ("judged", pa.bool_()), ("decision", pa.string()),
])  # fmt: skip


def _edge(pair: Pair, numbers: dict[str, int]) -> dict[str, object]:
    apart = pair.judged is False or (pair.apart and pair.judged is None)
    link = pair.judged or (not apart and (pair.stated or pair.weight >= 3) and pair.judged is None)
    one, other = sorted((numbers[pair.left], numbers[pair.right]))
    return {
        "id_l": one, "id_r": other, "weight": pair.weight, "stated": pair.stated, "judged": pair.judged, "doubt": None,
        "veto": "a rule" if apart else None, "decision": "link" if link else "review",
    }  # fmt: skip


def names_of(found: list[Pair]) -> list[str]:
    return sorted({name for pair in found for name in (pair.left, pair.right)} | {"alone"})


@given(found=pairs(), seed=st.integers(0, 99))
@MANY
def test_order_and_numbering_do_not_matter(found: list[Pair], seed: int) -> None:
    names, rng = names_of(found), random.Random(seed)
    in_order = {name: number for number, name in enumerate(names)}
    mixed = dict(zip(names, rng.sample(range(100), len(names)), strict=True))
    shuffled = rng.sample(found, len(found))
    assert clustered(found, names, in_order) == clustered(shuffled, rng.sample(names, len(names)), mixed)


@given(one=pairs(), other=pairs())
@MANY
def test_components_settled_apart_come_out_as_together(one: list[Pair], other: list[Pair]) -> None:
    renamed = [Pair(f"z{p.left}", f"z{p.right}", p.weight, p.apart, p.stated, p.judged) for p in other]
    names, more = names_of(one), [f"z{name}" for name in names_of(other)]
    numbers = {name: number for number, name in enumerate([*names, *more])}
    together = clustered([*one, *renamed], [*names, *more], numbers)
    assert together == clustered(one, names, numbers) | clustered(renamed, more, numbers)


@given(found=pairs())
@MANY
def test_judgements_hold_and_no_cluster_is_joined_over_a_veto(found: list[Pair]) -> None:
    names = names_of(found)
    groups = clustered(found, names, {name: number for number, name in enumerate(names)})
    of = {name: group for group in groups for name in group}
    assert sorted(name for group in groups for name in group) == names
    for pair in found:
        if pair.judged is not None:
            assert (of[pair.left] == of[pair.right]) == pair.judged
        elif pair.apart and of[pair.left] == of[pair.right]:
            # only judgements bring together what a rule keeps apart
            assert any(p.judged and {p.left, p.right} <= of[pair.left] for p in found)
