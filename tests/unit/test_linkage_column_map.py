"""A column map is drafted from a header nobody has seen before, and what it cannot tell is left to a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkage.column_map import draft_column_map, map_as_yaml
from linkage.people import read_column_map
from standard.errors import LinkageError


def header(folder: Path, *names: str) -> Path:
    path = folder / "register.csv"
    path.write_text(",".join(names) + "\n" + ",".join("x" for _ in names) + "\n")
    return path


@pytest.mark.parametrize(
    "told",
    [
        {"record_id": "ID", "given": "FirstName", "surname": "LastName", "birth_date": "DOB"},
        {"record_id": "unique_id", "given": "first_name", "surname": "surname", "birth_date": "dob", "zip": "postcode"},
        {"record_id": "rec-id", "given": "Given Name", "birth_date": "Date of Birth", "ssn": "soc_sec_id"},
    ],
)
def test_common_columns_are_known_by_what_others_call_them(tmp_path: Path, told: dict[str, str]) -> None:
    assert draft_column_map(header(tmp_path, *told.values())).columns == told


def test_the_draft_is_a_map_that_can_be_used_and_names_what_it_left_out(tmp_path: Path) -> None:
    drafted = draft_column_map(header(tmp_path, "id", "first", "it's last", "Shoe Size"))
    text = map_as_yaml(drafted)
    assert drafted.left_out == ["it's last", "Shoe Size"] and "# not used: it's last, Shoe Size" in text
    (tmp_path / "map.yaml").write_text(text)
    assert read_column_map(tmp_path / "map.yaml").columns == {"record_id": "id", "given": "first"}


def test_a_draft_without_an_id_says_that_one_is_needed(tmp_path: Path) -> None:
    assert "record_id is needed" in map_as_yaml(draft_column_map(header(tmp_path, "first", "last")))


def test_a_common_name_wins_over_a_like_one(tmp_path: Path) -> None:
    assert draft_column_map(header(tmp_path, "id", "record_id", "last", "surname")).columns == {
        "record_id": "record_id",
        "surname": "surname",
    }


def test_a_file_that_is_no_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LinkageError, match="cannot be read"):
        draft_column_map(tmp_path / "nothing.parquet")
