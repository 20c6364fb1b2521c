"""The accounts of every extract in the ledger: where each received row went, and that the sums hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from standard.errors import AccountError
from store.extracts import Batch, Checked, Disposition, Extract
from store.home import literal, peek
from store.ledger import account, code_pending, file_finding, now, order_, received, row_move

CLEARED = "cleared"
"""Where a quarantined row is moved when a newer delivery has put it right; in the account it stays quarantined."""
REMAPPED = "remapped"
"""Where a whole extract is moved when it was mapped again: rows.parquet is new then, the moves before are history."""
WHOLE_EXTRACT = 0
"""The record of a move that is of all quarantined rows of an extract, or of the extract as a whole."""


@dataclass(frozen=True)
class Move:
    """A row that goes from one disposition to another after its extract was checked."""

    record: int
    from_disposition: Disposition
    from_reason: str
    to_disposition: Disposition
    to_reason: str


def write_accounts(connection: sa.Connection, checked: Checked) -> None:
    """Writes what became of an extract: received, account, file findings, pending codes and orders.

    Written again for the same extract it replaces what stood there, so that a rerun changes nothing.
    """
    batch = checked.batch
    extract_id = batch.extract.extract_id
    for table in (received, account, file_finding, row_move):
        connection.execute(table.delete().where(table.c.extract_id == extract_id))
    connection.execute(received.insert().values(extract_id=extract_id, rows=batch.received, declared=batch.declared))
    _insert(connection, account, [
        {"extract_id": extract_id, "disposition": str(disposition), "reason": reason, "rows": rows}
        for (disposition, reason), rows in checked.counts.items()
    ])  # fmt: skip
    _insert(connection, file_finding, [
        {"extract_id": extract_id, "code": f.code, "severity": str(f.severity), "detail": f.detail, "rows": f.rows}
        for f in batch.findings
    ])  # fmt: skip
    _write_orders(connection, batch)
    _write_pending(connection, batch)


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(table.insert(), list(rows))


def _write_orders(connection: sa.Connection, batch: Batch) -> None:
    extract_id = batch.extract.extract_id
    connection.execute(order_.delete().where(order_.c.since_extract == extract_id, order_.c.lifted_at.is_(None)))
    for ref, reason, arrived in _read(f"SELECT ref, reason, arrived FROM {_file(batch, 'orders')} ORDER BY ALL"):
        of_ref = sa.and_(order_.c.ref == ref, order_.c.reason == reason)
        stood = connection.execute(sa.select(order_).where(of_ref)).first()
        if stood is not None and (stood.lifted_at is None or not arrived):
            continue
        # An order that arrives after one was lifted stands anew.
        connection.execute(order_.delete().where(of_ref))
        connection.execute(
            order_.insert().values(ref=ref, reason=reason, since_extract=extract_id, arrived=arrived, recorded_at=now())
        )


def _write_pending(connection: sa.Connection, batch: Batch) -> None:
    note_pending(connection, batch.extract, _read(f"SELECT element, scope, value, rows FROM {_file(batch, 'pending')}"))


def note_pending(connection: sa.Connection, extract: Extract, codes: Iterable[Sequence[object]]) -> None:
    """Notes codes that wait for a crosswalk line, each as (element, scope, value, rows); with 0 rows it is known."""
    for element, scope, value, rows in codes:
        named = {"agency": extract.agency, "feed": extract.feed, "element": element, "scope": scope, "value": value}
        of_code = sa.and_(*(code_pending.c[name] == text for name, text in named.items()))
        first = connection.execute(sa.select(code_pending.c.first_extract).where(of_code)).scalar()
        connection.execute(code_pending.delete().where(of_code))
        if rows:
            ids = {"first_extract": first or extract.extract_id, "last_extract": extract.extract_id}
            connection.execute(code_pending.insert().values(**named, **ids, rows=rows))


def _file(batch: Batch, name: str) -> str:
    return f"read_parquet({literal(batch.folder / f'{name}.parquet')})"


def _read(query: str) -> list[tuple[object, ...]]:
    with peek() as con:
        return list(con.execute(query).fetchall())


def read_moves(connection: sa.Connection, extract_id: str, *, until: str = "9999") -> pa.Table:
    """The moves of an extract's rows up to a moment: `move_id, record, to_disposition, reason`; record 0 means all
    quarantined."""
    query = sa.select(row_move.c.move_id, row_move.c.record, row_move.c.to_disposition, row_move.c.reason)
    rows = connection.execute(query.where(row_move.c.extract_id == extract_id, row_move.c.at <= until)).all()
    kinds = {"move_id": pa.int64(), "record": pa.int64(), "to_disposition": pa.string(), "reason": pa.string()}
    return pa.Table.from_pylist([dict(row._mapping) for row in rows], schema=pa.schema(kinds))


def rows_now_sql(rows: str, moves: str) -> str:
    """The rows of an extract as they stand now: rows.parquet with the moves of the ledger since it was written.

    Args:
        rows: rows.parquet as an SQL relation.
        moves: What `read_moves` gives, as an SQL relation.

    Returns:
        `_record, _line, _key, disposition, reason, cleared`; a cleared row stays quarantined for its reason.
    """
    return f"""(
        WITH since AS (
            SELECT * FROM {moves} WHERE move_id > coalesce(
                (SELECT max(move_id) FROM {moves} WHERE to_disposition = '{REMAPPED}'), 0)),
        last AS (
            SELECT record, arg_max(to_disposition, move_id) AS disposition, arg_max(reason, move_id) AS reason
            FROM since WHERE to_disposition <> '{CLEARED}' GROUP BY record),
        stands AS (
            SELECT r._record, r._line, r._key, coalesce(last.disposition, r.disposition) AS disposition,
                CASE WHEN last.record IS NULL THEN r.reason ELSE last.reason END AS reason
            FROM {rows} r LEFT JOIN last ON last.record = r._record),
        cleared AS (SELECT DISTINCT record FROM since WHERE to_disposition = '{CLEARED}')
        SELECT *, disposition = 'quarantined' AND (
            _record IN (SELECT record FROM cleared) OR {WHOLE_EXTRACT} IN (SELECT record FROM cleared)) AS cleared
        FROM stands)"""


def move_rows(connection: sa.Connection, extract_id: str, moves: Sequence[Move], *, who: str) -> None:
    """Moves rows of an extract and its account with them; the history stays in `row_move`."""
    _insert(connection, row_move, [
        {"extract_id": extract_id, "record": move.record, "from_disposition": str(move.from_disposition),
         "to_disposition": str(move.to_disposition), "reason": move.to_reason, "at": now(), "who": who}
        for move in moves
    ])  # fmt: skip
    change: dict[tuple[str, str], int] = {}
    for move in moves:
        left, reached = (str(move.from_disposition), move.from_reason), (str(move.to_disposition), move.to_reason)
        change[left] = change.get(left, 0) - 1
        change[reached] = change.get(reached, 0) + 1
    for (disposition, reason), by in change.items():
        _change_account(connection, extract_id, disposition, reason, by)


def _change_account(connection: sa.Connection, extract_id: str, disposition: str, reason: str, by: int) -> None:
    of_reason = sa.and_(
        account.c.extract_id == extract_id, account.c.disposition == disposition, account.c.reason == reason
    )
    stood = connection.execute(sa.select(account.c.rows).where(of_reason)).scalar() or 0
    connection.execute(account.delete().where(of_reason))
    if stood + by:
        connection.execute(
            account.insert().values(extract_id=extract_id, disposition=disposition, reason=reason, rows=stood + by)
        )


def clear_rows(connection: sa.Connection, extract_id: str, records: Sequence[int], *, reason: str, who: str) -> None:
    """Marks quarantined rows as put right by a newer delivery; the account of their own extract stays."""
    _insert(connection, row_move, [
        {"extract_id": extract_id, "record": record, "from_disposition": str(Disposition.QUARANTINED),
         "to_disposition": CLEARED, "reason": reason, "at": now(), "who": who}
        for record in records
    ])  # fmt: skip


def wholly_cleared() -> sa.Select[tuple[str]]:
    """The extracts of which every quarantined row is cleared, as a query."""
    later = row_move.alias()
    remapped = sa.select(sa.literal(1)).where(
        later.c.extract_id == row_move.c.extract_id, later.c.move_id > row_move.c.move_id,
        later.c.to_disposition == REMAPPED,
    )  # fmt: skip
    whole = sa.and_(row_move.c.record == WHOLE_EXTRACT, row_move.c.to_disposition == CLEARED)
    return sa.select(row_move.c.extract_id).where(whole, ~sa.exists(remapped))


def require_sums_hold(connection: sa.Connection, extract_id: str | None = None) -> None:
    """Refuses to go on unless received = accepted + quarantined + duplicate + withheld, for one extract or for all.

    Raises:
        AccountError: The sums of an extract do not hold; it is named.
    """
    went = sa.select(account.c.extract_id, sa.func.sum(account.c.rows).label("rows")).group_by(account.c.extract_id)
    gone = went.subquery()
    query = (
        sa.select(received.c.extract_id, received.c.rows, sa.func.coalesce(gone.c.rows, 0))
        .join(gone, gone.c.extract_id == received.c.extract_id, isouter=True)
        .where(received.c.rows != sa.func.coalesce(gone.c.rows, 0))
    )
    if extract_id is not None:
        query = query.where(received.c.extract_id == extract_id)
    wrong = connection.execute(query.order_by(received.c.extract_id).limit(1)).first()
    if wrong is not None:
        raise AccountError(
            f"{wrong[1]} rows were received and {wrong[2]} are accounted for",
            where=f"ledger, account of extract {wrong[0]}",
            mend="nothing is published until it holds; check the extract anew",
        )


def require_rows_agree(connection: sa.Connection, checked: Checked) -> None:
    """Refuses to go on unless the account in the ledger is what rows.parquet and the moves since come to.

    Raises:
        AccountError: They differ; the extract is named.
    """
    extract_id = checked.batch.extract.extract_id
    query = sa.select(account.c.disposition, account.c.reason, account.c.rows).where(account.c.extract_id == extract_id)
    kept = {(disposition, reason): rows for disposition, reason, rows in connection.execute(query)}
    with peek() as con:
        con.register("moves", read_moves(connection, extract_id))
        now_sql = rows_now_sql(f"read_parquet({literal(checked.rows)})", "moves")
        found = con.execute(f"SELECT disposition, reason, count(*) FROM {now_sql} GROUP BY ALL").fetchall()
    if kept != {(disposition, reason): rows for disposition, reason, rows in found}:
        raise AccountError(
            "the account in the ledger is not what the rows come to",
            where=f"extract {extract_id}",
            mend="nothing is published until it is; check the extract anew",
        )
