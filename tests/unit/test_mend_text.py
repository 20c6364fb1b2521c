"""Characters that nobody sees: out of every value, noted where an identifier had one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mappings.mend_text import INVISIBLE, mend_text
from tests.mapping_cases import map_file

ZERO_WIDTH_SPACE, JOINER, BYTE_ORDER_MARK, SOFT_HYPHEN = "\u200b", "\u2060", "\ufeff", "\u00ad"
RIGHT_TO_LEFT, END_OF_DIRECTION = "\u200f", "\u202c"


@pytest.mark.parametrize(
    "character", [ZERO_WIDTH_SPACE, JOINER, BYTE_ORDER_MARK, SOFT_HYPHEN, RIGHT_TO_LEFT, END_OF_DIRECTION]
)
def test_a_number_with_a_character_that_nobody_sees_is_the_same_number_and_noted(
    tmp_path: Path, character: str
) -> None:
    got = map_file(
        tmp_path, f"ID,Name,Born\n00{character}01,Ode,1/2/2010\n0002,Li{character}nd,3/4/2011\n0003,Fen,5/6/2012\n"
    )
    assert [(row["_key"], row["surname"], row["_problems"]) for row in got.rows] == [
        ("0001", "Ode", "id:repaired_identifier"), ("0002", "Lind", None), ("0003", "Fen", None),
    ]  # fmt: skip


@pytest.mark.parametrize("sent", ["\uff10\uff10\uff10\uff11", "000\u0661", "\u06f0\u06f0\u06f0\u06f1"])
def test_a_number_in_digits_of_another_script_is_the_same_number_and_noted(tmp_path: Path, sent: str) -> None:
    got = map_file(tmp_path, f"ID,Name,Born\n{sent},Ode\u2013Lind,1/2/2010\n")
    [row] = got.rows
    assert (row["_key"], row["surname"], row["_problems"]) == ("0001", "Ode\u2013Lind", "id:repaired_identifier")


def test_a_dash_in_a_number_is_a_hyphen_and_a_letter_that_looks_like_another_is_told() -> None:
    values, marks = mend_text(pa.array(["25\u20130018", "25-0018", "\u0410-1", None]), numbers=True)
    assert values.to_pylist() == ["25-0018", "25-0018", "\u0410-1", None]
    assert marks[INVISIBLE].to_pylist() == [True, False, False, False]


def test_a_number_that_is_repaired_in_two_ways_is_noted_once(tmp_path: Path) -> None:
    got = map_file(tmp_path, f"ID,Name,Born\n{ZERO_WIDTH_SPACE}1,Ode,1/2/2010\n")
    assert (got.rows[0]["_key"], got.rows[0]["_problems"]) == ("0001", "id:repaired_identifier")


def test_a_letter_whose_doubled_form_holds_a_soft_hyphen_is_put_right_and_not_cut() -> None:
    doubled = "Garc\u00eda".encode().decode("cp1252")
    assert SOFT_HYPHEN in doubled
    values, marks = mend_text(pa.array([doubled, "Ma\u00adrin", "S\u00f8by", None]))
    assert values.to_pylist() == ["Garc\u00eda", "Marin", "S\u00f8by", None]
    assert {code: rows.to_pylist() for code, rows in marks.items()} == {
        "repaired_text": [True, False, False, False], INVISIBLE: [False, True, False, False],
    }  # fmt: skip
