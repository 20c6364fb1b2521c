"""Layouts of fixed-width records: which characters of a line are which field, and which lines are which record."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from standard.errors import DeclarationError

HEADER = "header"
"""The record type that speaks for the whole file and is no record that a trailer counts."""
RECORD_TYPE = "record_type"
"""The column that gives the name of each record's type, where a layout has several."""
GIVEN = "*"
"""What stands under `is` for a field that must not be blank."""
_COLUMNS = {"record", "field", "start", "end", "is", "length", "type", "description"}


@dataclass(frozen=True)
class Field:
    """One field; positions count characters from 1, both ends included. `must_be` is what tells its record type."""

    name: str
    start: int
    end: int
    record: str = ""
    must_be: str = ""


@dataclass(frozen=True)
class RecordType:
    """The fields of one kind of record, and the least and greatest length of its lines."""

    name: str
    fields: tuple[Field, ...]
    least: int = 0
    most: int | None = None

    @property
    def marks(self) -> tuple[Field, ...]:
        """The fields whose text makes a line a record of this type."""
        return tuple(field for field in self.fields if field.must_be not in ("", GIVEN))

    @property
    def group(self) -> tuple[Field, ...]:
        """The fields of which one at least must be given, else the line has no record of this type."""
        return tuple(field for field in self.fields if field.must_be == GIVEN)


@dataclass(frozen=True)
class Layout:
    """The kinds of record of a file; one that has only one kind names it ''."""

    path: Path
    records: tuple[RecordType, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields of all records."""
        return tuple(field for record in self.records for field in record.fields)

    def types(self, names: Iterable[str]) -> tuple[RecordType, ...]:
        """The record types of some names; all, where there are no names."""
        wanted = set(names)
        return tuple(record for record in self.records if not wanted or record.name in wanted)


def read_layout(path: Path) -> Layout:
    """Reads a layout CSV with the columns field,start,end and optionally record,is,length,type,description.

    Raises:
        DeclarationError: A column is missing, a field stands twice, or a position is none.
    """
    found: dict[str, list[Field]] = {}
    lengths: dict[str, tuple[int, int]] = {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        header = set(rows.fieldnames or [])
        if not {"field", "start", "end"} <= header or header - _COLUMNS:
            raise _wrong(path, 1, f"a layout has the columns field,start,end and of {', '.join(sorted(_COLUMNS))}")
        for row in rows:
            field = _field(path, rows.line_num, row)
            fields = found.setdefault(field.record, [])
            if not field.name:
                lengths[field.record] = field.start, field.end
            elif field.name.casefold() in {other.name.casefold() for other in fields}:
                raise _wrong(path, rows.line_num, f"the field {field.name} stands twice")
            else:
                fields.append(field)
    if len(found) > 1 and "" in found:
        raise _wrong(path, 1, "a layout of several records names the record of each field")
    return Layout(
        path, tuple(RecordType(name, tuple(fields), *lengths.get(name, ())) for name, fields in found.items())
    )


def _field(path: Path, line: int, row: dict[str, str | None]) -> Field:
    text = {column: (value or "").strip() for column, value in row.items() if isinstance(column, str)}
    try:
        start, end = int(text["start"]), int(text["end"])
    except ValueError as error:
        raise _wrong(path, line, "start and end are whole numbers") from error
    field = Field(text["field"], start, end, text.get("record", ""), text.get("is", ""))
    if not 1 <= start <= end or not (field.name or field.record):
        raise _wrong(path, line, "a field has a name, and 1 <= start <= end")
    length = text.get("length", "")
    if length and length != str(end - start + 1):
        raise _wrong(path, line, f"length is {length}, but start and end span {end - start + 1}")
    return field


def _wrong(path: Path, line: int, what: str) -> DeclarationError:
    return DeclarationError(what, where=f"{path}, line {line}", mend="see layouts in docs/mapping.md")
