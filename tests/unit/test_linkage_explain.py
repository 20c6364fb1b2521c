"""A link is explained by its weights, and precision and recall are counted over all pairs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from linkage.evaluate import Score, evaluate, evaluate_edges
from linkage.explain import explain_pair
from linkage.link import LinkageSettings
from linkage.model import read_model
from standard.errors import LinkageError
from tests.linkage_tables import edge, linked, person, person_ids

ROWS = [
    person("school/1", "Ottilie Rae Brankovic", "2012-03-04", home="12 Alder St"),
    person("court/1", "OTTILIE R BRANKOVIC", "2012-03-04", home="12 ALDER STREET"),
    person("school/2", "Hollis Vandermolen", "2012-09-09", home="1 Lake Dr"),
    person("court/2", "BRYNN VANDERMOLEN", "2012-09-09", home="1 LAKE DR"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explain")
    linked(ROWS, path)
    return path


def test_the_weights_of_the_comparisons_add_up_to_the_weight_of_the_edge(folder: Path) -> None:
    told = explain_pair(folder / "people.parquet", "school/1", "court/1")
    assert math.isclose(told.prior + sum(c.weight + c.rarity for c in told.comparisons), told.weight, abs_tol=1e-6)
    levels = {c.comparison: c.level for c in told.comparisons}
    assert levels["given"] == "exact" and levels["household"] == "home" and levels["ssn"] == "not known"
    assert told.decision == "link" and told.veto is None


def test_a_pair_that_is_kept_apart_names_the_rule(folder: Path) -> None:
    told = explain_pair(folder / "people.parquet", "school/2", "court/2")
    assert (told.decision, told.veto) == ("review", "first names conflict")


def test_an_explanation_says_no_value_of_a_person(folder: Path) -> None:
    told = str(explain_pair(folder / "people.parquet", "school/1", "court/1")).upper()
    assert not [word for word in ("OTTILIE", "BRANKOVIC", "ALDER", "2012") if word in told]


def test_an_unknown_record_is_an_error(folder: Path) -> None:
    with pytest.raises(LinkageError, match="two mentions"):
        explain_pair(folder / "people.parquet", "school/1", "school/9")


def test_an_unknown_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LinkageError, match="model cannot be read"):
        linked(ROWS, tmp_path, settings=LinkageSettings(model="1999-9"))


def test_the_model_file_is_that_of_the_declared_comparisons(tmp_path: Path) -> None:
    assert read_model(LinkageSettings().model)["comparisons"]
    (tmp_path / "old.json").write_text('{"comparisons": []}')
    with pytest.raises(LinkageError, match="other comparisons"):
        read_model(tmp_path / "old.json")


def test_a_more_careful_setting_links_less(tmp_path: Path) -> None:
    links = linked(ROWS, tmp_path, settings=LinkageSettings(link_weight=60))
    found = edge(links, "school/1", "court/1")
    assert found is not None and found["decision"] == "review" and len(set(person_ids(links).values())) == 4


def test_precision_and_recall_count_all_pairs_of_the_closure(tmp_path: Path) -> None:
    (tmp_path / "persons.csv").write_text("record_id,person_id\na,1\nb,1\nc,1\nd,2\ne,3\n")
    (tmp_path / "truth.csv").write_text("record_id,source,truth\na,x,p\nb,y,p\nc,x,q\nd,y,q\ne,x,q\n")
    scores = {score.sources: score for score in evaluate(tmp_path / "persons.csv", tmp_path / "truth.csv")}
    assert scores["all"] == Score("all", true=4, found=3, right=1)
    assert scores["x x y"] == Score("x x y", true=3, found=2, right=1)
    assert scores["x x x"] == Score("x x x", true=1, found=1, right=0)
    assert math.isclose(scores["all"].precision, 1 / 3) and scores["all"].recall == 0.25


def test_edges_are_scored_against_every_true_pair(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("record_id,truth\nschool/1,p\ncourt/1,p\nschool/2,q\ncourt/2,q\n")
    score = evaluate_edges(folder / "links" / "edges.parquet", tmp_path / "truth.csv")
    assert (score.true, score.found, score.right) == (2, 1, 1)
