"""What the parties have agreed: memoranda (MOU), sharing of data in (DSA), use of data that goes out (DUL)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from governance.rules import Purpose, legal_bases
from standard.declarations import Declared
from standard.sensitivity import Sensitivity

AgeBand = Literal["minor", "adult", "unknown"]
NeedToKnow = Literal["open_case", "none"]
ADULT_FROM = 18
"""Years: parental consents lapse on this birthday."""


def _plain(pattern: str) -> str:
    if set(pattern) & set("?[]") or pattern.count(".") > 1 or not pattern.replace("*", "x").replace(".", "x").strip():
        raise ValueError(f"{pattern!r} is no field: write table.column or feed.element, with * for any of them")
    return pattern


Pattern = Annotated[str, AfterValidator(_plain)]


def matches(patterns: Iterable[str], field: str) -> bool:
    """Whether a field (`table.column` or `feed.element`) is one of those that some patterns name."""
    return any(fnmatchcase(field, pattern) for pattern in patterns)


class Roles(Declared):
    """Who agrees: the members of a memorandum; else who gives and who receives."""

    members: tuple[str, ...] = ()
    discloser: tuple[str, ...] = ()
    recipient: str | None = None


class Claim(Declared):
    """A legal basis with the evidence it needs."""

    basis: str
    evidence: dict[str, str]

    @model_validator(mode="after")
    def _has_its_evidence(self) -> Claim:
        if self.basis not in legal_bases():
            raise ValueError(f"{self.basis!r} is not one of {', '.join(legal_bases())}")
        needed = set(legal_bases()[self.basis].evidence)
        if needed != {name for name, told in self.evidence.items() if told and told.strip()}:
            raise ValueError(f"{self.basis} needs as evidence just: {', '.join(sorted(needed))}")
        return self


class Subjects(Declared):
    """About whom, in words and as a rule."""

    who: str
    age_bands: tuple[AgeBand, ...] = Field(min_length=1)
    need_to_know: NeedToKnow


class Fields(Declared):
    """Which fields: of a DSA `feed.element`, of a DUL `table.column` of the record; what is denied is never allowed."""

    allow: tuple[Pattern, ...] = Field(min_length=1)
    deny: tuple[Pattern, ...] = ()

    def covers(self, field: str) -> bool:
        """Whether a field is allowed and not denied."""
        return matches(self.allow, field) and not matches(self.deny, field)


class Linkage(Declared):
    """Whether the rows may be joined with those of other agencies."""

    allowed: bool


class Redisclosure(Declared):
    """Whether the recipient may pass on, and the notices that go along."""

    allowed: bool
    notice: tuple[str, ...] = ()


class Aggregates(Declared):
    """How counts are kept safe."""

    min_cell: int = Field(ge=1)
    complementary: bool = True
    dominance: tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0, lt=1)]] | None = None
    rounding: int | None = Field(default=None, ge=2)


class Destruction(Declared):
    """What becomes of the data when the agreement ends."""

    within_days: int = Field(ge=0)
    method: Literal["delete", "crypto_shred"]
    certificate: bool
    return_copy: bool = False


_IN_FULL = ("parent", "legal_basis", "subjects", "fields", "classes", "linkage", "redisclosure", "aggregates",
            "destruction")  # fmt: skip


class Agreement(Declared):
    """One agreement, as counsel signed it. A memorandum says only who and why; the others say all."""

    described_in: ClassVar[str] = "agreements in docs/governance.md"

    id: str
    kind: Literal["MOU", "DSA", "DUL"]
    title: str
    parent: str | None = None
    parties: Roles
    purpose: tuple[Purpose, ...] = Field(min_length=1)
    legal_basis: tuple[Claim, ...] = ()
    subjects: Subjects | None = None
    fields_: Fields | None = Field(default=None, alias="fields")
    classes: tuple[Sensitivity, ...] = ()
    linkage: Linkage | None = None
    redisclosure: Redisclosure | None = None
    aggregates: Aggregates | None = None
    effective: date
    expires: date
    review: date | None = None
    destruction: Destruction | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Agreement:
        if self.expires < self.effective:
            raise ValueError("it expires before it takes effect")
        given = [name for name in _IN_FULL if getattr(self, "fields_" if name == "fields" else name)]
        if self.kind == "MOU" and (given or self.parties.discloser or self.parties.recipient):
            raise ValueError(f"a memorandum says only who (members) and why, not: {', '.join(given) or 'discloser'}")
        if self.kind != "MOU" and (missing := [name for name in _IN_FULL if name not in given]):
            raise ValueError(f"a {self.kind} says also: {', '.join(missing)}")
        if (self.kind == "MOU") != bool(self.parties.members) or len(set(self.signers)) < 2:
            raise ValueError("name two parties at least: members of a memorandum, else discloser and recipient")
        return self

    @property
    def signers(self) -> tuple[str, ...]:
        """Every party that must have signed."""
        roles = self.parties
        return (*roles.members, *roles.discloser, *([roles.recipient] if roles.recipient else ()))

    def live_on(self, day: date) -> bool:
        """Whether its time has come and not passed; it lasts through its last day."""
        return self.effective <= day <= self.expires
