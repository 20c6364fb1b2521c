"""Tables that nobody would send on purpose get an answer or a clear error, within bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linkage.link import LinkageSettings, link_file
from standard.errors import LinkageError
from tests.linkage_tables import SCHEMA, edge, linked, person, person_ids


def test_an_empty_table_has_no_persons(tmp_path: Path) -> None:
    links = linked([], tmp_path)
    assert (links.people, links.pairs, links.persons) == (0, 0, 0)
    assert {"record_l", "record_r", "weight", "decision"} <= set(pq.read_schema(links.into / "edges.parquet").names)
    assert person_ids(links) == {}


def test_records_of_which_nothing_is_known_stay_single(tmp_path: Path) -> None:
    links = linked([{"record_id": f"a/{n}"} for n in range(300)], tmp_path)
    assert (links.people, links.persons, links.linked) == (300, 300, 0)


def test_a_value_in_every_row_is_left_out_as_a_key_and_reported(tmp_path: Path) -> None:
    rows = [person(f"a/{n}", "Mia Orr", "2012-03-04", home="12 Alder St") for n in range(500)]
    links = linked(rows, tmp_path)
    skipped = {block.rule: (block.keys, block.records) for block in links.skipped_blocks}
    assert skipped["home"] == skipped["birth, given"] == (1, 500)
    assert links.pairs == 0 and links.persons == 500


def test_a_large_household_is_capped_and_those_alike_in_it_are_still_compared(tmp_path: Path) -> None:
    people = pa.table({
        "record_id": [f"a/{n}" for n in range(20_000)],
        "given": [f"N{chr(65 + n % 26)}{chr(65 + n // 26 % 26)}{chr(65 + n // 676)}" for n in range(20_000)],
        "surname": ["Orr"] * 20_000,
        "address": ["12 Alder St"] * 20_000,
    })  # fmt: skip
    pq.write_table(people, tmp_path / "people.parquet")
    links = link_file(tmp_path / "people.parquet", tmp_path / "links", settings=LinkageSettings(memory="250MB"))
    assert next(block for block in links.skipped_blocks if block.rule == "home").records == 20_000
    assert links.people == 20_000 and links.pairs > 0


@pytest.mark.parametrize("form", ["Zoë Ørsted", "ZOE\u0308 ØRSTED", "зоя орстед", "佐藤 花子", "\u202eMia Orr"])
def test_names_in_any_script_are_answered(tmp_path: Path, form: str) -> None:
    rows: list[dict[str, Any]] = [person(f"a/{n}", form, "2012-03-04", ssn="521457731") for n in range(3)]
    assert linked([*rows, person("a/\u202e\u0000é", "Ann Quist")], tmp_path).people == 4


def test_dates_in_the_far_future_and_past_are_not_birth_dates(tmp_path: Path) -> None:
    rows = [person("a/1", "Mia Orr", "9999-12-31"), person("b/1", "Mia Orr", "9999-12-31"),
            person("a/2", "Ann Quist", "0001-01-01"), person("b/2", "Ann Quist", "0001-01-01")]  # fmt: skip
    links = linked(rows, tmp_path)
    for left, right in (("a/1", "b/1"), ("a/2", "b/2")):
        found = edge(links, left, right)
        assert found is None or found["gamma_birth"] == -1


def test_identical_ids_are_refused_without_telling_them(tmp_path: Path) -> None:
    with pytest.raises(LinkageError) as caught:
        linked([person("secret/1", "Mia Orr"), person("secret/1", "Mia Orr")], tmp_path)
    assert "secret" not in str(caught.value)


def test_ids_longer_than_any_text_should_be_are_kept_apart(tmp_path: Path) -> None:
    rows = [person("a/" + "x" * 10_000 + str(n), "Mia Orr", "2012-03-04", ssn="521457731") for n in range(3)]
    links = linked(rows, tmp_path)
    assert links.people == 3 and len(set(person_ids(links))) == 3


def test_columns_that_are_all_missing_need_not_be_there(tmp_path: Path) -> None:
    table = pa.table({"record_id": ["a", "b"], "given": pa.nulls(2, pa.string())})
    pq.write_table(table, tmp_path / "people.parquet")
    assert link_file(tmp_path / "people.parquet", tmp_path / "links").persons == 2
    assert duckdb.read_parquet(str(tmp_path / "links" / "edges.parquet")).fetchall() == []
    assert set(SCHEMA.names) - {"record_id", "given"} >= {"surname", "ssn"}
