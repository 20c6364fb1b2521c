"""What a suite may say, and what it does to the rows of a feed."""

from __future__ import annotations

import json
import stat
from datetime import date
from pathlib import Path

import pytest

from expectations.suites import expectations_of, load_suites
from standard.errors import AccountError, DeclarationError
from standard.schema import entities
from store.home import Home
from tests.intake import Intake, feed, read, went

LINE = "{{id: x, severity: warning, mend: mend it, {}}}"
WRONG = [
    ("expect: expect_column_values_to_be_pretty, column: zip", "there is no expectation"),
    ("expect: expect_column_values_to_not_be_null, column: zipcode", "has no column 'zipcode'"),
    ("expect: expect_column_values_to_not_be_null", "needs column"),
    ("expect: expect_column_values_to_match_regex, column: zip", "needs regex"),
    ("expect: expect_column_values_to_be_null, column: zip, regex: a", "does not take regex"),
    ("expect: expect_column_values_to_match_regex, column: zip, regex: '\\d'", "write the characters out"),
    ("expect: expect_column_values_to_match_regex, column: zip, regex: '('", "unterminated"),
    ("expect: expect_column_values_to_be_between, column: valid_from, min_value: soon", "isoformat"),
    ("expect: expect_column_values_to_be_between, column: zip, min_value: 1", "does not fit the column zip"),
    ("expect: expect_column_values_to_be_null, column: zip, when: 'zipcode = 1'", "zipcode"),
    ("expect: expect_column_values_to_be_null, column: zip, colour: red", "not known here"),
]


@pytest.mark.parametrize(("line", "why"), WRONG)
def test_a_suite_that_is_wrong_is_refused_with_its_file(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "address.yaml").write_text(
        f"entity: address\nexpectations:\n  - {LINE.format(line)}\n", encoding="utf-8"
    )
    with pytest.raises(DeclarationError) as refused:
        load_suites(tmp_path)
    assert why in str(refused.value) and "address.yaml" in str(refused.value)


def test_every_suite_loads_and_every_line_says_how_to_mend() -> None:
    suites = load_suites()
    assert len(suites) >= 25
    assert all(len(each.mend) > 15 for suite in suites.values() for each in suite.expectations)


def test_every_code_of_the_schema_is_held_to_its_code_set() -> None:
    for name, entity in entities().items():
        codes = {f"{column}_is_a_code" for column, declared in entity.columns.items() if declared.code_set}
        assert codes <= {each.id for each in expectations_of(name)}


ELEMENTS = {"number": "identifier", "day": "date", "zip": "text", "kind": "text", "part": "decimal"}
ENTITIES = {
    "attendance_day": [{"person_ref": "students/{number}", "date": "day", "duration_fraction": "part"}],
    "address": [
        {"person_ref": "students/{number}", "zip": "zip", "when": "kind = 'home'"},
        {"person_ref": "students/{number}", "zip": "zip", "when": "kind = 'work'"},
    ],
}


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return Intake(Home(tmp_path), {"days": feed("days", elements=ELEMENTS, entities=ENTITIES)})


def test_a_row_that_cannot_be_used_is_quarantined_and_an_odd_one_goes_along(intake: Intake) -> None:
    good = {"day": date(2026, 3, 20), "zip": "02139", "kind": "home"}
    rows = [
        good | {"number": "1"},
        good | {"number": "2", "day": None},
        good | {"number": "3", "zip": "2139"},
        good | {"number": "4", "zip": "2139", "kind": "work"},
        good | {"number": "5", "zip": "2139", "kind": "neither"},
        good | {"number": "6", "day": date(2026, 3, 24)},
    ]
    checked = intake.load("days", rows)
    accepted = (1, 3, 4, 5, 6)
    assert went(checked) == sorted(
        [(n, "accepted", "") for n in accepted] + [(2, "quarantined", "attendance_day.date_present")]
    )
    assert read(f"SELECT _record, element, severity, rule FROM '{checked.findings}' ORDER BY 1") == [
        (2, "day", "error", "attendance_day.date_present"),
        (3, "zip", "warning", "address.zip_has_five_digits"),
        (4, "zip", "warning", "address.zip_has_five_digits#2"),
        (6, "day", "warning", "attendance_day.date_in_range"),
    ]


def test_the_kept_result_of_a_batch_is_private_and_without_values(intake: Intake) -> None:
    checked = intake.load("days", [{"number": "1", "day": date(2026, 3, 20), "zip": "canary", "kind": "home"}])
    kept = checked.batch.folder / "validation.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    told = json.loads(kept.read_text(encoding="utf-8"))
    assert "canary" not in json.dumps(told)
    failed = [each["id"] for each in told["results"] if not each["holds"]]
    assert (failed, told["success"]) == (["address.zip_has_five_digits"], False)
    assert told["engine"].startswith("great-expectations 1.")


def test_engines_that_disagree_stop_the_extract(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expectations.check_batch.run_checks", _forgetful)
    with pytest.raises(AccountError, match=r"disagree on address\.zip_has_five_digits"):
        intake.load("days", [{"number": "1", "day": date(2026, 3, 20), "zip": "2139", "kind": "home"}])


def _forgetful(con: object, checks: object, relation: str) -> object:
    from dataclasses import replace

    from expectations.compile import run_checks

    outcomes = run_checks(con, checks, relation)  # type: ignore[arg-type]
    return [replace(o, holds=True, unexpected=0) if o.unexpected else o for o in outcomes]
