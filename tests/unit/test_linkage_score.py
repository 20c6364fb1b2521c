"""Weights are those Splink gives, to a billionth, and nothing is lost by not looking at what cannot reach the floor."""

from __future__ import annotations

import itertools
from pathlib import Path

import duckdb
import pytest

from linkage import splink_model
from linkage.link import DEFAULT_MODEL
from linkage.model import prior_weight, read_model
from linkage.people import read_people
from linkage.score import cheaper, joined, score, scorer_of
from linkage.standardise import standardise
from tests.linkage_tables import person, write_people

PEOPLE = [
    person("school/1", "Mia Rose Orr", "2012-03-04", home="12 Alder St", ssn="521457731", sex="F", student_id="0401"),
    person("school/2", "Mia R Orr", "2012-04-03", home="12 Alder Street", student_id="0401", phones=["6175550101"]),
    person("court/1", "Orr Mia", "2012-03-05", ssn="521457732", sex="F"),
    person("court/2", "Maya Rose Quist", "2012-03-04", home="12 Aldr St", sex="F", phones=["6175550102"]),
    person("police/1", "Robert Brankovic", "1984-03-04", ssn="345670987", identifiers=["MNI 7"]),
    person("police/2", "Bob Branković", "1984-03-04", sex="M", identifiers=["MNI 7"], relatives=["Mia Orr"]),
    person("police/3", "B Brankovic", home="9 Fern Ct", relatives=["Mia Orr"]),
    person("police/4", home="9 Fern Ct"),
    person("court/3", "Zzyxwv Brankovicz", "1984-03-09"),
]  # fmt: skip


@pytest.fixture
def con(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    read_people(con, write_people(PEOPLE, tmp_path / "people.parquet"))
    standardise(con)
    con.execute(
        "CREATE TEMP TABLE asked AS SELECT l.id AS id_l, r.id AS id_r FROM mention l JOIN mention r ON l.id < r.id"
    )
    return con


def rows(con: duckdb.DuckDBPyConnection, table: str) -> dict[tuple[int, int], dict[str, float]]:
    found = con.sql(f"FROM {table}")
    named = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    return {(row.pop("id_l"), row.pop("id_r")): row for row in named}


def test_every_figure_of_every_pair_is_that_of_splink(con: duckdb.DuckDBPyConnection) -> None:
    model = read_model(DEFAULT_MODEL)
    score(con, "asked", scorer_of(model, prior=prior_weight(len(PEOPLE))), into="ours")
    splink_model.score(con, "asked", splink_model.scorer_of(con, model), into="theirs")
    ours, theirs = rows(con, "ours"), rows(con, "theirs")
    assert set(ours) == set(theirs) == set(itertools.combinations(range(1, len(PEOPLE) + 1), 2))
    for pair, expected in theirs.items():
        assert set(ours[pair]) == set(expected)
        for name, figure in expected.items():
            assert ours[pair][name] == pytest.approx(figure, abs=1e-9), name
    assert len({row["gamma_given"] for row in ours.values()}) > 4


@pytest.mark.parametrize("floor", [-20.0, -5.0, 0.0, 8.0])
def test_what_is_not_looked_at_lies_below_the_floor(con: duckdb.DuckDBPyConnection, floor: float) -> None:
    scorer = scorer_of(read_model(DEFAULT_MODEL), prior=prior_weight(len(PEOPLE)))
    both = joined("(SELECT *, false AS stated FROM asked)", scorer.columns)
    con.execute(f"CREATE TEMP TABLE everything AS {scorer.sql(both)}")
    con.execute(f"CREATE TEMP TABLE above AS {scorer.sql(both, least_weight=floor)}")
    above = rows(con, "above")
    assert above == {pair: row for pair, row in rows(con, "everything").items() if row["weight"] >= floor}
    assert floor > 0 or above


@pytest.mark.parametrize(
    "condition",
    [
        "damerau_levenshtein(a, b) <= 1",
        "damerau_levenshtein(a, b) < 2",
        "damerau_levenshtein(a, b) = 2",
        "5 * damerau_levenshtein(a, b) <= 2 * greatest(len(a), len(b))",
        "1 + damerau_levenshtein(a, b) <= 2",
        "damerau_levenshtein(a, b) <= 1 + 1",
        "damerau_levenshtein(a, b) <= 2 * len(a)",
    ],
)
def test_a_cheaper_condition_holds_for_the_same_words(condition: str) -> None:
    words = ["", "A", "AB", "BA", "ABC", "ACB", "CAB", "BCA", "ABCD", "BADC", "ABDC", "DCBA", "ABXCD", "CA", "ABCDEFGH"]
    pairs = ", ".join(f"('{a}', '{b}')" for a in words for b in words)
    differing = duckdb.sql(f"SELECT a, b FROM (VALUES {pairs}) t(a, b) WHERE ({condition}) <> ({cheaper(condition)})")
    assert differing.fetchall() == []
