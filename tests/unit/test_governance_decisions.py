"""Decisions over tables: what nobody agreed on does not go out, cell by cell, and every refusal has a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from governed import CLASSES, DAY, END, POLICY, ROWS, Small, World, small_governance, world
from record_rows import ANA, ANA_CLIENT, ANA_COURT, BEN, CASE, Row, add_order

from governance import decide as engine
from governance.apply import Decisions, log_refusals
from governance.decide import Request, decide, request_for
from governance.explain import explain_for_person
from governance.rules import Consent, Reason
from standard.errors import DeclarationError
from standard.sensitivity import Sensitivity
from store.ledger import open_ledger
from store.registers import decision_refused

PROTECTED: dict[str, list[Row]] = {
    "address": [*ROWS["address"], {"person_ref": ANA, "line1": "9 Hidden Ln", "confidential": True}]
}
NEED = POLICY.replace("need_to_know: none", "need_to_know: open_case")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"), PROTECTED)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def plain(published: World, tmp_path: Path) -> Iterator[World]:
    """The small county with a ledger of its own."""
    ledger = open_ledger(tmp_path / "ledger.db")
    yield replace(published, ledger=ledger)
    ledger.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small_governance(tmp_path_factory.mktemp("agreed"))


def reasons(decided: Decisions) -> dict[str, str]:
    return {refusal.column: str(refusal.reason) for refusal in decided.refusals}


def test_what_the_policy_asks_and_the_agreement_allows_goes_out(plain: World) -> None:
    rows, decided = plain.decide("enrollment")
    assert sorted(row["person_id"] for row in rows) == ["p-ANA", "p-BEN"]
    assert {row["school_id"] for row in rows} == {"7"}
    assert decided.refusals == () and decided.allowed_cells == 8


def test_where_a_protected_person_is_stays_empty_and_the_rest_of_the_row_goes_out(made: World) -> None:
    rows, decided = made.decide("enrollment")
    assert {row["person_id"]: row["school_id"] for row in rows} == {"p-ANA": None, "p-BEN": "7"}
    assert reasons(decided) == {"school_id": "R14"}
    assert decided.allowed_cells == 7


def test_the_day_decides_whether_the_agreement_counts(made: World) -> None:
    rows, decided = made.decide("enrollment", day=END + timedelta(1))
    assert rows == [] and set(reasons(decided).values()) == {"R02"}
    rows, decided = made.decide("enrollment", day=date(2025, 12, 31))
    assert rows == [] and set(reasons(decided).values()) == {"R01"}


def test_with_need_to_know_only_persons_with_an_open_case_of_the_recipient_go_out(tmp_path: Path) -> None:
    made = world(tmp_path, disclosers=["school"], recipient="care", need_to_know="open_case")
    policy = NEED.replace("recipient: university", "recipient: care").replace("allegation:", "discipline:")
    policy = policy.replace("[person_id, type, received_on]", "[person_id, date]")
    rows, decided = made.decide("enrollment", policy)
    assert [row["person_id"] for row in rows] == ["p-ANA"]
    assert set(reasons(decided).values()) == {"R10"}


def test_a_row_that_names_nobody_who_is_known_is_refused_for_want_of_attributes(tmp_path: Path) -> None:
    rows = {"case": [*ROWS["case"], {"case_ref": "court/case_hdr/C9", "case_no": "JD9"}]}
    policy = POLICY.replace("enrollment: [person_id, school_id, entry_date, agency_id]", "case: [type, filed_on]")
    policy = policy.replace("age_bands: [minor]", "age_bands: [minor, adult, unknown]")
    out, decided = world(tmp_path, rows).decide("case", policy)
    assert len(out) == 2
    assert {str(refusal.reason) for refusal in decided.refusals} == {"R19"}


def test_a_case_is_about_everybody_who_has_a_part_in_it(tmp_path: Path) -> None:
    made = world(tmp_path, {"consent": [{
        "person_ref": "court/party/P3", "grantor_ref": "court/party/P3", "decision": "withheld", "scope": "LEGAL",
        "recipient": "child_services", "purpose": "research", "effective_on": date(2026, 1, 1)}]}, recipient="care",
        disclosers=["court"])  # fmt: skip
    policy = POLICY.replace("enrollment: [person_id, school_id, entry_date, agency_id]", "charge: [class]")
    policy = policy.replace("recipient: university", "recipient: care").replace(
        "allegation: [person_id, type, received_on]", "court_event: [hearing]\n  disposition: [disposition]"
    )
    policy = policy.replace("age_bands: [minor]", "age_bands: [minor, adult, unknown]")
    assert len(made.decide("court_event", policy)[0]) == 1
    rows, decided = made.decide("disposition", policy)
    assert rows == [] and set(reasons(decided).values()) == {"R06"}  # the mother of the case has refused


def test_persons_whose_links_are_too_weak_are_left_out(made: World) -> None:
    weak = POLICY.replace("need_to_know: none", "need_to_know: none, lowest_weight: 12.5")
    rows, decided = made.decide("enrollment", weak)
    assert rows == [] and "R15" in set(reasons(decided).values())


def test_an_order_that_came_since_the_snapshot_is_obeyed_and_shown_as_no_case(plain: World) -> None:
    add_order(plain.ledger, ANA)
    rows, decided = plain.decide("enrollment")
    assert [row["person_id"] for row in rows] == ["p-BEN"]
    assert {(str(r.reason), str(r.shown)) for r in decided.refusals} == {("R11", "R10")}
    add_order(plain.ledger, "care/REFERL_T/r1")
    rows, decided = plain.decide("allegation")
    assert rows == [] and "R11" in set(reasons(decided).values())


EVENTS = POLICY.replace("  enrollment:", "  timeline: [person_id, event_type, occurred_on]\n  enrollment:")


def test_an_order_on_a_case_or_a_row_is_obeyed_in_the_timeline_before_the_next_snapshot(tmp_path: Path) -> None:
    """An event of the timeline names no case, and a row may be sealed by its own key: both are known by the row."""
    entries = [ROWS["enrollment"][0], {**ROWS["enrollment"][1], "feed": "entries", "source_key": "77"}]
    of = world(tmp_path, {"enrollment": entries})

    def told() -> set[tuple[object, object]]:
        return {(row["event_type"], row["person_id"]) for row in of.decide("timeline", EVENTS)[0]}

    before = told()
    hanging = {("charge", "p-ANA"), ("disposition", "p-ANA")}
    assert hanging | {("enrollment", "p-BEN")} <= before
    add_order(of.ledger, CASE)
    assert told() == before - hanging
    add_order(of.ledger, "school/entries/77")
    assert told() == before - hanging - {("enrollment", "p-BEN")}
    assert [row["person_id"] for row in of.decide("enrollment", EVENTS)[0]] == ["p-ANA"]
    of.ledger.close()


def test_a_person_born_on_29_february_is_adult_on_1_march(tmp_path: Path) -> None:
    of = world(tmp_path, {"person_demographic": [
        {"person_ref": ANA, "birth_date": date(2008, 2, 29)}, {"person_ref": BEN, "birth_date": date(2008, 3, 1)},
    ]})  # fmt: skip
    told = {day: [row["person_id"] for row in of.decide("enrollment", day=day)[0]]
            for day in (date(2026, 2, 28), date(2026, 3, 1))}  # fmt: skip
    assert {day: sorted(people) for day, people in told.items()} == {
        date(2026, 2, 28): ["p-ANA", "p-BEN"], date(2026, 3, 1): [],
    }  # fmt: skip
    of.ledger.close()


KNOWN = POLICY.replace("  enrollment:", "  person: [person_id, agency_ids, agencies, mentions]\n  enrollment:").replace(
    "[minor]", "[minor, adult, unknown]"
)


@pytest.mark.parametrize(
    ("of_use", "reason"),
    [
        ({}, None),
        ({"disclosers": ["hub", "school", "court"]}, "R01"),
        ({"sensitivities": [*(c for c in CLASSES if c != "juvenile_court"), Sensitivity.HEALTH]}, "R05"),
    ],
)
def test_who_knows_a_person_goes_out_only_where_every_agency_may_tell_that_it_does(
    tmp_path: Path, of_use: dict[str, object], reason: str | None
) -> None:
    of = world(tmp_path, **{"sensitivities": [*CLASSES, Sensitivity.HEALTH], **of_use})
    rows, decided = of.decide("person", KNOWN)
    told = ("agency_ids", "agencies", "mentions")
    assert [{row[c] is None for c in told} for row in rows] == [{reason is not None}] * len(rows) and rows
    assert reasons(decided) == (dict.fromkeys(told, reason) if reason else {})
    of.ledger.close()


def test_every_refused_tuple_is_logged_with_its_count_and_no_person(made: World) -> None:
    _, decided = made.decide("enrollment")
    log_refusals(made.ledger, made.small.terms(), decided, snapshot_id="s", day=DAY)
    with made.ledger.reading() as connection:
        rows = connection.execute(sa.select(decision_refused)).mappings().all()
    assert [(r["agency"], r["column_name"], r["class"], r["reason"], r["cells"]) for r in rows] == [
        ("school", "school_id", "education", "R14", 1)
    ]
    assert not any(word in str(rows) for word in ("ANA", "Ana", "students/"))
    with pytest.raises(sa.exc.IntegrityError), made.ledger.writing() as connection:
        connection.execute(decision_refused.delete())


def test_a_treatment_that_needs_a_key_is_never_left_undone(made: World) -> None:
    from governance.apply import decision_table

    terms = made.small.terms()
    with made.connection(terms) as con, pytest.raises(DeclarationError, match="nobody makes a pseudonym"):
        decision_table(con, made.small.load(), terms, "enrollment", day=DAY)


def test_a_birth_date_goes_out_as_its_year_where_the_policy_says_so(plain: World) -> None:
    policy = POLICY.replace("allegation: [person_id, type, received_on]", "person_demographic: [person_id, birth_date]")
    policy = policy.replace('{"*.person_id": pseudonym}', '{"*.person_id": pseudonym, "*.birth_date": year}')
    rows, _ = plain.decide("person_demographic", policy)
    assert sorted(row["birth_date"] for row in rows) == [date(2012, 1, 1), date(2013, 1, 1)]


def allowed_request(small: Small) -> Request:
    return request_for(small.load(), small.policy(), table="enrollment", column="entry_date", agency="school", day=DAY)


Change = Callable[[Request], Request]
REFUSED: list[tuple[str, Change]] = [
    ("R01", lambda r: replace(r, recipient="court")),
    ("R01", lambda r: replace(r, agency="stranger")),
    ("R01", lambda r: replace(r, day=date(2025, 1, 1))),
    ("R02", lambda r: replace(r, day=date(2027, 1, 1))),
    ("R03", lambda r: replace(r, purpose="audit")),
    ("R09", lambda r: replace(r, column="exit_date")),
    ("R09", lambda r: replace(r, age_band="adult")),
    ("R05", lambda r: replace(r, sensitivity=Sensitivity.HEALTH)),
    ("R05", lambda r: replace(r, source_class=Sensitivity.SUBSTANCE_USE)),
    ("R05", lambda r: replace(r, sensitivity=Sensitivity.REPORTER_IDENTITY)),
    ("R06", lambda r: replace(r, consent=Consent.REFUSED)),
    ("R06", lambda r: replace(r, source_consent=Consent.REFUSED)),
    ("R11", lambda r: replace(r, sealed=True)),
    ("R14", lambda r: replace(r, locates=True, location_protected=True)),
    ("R15", lambda r: replace(r, identity_certain=False)),
]


@pytest.mark.parametrize(("reason", "change"), REFUSED)
def test_one_wrong_attribute_is_enough_to_refuse(small: Small, reason: str, change: Change) -> None:
    request = allowed_request(small)
    assert decide(small.terms(), request).allowed
    assert str(decide(small.terms(), change(request)).reason) == reason


def test_a_missing_attribute_is_a_refusal_whichever_it_is(small: Small) -> None:
    request, terms = allowed_request(small), small.terms()
    for field in fields(request):
        assert decide(terms, replace(request, **{field.name: None})).reason is Reason.POLICY_ERROR, field.name


def test_where_consent_is_the_only_basis_there_must_be_one_in_force(tmp_path: Path) -> None:
    small = small_governance(tmp_path)
    small.edit("DUL-1", "basis: FERPA_SCHOOL_OFFICIAL\n  evidence:\n    service: 'as the demo has it: the service'",
               "basis: CONSENT\n  evidence:\n    form: the form")  # fmt: skip
    request, terms = allowed_request(small), small.terms()
    both = {state: replace(request, consent=state, source_consent=state) for state in Consent}
    outcome = {state: decide(terms, asked).reason for state, asked in both.items()}
    assert outcome == {
        Consent.GIVEN: None, Consent.OVERRIDDEN: None, Consent.MISSING: Reason.CONSENT_MISSING,
        Consent.EXPIRED: Reason.CONSENT_EXPIRED, Consent.REFUSED: Reason.CONSENT_REFUSED,
    }  # fmt: skip


def test_the_agency_s_own_sharing_agreement_must_be_in_force_for_the_purpose(tmp_path: Path) -> None:
    small = small_governance(tmp_path)
    request = allowed_request(small)
    small.edit("DSA-1", "- research\n", "")
    assert decide(small.terms(), request).reason is Reason.PURPOSE
    small.edit("DSA-1", "expires: 2026-12-31", "expires: 2026-02-01")
    assert decide(small.terms(), request).reason is Reason.EXPIRED


def test_a_class_that_needs_clearance_or_a_recipient_in_breach_is_refused(tmp_path: Path) -> None:
    small = small_governance(tmp_path, sensitivities=[*Sensitivity][:6])
    request = replace(allowed_request(small), sensitivity=Sensitivity.CRIMINAL_JUSTICE)
    parties = small.folder / "parties.yaml"
    assert decide(small.terms(), request).allowed
    text = parties.read_text("utf-8")
    parties.write_text(text.replace("cleared:\n    - criminal_justice", "cleared: []"))
    assert decide(small.terms(), request).reason is Reason.RECIPIENT_NOT_CLEARED
    parties.write_text(text.replace("name: University\n", "name: University\n    in_breach: true\n"))
    assert decide(small.terms(), request).reason is Reason.RECIPIENT_IN_BREACH


def test_a_sealed_child_is_told_as_one_of_whom_nothing_is_known(plain: World) -> None:
    add_order(plain.ledger, ANA_COURT)
    for text in (POLICY, NEED):
        terms = plain.small.terms(text)
        request = request_for(
            plain.small.load(), terms.policy, table="enrollment", column="school_id", agency="school", day=DAY
        )
        sealed, stranger, known = (
            explain_for_person(plain.home, plain.ledger, plain.small.load(), terms, person, request)
            for person in (ANA_CLIENT, "school/students/99", "school/students/02")
        )
        assert (sealed.shown, sealed.path) == (stranger.shown, stranger.path)
        assert sealed.shown is not Reason.SEALED and not sealed.allowed
        assert known.allowed == (text == POLICY)


def test_the_clauses_that_were_asked_are_told_in_order(small: Small) -> None:
    decision = decide(small.terms(), replace(allowed_request(small), purpose="audit"))
    assert decision.path[-1] == "the purpose is the policy's"
    assert len(decide(small.terms(), allowed_request(small)).path) == len(engine._CLAUSES)
