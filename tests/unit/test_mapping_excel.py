"""Excel: cells as a person sees them, sheets, headers that do not stand first, broken and hostile workbooks."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.mapping_cases import HEAD, Mapped, map_file

openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl: pip install kith[excel]")
FEED = (
    HEAD.replace("{kind: delimited}", "{kind: excel}")
    + """
elements:
  id: {column: ID, identifier: {}, required: true}
  surname: {column: Name, name: {}}
  born: {column: Born, date: {}}
"""
)


def _book(rows: Sequence[Sequence[Any]], *, sheet: str = "Kids", formats: dict[str, str] | None = None) -> bytes:
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(list(row))
    for cell, shown in (formats or {}).items():
        book.active[cell].number_format = shown
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def _map(folder: Path, content: bytes, feed: str = FEED) -> Mapped:
    return map_file(folder, content, feed=feed, name="students_20260323.xlsx")


def test_cells_are_read_as_they_are_shown(tmp_path: Path) -> None:
    rows = [
        ["ID", "Name", "Born"], [7, "Ode", dt.date(2010, 1, 2)], ["0008", True, 40180], [9.0, None, "2010-03-04"],
        [1.21e17, "=1+1", None], [None, None, None], [1.5, "Fen", dt.datetime(2010, 1, 2, 13, 5)],
    ]  # fmt: skip
    got = _map(tmp_path, _book(rows, formats={"A2": "0000", "C3": "m/d/yyyy"}))
    told = [(row["_line"], row["id"], row["surname"], str(row["born"])) for row in got.rows]
    assert told == [
        (2, "0007", "Ode", "2010-01-02"), (3, "0008", "TRUE", "2010-01-02"), (4, "9", None, "2010-03-04"),
        (5, None, None, "None"), (7, "1.5", "Fen", "None"),
    ]  # fmt: skip
    assert got.rows[3]["_problems"] == "id:damaged_identifier"


def test_what_stands_above_the_header_is_no_record(tmp_path: Path) -> None:
    rows = [
        ["Children of Hill Schools"],
        [],
        ["born", None, "Name", "ID", "Pet"],
        ["2010-01-02", None, "Ode", "1", "Rex"],
    ]
    got = _map(tmp_path, _book(rows))
    assert [(row["_line"], row["id"], row["surname"]) for row in got.rows] == [(4, "1", "Ode")]
    assert got.found == ["recased_column", "new_column", "rows_above_header"]


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_sheet("Kids").append(["ID", "Name", "Born"])
    book["Kids"].append(["1", "Ode", None])
    content = io.BytesIO()
    book.save(content)
    named = FEED.replace("{kind: excel}", "{kind: excel, sheet: kids}")
    assert [row["id"] for row in _map(tmp_path, content.getvalue(), named).rows] == ["1"]
    assert _map(tmp_path, content.getvalue()).found[0] == "several_sheets"
    missing = _map(tmp_path, content.getvalue(), named.replace("kids", "pupils"))
    assert (missing.batch.hold, missing.found[0]) == ("layout", "no_sheet")


def test_a_sheet_that_says_it_is_smaller_is_read_whole(tmp_path: Path) -> None:
    content = _book([["ID", "Name", "Born"], *([str(n), "Ode", None] for n in range(50))])
    got = _map(
        tmp_path, _with(content, "xl/worksheets/sheet1.xml", lambda text: text.replace('ref="A1:C51"', 'ref="A1:C2"'))
    )
    assert len(got.rows) == 50


def _with(content: bytes, name: str, change: Any) -> bytes:
    """The workbook with one part changed."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            text = old.read(part)
            new.writestr(part.filename, change(text.decode()).encode() if part.filename == name else text)
    return changed.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
GOOD = _book([["ID", "Name", "Born"], ["1", "Ode", None]])
ENTITY = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("content", "hold", "code"),
    [
        (b"ID,Name\n1,Ode\n", "unreadable", "not_excel"), (GOOD[:-40], "unreadable", "not_excel"),
        (_with(GOOD, SHEET, lambda text: ENTITY + text), "unreadable", "document_type"),
        (_with(GOOD, SHEET, lambda text: f"<!--{'x' * 3_000_000}-->{ENTITY}{text}"), "unreadable", "document_type"),
        (_with(GOOD, SHEET, lambda text: text + " " * 60_000_000), "unreadable", "too_large"),
        (_with(GOOD, SHEET, lambda text: text[:-30]), "unreadable", "not_excel"),
        (_book([["A", "B"], ["1", "Ode"]]), "layout", "missing_header"),
        (_book([["ID", "Name", "Born"]]), "empty", "no_records"),
    ],
    ids=range(8),
)  # fmt: skip
def test_a_broken_or_harmful_workbook_is_held(tmp_path: Path, content: bytes, hold: str, code: str) -> None:
    got = _map(tmp_path, content)
    assert (got.batch.hold, code in got.found) == (hold, True), got.found
