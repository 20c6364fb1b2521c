"""An agreement counts when it is whole, signed by an officer of every party, and its time has come and not passed."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from governed import DAY, END, START, Small, small_governance

from demo.governed import make_key, write
from governance.coverage import why_not_covered
from governance.load import Standing
from governance.parties import read_parties
from governance.signatures import sign, signature_file
from standard.errors import DeclarationError


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_governance(tmp_path)


def refused(small: Small, match: str) -> str:
    with pytest.raises(DeclarationError, match=match) as error:
        small.load()
    assert ".yaml, line " in error.value.where and error.value.mend
    return error.value.where


def coverage(small: Small, day: date = DAY) -> str | None:
    school = small.agencies["school"]
    return why_not_covered(small.load(), school, school.feeds["people"], day)


def test_signed_agreements_are_in_force_from_the_first_day_to_the_last(small: Small) -> None:
    governance = small.load()
    days = {START - timedelta(1): Standing.NOT_YET, START: Standing.IN_FORCE, END: Standing.IN_FORCE,
            END + timedelta(1): Standing.EXPIRED}  # fmt: skip
    assert {day: governance.standing("DUL-1", day) for day in days} == days


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("kind: DUL", "kind: DUL\nsurprise: 1", "surprise: this key is not known here"),
        ("basis: JUVENILE_CODE", "basis: GOOD_WILL", "'GOOD_WILL' is not one of"),
        ("research", "curiosity", "'curiosity' is not one of"),
        ("- education\n", "- education\n- secret\n", "classes.3"),
        ("- education\n", "- education\n- reporter_identity\n", "no agreement can give out reporter_identity"),
        ("- education\n", "- education\n- confidential_address\n", "no agreement can give out confidential_address"),
        ("- education\n", "- education\n- health\n", "no legal basis of this agreement holds for health"),
        ("notice:\n  - FERPA-99.33", "notice: []", "education goes out only with the notice FERPA-99.33"),
        ("recipient: university", "recipient: press", "no party is called 'press'"),
        ("parent: MOU-1", "parent: MOU-9", "no memorandum is called 'MOU-9'"),
        ("'*.*'", "enrollment.shoe_size", "no field is called 'enrollment.shoe_size'"),
        ("expires: 2026-12-31", "expires: 2025-12-31", "it expires before it takes effect"),
        ("id: DUL-1", "id: DUL-2", "the agreement is called 'DUL-2'"),
        (
            "destruction:\n  within_days: 45\n  method: crypto_shred\n  certificate: true\n",
            "",
            "says also: destruction",
        ),
        ("min_cell: 11", "min_cell: eleven", "aggregates.min_cell"),
    ],
)
def test_what_is_wrong_with_an_agreement_is_told_with_file_and_line(
    small: Small, old: str, new: str, match: str
) -> None:
    small.edit("DUL-1", old, new, signed=False)
    assert "DUL-1.yaml" in refused(small, match)


def test_a_basis_needs_just_the_evidence_of_the_closed_list(small: Small) -> None:
    small.edit("DUL-1", "statute: ", "statue: ", signed=False)
    refused(small, "JUVENILE_CODE needs as evidence just: statute")


def test_data_comes_in_to_the_hub_only(small: Small) -> None:
    small.edit("DSA-1", "recipient: hub", "recipient: university", signed=False)
    refused(small, "data comes in to the hub only")


def test_a_purpose_or_a_party_that_is_not_of_the_memorandum_is_refused(small: Small) -> None:
    small.edit("MOU-1", "- research\n", "")
    refused(small, "the purpose research is not one of MOU-1")
    small.edit("MOU-1", "- individual_case_planning\n", "- individual_case_planning\n- research\n")
    small.edit("MOU-1", "  - university\n", "")
    refused(small, "university is no member of MOU-1")


def test_an_agreement_counts_only_with_the_signature_of_every_party(small: Small) -> None:
    path = signature_file(small.folder / "agreements" / "DSA-1.yaml")
    text = path.read_text("utf-8")
    write(path, text[: text.index("- party: hub")])
    assert small.load().why_not("DSA-1", DAY) == "hub: has not signed"
    assert coverage(small) == "no sharing agreement of school is in force; DSA-1: hub: has not signed"


def test_a_byte_changed_after_signing_makes_the_signatures_void(small: Small) -> None:
    assert coverage(small) is None
    small.edit("DSA-1", "within_days: 45", "within_days: 46", signed=False)
    assert small.load().standing("DSA-1", DAY) is Standing.UNSIGNED
    assert "the agreement was altered since it was signed" in str(coverage(small))


def test_a_signature_of_another_key_or_another_party_is_none(small: Small) -> None:
    path = signature_file(small.folder / "agreements" / "DSA-1.yaml")
    parties = small.folder / "parties.yaml"
    other = make_key(small.keys / "stranger")
    text = parties.read_text("utf-8")
    pinned = read_parties(small.folder).parties["school"].officers["school_officer"].key
    write(parties, text.replace(pinned, other))
    assert "the signature is not that of school_officer's key" in small.load().why_not("DSA-1", DAY)
    write(parties, text)
    write(path, path.read_text("utf-8").replace("officer: school_officer", "officer: court_officer"))
    assert "court_officer is no officer of school" in small.load().why_not("DSA-1", DAY)


def test_nobody_signs_with_a_key_that_is_not_pinned_or_that_others_can_read(small: Small) -> None:
    path, parties = small.folder / "agreements" / "DSA-1.yaml", read_parties(small.folder)
    with pytest.raises(DeclarationError, match="not the key that is pinned for court_officer"):
        sign(path, parties, officer="court_officer", key=small.keys / "school_officer", passphrase=None, today=DAY)
    (small.keys / "school_officer").chmod(0o644)
    with pytest.raises(DeclarationError, match="others can read this key"):
        sign(path, parties, officer="school_officer", key=small.keys / "school_officer", passphrase=None, today=DAY)
    with pytest.raises(DeclarationError, match="no party has an officer"):
        sign(path, parties, officer="somebody", key=small.keys / "school_officer", passphrase=None, today=DAY)


def test_an_agreement_is_not_in_force_without_its_memorandum(small: Small) -> None:
    small.edit("MOU-1", "expires: 2026-12-31", "expires: 2026-02-01")
    assert small.load().why_not("DSA-1", DAY) == "its memorandum is not in force"
    assert coverage(small) is not None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("- people.*", "- people.no", "DSA-1 does not allow people.born"),
        ("deny: []", "deny: [people.no]", "DSA-1 does not allow people.no"),
        ("- direct_identifier\n", "", "DSA-1 does not name the class direct_identifier"),
        ("allowed: true", "allowed: false", "DSA-1 does not allow linkage"),
    ],
)
def test_a_feed_may_come_in_only_where_every_element_is_agreed_on(small: Small, old: str, new: str, why: str) -> None:
    small.edit("DSA-1", old, new)
    assert why in str(coverage(small))


def test_a_feed_is_covered_from_the_first_day_to_the_last(small: Small) -> None:
    days = [START - timedelta(1), START, END, END + timedelta(1)]
    assert [coverage(small, day) is None for day in days] == [False, True, True, False]


def test_every_agreement_stands_by_its_hash_in_the_versions_of_a_snapshot(small: Small) -> None:
    before = small.load().versions()
    small.edit("DSA-1", "within_days: 45", "within_days: 46")
    after = small.load().versions()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"governance", "agreement DSA-1"} and set(after) == set(before)


def test_an_officer_s_id_or_key_stands_for_one_person_only(small: Small) -> None:
    parties = small.folder / "parties.yaml"
    text = parties.read_text("utf-8")
    write(parties, text.replace("court_officer:", "school_officer:"))
    refused(small, "an officer's id or key stands twice")
    write(parties, text.replace("ssh-ed25519 ", "ssh-rsa "))
    refused(small, "not an Ed25519 public key")


def test_a_party_s_id_can_name_a_folder_and_nothing_beside_it(small: Small) -> None:
    parties = small.folder / "parties.yaml"
    text = parties.read_text("utf-8")
    write(parties, text.replace("  university:", '  "../university":'))
    refused(small, "a party's id is up to 48 letters")
