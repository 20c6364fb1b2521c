"""Reading delimited files: every record under its number and line, a record with too many fields never shifted."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from mappings.columns import hold_line_ends, match_columns
from mappings.declarations import Feed
from mappings.formats import Format
from mappings.numbering import Numbering
from mappings.reading import Reading
from mappings.separators import Separators
from mappings.text_stream import TextStream, last_line, records_of, split_record
from store.extracts import Severity

BLOCK = 1 << 20
"""Bytes parsed at a time; no record is longer."""
_COUNT = re.compile(r"\d+(\.0+)?|\d{1,3}(,\d{3})+")
"""A whole number, also as a spreadsheet (20.0) or a person (1,020) would write it."""


@dataclass
class _File:
    """A delimited file while it is read."""

    feed: Feed
    stream: TextStream
    header: list[str]
    names: dict[str, str]
    reading: Reading
    line: int = 1
    """The line on which the first record starts."""
    separators: Separators | None = None


def read_delimited(path: Path, feed: Feed) -> Reading:
    """Opens a delimited file.

    Records that do not have as many fields as the header, and records that a quote which was never closed has run
    together, become unreadable; the others are given. A file that is not what was declared is held, and each of its
    lines then counts as one unreadable record.
    """
    reading = Reading(feed.columns, iter(()))
    stop = read_trailer(path, feed.format, reading)
    file = _open(path, feed, reading, stop)
    if _read_header(file):
        batches = _batches(file)
        reading.batches = batches if file.separators is None else map(file.separators.restore, batches)
    else:
        file.stream.close()
    return reading


def _open(path: Path, feed: Feed, reading: Reading, stop: int | None) -> _File:
    form = feed.format
    if not form.is_translated:
        return _File(feed, TextStream(path, form.encoding, stop=stop), [], {}, reading)
    parts = Separators(form)
    stream = TextStream(path, form.encoding, unwanted="\0" + parts.stand_ins, rewrite=parts.parsable)
    return _File(feed.model_copy(update={"format": parts.form}), stream, [], {}, reading, separators=parts)


def read_trailer(path: Path, form: Format, reading: Reading) -> int | None:
    """Reads the trailer, if one is declared: the byte at which it begins, its count into `reading.declared`."""
    if form.trailer is None or path.stat().st_size == 0:
        return None
    begin, line = last_line(path, form.encoding)
    prefix = form.trailer.prefix
    fields = split_record(line, delimiter=form.delimiter, quote=form.quote)
    if form.kind == "fixed_width" and line.startswith(prefix):
        fields = [prefix, *line.removeprefix(prefix).split()]
    if not fields or fields[0].strip() != prefix:
        reading.hold_for("truncated", "no_trailer", f"the last line is no trailer {prefix}")
        return None
    told = fields[form.trailer.count_field - 1].strip() if len(fields) >= form.trailer.count_field else ""
    if _COUNT.fullmatch(told):
        reading.declared = int(told.partition(".")[0].replace(",", ""))
    else:
        reading.hold_for("truncated", "bad_trailer", "the trailer tells no count")
    return begin


def _read_header(file: _File) -> bool:
    """Finds out which column is which; False where the file cannot be read as declared (and is then held)."""
    form, reading, head = file.feed.format, file.reading, file.stream.head()
    if not head.strip("\r\n \ufffd"):
        reading.hold_for("empty", "empty_file", "the file holds no text")
        return False
    first, used, lines = _first_record(head, form)
    if form.header:
        file.stream.skip(head[:used])
        file.line = lines + 1
    file.header = [_bare(name) for name in first] if form.header else list(form.columns)
    if form.trailing and file.header[-1]:
        file.header.append("")
    no_line_ends = form.header and hold_line_ends(first)
    alone = form.header and not file.stream.head().strip()
    names = file.header[:-1] if form.trailing else file.header
    matched = match_columns(file.feed, names, are_names=not (alone or no_line_ends))
    if matched.share < 0.5 or (not form.header and len(first) != len(file.header)):
        _hold_layout(file, head)
        return False
    file.names = matched.names
    reading.findings += matched.findings
    if matched.hold:
        reading.hold = reading.hold or "layout"
    if no_line_ends:
        reading.hold_for("layout", "no_line_ends", "the first line holds signs that end no line (NEL, U+2028)")
    note_encoding(file.stream, reading)
    return True


def _bare(name: str) -> str:
    """A column's name without blanks and without quotes of another kind than the file's own."""
    name = name.strip()
    return name[1:-1].strip() if len(name) > 2 and name[0] == name[-1] and name[0] in "'\"`" else name


def note_encoding(stream: TextStream, reading: Reading) -> None:
    """Finds that the bytes prove another encoding than the declared one."""
    if stream.encoding.removesuffix("-le").removesuffix("-be") != stream.declared.removesuffix("-sig"):
        reading.find("encoding_changed", Severity.WARNING, f"the bytes prove {stream.encoding}")


def note_nuls(stream: TextStream, reading: Reading) -> None:
    """Finds that characters which no text holds stood in the file."""
    if stream.nuls:
        reading.find("nul_characters", Severity.WARNING, f"{stream.nuls} characters that no text holds became U+FFFD")


def _first_record(head: str, form: Format) -> tuple[list[str], int, int]:
    """The first record that is not blank, the characters up to its end, and the lines up to its end."""
    used: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(head, newline=""):
            used.append(line)
            yield line

    try:
        rows = records_of(lines(), delimiter=form.delimiter, quote=form.quote, escape=form.escape)
        first = next((row for row in rows if any(field.strip() for field in row)), [])
    except csv.Error:  # a field longer than any name of a column
        first = []
    return first, len("".join(used)), len(used)


def _hold_layout(file: _File, head: str) -> None:
    """Says why the first line is not the declared one; each line of the file counts as one record."""
    form = file.feed.format
    line = next((line for line in head.splitlines() if line.strip()), "")
    for other in ",;\t|^~":
        names = split_record(line, delimiter=other, quote=form.quote)
        if other != form.delimiter and match_columns(file.feed, [name.strip() for name in names]).share >= 0.5:
            file.reading.hold_for("layout", "wrong_delimiter", f"the columns are parted by {other!r}")
            break
    else:
        code, what = ("missing_header", "few or none of the declared columns are") if form.header else (
            "other_columns", "another number of columns than declared is")  # fmt: skip
        file.reading.hold_for("layout", code, f"{what} in the first line")
        if form.header:
            file.line = 1
            file.reading.lines_unread = 1  # the line that was taken for a header may be a record
    file.reading.first_line_unread = file.line
    file.reading.lines_unread += count_lines(file.stream)
    file.reading.records = file.reading.lines_unread


def read_lines(path: Path, feed: Feed) -> Reading:
    """A file on which the parser gave up (a quote that is never closed swallows it): held, each line one record."""
    reading = Reading(feed.columns, iter(()))
    stop = read_trailer(path, feed.format, reading)
    stream = TextStream(path, feed.format.encoding, stop=stop)
    with closing(stream):
        reading.lines_unread = max(count_lines(stream) - int(feed.format.header), 0)
    reading.first_line_unread = 1 + int(feed.format.header)
    reading.records = reading.lines_unread
    if feed.format.kind == "delimited" and feed.format.quote is not None:
        detail = "a value longer than any real one: a quote is never closed"
        reading.hold_for("unreadable", "unclosed_quote", detail)
    else:
        reading.hold_for("unreadable", "endless_line", "a line longer than any real record")
    return reading


def count_lines(stream: TextStream) -> int:
    """The lines that are not blank from where a stream stands to its end."""
    count, begun = 0, False
    while piece := stream.skim(BLOCK):
        for line in piece.splitlines(keepends=True):
            begun = begun or bool(line.strip())
            if line.endswith((b"\n", b"\r")):
                count, begun = count + begun, False
    return count + begun


def _batches(file: _File) -> Iterator[pa.RecordBatch]:
    """The records in order; one batch is held back, because only the end of the file shows whether it ends whole."""
    with closing(file.stream):
        if not file.stream.head().strip("\r\n"):
            return
        numbering, held_back = Numbering(file.reading, file.feed, file.names, file.header, file.line), None
        for batch in _parsed(file, numbering):
            if held_back is not None:
                yield numbering.number(held_back)
            held_back = batch
        open_end = held_back is not None and _ends_in_quote(file, held_back)
        yield numbering.number(held_back, final=True, open_end=open_end)
        note_nuls(file.stream, file.reading)
        if numbering.headers_again:
            detail = f"the header stands {numbering.headers_again} more times within the file; these are no records"
            file.reading.find("repeated_header", Severity.WARNING, detail)
        if not open_end and not file.feed.format.trailer and file.stream.ends_open:
            file.reading.find("no_final_line_end", Severity.NOTE, "the last line has no end; it may be cut")


def _parsed(file: _File, numbering: Numbering) -> Iterator[pa.RecordBatch]:
    """Batches as the parser splits them, every column as text under its place in the file (`c0`, `c1`, ...)."""
    form, names = file.feed.format, [f"c{place}" for place in range(len(file.header))]
    # One thread is as fast as several here, and only with one does the parser know the numbers of the rows.
    yield from pa_csv.open_csv(
        pa.PythonFile(file.stream, mode="r"),
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
        parse_options=pa_csv.ParseOptions(
            delimiter=form.delimiter, quote_char=form.quote or False, escape_char=form.escape or False,
            newlines_in_values=form.quote is not None, ignore_empty_lines=False,
            invalid_row_handler=numbering.set_aside,
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )  # fmt: skip


def _ends_in_quote(file: _File, batch: pa.RecordBatch) -> bool:
    """Whether the last value of the file began with a quote that was never closed: the file is cut there."""
    quote = file.feed.format.quote
    if quote is None or not batch.num_rows:
        return False
    value = batch.column(batch.num_columns - 1)[-1].as_py() or ""
    opened = quote + value.replace(quote, quote * 2)
    if len(opened) >= len(file.stream.tail):
        return True
    return any(file.stream.tail.endswith(before + opened) for before in (file.feed.format.delimiter, "\n", "\r"))
