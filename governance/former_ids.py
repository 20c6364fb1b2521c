"""Under which ids a person of today was known before: merges, splits and moves of the id register, followed back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import sqlalchemy as sa

from linkage.identity import EventKind
from store.ledger import Ledger, person_event

SCHEMA = pa.schema([("asked", pa.string()), ("person_id", pa.string()), ("until", pa.string())])
_ALWAYS = "9999-12-31"
_AT_ONCE = 500
_PAIRED = (EventKind.MERGED_INTO, EventKind.RESTORED, EventKind.SPLIT_FROM, EventKind.MOVED_TO)

Event = tuple[str, str, str, str]
"""person_id, kind, other_id, day."""


def ids_of(ledger: Ledger, person_ids: Sequence[str]) -> pa.Table:
    """The ids under which persons were or are known: asked, person_id, until (the last day it was theirs, inclusive).

    Two ids that were merged are one person, whichever is asked for. An id that was split off, or came back from a
    merge, was until that day a part of the other, whose earlier disclosures may be about it; not the other way round.
    """
    known = _events_around(ledger, person_ids)
    rows = [(asked, found, until) for asked in dict.fromkeys(person_ids) for found, until in _reached(asked, known)]
    return pa.table([pa.array(list(column), pa.string()) for column in zip(*rows, strict=True)] or [[], [], []],
                    schema=SCHEMA)  # fmt: skip


def _events_around(ledger: Ledger, person_ids: Iterable[str]) -> Mapping[str, dict[str, str]]:
    """Id -> id that was the same person -> until when; as far as the register leads from some persons."""
    e, seen, fresh = person_event, set[str](), set(person_ids)
    last: dict[frozenset[str], Event] = {}
    while fresh:
        seen |= fresh
        met: set[str] = set()
        ordered = sorted(fresh)
        for start in range(0, len(ordered), _AT_ONCE):
            some = ordered[start : start + _AT_ONCE]
            named = sa.or_(e.c.person_id.in_(some), e.c.other_id.in_(some))
            query = sa.select(e.c.person_id, e.c.kind, e.c.other_id, sa.func.substr(e.c.at, 1, 10))
            with ledger.reading() as connection:
                rows = connection.execute(
                    query.where(named, e.c.other_id.is_not(None), e.c.kind.in_(_PAIRED)).order_by(e.c.event_id)
                ).all()
            for row in rows:
                last[frozenset((row[0], row[2]))] = (row[0], row[1], row[2], row[3])
                met |= {row[0], row[2]}
        fresh = met - seen
    edges: dict[str, dict[str, str]] = {}
    for event in last.values():
        for here, there, until in _same_person(*event):
            edges.setdefault(here, {})[there] = until
    return edges


def _same_person(person_id: str, kind: str, other_id: str, day: str) -> Iterator[tuple[str, str, str]]:
    """What the last that happened to two ids means: (asked, known as, until)."""
    if kind == EventKind.MERGED_INTO:
        yield person_id, other_id, _ALWAYS
        yield other_id, person_id, _ALWAYS
    elif kind == EventKind.MOVED_TO:
        yield other_id, person_id, day
    else:
        yield person_id, other_id, day


def _reached(asked: str, edges: Mapping[str, dict[str, str]]) -> Iterator[tuple[str, str]]:
    """Every id that leads from one, with the latest day to which a way leads."""
    best, waiting = {asked: _ALWAYS}, [asked]
    while waiting:
        here = waiting.pop()
        for there, until in edges.get(here, {}).items():
            reach = min(best[here], until)
            if reach > best.get(there, ""):
                best[there] = reach
                waiting.append(there)
    yield from sorted(best.items())
