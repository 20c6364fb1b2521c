"""What linkage keeps between runs: standardised mentions, their block keys, scored edges, and everybody's person id.

Each mention has a *slot*, a number that is never given again. Tables only grow, by segments that are never changed;
what is gone is marked. linkage.kept writes it to files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage.blocking import Alive, BlockIndex, Keys, KeySegment, Slots, blocking_rules, expanded, key_segment, merged
from linkage.identity import LENGTH
from linkage.judgements import SCHEMA
from standard.errors import LinkageError

MOST_SEGMENTS = 8
FORMER = pa.schema(
    [("record_id", pa.string()), ("person_id", pa.string()), ("times", pa.int32()), ("_record", pa.uint64())]
)
"""Ids that records bore when persons merged or ended (linkage.identity); `_record` is the record_id's hash."""


@dataclass
class Mentions:
    """Standardised mentions by slot."""

    segments: list[pa.Table] = field(default_factory=list)
    begins: list[int] = field(default_factory=lambda: [0])

    def __len__(self) -> int:
        return self.begins[-1]

    @classmethod
    def of(cls, segments: list[pa.Table]) -> Mentions:
        """Mentions in segments, the first slot first."""
        return cls(segments, [0, *np.cumsum([table.num_rows for table in segments]).tolist()])

    def merge(self, first: int) -> None:
        """One segment of that one and all after it."""
        self.segments[first:] = [pa.concat_tables(self.segments[first:]).combine_chunks()]
        del self.begins[first + 1 : -1]

    def append(self, rows: pa.Table) -> Slots:
        """Adds mentions; returns their slots."""
        self.segments.append(rows)
        self.begins.append(len(self) + rows.num_rows)
        return np.arange(self.begins[-2], self.begins[-1], dtype=np.int32)

    def take(self, slots: Slots, columns: Sequence[str] | None = None) -> pa.Table:
        """The mentions in the order asked for."""
        of = np.searchsorted(self.begins, slots, "right") - 1
        used = np.unique(of)
        if len(used) == 1:
            return self._part(int(used[0]), columns).take(pa.array(slots - self.begins[int(used[0])]))
        order = np.argsort(of, kind="stable")
        parts = [self._part(int(n), columns).take(pa.array(slots[of == n] - self.begins[int(n)])) for n in used]
        if not parts:
            return self._part(0, columns).slice(0, 0)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_tables(parts).combine_chunks().take(pa.array(back))

    def _part(self, number: int, columns: Sequence[str] | None) -> pa.Table:
        segment = self.segments[number]
        return segment if columns is None else segment.select([c for c in columns if c in segment.schema.names])


@dataclass
class EdgeSegment:
    """Scored pairs with the columns of edges.parquet, but `id_l`, `id_r` are slots; `blocked` says that a key brings
    the pair together, not only a component."""

    rows: pa.Table
    ends: Slots
    """Both slots of every row, in order."""
    places: npt.NDArray[np.int32]
    """The row of each of `ends`."""
    alive: Alive

    @classmethod
    def of(cls, rows: pa.Table) -> EdgeSegment:
        both = np.concatenate([rows["id_l"].to_numpy(), rows["id_r"].to_numpy()]).astype(np.int32)
        order = np.argsort(both, kind="stable")
        places = (order % max(1, rows.num_rows)).astype(np.int32)
        return cls(rows, both[order], places, np.ones(rows.num_rows, bool))

    def incident(self, slots: Slots) -> npt.NDArray[np.int64]:
        """The rows in force at any of the slots."""
        begin = np.searchsorted(self.ends, slots, "left")
        _, at = expanded(begin, np.searchsorted(self.ends, slots, "right") - begin)
        rows = np.unique(self.places[at]).astype(np.int64)
        return rows[self.alive[rows]]


@dataclass
class Edges:
    """All scored pairs that are kept."""

    segments: list[EdgeSegment] = field(default_factory=list)

    def append(self, rows: pa.Table) -> None:
        """Adds edges."""
        for name, kind in (("judged", pa.bool_()), ("held", pa.string())):
            if name not in rows.schema.names:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
        if rows.num_rows or not self.segments:
            self.segments.append(EdgeSegment.of(rows.combine_chunks()))

    def take(self, slots: Slots, *, out: bool) -> pa.Table | None:
        """The edges at any of the slots, which are taken out if `out`; None where none were ever kept."""
        if not self.segments:
            return None
        found = [self.segments[0].rows.slice(0, 0)]
        for segment in self.segments:
            rows = segment.incident(slots)
            if len(rows):
                found.append(segment.rows.take(pa.array(rows)))
                if out:
                    segment.alive[rows] = False
        self.segments = [segment for segment in self.segments if segment.alive.any()] or self.segments[:1]
        return pa.concat_tables(found, promote_options="default")

    def neighbours(self, slots: Slots, *, linked: bool) -> Slots:
        """The slots at the other ends of the edges at these; only of links (also such as are held back) if `linked`."""
        found = [np.zeros(0, np.int32)]
        for segment in self.segments:
            rows = segment.incident(slots)
            if linked and len(rows):
                part = segment.rows.select(["decision", "held"]).take(pa.array(rows))
                is_link = pc.or_(pc.equal(part["decision"], "link"), pc.is_valid(part["held"]))
                rows = rows[is_link.to_numpy()]
            for side in ("id_l", "id_r"):
                found.append(segment.rows[side].take(pa.array(rows)).to_numpy().astype(np.int32))
        return np.unique(np.concatenate(found))

    def in_force(self) -> Iterable[pa.Table]:
        """All edges that are kept, by segment."""
        for segment in self.segments:
            yield segment.rows if segment.alive.all() else segment.rows.filter(pa.array(segment.alive))

    def merge(self, first: int) -> None:
        """One segment of that one and all after it, without what is taken out."""
        parts = list(Edges(self.segments[first:]).in_force())
        self.segments[first:] = [EdgeSegment.of(pa.concat_tables(parts, promote_options="default").combine_chunks())]


@dataclass
class LinkIndex:
    """All that is kept, in memory or mapped from files; arrays by slot have room for more slots than there are."""

    blocks: BlockIndex = field(default_factory=lambda: BlockIndex(blocking_rules()))
    mentions: Mentions = field(default_factory=Mentions)
    edges: Edges = field(default_factory=Edges)
    record: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Hash of the record_id."""
    content: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Hash of the row of the people table."""
    alive: Alive = field(default_factory=lambda: np.zeros(0, bool))
    person: npt.NDArray[np.bytes_] = field(default_factory=lambda: np.zeros(0, f"S{LENGTH}"))
    """The mention's person id."""
    former: pa.Table = field(default_factory=FORMER.empty_table)
    judgements: pa.Table = field(default_factory=SCHEMA.empty_table)
    stamp: dict[str, Any] = field(default_factory=dict)
    files: dict[int, tuple[Any, str]] = field(default_factory=dict)
    """The files of segments (linkage.kept) by the number of the object, which is held so that it keeps the number."""
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of these files by their names."""
    _by_id: KeySegment = field(default_factory=lambda: key_segment(np.zeros(0, np.uint64), np.zeros(0, np.int32)))
    _ids_since: set[str] = field(default_factory=set)
    _sorted: KeySegment = field(default_factory=lambda: key_segment(np.zeros(0, np.uint64), np.zeros(0, np.int32)))

    def add(self, rows: pa.Table, record: Keys, content: Keys) -> Slots:
        """Adds mentions with the hashes of their record_id and of their row of the people table."""
        slots = self.mentions.append(rows)
        self._make_room(len(self.mentions))
        self.record[slots], self.content[slots], self.alive[slots] = record, content, True
        return slots

    def _make_room(self, slots: int) -> None:
        if slots <= len(self.alive):
            return
        more = slots - len(self.alive) + slots // 8 + 1024
        for name in BY_SLOT:
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros(more, array.dtype)]))

    @property
    def people(self) -> int:
        """How many mentions are in force."""
        return int(np.count_nonzero(self.alive))

    def slots(self) -> Slots:
        """All slots in force."""
        return np.flatnonzero(self.alive).astype(np.int32)

    def slots_of(self, records: Keys) -> Slots:
        """The slots in force of records by the hashes of their record_id; of a record that is not there, none."""
        found = self._sorted.slots[expanded(*self._sorted.ranges(records))[1]]
        tail = np.arange(self._indexed, len(self.mentions), dtype=np.int32)
        found = np.concatenate([found, tail[np.isin(self.record[tail], records)]])
        return found[self.alive[found]]

    @property
    def _indexed(self) -> int:
        return len(self._sorted)

    def sort(self) -> None:
        """Makes `slots_of` and `bear` quick for all mentions that there are."""
        slots = np.arange(len(self.mentions), dtype=np.int32)
        self._sorted = key_segment(self.record[slots], slots)
        self._by_id = key_segment(_start(self.person[slots]), slots)
        self._ids_since = set()

    def once_together(self, slots: Slots) -> Slots:
        """The mentions in force that once bore an id which any of these bore."""
        if not self.former.num_rows:
            return np.zeros(0, np.int32)
        return self.slots_of(self.former_of(self.record[slots])["_record"].to_numpy())

    def former_of(self, records: Keys) -> pa.Table:
        """The rows of `former` about the ids that any of the records (hashes) once bore."""
        about = self.former.filter(pa.array(np.isin(self.former["_record"].to_numpy(), records)))
        return self.former.filter(pc.is_in(self.former["person_id"], pc.unique(about["person_id"])))

    def bear(self, person_ids: Sequence[str]) -> list[bool]:
        """Whether a mention in force bears each of the ids."""
        wanted = np.array(person_ids, self.person.dtype)
        owner, at = expanded(*self._by_id.ranges(_start(wanted)))
        slots = self._by_id.slots[at]
        there = np.zeros(len(wanted), bool)
        there[owner[self.alive[slots] & (self.person[slots] == wanted[owner])]] = True
        return [bool(known) or name in self._ids_since for known, name in zip(there, person_ids, strict=True)]

    def person_ids(self, slots: Slots) -> pa.Array:
        """The person ids of mentions."""
        return pa.array(self.person[slots].astype("U").tolist(), pa.string())

    def name(self, slots: Slots, person_ids: Sequence[str]) -> None:
        """Notes the person ids of mentions."""
        self.person[slots] = np.array(person_ids, self.person.dtype)
        self._ids_since.update(person_ids)

    def difference(self, record: Keys, content: Keys) -> tuple[Alive, Slots]:
        """What a whole people table brings, by the hashes of its rows: which of them are new or other, and the slots
        of mentions that are gone or other.

        Raises:
            LinkageError: Two record ids have the same hash.
        """
        if len(np.unique(record)) < len(record):
            raise LinkageError(
                "two record ids have the same hash", where="the people table", mend="give one of them another record_id"
            )
        slots = self.slots()
        order = np.argsort(self.record[slots])
        known, slots = self.record[slots][order], slots[order]
        same = np.zeros(len(record), bool)
        at = np.minimum(np.searchsorted(known, record), max(0, len(known) - 1))
        if len(known):
            same = (known[at] == record) & (self.content[slots[at]] == content)
        kept = np.zeros(len(slots), bool)
        kept[at[same]] = True
        return ~same, np.sort(slots[~kept])

    def settle(self) -> None:
        """Merges segments where there are many, so that looking up stays quick."""
        blocks = self.blocks
        if len(blocks.segments) > MOST_SEGMENTS or blocks.dead > self.people // 4:
            first = _from([len(segment) for segment in blocks.segments], whole=blocks.dead > self.people // 4)
            blocks.segments[first:] = [merged(blocks.segments[first:], self.alive)]
            blocks.dead = blocks.dead if first else 0
        if len(self.edges.segments) > MOST_SEGMENTS:
            self.edges.merge(_from([segment.rows.num_rows for segment in self.edges.segments]))
        if len(self.mentions.segments) > MOST_SEGMENTS:
            self.mentions.merge(_from([table.num_rows for table in self.mentions.segments]))
        if self._indexed < len(self.mentions):
            self.sort()


def _start(person_ids: npt.NDArray[np.bytes_]) -> Keys:
    """The first letters of ids as numbers."""
    letters = np.ascontiguousarray(person_ids).view(np.uint8).reshape(len(person_ids), LENGTH)[:, :8]
    return np.ascontiguousarray(letters).view(np.uint64)[:, 0]


def _from(sizes: list[int], *, whole: bool = False) -> int:
    """The first segment to merge with those after it: the large ones at the front stay while they are most of all."""
    total, upto = sum(sizes), 0
    for number, size in enumerate(sizes):
        upto += size
        if not whole and upto >= 0.75 * total and number + 1 < len(sizes):
            return number + 1
    return 0


BY_SLOT = ("record", "content", "alive", "person")
