"""Why something may or may not go out, told for a person who asks: clauses, consents, what two policies differ in."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import duckdb

from governance.decide import Decision, Request, Terms, about_unknown, decide
from governance.load import Governance
from governance.policies import Policy
from governance.rules import CONSENT_ORDER, Consent, Reason
from governance.subjects import CONSENT_CLASSES, attach_consents, attach_subjects, read_registers
from record.reader import open_record
from standard.code_sets import choice_of, code_set
from standard.errors import DeclarationError
from store.home import Home
from store.ledger import Ledger

Row = dict[str, Any]


def explain_consent(
    home: Home, ledger: Ledger, governance: Governance, person: str, recipient: str, purpose: str, day: date
) -> list[Row]:
    """Class -> what a person's consents say for a recipient and purpose on a day; of nobody known nothing is said.

    Raises:
        DeclarationError: The recipient or the purpose is unknown.
    """
    if purpose not in code_set("purpose"):
        raise DeclarationError(f"{purpose!r} is no purpose", where="the command", mend=choice_of("purpose"))
    if recipient not in governance.parties.parties:
        raise DeclarationError(
            f"no party is called {recipient!r}", where=str(governance.folder / "parties.yaml"), mend="name one of them"
        )
    with open_record(home).to_duckdb() as con:
        registers = read_registers(ledger)
        attach_consents(con, registers, governance.parties, recipient=recipient, purpose=purpose, day=day)
        known = dict(con.execute(
            "SELECT class, state FROM consent_state JOIN person_source USING (person_id) WHERE person_ref = ?", [person]
        ).fetchall())  # fmt: skip
    missing = CONSENT_ORDER.index(Consent.MISSING)
    return [{"class": str(c), "consent": str(CONSENT_ORDER[known.get(str(c), missing)])} for c in CONSENT_CLASSES]


def explain_for_person(
    home: Home, ledger: Ledger, governance: Governance, terms: Terms, person: str, request: Request
) -> Decision:
    """The decision on a column about one person; a sealed person is told just as one of whom nothing is known."""
    assert request.day is not None
    with open_record(home).to_duckdb() as con:
        attach_subjects(con, terms, governance.parties, read_registers(ledger), day=request.day)
        about = _about(con, person, request)
    decision = decide(terms, about or about_unknown(request))
    if about is not None and decision.reason is not Reason.SEALED:
        return decision
    unknown = decide(terms, about_unknown(request))
    return unknown if unknown.reason else Decision(Reason.NO_CASE_LINK, unknown.path)


def _about(con: duckdb.DuckDBPyConnection, person: str, request: Request) -> Request | None:
    names = ("sealed", "location_protected", "age_band", "open_case", "identity_certain")
    wanted = ", ".join([*names, *(f"c_{name}" for name in CONSENT_CLASSES)])
    found = con.execute(
        f"SELECT {wanted} FROM subject JOIN person_source USING (person_id) WHERE person_ref = ?", [person]
    ).fetchone()
    if found is None:
        return None
    consents = dict(zip(CONSENT_CLASSES, found[len(names) :], strict=True))
    said = [
        CONSENT_ORDER[consents[of]] if of in consents else Consent.MISSING
        for of in (request.sensitivity, request.source_class)
    ]
    flags = dict(zip(names, found[: len(names)], strict=True))
    return replace(request, **flags, consent=said[0], source_consent=said[1])


def newly_visible(before: Policy, after: Policy) -> list[Row]:
    """What one policy gives out that another did not: columns, columns in a plainer form, more rows."""
    seen = {(t, c): before.treatment_of(f"{t}.{c}") for t, columns in before.chosen().items() for c in columns}
    rows: list[Row] = []
    for table, columns in after.chosen().items():
        for column in columns:
            treatment = after.treatment_of(f"{table}.{column}")
            if (table, column) not in seen:
                rows.append(_row(table, column, after, "is new"))
            elif treatment != seen[table, column]:
                was = seen[table, column] or "as it is"
                rows.append(_row(table, column, after, f"was {was}, is {treatment or 'as it is'}"))
    return rows + _more_rows(before, after)


def _row(table: str, column: str, policy: Policy, change: str) -> Row:
    return {"table": table, "column": column, "class": str(policy.class_of(table, column)), "change": change}


def _more_rows(before: Policy, after: Policy) -> list[Row]:
    changes = []
    if before.rows.need_to_know == "open_case" and after.rows.need_to_know == "none":
        changes.append("persons without an open case")
    changes += [f"persons of age {band}" for band in after.rows.age_bands if band not in before.rows.age_bands]
    if (before.rows.lowest_weight or float("-inf")) > (after.rows.lowest_weight or float("-inf")):
        changes.append("persons whose links are weaker")
    for name in ("recipient", "purpose"):
        if getattr(before, name) != getattr(after, name):
            changes.append(f"{name} {getattr(after, name)}")
    return [{"table": "(rows)", "column": "", "class": "", "change": f"{change} are new"} for change in changes]
