"""Hold the rows in force against the seal index before they are linked, and note what orders come to mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from governance.sealing import AHEAD, FROM_ORDER
from governance.sealing_events import PLACE_OF_EVENTS, attach_events
from record.in_force import CONTAINERS, attach_in_force, bearing_references, person_references, working_database
from record.snapshot import current_snapshot
from record.withhold import PLACE, REFERENCE_SCHEMA, ROW, judge_by_orders
from standard.schema import entities
from store.home import Home, literal, quoted
from store.ledger import Ledger, now, order_
from store.registers import seal_act
from store.seal_index import (
    EXPUNGED,
    OF_FEEDS,
    REASONS,
    SealIndex,
    add_marks,
    hmac_sql,
    marks_of,
    matched_sql,
    place_of,
)

EXCHANGE = "exchange"


@dataclass(frozen=True)
class Meant:
    """What the orders in force mean among the rows in force.

    Attributes:
        new: (reference or row, reason, order) of what had not been found before.
        doomed: `agency/feed/key` of the rows that orders to expunge take away.
        persons: Order -> ids of the persons, as the record in force knows them, whom what is new is about.
    """

    new: tuple[tuple[str, str, str], ...]
    doomed: frozenset[str]
    persons: Mapping[str, frozenset[str]]


def find_meant(home: Home, ledger: Ledger, index: SealIndex, paths: Mapping[str, Path], *, temp: Path) -> Meant:
    """Finds what the orders in force mean among the rows in force, under whatever key.

    What hangs on it (a case's charges, the events of a person) gets marks of its own, so that it is known when it comes
    again alone, under another key, or from another agency.

    Args:
        home: The home.
        ledger: Its control plane.
        index: The orders in force.
        paths: Entity -> Parquet of all rows in force.
        temp: Folder below the home in which work may spill.
    """
    with working_database(temp) as con:
        attach_in_force(con, paths)
        attach_events(con)
        _find_references(con, index)
        _find_events(con, index)
        new = _new_orders(con, ledger)
        arrived = {order_id for _, _, order_id in new}
        doomed: set[str] = set()
        persons: dict[str, frozenset[str]] = {}
        for order_id in _orders(con):
            reason = _judge(con, order_id)
            if reason is None:
                continue
            _note_marks(con, ledger, index, order_id, reason)
            rows = " UNION ".join(_withheld_rows("row"))
            if reason == EXPUNGED:
                doomed |= {row for (row,) in con.execute(rows).fetchall()}
            if order_id in arrived:
                persons[order_id] = _persons_of(con, home)
            con.execute("DROP SCHEMA visible CASCADE; DROP SCHEMA judged CASCADE")
            con.execute("DROP VIEW own_event; DROP VIEW same_person_said; DROP TABLE part; DROP TABLE withheld")
    return Meant(tuple(new), frozenset(doomed), persons)


def hidden_persons(orders: pa.Table, paths: Mapping[str, Path], *, temp: Path) -> list[str]:
    """References to persons whom orders hide wholly: themselves, or all they have a part in.

    Args:
        orders: ref, reason.
        paths: Entity -> Parquet of all rows in force.
        temp: Folder below the home in which work may spill.
    """
    with working_database(temp) as con:
        attach_in_force(con, paths)
        judge_by_orders(con, orders)
        found = con.execute(
            f"SELECT DISTINCT ref FROM withheld WHERE lasting AND ref IN ({_named_persons()}) ORDER BY 1"
        ).fetchall()
    return [ref for (ref,) in found]


def _named_persons() -> str:
    """SQL of every reference to a person in the rows in force."""
    return " UNION ".join(
        f"SELECT {column} AS ref FROM in_force.{quoted(name)}"
        for name, entity in entities().items() for column in person_references(entity)
    )  # fmt: skip


def _find_references(con: duckdb.DuckDBPyConnection, index: SealIndex) -> None:
    """Makes the table `meant` (ref, reason, order_id) of references and rows that a mark of a key means."""
    places = ", ".join(literal(place) for place in sorted(index.places())) or "''"
    names = []
    for name, entity in entities().items():
        names.append(f"SELECT {ROW} AS text FROM in_force.{quoted(name)} e WHERE {PLACE} IN ({places})")
        names += [
            f"SELECT DISTINCT {column} AS text FROM in_force.{quoted(name)}"
            rf" WHERE regexp_extract({column}, '^[^/]*/[^/]*') IN ({places})"
            for column in bearing_references(entity)
        ]
    con.execute(f"CREATE TEMP TABLE name_in_force AS SELECT DISTINCT text FROM ({' UNION ALL '.join(names)})")
    found = matched_sql(con, index, "name_in_force", [("", "text")], row="text")
    con.execute(f"CREATE TEMP TABLE meant AS SELECT DISTINCT text AS ref, reason, order_id FROM {found}")


def _find_events(con: duckdb.DuckDBPyConnection, index: SealIndex) -> None:
    """Adds to `meant` the rows of events that an order means, with what they define; another key tells nothing."""
    marks = index.of("event")
    if not marks.num_rows:
        return
    con.register("event_marks", marks)
    con.execute(f"""
        CREATE TEMP TABLE event_meant AS SELECT DISTINCT e.row, e.own, m.reason, m.order_id
        FROM (SELECT *, {hmac_sql(index.secret, "text")} AS mark FROM event_text) e JOIN event_marks m USING (mark)
    """)
    for column in ("row", "own"):
        con.execute(f"""
            INSERT INTO meant SELECT DISTINCT {column}, reason, order_id FROM event_meant
            WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT ref FROM meant)
        """)


def _orders(con: duckdb.DuckDBPyConnection) -> list[str]:
    found = con.execute("SELECT DISTINCT order_id FROM meant ORDER BY 1").fetchall()
    return [order_id for (order_id,) in found]


def _new_orders(con: duckdb.DuckDBPyConnection, ledger: Ledger) -> list[tuple[str, str, str]]:
    """What of `meant` does not stand in the register of orders."""
    rows = con.execute("SELECT ref, reason, order_id FROM meant ORDER BY ALL").fetchall()
    query = sa.select(order_.c.ref, order_.c.reason).where(order_.c.lifted_at.is_(None))
    query = query.where(~order_.c.since_extract.endswith(AHEAD))
    with ledger.reading() as connection:
        standing = {(row.ref, row.reason) for row in connection.execute(query)}
    return list({row[:2]: row for row in rows if row[:2] not in standing}.values())


def note_meant(connection: sa.Connection, meant: Meant) -> None:
    """Puts what is new into the register of orders, from where it is withheld, and says that its orders arrived."""
    for ref, reason, order_id in meant.new:
        connection.execute(order_.delete().where(order_.c.ref == ref, order_.c.reason == reason))
        connection.execute(order_.insert().values(
            ref=ref, reason=reason, since_extract=f"{FROM_ORDER}{order_id}", arrived=reason != REASONS["restrict"],
            recorded_at=now(),
        ))  # fmt: skip
    for order_id, reason in sorted({(order_id, reason) for _, reason, order_id in meant.new}):
        act = "restricted" if reason == REASONS["restrict"] else "applied"
        connection.execute(seal_act.insert().values(order_id=order_id, act=act, who=EXCHANGE, at=now(), why=""))


def _judge(con: duckdb.DuckDBPyConnection, order_id: str) -> str | None:
    """Judges the rows in force by one order alone, and gives its reason."""
    meant = con.sql(f"SELECT ref, reason FROM meant WHERE order_id = {literal(order_id)}").to_arrow_table()
    if not meant.num_rows or order_id == OF_FEEDS:
        return None
    judge_by_orders(con, meant.cast(REFERENCE_SCHEMA))
    return str(meant["reason"][0].as_py())


def _note_marks(
    con: duckdb.DuckDBPyConnection, ledger: Ledger, index: SealIndex, order_id: str, reason: str
) -> None:  # fmt: skip
    """Marks what hangs on an order: its events, the ids of its rows in the record, the things that go along.

    A person who goes along is not marked: what comes of that person tomorrow may be of another case.
    """
    persons = _named_persons()
    given = f"SELECT ref FROM meant WHERE order_id = {literal(order_id)}"
    things = f"SELECT ref FROM withheld WHERE ref NOT IN ({persons}) OR ref IN ({given})"
    containers = f"SELECT ref FROM withheld WHERE ref IN (SELECT container FROM part) OR ref IN ({_container_refs()})"
    rows = " UNION ".join(_withheld_rows("row"))
    events = f"SELECT text FROM event_text WHERE row IN ({rows})"
    ids = " UNION ".join(_withheld_rows("id"))
    marks: list[dict[str, str | None]] = []
    shared: dict[str, str | None] = {"exact": None, "reason": reason, "order_id": order_id}
    for what, query in (("key", things), ("container", containers)):
        for text, (mark, exact) in marks_of(index.secret, [text for (text,) in con.execute(query).fetchall()]).items():
            # How else a key may be written was asked when the order was written down.
            marks.append({**shared, "mark": mark, "exact": exact if what == "key" else None,
                          "place": place_of(text), "what": what})  # fmt: skip
    for what, query in (("event", events), ("row", ids)):
        hashed = f"SELECT DISTINCT {hmac_sql(index.secret, 'text')} FROM ({query}) AS found(text)"
        marks += [
            {**shared, "mark": mark, "place": PLACE_OF_EVENTS, "what": what}
            for (mark,) in con.execute(hashed).fetchall()
        ]
    with ledger.writing() as connection:
        add_marks(connection, marks)


def _container_refs() -> str:
    return " UNION ".join(
        f"SELECT {column} FROM in_force.{quoted(name)}"
        for name, entity in entities().items() for column in CONTAINERS if column in entity.columns
    )  # fmt: skip


def _withheld_rows(what: str) -> list[str]:
    """SQL of the rows that `judge_by_orders` withholds: `agency/feed/key`, or their ids in the record."""
    chosen = {"row": ROW, "id": "e.row_id"}[what]
    lasting = "withheld IS NOT NULL AND withheld <> 'confidential'"
    return [f"SELECT {chosen} AS text FROM judged.{quoted(name)} e WHERE {lasting}" for name in entities()]


def _persons_of(con: duckdb.DuckDBPyConnection, home: Home) -> frozenset[str]:
    """The ids, in the record in force, of everybody whom the withheld rows name."""
    snapshot = current_snapshot(home)
    if snapshot is None or not snapshot.table("person_source").is_file():
        return frozenset()
    named = " UNION ".join(
        f"SELECT {column} AS person_ref FROM judged.{quoted(name)} WHERE withheld IS NOT NULL"
        f" AND withheld <> 'confidential' AND {column} IS NOT NULL"
        for name, entity in entities().items() for column in person_references(entity)
    )  # fmt: skip
    parts = "SELECT person FROM part JOIN withheld ON withheld.ref = part.container"
    source = f"read_parquet({literal(snapshot.table('person_source'))})"
    found = con.execute(
        f"SELECT DISTINCT person_id FROM {source} WHERE person_ref IN ({named} UNION {parts})"
    ).fetchall()
    return frozenset(person_id for (person_id,) in found)
