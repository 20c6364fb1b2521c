"""A feed whose layout changed: a file is read by the layout of the day it speaks for."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from expectations.fingerprint import fingerprint_of
from mappings.load import load_agency
from mappings.map_extract import map_extract
from standard.errors import DeclarationError
from tests.mapping_cases import HEAD, extract_of, write_agency

NOW = "field,start,end\nID,1,6\nName,7,16\nPhone,17,26\n"
BEFORE = "field,start,end\nID,1,4\nName,5,14\n"
FEED = (
    HEAD.replace("{kind: delimited}", "{kind: fixed_width, layout: now}")
    + """
earlier:
  - {valid_to: 2024-06-30, format: {kind: delimited, delimiter: ";", aliases: {ID: [Number]}}}
  - {valid_to: 2025-06-30, format: {kind: fixed_width, layout: before, encoding: cp1252}}
unused_columns: {}
elements:
  id: {column: ID, identifier: {width: 6}, required: true}
  surname: {column: Name, name: {}}
  phone: {column: Phone, phone: {}}
entities:
  person: [{person_ref: "students/{id}"}]
"""
)
LAYOUTS = {"now": NOW, "before": BEFORE}


def read_on(tmp_path: Path, day: str, text: str, encoding: str = "utf-8") -> list[tuple[object, ...]]:
    import duckdb

    agency = load_agency(write_agency(tmp_path / "agencies", {"students": FEED}, layouts=LAYOUTS))
    path = tmp_path / "landed"
    path.write_text(text, encoding)
    extract = replace(extract_of(path), as_of=dt.date.fromisoformat(day))
    batch = map_extract(extract, agency, agency.feeds["students"], into=tmp_path / "batch")
    assert batch.hold is None, batch.findings
    with duckdb.connect() as con:
        return con.execute(f"SELECT id, surname, phone FROM '{batch.mapped}' ORDER BY _record").fetchall()


@pytest.mark.parametrize(
    ("day", "text", "encoding", "rows"),
    [
        ("2024-06-30", "Number;Name\n4;René\n", "utf-8", [("000004", "René", None)]),
        ("2024-07-01", "0004René      \n", "cp1252", [("000004", "René", None)]),
        ("2025-06-30", "0004Ode       \n", "cp1252", [("000004", "Ode", None)]),
        ("2025-07-01", "000004Ode       6175550101\n", "utf-8", [("000004", "Ode", "6175550101")]),
    ],
)
def test_a_file_has_the_layout_of_its_day(
    tmp_path: Path, day: str, text: str, encoding: str, rows: list[tuple[object, ...]]
) -> None:
    assert read_on(tmp_path, day, text, encoding) == rows


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("layout: before", "layout: gone", "no layout 'gone'"),
        ("2024-06-30", "2026-06-30", "the oldest first"),
        ("2024-06-30", "2025-06-30", "the oldest first"),
        ("phone: {column: Phone, phone: {}}", "phone: {column: Telephone, phone: {}}", "neither mapped nor unused"),
        ("aliases: {ID: [Number]}", "aliases: {Nr: [Number]}", "unknown column Nr"),
    ],
)
def test_layouts_that_cannot_be_meant_are_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    with pytest.raises(DeclarationError, match=what):
        load_agency(write_agency(tmp_path / "agencies", {"students": FEED.replace(old, new)}, layouts=LAYOUTS))


def test_a_layout_of_before_must_have_the_key(tmp_path: Path) -> None:
    layouts = {"now": NOW, "before": BEFORE.replace("ID,1,4\n", "")}
    feed = FEED.replace(
        '  - {valid_to: 2024-06-30, format: {kind: delimited, delimiter: ";", aliases: {ID: [Number]}}}\n', ""
    )
    with pytest.raises(DeclarationError, match="the column ID is not in the layout"):
        load_agency(write_agency(tmp_path / "agencies", {"students": feed}, layouts=layouts))


def test_a_changed_layout_of_before_is_another_declaration(tmp_path: Path) -> None:
    prints = []
    for name, before in (("one", BEFORE), ("two", BEFORE.replace("5,14", "5,12"))):
        agency = load_agency(write_agency(tmp_path / name, {"students": FEED}, layouts={"now": NOW, "before": before}))
        prints.append(fingerprint_of(agency, agency.feeds["students"]))
    assert prints[0] != prints[1]
