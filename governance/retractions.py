"""Tell those who received rows of a person that they must go: by order of a court, or where a consent was withdrawn."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from governance.disclosures import recipients_of
from governance.parties import Parties
from record.snapshot import Snapshot, current_snapshot
from standard.errors import DeclarationError
from store.audit_entry import Event
from store.audit_log import append
from store.home import Home, connect, literal
from store.ledger import Ledger, now
from store.registers import consent_record, retraction, retraction_act

ANSWER_WITHIN = timedelta(days=14)
"""How long a recipient has to say that it is done."""


@dataclass(frozen=True)
class Notice:
    """What a recipient is told; nothing in it tells whom it is about, or why."""

    notice_id: str
    recipient: str
    releases: tuple[str, ...]
    answer_by: date


def order_notices(
    home: Home, ledger: Ledger, order_id: str, persons: frozenset[str], *, agencies: frozenset[str], today: date
) -> list[dict[str, str]]:
    """The lines of `retraction` for an order that arrived.

    Args:
        home: The home.
        ledger: Its control plane.
        order_id: The order.
        persons: Whom it is about, by the ids of the record in force.
        agencies: Whose own rows it covers; they are told where they were told of their persons before.
        today: From when the days to answer count.
    """
    releases = _received(home, ledger, persons)
    for agency in agencies:
        if (home.outbound / agency / "TOLD").is_file():
            releases.setdefault(agency, set())
    return [_line("order", order_id, name, ids, today) for name, ids in sorted(releases.items())]


def note_withdrawals(home: Home, ledger: Ledger, parties: Parties | None, *, today: date) -> int:
    """Owes a notice for every consent that was withdrawn to each of its recipients who received rows of the person.

    Consents that the exchange wrote down and those that agencies sent; each is told of once.

    Returns:
        How many notices are new.
    """
    snapshot = current_snapshot(home)
    if snapshot is None or not snapshot.table("person_source").is_file():
        return 0
    told = _told(ledger)
    lines = []
    for consent_id, subject, recipients in _withdrawn(ledger, snapshot, today):
        if consent_id not in told:
            received = _received(home, ledger, _persons(snapshot, subject))
            named = {name for name in received if _is_named(name, recipients, parties)}
            lines += [_line("consent", consent_id, name, received[name], today) for name in sorted(named)]
    if lines:
        with ledger.writing() as connection:
            connection.execute(retraction.insert(), lines)
    return len(lines)


def _told(ledger: Ledger) -> set[str]:
    with ledger.reading() as connection:
        return set(connection.execute(sa.select(retraction.c.of).where(retraction.c.cause == "consent")).scalars())


def _withdrawn(ledger: Ledger, snapshot: Snapshot, today: date) -> list[tuple[str, str, set[str]]]:
    """(id, subject, recipients) of consents withdrawn by now."""
    c = consent_record
    query = sa.select(c.c.consent_id, c.c.subject, c.c.recipients)
    with ledger.reading() as connection:
        rows = connection.execute(query.where(c.c.decision == "withdrawn", c.c.since <= today.isoformat())).all()
    found = [(str(row.consent_id), str(row.subject), set(row.recipients.split())) for row in rows]
    with connect() as con:
        sent = con.execute(
            "SELECT row_id, person_ref, coalesce(recipient, recipient_source, 'all') FROM"
            f" read_parquet({literal(snapshot.table('consent'))}) WHERE decision = 'withdrawn' AND withdrawn_on <= ?",
            [today],
        ).fetchall()
    return found + [(row_id, person, {recipient}) for row_id, person, recipient in sent]


def _is_named(name: str, recipients: set[str], parties: Parties | None) -> bool:
    party = parties.parties.get(name) if parties else None
    return bool({name, "all", *(party.consent_as if party else ())} & recipients)


def _persons(snapshot: Snapshot, subject: str) -> frozenset[str]:
    with connect() as con:
        source = f"read_parquet({literal(snapshot.table('person_source'))})"
        found = con.execute(f"SELECT DISTINCT person_id FROM {source} WHERE person_ref = ?", [subject]).fetchall()
    return frozenset(person_id for (person_id,) in found)


def _received(home: Home, ledger: Ledger, persons: frozenset[str]) -> dict[str, set[str]]:
    """Recipient -> the releases in which it received rows of these persons."""
    found: dict[str, set[str]] = defaultdict(set)
    if persons:
        for row in recipients_of(home, ledger, sorted(persons)).to_pylist():
            found[row["recipient"]].add(row["release_id"])
    return found


def _line(cause: str, of: str, recipient: str, releases: set[str], today: date) -> dict[str, str]:
    return {
        "notice_id": secrets.token_hex(8), "cause": cause, "of": of, "recipient": recipient,
        "releases": " ".join(sorted(releases)), "answer_by": (today + ANSWER_WITHIN).isoformat(), "written_at": now(),
    }  # fmt: skip


def unsent(ledger: Ledger, recipient: str) -> list[Notice]:
    """The notices to a recipient that have not been sent, the oldest first."""
    r, a = retraction, retraction_act
    sent = sa.select(a.c.notice_id).where(a.c.act == "sent")
    query = sa.select(r).where(r.c.recipient == recipient, r.c.notice_id.not_in(sent)).order_by(r.c.written_at)
    with ledger.reading() as connection:
        rows = connection.execute(query).all()
    return [
        Notice(row.notice_id, row.recipient, tuple(row.releases.split()), date.fromisoformat(row.answer_by))
        for row in rows
    ]


def content_of(notice: Notice) -> Mapping[str, Any]:
    """What is written to the recipient."""
    return {
        "kith": "retraction 1", "action": "RETRACT", "notice": notice.notice_id, "recipient": notice.recipient,
        "releases": list(notice.releases), "answer_by": notice.answer_by.isoformat(),
        "what_to_do": "Delete the rows that the retractions of the next release and the next feed back name, with all "
                      "copies and what was derived from them, and answer with the number of this notice.",
    }  # fmt: skip


def note_sent(ledger: Ledger, notice: Notice, *, who: str) -> None:
    """Writes down that a notice lies where the recipient fetches it."""
    with ledger.writing() as connection:
        connection.execute(retraction_act.insert().values(notice_id=notice.notice_id, act="sent", who=who, at=now()))


def acknowledge(home: Home, ledger: Ledger, notice_id: str, *, by: str) -> None:
    """Writes down that a recipient has answered that it is done.

    Raises:
        DeclarationError: There is no such notice, or it was answered before.
    """
    where, mend = "the register of retractions", "see: kith seal status"
    with ledger.writing() as connection:
        if connection.execute(sa.select(retraction).where(retraction.c.notice_id == notice_id)).first() is None:
            raise DeclarationError(f"there is no notice {notice_id!r}", where=where, mend=mend)
        answered = sa.and_(retraction_act.c.notice_id == notice_id, retraction_act.c.act == "acknowledged")
        if connection.execute(sa.select(retraction_act).where(answered)).first() is not None:
            raise DeclarationError(f"{notice_id} was answered before", where=where, mend=mend)
        append(home, Event("retraction", notice_id, by, role="officer", decision="acknowledged"))
        row = {"notice_id": notice_id, "act": "acknowledged", "who": by, "at": now()}
        connection.execute(retraction_act.insert().values(**row))


def notices(ledger: Ledger, *, today: date, of: str | None = None) -> list[dict[str, Any]]:
    """Every notice with how it stands: `answered`, `waits`, or `overdue` where the agreed days are over."""
    query = sa.select(retraction).order_by(retraction.c.written_at, retraction.c.recipient)
    with ledger.reading() as connection:
        rows = connection.execute(query if of is None else query.where(retraction.c.of == of)).mappings().all()
        acts = {(act.notice_id, act.act): act.at for act in connection.execute(sa.select(retraction_act))}
    told = []
    for row in rows:
        answered = acts.get((row["notice_id"], "acknowledged"))
        waits = "overdue" if row["answer_by"] < today.isoformat() else "waits"
        told.append({**row, "sent": acts.get((row["notice_id"], "sent")), "stands": "answered" if answered else waits,
                     "answered": answered})  # fmt: skip
    return told
