"""Codes that mean what the list of another feed's row says: here of the court in which the case is; all invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from expectations.retry import states_of
from flows.cli import app
from mappings.entities import project_entities
from mappings.load import load_agency
from standard.errors import DeclarationError
from tests.exchange import small_exchange
from tests.mapping_cases import table
from tests.school import School
from tests.spec.test_mapping_codes import CASES, CROSSWALK

CASE_FEED = """feed: cases
title: Cases
source: drop
arrives: {files: "cases_{as_of:%Y%m%d}.csv"}
format: {kind: delimited}
holds: delta
key: [case_no]
elements:
  case_no: {column: Case, identifier: {}, required: true}
  court: {column: Court, text: {}}
entities:
  case: [{case_ref: "cases/{case_no}", case_no: case_no, location: court}]
"""
CHARGE_FEED = """feed: charges
title: Charges
source: drop
arrives: {files: "charges_{as_of:%Y%m%d}.csv"}
format: {kind: delimited}
holds: delta
key: [no]
references: [{elements: [case_no], feed: cases, to: [case_no]}]
lookups: {case: {feed: cases, on: {case_no: case_no}}}
error_limit: 1
elements:
  no: {column: No, integer: {}, required: true}
  case_no: {column: Case, identifier: {}, required: true}
  finding: {column: Find, code: {crosswalk: finding, scope: case.court, on: given_on}}
  given_on: {column: Day, date: {}}
entities:
  charge:
    - {case_ref: "cases/{case_no}", charge_ref: "charges/{no}", person_ref: "party/{no}",
       finding: finding, finding_on: given_on}
"""
CASE, CHARGE = "Case,Court\n", "No,Case,Find,Day\n"
Row = tuple[Any, ...]


def court(folder: Path) -> School:
    """An agency with cases and their charges, each read by the list of the court of its case."""
    school = School(small_exchange(folder, agencies=("hillside_schools",)))
    for name, text in (("cases.yaml", CASE_FEED), ("charges.yaml", CHARGE_FEED)):
        (school.folder / name).write_text(text, "utf-8")
    (school.folder / "crosswalks" / "finding.csv").write_text(CROSSWALK, "utf-8")
    school.edit("agency.yaml", "[students, visits]", "[students, visits, cases, charges]")
    return school


def charges(school: School) -> list[Row]:
    """The charges of the record: number, finding, match, reason why it is missing."""
    agency = school.agency
    known = states_of(school.home, school.ledger)
    states = {(agency.agency, feed): path for feed in agency.feeds if (path := known(agency.agency, feed))}
    made = project_entities({agency.agency: agency}, states, school.home.root / "work" / "entities")
    reason = "nullif(regexp_extract(missing, 'finding:([a-z_]+)', 1), '')"
    query = f"SELECT source_key::INTEGER, finding, finding_source, finding_match, {reason} FROM '{made['charge']}'"
    with duckdb.connect() as con:
        return list(con.execute(f"{query} ORDER BY 1").fetchall())


def findings(school: School) -> dict[str, int]:
    """Code of what was found of the element `finding` -> rows, in all extracts of charges."""
    files = ", ".join(f"'{school.home.batches / of / 'findings.parquet'}'" for of in school.ids("charges"))
    with duckdb.connect() as con:
        query = f"SELECT code, count(*) FROM read_parquet([{files}]) WHERE element = 'finding' GROUP BY 1"
        return dict(con.execute(query).fetchall())


def kith(school: School, *arguments: str) -> Any:
    ran = CliRunner().invoke(app, [*arguments, "--home", str(school.home.root), "--json"])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return json.loads(ran.stdout)


def pending(school: School) -> list[Row]:
    return [(row["scope"], row["value"], row["rows"]) for row in kith(school, "codes", "pending")]


def test_a_code_means_what_it_would_if_its_scope_stood_in_the_row(tmp_path: Path) -> None:
    school = court(tmp_path)
    rows = table(CASES)
    school.night(
        cases=CASE + "".join(f"C{n},{cells[1]}\n" for n, cells in enumerate(rows)),
        charges=CHARGE + "".join(f"{n},C{n},{cells[0]},{cells[2]}\n" for n, cells in enumerate(rows)),
    )
    told = [[cell or "" for cell in row[1:]] for row in charges(school)]
    assert told == [[cells[3], cells[0], cells[4], cells[6]] for cells in rows]
    expected = [cells[5] for cells in rows if cells[5]]
    assert findings(school) == {code: expected.count(code) for code in set(expected)}


def test_a_code_that_one_court_does_not_know_waits_with_its_court_and_is_mapped_there_alone(tmp_path: Path) -> None:
    school = court(tmp_path)
    school.night(
        cases=CASE + "C1,EAST\nC2,WEST\n", charges=CHARGE + "1,C1,04,2025-03-01\n2,C2,04,2025-03-01\n3,C2,AD,\n"
    )
    assert pending(school) == [("WEST", "04", 1)]
    means = ["hillside_schools/charges", "finding", "04", "pending", "--scope", "WEST", "--by", "R. Steward"]
    effect = kith(school, "codes", "map", *means, "--adopt")["effect"]
    assert effect["codes"] == [
        {"feed": "charges", "element": "finding", "scope": "WEST", "value": "04", "rows": 1, "becomes": "mapped"}
    ]
    kith(school, "remap", "hillside_schools/charges")
    assert pending(school) == []
    assert [row[1] for row in charges(school)] == ["not_guilty", "pending", "adjudicated"]


def test_a_case_that_moves_to_another_court_takes_its_codes_along(tmp_path: Path) -> None:
    school = court(tmp_path)
    school.night(cases=CASE + "C1,DIST\n", charges=CHARGE + "1,C1,AD,2025-03-01\n")
    assert charges(school)[0][1] == "adjudicated"
    school.night(cases=CASE + "C1,JUV\n")
    assert charges(school)[0][1] == "adjudicated_delinquent"


def test_a_charge_that_comes_before_its_case_is_judged_when_the_case_has_come(tmp_path: Path) -> None:
    school = court(tmp_path)
    school.night(charges=CHARGE + "1,C1,04,2025-03-01\n2,C1,05,2025-03-01\n3,C1,QQ,2025-03-01\n")
    assert (pending(school), findings(school)) == ([], {})
    school.night(cases=CASE + "C1,EAST\n")
    assert charges(school)[0][1:4] == ("not_guilty", "04", "exact")
    assert pending(school) == [("EAST", "05", 1), ("EAST", "QQ", 1)]


def test_a_required_code_is_not_refused_before_its_case_is_known(tmp_path: Path) -> None:
    school = court(tmp_path)
    school.edit("charges.yaml", "on: given_on}}", "on: given_on}, required: true}")
    school.night(charges=CHARGE + "1,C1,04,2025-03-01\n2,C1,05,2025-03-01\n3,C1,,2025-03-01\n")
    school.night(cases=CASE + "C1,EAST\n")
    assert [row[:2] for row in charges(school)] == [(1, "not_guilty")]
    assert school.accounts()["quarantined", "unmapped_code"] == 1
    assert school.accounts()["quarantined", "blank_required"] == 1


COURTS = st.dictionaries(st.sampled_from(["C1", "C2"]), st.sampled_from(["EAST", "WEST", "JUV"]), min_size=1)
CHARGES = st.lists(
    st.tuples(st.sampled_from(["C1", "C2"]), st.sampled_from(["AD", "04", "05", "QQ", ""])), min_size=1, max_size=5
)


@settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(COURTS, CHARGES, st.booleans())
def test_cases_and_charges_end_in_the_same_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, courts: dict[str, str], given_: list[tuple[str, str]], first: bool
) -> None:
    cases = CASE + "".join(f"{case},{where}\n" for case, where in courts.items())
    told = CHARGE + "".join(f"{n},{case},{code},2025-03-01\n" for n, (case, code) in enumerate(given_))
    together = court(tmp_path_factory.mktemp("together"))
    together.night(cases=cases, charges=told)
    apart = court(tmp_path_factory.mktemp("apart"))
    for night in ({"cases": cases}, {"charges": told}) if first else ({"charges": told}, {"cases": cases}):
        apart.night(**night)
    assert charges(apart) == charges(together)
    assert {row[1] for row in charges(apart)} == {
        {"AD": "adjudicated_delinquent" if courts[case] == "JUV" else "adjudicated",
         "04": "not_guilty" if courts[case] == "EAST" else None,
         "": "pending" if courts[case] == "WEST" else None}.get(code)
        for case, code in given_ if case in courts
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("scope: case.court", "scope: kase.court", "no lookup of another feed gives"),
        ("scope: case.court", "scope: case.place", "no lookup of another feed gives"),
        ("references: [{elements: [case_no], feed: cases, to: [case_no]}]\n", "", "may not be there"),
        ("key: [no]", "key: [no, finding]", "needed before the row is known"),
        ("entities:", "deleted_when: \"finding = 'dismissed'\"\nentities:", "finding"),
        (
            "entities:",
            '  alike: {column: More, sql: "{finding}", type: text}\nentities:',
            "needed before the row is known",
        ),
    ],
)
def test_nothing_may_need_such_a_code_before_its_scope_is_known(tmp_path: Path, old: str, new: str, what: str) -> None:
    school = court(tmp_path)
    school.edit("charges.yaml", old, new)
    with pytest.raises(DeclarationError, match=what) as told:
        load_agency(school.folder)
    assert "charges.yaml, line" in told.value.where
