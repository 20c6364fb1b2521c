"""The seal index as a file: kept beside backups, because a home that is restored knows nothing of later orders."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from governance.sealing import FROM_ORDER
from standard.errors import DeclarationError
from store.audit_entry import Event
from store.audit_log import append, operator
from store.home import Home, written_whole
from store.ledger import Ledger, order_
from store.registers import seal_act, seal_mark, seal_order
from store.seal_index import OF_FEEDS, add_marks, marks_of, place_of, seal_secret

_KIND = "seal index 1"
_OF_THE_HOME = ("applied", "restricted", "proved")
"""Acts that tell what was done in one home; a restored one has it before it."""


def export_seals(home: Home, ledger: Ledger, into: Path) -> int:
    """Writes the index with all orders in force, those that came with feeds too, to a file (mode 0600).

    It holds marks, order numbers, courts and dates, no key and no name; without the home's secret it tells nothing of
    anybody, and with another secret it is refused.

    Returns:
        How many marks it holds.
    """
    with ledger.reading() as connection:
        first = connection.execute(sa.select(seal_mark.c.mark_id).limit(1)).first() is None
        secret = seal_secret(home.keys, make=first)
        orders = [dict(row) for row in connection.execute(seal_order.select()).mappings()]
        acts = [dict(row) for row in connection.execute(seal_act.select()).mappings()]
        marks = [dict(row) for row in connection.execute(seal_mark.select()).mappings()]
        marks += _of_feeds(connection, secret)
    body: dict[str, Any] = {
        "kith": _KIND, "secret": _id_of(secret), "orders": orders,
        "acts": [{k: v for k, v in act.items() if k != "act_id"} for act in acts if act["act"] not in _OF_THE_HOME],
        "marks": [{k: v for k, v in mark.items() if k != "mark_id"} for mark in marks],
    }  # fmt: skip
    with written_whole(into.absolute()) as part:
        part.write_text(json.dumps({**body, "mac": _mac(secret, body)}, indent=1), encoding="utf-8")
    return len(marks)


def _of_feeds(connection: sa.Connection, secret: bytes) -> list[dict[str, Any]]:
    """Marks of the orders that agencies' feeds brought."""
    by_hand = order_.c.since_extract.startswith(FROM_ORDER, autoescape=True)
    query = sa.select(order_.c.ref, order_.c.reason).where(order_.c.lifted_at.is_(None), ~by_hand)
    reasons = {str(ref): str(reason) for ref, reason in connection.execute(query)}
    return [
        {"mark": mark, "exact": exact, "place": place_of(ref), "what": "key", "reason": reasons[ref],
         "order_id": OF_FEEDS}
        for ref, (mark, exact) in marks_of(secret, reasons).items()
    ]  # fmt: skip


def import_seals(home: Home, ledger: Ledger, file: Path) -> int:
    """Takes up an exported index; the next run holds all that is in force against it, before it publishes.

    What this home knows already stays as it is: orders are only added.

    Returns:
        How many marks are new here.

    Raises:
        DeclarationError: It is no such file, it was altered, or it was made with another secret.
    """
    secret = seal_secret(home.keys)
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        told, kind = body.pop("mac"), body["kith"]
    except (OSError, ValueError, KeyError, AttributeError):
        raise _refused("this is no exported seal index", file, "name the file that `kith seal export` wrote") from None
    if kind != _KIND or body.get("secret") != _id_of(secret):
        raise _refused("it was made with another secret", file, f"put that home's keys into {home.keys}")
    if not hmac.compare_digest(str(told), _mac(secret, body)):
        raise _refused("it was altered since it was written", file, "take another copy")
    append(home, Event("seal.import", str(told)[:16], operator(), counts={"marks": len(body["marks"])}))
    with ledger.writing() as connection:
        known = set(connection.execute(sa.select(seal_order.c.order_id)).scalars())
        did = {(row.order_id, row.act, row.at) for row in connection.execute(seal_act.select())}
        for table, rows in (
            (seal_order, [row for row in body["orders"] if row["order_id"] not in known]),
            (seal_act, [row for row in body["acts"] if (row["order_id"], row["act"], row["at"]) not in did]),
        ):
            if rows:
                connection.execute(table.insert(), rows)
        return add_marks(connection, body["marks"])


def _id_of(secret: bytes) -> str:
    return hashlib.sha256(b"kith seal secret\0" + secret).hexdigest()[:16]


def _mac(secret: bytes, body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hmac.new(secret, b"kith seal export\0" + text.encode(), hashlib.sha256).hexdigest()


def _refused(what: str, file: Path, mend: str) -> DeclarationError:
    return DeclarationError(what, where=str(file), mend=mend)
