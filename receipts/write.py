"""Write a receipt into the home: JSON for machines, its signature, and a page for people."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from receipts.owed import Owed
from receipts.page import page
from standard.errors import ExtractError
from store.audit_log import head
from store.home import Home, written_whole
from store.ledger import Ledger, now
from store.ledger import receipt as receipts
from store.sign import sign

ENDINGS = (".html", ".json.sig", ".json")
"""The files of one receipt in the order in which they are written: whoever sees the last one sees them all."""
_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Written:
    """A receipt in the home."""

    receipt_id: str
    agency: str
    folder: Path
    name: str
    """Of its files, without their endings."""

    @property
    def files(self) -> list[Path]:
        """HTML, signature, JSON."""
        return [self.folder / f"{self.name}{ending}" for ending in ENDINGS]


def write_receipt(home: Home, ledger: Ledger, owed: Owed, body: Mapping[str, Any], *, exchange: str) -> Written:
    """Writes the files of a receipt, then its line in the ledger. A kill between leaves it to the next run.

    Args:
        home: The home.
        ledger: Its control plane.
        owed: Which receipt it is.
        body: What it says.
        exchange: The name of the exchange.
    """
    log_ends = head(home)
    audit = log_ends.told() if log_ends else None  # with it the agency bears witness of the log
    told = {"exchange": exchange, "receipt": owed.receipt_id, "written_at": now(), **body, "audit": audit}
    content = json.dumps(told, indent=1, ensure_ascii=False).encode()
    written = _place(home, owed, body)
    for path, made in zip(written.files, (page(told).encode(), sign(content, home.keys), content), strict=True):
        with written_whole(path) as part:
            part.touch(mode=0o600)
            part.write_bytes(made)
    row = {"receipt_id": owed.receipt_id, "of": owed.of, "verdict": owed.verdict, "agency": written.agency}
    with ledger.writing() as connection:
        connection.execute(
            receipts.insert().values(
                **row, name=written.name, sha256=hashlib.sha256(content).hexdigest(), written_at=now(), sent_at=None,
            )
        )  # fmt: skip
    return written


def _place(home: Home, owed: Owed, body: Mapping[str, Any]) -> Written:
    """Under the time of arrival, the feed and the receipt's id; nothing of a name that an agency gave."""
    agency, feed = str(body["agency"]), _PLAIN.sub("_", body["feed"] or "refused")
    arrived = datetime.fromisoformat(body["delivery"]["received_at"])
    of, _, number = owed.receipt_id.rpartition("-")
    name = f"{arrived:%Y%m%dT%H%M%S}_{feed}_{of[:12]}-{number}"
    return Written(owed.receipt_id, agency, home.receipts / agency, name)


def unsent_receipts(home: Home, ledger: Ledger, agency: str) -> list[Written]:
    """Receipts that are written and not yet with the agency."""
    query = sa.select(receipts).where(receipts.c.agency == agency, receipts.c.sent_at.is_(None))
    with ledger.reading() as connection:
        rows = connection.execute(query.order_by(receipts.c.written_at, receipts.c.receipt_id)).all()
    return [Written(row.receipt_id, row.agency, home.receipts / row.agency, row.name) for row in rows]


def forget_lost(home: Home, ledger: Ledger, agency: str) -> None:
    """Takes back the lines of receipts that are not sent and whose files are gone: they are owed again."""
    written = unsent_receipts(home, ledger, agency)
    lost = [each.receipt_id for each in written if not all(path.is_file() for path in each.files)]
    if lost:
        with ledger.writing() as connection:
            connection.execute(receipts.delete().where(receipts.c.receipt_id.in_(lost)))


def note_sent(ledger: Ledger, written: Written) -> None:
    """Notes that a receipt is with the agency."""
    with ledger.writing() as connection:
        connection.execute(receipts.update().where(receipts.c.receipt_id == written.receipt_id).values(sent_at=now()))


def list_receipts(ledger: Ledger, *, agency: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
    """The newest receipts: receipt_id, agency, verdict, name, written_at, sent_at."""
    query = sa.select(receipts).where(receipts.c.name != "").order_by(receipts.c.written_at.desc()).limit(limit)
    if agency is not None:
        query = query.where(receipts.c.agency == agency)
    with ledger.reading() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def read_receipt(home: Home, ledger: Ledger, receipt_id: str) -> dict[str, Any]:
    """A receipt as it was written, found by its id, the start of it, or its extract.

    Raises:
        ExtractError: There is none, or its file is not what was written.
    """
    named = sa.or_(receipts.c.receipt_id.startswith(receipt_id, autoescape=True), receipts.c.name == receipt_id)
    query = sa.select(receipts).where(named, receipts.c.name != "").order_by(receipts.c.written_at.desc()).limit(1)
    with ledger.reading() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise ExtractError("there is no such receipt", where=receipt_id, mend="see: kith receipt list")
    path = home.receipts / row.agency / f"{row.name}.json"
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise ExtractError(
            "the file of the receipt is not what was written", where=str(path), mend="take it from your copy"
        )
    found: dict[str, Any] = json.loads(content)
    return found
