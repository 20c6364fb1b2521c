"""The page of an agency tells its terms and definitions, ours, the match, who reviewed it, and what is lost."""

from __future__ import annotations

from pathlib import Path

from flows.settings import REPOSITORY_AGENCIES
from mappings.crosswalks import add_line
from mappings.load import load_agency
from record.agency_page import agency_dictionary
from tests.exchange import small_exchange


def test_an_agency_s_codes_stand_beside_ours_with_their_definition_and_reviewer(tmp_path: Path) -> None:
    folder = small_exchange(tmp_path).home.agencies / "hillside_schools"
    line = {"value": "3", "common": "X", "match": "close", "label": "Other", "definition": "neither | or not said",
            "valid_from": "2024-07-01", "reviewer": "R. Steward"}  # fmt: skip
    add_line(folder / "crosswalks" / "sex.csv", line)
    page = agency_dictionary(load_agency(folder))
    assert (
        "| `3` | Other | neither \\| or not said | `X` | X | close | from 2024-07-01 | R. Steward"
        " | a shade of meaning; the value as sent stays beside it |" in page
    )
    assert "| `9` |  |  | (on purpose none) |  |  |  |  | it has no common term; the value as sent stays |" in page
    assert "| `Homeroom` | of no use outside the school |" in page
    assert "| `Sex` | `sex` | code | `person_demographic.sex` |" in page


def test_every_agency_of_the_repository_has_a_page_that_names_all_its_columns() -> None:
    for declared in REPOSITORY_AGENCIES.glob("*/agency.yaml"):
        agency = load_agency(declared.parent)
        page = agency_dictionary(agency)
        for feed in agency.feeds.values():
            assert all(f"`{column}`" in page for column in feed.columns)
