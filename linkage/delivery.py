"""What a delivery changes: its mentions are scored only against those they can match, and only the components it
touches are clustered and given ids anew. The first load is a delivery into an empty index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa

from linkage.blocking import BlockIndex, Keys, KeySegment, Pairs, Rules, Slots, key_segment, keys_of, packed, runs
from linkage.index import LinkIndex
from linkage.pairs import PairRules, score_pairs
from linkage.region import Past, Region, region_of
from linkage.standardise import standardise

MENTIONS_AT_ONCE = 200_000


@dataclass(frozen=True)
class Delivery:
    """What changed since the last one; the rows of new and changed mentions stand in the table `delivered`."""

    removed: Slots
    """Mentions that are gone, or stand in `delivered` in another form."""
    change: pa.Table
    """record_id, cause (linkage.identity.note_changes)."""
    judgements: pa.Table
    """All in force (linkage.judgements.SCHEMA)."""


@dataclass
class Clock:
    """Seconds by step."""

    laps: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, name: str) -> None:
        """Ends a step."""
        now = time.perf_counter()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 4)
        self._last = now


@dataclass
class Delivered:
    """What a delivery came to."""

    events: pa.Table
    compared: int = 0
    touched: int = 0
    """Mentions whose component was clustered anew."""


def deliver(
    index: LinkIndex,
    con: duckdb.DuckDBPyConnection,
    delivery: Delivery,
    *,
    how: PairRules,
    past: Past,
    clock: Clock | None = None,
) -> Delivered:
    """Takes a delivery into the index.

    Args:
        index: Is changed.
        con: Holds `delivered`: rows of the people table (linkage.people.read_people).
        delivery: What changed.
        how: Scores and decides.
        past: Of person ids.
        clock: Takes the seconds of each step.

    Raises:
        LinkageError: Judgements contradict each other.
    """
    clock, first = clock or Clock(), not index.people
    removed = np.sort(delivery.removed)
    touched = [index.edges.neighbours(removed, linked=False)]
    slots, keys = _add_mentions(index, con)
    touched += [slots, _judged_anew(index, con, delivery.judgements, slots)]
    clock.lap("standardise")
    crossed = _take_out(index, con, removed, keys)
    touched += [_let_go(index, con, crossed, keys)]
    clock.lap("block")
    compared = 0
    for pairs in _candidates(index, keys, crossed):
        compared += len(pairs)
        touched.append(_score(index, con, pairs, how))
    index.blocks.segments.append(keys)
    clock.lap("score")
    inside = index.slots() if first else region_of(index, np.unique(np.concatenate(touched)).astype(np.int32))
    with con.cursor() as local:
        region = Region(index, local, con, how)
        region.take(inside)
        region.cluster(delivery.judgements)
        region.give_back()
        clock.lap("cluster")
        events = region.give_ids(removed, delivery.change, past)
    index.judgements = delivery.judgements
    clock.lap("ids")
    return Delivered(events, compared, len(inside))


def _add_mentions(index: LinkIndex, con: duckdb.DuckDBPyConnection) -> tuple[Slots, KeySegment]:
    """Standardises what is delivered and adds it; returns the slots and their block keys."""
    rows = con.execute("SELECT count(*) FROM delivered").fetchall()[0][0]
    added, keys, owners = [np.zeros(0, np.int32)], [np.zeros(0, np.uint64)], [np.zeros(0, np.int32)]
    for begin in range(0, rows if index.mentions.segments else max(1, rows), MENTIONS_AT_ONCE):
        standardise(con, "delivered", begin=begin, end=begin + MENTIONS_AT_ONCE)
        mentions = con.sql("SELECT *, hash(record_id) AS _record FROM mention").to_arrow_table()
        hashes = (mentions[name].to_numpy() for name in ("_record", "_content"))
        slots = index.add(mentions.drop_columns(["id", "_record", "_content"]).combine_chunks(), *hashes)
        slot_of = np.empty(len(slots), np.int32)
        slot_of[mentions["id"].to_numpy() - 1] = slots
        found = keys_of(con, index.blocks.rules, slot_of)
        con.execute("DROP TABLE mention")
        added.append(slots)
        keys.append(found[0])
        owners.append(found[1])
    return np.concatenate(added), key_segment(np.concatenate(keys), np.concatenate(owners))


def _judged_anew(index: LinkIndex, con: duckdb.DuckDBPyConnection, judgements: pa.Table, new: Slots) -> Slots:
    """The mentions of judgements that are new or taken back, and of those about a new mention."""
    if not judgements.num_rows and not index.judgements.num_rows:
        return np.zeros(0, np.int32)
    con.register("judged_now", judgements)
    con.register("judged_then", index.judgements)
    now = con.sql("SELECT hash(record_l) AS l, hash(record_r) AS r FROM judged_now").fetchnumpy()
    other = con.sql(
        """SELECT hash(record_l) AS l, hash(record_r) AS r FROM
        ((FROM judged_now EXCEPT FROM judged_then) UNION ALL (FROM judged_then EXCEPT FROM judged_now))"""
    ).fetchnumpy()
    con.unregister("judged_now")
    con.unregister("judged_then")
    at_new = np.isin(now["l"], index.record[new]) | np.isin(now["r"], index.record[new])
    return index.slots_of(np.concatenate([now["l"][at_new], now["r"][at_new], other["l"], other["r"]]))


@dataclass(frozen=True)
class _Crossed:
    """Keys whose number of mentions passed their cap by this delivery, in one direction or the other."""

    now_over: Keys
    now_within: Keys


def _take_out(index: LinkIndex, con: duckdb.DuckDBPyConnection, removed: Slots, new: KeySegment) -> _Crossed:
    """Takes mentions out of the index; says which keys passed their cap thereby, or by the new ones."""
    blocks = index.blocks
    if not blocks.segments:
        return _Crossed(np.zeros(0, np.uint64), np.zeros(0, np.uint64))
    keys = np.union1d(runs(new.keys)[0], _keys_again(index, con, removed)[0])
    before = blocks.sizes(keys, index.alive)
    index.edges.take(removed, out=True)
    index.alive[removed] = False
    blocks.dead += len(removed)
    after = blocks.sizes(keys, index.alive) + new.ranges(keys)[1]
    cap = blocks.rules.cap_of(keys)
    return _Crossed(keys[(before <= cap) & (after > cap)], keys[(before > cap) & (after <= cap)])


def _keys_again(index: LinkIndex, con: duckdb.DuckDBPyConnection, slots: Slots) -> tuple[Keys, Slots]:
    """The block keys of mentions that are kept."""
    if not len(slots):
        return np.zeros(0, np.uint64), slots
    ids = pa.array(np.arange(1, len(slots) + 1, dtype=np.int32))
    con.register("kept_mention", index.mentions.take(slots).append_column("id", ids))
    con.execute("CREATE OR REPLACE TEMP VIEW mention AS FROM kept_mention")
    found = keys_of(con, index.blocks.rules, slots)
    con.execute("DROP VIEW mention")
    con.unregister("kept_mention")
    return found


def _let_go(index: LinkIndex, con: duckdb.DuckDBPyConnection, crossed: _Crossed, new: KeySegment) -> Slots:
    """Takes out the edges that only keys brought together which are now over their cap; returns their mentions."""
    if not len(crossed.now_over):
        return np.zeros(0, np.int32)
    members = np.unique(index.blocks.members(crossed.now_over, index.alive)[1])
    edges = index.edges.take(members, out=True)
    if edges is None or not edges.num_rows:
        return members[:0]
    keys, owners = _keys_again(index, con, members)
    sizes = index.blocks.sizes(keys, index.alive) + new.ranges(keys)[1]
    within = sizes <= index.blocks.rules.cap_of(keys)
    still = _all_pairs(index, keys[within], owners[within])
    ends = _ends(edges)
    gone = np.isin(ends, members).all(axis=1) & edges["blocked"].to_numpy() & ~np.isin(packed(ends), packed(still))
    index.edges.append(edges.filter(pa.array(~gone)))
    return np.unique(ends[gone])


def _candidates(index: LinkIndex, new: KeySegment, crossed: _Crossed) -> Iterator[Pairs]:
    """The pairs to score: of new mentions, and of keys that are now within their cap."""
    yield from index.blocks.pairs(new, index.alive)
    if not len(crossed.now_within):
        return
    place, members = index.blocks.members(crossed.now_within, index.alive)
    edges = index.edges.take(np.unique(members), out=True)
    pairs = _all_pairs(index, crossed.now_within[place], members)
    if edges is not None:
        again = np.isin(packed(_ends(edges)), packed(pairs))
        index.edges.append(edges.filter(pa.array(~again)))
    if len(pairs):
        yield pairs


def _all_pairs(index: LinkIndex, keys: Keys, owners: Slots) -> Pairs:
    """All pairs that share one of the keys."""
    names = index.blocks.rules.names
    uncapped = BlockIndex(Rules(names=names, caps=[len(owners) + 1] * len(names)))
    found = list(uncapped.pairs(key_segment(keys, owners), index.alive))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int32)


def _ends(edges: pa.Table) -> Pairs:
    return np.column_stack([edges["id_l"].to_numpy(), edges["id_r"].to_numpy()])


def _score(index: LinkIndex, con: duckdb.DuckDBPyConnection, pairs: Pairs, how: PairRules) -> Slots:
    """Keeps the edges of candidates; returns their mentions."""
    edges = score_pairs(con, index.mentions, pairs, how, least_weight=how.review_weight)
    index.edges.append(edges.append_column("blocked", pa.array(np.ones(edges.num_rows, bool))))
    return np.unique(_ends(edges))
