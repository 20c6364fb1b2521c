"""Reading one sheet of an Excel workbook (xlsx): each cell as the text a person sees in it, as far as that is told."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from mappings.columns import match_columns
from mappings.declarations import Feed
from mappings.reading import Reading, schema_of
from standard.errors import ExtractError
from store.extracts import Severity

_ROWS = 1 << 12
_MEMBERS, _LARGEST, _RATIO = 2_000, 300 << 20, 200
"""Parts of a workbook, bytes of all of them unpacked, and how many times smaller they may have been packed."""
_STRINGS = 64 << 20
"""Bytes of the table of texts, which is kept in memory."""
_ABOVE = 20
"""Rows in which the header is looked for; what stands above it is a title."""
_EXACT = 10**15
"""A spreadsheet keeps fifteen digits of a number; of a larger one the last are lost."""
_AS_SHOWN: dict[str, Any] = {"read_only": True, "data_only": True, "keep_links": False}
_ZEROS = re.compile(r"0{1,60}")
"""The format of a cell that shows leading zeros."""


def read_excel(path: Path, feed: Feed) -> Reading:
    """Opens a workbook; `_line` is the row of the sheet. Columns are matched by the header as in a delimited file.

    A date cell gives an ISO date, a number its digits; leading zeros that only the cell's format shows are kept. A
    number of more than fifteen digits is given as 1.2E+17, because the last ones are lost.

    Raises:
        ExtractError: The package that reads workbooks is not installed.
    """
    reading = Reading(feed.columns, iter(()))
    wrong = _wrong(path)
    if wrong is not None:
        reading.hold_for("unreadable", *wrong)
        return reading
    reading.batches = _batches(path, feed, reading)
    return reading


def first_rows(path: Path, most: int) -> tuple[str | None, list[list[str]]]:
    """What the cells of the first rows of the first sheet show; rows that are blank are left out.

    Returns:
        The sheet's name where the workbook has several, else None; its rows.

    Raises:
        ExtractError: It is no workbook, or one that no feed would be read from.
    """
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    wrong = _wrong(path)
    if wrong is not None:
        raise ExtractError(wrong[1], where=str(path), mend="give an xlsx workbook that is not locked")
    # By its path a workbook would only be read under a name that ends in .xlsx.
    with path.open("rb") as file, closing(load_workbook(file, **_AS_SHOWN)) as workbook:
        sheet, *others = workbook.worksheets
        sheet.reset_dimensions()
        rows = (_texts(cells) for cells in islice(sheet.iter_rows(), most))
        return (sheet.title if others else None), [row for row in rows if any(row)]


def _wrong(path: Path) -> tuple[str, str] | None:
    """Why a file is no workbook that can be opened without harm."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            size, packed = sum(part.file_size for part in parts), sum(part.compress_size for part in parts)
            texts = max((part.file_size for part in parts if part.filename.endswith("sharedStrings.xml")), default=0)
            if len(parts) > _MEMBERS or size > _LARGEST or texts > _STRINGS or size > _RATIO * max(packed, 1 << 16):
                return "too_large", "the workbook unpacks to more than any real one"
            for part in parts:
                if part.filename.endswith((".xml", ".rels")) and _has_document_type(archive, part):
                    return "document_type", "the workbook has a document type (DTD), which can do harm"
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        return "not_excel", "the file is no workbook of the form xlsx, or is locked with a password"
    return None


def _has_document_type(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    before, left = b"", _LARGEST
    with archive.open(part) as content:
        while piece := content.read(1 << 20):
            left -= len(piece)
            # Text in which characters take two bytes would hide the words; no workbook is written so.
            if b"<!DOCTYPE" in before + piece or left < 0 or (not before and b"\0" in piece[:4]):
                return True
            before = piece[-16:]
    return False


def _batches(path: Path, feed: Feed, reading: Reading) -> Iterator[pa.RecordBatch]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise ExtractError(
            "the package that reads workbooks is not installed", where="format kind: excel",
            mend="pip install kith[excel]",
        ) from error  # fmt: skip
    try:
        # By its path a workbook would only be read under a name that ends in .xlsx; what has landed has no such name.
        with path.open("rb") as file, closing(load_workbook(file, **_AS_SHOWN)) as workbook:
            sheet = _sheet(workbook, feed, reading)
            if sheet is not None:
                sheet.reset_dimensions()  # what a sheet says of its size need not be so
                yield from _records(sheet, feed, reading)
    except ExtractError:
        raise
    except Exception as error:  # what a broken workbook raises is of many kinds, and may hold a value
        reading.hold_for("unreadable", "not_excel", f"the workbook cannot be read ({type(error).__name__})")


def _sheet(workbook: Any, feed: Feed, reading: Reading) -> Any:
    wanted, sheets = feed.format.sheet, workbook.worksheets
    found = [sheet for sheet in sheets if wanted is None or sheet.title.strip().casefold() == wanted.casefold()]
    if len(found) == 1:
        return found[0]
    code, detail = ("no_sheet", f"no sheet is named {wanted}") if wanted else (
        "several_sheets", f"the workbook has {len(sheets)} sheets; the declaration names none as sheet:")  # fmt: skip
    reading.hold_for("layout", code, detail)
    return None


def _records(sheet: Any, feed: Feed, reading: Reading) -> Iterator[pa.RecordBatch]:
    rows = ((number, texts) for number, cells in enumerate(sheet.iter_rows(), start=1) if any(texts := _texts(cells)))
    places = _places(rows, feed, reading)
    if places is None:
        count = sum(1 for _ in rows) + 1
        reading.records, reading.lines_unread = reading.records + count, count
        return
    schema = schema_of(reading.columns)
    while chunk := list(islice(rows, _ROWS)):
        first = reading.records + 1
        reading.records += len(chunk)
        columns = [[texts[at] if at is not None and at < len(texts) else None for _, texts in chunk] for at in places]
        fixed = [range(first, first + len(chunk)), [number for number, _ in chunk], [None] * len(chunk)]
        arrays = [pa.array(column, kind) for column, kind in zip([*fixed, *columns], schema.types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _places(rows: Iterator[tuple[int, list[str]]], feed: Feed, reading: Reading) -> list[int | None] | None:
    """The place of each declared column in a row; None where no header is found and the file is held."""
    if not feed.format.header:
        return [feed.format.columns.index(column) for column in reading.columns]
    for above, (_, names) in enumerate(islice(rows, _ABOVE)):
        names = [name.strip() for name in names]
        matched = match_columns(feed, [name for name in names if name])
        if matched.share >= 0.5:
            reading.findings += matched.findings
            reading.hold = reading.hold or ("layout" if matched.hold else None)
            if above:
                reading.find("rows_above_header", Severity.NOTE, "what stands above the header is no record", above)
            return [
                names.index(matched.names[column]) if column in matched.names else None for column in reading.columns
            ]
    reading.hold_for("layout", "missing_header", "few or none of the declared columns are in the first rows")
    return None


def _texts(cells: tuple[Any, ...]) -> list[str]:
    return [_text(cell) for cell in cells]


def _text(cell: Any) -> str:
    """What a cell shows."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "")
    if isinstance(value, dt.datetime):
        return value.isoformat(" ") if value.time() != dt.time() else value.date().isoformat()
    return str(value)


def _number(value: int | float, shown_as: str) -> str:
    if abs(value) >= _EXACT:
        return re.sub(r"\.?0*E", "E", f"{value:.14E}")
    if value != int(value):
        return f"{value:.15g}"
    digits = str(int(value))
    return digits.zfill(len(shown_as)) if _ZEROS.fullmatch(shown_as) else digits
