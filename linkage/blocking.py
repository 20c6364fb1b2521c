"""Which pairs of mentions are worth comparing: sorted block keys that are kept, and grow by what a delivery brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
from pydantic import Field

from standard.declarations import Declared, read_declaration

RULES = Path(__file__).parent / "blocking.yaml"
SMALL = 65_536  # people (linkage.model.population), above which the rules for few do not pay
PAIRS_AT_ONCE = 500_000
FEW = 5_000
_RULE_BITS = 6  # the rule stands in a key's first bits, what is left of the hash in the others
_SHIFT = np.uint64(64 - _RULE_BITS)

Slots = npt.NDArray[np.int32]
Keys = npt.NDArray[np.uint64]
Alive = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int32]
"""Shape (n, 2)."""


@dataclass(frozen=True)
class SkippedBlocks:
    """Keys of one rule that were left out because more records share them than the cap."""

    rule: str
    keys: int
    records: int


@dataclass(frozen=True)
class KeySegment:
    """Block keys in order, and the slot of the mention that bears each; equal keys in the order of slots."""

    keys: Keys
    slots: Slots

    def __len__(self) -> int:
        return len(self.keys)

    def ranges(self, keys: Keys) -> tuple[Places, Places]:
        """Where each of the keys begins and how often it stands here."""
        begin = np.searchsorted(self.keys, keys, "left")
        return begin, np.searchsorted(self.keys, keys, "right") - begin


def key_segment(keys: Keys, slots: Slots) -> KeySegment:
    """Sorts keys and slots into a segment; a mention bears a key once."""
    order = np.lexsort((slots, keys)) if len(slots) and np.any(np.diff(slots) < 0) else np.argsort(keys, kind="stable")
    keys, slots = keys[order], slots[order]
    first = np.ones(len(keys), bool)
    first[1:] = (keys[1:] != keys[:-1]) | (slots[1:] != slots[:-1])
    return KeySegment(keys[first], slots[first])


def merged(segments: list[KeySegment], alive: Alive) -> KeySegment:
    """One segment of several, without the keys of mentions that are gone."""
    keys = np.concatenate([segment.keys for segment in segments])
    slots = np.concatenate([segment.slots for segment in segments])
    there = alive[slots]
    return key_segment(keys[there], slots[there])


class BlockingRule(Declared):
    """One entry of blocking.yaml; several may bear one name and then share its keys."""

    rule: str
    cap: int
    key: str
    each: dict[str, str] = Field(default_factory=dict)
    where: str = "true"
    anybody: bool = False
    few: bool = False

    def sql(self, number: int) -> str:
        """The packed keys of the table `mention` and the id of the mention that bears each."""
        rows = "mention" if self.anybody else "(FROM mention WHERE NOT placeholder)"
        for name, values in self.each.items():
            rows = f"(SELECT *, unnest({values}) AS {name} FROM {rows})"
        return f"SELECT {self._packed(number)} AS key, id FROM {rows} WHERE {self.where}"

    def list_sql(self, number: int) -> str:
        """The same of one mention as a list, in which NULL is no key."""
        who = self.where if self.anybody else f"({self.where}) AND NOT placeholder"
        keys = f"[CASE WHEN {who} THEN {self._packed(number)} END]"
        for name, values in reversed(self.each.items()):
            keys = f"flatten(list_transform({values}, lambda {name}: {keys}))"
        return keys

    def _packed(self, number: int) -> str:
        return f"(hash({self.key}) >> {_RULE_BITS}) | {number << 64 - _RULE_BITS}::UBIGINT"


class _Declared(Declared):
    rules: tuple[BlockingRule, ...]


@dataclass(frozen=True)
class Rules:
    """Rules of blocking by number, and the most mentions that may share one of their keys."""

    names: Sequence[str]
    caps: Sequence[int]
    declared: Sequence[BlockingRule] = ()

    def of(self, keys: Keys) -> Places:
        """The number of each key's rule."""
        return (keys >> _SHIFT).astype(np.int64)

    def cap_of(self, keys: Keys) -> Places:
        """The cap of each key."""
        return np.array(self.caps)[self.of(keys)]


def blocking_rules(*, cap: int = 200, small: bool = False) -> Rules:
    """The rules of blocking.yaml, none with a cap above that one; those for few people only where `small`."""
    declared = [rule for rule in read_declaration(RULES, _Declared).rules if small or not rule.few]
    caps = {rule.rule: min(cap, rule.cap) for rule in declared}
    return Rules(tuple(caps), tuple(caps.values()), declared)


def keys_of(con: duckdb.DuckDBPyConnection, rules: Rules, slots: Slots) -> tuple[Keys, Slots]:
    """The keys of the mentions in the table `mention`, in no order; a mention may bear one twice.

    Args:
        con: Holds `mention`, whose ids count from 1.
        rules: Those of blocking.yaml.
        slots: The slot of each mention, by id.
    """
    numbered = [(rule, rules.names.index(rule.rule)) for rule in rules.declared]
    if len(slots) < FEW:  # many are read through more quickly rule by rule, but that takes longer to plan
        lists = ", ".join(rule.list_sql(number) for rule, number in numbered)
        query = f"FROM (SELECT unnest(list_concat({lists})) AS key, id FROM mention) WHERE key IS NOT NULL"
    else:
        query = " UNION ALL ".join(rule.sql(number) for rule, number in numbered)
    found = con.execute(query).fetchnumpy()
    return found["key"], slots[found["id"] - 1]


@dataclass
class BlockIndex:
    """All block keys of the mentions in force."""

    rules: Rules
    segments: list[KeySegment] = field(default_factory=list)
    dead: int = 0
    """How many mentions have keys in the segments and are gone."""

    def sizes(self, keys: Keys, alive: Alive, *, exact: bool = False) -> Places:
        """How many mentions in force bear each key; unless `exact`, a number far above its cap may count some that are
        gone."""
        total = np.zeros(len(keys), np.int64)
        for segment in self.segments:
            total += segment.ranges(keys)[1]
        if self.dead:
            unsure = np.flatnonzero(exact | (total <= self.rules.cap_of(keys) + self.dead))
            total[unsure] = np.bincount(self.members(keys[unsure], alive)[0], minlength=len(unsure))
        return total

    def members(self, keys: Keys, alive: Alive) -> tuple[Places, Slots]:
        """The mentions in force that bear the keys: the place of the key in `keys`, and the slot."""
        found = [self._members(segment, keys, alive) for segment in self.segments]
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        return np.concatenate([place for place, _ in found]), np.concatenate([slots for _, slots in found])

    def _members(self, segment: KeySegment, keys: Keys, alive: Alive) -> tuple[Places, Slots]:
        place, at = expanded(*segment.ranges(keys))
        slots = segment.slots[at]
        there = alive[slots]
        return place[there], slots[there]

    def pairs(self, new: KeySegment, alive: Alive, *, at_once: int = PAIRS_AT_ONCE) -> Iterator[Pairs]:
        """Pairs of a new mention with any other that shares a key within its cap, each once, in parts.

        Args:
            new: The keys of the new mentions; not yet among the segments.
            alive: Which slots are in force, the new ones among them.
            at_once: About how many pairs a part may have before doubles are taken out.
        """
        places, ends = self._shared(new, alive)
        partners = [(new, places + 1, ends - places - 1)]
        for segment in self.segments:
            partners.append((segment, *segment.ranges(new.keys[places])))
        counts = np.sum([count for _, _, count in partners], axis=0)
        for part in _parts(new.slots[places], counts, at_once):
            found = []
            for segment, begin, count in partners:
                owner, at = expanded(begin[part], count[part])
                other = segment.slots[at]
                there = alive[other]
                found.append(packed_ends(new.slots[places[part]][owner[there]], other[there]))
            yield unpacked(np.unique(np.concatenate(found)))

    def _shared(self, new: KeySegment, alive: Alive) -> tuple[Places, Places]:
        """The places of those new keys that others share, within the cap, and for each where the key ends."""
        distinct, begin, count = runs(new.keys)
        total = count + self.sizes(distinct, alive)
        within = (total > 1) & (total <= self.rules.cap_of(distinct))
        places = np.flatnonzero(np.repeat(within, count))
        return places, np.repeat((begin + count)[within], count[within])

    def skipped(self, alive: Alive) -> list[SkippedBlocks]:
        """The keys that more mentions share than the cap, by rule."""
        large = np.unique(np.concatenate([np.zeros(0, np.uint64), *map(self._large, self.segments)]))
        sizes = self.sizes(large, alive, exact=True)
        over = sizes > self.rules.cap_of(large)
        numbers = self.rules.of(large)[over]
        keys = np.bincount(numbers, minlength=len(self.rules.names))
        records = np.bincount(numbers, weights=sizes[over], minlength=len(self.rules.names))
        found = zip(self.rules.names, keys, records, strict=True)
        return sorted((SkippedBlocks(n, int(k), int(r)) for n, k, r in found if k), key=lambda block: block.rule)

    def _large(self, segment: KeySegment) -> Keys:
        """Keys that may pass the cap: over all segments one must bear its share of it."""
        if not len(segment):
            return segment.keys
        least = min(self.rules.caps) // max(1, len(self.segments))
        return np.unique(segment.keys[least:][segment.keys[least:] == segment.keys[: len(segment) - least]])


def runs(keys: Keys) -> tuple[Keys, Places, Places]:
    """The different ones of sorted keys, where each begins, and how often it stands there."""
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    begin = np.flatnonzero(first)
    return keys[begin], begin, np.diff(begin, append=len(keys))


def expanded(begin: Places, count: Places) -> tuple[Places, Places]:
    """Ranges written out: the number of the range, and the place."""
    owner = np.repeat(np.arange(len(count)), count)
    before = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - before[owner] + begin[owner]


def _parts(slots: Slots, counts: Places, at_once: int) -> Iterator[Places]:
    """The entries in parts with about so many pairs each; all of one mention in one part, or its pairs came twice."""
    order = np.argsort(slots, kind="stable")
    upto = np.cumsum(counts[order])
    if not len(upto) or not upto[-1]:
        return
    cuts = np.searchsorted(upto, np.arange(at_once, upto[-1], at_once))
    cuts = np.unique(np.searchsorted(slots[order], slots[order][cuts]))
    yield from (part for part in np.split(order, cuts) if len(part))


def packed_ends(one: Slots, other: Slots) -> Keys:
    low, high = np.minimum(one, other).astype(np.uint64), np.maximum(one, other).astype(np.uint64)
    return low << np.uint64(32) | high


def packed(pairs: Pairs) -> Keys:
    """Pairs of slots as one number each, the smaller slot first; in their order pairs are sorted."""
    return packed_ends(pairs[:, 0], pairs[:, 1])


def unpacked(numbers: Keys) -> Pairs:
    """The pairs of `packed`."""
    return np.column_stack([numbers >> np.uint64(32), numbers & np.uint64(0xFFFFFFFF)]).astype(np.int32)
