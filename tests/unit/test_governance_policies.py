"""A policy asks for what is needed and never for more than its agreement; reporters are in none of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from governed import POLICY, Small, small_governance

from benchmarks.random_requests import random_governance, random_requests
from governance import policies
from governance.decide import decide, terms_of
from governance.explain import newly_visible
from record.classes import ColumnClass, column_classes
from standard.errors import DeclarationError
from standard.sensitivity import Sensitivity


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small_governance(
        tmp_path_factory.mktemp("agreed"), fields=["enrollment.*", "allegation.*", "person.*", "address.*"],
        need_to_know="open_case",
    )  # fmt: skip


GOOD = POLICY.replace("need_to_know: none", "need_to_know: open_case")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("need_to_know: open_case", "need_to_know: none", "only about persons with an open case"),
        ("recipient: university", "recipient: court", "is with another recipient"),
        ("recipient: university", "recipient: press", "no party is called 'press'"),
        ("purpose: research", "purpose: audit", "is not for this purpose"),
        ("agreement: DUL-1", "agreement: DSA-1", "no data use agreement is called 'DSA-1'"),
        ("allegation:", "removal:", "removal has no column 'type'"),
        ("allegation: [person_id, type, received_on]", "removal: [manner]", "DUL-1 does not allow removal.manner"),
        ("allegation:", "allegations:", "no table 'allegations'"),
        ('treatments: {"*.person_id": pseudonym}\n', "", "does not name the class direct_identifier"),
        ("enrollment: [person_id,", "enrollment: [person_ref,", "of which enrollment.person_ref is"),
        ("allegation: [person_id, type, received_on]", "person: [address_protected]", "nothing of class confidential"),
        ("pseudonym", "rot13", "'rot13' is not one of"),
        ('{"*.person_id": pseudonym}', '{"*.person_id": pseudonym, "*.type": year}', "year cannot be made of"),
        ("rows:", "aggregates: {min_cell: 5}\nrows:", "does not allow cells below 11"),
        ("rows:", "aggregates: {min_cell: 11, complementary: false}\nrows:", "demands complementary suppression"),
        ("rows:", "aggregates: {min_cell: 11, dominance: [0, 0.5]}\nrows:", "greater than or equal to 1"),
        ("need_to_know: open_case", "need_to_know: open_case, lowest_weight: nan", "finite number"),
        ("policy: study", "policy: other", "the policy is called 'other'"),
        ("rows:", "everything: true\nrows:", "everything: this key is not known here"),
    ],
)
def test_a_policy_that_is_wrong_or_too_wide_is_refused_with_file_and_line(
    small: Small, old: str, new: str, match: str
) -> None:
    assert old in GOOD
    small.policy(GOOD)
    with pytest.raises(DeclarationError, match=match) as error:
        small.policy(GOOD.replace(old, new))
    assert "study.yaml, line " in error.value.where and error.value.mend


@pytest.mark.parametrize(
    ("agreed", "asked", "match"),
    [
        ("rounding: 5", "rounding: 5", None),
        ("rounding: 5", "rounding: 10", None),
        ("rounding: 5", "", "demands rounding to 5"),
        ("rounding: 5", "rounding: 7", "demands rounding to 5"),
        ("dominance: [2, 0.8]", "dominance: [3, 0.7]", None),
        ("dominance: [2, 0.8]", "", "demands the dominance rule"),
        ("dominance: [2, 0.8]", "dominance: [2, 0.9]", "demands the dominance rule"),
        ("dominance: [2, 0.8]", "dominance: [1, 0.8]", "demands the dominance rule"),
    ],
)
def test_a_policy_keeps_its_counts_at_least_as_safe_as_agreed(
    tmp_path: Path, agreed: str, asked: str, match: str | None
) -> None:
    small = small_governance(tmp_path)
    small.edit("DUL-1", "  complementary: true\n", f"  complementary: true\n  {agreed}\n")
    policy = POLICY + f"aggregates: {{min_cell: 11{asked and f', {asked}'}}}\n"
    if match is None:
        small.policy(policy)
    else:
        with pytest.raises(DeclarationError, match=match):
            small.policy(policy)


def test_what_an_agreement_denies_goes_out_by_no_derived_column_either(tmp_path: Path) -> None:
    small = small_governance(tmp_path)
    agreed = small.load().filed["DUL-1"].agreement.fields_
    assert agreed is not None and agreed.allow == ("*.*",)
    columns = "  timeline: [person_id, occurred_on]\n  enrollment:"
    text = POLICY.replace(", entry_date", "").replace("  enrollment:", columns)
    small.policy(text)
    small.edit("DUL-1", "  deny: []", "  deny: [enrollment.entry_date]")
    with pytest.raises(DeclarationError, match=r"denies enrollment\.entry_date, of which timeline\."):
        small.policy(text)
    small.policy(POLICY.replace(", entry_date", ""))


def test_a_policy_without_linkage_gives_nothing_that_tells_which_mentions_are_one_person(tmp_path: Path) -> None:
    small = small_governance(tmp_path)
    small.edit("DUL-1", "linkage:\n  allowed: true", "linkage:\n  allowed: false")
    with pytest.raises(DeclarationError, match=r"does not allow linkage, and .* tells which"):
        small.policy()


def test_what_a_policy_newly_shows_is_listed(small: Small) -> None:
    before = small.policy(GOOD)
    after = small.policy(GOOD.replace("type, received_on]", "type, received_on, finding]"))
    assert newly_visible(before, after) == [
        {"table": "allegation", "column": "finding", "class": "child_protection", "change": "is new"}
    ]
    assert newly_visible(after, before) == []
    older = after.model_copy(update={"rows": after.rows.model_copy(update={"age_bands": ("minor", "adult")})})
    assert [row["change"] for row in newly_visible(after, older)] == ["persons of age adult are new"]


def test_no_policy_file_can_name_what_tells_of_a_reporter(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """The common schema has no such column; should one ever come in, no agreement and no policy can give it out."""
    told = {t: dict(columns) for t, columns in column_classes().items()}
    told["allegation"]["type"] = ColumnClass(Sensitivity.REPORTER_IDENTITY, "id")
    monkeypatch.setattr(policies, "column_classes", lambda: told)
    for text in (GOOD, GOOD.replace('"*.person_id": pseudonym', '"*": pseudonym')):
        with pytest.raises(DeclarationError):
            small.policy(text.replace("entry_date, ", ""))
    with pytest.raises(DeclarationError, match="nothing of class reporter_identity goes out"):
        small.policy(GOOD)


def test_no_random_agreement_and_policy_releases_a_reporter() -> None:
    random = Random(7)
    for _ in range(100):
        governance, policy = random_governance(random)
        terms = terms_of(governance, policy)
        for request in random_requests(random, governance, policy, 100):
            for of_reporter in ({"sensitivity": Sensitivity.REPORTER_IDENTITY},
                                {"source_class": Sensitivity.REPORTER_IDENTITY}):  # fmt: skip
                assert not decide(terms, replace(request, **of_reporter)).allowed  # type: ignore[arg-type]
