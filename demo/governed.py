"""Agreements for the demo's exchanges: officers with keys of their own, everything drafted, evidenced and signed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from governance import draft
from governance.load import governance_folder
from governance.parties import read_parties
from governance.rules import legal_bases
from governance.signatures import SUFFIX, sign
from mappings.load import Agency
from standard.sensitivity import Sensitivity
from store.home import Home, written_whole

HUB, RESEARCH = "kith_hub", "county_research"
MEMORANDUM = "MOU-1"
PURPOSES = ("individual_case_planning", "evaluation_performance", "research")
EVIDENCE = {key: f"as the demo has it: {meaning.lower()}" for basis in legal_bases().values()
            for key, meaning in basis.evidence.items()}  # fmt: skip
_CONSENT_AS = {"education": ["schools"], "law_enforcement": ["police"], "court": ["court"],
               "child_welfare": ["child_services"]}  # fmt: skip


@dataclass(frozen=True)
class Term:
    """From when to when everything is agreed."""

    effective: date
    expires: date


def govern(home: Home, agencies: Mapping[str, Agency], *, term: Term, keys: Path) -> None:
    """Writes and signs a memorandum, a sharing agreement of each agency, and one policy for research.

    Args:
        home: A home; its `governance/` must be empty or missing.
        agencies: Who takes part.
        term: Its time.
        keys: Folder for the officers' private keys, which in life lie with each officer.
    """
    folder = governance_folder(home)
    parties = {HUB: None, RESEARCH: None, **{name: agency.sector for name, agency in agencies.items()}}
    write_parties(folder, parties, keys=keys)
    text = draft.memorandum(MEMORANDUM, members=list(parties), purposes=PURPOSES, **vars(term))
    write(folder / "agreements" / f"{MEMORANDUM}.yaml", text)
    for number, agency in enumerate(agencies.values(), start=1):
        name = f"DSA-{number}"
        text = draft.sharing(
            name, agency, parent=MEMORANDUM, hub=HUB, purposes=PURPOSES, evidence=EVIDENCE, **vars(term)
        )
        write(folder / "agreements" / f"{name}.yaml", text)
    write(folder / "agreements" / "DUL-1.yaml", _research(list(agencies), term))
    write(folder / "policies" / "research.yaml", RESEARCH_POLICY)
    sign_all(folder, keys=keys, today=term.effective)


RESEARCH_FIELDS = ("person.*", "timeline.*", "enrollment.*", "attendance_day.*", "discipline.*", "placement.*",
                   "removal.*", "cw_report.*", "allegation.*", "case.*", "charge.*", "police_contact.*",
                   "person_demographic.*")  # fmt: skip
RESEARCH_POLICY = """\
policy: research
recipient: county_research
purpose: research
agreement: DUL-1
columns:
  person: [person_id, agencies]
  person_demographic: [person_id, birth_date, sex, race, agency_id]
  timeline: [person_id, event_type, occurred_on, ended_on, code, agency_id]
  enrollment: [person_id, school_id, grade, entry_date, exit_date, exit_type, agency_id]
  discipline: [person_id, date, behavior, action, agency_id]
  placement: [person_id, setting, started_on, ended_on, agency_id]
treatments:
  "*.person_id": pseudonym
  person_demographic.birth_date: year
rows: {age_bands: [minor, adult, unknown], need_to_know: none}
"""


def _research(disclosers: Sequence[str], term: Term) -> str:
    classes = [Sensitivity(name) for name in ("administrative", "demographic", "education", "criminal_justice",
                                              "juvenile_court", "child_protection", "health")]  # fmt: skip
    return draft.use(
        "DUL-1", disclosers=[HUB, *disclosers], recipient=RESEARCH, parent=MEMORANDUM, purposes=["research"],
        fields=RESEARCH_FIELDS, sensitivities=classes, need_to_know="none", evidence=EVIDENCE, **vars(term),
    )  # fmt: skip


def write_parties(folder: Path, sectors: Mapping[str, str | None], *, keys: Path) -> None:
    """Writes parties.yaml with one officer a party, `<party>_officer`, and the officers' keys into a folder.

    Args:
        folder: The governance folder.
        sectors: Party -> its sector; the first is the hub.
        keys: Where the private keys go.
    """
    parties = {name: _party(name, sector, keys) for name, sector in sectors.items()}
    text = yaml.safe_dump({"hub": next(iter(sectors)), "parties": parties}, sort_keys=False)
    write(folder / "parties.yaml", text)


def _party(name: str, sector: str | None, keys: Path) -> dict[str, object]:
    officer = {"name": f"Officer of {name}", "title": "Counsel", "key": make_key(keys / f"{name}_officer")}
    party: dict[str, object] = {"name": name.replace("_", " ").title(), "contact": f"records@{name}.example"}
    if sector:
        party |= {"sector": sector, "consent_as": _CONSENT_AS.get(sector, [])}
    return party | {"cleared": ["criminal_justice"], "officers": {f"{name}_officer": officer}}


def make_key(path: Path) -> str:
    """Makes an officer's private key (mode 0600) and gives the public one as parties.yaml has it."""
    key = Ed25519PrivateKey.generate()
    with written_whole(path) as part:
        part.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def sign_all(folder: Path, *, keys: Path, today: date, only: Iterable[str] | None = None) -> None:
    """Lets the officer of every party sign every agreement (or only those named) that the party has a part in."""
    parties = read_parties(folder)
    for path in sorted((folder / "agreements").glob("*.yaml")):
        if path.name.endswith(SUFFIX) or (only is not None and path.stem not in only):
            continue
        roles = yaml.safe_load(path.read_text(encoding="utf-8"))["parties"]
        signers = [*roles.get("members", []), *roles.get("discloser", []), *filter(None, [roles.get("recipient")])]
        for officer in (f"{party}_officer" for party in signers):
            sign(path, parties, officer=officer, key=keys / officer, passphrase=None, today=today)


def write(path: Path, text: str) -> None:
    """Writes a file of the governance folder."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
