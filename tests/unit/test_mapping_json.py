"""JSON and JSON lines: values as written, arrays as repeating groups, broken and hostile files."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.mapping_cases import HEAD, Mapped, map_file

FORM = "{kind: json, records: [/pupils]}"
FEED = (
    HEAD.replace("{kind: delimited}", FORM)
    + """
unused_columns: {pets: nobody asks}
elements:
  id: {column: id, identifier: {}, required: true}
  surname: {column: name/last, name: {}}
  phones: {column: phones/no, text: {}}
  home: {column: "phones[use='home']/no", text: {}}
  marks: {column: marks, text: {}}
  school: {column: ../school, text: {}}
"""
)
LINES = FEED.replace(FORM, "{kind: json_lines}").replace("  school: {column: ../school, text: {}}\n", "")


def _map(folder: Path, text: str, feed: str = FEED) -> Mapped:
    return map_file(folder, text, feed=feed)


def test_records_in_arrays_take_what_stands_in_them_and_around_them(tmp_path: Path) -> None:
    phones = '"phones": [{"no": 1}, {"use": "home", "no": "2"}]'
    pupil = f'{{"id": 0.50, "name": {{"last": "Ode"}}, {phones}, "marks": [1E5, true, null]}}'
    got = _map(tmp_path, f'[{{"school": "A", "pupils": [{pupil}, {{"id": 12345678901234567890}}]}},\n{{"pupils": []}}]')
    told = [(r["id"], r["surname"], r["phones"], r["home"], r["marks"], r["school"], r["_line"]) for r in got.rows]
    assert told == [
        ("0.50", "Ode", "1; 2", "2", "1E5; true", "A", 1), ("12345678901234567890", None, None, None, None, "A", 1),
    ]  # fmt: skip
    assert got.found == []


def test_one_object_may_hold_all_records(tmp_path: Path) -> None:
    got = _map(tmp_path, ' {"school": "B", "pupils": [{"id": "1"}, {"id": "2", "mood": {"now": "fine"}}]} ')
    assert [(row["id"], row["school"]) for row in got.rows] == [("1", "B"), ("2", "B")]
    assert [f.detail for f in got.batch.findings] == ["mood/now"]


def test_a_large_array_is_read_item_by_item(tmp_path: Path) -> None:
    items = (
        json.dumps({"pupils": [{"id": str(n), "name": {"last": "é" * 300}}]}, ensure_ascii=False) for n in range(20_000)
    )
    got = _map(tmp_path, "[" + ",\n".join(items) + "]")
    assert [(row["id"], row["_line"]) for row in got.rows] == [(str(n), n + 1) for n in range(20_000)]
    assert got.batch.hold is None


def test_a_line_that_is_no_json_is_unreadable_and_the_others_are_read(tmp_path: Path) -> None:
    lines = ['{"id": 1}', "", '{"id": 2', '{"id": 3, "id": 4}', "[" * 100_000, '[{"id": 5}, {"id": 6}]']
    got = _map(tmp_path, "\n".join(lines), LINES)
    assert [(row["id"], row["_record"], row["_line"]) for row in got.rows] == [("1", 1, 1), ("5", 5, 6), ("6", 6, 6)]
    assert [row[:3] for row in got.unreadable] == [(2, 3, "bad_json"), (3, 4, "bad_json"), (4, 5, "bad_json")]


@pytest.mark.parametrize(
    ("text", "hold", "code"),
    [
        ("", "empty", "empty_file"), ("[]", "empty", "no_records"), ("{}", "empty", "no_records"),
        ('[{"pupils": [{"id": 1}]}', "truncated", "cut_off"), ('[{"pupils": [{"id": 1', "unreadable", "not_json"),
        ('[{"pupils": {"id": 1}} {}]', "unreadable", "not_json"),
        ('{"pupils": {"id": 1}} {}', "unreadable", "not_json"),
        ("[" * 2_000_000, "unreadable", "nested_too_deep"), ('{"a":' * 300_000, "unreadable", "nested_too_deep"),
        ('[{"pupils": "' + "x" * 20_000_000 + '"}]', "unreadable", "endless_record"),
        ("ID,Name\n", "unreadable", "not_json"),
        ('[{"pupils": [{"id": 1, "id": 2}]}]', "unreadable", "not_json"),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_harmful_or_broken_file_is_held(tmp_path: Path, text: str, hold: str, code: str) -> None:
    began = time.monotonic()
    got = _map(tmp_path, text)
    assert (got.batch.hold, code in got.found) == (hold, True), got.found
    assert time.monotonic() - began < 20


def test_half_a_character_that_an_escape_left_alone_is_marked_and_the_file_goes_on(tmp_path: Path) -> None:
    text = (
        '[{"pupils": [{"id": "1", "name": {"last": "\\ud800Ode"}}, {"id": "2", "name": {"last": "\\ud83e\\uddd2"}}]}]'
    )
    got = _map(tmp_path, text)
    assert [r["surname"] for r in got.rows] == ["\ufffdOde", "\U0001f9d2"]


def test_a_file_that_gives_no_key_is_held_and_shows_no_name_of_a_member(tmp_path: Path) -> None:
    pupils = {name: {"id": "1", "name": {"last": name}} for name in ("Ode", "Lind")}
    got = _map(tmp_path, json.dumps({"pupils": [pupils]}))
    assert (got.batch.hold, got.batch.received) == ("layout", 1)
    assert [(f.code, f.detail) for f in got.batch.findings] == [
        ("new_column", "4 more than declared"),
        ("no_key_column", "no record has anything where the key should stand"),
    ]
