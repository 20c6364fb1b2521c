"""Reading fixed-width files: one record a line, fields by their characters; a record that is too short is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from mappings.declarations import Feed
from mappings.layouts import Layout
from mappings.read_delimited import BLOCK, note_encoding, note_nuls, read_trailer
from mappings.reading import Reading, Unreadable, schema_of
from mappings.text_stream import TextStream

_NOWHERE = "\x1f"
"""What parts the parser's fields: the stream lets no such character through, so a line is one field."""


def read_fixed_width(path: Path, feed: Feed, layout: Layout) -> Reading:
    """Opens a fixed-width file; a record that is shorter than its layout becomes unreadable.

    Where the sender cuts blanks at the end (`trimmed`) it must reach only as far as the last required element.
    """
    reading = Reading(feed.columns, iter(()))
    stop = read_trailer(path, feed.format, reading)
    stream = TextStream(path, feed.format.encoding, stop=stop, unwanted="\0" + _NOWHERE)
    if not stream.head().strip("\r\n \ufffd"):
        reading.hold_for("empty", "empty_file", "the file holds no text")
        return reading
    note_encoding(stream, reading)
    reading.batches = _batches(stream, feed, layout, reading)
    return reading


def _batches(stream: TextStream, feed: Feed, layout: Layout, reading: Reading) -> Iterator[pa.RecordBatch]:
    least, line = _least_length(feed, layout), 1
    for batch in _lines(stream):
        lines = batch.column(0)
        numbers = np.arange(line, line + len(lines), dtype=np.int64)
        line += len(lines)
        is_record = _as_bools(pc.not_equal(pc.utf8_trim_whitespace(lines), ""))
        long_enough = _as_bools(pc.greater_equal(pc.utf8_length(lines), least))
        records = reading.records + np.cumsum(is_record)
        reading.records += int(is_record.sum())
        _set_aside(reading, layout, lines, np.flatnonzero(is_record & ~long_enough), records, numbers)
        keep = pa.array(is_record & long_enough)
        whole = (values.filter(keep) for values in (lines, pa.array(records), pa.array(numbers)))
        yield _split(*whole, layout=layout, reading=reading)
    note_nuls(stream, reading)
    stream.close()


def _as_bools(values: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)


def _least_length(feed: Feed, layout: Layout) -> int:
    required = {column for element in feed.elements.values() if element.required for column in element.sent}
    ends = [field.end for field in layout.fields if not feed.format.trimmed or field.name in required]
    return max(ends, default=1)


def _lines(stream: TextStream) -> Iterator[pa.RecordBatch]:
    """The lines, blank ones too."""
    yield from pa_csv.open_csv(
        pa.PythonFile(stream, mode="r"),
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=["line"]),
        parse_options=pa_csv.ParseOptions(delimiter=_NOWHERE, quote_char=False, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(column_types={"line": pa.string()}, strings_can_be_null=False),
    )


def _split(
    lines: pa.Array, records: pa.Array, numbers: pa.Array, *, layout: Layout, reading: Reading
) -> pa.RecordBatch:
    fields = {field.name: field for field in layout.fields}
    columns = [
        pc.utf8_slice_codeunits(lines, fields[column].start - 1, fields[column].end) for column in reading.columns
    ]
    marks = pa.nulls(len(lines), pa.string())
    return pa.RecordBatch.from_arrays([records, numbers, marks, *columns], schema=schema_of(reading.columns))


def _set_aside(
    reading: Reading, layout: Layout, lines: pa.Array, short: npt.NDArray[np.int64], records: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    for place in short:
        text = lines[int(place)].as_py()
        whole = {field.name: text[field.start - 1 : field.end] for field in layout.fields if field.end <= len(text)}
        reading.unreadable.append(Unreadable(int(records[place]), int(numbers[place]), "short_record", whole))
