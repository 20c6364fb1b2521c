"""What a pair weighs: by its two mentions and the reference names, never by who else is in the table."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from linkage.link import link_file
from linkage.people import ColumnMap
from tests.linkage_tables import edge, linked, person

PAIR = [
    person("school/1", "Ottilie Rae Brankovic", "2012-03-04", home="12 Alder St"),
    person("court/1", "OTTILIE R BRANKOVIC", "2012-03-04", home="12 ALDER STREET"),
]


def test_a_pair_weighs_the_same_whoever_else_is_in_the_table(tmp_path: Path) -> None:
    crowd = [person(f"police/{n}", "Ottilie Brankovic", f"19{n:02}-05-06", home=f"{n} Alder St") for n in range(40, 70)]
    alone = edge(linked(PAIR, tmp_path / "alone"), "school/1", "court/1")
    among_many = edge(linked(PAIR + crowd, tmp_path / "crowd"), "school/1", "court/1")
    assert alone is not None and among_many is not None
    assert alone["weight"] == pytest.approx(among_many["weight"], abs=1e-9)
    assert (alone["veto"], alone["doubt"]) == (among_many["veto"], among_many["doubt"])


def test_a_common_name_weighs_less_than_a_rare_one(tmp_path: Path) -> None:
    rows = [
        *(person(f"{agency}/1", "James Smith", "2012-03-04") for agency in ("school", "court")),
        *(person(f"{agency}/2", "Ottilie Brankovic", "2012-03-05") for agency in ("school", "court")),
    ]
    links = linked(rows, tmp_path)
    common, rare = edge(links, "school/1", "court/1"), edge(links, "school/2", "court/2")
    assert common is not None and rare is not None
    assert common["weight"] + 4 < rare["weight"]


@pytest.mark.parametrize(("other", "decision"), [("Jonathzn", "link"), ("Johnathan", "review")])
def test_a_misspelling_is_linked_and_another_name_in_use_goes_to_review(
    tmp_path: Path, other: str, decision: str
) -> None:
    rows = [
        person("school/1", "Jonathan Vandermolen", "2012-09-09", home="1 Lake Dr"),
        person("court/1", f"{other} Vandermolen", "2012-09-09", home="1 Lake Dr"),
    ]
    found = edge(linked(rows, tmp_path), "school/1", "court/1")
    assert found is not None and found["decision"] == decision


def test_a_birth_date_with_one_character_that_cannot_be_read_still_speaks(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text(
        "record_id,given,surname,birth_date,phone\n"
        "a,Delphine,Wexcombe,25-08-1938,4135550188\n"
        "b,Delphine,Wexcombe,25-08-q938,4135550188\n"
        "c,Delphine,Wexcombe,never,4135550188\n"
    )
    names = ("record_id", "given", "surname", "birth_date", "phone")
    columns = ColumnMap(columns={name: name for name in names}, birth_date_format="%d-%m-%Y")
    links = link_file(table, tmp_path / "links", columns=columns)
    damaged, missing = edge(links, "a", "b"), edge(links, "a", "c")
    assert damaged is not None and missing is not None
    assert damaged["mw_birth"] > 3 and missing["gamma_birth"] == -1


def test_a_key_that_more_share_than_its_rule_allows_is_left_out_and_told(tmp_path: Path) -> None:
    rows = [
        person(f"school/{n}", f"Child{chr(65 + n % 26)}{chr(65 + n // 26)}x Family", "", home="1 Long St")
        for n in range(40)
    ]
    skipped = {block.rule: block for block in linked(rows, tmp_path).skipped_blocks}
    assert skipped["home"].keys == 1 and skipped["home"].records == 40


def test_every_reference_name_stands_once_in_plain_letters() -> None:
    folder = Path(__file__).resolve().parents[2] / "linkage"
    for name in ("given_names.csv", "surnames.csv"):
        rows = duckdb.read_csv(str(folder / name), header=True)
        odd = rows.aggregate("count(*) - count(DISTINCT name), count(*) FILTER (NOT regexp_full_match(name, '[A-Z]+'))")
        assert odd.fetchall() == [(0, 0)]
