"""The record and line number of every row of a delimited file, and the rows that cannot be believed set aside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from mappings.columns import firm_columns, key_forms
from mappings.declarations import Feed
from mappings.reading import Reading, Unreadable, schema_of
from mappings.text_stream import split_record

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Aside:
    """A row that gives no record of its own: its number among the parser's rows, its text, and why."""

    row: int
    text: str
    code: str


class Numbering:
    """Numbers the rows of a file batch by batch, in the order in which the parser gives them.

    A row is what the parser took for one record: a record, a blank line, or several records run together by a quote
    that was never closed. Rows with a wrong number of fields are not given but set aside under their number.
    """

    def __init__(
        self, reading: Reading, feed: Feed, names: Mapping[str, str], header: Sequence[str], first_line: int
    ) -> None:
        self.reading, self.form = reading, feed.format
        self.places = {column: list(header).index(name) for column, name in names.items()}
        # In a row that has too many or too few fields only these are surely where they should be, or show if not.
        firm = firm_columns(feed)
        self.readable = {column: at for column, at in self.places.items() if at == 0 or column in firm}
        forms = key_forms(feed)
        self.key_forms = [(at, forms[column]) for column, at in self.places.items() if column in forms]
        self._cut: set[int] = set()
        self.header, self.width = list(header), len(header)
        self.headers_again = 0
        self.aside: list[_Aside] = []
        self.next_row, self.next_record, self.next_line = 1, 1, first_line

    def set_aside(self, row: pa_csv.InvalidRow) -> str:
        """Called by the parser for a row with a wrong number of fields."""
        self.aside.append(_Aside(row.number, row.text or "", "ragged"))
        return "skip"

    def number(self, batch: pa.RecordBatch | None, *, final: bool = False, open_end: bool = False) -> pa.RecordBatch:
        """The records of a batch with their numbers; what is set aside goes to `reading.unreadable`.

        Args:
            batch: Rows as the parser gives them; None where it gave none.
            final: No more rows come.
            open_end: The last row ends inside a quoted value.
        """
        given = batch.num_rows if batch is not None else 0
        due = self._due(given, final=final)
        is_given = np.ones(given + len(due), dtype=bool)
        is_given[[row.row - self.next_row for row in due]] = False
        lines, weights = np.ones(len(is_given), dtype=np.int64), np.ones(len(is_given), dtype=np.int64)
        keep = np.ones(given, dtype=bool)
        if batch is not None and given:
            embedded, blank, together = self._look_at(batch)
            if open_end:
                together[-1] = True
                self._cut.add(given - 1)
            lines[is_given] += embedded
            weights[is_given] -= blank
            due += self._run_together(batch, together, np.flatnonzero(is_given))
            keep = ~blank & ~together
            if self.form.trailing:
                due += self._beyond(batch, keep, np.flatnonzero(is_given))
        apart = {row.row - self.next_row: self._records_in(row.text) for row in due}
        for place, records in apart.items():
            weights[place] = len(records)
        for row in due:
            lines[row.row - self.next_row] = 1 + _line_ends(row.text)
        record_at = self.next_record + np.cumsum(weights) - weights
        line_at = self.next_line + np.cumsum(lines) - lines
        self._set_unreadable(due, apart, record_at, line_at)
        self.next_row += len(is_given)
        self.next_record += int(weights.sum())
        self.next_line += int(lines.sum())
        self.reading.records = self.next_record - 1
        return self._kept(batch, keep, record_at[is_given], line_at[is_given])

    def _due(self, given: int, *, final: bool) -> list[_Aside]:
        """Rows set aside that stand before the last row given, or all at the end."""
        count = 0
        while count < len(self.aside) and (final or self.aside[count].row < self.next_row + given + count):
            count += 1
        due, self.aside = self.aside[:count], self.aside[count:]
        return due

    def _look_at(self, batch: pa.RecordBatch) -> tuple[Ints, Bools, Bools]:
        """For each row: line ends inside its values, whether it is no record, whether it is several in one."""
        embedded = np.zeros(batch.num_rows, dtype=np.int64)
        together = np.zeros(batch.num_rows, dtype=bool)
        blank = pc.equal(pc.binary_length(batch.column(0)), 0)
        for values in batch.columns:
            buffer = values.buffers()[2]
            data = buffer.to_pybytes() if buffer is not None else b""
            if b"\n" in data or b"\r" in data:
                ends = _count(values, "\n") + _count(values, "\r") - _count(values, "\r\n")
                embedded += ends
                together |= (ends > 0) & (_count(values, self.form.delimiter) >= max(self.width - 1, 1))
            if pc.any(blank).as_py():
                blank = pc.and_(blank, pc.equal(pc.binary_length(values), 0))
        none = np.asarray(blank.to_numpy(zero_copy_only=False), dtype=bool)
        return embedded, none | self._is_header_again(batch), together

    def _is_header_again(self, batch: pa.RecordBatch) -> Bools:
        """Which rows are the header once more, as where files were put one behind the other."""
        again = np.zeros(batch.num_rows, dtype=bool)
        if not self.form.header:
            return again
        rows = np.flatnonzero(pc.ends_with(batch.column(0), self.header[0]).to_numpy(zero_copy_only=False))
        for values, name in zip(batch.columns, self.header, strict=True):
            texts = pc.utf8_trim(pc.utf8_trim_whitespace(values.take(pa.array(rows))), "\ufeff")
            rows = rows[np.asarray(pc.equal(texts, name).to_numpy(zero_copy_only=False), dtype=bool)]
        again[rows] = True
        self.headers_again += len(rows)
        return again

    def _run_together(self, batch: pa.RecordBatch, together: Bools, places: Ints) -> list[_Aside]:
        """Rows that are several records; a row that only may be one and is not is struck from `together`."""
        found = []
        for row in np.flatnonzero(together):
            text = self.form.delimiter.join(str(column[int(row)].as_py() or "") for column in batch.columns)
            if row in self._cut or self._is_several(_lines(text)):
                found.append(_Aside(int(places[row]) + self.next_row, text, "unclosed_quote"))
            else:
                together[row] = False
        return found

    def _beyond(self, batch: pa.RecordBatch, keep: Bools, places: Ints) -> list[_Aside]:
        """Rows with something behind the delimiter that ends every record; they are struck from `keep`."""
        behind = pc.not_equal(pc.utf8_trim_whitespace(batch.column(self.width - 1)), "")
        rows = np.flatnonzero(keep & np.asarray(behind.to_numpy(zero_copy_only=False), dtype=bool))
        keep[rows] = False
        texts = [self.form.delimiter.join(str(column[int(row)].as_py()) for column in batch.columns) for row in rows]
        return [_Aside(int(places[row]) + self.next_row, text, "ragged") for row, text in zip(rows, texts, strict=True)]

    def _is_several(self, lines: list[str]) -> bool:
        """Whether a row's lines are records of their own: by their number of fields and the form of their keys."""
        return len(lines) > 1 and all(self._is_record(self._split(line)) for line in (lines[0], lines[-1]))

    def _is_record(self, fields: list[str]) -> bool:
        return len(fields) == self.width and all(fits(fields[at].strip()) for at, fits in self.key_forms)

    def _split(self, text: str) -> list[str]:
        return split_record(text, delimiter=self.form.delimiter, quote=self.form.quote, escape=self.form.escape)

    def _records_in(self, text: str) -> list[tuple[int, list[str]]]:
        """The records in a row's text: line offset and fields.

        One, even over several lines, unless one of its lines is a record of its own: then a quote that was never
        closed has swallowed records, and each line counts as one.
        """
        lines = _lines(text)
        if len(lines) > 1:
            split = [self._split(line) for line in lines]
            if any(self._is_record(fields) for fields in split):
                return [(offset, fields) for offset, fields in enumerate(split) if fields]
        return [(0, self._split(text))]

    def _set_unreadable(
        self, due: list[_Aside], apart: dict[int, list[tuple[int, list[str]]]], record_at: Ints, line_at: Ints
    ) -> None:
        for row in sorted(due, key=lambda row: row.row):
            place = row.row - self.next_row
            records = apart[place]
            code = "unclosed_quote" if len(records) > 1 else row.code
            for number, (offset, fields) in enumerate(records):
                readable = {column: fields[at] for column, at in self.readable.items() if at < len(fields)}
                self.reading.unreadable.append(
                    Unreadable(int(record_at[place]) + number, int(line_at[place]) + offset, code, readable)
                )

    def _kept(self, batch: pa.RecordBatch | None, keep: Bools, records: Ints, lines: Ints) -> pa.RecordBatch:
        schema = schema_of(self.reading.columns)
        if batch is None:
            return pa.RecordBatch.from_pylist([], schema=schema)
        columns = [
            batch.column(self.places[column]) if column in self.places else pa.nulls(batch.num_rows, pa.string())
            for column in self.reading.columns
        ]
        marks = pa.nulls(batch.num_rows, pa.string())
        numbered = pa.RecordBatch.from_arrays([pa.array(records), pa.array(lines), marks, *columns], schema=schema)
        return numbered if keep.all() else numbered.filter(pa.array(keep))


def _count(values: pa.Array, text: str) -> Ints:
    return np.asarray(pc.count_substring(values, text).to_numpy(zero_copy_only=False), dtype=np.int64)


def _lines(text: str) -> list[str]:
    """Lines as the parser knows them: other characters at which Python breaks text stand within values."""
    lines = re.split("\r\n|\r|\n", text)
    return lines if lines[-1] else lines[:-1]


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
