"""Consents and overrides that the exchange itself records: append-only; a withdrawal is a record of its own."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa

from governance.parties import Parties
from governance.rules import legal_bases
from standard.code_sets import choice_of, code_set
from standard.errors import DeclarationError
from standard.sensitivity import Sensitivity
from store.ledger import Ledger, now
from store.registers import consent_record, override_record, override_review


class Grantor(StrEnum):
    """Who decides on a consent."""

    SUBJECT = "subject"
    PARENT = "parent"
    GUARDIAN = "guardian"
    COURT = "court"


@dataclass(frozen=True)
class Scope:
    """What a consent or an override is about: one person, recipients (party ids), purposes and classes."""

    subject: str
    recipients: tuple[str, ...]
    purposes: tuple[str, ...]
    classes: tuple[Sensitivity, ...]


def record_consent(
    ledger: Ledger, parties: Parties, scope: Scope, *, granted: bool, grantor: Grantor, authority: str, document: Path,
    since: date, until: date, by: str,
) -> str:  # fmt: skip
    """Writes down a consent given or withheld on paper, and gives its id.

    Args:
        ledger: The control plane.
        parties: Who may be a recipient, and whose officers may write it down.
        scope: What it is about; `subject` is a reference (agency/table/key).
        granted: Given; else withheld.
        grantor: Who decided.
        authority: What shows that the grantor may decide (birth certificate no., letters of guardianship, order no.).
        document: The signed paper as a file, of which only the hash is kept.
        since: First day.
        until: Last day.
        by: Officer who writes it down.

    Raises:
        DeclarationError: Something is unknown or missing; a consent without authority is invalid, not given.
    """
    _require_scope(scope, parties, by)
    if granted and not authority.strip():
        raise _refused("a consent without authority is invalid", "say by --authority what shows that the grantor may")
    if until < since:
        raise _refused("it ends before it begins", "give --until a later day than --from")
    row = {
        **_scope_row(scope), "decision": "granted" if granted else "withheld", "grantor": str(grantor),
        "authority": authority.strip(), "document_sha256": sha256_of(document), "since": since.isoformat(),
        "until": until.isoformat(), "recorded_by": by, "recorded_at": now(), "withdraws": None,
    }  # fmt: skip
    return _append(ledger, consent_record, "consent_id", row)


def withdraw_consent(ledger: Ledger, parties: Parties, consent_id: str, *, on: date, by: str) -> str:
    """Records that a consent is withdrawn from a day on; the consent itself stays as it was written.

    One that is withdrawn before its first day never counts: the withdrawal stands from that day on.

    Raises:
        DeclarationError: There is no such consent, it was withdrawn before, or the officer is unknown.
    """
    _require_officer(by, parties)
    c = consent_record
    with ledger.reading() as connection:
        row = connection.execute(sa.select(c).where(c.c.consent_id == consent_id)).mappings().first()
        again = connection.execute(sa.select(c.c.consent_id).where(c.c.withdraws == consent_id)).first()
    if row is None or row["decision"] != "granted":
        raise _refused(f"there is no consent {consent_id!r} to withdraw", "see: kith consent list")
    if again is not None:
        raise _refused(f"{consent_id} was withdrawn before", "see: kith consent list")
    withdrawal = dict(row) | {
        "decision": "withdrawn", "since": max(on.isoformat(), row["since"]), "recorded_by": by, "recorded_at": now(),
        "withdraws": consent_id,
    }  # fmt: skip
    return _append(ledger, c, "consent_id", withdrawal)


def add_override(
    ledger: Ledger, parties: Parties, scope: Scope, *, basis: str, evidence: Path, until: date, by: str,
    notify_family: bool, why_not_notified: str = "",
) -> str:  # fmt: skip
    """Records the decision to share although consent is withheld; it counts once a second person has agreed.

    Raises:
        DeclarationError: The basis is not on the closed list or does not hold for a class, or something is unknown.
    """
    _require_scope(scope, parties, by)
    allowed = [name for name, declared in legal_bases().items() if declared.override]
    if basis not in allowed:
        raise _refused(f"{basis!r} is no basis for an override", f"name one of: {', '.join(allowed)}")
    for sensitivity in scope.classes:
        if sensitivity not in legal_bases()[basis].serves:
            raise _refused(f"{basis} does not hold for {sensitivity}", "name a basis that serves the class")
    if not notify_family and not why_not_notified.strip():
        raise _refused("nobody says why the family is not told", "say why by --why-not-notified, or tell the family")
    row = {
        **_scope_row(scope), "basis": basis, "evidence_sha256": sha256_of(evidence), "until": until.isoformat(),
        "decided_by": by, "decided_at": now(), "notify_family": notify_family,
        "why_not_notified": why_not_notified.strip() or None,
    }  # fmt: skip
    return _append(ledger, override_record, "override_id", row)


def review_override(ledger: Ledger, parties: Parties, override_id: str, *, agreed: bool, by: str) -> None:
    """Records the word of a second person on an override.

    Raises:
        DeclarationError: There is no such override, it was reviewed, or the reviewer is who decided it.
    """
    _require_officer(by, parties)
    with ledger.writing() as connection:
        o, r = override_record, override_review
        decided_by = connection.execute(sa.select(o.c.decided_by).where(o.c.override_id == override_id)).scalar()
        if decided_by is None:
            raise _refused(f"there is no override {override_id!r}", "see: kith override list")
        if decided_by == by:
            raise _refused(f"{by} decided on it and cannot be the second person", "let another officer review it")
        if connection.execute(sa.select(r).where(r.c.override_id == override_id)).first() is not None:
            raise _refused(f"{override_id} was reviewed before", "record another override")
        row = {"override_id": override_id, "agreed": agreed, "reviewed_by": by, "reviewed_at": now()}
        connection.execute(r.insert().values(**row))


def sha256_of(document: Path) -> str:
    """The hash of a paper that shows something; the paper stays where it is.

    Raises:
        DeclarationError: There is no such file, or it is empty.
    """
    if not document.is_file() or not document.stat().st_size:
        raise DeclarationError("there is no such paper", where=str(document), mend="name the file of the signed paper")
    with document.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _append(ledger: Ledger, table: sa.Table, key: str, row: Mapping[str, object]) -> str:
    name = secrets.token_hex(8)
    with ledger.writing() as connection:
        connection.execute(table.insert().values(**{**row, key: name}))
    return name


def _scope_row(scope: Scope) -> dict[str, str]:
    return {
        "subject": scope.subject, "recipients": " ".join(scope.recipients), "purposes": " ".join(scope.purposes),
        "classes": " ".join(scope.classes),
    }  # fmt: skip


def _require_scope(scope: Scope, parties: Parties, by: str) -> None:
    _require_officer(by, parties)
    if len(scope.subject.split("/", 2)) != 3:
        raise _refused("the person is no reference", "name the person as agency/table/key")
    for name, given in (("recipient", scope.recipients), ("purpose", scope.purposes), ("class", scope.classes)):
        if not given:
            raise _refused(f"no {name} is named", f"name each by --{name}")
    _require_known("recipient", scope.recipients, list(parties.parties))
    for purpose in scope.purposes:
        if purpose not in code_set("purpose"):
            raise _refused(f"{purpose!r} is no purpose", choice_of("purpose"))


def _require_known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    if strangers := [name for name in given if name not in known]:
        raise _refused(f"no {what} is called {strangers[0]!r}", f"name one of: {', '.join(known)}")


def _require_officer(by: str, parties: Parties) -> None:
    if parties.party_of(by) is None:
        raise _refused(f"no party has an officer {by!r}", "name the id of an officer in governance/parties.yaml")


def _refused(what: str, mend: str) -> DeclarationError:
    return DeclarationError(what, where="the register of consents and overrides", mend=mend)
