"""Codes through a crosswalk: what each match does, in which scope and period, and what becomes of an unseen code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mappings.load import load_agency
from tests.mapping_cases import HEAD, convert, table, write_agency

FEED = (
    HEAD.replace("[id]", "[given_on]")
    + """
elements:
  finding: {column: FIND, code: {crosswalk: finding, scope: court, on: given_on}}
  court: {column: COURT, text: {}}
  given_on: {column: DAY, date: {}}
"""
)

CROSSWALK = """value,common,match,scope,valid_from,valid_to,note
AD,adjudicated,exact,,,,
AD,adjudicated_delinquent,exact,JUV,,,the juvenile court says it of delinquency only
CW,continued_without_finding,close,,,,
DI,dismissed,broad,,,,
NA,pending,narrow,,,,
RE,pending,related,,,,
ZZ,,exact,,,,no common term on purpose
04,dismissed,exact,EAST,2010-01-01,2024-12-31,
04,not_guilty,exact,EAST,2025-01-01,,
05,dismissed,exact,EAST,2010-01-01,2024-12-31,
,pending,exact,WEST,,,blank means pending in the west
"""

CASES = """
FIND | COURT | DAY        | common                    | match    | problem          | missing
AD   |       |            | adjudicated               | exact    |                  |
AD   | DIST  |            | adjudicated               | exact    |                  |
AD   | JUV   |            | adjudicated_delinquent    | exact    |                  |
CW   |       |            | continued_without_finding | close    |                  |
DI   |       |            | dismissed                 | broad    |                  |
NA   |       |            |                           | narrow   | not_applied_code | unknown
RE   |       |            |                           | related  | not_applied_code | unknown
ZZ   |       |            |                           | exact    |                  | not_applicable
QQ   |       |            |                           | unmapped | unmapped_code    | unknown
ad   |       |            |                           | unmapped | unmapped_code    | unknown
     |       |            |                           |          |                  | not_collected
     | WEST  |            | pending                   | exact    |                  |
04   | EAST  | 2024-12-31 | dismissed                 | exact    |                  |
04   | EAST  | 2025-01-01 | not_guilty                | exact    |                  |
04   | EAST  |            |                           | unmapped | unmapped_code    | unknown
04   | EAST  | 2009-12-31 |                           | unmapped | unmapped_code    | unknown
04   | WEST  | 2025-01-01 |                           | unmapped | unmapped_code    | unknown
05   | EAST  |            | dismissed                 | exact    |                  |
05   | EAST  | 2025-01-01 |                           | unmapped | unmapped_code    | unknown
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("codes")
    agency = load_agency(write_agency(folder, {"students": FEED}, crosswalks={"finding": CROSSWALK}))
    return convert(agency, [dict(zip(("FIND", "COURT", "DAY"), case, strict=False)) for case in table(CASES)])


@pytest.mark.parametrize("number", range(len(table(CASES))), ids=lambda n: " ".join(table(CASES)[n][:3]))
def test_a_code_becomes_what_the_crosswalk_says(rows: list[dict[str, Any]], number: int) -> None:
    row, expected = rows[number], table(CASES)[number][3:]
    told = [_reason(row["_problems"]), _reason(row["_missing"])]
    assert [row["finding"] or "", row["finding_match"] or "", *told] == expected


def test_the_code_as_sent_is_always_kept(rows: list[dict[str, Any]]) -> None:
    assert [row["finding_source"] or "" for row in rows] == [case[0] for case in table(CASES)]


def test_a_code_never_makes_two_rows_of_one(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len(table(CASES))


def test_a_required_code_that_is_unseen_is_named_as_unmapped(tmp_path: Path) -> None:
    feed = (
        HEAD + "elements:\n  id: {column: ID, text: {}}\n  sex: {column: S, code: {crosswalk: sex}, required: true}\n"
    )
    crosswalk = "value,common,match\nF,F,exact\n"
    agency = load_agency(write_agency(tmp_path, {"students": feed}, crosswalks={"sex": crosswalk}))
    rows = convert(agency, [{"ID": "1", "S": "Q"}, {"ID": "2", "S": ""}, {"ID": "3", "S": "F"}])
    assert [row["_problems"] for row in rows] == ["sex:unmapped_code", "sex:blank_required", None]
    assert agency.feeds["students"].severity_of("sex", "unmapped_code") == "error"


def _reason(told: str | None) -> str:
    """The word told of the element `finding`."""
    words = dict(text.split(":") for text in (told or "").split())
    return words.get("finding", "")
