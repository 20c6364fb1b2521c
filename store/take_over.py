"""Take over into the ledger what a replay of an agency's extracts came to, all in one transaction."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from standard.errors import AccountError
from store.accounts import CLEARED, REMAPPED, WHOLE_EXTRACT
from store.extracts import Status
from store.home import Home, literal, peek, sync
from store.ledger import Ledger, account, code_pending, extract, file_finding, now, order_, received, remap, row_move

WORKPLACES = "remap"
"""The folder of a home in which agencies' extracts are loaded again, each agency in a folder of its own."""
NOTE = "remap.json"
"""What a workplace was begun for (`remap_id, made_of`); what it holds is in force once the ledger has the id."""
COMPARED = "remapped.parquet"
"""Beside the rows of a batch in a workplace: where each row stands now, and where it stood.

`_record, _line, _key, disposition, reason, was, was_reason`; `was` is NULL where the records are not those of then.
"""
NEXT_ROWS = "rows_next.parquet"
"""Beside the rows of a batch in a workplace: rows.parquet as it will be."""
_WHO = "kith remap"
_AT_ONCE = 10_000


def take_over(
    connection: sa.Connection, own: sa.Connection, *, agency: str, batches: Path, extracts_: Sequence[str],
    anew: frozenset[str], states: Mapping[str, str], remap_id: str,
) -> None:  # fmt: skip
    """Makes the ledger say what the replay came to; the rows' moves stay as history.

    Orders are only added: what was sealed stays so. An order that is found only now counts as arrived now.

    Args:
        connection: A transaction on the ledger.
        own: The ledger of the replay.
        agency: Whose extracts these are.
        batches: The replay's batches, each with `COMPARED`.
        extracts_: Ids of the extracts that were replayed.
        anew: Extracts of which no single row's move is told.
        states: Extract -> its state file within the home; those of the agency's other extracts replayed are none.
        remap_id: The replay's id, under which it counts as done.
    """
    for extract_id in extracts_:
        _take_status(connection, own, extract_id, states.get(extract_id))
        _copy(connection, own, received, extract_id)
        _copy(connection, own, file_finding, extract_id, without="finding_id")
        _write_account(connection, batches / extract_id / COMPARED, extract_id)
        _write_moves(connection, own, batches / extract_id / COMPARED, extract_id, whole=extract_id in anew)
    _take_pending(connection, own, agency)
    _add_orders(connection, own)
    unfinished = sa.and_(extract.c.agency == agency, extract.c.status.in_([Status.MAPPED, Status.CHECKED]))
    connection.execute(extract.update().where(unfinished).values(status=str(Status.LANDED)))
    connection.execute(remap.insert().values(remap_id=remap_id, agency=agency, at=now()))


def note_of(workplace: Path) -> dict[str, str]:
    """What a workplace was begun for."""
    note: dict[str, str] = json.loads((workplace / NOTE).read_text("utf-8"))
    return note


def remove_workplace(workplace: Path) -> None:
    """Removes a workplace, the note first: what a kill leaves without a note is never gone on with."""
    (workplace / NOTE).unlink(missing_ok=True)
    sync(workplace)
    shutil.rmtree(workplace)


def finish_remaps(home: Home, ledger: Ledger) -> None:
    """Moves the batches of a remap that is in force into place; to be called only by who holds the home."""
    for workplace in sorted(home.root.glob(f"{WORKPLACES}/*")):
        if not (workplace / NOTE).is_file():
            shutil.rmtree(workplace)  # killed while it was begun or removed; it holds rows
            continue
        known = sa.select(remap.c.remap_id).where(remap.c.remap_id == note_of(workplace)["remap_id"])
        with ledger.reading() as connection:
            if connection.execute(known).first() is None:
                continue  # not in force yet: the next remap goes on with it
        for folder in sorted((workplace / "batches").iterdir()):
            if (folder / NEXT_ROWS).exists():
                (folder / NEXT_ROWS).replace(folder / "rows.parquet")
            (folder / COMPARED).unlink(missing_ok=True)
            shutil.rmtree(home.batches / folder.name, ignore_errors=True)
            folder.rename(home.batches / folder.name)
        sync(home.batches)
        remove_workplace(workplace)


def _take_status(connection: sa.Connection, own: sa.Connection, extract_id: str, state: str | None) -> None:
    columns = (extract.c.status, extract.c.status_reason, extract.c.declarations)
    row = own.execute(sa.select(*columns).where(extract.c.extract_id == extract_id)).one()
    of_extract = extract.update().where(extract.c.extract_id == extract_id)
    connection.execute(of_extract.values(**row._mapping, state_path=state))


def _copy(
    connection: sa.Connection, own: sa.Connection, table: sa.Table, extract_id: str, *, without: str = ""
) -> None:  # fmt: skip
    connection.execute(table.delete().where(table.c.extract_id == extract_id))
    rows = own.execute(table.select().where(table.c.extract_id == extract_id)).mappings()
    _insert(connection, table, [{name: value for name, value in row.items() if name != without} for row in rows])


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), list(rows))


def _write_account(connection: sa.Connection, file: Path, extract_id: str) -> None:
    with peek() as con:
        found = con.execute(
            f"SELECT disposition, reason, count(*) FROM read_parquet({literal(file)}) GROUP BY ALL"
        ).fetchall()
    held = sum(int(rows) for _, _, rows in found)
    declared = connection.execute(sa.select(received.c.rows).where(received.c.extract_id == extract_id)).scalar()
    if held != declared:
        raise AccountError(
            f"{declared} rows were received and {held} have a disposition", where=f"extract {extract_id}",
            mend="report it; nothing was changed",
        )  # fmt: skip
    connection.execute(account.delete().where(account.c.extract_id == extract_id))
    _insert(connection, account, [
        {"extract_id": extract_id, "disposition": disposition, "reason": reason, "rows": rows}
        for disposition, reason, rows in found
    ])  # fmt: skip


def _write_moves(
    connection: sa.Connection, own: sa.Connection, file: Path, extract_id: str, *, whole: bool
) -> None:  # fmt: skip
    """The history first, then the mark from which rows.parquet counts, then what is cleared as of now."""
    if not whole:
        for rows in _moved(file):
            _insert(connection, row_move, [_move(extract_id, *row) for row in rows])
    _insert(connection, row_move, [_move(extract_id, WHOLE_EXTRACT, "checked", REMAPPED, REMAPPED)])
    cleared = row_move.select().where(row_move.c.extract_id == extract_id, row_move.c.to_disposition == CLEARED)
    kept = own.execute(cleared.order_by(row_move.c.move_id)).mappings()
    for some in kept.partitions(_AT_ONCE):
        _insert(connection, row_move, [{k: v for k, v in row.items() if k != "move_id"} for row in some])


def _move(extract_id: str, record: int, was: str, to: str, reason: str) -> dict[str, Any]:
    return {
        "extract_id": extract_id, "record": record, "from_disposition": was, "to_disposition": to, "reason": reason,
        "at": now(), "who": _WHO,
    }  # fmt: skip


def _moved(file: Path) -> Iterator[list[tuple[Any, ...]]]:
    with peek() as con:
        found = con.execute(
            f"SELECT _record, was, disposition, reason FROM read_parquet({literal(file)})"
            " WHERE (was, was_reason) <> (disposition, reason) ORDER BY _record"
        )
        while rows := found.fetchmany(_AT_ONCE):
            yield rows


def _take_pending(connection: sa.Connection, own: sa.Connection, agency: str) -> None:
    feeds = list(own.execute(sa.select(extract.c.feed).distinct()).scalars())
    of_feeds = sa.and_(code_pending.c.agency == agency, code_pending.c.feed.in_(feeds))
    connection.execute(code_pending.delete().where(of_feeds))
    _insert(connection, code_pending, [dict(row) for row in own.execute(code_pending.select()).mappings()])


def _add_orders(connection: sa.Connection, own: sa.Connection) -> None:
    for row in own.execute(order_.select()).mappings():
        same = sa.and_(order_.c.ref == row["ref"], order_.c.reason == row["reason"])
        stood = connection.execute(order_.select().where(same)).first()
        if stood is None or (stood.lifted_at and not row["lifted_at"]):
            # What was published without it must go, as when an order arrives.
            connection.execute(order_.delete().where(same))
            connection.execute(order_.insert().values(**(dict(row) | {"arrived": True, "recorded_at": now()})))
