"""What holds for every agreement: the rules of each sensitivity class, the closed list of legal bases, the reasons."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from standard.code_sets import choice_of, code_set
from standard.declarations import Declared, read_declaration
from standard.sensitivity import Sensitivity

_FOLDER = Path(__file__).parent


def _in(name: str) -> AfterValidator:
    def must_be_in_set(code: str) -> str:
        if code not in code_set(name):
            raise ValueError(f"{code!r} is not {choice_of(name)}")
        return code

    return AfterValidator(must_be_in_set)


Purpose = Annotated[str, _in("purpose")]
"""What data may be used for."""
Sector = Annotated[str, _in("sector")]
RecipientCode = Annotated[str, _in("recipient")]
"""How agencies name a recipient in their consents."""


class Reason(StrEnum):
    """Why a value is refused; the list is closed."""

    NO_AGREEMENT = "R01"
    EXPIRED = "R02"
    PURPOSE = "R03"
    FIELD = "R04"
    CLASS = "R05"
    CONSENT_REFUSED = "R06"
    CONSENT_MISSING = "R07"
    CONSENT_EXPIRED = "R08"
    NOT_NEEDED = "R09"
    NO_CASE_LINK = "R10"
    SEALED = "R11"
    """For the exchange's own log; whoever asks is told NO_CASE_LINK."""
    SMALL_CELL = "R12"
    RECIPIENT_NOT_CLEARED = "R13"
    LOCATION_PROTECTED = "R14"
    IDENTITY_UNCERTAIN = "R15"
    STALE_SOURCE = "R16"
    RECIPIENT_IN_BREACH = "R17"
    HOLD_LEGAL = "R18"
    POLICY_ERROR = "R19"


class Consent(StrEnum):
    """What a person's consents say of one class, recipient and purpose on a day."""

    GIVEN = "given"
    OVERRIDDEN = "overridden"
    MISSING = "missing"
    EXPIRED = "expired"
    REFUSED = "refused"


CONSENT_ORDER = (Consent.GIVEN, Consent.OVERRIDDEN, Consent.MISSING, Consent.EXPIRED, Consent.REFUSED)
"""From what permits most to what permits least: a row about several persons has the last that holds for one of them."""


class ClassRule(Declared):
    """The rules of one sensitivity class."""

    never: bool = False
    never_in: bool = False
    clearance: bool = False
    never_to: tuple[Sector, ...] = ()
    notice: str | None = None
    with_any_basis: bool = False
    minor_consents: bool = False
    """The consent is the minor's own to give, and a parent's is not enough."""


class Treatment(Declared):
    """What may be done to a column before it goes out."""

    of: Literal["id", "date"]
    gives: Sensitivity


class Classes(Declared):
    """classes.yaml."""

    classes: dict[Sensitivity, ClassRule]
    sectors: dict[Sector, Sensitivity]
    treatments: dict[str, Treatment]
    consent_scopes: dict[str, tuple[Sensitivity, ...]]

    @model_validator(mode="after")
    def _every_class_and_sector_has_its_rule(self) -> Classes:
        if missing := set(Sensitivity) - set(self.classes):
            raise ValueError(f"no rule for the classes {sorted(missing)}")
        if without := set(code_set("sector")) - set(self.sectors):
            raise ValueError(f"no class for the sectors {sorted(without)}")
        return self


class Basis(Declared):
    """One legal basis."""

    meaning: str
    citation: str
    serves: tuple[Sensitivity, ...]
    consent: bool = False
    override: bool = False
    evidence: dict[str, str] = Field(min_length=1)


class _Bases(Declared):
    bases: dict[str, Basis]


@cache
def classes() -> Classes:
    """The rules of the classes."""
    return read_declaration(_FOLDER / "classes.yaml", Classes)


@cache
def legal_bases() -> dict[str, Basis]:
    """The closed list of legal bases, by id."""
    return read_declaration(_FOLDER / "legal_bases.yaml", _Bases).bases


def bases_serving(sensitivity: Sensitivity, bases: Iterable[str]) -> list[str]:
    """Which of some legal bases hold for a class."""
    everywhere = classes().classes[sensitivity].with_any_basis
    return [name for name in bases if everywhere or sensitivity in legal_bases()[name].serves]


def treated(sensitivity: Sensitivity, treatment: str | None) -> Sensitivity:
    """The class of what a treatment leaves of a value; only what tells who it is is changed by one."""
    if treatment is None or sensitivity is not Sensitivity.DIRECT_IDENTIFIER:
        return sensitivity
    return classes().treatments[treatment].gives


def class_of_sector(sector: str | None) -> Sensitivity:
    """The class of the fact that an agency of a sector knows a person; without a sector (the hub) of no fact."""
    return classes().sectors[sector] if sector else Sensitivity.ADMINISTRATIVE
