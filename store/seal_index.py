"""The seal index: what orders cover, as keyed hashes that name nobody; rows are held against it where they come in."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from standard.errors import DeclarationError
from store.home import literal, peek, written_whole
from store.ledger import Ledger
from store.registers import seal_act, seal_mark, seal_order

KEY = "seal"
"""The file of the keys folder that holds the secret of the index; without it no mark can be told from another."""
OF_FEEDS = "feeds"
"""Stands for the order of a mark that was brought from another home and came there with an agency's own feed."""
EXPUNGED = "expunged_by_order"
"""The reason of a row whose content an order has taken away, and its `_action` in the batch."""
REASONS = {"seal": "sealed_by_order", "expunge": EXPUNGED, "restrict": "restricted_by_order"}
"""Kind of order -> the reason for which its rows are withheld."""
_SCHEMA = pa.schema([(name, pa.string()) for name in ("mark", "exact", "place", "what", "reason", "order_id")])
_BLOCK = 64

Token = tuple[str, str]
"""(place, SQL of a text `agency/table/key`): one of the names under which an order may mean a row; the place is
`agency/table`."""


@dataclass(frozen=True)
class SealIndex:
    """The marks of all orders in force, with the secret they were made by.

    Attributes:
        secret: The key of the HMAC.
        marks: mark, exact, place (`agency/table`), what (`key | event | row | container`), reason, order_id. `exact` is
            set where two keys differ only in how they are written: then only that very key is meant.
    """

    secret: bytes
    marks: pa.Table

    def places(self) -> frozenset[str]:
        """The `agency/table` of which keys are marked."""
        return frozenset(
            place
            for place, what in zip(self.marks["place"].to_pylist(), self.marks["what"].to_pylist(), strict=True)
            if what == "key"
        )

    def of_order(self, order_id: str) -> SealIndex | None:
        """The index of one order alone; None where it is not in force."""
        with peek() as con:
            con.register("all_marks", self.marks)
            marks = con.sql(f"SELECT * FROM all_marks WHERE order_id = {literal(order_id)}").to_arrow_table()
        return SealIndex(self.secret, marks) if marks.num_rows else None

    def of(self, what: str) -> pa.Table:
        """The marks of one kind."""
        with peek() as con:
            con.register("all_marks", self.marks)
            return con.sql(f"SELECT * FROM all_marks WHERE what = {literal(what)}").to_arrow_table()


def read_index(ledger: Ledger, keys: Path, *, on: date) -> SealIndex | None:
    """The index of the orders in force on a day; None where there is none.

    Args:
        ledger: The control plane.
        keys: The folder of the home's keys.
        on: Orders that take effect later are left out.

    Raises:
        DeclarationError: There are orders, and their secret is missing or not private.
    """
    m = seal_mark
    with ledger.reading() as connection:
        chosen = sa.or_(m.c.order_id.in_(_in_force(on)), m.c.order_id == OF_FEEDS)
        found = connection.execute(sa.select(m).where(chosen).order_by(m.c.mark, m.c.order_id)).mappings().all()
        lifted = set(connection.execute(sa.select(seal_act.c.order_id).where(seal_act.c.act == "lifted")).scalars())
    rows = [dict(row) for row in found if lifted_as(row["exact"]) not in lifted]
    return SealIndex(seal_secret(keys), pa.Table.from_pylist(rows, schema=_SCHEMA)) if rows else None


def lifted_as(exact: str | None) -> str:
    """What stands for the order of a feed, which has no id, where it is lifted."""
    return f"{OF_FEEDS}:{(exact or '')[:16]}"


def expunged_containers(connection: sa.Connection) -> list[tuple[str, str]]:
    """(place, mark) of the cases and reports that orders in force have expunged."""
    m = seal_mark
    chosen = sa.and_(m.c.what == "container", m.c.reason == EXPUNGED, m.c.order_id.in_(_in_force()))
    return [(row.place, row.mark) for row in connection.execute(sa.select(m.c.place, m.c.mark).where(chosen))]


def _in_force(on: date | None = None) -> sa.Select[tuple[str]]:
    """The ids of the orders that are approved, not lifted and, where a day is given, in effect."""
    o, act = seal_order, sa.select(seal_act.c.order_id)
    approved, ended = act.where(seal_act.c.act == "approved"), act.where(seal_act.c.act == "lifted")
    chosen = sa.select(o.c.order_id).where(o.c.order_id.in_(approved), o.c.order_id.not_in(ended))
    return chosen if on is None else chosen.where(o.c.effective <= on.isoformat())


def seal_secret(keys: Path, *, make: bool = False) -> bytes:
    """The secret of the index.

    Args:
        keys: The folder of the home's keys.
        make: Make one where there is none; to be said only where no mark was ever made.

    Raises:
        DeclarationError: It is not there, or others can read it.
    """
    path = keys / KEY
    if not path.is_file() and make:
        with written_whole(path) as part:
            part.touch(mode=0o600)
            part.write_text(secrets.token_hex(32), encoding="ascii")
    if not path.is_file():
        raise DeclarationError(
            "the secret of the seal index is not there: no row can be held against it",
            where=str(path), mend="put it back from your copy; nothing is loaded or published until then",
        )  # fmt: skip
    if path.stat().st_mode & 0o077:
        raise DeclarationError("the secret of the seal index can be read by others", where=str(path),
                               mend=f"chmod 600 {path}")  # fmt: skip
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


def hmac_sql(secret: bytes, text: str) -> str:
    """SQL of the HMAC-SHA256 (hexadecimal) of a text given as SQL; NULL of NULL."""
    padded = secret.ljust(_BLOCK, b"\0")
    inner, outer = (bytes(byte ^ mask for byte in padded).hex() for mask in (0x36, 0x5C))
    return f"sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || encode({text}))))"


def folded_sql(text: str) -> str:
    """SQL of `agency/table/key` without what differs where a key is only written otherwise: case, blanks, dashes,
    leading zeros."""
    plain = rf"regexp_replace(upper(nfc_normalize({text})), '[\s._-]', '', 'g')"
    return rf"regexp_replace({plain}, '([/|])0+', '\1', 'g')"


def marks_of(secret: bytes, texts: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Text -> its mark (however the key is written) and that of the very text."""
    with peek() as con:
        con.register("given_texts", pa.table({"text": pa.array(dict.fromkeys(texts), pa.string())}))
        rows = con.execute(
            f"SELECT text, {hmac_sql(secret, folded_sql('text'))}, {hmac_sql(secret, 'text')} FROM given_texts"
        ).fetchall()
    return {text: (mark, exact) for text, mark, exact in rows}


def place_of(text: str) -> str:
    """`agency/table` of `agency/table/key`."""
    return "/".join(text.split("/", 2)[:2])


def matched_sql(
    con: duckdb.DuckDBPyConnection, index: SealIndex, source: str, tokens: Sequence[Token], *, row: str
) -> str:  # fmt: skip
    """SQL of the rows of a relation that an order in force means: `row, text, reason, order_id`.

    Args:
        con: The connection; it gets the view `seal_marks`.
        index: The index.
        source: The relation.
        tokens: The names under which its rows may be meant.
        row: The column (SQL) that tells the rows apart; it comes out as `row`.
    """
    con.register("seal_marks", index.marks)
    places = index.places()
    parts = [
        f"SELECT {row} AS row, {text} AS text FROM {source}" for place, text in tokens if place in places or not place
    ] or ["SELECT NULL AS row, NULL::VARCHAR AS text WHERE false"]
    found = " UNION ALL ".join(f"SELECT * FROM ({part}) WHERE text IS NOT NULL" for part in parts)
    return f"""(
        SELECT t.row, t.text, m.reason, m.order_id
        FROM (SELECT *, {hmac_sql(index.secret, folded_sql("text"))} AS mark FROM ({found})) t
        JOIN seal_marks m ON m.mark = t.mark AND m.what = 'key'
        WHERE m.exact IS NULL OR m.exact = {hmac_sql(index.secret, "t.text")})"""


def add_marks(connection: sa.Connection, rows: Sequence[Mapping[str, str | None]]) -> int:
    """Adds marks (columns of `seal_mark`) that are not there yet, and gives how many were new."""
    m = seal_mark
    known = {
        (row.mark, row.order_id, row.exact, row.reason)
        for row in connection.execute(sa.select(m.c.mark, m.c.order_id, m.c.exact, m.c.reason))
    }
    keyed = {(row["mark"], row["order_id"], row["exact"], row["reason"]): dict(row) for row in rows}
    new = [row for key, row in keyed.items() if key not in known]
    if new:
        connection.execute(m.insert(), new)
    return len(new)
