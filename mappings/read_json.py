"""Reading JSON and JSON lines: numbers as they were written, arrays as repeating groups, one value in memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from mappings.columns import key_places
from mappings.declarations import Feed
from mappings.paths import SEVERAL, Step, is_spoken_for, parse_path, parse_place, paths_of
from mappings.read_delimited import BLOCK, note_encoding, note_nuls
from mappings.read_fixed_width import text_lines
from mappings.reading import Reading, Unreadable, note_paths, schema_of
from mappings.text_stream import TextStream

Value = Any
_ROWS = 1 << 13
_LARGEST = 1 << 24
"""Characters of one item of the outer array, or of a file that is one object."""
_LOOKED_AT = 1_000
"""Records at the beginning of a file that are searched for columns nobody declared."""


def read_json(path: Path, feed: Feed) -> Reading:
    """Opens a file that is one JSON value: an array, whose items are read one by one, or an object of 16 million
    characters at most. `_line` is the line on which the item begins. A file that is no JSON is held."""
    return _opened(path, feed, _items)


def read_json_lines(path: Path, feed: Feed) -> Reading:
    """Opens a file with one JSON value a line; a line that is no JSON becomes unreadable (`bad_json`)."""
    return _opened(path, feed, _values_of_lines)


@dataclass(frozen=True)
class _Found:
    """A value of the file, the line on which it begins, and why it cannot be read."""

    line: int
    value: Value = None
    wrong: str | None = None


def _opened(path: Path, feed: Feed, values: Callable[[TextStream, Reading], Iterator[_Found]]) -> Reading:
    reading = Reading(feed.columns, iter(()))
    stream = TextStream(path, feed.format.encoding)
    if not stream.head().strip("\r\n \t\ufffd"):
        reading.hold_for("empty", "empty_file", "the file holds no text")
        stream.close()
        return reading
    note_encoding(stream, reading)
    reading.batches = _Records(feed, reading).batches(values(stream, reading), stream)
    return reading


class _Records:
    """Turns the values of one file into records."""

    def __init__(self, feed: Feed, reading: Reading) -> None:
        self.reading = reading
        self.places = [parse_place(place) for place in feed.format.records or ("/",)]
        self.paths = [parse_path(column) for column in feed.columns]
        self.known = paths_of(feed.columns)
        self.new: dict[str, None] = {}
        self.key_at = key_places(feed)
        self.has_key = not self.key_at

    def batches(self, values: Iterable[_Found], stream: TextStream) -> Iterator[pa.RecordBatch]:
        records = self._records(values)
        schema = schema_of(self.reading.columns)
        while rows := list(islice(records, _ROWS)):
            self.has_key = self.has_key or any(row[3 + at] for row in rows for at in self.key_at)
            arrays = [
                pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        note_nuls(stream, self.reading)
        stream.close()
        note_paths(list(self.new), self.reading, has_key=self.has_key)

    def _records(self, values: Iterable[_Found]) -> Iterator[tuple[Value, ...]]:
        for found in values:
            if found.wrong is not None:
                self.reading.records += 1
                self.reading.unreadable.append(Unreadable(self.reading.records, found.line, found.wrong))
                continue
            for place in self.places:
                for record, parents in _at(found.value, place, ()):
                    self.reading.records += 1
                    if self.reading.records <= _LOOKED_AT:
                        self._look_for_new(record, "")
                    texts = (_text(_find(record, parents, path)) for path in self.paths)
                    yield (self.reading.records, found.line, None, *texts)

    def _look_for_new(self, value: Value, path: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                self._look_for_new(inner, f"{path}/{name}" if path else name)
        elif isinstance(value, list):
            for inner in value:
                self._look_for_new(inner, path)
        elif value is not None and not is_spoken_for(path or ".", self.known):
            self.new[path or "."] = None


def _at(value: Value, place: tuple[str, ...], parents: tuple[Value, ...]) -> Iterator[tuple[Value, tuple[Value, ...]]]:
    """The records at a place with what stands around them; an array gives each of its items."""
    if isinstance(value, list):
        for item in value:
            yield from _at(item, place, parents)
    elif not place:
        yield value, parents
    elif isinstance(value, dict) and value.get(place[0]) is not None:
        yield from _at(value[place[0]], place[1:], (*parents, value))


def _find(value: Value, parents: tuple[Value, ...], path: tuple[Step, ...]) -> list[Value]:
    for number, step in enumerate(path):
        if step.name == "..":
            if not parents:
                return []
            value, parents = parents[-1], parents[:-1]
        else:
            return _within(value, path[number:])
    return []


def _within(value: Value, path: tuple[Step, ...]) -> list[Value]:
    """The plain values at the end of a path."""
    if isinstance(value, list):
        return [found for item in value for found in _within(item, path)]
    if not path:
        return [] if value is None or isinstance(value, dict) else [value]
    step, rest = path[0], path[1:]
    if step.name == ".":
        return _within(value, rest)
    if not isinstance(value, dict):
        return []
    inner = list(value.values()) if step.name == "*" else [value.get(step.name)]
    if step.where is not None:
        at, wanted = step.where
        flat = [item for one in inner for item in (one if isinstance(one, list) else [one])]
        inner = [item for item in flat if wanted in map(_plain, _within(item, at))]
    return _within(inner, rest)


def _text(found: list[Value]) -> str | None:
    return SEVERAL.join(map(_plain, found)) if found else None


def _plain(value: Value) -> str:
    return _whole(value) if isinstance(value, str) else "true" if value else "false"


def _whole(text: str) -> str:
    """The text with U+FFFD for each half of a character that an escape (`\\ud800`) left alone."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = {_whole(name): value for name, value in pairs}
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)


def _values_of_lines(stream: TextStream, _reading: Reading) -> Iterator[_Found]:
    line = 0
    for batch in text_lines(stream):
        for text in batch.column(0).to_pylist():
            line += 1
            if text.strip():
                yield _decoded(text, line)


def _decoded(text: str, line: int) -> _Found:
    try:
        return _Found(line, _DECODER.decode(text))
    except (ValueError, RecursionError):
        return _Found(line, wrong="bad_json")


def _items(stream: TextStream, reading: Reading) -> Iterator[_Found]:
    """The items of the outer array, or the one value of the file."""
    text = _Text(stream)
    is_array = text.next_character() == "["
    if is_array:
        text.at += 1
        if text.next_character() == "]":
            text.at += 1
            _expect_end(text, reading)
            return
    while True:
        text.next_character()
        line = text.line()
        value, wrong = text.value()
        if wrong is not None:
            # Only where it stands is said: the parser's own words may hold a value.
            reading.hold_for("unreadable", wrong, f"the file is not JSON as declared; see line {line}")
            return
        yield _Found(line, value)
        follows = text.next_character()
        text.at += 1
        if not is_array or follows == "]":
            text.at -= not is_array
            _expect_end(text, reading)
            return
        if follows != ",":
            reading.hold_for(*(("truncated", "cut_off") if not follows else ("unreadable", "not_json")),
                             f"the file is not JSON as declared; see line {text.line()}")  # fmt: skip
            return


def _expect_end(text: _Text, reading: Reading) -> None:
    if text.next_character():
        reading.hold_for("unreadable", "not_json", f"more than one JSON value; see line {text.line()}")


class _Text:
    """The characters of a file, of which only those that are not yet decoded are in memory."""

    def __init__(self, stream: TextStream) -> None:
        self.stream, self.decode = stream, codecs.getincrementaldecoder("utf-8")()
        self.text, self.at, self.lines, self.counted, self.ended = "", 0, 1, 0, False

    def line(self) -> int:
        """The line on which decoding stands."""
        self.lines += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.lines

    def next_character(self) -> str:
        """The next character that is no blank, at which decoding then stands; '' at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def value(self) -> tuple[Value, str | None]:
        """The next value, or why there is none."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or self.ended or not self._more():
                    self.at = end
                    return value, None
            except RecursionError:
                return None, "nested_too_deep"
            except ValueError:
                if len(self.text) - self.at > _LARGEST:
                    return None, "endless_record"
                if not self._more():
                    return None, "not_json"

    def _more(self) -> bool:
        if self.ended:
            return False
        piece = self.stream.read(BLOCK)
        self.ended = not piece
        self.line()
        self.text, self.at, self.counted = self.text[self.at :] + self.decode.decode(piece, final=self.ended), 0, 0
        return True
