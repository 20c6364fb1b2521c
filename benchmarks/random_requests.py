"""Random agreements, policies and requests, most of them nearly right, to compare two engines on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

from governance.agreements import AgeBand, Agreement, Claim, Fields, Roles
from governance.decide import NOBODY, Request
from governance.load import Filed, Governance
from governance.parties import Officer, Parties, Party
from governance.policies import Policy, Rows
from governance.rules import Consent, class_of_sector, legal_bases
from governance.signatures import Signed
from mappings.load import Agency
from record.classes import column_classes
from standard.sensitivity import Sensitivity

Kind = Literal["MOU", "DSA", "DUL"]
DAY = date(2026, 6, 15)
SECTORS = {"school": "education", "police": "law_enforcement", "court": "court", "care": "child_welfare",
           "clinic": "behavioral_health", "hospital": "health"}  # fmt: skip
PURPOSES = ("individual_case_planning", "research", "audit", "emergency_safety")
_RIGHT = 0.93
"""The share in which an attribute is drawn from what may be allowed."""


def random_governance(random: Random) -> tuple[Governance, Policy]:
    """An exchange with one memorandum, a sharing agreement of each agency, one use, one policy; some of it wanting."""
    parties = Parties.model_construct(hub="hub", parties={name: _party(random, s) for name, s in
                                                          {"hub": None, **SECTORS}.items()})  # fmt: skip
    recipient = random.choice(["school", "police", "court", "care", "clinic"])
    use = _use(random, recipient)
    agreements = [_agreement(random, "MOU", "MOU", members=tuple(parties.parties)), use]
    agreements += [_agreement(random, f"DSA-{name}", "DSA", discloser=(name,), recipient="hub") for name in SECTORS]
    filed = {a.id: Filed(a, Path(), _signatures(random, a)) for a in agreements}
    agencies = {name: Agency(name, name, sector, None, None, "UTC", Path(), {}, {}, {}, {})
                for name, sector in SECTORS.items()}  # fmt: skip
    return Governance(Path(), parties, filed, agencies), _policy(random, use, recipient)


def _party(random: Random, sector: str | None) -> Party:
    cleared = (Sensitivity.CRIMINAL_JUSTICE,) if random.random() < 0.7 else ()
    officers: dict[str, Officer] = {}
    return Party.model_construct(
        name="", contact="", sector=sector, cleared=cleared, in_breach=random.random() < 0.02, officers=officers
    )


def _agreement(random: Random, name: str, kind: Kind, **roles: Any) -> Agreement:
    start = DAY - timedelta(days=random.randint(10, 300)) if random.random() < 0.98 else DAY + timedelta(days=20)
    return Agreement.model_construct(
        id=name, kind=kind, title="", parent=None if kind == "MOU" else "MOU", parties=_roles(**roles),
        purpose=tuple(random.sample(PURPOSES, 3)), effective=start, expires=start + timedelta(days=400),
        legal_basis=(), classes=(), fields_=None,
    )  # fmt: skip


def _roles(**given: Any) -> Roles:
    return Roles.model_construct(**({"members": (), "discloser": (), "recipient": None} | given))


def _use(random: Random, recipient: str) -> Agreement:
    disclosers = ("hub", *random.sample(list(SECTORS), random.randint(3, 6)))
    bases = random.sample(list(legal_bases()), random.randint(3, 10))
    tables = list(column_classes())
    allow = [f"{table}.*" for table in random.sample(tables, 20)] + ["*.person_id", "timeline.*"]
    deny = [f"{random.choice(tables)}.{random.choice(['*', '*_on', 'person_*'])}" for _ in range(2)]
    claims = tuple(Claim.model_construct(basis=basis, evidence={}) for basis in bases)
    sensitivities = tuple(random.sample(list(Sensitivity), 9))
    return _agreement(random, "DUL", "DUL", discloser=disclosers, recipient=recipient).model_copy(
        update={"legal_basis": claims, "classes": sensitivities,
                "fields_": Fields.model_construct(allow=tuple(allow), deny=tuple(deny))}
    )  # fmt: skip


def _signatures(random: Random, agreement: Agreement) -> Signed:
    by = {party: f"{party}_officer" for party in agreement.signers}
    if random.random() < 0.02:
        by.pop(random.choice(list(by)))
    return Signed("", by, {})


def _policy(random: Random, use: Agreement, recipient: str) -> Policy:
    tables = random.sample(list(column_classes()), 12)
    columns = {
        table: ("*",) if random.random() < 0.5 else tuple(random.sample(list(column_classes()[table]), 4))
        for table in tables
    }
    bands = tuple(random.sample(get_args(AgeBand), random.randint(1, 3)))
    rows = Rows.model_construct(age_bands=bands, need_to_know=random.choice(["none", "open_case"]), lowest_weight=None)
    return Policy.model_construct(
        policy="p", recipient=recipient, purpose=random.choice(use.purpose), agreement="DUL", columns=columns,
        treatments={}, rows=rows, aggregates=None,
    )  # fmt: skip


def random_requests(random: Random, governance: Governance, policy: Policy, number: int) -> list[Request]:
    """Requests about any column, agency and subject; of many all but one attribute would be allowed."""
    chosen = policy.chosen()
    return [_random_request(random, governance, policy, chosen) for _ in range(number)]


def _random_request(
    random: Random, governance: Governance, policy: Policy, columns: Mapping[str, list[str]]
) -> Request:
    use = governance.filed[policy.agreement].agreement
    table = random.choice(list(policy.columns) if random.random() < _RIGHT else list(column_classes()))
    chosen = columns.get(table) or list(column_classes()[table])
    column = random.choice(chosen) if random.random() < _RIGHT else random.choice(["no_such", *column_classes()[table]])
    agency = random.choice(use.parties.discloser if random.random() < _RIGHT else ["hub", "nobody_known", *SECTORS])
    sensitivity = random.choice(use.classes) if random.random() < _RIGHT else random.choice(list(Sensitivity))
    request = Request(
        recipient=policy.recipient if random.random() < _RIGHT else random.choice([*SECTORS, "stranger"]),
        purpose=policy.purpose if random.random() < _RIGHT else random.choice(PURPOSES),
        day=DAY + timedelta(days=random.choice([0] * 20 + [30, -30, 390, 420, -400])),
        agency=agency, table=table, column=column, sensitivity=sensitivity,
        source_class=random.choice([class_of_sector(SECTORS.get(agency))] * 12 + list(Sensitivity)),
        locates=random.random() < 0.2, sealed=random.random() < 0.05, location_protected=random.random() < 0.1,
        age_band=random.choice(policy.rows.age_bands) if random.random() < _RIGHT else random.choice(["minor", NOBODY]),
        open_case=random.random() < 0.8, identity_certain=random.random() < 0.95,
        consent=_random_consent(random), source_consent=_random_consent(random),
    )  # fmt: skip
    return _with_a_gap(random, request) if random.random() < 0.08 else request


def _random_consent(random: Random) -> Consent:
    return random.choices(list(Consent), weights=[40, 10, 30, 10, 10])[0]


def _with_a_gap(random: Random, request: Request) -> Request:
    missing: dict[str, Any] = {random.choice(list(vars(request))): None}
    return replace(request, **missing)
