"""Reading a governance folder whole: parties, agreements with their signatures, and which of them are in force."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from governance.agreements import Agreement, matches
from governance.parties import Parties, read_parties
from governance.rules import bases_serving, classes, legal_bases
from governance.signatures import SUFFIX, Signed, read_signatures
from mappings.load import Agency
from mappings.places import Place
from record.classes import column_classes
from record.snapshot import fingerprint
from standard.declarations import read_declaration
from standard.errors import DeclarationError
from store.home import Home

log = logging.getLogger(__name__)


class Standing(StrEnum):
    """Whether an agreement counts on a day."""

    IN_FORCE = "in force"
    UNSIGNED = "unsigned"
    NOT_YET = "not yet in force"
    EXPIRED = "expired"
    PARENT = "its memorandum is not in force"


@dataclass(frozen=True)
class Filed:
    """An agreement in its file with its signatures."""

    agreement: Agreement
    path: Path
    signed: Signed

    @property
    def unsigned_by(self) -> list[str]:
        """The parties without a valid signature under the file as it is."""
        return [party for party in self.agreement.signers if party not in self.signed.by]


@dataclass(frozen=True)
class Governance:
    """All that is agreed in an exchange."""

    folder: Path
    parties: Parties
    filed: Mapping[str, Filed]
    """Agreement id -> agreement."""
    agencies: Mapping[str, Agency]

    def standing(self, agreement_id: str, day: date) -> Standing:
        """Whether an agreement counts on a day, and why not."""
        filed = self.filed[agreement_id]
        agreement = filed.agreement
        if filed.unsigned_by:
            return Standing.UNSIGNED
        if not agreement.live_on(day):
            return Standing.NOT_YET if day < agreement.effective else Standing.EXPIRED
        if agreement.parent and self.standing(agreement.parent, day) is not Standing.IN_FORCE:
            return Standing.PARENT
        return Standing.IN_FORCE

    def in_force(self, kind: str, day: date) -> list[Agreement]:
        """The agreements of a kind that count on a day, by id."""
        found = (filed.agreement for name, filed in sorted(self.filed.items()) if filed.agreement.kind == kind)
        return [agreement for agreement in found if self.standing(agreement.id, day) is Standing.IN_FORCE]

    def why_not(self, agreement_id: str, day: date) -> str:
        """In words why an agreement does not count; empty where it does."""
        filed, standing = self.filed[agreement_id], self.standing(agreement_id, day)
        if standing is Standing.IN_FORCE:
            return ""
        if standing is not Standing.UNSIGNED:
            return str(standing)
        faults = {party: filed.signed.wrong.get(party, "has not signed") for party in filed.unsigned_by}
        told = {fault: [p for p in faults if faults[p] == fault] for fault in faults.values()}
        return "; ".join(f"{', '.join(who)}: {fault}" for fault, who in told.items())

    def versions(self) -> dict[str, str]:
        """What a snapshot's manifest says of it: the whole folder, and every agreement by its sha256."""
        agreements = {f"agreement {name}": filed.signed.sha256 for name, filed in sorted(self.filed.items())}
        return {"governance": fingerprint(self.folder, suffixes=(".yaml",)), **agreements}


def governance_folder(home: Home) -> Path:
    """Where a home keeps its parties, agreements and policies."""
    return home.root / "governance"


def load_governance(folder: Path, agencies: Mapping[str, Agency]) -> Governance:
    """Reads and checks parties and agreements; whether one is signed and in force is asked of what comes back.

    Args:
        folder: The home's `governance/`.
        agencies: The agencies of the exchange, whose feeds sharing agreements name.

    Raises:
        DeclarationError: The first thing that is wrong, with file and line.
    """
    parties = read_parties(folder)
    paths = sorted(p for p in (folder / "agreements").glob("*.yaml") if not p.name.endswith(SUFFIX))
    filed: dict[str, Filed] = {}
    for path in paths:
        agreement = read_declaration(path, Agreement)
        if agreement.id != path.stem:
            raise Place(path).wrong(f"the agreement is called {agreement.id!r}", "id", mend="name the file as the id")
        filed[agreement.id] = Filed(agreement, path, read_signatures(path, parties))
    governance = Governance(folder, parties, filed, agencies)
    for each in filed.values():
        _check(each, governance)
    return governance


def _check(filed: Filed, governance: Governance) -> None:
    agreement, place = filed.agreement, Place(filed.path)
    for party in agreement.signers:
        if party not in governance.parties.parties:
            raise place.wrong(f"no party is called {party!r}", "parties", mend="name one of parties.yaml, or add it")
    if agreement.kind == "DSA" and agreement.parties.recipient != governance.parties.hub:
        raise place.wrong("data comes in to the hub only", "parties", mend=f"recipient: {governance.parties.hub}")
    _check_parent(agreement, place, governance)
    _check_classes(agreement, place)
    _check_fields(agreement, place, governance)


def _check_parent(agreement: Agreement, place: Place, governance: Governance) -> None:
    if agreement.parent is None:
        return
    above = governance.filed.get(agreement.parent)
    if above is None or above.agreement.kind != "MOU":
        raise place.wrong(f"no memorandum is called {agreement.parent!r}", "parent", mend="name the id of a MOU")
    if strangers := set(agreement.signers) - set(above.agreement.signers):
        raise place.wrong(
            f"{sorted(strangers)[0]} is no member of {agreement.parent}", "parties", mend="let it join the memorandum"
        )
    if foreign := set(agreement.purpose) - set(above.agreement.purpose):
        raise place.wrong(
            f"the purpose {sorted(foreign)[0]} is not one of {agreement.parent}", "purpose", mend="agree on it there"
        )


def _check_classes(agreement: Agreement, place: Place) -> None:
    """Every class may be agreed on, has a legal basis, and what goes out of it carries its notice."""
    bases = [claim.basis for claim in agreement.legal_basis]
    notices = agreement.redisclosure.notice if agreement.redisclosure else ()
    for number, name in enumerate(agreement.classes):
        rule = classes().classes[name]
        if rule.never_in or (rule.never and agreement.kind == "DUL"):
            raise place.wrong(f"no agreement can give out {name}", "classes", number, mend="take the class away")
        if not bases_serving(name, bases):
            what = f"no legal basis of this agreement holds for {name}"
            serving = ", ".join(bases_serving(name, legal_bases()))
            raise place.wrong(what, "classes", number, mend=f"name one that does, with its evidence: {serving}")
        if rule.notice and agreement.kind == "DUL" and rule.notice not in notices:
            what = f"{name} goes out only with the notice {rule.notice}"
            raise place.wrong(what, "redisclosure", "notice", mend=f"add {rule.notice} to redisclosure.notice")


def _check_fields(agreement: Agreement, place: Place, governance: Governance) -> None:
    takes_part = agreement.kind == "DUL" or set(agreement.parties.discloser) & set(governance.agencies)
    if agreement.fields_ is None or not takes_part:  # what an agency would send that is not here nobody can know
        return
    known = _record_fields() if agreement.kind == "DUL" else _fed_fields(agreement, governance)
    for key in ("allow", "deny"):
        for number, pattern in enumerate(getattr(agreement.fields_, key)):
            if not any(matches([pattern], field) for field in known):
                raise place.wrong(
                    f"no field is called {pattern!r}", "fields", key, number,
                    mend="see kith dictionary" if agreement.kind == "DUL" else "see kith agency check",
                )  # fmt: skip


def _record_fields() -> list[str]:
    return [f"{table}.{column}" for table, columns in column_classes().items() for column in columns]


def _fed_fields(agreement: Agreement, governance: Governance) -> list[str]:
    agencies = [governance.agencies[name] for name in agreement.parties.discloser if name in governance.agencies]
    return [f"{f.feed}.{element}" for agency in agencies for f in agency.feeds.values() for element in f.elements]


def tell_what_does_not_count(governance: Governance, day: date) -> None:
    """Warns in the log of every agreement that is not in force, and why."""
    for name in sorted(governance.filed):
        if why := governance.why_not(name, day):
            log.warning("agreement %s is not in force: %s", name, why)


def unknown_agreement(name: str, governance: Governance) -> DeclarationError:
    """The error that there is no such agreement."""
    return DeclarationError(
        f"there is no agreement {name!r}",
        where=str(governance.folder / "agreements"),
        mend=f"name one of: {', '.join(governance.filed) or '(there is none yet)'}",
    )
