"""The decision on one tuple: who asks, for what, about which column and what kind of subject. Default: refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date

from governance.agreements import Agreement, NeedToKnow
from governance.load import Governance
from governance.policies import Policy
from governance.rules import Consent, Reason, bases_serving, class_of_sector, classes, legal_bases
from record.classes import column_classes
from standard.sensitivity import Sensitivity

NOBODY = "nobody"
"""The age band of a row that is about no person (an agency, a worker)."""


@dataclass(frozen=True)
class Request:
    """A value asked for, by all that may decide on it. None is an attribute that is missing: it is refused.

    Attributes:
        recipient: Who asks.
        purpose: What for.
        day: When.
        agency: Whose row it is; the hub of a table of no single agency (person).
        table: Table of the record.
        column: Its column.
        sensitivity: Class of what goes out of the column.
        source_class: Class of the fact that the agency knows the person.
        locates: The column tells where the person is.
        sealed: An order seals the person's record.
        location_protected: An agency keeps an address of the person confidential.
        age_band: minor, adult, unknown, nobody.
        open_case: The recipient has an open case with the person.
        identity_certain: The person's weakest link reaches what the policy asks for.
        consent: What the persons' consents say of `sensitivity`.
        source_consent: What they say of `source_class`.
    """

    recipient: str | None
    purpose: str | None
    day: date | None
    agency: str | None
    table: str | None
    column: str | None
    sensitivity: Sensitivity | None
    source_class: Sensitivity | None
    locates: bool | None
    sealed: bool | None
    location_protected: bool | None
    age_band: str | None
    open_case: bool | None
    identity_certain: bool | None
    consent: Consent | None
    source_consent: Consent | None


@dataclass(frozen=True)
class Window:
    """A sharing agreement of an agency: from when to when, for what."""

    agreement: str
    effective: date
    expires: date
    purposes: frozenset[str]


@dataclass(frozen=True)
class Terms:
    """A policy with its agreement and what stands behind it, ready to decide by."""

    policy: Policy
    columns: Mapping[str, frozenset[str]]
    """Table -> the columns the policy asks for."""
    agreement: Agreement
    valid: bool
    """The agreement and its memorandum are signed; whether their time has come is asked of each request."""
    sector: str | None
    cleared: frozenset[Sensitivity]
    in_breach: bool
    sources: Mapping[str, tuple[Window, ...]]
    """Agency -> its signed sharing agreements; the hub has none and needs none."""
    hub: str


@dataclass(frozen=True)
class Decision:
    """Allowed, or the reason why not.

    Attributes:
        reason: None where the value may go out; for the exchange's own log.
        path: The clauses that were asked, in order, the deciding one last.
    """

    reason: Reason | None
    path: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        return self.reason is None

    @property
    def shown(self) -> Reason | None:
        """What who asks is told: a sealed record looks like one without a case."""
        return Reason.NO_CASE_LINK if self.reason is Reason.SEALED else self.reason


def terms_of(governance: Governance, policy: Policy) -> Terms:
    """What a policy is decided by; nothing of it depends on a day."""
    party = governance.parties.parties[policy.recipient]
    agreement = governance.filed[policy.agreement].agreement
    shares = [f.agreement for f in governance.filed.values() if f.agreement.kind == "DSA"]
    signed = [a for a in shares if _signed(governance, a)]
    sources = {
        agency: tuple(_window(governance, a) for a in signed if agency in a.parties.discloser)
        for agency in agreement.parties.discloser
    }
    return Terms(
        policy=policy, columns={table: frozenset(columns) for table, columns in policy.chosen().items()},
        agreement=_within_parent(governance, agreement), valid=_signed(governance, agreement), sector=party.sector,
        cleared=frozenset(party.cleared), in_breach=party.in_breach, sources=sources, hub=governance.parties.hub,
    )  # fmt: skip


def _signed(governance: Governance, agreement: Agreement) -> bool:
    chain = [agreement.id, *([agreement.parent] if agreement.parent else [])]
    return not any(governance.filed[name].unsigned_by for name in chain)


def _within_parent(governance: Governance, agreement: Agreement) -> Agreement:
    """The agreement with a time that ends where its memorandum's does."""
    if agreement.parent is None:
        return agreement
    above = governance.filed[agreement.parent].agreement
    effective, expires = max(agreement.effective, above.effective), min(agreement.expires, above.expires)
    return agreement.model_copy(update={"effective": effective, "expires": expires})


def _window(governance: Governance, agreement: Agreement) -> Window:
    within = _within_parent(governance, agreement)
    return Window(agreement.id, within.effective, within.expires, frozenset(agreement.purpose))


def decide(terms: Terms, request: Request) -> Decision:
    """Decides on one request by the terms; whatever is not allowed expressly is refused.

    What concerns the agreement is asked before what concerns the person, so that a refusal tells of the person as
    little as can be.
    """
    if missing := [field.name for field in fields(request) if getattr(request, field.name) is None]:
        return Decision(Reason.POLICY_ERROR, (f"missing: {', '.join(missing)}",))
    path: list[str] = []
    for clause, ask in _CLAUSES:
        path.append(clause)
        if (reason := ask(terms, request)) is not None:
            return Decision(reason, tuple(path))
    return Decision(None, tuple(path))


def _never(_terms: Terms, request: Request) -> Reason | None:
    rules = classes().classes
    return Reason.CLASS if rules[_of(request)].never or rules[_source(request)].never else None


def _recipient(terms: Terms, request: Request) -> Reason | None:
    if request.recipient != terms.policy.recipient:
        return Reason.NO_AGREEMENT
    return Reason.RECIPIENT_IN_BREACH if terms.in_breach else None


def _agreement(terms: Terms, request: Request) -> Reason | None:
    agreement, day = terms.agreement, request.day
    assert day is not None
    if not terms.valid or request.agency not in agreement.parties.discloser or day < agreement.effective:
        return Reason.NO_AGREEMENT
    return Reason.EXPIRED if day > agreement.expires else None


def _purpose(terms: Terms, request: Request) -> Reason | None:
    return None if request.purpose == terms.policy.purpose else Reason.PURPOSE


def _source_agreement(terms: Terms, request: Request) -> Reason | None:
    """The agency's own sharing agreement is still in force, and for this purpose."""
    assert request.agency is not None and request.day is not None
    if request.agency == terms.hub:
        return None
    windows = terms.sources.get(request.agency, ())
    live = [window for window in windows if window.effective <= request.day <= window.expires]
    if not live:
        return Reason.EXPIRED if any(window.expires < request.day for window in windows) else Reason.NO_AGREEMENT
    return None if any(request.purpose in window.purposes for window in live) else Reason.PURPOSE


def _field(terms: Terms, request: Request) -> Reason | None:
    assert terms.agreement.fields_ is not None and request.table is not None
    if not terms.agreement.fields_.covers(f"{request.table}.{request.column}"):
        return Reason.FIELD
    return None if request.column in terms.columns.get(request.table, ()) else Reason.NOT_NEEDED


def _class(terms: Terms, request: Request) -> Reason | None:
    for sensitivity in (_of(request), _source(request)):
        rule = classes().classes[sensitivity]
        if sensitivity not in terms.agreement.classes:
            return Reason.CLASS
        if (rule.clearance and sensitivity not in terms.cleared) or terms.sector in rule.never_to:
            return Reason.RECIPIENT_NOT_CLEARED
    return None


def _seal(_terms: Terms, request: Request) -> Reason | None:
    return Reason.SEALED if request.sealed else None


def _need_to_know(terms: Terms, request: Request) -> Reason | None:
    asked: NeedToKnow = terms.policy.rows.need_to_know
    return Reason.NO_CASE_LINK if asked == "open_case" and not request.open_case else None


def _location(_terms: Terms, request: Request) -> Reason | None:
    return Reason.LOCATION_PROTECTED if request.locates and request.location_protected else None


def _age(terms: Terms, request: Request) -> Reason | None:
    return None if request.age_band in (*terms.policy.rows.age_bands, NOBODY) else Reason.NOT_NEEDED


def _consent(terms: Terms, request: Request) -> Reason | None:
    """A refusal counts whatever the legal basis is; where the only basis is consent, there must be one in force."""
    states = ((_of(request), request.consent), (_source(request), request.source_consent))
    if any(consent is Consent.REFUSED for _, consent in states):
        return Reason.CONSENT_REFUSED
    for sensitivity, consent in states:
        if consent not in (Consent.GIVEN, Consent.OVERRIDDEN) and not _free_basis(terms, sensitivity):
            return Reason.CONSENT_EXPIRED if consent is Consent.EXPIRED else Reason.CONSENT_MISSING
    return None


def _free_basis(terms: Terms, sensitivity: Sensitivity) -> bool:
    serving = bases_serving(sensitivity, [claim.basis for claim in terms.agreement.legal_basis])
    without = classes().classes[sensitivity].with_any_basis
    return without or any(not legal_bases()[name].consent for name in serving)


def _identity(_terms: Terms, request: Request) -> Reason | None:
    return None if request.identity_certain else Reason.IDENTITY_UNCERTAIN


_CLAUSES = (
    ("no policy releases this class", _never),
    ("the recipient is the policy's, and in no breach", _recipient),
    ("the agreement is in force with the agency that gives", _agreement),
    ("the purpose is the policy's", _purpose),
    ("the agency's sharing agreement is in force for the purpose", _source_agreement),
    ("the agreement allows the field and the policy needs it", _field),
    ("the agreement names the classes and the recipient is cleared", _class),
    ("no order seals it", _seal),
    ("the recipient has an open case", _need_to_know),
    ("the place of a protected person is kept", _location),
    ("the person's age is one agreed on", _age),
    ("consent", _consent),
    ("the person is surely one", _identity),
)


def _of(request: Request) -> Sensitivity:
    assert request.sensitivity is not None
    return request.sensitivity


def _source(request: Request) -> Sensitivity:
    assert request.source_class is not None
    return request.source_class


def request_for(governance: Governance, policy: Policy, *, table: str, column: str, agency: str, day: date) -> Request:
    """A request about a person of whom nothing speaks against it: what remains is the agreement's and policy's word."""
    sectors: dict[str, str | None] = {name: declared.sector for name, declared in governance.agencies.items()}
    sectors[governance.parties.hub] = None
    return Request(
        recipient=policy.recipient, purpose=policy.purpose, day=day, agency=agency, table=table, column=column,
        sensitivity=policy.class_of(table, column),
        source_class=class_of_sector(sectors[agency]) if agency in sectors else None,
        locates=column_classes()[table][column].locates, sealed=False, location_protected=False, age_band="minor",
        open_case=True, identity_certain=True, consent=Consent.MISSING, source_consent=Consent.MISSING,
    )  # fmt: skip


def about_unknown(request: Request) -> Request:
    """The same request about a child of whom the exchange knows nothing."""
    return replace(
        request, sealed=False, location_protected=False, age_band="unknown", open_case=False, identity_certain=True,
        consent=Consent.MISSING, source_consent=Consent.MISSING,
    )  # fmt: skip
