"""Take expunged rows out of what the exchange keeps of its releases, once their recipients have answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb

from governance.retractions import notices
from releases.index import forget, index_folder
from store.home import Home, connect, literal
from store.ledger import Ledger
from store.seal_index import EXPUNGED, SealIndex, hmac_sql


def forget_released(home: Home, ledger: Ledger, index: SealIndex | None, *, today: date) -> int:
    """Forgets the rows of every order to expunge that no recipient's answer is owed of any more.

    Until then their row ids are needed, to name them to the recipients by the pseudonyms they know.

    Returns:
        How many rows of indexes named them.
    """
    if index is None or not index_folder(home).is_dir():
        return 0
    waiting = sorted({each["of"] for each in notices(ledger, today=today) if each["stands"] != "answered"})
    listed = ", ".join(literal(order_id) for order_id in waiting) or "''"
    with connect() as con:
        con.register("row_marks", index.of("row"))
        chosen = f"reason = '{EXPUNGED}' AND order_id NOT IN ({listed})"
        found = {row_id for rows in _rows(con, home) for row_id in _marked(con, index, rows, chosen)}
    return forget(home, rows=sorted(found)) if found else 0


def _rows(con: duckdb.DuckDBPyConnection, home: Home) -> Iterator[str]:
    """Each file of the indexes that tells of rows, as SQL."""
    for path in sorted(index_folder(home).glob("[!.]*/*.parquet")):
        rows = f"read_parquet({literal(path)})"
        if "row" in {line[0] for line in con.execute(f"DESCRIBE FROM {rows}").fetchall()}:
            yield rows


def _marked(con: duckdb.DuckDBPyConnection, index: SealIndex, rows: str, chosen: str) -> list[str]:
    ids = f"""SELECT DISTINCT regexp_extract("row", '[0-9a-f]{{32}}') AS id FROM {rows}"""
    marked = f"SELECT id, {hmac_sql(index.secret, 'id')} AS mark FROM ({ids}) WHERE id <> ''"
    found = con.execute(f"SELECT id FROM ({marked}) JOIN row_marks USING (mark) WHERE {chosen}").fetchall()
    return [row_id for (row_id,) in found]
