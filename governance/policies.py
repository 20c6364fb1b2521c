"""What a recipient is given for a purpose: a policy names the columns needed, never more than its agreement allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from governance.agreements import AgeBand, Aggregates, Agreement, NeedToKnow, Pattern, matches
from governance.load import Governance
from governance.rules import Purpose, classes, treated
from mappings.places import Place
from record.classes import column_classes, lineage
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError
from standard.sensitivity import Sensitivity

Involvement = Literal["full", "existence", "hidden"]
_EXISTENCE: Mapping[str, tuple[str, ...]] = {"involvement": ("person_id", "agency_id")}
"""What tells no more than that an agency knows a person."""
_KNOWN_BY: Mapping[str, tuple[str, ...]] = {
    "involvement": ("*",),
    "person_source": ("*",),
    "person": ("agencies", "agency_ids", "mentions"),
}
"""What tells which agencies know a person, or how many."""

_DELIVERED, _BORN = "as_of", "birth_date"


class Rows(Declared):
    """Which rows: of persons of these ages, with whom the recipient has an open case, whose links are good enough."""

    age_bands: tuple[AgeBand, ...] = Field(min_length=1)
    need_to_know: NeedToKnow
    lowest_weight: float | None = Field(default=None, allow_inf_nan=False)
    """Persons with a weaker link among their mentions are left out."""


class Policy(Declared):
    """policies/<name>.yaml."""

    described_in: ClassVar[str] = "policies in docs/governance.md"

    policy: str
    recipient: str
    purpose: Purpose
    agreement: str
    columns: dict[str, tuple[str, ...]] = Field(min_length=1)
    """Table -> its columns that go out, with `*` for any of them."""
    treatments: dict[Pattern, str] = Field(default_factory=dict)
    """`table.column`, with `*` -> what is done to it first; the first that fits counts."""
    rows: Rows
    aggregates: Aggregates | None = None
    involvement: Involvement = "full"
    """What may be told of which agencies know a person: all that `columns` names; that they do; nothing."""

    @field_validator("treatments")
    @classmethod
    def _are_known(cls, given: dict[str, str]) -> dict[str, str]:
        for treatment in given.values():
            if treatment not in classes().treatments:
                raise ValueError(f"{treatment!r} is not one of {', '.join(classes().treatments)}")
        return given

    def treatment_of(self, field: str) -> str | None:
        """What is done to a column (`table.column`) before it goes out."""
        return next((treatment for pattern, treatment in self.treatments.items() if matches([pattern], field)), None)

    def chosen(self) -> dict[str, list[str]]:
        """Table -> the columns that go out, in the table's order."""
        return {t: [c for c in column_classes()[t] if matches(wanted, c)] for t, wanted in self.columns.items()}

    def class_of(self, table: str, column: str) -> Sensitivity:
        """The class of what goes out of a column."""
        return treated(column_classes()[table][column].sensitivity, self.treatment_of(f"{table}.{column}"))


def tells_who_knows(table: str, column: str) -> bool:
    """Whether a value is made of all agencies that know a person, whoever's row it stands in."""
    return table == "person" and column in _KNOWN_BY["person"]


def policies_folder(governance: Governance) -> Path:
    """Where the policies stand."""
    return governance.folder / "policies"


def load_policy(governance: Governance, name: str) -> Policy:
    """Reads one policy and holds it against its agreement.

    Raises:
        DeclarationError: There is none, it is wrong, or it allows more than its agreement; with file and line.
    """
    path = policies_folder(governance) / f"{Path(name).name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in policies_folder(governance).glob("*.yaml"))) or "(there is none yet)"
        raise DeclarationError(f"there is no policy {name!r}", where=str(path.parent), mend=f"name one of: {known}")
    return read_policy(path, governance)


def load_policies(governance: Governance) -> Mapping[str, Policy]:
    """Every policy by name; see `load_policy`."""
    return {p.stem: read_policy(p, governance) for p in sorted(policies_folder(governance).glob("*.yaml"))}


def read_policy(path: Path, governance: Governance) -> Policy:
    """Reads a policy from any file and holds it against its agreement; see `load_policy`."""
    policy, place = read_declaration(path, Policy), Place(path)
    if policy.policy != path.stem:
        raise place.wrong(f"the policy is called {policy.policy!r}", "policy", mend="name the file as the policy")
    if policy.recipient not in governance.parties.parties:
        raise place.wrong(
            f"no party is called {policy.recipient!r}", "recipient", mend="name one of parties.yaml, or add it"
        )
    filed = governance.filed.get(policy.agreement)
    if filed is None or filed.agreement.kind != "DUL":
        raise place.wrong(f"no data use agreement is called {policy.agreement!r}", "agreement", mend="name a DUL")
    _check_columns(policy, place)
    _check_within(policy, filed.agreement, place)
    return policy


def _check_columns(policy: Policy, place: Place) -> None:
    """Every table, column and treatment is one there is, and the treatment fits the column."""
    for table, wanted in policy.columns.items():
        if table not in column_classes():
            raise place.wrong(f"the record has no table {table!r}", "columns", table, mend="see kith dictionary")
        for number, pattern in enumerate(wanted):
            if not any(matches([pattern], column) for column in column_classes()[table]):
                what = f"{table} has no column {pattern!r}"
                raise place.wrong(what, "columns", table, number, mend="see kith dictionary")
    for table, columns in policy.chosen().items():
        for column in columns:
            _check_treatment(policy, table, column, place)
            _check_days(policy, table, column, place)
            _check_involvement(policy, table, column, place)


def _check_days(policy: Policy, table: str, column: str, place: Place) -> None:
    """Where days are shifted, all days of what happened are: one event told in two ways would tell by how much.

    Of a delivery's day (`as_of`) everybody knows when it was, so it is never shifted.
    """
    treatment, told = policy.treatment_of(f"{table}.{column}"), column_classes()[table][column]
    if told.kind != "date" or "shifted" not in policy.treatments.values():
        return
    if column == _DELIVERED and treatment == "shifted":
        what = f"{table}.{column} is the day of a delivery, which is known: shifted it tells by how much"
        raise place.wrong(what, "treatments", mend="ask for its year, or leave it out")
    may_be_year = column in (_DELIVERED, _BORN) or told.sensitivity is Sensitivity.DEMOGRAPHIC
    if treatment != "shifted" and not (treatment == "year" and may_be_year):
        what = f"other dates are shifted, and {table}.{column} is not"
        mend = "shift the days of all that happened; the year of a birth or of as_of may stand beside them"
        raise place.wrong(what, "treatments", mend=mend)


def _check_involvement(policy: Policy, table: str, column: str, place: Place) -> None:
    by_word: Mapping[Involvement, Mapping[str, tuple[str, ...]]] = {"existence": _EXISTENCE, "hidden": _KNOWN_BY}
    told = by_word.get(policy.involvement, {})
    within = table in told and matches(told[table], column)
    if table in told and within == (policy.involvement == "hidden"):
        what = f"involvement is {policy.involvement}, and {table}.{column} tells more"
        raise place.wrong(what, "columns", table, mend="ask for less, or for involvement: full")


def _check_treatment(policy: Policy, table: str, column: str, place: Place) -> None:
    treatment = policy.treatment_of(f"{table}.{column}")
    kind = column_classes()[table][column].kind
    if treatment is not None and classes().treatments[treatment].of != kind:
        pattern = next(p for p in policy.treatments if matches([p], f"{table}.{column}"))
        what = f"{treatment} cannot be made of {table}.{column}"
        raise place.wrong(what, "treatments", pattern, mend=f"only of a column of kind {kind}")


def _check_within(policy: Policy, agreement: Agreement, place: Place) -> None:
    """A policy may ask for less than its agreement, never for more."""
    name, mend = agreement.id, f"ask for less, or let the parties agree on more in {agreement.id}"
    if policy.recipient != agreement.parties.recipient:
        raise place.wrong(f"{name} is with another recipient", "recipient", mend=f"{agreement.parties.recipient}")
    if policy.purpose not in agreement.purpose:
        raise place.wrong(f"{name} is not for this purpose", "purpose", mend=mend)
    for table, columns in policy.chosen().items():
        for column in columns:
            if fault := _wider(policy, agreement, table, column):
                raise place.wrong(f"{name} {fault}", "columns", table, mend=mend)
    assert agreement.subjects is not None and agreement.aggregates is not None  # a DUL says both
    if policy.rows.need_to_know == "none" != agreement.subjects.need_to_know:
        raise place.wrong(f"{name} is only about persons with an open case", "rows", "need_to_know", mend=mend)
    if wider := set(policy.rows.age_bands) - set(agreement.subjects.age_bands):
        raise place.wrong(f"{name} is not about the ages {', '.join(sorted(wider))}", "rows", "age_bands", mend=mend)
    if policy.aggregates and (fault := _looser(policy.aggregates, agreement.aggregates)):
        raise place.wrong(f"{name} {fault}", "aggregates", mend=mend)


def _wider(policy: Policy, agreement: Agreement, table: str, column: str) -> str | None:
    assert agreement.fields_ is not None and agreement.linkage is not None  # a DUL says both
    field, sensitivity = f"{table}.{column}", policy.class_of(table, column)
    if classes().classes[sensitivity].never:
        return f"cannot allow {field}: nothing of class {sensitivity} goes out"
    if not agreement.fields_.covers(field):
        return f"does not allow {field}"
    sources = lineage().get(table, {}).get(column, ()) if column_classes()[table][column].kind != "id" else ()
    if denied := [source for source in sources if matches(agreement.fields_.deny, source)]:
        return f"denies {denied[0]}, of which {field} tells"
    if sensitivity not in agreement.classes:
        return f"does not name the class {sensitivity}, of which {field} is"
    if column_classes()[table][column].joins and not agreement.linkage.allowed:
        return f"does not allow linkage, and {field} tells which mentions are one person"
    return None


def _looser(asked: Aggregates, agreed: Aggregates) -> str | None:
    if asked.min_cell < agreed.min_cell:
        return f"does not allow cells below {agreed.min_cell}"
    if agreed.complementary and not asked.complementary:
        return "demands complementary suppression"
    if agreed.dominance and not _as_dominant(asked.dominance, agreed.dominance):
        return f"demands the dominance rule {agreed.dominance}"
    if agreed.rounding and (asked.rounding is None or asked.rounding % agreed.rounding):
        return f"demands rounding to {agreed.rounding}"
    return None


def _as_dominant(asked: tuple[int, float] | None, agreed: tuple[int, float]) -> bool:
    """Whether a rule hides all that the agreed one hides: more persons together reach a share sooner."""
    return asked is not None and asked[0] >= agreed[0] and asked[1] <= agreed[1]
