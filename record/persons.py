"""A person of the record through time: which mentions an id had at a day or snapshot, and what happened to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from linkage.identity import EventKind
from record.in_force import PERSON_PARTNERS
from record.reader import Record, open_record
from standard.errors import PublishError
from store import ledger as tables
from store.home import Home, connect, quoted
from store.ledger import Ledger

_COLUMNS = frozenset(PERSON_PARTNERS.values())


@dataclass(frozen=True)
class PersonEvent:
    """What happened to an id: kind (linkage.identity.EventKind), the other id, when, in which snapshot and why."""

    person_id: str
    kind: str
    other_id: str | None
    at: str
    snapshot_id: str
    cause: str


@dataclass(frozen=True)
class PersonAsOf:
    """A person at one snapshot.

    Attributes:
        person_id: The id asked for.
        snapshot_id: The snapshot in force then.
        published_at: When it was published.
        called: What it was called then: the id asked for, or those its mentions bore; none where it was not there.
        mentions: Its references then (agency/table/key).
        now: The persons whom these mentions belong to in the newest snapshot; none where they are gone.
        events: What happened to the id, the oldest first.
    """

    person_id: str
    snapshot_id: str
    published_at: str
    called: tuple[str, ...]
    mentions: tuple[str, ...]
    now: tuple[str, ...]
    events: tuple[PersonEvent, ...]


def person_events(ledger: Ledger, person_id: str) -> list[PersonEvent]:
    """What happened to an id, also as the other of another's event, the oldest first."""
    e = tables.person_event
    columns = (e.c.person_id, e.c.kind, e.c.other_id, e.c.at, e.c.snapshot_id, e.c.cause)
    with ledger.reading() as connection:
        query = sa.select(*columns).where((e.c.person_id == person_id) | (e.c.other_id == person_id))
        return [PersonEvent(*row) for row in connection.execute(query.order_by(e.c.at, e.c.event_id))]


def snapshot_as_of(ledger: Ledger, when: date | str) -> tuple[str, str]:
    """The snapshot in force at the end of a day (UTC), or the one named, with its moment of publishing.

    Raises:
        PublishError: Nothing was published by then, or there is no such snapshot.
    """
    s = tables.snapshot
    query = sa.select(s.c.snapshot_id, s.c.published_at)
    chosen = (
        query.where(s.c.snapshot_id == when)
        if isinstance(when, str)
        else query.where(sa.func.substr(s.c.published_at, 1, 10) <= when.isoformat()).order_by(s.c.published_at.desc())
    )
    with ledger.reading() as connection:
        row = connection.execute(chosen.limit(1)).first()
    if row is None:
        raise PublishError(
            f"there is no snapshot {when}" if isinstance(when, str) else f"nothing was published by {when}",
            where="the ledger's table snapshot",
            mend="see the snapshots with: kith status",
        )
    return row.snapshot_id, row.published_at


def person_as_of(home: Home, ledger: Ledger, person_id: str, when: date | str | None = None) -> PersonAsOf:
    """The person that an id names now or ever named, as the record showed it at a day or in a snapshot.

    Where the id was not in the record then, it is followed through its mentions: those it has now, or had last.

    Args:
        home: The home.
        ledger: Its control plane.
        person_id: An id of the record, of today or of the past.
        when: A day (its end, UTC), a snapshot's id, or None for the newest.

    Raises:
        PublishError: The id was never given, nothing was published by then, or that snapshot was withdrawn.
    """
    events = person_events(ledger, person_id)
    if not events:
        raise PublishError(
            "no person of the record ever had this id", where=str(home.record), mend="find one with: kith trace"
        )
    newest = open_record(home)
    snapshot_id, published_at = snapshot_as_of(ledger, newest.snapshot_id if when is None else when)
    with connect() as con:
        open_record(home, snapshot=snapshot_id).table("person_source").to_duckdb(con).create_view("then_source")
        newest.table("person_source").to_duckdb(con).create_view("now_source")
        called = _called_then(con, ledger, person_id)
        con.register("called", pa.table({"person_id": pa.array(called, pa.string())}))
        con.execute("CREATE TEMP TABLE theirs AS SELECT person_ref FROM then_source SEMI JOIN called USING (person_id)")
        mentions = _column(con, "SELECT person_ref FROM theirs ORDER BY 1")
        now = _column(con, "SELECT DISTINCT person_id FROM now_source SEMI JOIN theirs USING (person_ref) ORDER BY 1")
    return PersonAsOf(person_id, snapshot_id, published_at, called, mentions, now, tuple(events))


def _called_then(con: duckdb.DuckDBPyConnection, ledger: Ledger, person_id: str) -> tuple[str, ...]:
    """The id itself where it was there; else what its mentions of now bore; else the id it had been merged into."""
    seen: set[str] = set()
    asked: str | None = person_id
    while asked is not None and asked not in seen:
        if _column(con, "SELECT 1 FROM then_source WHERE person_id = $1 LIMIT 1", asked):
            return (asked,)
        bore = _column(
            con,
            """SELECT DISTINCT person_id FROM then_source
            SEMI JOIN (SELECT person_ref FROM now_source WHERE person_id = $1) USING (person_ref) ORDER BY 1""",
            asked,
        )
        if bore:
            return bore
        seen.add(asked)
        asked = _merged_into(ledger, asked)
    return ()


def _merged_into(ledger: Ledger, person_id: str) -> str | None:
    e = tables.person_event
    query = sa.select(e.c.other_id).where(e.c.person_id == person_id, e.c.kind == EventKind.MERGED_INTO)
    with ledger.reading() as connection:
        return connection.execute(query.order_by(e.c.event_id.desc()).limit(1)).scalar()


def _column(con: duckdb.DuckDBPyConnection, query: str, *values: str) -> tuple[str, ...]:
    return tuple(row[0] for row in con.execute(query, list(values)).fetchall())


def rows_of_persons(record: Record, persons: Collection[str]) -> dict[str, int]:
    """Table -> rows in which one of these persons has a part, for the tables that have any."""
    with record.to_duckdb() as con:
        con.register("wanted", pa.table({"person_id": pa.array(sorted(persons), pa.string())}))
        counts = {}
        for table in record.tables():
            columns = [c for c in record.manifest["tables"][table]["columns"] if c in _COLUMNS]
            if columns:
                has_part = " OR ".join(f"{column} IN (SELECT person_id FROM wanted)" for column in columns)
                counts[table] = con.sql(f"SELECT count(*) FROM {quoted(table)} WHERE {has_part}").fetchall()[0][0]
    return {table: rows for table, rows in counts.items() if rows}
