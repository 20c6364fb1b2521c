"""Layouts of fixed-width records: which characters of a line are which field."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from standard.errors import DeclarationError


@dataclass(frozen=True)
class Field:
    """One field; positions count characters from 1, both ends included."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Layout:
    """The fields of one kind of record."""

    path: Path
    fields: tuple[Field, ...]


def read_layout(path: Path) -> Layout:
    """Reads a layout CSV with the columns field,start,end and optionally length,type,description.

    Raises:
        DeclarationError: A column is missing, a field stands twice, or a position is none.
    """
    fields: dict[str, Field] = {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        if not {"field", "start", "end"} <= set(rows.fieldnames or []):
            raise _wrong(path, 1, "a layout has the columns field,start,end")
        for row in rows:
            field = _field(path, rows.line_num, row)
            if field.name.casefold() in fields:
                raise _wrong(path, rows.line_num, f"the field {field.name} stands twice")
            fields[field.name.casefold()] = field
    return Layout(path, tuple(fields.values()))


def _field(path: Path, line: int, row: dict[str, str]) -> Field:
    try:
        field = Field(row["field"].strip(), int(row["start"]), int(row["end"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise _wrong(path, line, "start and end are whole numbers") from error
    length = (row.get("length") or "").strip()
    if not field.name or not 1 <= field.start <= field.end:
        raise _wrong(path, line, "a field has a name, and 1 <= start <= end")
    if length and length != str(field.end - field.start + 1):
        raise _wrong(path, line, f"length is {length}, but start and end span {field.end - field.start + 1}")
    return field


def _wrong(path: Path, line: int, what: str) -> DeclarationError:
    return DeclarationError(what, where=f"{path}, line {line}", mend="see layouts in docs/mapping.md")
