"""Links are measured by group, and whole persons are counted, so that no group is linked worse unseen."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from linkage.evaluate import Evaluation, evaluate_links
from linkage.groups import GroupScore
from linkage.link import Links
from standard.errors import LinkageError
from tests.linkage_tables import linked, person

ON = date(2026, 9, 7)
ROWS: list[dict[str, Any]] = [
    # one girl of two agencies, found; her race is known to one of them only
    person("school/1", "Ottilie Brankovic", "2014-03-04", home="12 Alder St", sex="F", race="asian"),
    person("court/1", "Ottilie Brankovic", "2014-03-04", home="12 Alder St", sex="F"),
    # two brothers whom their agencies give one record each that looks alike: joined falsely
    person("school/2", "Hollis Vandermolen", "1990-09-09", home="1 Lake Dr", sex="M", race="white"),
    person("court/2", "Hollis Vandermolen", "1990-09-09", home="1 Lake Dr", sex="M", race="black"),
    # one man under two names that nothing joins
    person("school/3", "Ansel Quist", "1950-01-05", sex="M", race="white"),
    person("court/3", "Della Orr", "1950-11-30", sex="M", race="white"),
]
TRUTH = """record_id,truth,source
school/1,a,school
court/1,a,court
school/2,b,school
court/2,c,court
school/3,d,school
court/3,d,court
"""


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Links:
    folder = tmp_path_factory.mktemp("groups")
    (folder / "truth.csv").write_text(TRUTH)
    return linked(ROWS, folder)


@pytest.fixture(scope="module")
def found(links: Links) -> Evaluation:
    folder = links.into.parent
    return evaluate_links(links.into, folder / "truth.csv", people=folder / "people.parquet", on=ON)


def test_pairs_persons_and_sources_are_counted(found: Evaluation) -> None:
    assert found.mentions == 6
    assert (found.joined[0].true, found.joined[0].found, found.joined[0].right) == (2, 2, 1)
    assert (found.persons.true, found.persons.found, found.persons.right) == (4, 4, 1)
    assert next(s for s in found.joined if s.sources == "court x school").right == 1


def test_a_false_pair_counts_for_the_groups_of_both_persons(found: Evaluation) -> None:
    race = {score.group: score for score in found.groups if score.by == "race"}
    assert race["ASIAN"] == GroupScore("race", "ASIAN", true=1, found=1, right=1)
    assert race["BLACK"] == GroupScore("race", "BLACK", true=0, found=1, right=0)
    assert race["WHITE"] == GroupScore("race", "WHITE", true=1, found=1, right=0)
    assert (race["WHITE"].false_per_1000, race["WHITE"].recall) == (1000, 0)


def test_ages_are_counted_in_groups_on_the_day(found: Evaluation) -> None:
    ages = {score.group: (score.true, score.found, score.right) for score in found.groups if score.by == "age"}
    assert ages == {"6 to 12": (1, 1, 1), "25 to 64": (0, 1, 0), "65 and more": (1, 0, 0)}


@pytest.mark.parametrize(
    ("text", "says"),
    [("id,truth\na,1\n", "no column record_id"), ("record_id,truth\nnobody/1,a\n", "none of the mentions")],
)
def test_a_truth_that_cannot_be_used_is_an_error(links: Links, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(LinkageError, match=says):
        evaluate_links(links.into, tmp_path / "truth.csv", on=ON)
