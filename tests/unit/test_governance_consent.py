"""What consents mean: for whom, what for, of which class, on which day; and who may give and override them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from governed import DAY, ROWS, World, world
from record_rows import BEN, Row

from governance import consent_records as records
from governance.explain import explain_consent
from governance.rules import CONSENT_ORDER
from standard.errors import DeclarationError
from standard.sensitivity import Sensitivity
from store.ledger import open_ledger
from store.registers import consent_record

CHILD, MOTHER, STRANGER = "care/PEOPLE/c{n}", "care/PEOPLE/m{n}", "care/PEOPLE/s{n}"
GRANT: Row = {"person_ref": CHILD, "grantor_ref": MOTHER, "decision": "granted", "purpose": "research",
              "scope": "EDU", "recipient": "all", "effective_on": date(2026, 2, 1)}  # fmt: skip
BORN = date(2012, 5, 6)


CASES: list[tuple[str, list[dict[str, Any]], str]] = [
    ("a grant of a parent counts", [{}], "given"),
    ("without any word there is none", [{"person_ref": STRANGER}], "missing"),
    ("a grant without a grantor is invalid", [{"grantor_ref": None}], "missing"),
    ("a grant of somebody who is no parent or guardian is invalid", [{"grantor_ref": STRANGER}], "missing"),
    ("a minor's own grant is invalid here", [{"grantor_ref": CHILD}], "missing"),
    ("a grant for another purpose does not count", [{"purpose": "audit"}], "missing"),
    ("a grant to another recipient does not count", [{"recipient": "police"}], "missing"),
    ("a grant of another class does not count", [{"scope": "HEALTH"}], "missing"),
    ("a grant in words nobody knows gives nothing", [{"scope": "SUNDRY"}], "missing"),
    ("a grant that begins tomorrow does not count yet", [{"effective_on": date(2026, 3, 31)}], "missing"),
    ("a grant that ended yesterday has expired", [{"expires_on": date(2026, 3, 29)}], "expired"),
    ("a grant counts through its last day", [{"expires_on": DAY}], "given"),
    ("a withdrawn grant refuses", [{"withdrawn_on": date(2026, 3, 1)}], "refused"),
    ("a grant withdrawn from tomorrow on still counts", [{"withdrawn_on": date(2026, 3, 31)}], "given"),
    ("a later refusal outranks a grant",
     [{}, {"decision": "withheld", "effective_on": date(2026, 3, 1)}], "refused"),
    ("a later grant outranks a refusal",
     [{"decision": "withheld", "effective_on": date(2026, 1, 1)}, {}], "given"),
    ("of the same day the refusal counts", [{}, {"decision": "withheld"}], "refused"),
    ("a refusal in words nobody knows refuses everything", [{"decision": "withheld", "scope": "SUNDRY"}], "refused"),
    ("a refusal without a recipient is meant for all", [{"decision": "withheld", "recipient": None}], "refused"),
    ("a refusal without a purpose is meant for all", [{"decision": "withheld", "purpose": None}], "refused"),
    ("a decision in a code nobody knows is no permission", [{"decision": None}], "refused"),
    ("a refusal to another recipient does not count",
     [{"decision": "withheld", "recipient": "police"}], "missing"),
    ("a whole override permits", [{"decision": "overridden", "override_complete": True}], "overridden"),
    ("an override that is not whole permits nothing",
     [{"decision": "overridden", "override_complete": False}], "missing"),
]  # fmt: skip


OWN: list[tuple[str, list[dict[str, Any]]]] = [
    ("a grant", [{}]),
    ("no birth date", [{}]),
    ("a parent's word on substance use", [{"scope": "SUD"}]),
    ("a minor's own word on substance use", [{"scope": "SUD", "grantor_ref": CHILD}]),
    ("to schools", [{"recipient": "schools"}]),
]
NAMES = [case[0] for case in CASES] + [name for name, _ in OWN]


def filled(row: Row, number: int) -> Row:
    return {name: value.format(n=number) if isinstance(value, str) else value for name, value in row.items()}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One record in which every case is that of a child with a mother and a stranger."""
    changes = [case[1] for case in CASES] + [given for _, given in OWN]
    refs = [ref.format(n=n) for n in range(len(NAMES)) for ref in (CHILD, MOTHER, STRANGER)]
    children = [CHILD.format(n=n) for n in range(len(NAMES))]
    rows: dict[str, list[Row]] = {
        "person": [*ROWS["person"], *({"person_ref": ref} for ref in refs)],
        "person_demographic": [*ROWS["person_demographic"], *({"person_ref": child, "birth_date": BORN} for child in
                               children if child != children[NAMES.index("no birth date")])],
        "relationship": [{"person_ref": CHILD.format(n=n), "related_ref": MOTHER.format(n=n), "type": "mother"}
                         for n in range(len(NAMES))],
        "consent": [filled({**GRANT, **change}, n) for n, given in enumerate(changes) for change in given],
    }  # fmt: skip
    return world(tmp_path_factory.mktemp("consents"), rows, {ref: ref.rpartition("/")[2].upper() for ref in refs})


@pytest.fixture
def made(published: World, tmp_path: Path) -> Iterator[World]:
    """The record with registers of its own."""
    ledger = open_ledger(tmp_path / "ledger.db")
    yield replace(published, ledger=ledger)
    ledger.close()


def of(
    made: World, person: str, *, day: date = DAY, recipient: str = "university", sensitivity: str = "education"
) -> str:
    ref = CHILD.format(n=NAMES.index(person)) if person in NAMES else person
    rows = explain_consent(made.home, made.ledger, made.small.load(), ref, recipient, "research", day)
    return str({row["class"]: row["consent"] for row in rows}[sensitivity])


@pytest.mark.parametrize(("what", "expected"), [(case[0], case[2]) for case in CASES])
def test_a_consent_that_an_agency_sends(made: World, what: str, expected: str) -> None:
    assert of(made, what) == expected


def test_a_parent_s_consent_lapses_on_the_eighteenth_birthday(made: World) -> None:
    days = [date(2030, 5, 5), date(2030, 5, 6)]
    assert [of(made, "a grant", day=day) for day in days] == ["given", "expired"]


def test_without_a_day_of_birth_a_parent_s_consent_is_no_consent(made: World) -> None:
    assert of(made, "no birth date") == "missing"


def test_substance_use_is_the_minor_s_own_to_consent_to(made: World) -> None:
    assert of(made, "a parent's word on substance use", sensitivity="substance_use") == "missing"
    assert of(made, "a minor's own word on substance use", sensitivity="substance_use") == "given"


def test_a_consent_to_schools_counts_for_a_party_that_consents_name_so(made: World) -> None:
    assert of(made, "to schools", recipient="school") == "given"
    assert of(made, "to schools", recipient="court") == "missing"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("papers") / "form.pdf"
    path.write_bytes(b"signed")
    return path


SUBJECT = CHILD.format(n=NAMES.index("without any word there is none"))
SCOPE = records.Scope(SUBJECT, ("university",), ("research",), (Sensitivity.EDUCATION,))


def write_down(made: World, paper: Path, **given: Any) -> str:
    what: dict[str, Any] = {
        "granted": True, "grantor": records.Grantor.PARENT, "authority": "birth certificate", "document": paper,
        "since": date(2026, 1, 1), "until": date(2026, 12, 31), "by": "school_officer",
    }  # fmt: skip
    scope = given.pop("scope", SCOPE)
    return records.record_consent(made.ledger, made.small.load().parties, scope, **what | given)


def test_a_consent_on_paper_counts_until_it_is_withdrawn_and_both_stay_on_record(made: World, paper: Path) -> None:
    assert of(made, SUBJECT) == "missing"
    name = write_down(made, paper)
    assert of(made, SUBJECT) == "given"
    parties = made.small.load().parties
    records.withdraw_consent(made.ledger, parties, name, on=date(2026, 3, 1), by="court_officer")
    assert of(made, SUBJECT, day=date(2026, 2, 28)) == "given"
    assert of(made, SUBJECT) == "refused"
    with pytest.raises(DeclarationError, match="withdrawn before"):
        records.withdraw_consent(made.ledger, parties, name, on=DAY, by="court_officer")
    with made.ledger.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(consent_record)).scalar() == 2


def test_a_consent_withdrawn_before_its_first_day_never_counts(made: World, paper: Path) -> None:
    name = write_down(made, paper, since=date(2026, 3, 15))
    records.withdraw_consent(made.ledger, made.small.load().parties, name, on=date(2026, 3, 1), by="court_officer")
    assert of(made, SUBJECT) == "refused"


def test_what_is_on_record_cannot_be_changed_or_taken_away(made: World, paper: Path) -> None:
    write_down(made, paper)
    for change in (consent_record.update().values(decision="withheld"), consent_record.delete()):
        with pytest.raises(sa.exc.IntegrityError, match="never changed"), made.ledger.writing() as connection:
            connection.execute(change)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"authority": " "}, "a consent without authority is invalid"),
        ({"until": date(2025, 1, 1)}, "ends before it begins"),
        ({"by": "r_ode"}, "no party has an officer 'r_ode'"),
        ({"document": Path("nowhere.pdf")}, "there is no such paper"),
        ({"scope": records.Scope("ANA", ("university",), ("research",), SCOPE.classes)}, "no reference"),
        ({"scope": records.Scope(SUBJECT, ("press",), ("research",), SCOPE.classes)}, "no recipient is called 'press'"),
        ({"scope": records.Scope(SUBJECT, ("university",), ("gossip",), SCOPE.classes)}, "'gossip' is no purpose"),
        ({"scope": records.Scope(SUBJECT, ("university",), ("research",), ())}, "no class is named"),
    ],
)
def test_a_consent_that_is_not_whole_is_not_written_down(
    made: World, paper: Path, given: dict[str, Any], match: str
) -> None:
    with pytest.raises(DeclarationError, match=match) as error:
        write_down(made, paper, **given)
    assert error.value.mend
    with made.ledger.reading() as connection:
        assert connection.execute(sa.select(consent_record)).all() == []


def refuse(made: World, paper: Path) -> None:
    write_down(made, paper, granted=False, until=date(2027, 12, 31))


def override(made: World, paper: Path, **given: Any) -> str:
    what: dict[str, Any] = {"basis": "HEALTH_SAFETY_EMERGENCY", "evidence": paper, "until": date(2026, 12, 31),
                            "by": "school_officer", "notify_family": True}  # fmt: skip
    return records.add_override(made.ledger, made.small.load().parties, SCOPE, **what | given)


def test_an_override_counts_only_when_a_second_person_has_agreed_and_until_it_ends(made: World, paper: Path) -> None:
    parties = made.small.load().parties
    refuse(made, paper)
    name = override(made, paper)
    assert of(made, SUBJECT) == "refused"
    with pytest.raises(DeclarationError, match="cannot be the second person"):
        records.review_override(made.ledger, parties, name, agreed=True, by="school_officer")
    assert of(made, SUBJECT) == "refused"
    records.review_override(made.ledger, parties, name, agreed=True, by="care_officer")
    assert of(made, SUBJECT) == "overridden"
    assert of(made, SUBJECT, day=date(2027, 1, 1)) == "refused"
    assert of(made, BEN) == "missing"
    with pytest.raises(DeclarationError, match="reviewed before"):
        records.review_override(made.ledger, parties, name, agreed=True, by="court_officer")


def test_an_override_that_the_second_person_refuses_never_counts(made: World, paper: Path) -> None:
    refuse(made, paper)
    name = override(made, paper)
    records.review_override(made.ledger, made.small.load().parties, name, agreed=False, by="care_officer")
    assert of(made, SUBJECT) == "refused"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"basis": "GOOD_WILL"}, "'GOOD_WILL' is no basis for an override"),
        ({"basis": "CONSENT"}, "'CONSENT' is no basis for an override"),
        ({"basis": "PART2_MEDICAL_EMERGENCY"}, "does not hold for education"),
        ({"evidence": Path("nowhere.pdf")}, "there is no such paper"),
        ({"by": "nobody"}, "no party has an officer"),
        ({"notify_family": False}, "nobody says why the family is not told"),
    ],
)
def test_an_override_needs_a_basis_of_the_list_evidence_and_a_known_officer(
    made: World, paper: Path, given: dict[str, Any], match: str
) -> None:
    with pytest.raises(DeclarationError, match=match):
        override(made, paper, **given)


def test_the_states_are_ordered_from_what_permits_most() -> None:
    assert [str(state) for state in CONSENT_ORDER] == ["given", "overridden", "missing", "expired", "refused"]
