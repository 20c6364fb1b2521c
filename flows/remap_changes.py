"""What mapping an agency's extracts again changes: rows by element, where rows go, files, codes and orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from expectations.retry import open_extract, rows_now
from flows.replay import Replay
from mappings.declarations import Feed
from store.accounts import REMAPPED
from store.extracts import Disposition
from store.home import Home, connect, literal, quoted, written_whole
from store.ledger import Ledger, code_pending, order_
from store.ledger import extract as extracts
from store.state import current_state, rows_sql
from store.take_over import COMPARED

_ACCEPTED = str(Disposition.ACCEPTED)
Row = dict[str, Any]


@dataclass(frozen=True)
class FeedChanges:
    """What changes of the rows of a feed that are in force."""

    feed: str
    extracts: int
    in_force: int
    """Before."""
    changed: int
    came: int
    gone: int
    elements: dict[str, int]
    """Element -> rows in which it changes; those that do not change are left out."""


@dataclass(frozen=True)
class Changes:
    """What a remap changes; counts, names of files, and codes as `kith codes pending` shows them."""

    agency: str
    feeds: list[FeedChanges]
    moved: list[Row]
    """feed, was, was_reason, to, reason, rows."""
    files: list[Row]
    """Extracts that stand otherwise: name, feed, was, becomes, and whether their records are those of then."""
    codes: list[Row]
    """feed, element, scope, value, rows, becomes: `mapped` or `unmapped`."""
    orders_found: int
    """Orders that the extracts bring by the declarations of now and did not bring before."""
    orders_kept: int
    """Orders that they bring no longer: they stay."""
    releases_lost: int
    counted_anew: frozenset[str] = field(default=frozenset())
    """Extracts of which single rows cannot be told to be the same as before, or which are held or no longer held."""


def compare(home: Home, ledger: Ledger, replay: Replay) -> Changes:
    """Holds a replay against what is in force, and writes `COMPARED` into each of its batches."""
    files = _files(ledger, replay)
    moves: Counter[tuple[str, ...]] = Counter()
    anew = {row["extract_id"] for row in files}
    for extract_id in replay.extracts:
        feed, same, moved = _compare_rows(home, ledger, replay, extract_id)
        moves.update({(feed, *way): rows for way, rows in moved.items()})
        if not same:
            anew.add(extract_id)
    names = ("feed", "was", "was_reason", "to", "reason")
    found, kept = _orders(ledger, replay)
    return Changes(
        replay.agency.agency,
        [_feed_changes(home, ledger, replay, feed) for feed in replay.agency.feeds.values()],
        [dict(zip(names, way, strict=True)) | {"rows": rows} for way, rows in sorted(moves.items())],
        files, _codes(ledger, replay), found, kept, replay.releases_lost, frozenset(anew),
    )  # fmt: skip


def _compare_rows(
    home: Home, ledger: Ledger, replay: Replay, extract_id: str
) -> tuple[str, bool, dict[tuple[str, ...], int]]:
    """Feed, whether the records are those of then, and how many rows went which way."""
    before, after = open_extract(home, ledger, extract_id), open_extract(replay.place, replay.ledger, extract_id)
    into = after.folder / COMPARED
    with connect(temp=after.folder / ".spill") as con:
        old, new = rows_now(con, ledger, before, moves="before"), rows_now(con, replay.ledger, after, moves="after")
        con.execute(f"CREATE TEMP TABLE old AS SELECT _record, _line, disposition, reason FROM {old}")
        con.execute(f"CREATE TEMP TABLE new AS SELECT _record, _line, _key, disposition, reason FROM {new}")
        same = not con.execute(
            "SELECT 1 FROM old FULL JOIN new USING (_record)"
            " WHERE old.disposition IS NULL OR new.disposition IS NULL OR old._line IS DISTINCT FROM new._line LIMIT 1"
        ).fetchall()
        was = ("old.disposition", "old.reason") if same else ("NULL::VARCHAR", "NULL::VARCHAR")
        con.execute(
            f"CREATE TEMP VIEW both_ AS SELECT new.*, {was[0]} AS was, {was[1]} AS was_reason"
            " FROM new LEFT JOIN old USING (_record)"
        )
        reason = (
            f"CASE WHEN disposition <> '{_ACCEPTED}' OR was IS NULL THEN reason"
            f" WHEN was = '{_ACCEPTED}' THEN was_reason ELSE '{REMAPPED}' END"
        )
        with written_whole(into) as part:
            con.execute(
                f"COPY (SELECT _record, _line, _key, disposition, {reason} AS reason, was, was_reason FROM both_"
                f" ORDER BY _record) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd)"
            )
        ways = con.execute(
            f"SELECT was, was_reason, disposition, reason, count(*) FROM read_parquet({literal(into)})"
            " WHERE (was, was_reason) <> (disposition, reason) GROUP BY ALL"
        ).fetchall()
    return before.extract.feed, same, {tuple(map(str, way[:4])): int(way[4]) for way in ways}


def _files(ledger: Ledger, replay: Replay) -> list[Row]:
    before, after = _standing(ledger, replay), _standing(replay.ledger, replay)
    return [
        {"extract_id": extract_id, "feed": was.feed, "name": was.name, "was": _said(was), "becomes": _said(now)}
        for extract_id, was in before.items()
        if _said(was) != _said(now := after[extract_id])
    ]


def _said(row: Any) -> str:
    return f"{row.status} ({row.status_reason})" if row.status_reason else str(row.status)


def _standing(ledger: Ledger, replay: Replay) -> dict[str, Any]:
    columns = [extracts.c[name] for name in ("extract_id", "feed", "name", "status", "status_reason")]
    query = sa.select(*columns).where(extracts.c.agency == replay.agency.agency).order_by(extracts.c.seq)
    wanted = set(replay.extracts)
    with ledger.reading() as connection:
        return {row.extract_id: row for row in connection.execute(query) if row.extract_id in wanted}


def _feed_changes(home: Home, ledger: Ledger, replay: Replay, feed: Feed) -> FeedChanges:
    before = _state(home, ledger, replay.agency.agency, feed.feed)
    after = _state(replay.place, replay.ledger, replay.agency.agency, feed.feed)
    came_of = [row for row in _standing(replay.ledger, replay).values() if row.feed == feed.feed]
    with connect(temp=replay.place.root / ".spill") as con:
        con.execute(f"CREATE TEMP VIEW old AS SELECT * FROM {rows_sql(before)}")
        con.execute(f"CREATE TEMP VIEW new AS SELECT * FROM {rows_sql(after)}")
        there = {side: {str(row[0]) for row in con.execute(f"DESCRIBE {side}").fetchall()} for side in ("old", "new")}
        differs = {name: _differs(name, there) for name in feed.elements}
        counts = [f"count(*) FILTER (WHERE both_there AND ({sql}))" for sql in differs.values()]
        any_ = " OR ".join(differs.values())
        found = con.execute(
            "SELECT count(*) FILTER (WHERE o_there), count(*) FILTER (WHERE both_there AND (" + any_ + ")),"
            " count(*) FILTER (WHERE NOT o_there), count(*) FILTER (WHERE NOT n_there), " + ", ".join(counts) +
            " FROM (SELECT old, new, old._key IS NOT NULL AS o_there, new._key IS NOT NULL AS n_there,"
            " o_there AND n_there AS both_there FROM old FULL JOIN new ON old._key = new._key)"
        ).fetchall()[0]  # fmt: skip
    in_force, changed, came, gone, *of_elements = (int(count) for count in found)
    elements = {name: rows for name, rows in zip(feed.elements, of_elements, strict=True) if rows}
    return FeedChanges(feed.feed, len(came_of), in_force, changed, came, gone, elements)


def _differs(element: str, there: dict[str, set[str]]) -> str:
    """SQL: whether an element, its code as sent or the strength of its match are not what they were."""
    columns = [element, f"{element}_source", f"{element}_match", f"{element}_scopes"]
    named = [name for name in columns if name in there["old"] | there["new"]]
    sides = [
        [f"{side}.{quoted(name)}::VARCHAR" if name in there[side] else "NULL" for side in ("old", "new")]
        for name in named
    ]
    return " OR ".join(f"{before} IS DISTINCT FROM {after}" for before, after in sides) or "false"


def _state(home: Home, ledger: Ledger, agency: str, feed: str) -> Path | None:
    with ledger.reading() as connection:
        return current_state(connection, home, agency, feed)


def _codes(ledger: Ledger, replay: Replay) -> list[Row]:
    before, after = _pending(ledger, replay), _pending(replay.ledger, replay)
    names = ("feed", "element", "scope", "value")
    sides: Sequence[tuple[dict[tuple[str, ...], int], dict[tuple[str, ...], int], str]] = (
        (before, after, "mapped"), (after, before, "unmapped"),
    )  # fmt: skip
    return [
        dict(zip(names, code, strict=True)) | {"rows": rows, "becomes": becomes}
        for there, elsewhere, becomes in sides
        for code, rows in there.items()
        if code not in elsewhere
    ]


def _pending(ledger: Ledger, replay: Replay) -> dict[tuple[str, ...], int]:
    of = code_pending.c
    query = sa.select(of.feed, of.element, of.scope, of.value, of.rows).where(
        of.agency == replay.agency.agency, of.feed.in_(replay.agency.feeds)
    )
    with ledger.reading() as connection:
        return {
            (row.feed, row.element, row.scope, row.value): row.rows
            for row in connection.execute(query.order_by(of.feed, of.element, of.scope, of.value))
        }


def _orders(ledger: Ledger, replay: Replay) -> tuple[int, int]:
    def known(of: Ledger) -> set[tuple[str, str]]:
        query = sa.select(order_.c.ref, order_.c.reason).where(
            order_.c.ref.startswith(f"{replay.agency.agency}/", autoescape=True)
        )
        with of.reading() as connection:
            return {(row.ref, row.reason) for row in connection.execute(query)}

    before, after = known(ledger), known(replay.ledger)
    return len(after - before), len(before - after)
