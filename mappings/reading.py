"""What reading an extract gives: records as text in bounded batches, and beside them what could not be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from store.extracts import FileFinding, Severity

MOST_NEW = 20
"""New columns that are named; the others are counted."""
_PLAIN_NAME = re.compile(r"[@A-Za-z_][\w .#():-]{0,60}")
_DIGIT = re.compile(r"\d")
_TOLD_BY_DIGITS = 8
"""So many digits are a date, a telephone or a number of a person."""


@dataclass(frozen=True)
class Unreadable:
    """A record that could not be split into its fields.

    `fields` holds, by declared column, the text of those fields that stand where they should.
    """

    record: int
    line: int | None
    code: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Reading:
    """An extract being read. Counts, findings and `hold` are complete once `batches` is used up.

    The batches have the columns of `schema_of`: `_record`, `_line`, `_marks` and every column of the feed as text.
    """

    columns: Sequence[str]
    batches: Iterator[pa.RecordBatch]
    findings: list[FileFinding] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    records: int = 0
    """Records met so far, readable or not."""
    counted: int | None = None
    """Lines of the whole file that a trailer counts, where the feed's records are only some of them."""
    declared: int | None = None
    """Records that a trailer declares."""
    hold: str | None = None
    lines_unread: int = 0
    """Lines of a file that is none of this feed: each is one unreadable record, from `first_line_unread` on."""
    first_line_unread: int = 1

    def find(self, code: str, severity: Severity, detail: str, rows: int | None = None) -> None:
        """Notes a finding about the file; the detail never holds a value."""
        self.findings.append(FileFinding(code, severity, detail, rows))

    def hold_for(self, reason: str, code: str, detail: str, rows: int | None = None) -> None:
        """Notes a finding for which the whole file must be held; the first reason stays."""
        self.hold = self.hold or reason
        self.find(code, Severity.ERROR, detail, rows)


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """The columns of a batch of records as sent."""
    fixed = [("_record", pa.int64()), ("_line", pa.int64()), ("_marks", pa.string())]
    return pa.schema([*fixed, *((column, pa.string()) for column in columns)])


def shown_name(name: str) -> str:
    """A column's name, or path, as it may be shown: a file without its header has a person's values in its place."""
    plain = all(_PLAIN_NAME.fullmatch(step) and len(_DIGIT.findall(step)) < _TOLD_BY_DIGITS for step in name.split("/"))
    return name if plain else f"a column with a name of {len(name)} characters"


def new_columns(new: Sequence[str], *, are_names: bool = True) -> list[FileFinding]:
    """That there are columns which nobody declared.

    Args:
        new: Their names, or paths.
        are_names: Whether they are names at all: a file without line ends, or of other records than those of its feed,
            has values of persons in their place, and is told of by a number alone.
    """
    shown = [shown_name(path) for path in new[:MOST_NEW]] if are_names else []
    left = [f"{'and ' if shown else ''}{len(new) - len(shown)} more than declared"] if len(new) > len(shown) else []
    return [FileFinding("new_column", Severity.WARNING, told) for told in [*shown, *left]]


def note_paths(new: list[str], reading: Reading, *, has_key: bool) -> None:
    """Finds paths that nobody declared; a file no record of which gives its key is of other records, and is held."""
    reading.findings += new_columns(new, are_names=has_key)
    if reading.records > len(reading.unreadable) and not has_key and not reading.hold:
        reading.hold_for("layout", "no_key_column", "no record has anything where the key should stand")
