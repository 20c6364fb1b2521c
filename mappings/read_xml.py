"""Reading XML: records one by one in bounded memory; no document types, no entities, no network."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from lxml import etree  # type: ignore[import-untyped]

from mappings.columns import key_places
from mappings.declarations import Feed
from mappings.paths import SEVERAL, Step, is_spoken_for, parse_path, parse_place, paths_of
from mappings.read_delimited import BLOCK, note_encoding, note_nuls
from mappings.reading import Reading, note_paths, schema_of
from mappings.text_stream import TextStream

_Element = Any
_ROWS = 1 << 13
_BLOCKS_OPEN = 6
"""Blocks (megabytes) after which one record, or one element that records take something from, is no real one."""
_MOST_KEPT = 10_000
"""Elements that may be kept beside the records of one parent because they take something from them."""
_LOOKED_AT = 1_000
"""Records at the beginning of a file that are searched for columns nobody declared."""
_UNFINISHED = (etree.ErrorTypes.ERR_DOCUMENT_END, etree.ErrorTypes.ERR_TAG_NOT_FINISHED)
_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
_ENCODING = re.compile(r"<\?xml[^>]*?\bencoding\s*=\s*[\"']([\w.-]+)[\"']")


def read_xml(path: Path, feed: Feed) -> Reading:
    """Opens an XML file; each element at one of the feed's places is a record, `_line` the line on which it begins.

    A file that is not well-formed, has a document type, or has another root is held; so is one with a record of more
    than six megabytes.
    """
    reading = Reading(feed.columns, iter(()))
    stream = TextStream(path, _encoding(path, feed))
    head = stream.head()
    wrong = _prolog(head)
    if not head.strip("\r\n \t\ufffd"):
        reading.hold_for("empty", "empty_file", "the file holds no text")
    elif wrong is not None:
        reading.hold_for("unreadable", *wrong)
    else:
        note_encoding(stream, reading)
        reading.batches = _File(feed, stream, reading).batches()
        return reading
    stream.close()
    return reading


def _encoding(path: Path, feed: Feed) -> str:
    """What the file itself says, else what is declared."""
    with path.open("rb") as file:
        found = _ENCODING.match(file.read(200).decode("latin-1").lstrip())
    try:
        return codecs.lookup(found.group(1)).name if found else feed.format.encoding
    except LookupError:
        return feed.format.encoding


def _prolog(head: str) -> tuple[str, str] | None:
    """What is wrong before the root element; None where it begins as it should."""
    at = len(head) - len(head.lstrip())
    while head.startswith(("<?", "<!--"), at):
        close = "?>" if head.startswith("<?", at) else "-->"
        end = head.find(close, at + 2)
        if end < 0:
            return "not_xml", "no element begins in the first part of the file"
        at = end + len(close)
        at += len(head[at:]) - len(head[at:].lstrip())
    if head.startswith("<!DOCTYPE", at):
        return "document_type", "the file has a document type (DTD), which no extract needs and which can do harm"
    return None if re.match(r"<[^\W\d]", head[at : at + 2]) else ("not_xml", "the file is no XML")


@dataclass
class _Chunk:
    """Records gathered for one batch."""

    lines: list[int | None] = field(default_factory=list)
    columns: list[list[str | None]] = field(default_factory=list)


class _File:
    """One XML file while it is read."""

    def __init__(self, feed: Feed, stream: TextStream, reading: Reading) -> None:
        self.feed, self.stream, self.reading = feed, stream, reading
        self.names = _Names(feed.format.namespaces)
        self.places = {tuple(map(self.names.tag, parse_place(place))) for place in feed.format.records}
        paths = {column: parse_path(column) for column in feed.columns}
        self.read = [self.names.reader(path) for path in paths.values()]
        self.kept = _kept(paths.values(), self.places, self.names)
        self.depth = max(len(place) for place in self.places)
        self.root: _Element = None
        self.done: _Element = None
        self.open_for, self.opened = 0, None
        self.known = paths_of(feed.columns)
        self.new: dict[str, None] = {}
        self.key_at = key_places(feed)
        self.has_key = not self.key_at
        self.chunk = self._empty()

    def _empty(self) -> _Chunk:
        return _Chunk(columns=[[] for _ in self.read])

    def batches(self) -> Iterator[pa.RecordBatch]:
        parser = etree.XMLPullParser(
            events=("start", "end"), tag=list({tag for place in self.places for tag in (place[0], place[-1])}),
            encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
            remove_comments=True, remove_pis=True,
        )  # fmt: skip
        started = False
        while not self.reading.hold and (piece := self.stream.read(BLOCK)):
            # Blanks before an XML declaration are the commonest reason why a file that is whole cannot be parsed.
            started, piece = True, piece if started else piece.lstrip()
            self._parse(lambda data=piece: parser.feed(data), parser)  # type: ignore[misc]
            if len(self.chunk.lines) >= _ROWS:
                yield self._batch()
            self._prune()
        if not self.reading.hold:
            self._parse(parser.close, parser, last=True)
        yield self._batch()
        self._finish()

    def _parse(self, step: Callable[[], object], parser: _Element, *, last: bool = False) -> None:
        """One step of the parser, and the records that it completes."""
        try:
            step()
        except etree.XMLSyntaxError as error:
            cut = last and error.code in _UNFINISHED
            code, reason = ("cut_off", "truncated") if cut else ("not_well_formed", "unreadable")
            self.reading.hold_for(reason, code, f"the file is not well-formed XML; see line {error.position[0]}")
        for event, element in parser.read_events():
            if event == "start":
                self.root = element if self.root is None else self.root
            elif self._place(element) in self.places:
                self._take(element)

    def _place(self, element: _Element) -> tuple[str, ...]:
        return (*reversed([ancestor.tag for ancestor in element.iterancestors()]), element.tag)

    def _take(self, element: _Element) -> None:
        if self.reading.records < _LOOKED_AT:
            self._look_for_new(element, "")
        self.reading.records += 1
        self.chunk.lines.append(element.sourceline)
        for column, read in zip(self.chunk.columns, self.read, strict=True):
            found = read(element)
            column.append(found[0] if len(found) == 1 else SEVERAL.join(filter(None, map(str.strip, found))) or None)
        element.clear(keep_tail=True)
        if self.done is not None and (parent := self.done.getparent()) is not None:
            parent.remove(self.done)  # so that a step to a sibling has not many records to pass
        self.done = element

    def _prune(self) -> None:
        """Lets go of all that is parsed and that no record needs any more."""
        if self.root is None:
            if self.reading.records == 0:
                self.reading.hold_for("layout", "other_root", "the root element is not the declared one")
            return
        node, depth = self.root, 1
        while len(node):
            keep = self.kept.get(depth, frozenset())
            for child in node[:-1] if keep else ():
                if child.tag not in keep:
                    node.remove(child)
            if not keep:
                del node[:-1]
            elif len(node) > _MOST_KEPT:
                self.reading.hold_for(
                    "unreadable", "too_many_elements", f"more than {_MOST_KEPT} elements beside records"
                )
            node, depth = node[-1], depth + 1
            if self._place(node) in self.places or node.tag in keep:
                break
        self._watch(node)

    def _watch(self, node: _Element) -> None:
        """Holds the file when one element that cannot be let go of goes on and on."""
        same = node is self.opened and node is not self.done
        self.opened, self.open_for = node, self.open_for + 1 if same else 0
        if self.open_for > _BLOCKS_OPEN and (self._place(node) in self.places or len(node)):
            self.reading.hold_for("unreadable", "endless_record", f"a record of more than {_BLOCKS_OPEN} megabytes")

    def _look_for_new(self, element: _Element, path: str) -> None:
        leaves = [f"@{self.names.shown(name)}" for name in element.attrib if not name.startswith(_INSTANCE)]
        for child in element:
            at = f"{path}{self.names.shown(child.tag)}"
            if len(child) or child.attrib:
                self._look_for_new(child, f"{at}/")
            if not len(child) and (child.text or "").strip():
                leaves.append(at.removeprefix(path))
        for leaf in leaves:
            if not is_spoken_for(f"{path}{leaf}", self.known):
                self.new[f"{path}{leaf}"] = None

    def _batch(self) -> pa.RecordBatch:
        chunk, self.chunk = self.chunk, self._empty()
        count, last = len(chunk.lines), self.reading.records
        self.has_key = self.has_key or any(any(chunk.columns[at]) for at in self.key_at)
        fixed = [range(last - count + 1, last + 1), chunk.lines, [None] * count]
        schema = schema_of(self.reading.columns)
        arrays = [pa.array(values, kind) for values, kind in zip([*fixed, *chunk.columns], schema.types, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _finish(self) -> None:
        note_nuls(self.stream, self.reading)
        self.stream.close()
        note_paths(list(self.new), self.reading, has_key=self.has_key)


class _Names:
    """Names with prefixes as the declaration writes them, and as the parser knows them."""

    def __init__(self, namespaces: dict[str, str]) -> None:
        self.of = {prefix or "default": uri for prefix, uri in namespaces.items()}
        self.default = "" in namespaces
        self.prefixes = {uri: f"{prefix}:" if prefix else "" for prefix, uri in namespaces.items()}

    def tag(self, name: str) -> str:
        """A name as the parser gives it."""
        prefix, _, local = name.rpartition(":")
        if not prefix and not self.default:
            return name
        return f"{{{self.of[prefix or 'default']}}}{local}"

    def shown(self, tag: str) -> str:
        """A tag as the declaration would write it."""
        uri, _, local = tag.removeprefix("{").rpartition("}")
        return f"{self.prefixes[uri]}{local}" if uri in self.prefixes else local if not uri else f"{{{uri}}}{local}"

    def reader(self, steps: tuple[Step, ...]) -> Callable[[_Element], list[str]]:
        """What finds the texts of a column in its record."""
        expression = self._expression(steps)
        if not steps[-1].name.startswith("@"):
            expression += "/text()"
        found: Callable[[_Element], list[str]] = etree.XPath(expression, namespaces=self.of, smart_strings=False)
        return found

    def _expression(self, steps: tuple[Step, ...]) -> str:
        return "/".join(self._step(step) for step in steps)

    def _step(self, step: Step) -> str:
        plain = step.name.startswith(("@", ".", "*")) or ":" in step.name or not self.default
        where = f"[{self._expression(step.where[0])}='{step.where[1]}']" if step.where else ""
        return f"{step.name if plain else f'default:{step.name}'}{where}"


def _kept(paths: Any, places: set[tuple[str, ...]], names: _Names) -> dict[int, frozenset[str]]:
    """Depth of a parent -> the children that stay while it is open, because records take something from them."""
    kept: dict[int, set[str]] = {}
    for steps in paths:
        ups = sum(step.name == ".." for step in steps)
        if ups and not steps[ups:][0].name.startswith("@"):
            for place in places:
                kept.setdefault(len(place) - ups, set()).add(names.tag(steps[ups].name))
    return {depth: frozenset(tags) for depth, tags in kept.items()}
