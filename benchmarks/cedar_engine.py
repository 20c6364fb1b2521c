"""The same agreements and policies in Cedar, compiled from their own words: a second engine that must decide alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date

import cedarpy

from governance.agreements import Agreement
from governance.decide import Request
from governance.load import Governance
from governance.policies import Policy
from governance.rules import classes, legal_bases
from record.classes import column_classes

SCHEMA = """
entity Recipient = { in_breach: Bool, cleared: Set<String>, sector: String };
entity Column;
action disclose appliesTo {
  principal: [Recipient], resource: [Column],
  context: {
    purpose: String, day: Long, agency: String, field: String, sensitivity: String, source_class: String,
    locates: Bool, sealed: Bool, location_protected: Bool, age_band: String, open_case: Bool,
    identity_certain: Bool, consent: String, source_consent: String
  }
};
"""
"""Cedar without a schema allows where an attribute is missing in a `forbid`; with it such a request has no decision."""


class CedarEngine:
    """Decides on requests by one policy."""

    def __init__(self, governance: Governance, policy: Policy) -> None:
        text = "\n".join([*_forbidden(), *_permitted(governance, policy)])
        self._schema = cedarpy.Schema.from_str(SCHEMA)
        checked = cedarpy.validate_policies(text, SCHEMA)
        if not checked.validation_passed:
            raise ValueError(f"Cedar refuses the policies: {checked.errors}")
        self._policies = cedarpy.PolicySet.from_str(text)
        self._entities = [
            {
                "uid": {"type": "Recipient", "id": name},
                "attrs": {"in_breach": party.in_breach, "cleared": sorted(party.cleared), "sector": party.sector or ""},
                "parents": [],
            }
            for name, party in governance.parties.parties.items()
        ]

    def allowed(self, requests: Sequence[Request]) -> list[bool]:
        """Whether each request is allowed; no decision, and any error on the way to one, is a refusal."""
        asked = [_request(request) for request in requests]
        results = cedarpy.is_authorized_batch(asked, self._policies, self._entities, self._schema)
        return [result.allowed and not result.diagnostics.errors for result in results]


def _request(request: Request) -> dict[str, object]:
    given = {field.name: getattr(request, field.name) for field in fields(request)}
    recipient, table, column = given.pop("recipient"), given.pop("table"), given.pop("column")
    field = None if table is None or column is None else f"{table}.{column}"
    context = {name: _plain(value) for name, value in (given | {"field": field}).items() if value is not None}
    return {
        "principal": {"type": "Recipient", "id": str(recipient)}, "action": 'Action::"disclose"',
        "resource": {"type": "Column", "id": str(field)}, "context": context,
    }  # fmt: skip


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.toordinal()
    return value if isinstance(value, bool) else str(value)


def _forbidden() -> Iterable[str]:
    yield _forbid("context.sealed")
    yield _forbid("context.locates && context.location_protected")
    yield _forbid("principal.in_breach")
    yield _forbid('context.consent == "refused" || context.source_consent == "refused"')
    for name, rule in classes().classes.items():
        concerned = f'(context.sensitivity == "{name}" || context.source_class == "{name}")'
        if rule.never:
            yield _forbid(concerned)
        if rule.clearance:
            yield _forbid(f'{concerned} && !principal.cleared.contains("{name}")')
        if rule.never_to:
            yield _forbid(f"{concerned} && {_set(rule.never_to)}.contains(principal.sector)")


def _forbid(when: str) -> str:
    return f"forbid (principal, action, resource) when {{ {when} }};"


def _permitted(governance: Governance, policy: Policy) -> Iterable[str]:
    filed = governance.filed[policy.agreement]
    if not _is_signed(governance, filed.agreement):
        return
    agreement = filed.agreement
    assert agreement.fields_ is not None
    conditions = [
        f'context.purpose == "{policy.purpose}"',
        *_time(governance, agreement),
        f"{_set(agreement.parties.discloser)}.contains(context.agency)",
        _any(_sources(governance)),
        _like(agreement.fields_.allow),
        f"!({_like(agreement.fields_.deny)})",
        _like([f"{table}.{column}" for table, wanted in policy.columns.items() for column in wanted]),
        f"{_set(f'{t}.{c}' for t in policy.columns for c in column_classes()[t])}.contains(context.field)",
        f"{_set(agreement.classes)}.contains(context.sensitivity)",
        f"{_set(agreement.classes)}.contains(context.source_class)",
        f"{_set([*policy.rows.age_bands, 'nobody'])}.contains(context.age_band)",
        "context.identity_certain",
        *(["context.open_case"] if policy.rows.need_to_know == "open_case" else []),
        *(_consent(agreement, sensitivity, consent) for sensitivity, consent in
          (("sensitivity", "consent"), ("source_class", "source_consent"))),
    ]  # fmt: skip
    when = "\n  && ".join(f"({condition})" for condition in conditions)
    yield f"permit (principal == Recipient::{json.dumps(policy.recipient)}, action, resource) when {{\n  {when}\n}};"


def _is_signed(governance: Governance, agreement: Agreement) -> bool:
    names = [agreement.id] + ([agreement.parent] if agreement.parent else [])
    return all(set(governance.filed[n].agreement.signers) <= set(governance.filed[n].signed.by) for n in names)


def _time(governance: Governance, agreement: Agreement) -> list[str]:
    chain = [agreement] + ([governance.filed[agreement.parent].agreement] if agreement.parent else [])
    return [
        f"context.day >= {each.effective.toordinal()} && context.day <= {each.expires.toordinal()}" for each in chain
    ]


def _sources(governance: Governance) -> Iterable[str]:
    yield f'context.agency == "{governance.parties.hub}"'
    for filed in governance.filed.values():
        share = filed.agreement
        if share.kind == "DSA" and _is_signed(governance, share):
            live = " && ".join(_time(governance, share))
            gives = f"{_set(share.parties.discloser)}.contains(context.agency)"
            yield f"{gives} && {_set(share.purpose)}.contains(context.purpose) && {live}"


def _consent(agreement: Agreement, sensitivity: str, consent: str) -> str:
    """A consent in force, or a class with a basis of this agreement that needs none."""
    bases = [legal_bases()[claim.basis] for claim in agreement.legal_basis]
    free = [name for name, rule in classes().classes.items()
            if rule.with_any_basis or any(name in basis.serves and not basis.consent for basis in bases)]  # fmt: skip
    return f'{_set(free)}.contains(context.{sensitivity}) || ["given", "overridden"].contains(context.{consent})'


def _like(patterns: Iterable[str]) -> str:
    return _any(f"context.field like {json.dumps(pattern)}" for pattern in patterns)


def _any(conditions: Iterable[str]) -> str:
    return " || ".join(f"({condition})" for condition in conditions) or "false"


def _set(values: Iterable[str]) -> str:
    return f"[{', '.join(json.dumps(str(value)) for value in values)}]"
