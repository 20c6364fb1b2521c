"""Which receipts are owed and which were given, by the ledger; and what it knows of the delivery each is of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mappings.load import Agency
from receipts.receipt import REFUSALS, Before, Delivery, Outcome, Row, describe
from store.extracts import Disposition, FileFinding, Severity, Status
from store.home import Home
from store.ledger import (
    Ledger,
    account,
    code_pending,
    extract,
    file_finding,
    packed,
    receipt,
    received,
    refusal,
    verdict_of,
)

_FINAL = (Status.LOADED, Status.LOADED_LATE, Status.HELD, Status.DUPLICATE, Status.SUPERSEDED)
_COMPARED_WITH = 12
_JUDGED = (Status.LOADED, Status.LOADED_LATE, Status.HELD, Status.SUPERSEDED)


@dataclass(frozen=True)
class Owed:
    """One receipt that has not been written."""

    of: str
    """Extract or refusal."""
    verdict: str
    """Where the delivery stands; when this changes, another receipt is owed."""
    source: str | None
    """The source of the agency through which it came."""
    receipt_id: str


def owed_receipts(ledger: Ledger, agency: Agency) -> list[Owed]:
    """The receipts owed to an agency, in the order of arrival.

    A table that was read and is as it was before is no delivery.
    """
    of_tables = [name for name, feed in agency.feeds.items() if feed.arrives.table is not None]
    verdict = sa.case(
        (extract.c.status_reason.is_(None), extract.c.status),
        else_=extract.c.status + " " + extract.c.status_reason,
    )
    given = sa.select(sa.literal(1)).where(receipt.c.of == extract.c.extract_id, receipt.c.verdict == verdict)
    extracts = (
        sa.select(extract.c.extract_id, extract.c.feed, extract.c.status, extract.c.status_reason)
        .where(
            extract.c.agency == agency.agency, extract.c.status.in_(_FINAL), ~sa.exists(given),
            ~sa.and_(extract.c.feed.in_(of_tables), extract.c.status == Status.DUPLICATE),
        )
        .order_by(extract.c.seq)
    )  # fmt: skip
    given_refusals = sa.select(receipt.c.of).where(receipt.c.agency == agency.agency)
    refusals = sa.select(refusal).where(refusal.c.agency == agency.agency, refusal.c.refusal_id.not_in(given_refusals))
    with ledger.reading() as connection:
        found = [
            (row.extract_id, verdict_of(row.status, row.status_reason), _source(agency, row.feed))
            for row in connection.execute(extracts)
        ]
        found += [(row.refusal_id, f"refused {row.reason}", row.source) for row in connection.execute(refusals)]
        return [Owed(of, verdict, source, f"{of}-{_given(connection, of) + 1}") for of, verdict, source in found]


def _source(agency: Agency, feed: str) -> str | None:
    return agency.feeds[feed].source if feed in agency.feeds else None


def _given(connection: sa.Connection, of: str) -> int:
    return connection.execute(sa.select(sa.func.count()).where(receipt.c.of == of)).scalar_one()


def describe_delivery(home: Home, ledger: Ledger, agency: Agency, of: str, *, overdue: list[Row]) -> Row:
    """The receipt of an extract, or of what was refused without being read."""
    with ledger.reading() as connection:
        row = connection.execute(sa.select(extract).where(extract.c.extract_id == of)).mappings().first()
        if row is None:
            refused = connection.execute(sa.select(refusal).where(refusal.c.refusal_id == of)).mappings().one()
            return describe(_unread(refused), Outcome("refused", refused["reason"]), None, overdue=overdue)
        came = connection.execute(sa.select(packed).where(packed.c.extract_id == of)).mappings().first()
        feed = agency.feeds.get(row["feed"])
        outcome = _outcome(connection, home, row)
        return describe(
            _delivery(row, came), outcome, feed, before=deliveries_before(connection, row["agency"], row["feed"],
            seq=row["seq"]), overdue=[each for each in overdue if each["feed"] != row["feed"] or "missing" in each],
        )  # fmt: skip


def _unread(row: sa.RowMapping) -> Delivery:
    return Delivery(row["agency"], None, row["name"], row["size"], None, datetime.fromisoformat(row["at"]))


def _delivery(row: sa.RowMapping, came: sa.RowMapping | None) -> Delivery:
    whole = came or row
    return Delivery(
        agency=row["agency"], feed=row["feed"], name=row["name"], size=whole["size"], sha256=whole["sha256"],
        received_at=datetime.fromisoformat(row["received_at"]), as_of=datetime.fromisoformat(row["as_of"]).date(),
        holds=row["holds"], content_sha256=row["sha256"] if came else None, signer=came["signer"] if came else None,
    )  # fmt: skip


def _outcome(connection: sa.Connection, home: Home, row: sa.RowMapping) -> Outcome:
    of = row["extract_id"]
    counted = connection.execute(sa.select(received).where(received.c.extract_id == of)).first()
    accounts = connection.execute(sa.select(account).where(account.c.extract_id == of)).all()
    codes = sa.select(code_pending.c.element, sa.func.count().label("codes")).where(code_pending.c.first_extract == of)
    findings = home.batches / of / "findings.parquet"
    return Outcome(
        status=row["status"],
        reason=row["status_reason"],
        received=counted.rows if counted else None,
        declared=counted.declared if counted else None,
        counts={(each.disposition, each.reason): each.rows for each in accounts},
        of_the_file=_of_the_file(connection, of),
        findings=findings if counted and findings.is_file() else None,
        duplicate_of=told_of_first(connection, row["duplicate_of"]),
        new_codes={row.element: row.codes for row in connection.execute(codes.group_by(code_pending.c.element))},
    )


def _of_the_file(connection: sa.Connection, of: str) -> list[FileFinding]:
    query = sa.select(file_finding).where(file_finding.c.extract_id == of).order_by(file_finding.c.finding_id)
    return [
        FileFinding(each.code, Severity(each.severity), each.detail, each.rows) for each in connection.execute(query)
    ]


def told_of_first(connection: sa.Connection, extract_id: str | None) -> Row | None:
    """What is told of the delivery that a duplicate repeats: name, received_at, and where it stands."""
    if extract_id is None:
        return None
    row = connection.execute(sa.select(extract).where(extract.c.extract_id == extract_id)).one()
    return {"name": row.name, "received_at": row.received_at, "status": verdict_of(row.status, row.status_reason)}


def deliveries_before(connection: sa.Connection, agency: str, feed: str, *, seq: int) -> list[Before]:
    """The deliveries of a feed that came before one and were read, the newest first."""
    quarantined = (
        sa.select(sa.func.coalesce(sa.func.sum(account.c.rows), 0))
        .where(account.c.extract_id == extract.c.extract_id, account.c.disposition == Disposition.QUARANTINED)
        .scalar_subquery()
    )
    query = (
        sa.select(received.c.rows, quarantined.label("quarantined"))
        .join(extract, extract.c.extract_id == received.c.extract_id)
        .where(
            extract.c.agency == agency,
            extract.c.feed == feed,
            extract.c.seq < seq,
            extract.c.status.in_(_JUDGED),
            sa.func.coalesce(extract.c.status_reason, "").not_in(list(REFUSALS)),
        )
        .order_by(extract.c.seq.desc())
        .limit(_COMPARED_WITH)
    )
    return [Before(int(row.rows), int(row.quarantined)) for row in connection.execute(query)]  # a sum may be a Decimal
