"""Delimited files in the dialects of the field: odd separators, trailing delimiters, NULL strings, wrong encodings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.formats import Format
from tests.mapping_cases import ELEMENTS, HEAD, Mapped, map_file


def _map(folder: Path, text: str | bytes, form: str) -> Mapped:
    return map_file(folder, text, feed=HEAD.replace("{kind: delimited}", form) + ELEMENTS)


def _rows(got: Mapped) -> list[tuple[str, str, str]]:
    return [(row["_key"], row["surname"], str(row["born"])) for row in got.rows]


def test_records_may_end_in_a_dagger_and_their_fields_in_a_double_dagger(tmp_path: Path) -> None:
    text = '1‡Ode\n Fen‡1/2/2010†\r\n0002‡"L‡nd"‡1/3/2011†\r\n'.encode("cp1252")
    form = (
        '{kind: delimited, encoding: cp1252, delimiter: "‡", line_end: "†", header: false, columns: [ID, Name, Born]}'
    )
    got = _map(tmp_path, text, form)
    assert _rows(got) == [("0001", "Ode Fen", "2010-01-02"), ("0002", "L‡nd", "2011-01-03")]
    assert [row["_line"] for row in got.rows] == [1, 2] and got.found == []


def test_a_line_end_of_ones_own_holds_over_the_pieces_in_which_a_file_is_read(tmp_path: Path) -> None:
    text = "".join(f"{n % 10_000:04d}|Ode\n|1/2/2010†\r\n" for n in range(120_000))
    form = '{kind: delimited, delimiter: "|", line_end: "†", header: false, columns: [ID, Name, Born]}'
    got = _map(tmp_path, text, form)
    assert [row["_key"] for row in got.rows[-3:]] == ["9997", "9998", "9999"]
    assert (len(got.rows), got.unreadable, {row["surname"] for row in got.rows}) == (120_000, [], {"Ode"})


def test_a_delimiter_behind_every_record_is_no_column(tmp_path: Path) -> None:
    form = "{kind: delimited, trailing: true}"
    for header in ("ID,Name,Born\n", "ID,Name,Born,\n"):
        got = _map(tmp_path, header + "0001,Ode,1/2/2010,\n", form)
        assert _rows(got) == [("0001", "Ode", "2010-01-02")] and got.found == []


def test_a_record_with_a_value_behind_its_last_delimiter_is_set_aside(tmp_path: Path) -> None:
    text = "ID,Name,Born\n0001,Ode,1/2/2010,\n0002,Fen,Max,1/3/2011\n0003,Lind,1/4/2012\n0004,Hall,1/5/2013,\n"
    got = _map(tmp_path, text, "{kind: delimited, trailing: true}")
    assert [row["_key"] for row in got.rows] == ["0001", "0004"]
    assert got.unreadable == [(2, 3, "ragged", "0002"), (3, 4, "ragged", "0003")]
    assert [row["_record"] for row in got.rows] == [1, 4]


def test_texts_that_stand_for_nothing_are_blank_in_every_column(tmp_path: Path) -> None:
    text = 'ID,Name,Born\n0001,"NULL",NULL\n0002,Nullman,\\N\n'
    got = _map(tmp_path, text, '{kind: delimited, null_values: ["NULL", "\\\\N"]}')
    assert _rows(got) == [("0001", None, "None"), ("0002", "Nullman", "None")]
    assert got.rows[0]["_missing"] == "surname:not_collected born:not_collected"


def test_windows_text_declared_as_utf8_is_read_as_what_its_bytes_prove(tmp_path: Path) -> None:
    got = _map(tmp_path, "ID,Name,Born\n0001,Núñez–O’Ré,1/2/2010\n".encode("cp1252"), "{kind: delimited}")
    assert _rows(got) == [("0001", "Núñez–O’Ré", "2010-01-02")] and got.found == ["encoding_changed"]


def test_a_file_of_two_encodings_proves_neither_and_its_lost_bytes_are_counted(tmp_path: Path) -> None:
    text = "ID,Name,Born\n0001,René,1/2/2010\n".encode() + "0002,José,1/2/2010\n".encode("cp1252")
    got = _map(tmp_path, text, "{kind: delimited}")
    assert [row["surname"] for row in got.rows] == ["René", "Jos�"] and got.found == ["replaced_bytes"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"delimiter": "||"}, {"delimiter": "\n"}, {"line_end": "\r"}, {"line_end": ","}, {"sheet": "Kids"},
        {"line_end": "†", "trailer": {"prefix": "TRL"}}, {"kind": "fixed_width", "layout": "x", "trailing": True},
        {"kind": "xml"}, {"kind": "table", "records": ("a",)}, {"records": ("a",)},
    ],
)  # fmt: skip
def test_settings_that_do_not_belong_together_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Format.model_validate({"kind": "delimited", **wrong})
