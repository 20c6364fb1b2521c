"""Which received rows an order means: whoever asks for one is told what is told of a row that never was."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import sqlalchemy as sa

from expectations.bearing import tokens_of
from expectations.relation import in_terms_sql
from expectations.retry import open_extract, rows_now, states_of
from mappings.compile import install_macros
from mappings.declarations import Feed
from standard.errors import ExtractError
from store.extracts import Batch
from store.home import Home, connect, literal
from store.ledger import Ledger, order_
from store.seal_index import EXPUNGED, REASONS, matched_sql, read_index


def require_shown(home: Home, ledger: Ledger, feed: Feed, *, extract_id: str, record: int) -> None:
    """Goes on only with a row that may be looked at.

    Raises:
        ExtractError: An order means it; the words are those for a row that there is not.
    """
    if is_under_order(home, ledger, feed, extract_id=extract_id, record=record):
        raise ExtractError(
            "there is no such row", where=f"extract {extract_id}, record {record}", mend="see: kith quarantine list"
        )


def is_under_order(home: Home, ledger: Ledger, feed: Feed, *, extract_id: str, record: int) -> bool:
    """Whether an order in force means a received row, be it withheld for that or not."""
    batch = open_extract(home, ledger, extract_id)
    today = datetime.now(UTC).date()
    reasons = ", ".join(literal(reason) for reason in REASONS.values())
    with connect() as con:
        stands = f"SELECT 1 FROM {rows_now(con, ledger, batch)} WHERE _record = {int(record)} AND reason IN ({reasons})"
        if con.execute(stands).fetchall():
            return True
        _open(con, home, ledger, batch, feed, record)
        tokens = tokens_of(batch.extract.agency, feed)
        texts = " UNION ALL ".join(f"SELECT {text} AS text FROM in_terms" for _, text in tokens)
        named = {text for (text,) in con.execute(texts).fetchall() if text is not None}
        if _standing(ledger, named):
            return True
        seals = read_index(ledger, home.keys, on=today)
        if seals is None:
            return False
        meant = matched_sql(con, seals, "in_terms", tokens, row="_record")
        return bool(con.execute(f"SELECT 1 FROM {meant} LIMIT 1").fetchall())


def _open(
    con: duckdb.DuckDBPyConnection, home: Home, ledger: Ledger, batch: Batch, feed: Feed, record: int
) -> None:  # fmt: skip
    install_macros(con)
    of_agency = states_of(home, ledger)
    chosen = f"_record = {int(record)} AND _action <> '{EXPUNGED}'"
    rows = f"(SELECT * FROM read_parquet({literal(batch.mapped)}) WHERE {chosen})"
    terms = in_terms_sql(feed, rows, as_of=batch.extract.as_of,
                         state_of=lambda name: of_agency(batch.extract.agency, name))  # fmt: skip
    con.execute(f"CREATE TEMP VIEW in_terms AS SELECT * FROM {terms}")


def _standing(ledger: Ledger, named: set[str]) -> bool:
    """Whether one of some references stands in the register of orders."""
    query = sa.select(order_.c.ref).where(order_.c.ref.in_(named), order_.c.lifted_at.is_(None))
    with ledger.reading() as connection:
        return connection.execute(query.limit(1)).first() is not None
