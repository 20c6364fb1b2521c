"""Reading fixed-width files: records of one or many types by their characters; what fits no type is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from mappings.declarations import Feed
from mappings.layouts import HEADER, RECORD_TYPE, Field, Layout, RecordType
from mappings.read_delimited import BLOCK, note_encoding, note_nuls, read_trailer
from mappings.reading import Reading, Unreadable, schema_of
from mappings.text_stream import TextStream

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
MOST_UNREADABLE = 100_000
"""Records that may be set aside one by one before a file counts as none of its feed."""
_NOWHERE = "\x1f"
"""What parts the parser's fields: the stream lets no such character through, so a line is one field."""


def read_fixed_width(path: Path, feed: Feed, layout: Layout) -> Reading:
    """Opens a fixed-width file.

    A line is a record of each type of the feed that it fits; lines of the layout's other types are other feeds'. A
    record that is shorter than its layout (where the sender cuts blanks, `trimmed`, than its last required field), a
    line so long that a line end must have been lost in it (`long_record`), a line that fits no type of the layout, and
    a record before which the one it takes fields from is missing or unreadable become unreadable. A file that is one
    such line is held.
    """
    reading = Reading(feed.columns, iter(()))
    stop = read_trailer(path, feed.format, reading)
    stream = TextStream(path, feed.format.encoding, stop=stop, unwanted="\0" + _NOWHERE)
    if not stream.head().strip("\r\n \ufffd"):
        if reading.declared != 0:
            reading.hold_for("empty", "empty_file", "the file holds no text")
        stream.close()
        return reading
    note_encoding(stream, reading)
    reading.batches = _Lines(feed, layout, reading).batches(stream)
    return reading


@dataclass
class _Carried:
    """What the records of one type give to those after them; `values` is None where the last one is not known."""

    record: RecordType
    fields: tuple[Field, ...]
    values: list[str | None] | None = None


@dataclass(frozen=True)
class _Due:
    """The records of one batch in order: the line of each, which of the feed's types it has, what is wrong with it."""

    at: Ints
    types: Ints
    codes: npt.NDArray[np.str_]


class _Lines:
    """Turns the lines of one file into records, batch by batch."""

    def __init__(self, feed: Feed, layout: Layout, reading: Reading) -> None:
        self.layout, self.reading = layout, reading
        self.own = layout.types(feed.format.records)
        self.least = [_least_length(feed, record) for record in self.own]
        self.carried = [
            _Carried(record, tuple(f for f in record.fields if f.name in feed.format.carries[record.name]))
            for record in layout.records
            if record.name in feed.format.carries
        ]
        if len(layout.records) > 1:
            reading.counted = 0

    def batches(self, stream: TextStream) -> Iterator[pa.RecordBatch]:
        line = 1
        for batch in text_lines(stream):
            lines = pc.utf8_ltrim(batch.column(0), characters="\f")  # a printer's new page moves no field
            numbers = np.arange(line, line + len(lines), dtype=np.int64)
            line += len(lines)
            if len(self.reading.unreadable) > MOST_UNREADABLE:
                self._count_only(lines, numbers)
            else:
                yield self._records(lines, numbers)
        if self.reading.records == 1 and [each.code for each in self.reading.unreadable] == ["long_record"]:
            detail = "the file is one line that is longer than two records: its line ends are missing"
            self.reading.hold_for("layout", "no_line_ends", detail)
        note_nuls(stream, self.reading)
        stream.close()

    def _count_only(self, lines: pa.Array, numbers: Ints) -> None:
        """Beyond some number of unreadable records the file is none of this feed: each line counts as one."""
        if not self.reading.lines_unread:
            self.reading.hold_for("layout", "other_layout", "most records do not fit the layout")
            self.reading.first_line_unread = int(numbers[0])
        count = int(_bools(pc.not_equal(pc.utf8_trim_whitespace(lines), "")).sum())
        self.reading.lines_unread += count
        self.reading.records += count

    def _records(self, lines: pa.Array, numbers: Ints) -> pa.RecordBatch:
        given = _bools(pc.not_equal(pc.utf8_trim_whitespace(lines), ""))
        lengths = np.asarray(pc.utf8_length(lines), dtype=np.int64)
        fits = {record.name: given & _fits(record, lines, lengths) for record in self.layout.records}
        unknown = given & ~np.logical_or.reduce(list(fits.values()))
        if self.reading.counted is not None:
            self.reading.counted += int((given & ~fits.get(HEADER, ~given)).sum())
        known = given
        taken: dict[str, pa.Array] = {}
        for carried in self.carried:
            has, texts = _carry(carried, lines, lengths, fits[carried.record.name], unknown)
            known, taken = known & has, taken | texts
        due = self._due(lines, lengths, fits, unknown=unknown, parentless=~known)
        records = self.reading.records + np.arange(1, len(due.at) + 1, dtype=np.int64)
        self.reading.records += len(due.at)
        self._set_aside(lines, due, records, numbers)
        return self._given(lines, due, records, numbers, taken)

    def _due(
        self, lines: pa.Array, lengths: Ints, fits: dict[str, Bools], *, unknown: Bools, parentless: Bools
    ) -> _Due:  # fmt: skip
        places, types = [np.flatnonzero(unknown)], [np.full(int(unknown.sum()), -1)]
        codes = [np.full(int(unknown.sum()), "unknown_record")]
        alone = int((unknown | np.logical_or.reduce(list(fits.values()))).sum()) == 1
        for number, record in enumerate(self.own):
            at = np.flatnonzero(fits[record.name] & _has_group(record, lines))
            places.append(at)
            types.append(np.full(len(at), number))
            short, long_ = lengths[at] < self.least[number], _holds_several(record, lengths[at], alone=alone)
            codes.append(np.select([short, long_, parentless[at]], ["short_record", "long_record", "no_parent"], ""))
        order = np.lexsort((np.concatenate(types), np.concatenate(places)))
        return _Due(*(np.concatenate(parts)[order] for parts in (places, types, codes)))

    def _given(
        self, lines: pa.Array, due: _Due, records: Ints, numbers: Ints, taken: dict[str, pa.Array]
    ) -> pa.RecordBatch:  # fmt: skip
        """The records with which nothing is wrong."""
        whole = due.codes == ""
        at, types = due.at[whole], due.types[whole]
        own = lines.take(pa.array(at))
        columns = [
            taken[name].take(pa.array(at)) if name in taken else self._values(name, own, types)
            for name in self.reading.columns
        ]
        fixed = [pa.array(records[whole]), pa.array(numbers[at]), pa.nulls(len(at), pa.string())]
        return pa.RecordBatch.from_arrays([*fixed, *columns], schema=schema_of(self.reading.columns))

    def _values(self, name: str, lines: pa.Array, types: Ints) -> pa.Array:
        """One column: each line cut by the layout of its own type; NULL where that type has no such field."""
        if name == RECORD_TYPE:
            return pa.array([record.name for record in self.own], pa.string()).take(pa.array(types))
        values = pa.nulls(len(lines), pa.string())
        for number, record in enumerate(self.own):
            for field in record.fields:
                if field.name == name:
                    cut = _cut(lines, field)
                    values = cut if len(self.own) == 1 else pc.if_else(pa.array(types == number), cut, values)
        return values

    def _set_aside(self, lines: pa.Array, due: _Due, records: Ints, numbers: Ints) -> None:
        for place in np.flatnonzero(due.codes != ""):
            at, code = int(due.at[place]), str(due.codes[place])
            text = lines[at].as_py()
            fields = self.own[due.types[place]].fields if code == "short_record" else ()
            whole = {field.name: text[field.start - 1 : field.end] for field in fields if field.end <= len(text)}
            self.reading.unreadable.append(Unreadable(int(records[place]), int(numbers[at]), code, whole))


def _carry(
    carried: _Carried, lines: pa.Array, lengths: Ints, fits: Bools, unknown: Bools
) -> tuple[Bools, dict[str, pa.Array]]:
    """For each line whether the last record of a type before it is known, and the fields that it gives.

    A line of no known type may have been such a record, so what is carried ends there; only what a header gives holds
    for the whole file.
    """
    good = fits & (lengths >= max(field.end for field in carried.fields))
    ended = (fits & ~good) if carried.record.name == HEADER else (fits & ~good) | unknown
    places = np.arange(len(fits))
    last_good = np.maximum.accumulate(np.where(good, places, -1))
    last_ended = np.maximum.accumulate(np.where(ended, places, -1))
    here, earlier = last_good > last_ended, (last_good < 0) & (last_ended < 0)
    before = carried.values or [None] * len(carried.fields)
    known = here | (earlier & (carried.values is not None))
    source = pa.array(np.maximum(last_good, 0))
    texts = {
        field.name: pc.if_else(pa.array(here), _cut(lines, field).take(source), pa.scalar(text, pa.string()))
        for field, text in zip(carried.fields, before, strict=True)
    }
    if len(fits) and not earlier[-1]:
        carried.values = [values[-1].as_py() for values in texts.values()] if here[-1] else None
    return known, texts


def _fits(record: RecordType, lines: pa.Array, lengths: Ints) -> Bools:
    fits = (lengths >= record.least) & (lengths <= (record.most or np.iinfo(np.int64).max))
    for mark in record.marks:
        fits &= _bools(pc.equal(pc.utf8_trim_whitespace(_cut(lines, mark)), mark.must_be))
    return fits


def _holds_several(record: RecordType, lengths: Ints, *, alone: bool) -> Bools:
    """Which lines are as long as two records: as two of the layout, and as two of the shortest beside them, since a
    layout need not describe a record to its end. `alone`: there is no other line to compare with."""
    end = max(field.end for field in record.fields)
    return lengths >= 2 * (end if alone else max(end, int(lengths.min(initial=np.iinfo(np.int32).max))))


def _has_group(record: RecordType, lines: pa.Array) -> Bools:
    found = np.full(len(lines), not record.group)
    for field in record.group:
        found |= _bools(pc.not_equal(pc.utf8_trim_whitespace(_cut(lines, field)), ""))
    return found


def _cut(lines: pa.Array, field: Field) -> pa.Array:
    return pc.utf8_slice_codeunits(lines, field.start - 1, field.end)


def _bools(values: pa.Array) -> Bools:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)


def _least_length(feed: Feed, record: RecordType) -> int:
    required = {column for element in feed.elements.values() if element.required for column in element.sent}
    read = [field for field in record.fields if field.name in feed.columns]
    return max((field.end for field in read if not feed.format.trimmed or field.name in required), default=1)


def text_lines(stream: TextStream) -> Iterator[pa.RecordBatch]:
    """The lines, blank ones too."""
    yield from pa_csv.open_csv(
        pa.PythonFile(stream, mode="r"),
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=["line"]),
        parse_options=pa_csv.ParseOptions(delimiter=_NOWHERE, quote_char=False, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(column_types={"line": pa.string()}, strings_can_be_null=False),
    )
