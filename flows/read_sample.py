"""Recognise the form of a sample of an agency's file, and read the columns of its first records."""

from __future__ import annotations

import codecs
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from connectors.archives import PackageRefused, open_gzip, open_member, packing_of, zip_members
from mappings.paths import parse_path
from mappings.read_excel import first_rows
from mappings.text_stream import split_record
from standard.errors import ExtractError

MOST_RECORDS = 2000
_MOST_BYTES = 64 << 20
_DELIMITERS = ",\t;|\u2021\u2020"


@dataclass(frozen=True)
class Sample:
    """A sample as far as it was read."""

    path: Path
    columns: dict[str, list[str]]
    """Column -> its values in the first records, trimmed; empty where blank."""
    records: int
    form: str
    """`format:` of the feed, in YAML."""
    packed: str = ""
    """What stands behind the pattern of names under `arrives:`, where it comes packed."""
    layout: str = ""
    layout_name: str = ""


def read_sample(path: Path) -> Sample:
    """Recognises delimited, fixed-width, XML, JSON and Excel files, also in a zip or gzip, and reads their beginning.

    Raises:
        ExtractError: There is no such file, it is in none of these forms, or larger than a sample should be.
    """
    if not path.is_file():
        raise ExtractError("there is no such file", where=str(path), mend="name a sample of a feed")
    with path.open("rb") as stream:
        packing = packing_of(stream.read(8))
    if packing == "zip" and _is_workbook(path):
        return _excel(path)
    data, packed = _content(path, packing)
    if len(data) > _MOST_BYTES:
        raise ExtractError("the sample is too large", where=str(path), mend="cut it to some thousand records")
    text, encoding = _decoded(data)
    for read in (_xml, _json, _delimited, _fixed_width):
        if found := read(path, text.removeprefix("\ufeff"), encoding):
            return Sample(path, found.columns, found.records, found.form, packed, found.layout, found.layout_name)
    raise ExtractError(
        "the form of this sample cannot be recognised", where=str(path),
        mend="write the feed by hand: docs/mapping.md, format",
    )  # fmt: skip


def _content(path: Path, packing: str | None) -> tuple[bytes, str]:
    if packing == "gzip":
        with open_gzip(path) as stream:
            return stream.read(_MOST_BYTES + 1), ", packed: [gzip]"
    if packing == "zip":
        members = zip_members(path)
        if len(members) != 1:
            raise PackageRefused("archive_members", f"the archive holds {len(members)} files", where=str(path))
        with open_member(path, members[0]) as stream:
            return stream.read(_MOST_BYTES + 1), ", packed: [zip]"
    with path.open("rb") as plain:
        return plain.read(_MOST_BYTES + 1), ""


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _decoded(data: bytes) -> tuple[str, str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), "utf-16"
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "cp1252"


def _delimited(path: Path, text: str, encoding: str) -> Sample | None:
    """The delimiter that gives most records as many fields as the header."""
    lines = [line for line in text.splitlines()[: MOST_RECORDS + 1] if line.strip()]
    best: tuple[int, str, list[list[str]]] | None = None
    for delimiter in _DELIMITERS:
        split = [split_record(line, delimiter=delimiter, quote='"') for line in lines]
        fields = len(split[0]) if split else 0
        same = sum(len(record) == fields for record in split)
        if fields > 1 and same >= 0.8 * len(split) and (best is None or fields > len(best[2][0])):
            best = (same, delimiter, split)
    if best is None or len(best[2]) < 2:
        return None
    _, delimiter, (header, *records) = best
    names = [name.strip().strip("'\"") for name in header]
    trailing = len(names) > 2 and not names[-1]
    names = names[:-1] if trailing else names
    if len(set(names)) < len(names) or not all(names):
        return None
    whole = [record for record in records if len(record) == len(header)]
    columns = {name: [record[n].strip() for record in whole] for n, name in enumerate(names)}
    shown = json.dumps(delimiter, ensure_ascii=False)
    form = f"{{kind: delimited, encoding: {encoding}, delimiter: {shown}, header: true{', trailing: true' * trailing}}}"
    return Sample(path, columns, len(whole), form)


def _fixed_width(path: Path, text: str, encoding: str) -> Sample | None:
    """Lines of one length; a field begins where every line has a blank before it."""
    lines = [line for line in text.splitlines()[:MOST_RECORDS] if line.strip()]
    [(length, times)] = Counter(map(len, lines)).most_common(1) if lines else [(0, 0)]
    if times < 0.9 * len(lines) or length < 8 or len(lines) < 3:
        return None
    whole = [line for line in lines if len(line) == length]
    blank = [all(line[n] == " " for line in whole) for n in range(length)]
    starts = [n for n in range(length) if not blank[n] and (n == 0 or blank[n - 1])]
    ends = [*(start for start in starts[1:]), length]
    fields = [(f"FIELD_{n}", start, end) for n, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)]
    columns = {name: [line[start:end].strip() for line in whole] for name, start, end in fields}
    layout = "field,start,end\n" + "".join(f"{name},{start + 1},{end}\n" for name, start, end in fields)
    name = re.sub(r"[^a-z0-9]+", "_", path.name.split(".")[0].lower()).strip("_")
    return Sample(
        path, columns, len(whole), f"{{kind: fixed_width, layout: {name}, encoding: {encoding}}}", "", layout, name
    )


def _json(path: Path, text: str, encoding: str) -> Sample | None:
    first = text.lstrip()[:1]
    if first not in ("[", "{"):
        return None
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    try:
        whole = decoder.decode(text)
        if isinstance(whole, dict) and (lists := [k for k, v in whole.items() if _are_objects(v)]):
            return _records(path, whole[lists[0]], f"{{kind: json, encoding: {encoding}, records: [/{lists[0]}]}}")
        if _are_objects(whole):
            return _records(path, whole, f"{{kind: json, encoding: {encoding}, records: [/]}}")
    except (ValueError, RecursionError):
        pass
    try:
        lines = [decoder.decode(line) for line in text.splitlines()[:MOST_RECORDS] if line.strip()]
    except (ValueError, RecursionError):
        return None
    return _records(path, lines, f"{{kind: json_lines, encoding: {encoding}}}") if _are_objects(lines) else None


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _records(path: Path, records: list[dict[str, Any]], form: str) -> Sample | None:
    """Members that no path can name are left out: they come as columns that nobody declared."""
    leaves = [dict(_leaves(record, "")) for record in records[:MOST_RECORDS]]
    return _flat(path, [{name: value for name, value in each.items() if _is_path(name)} for each in leaves], form)


def _is_path(name: str) -> bool:
    try:
        parse_path(name)
    except ValueError:
        return False
    return True


def _leaves(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{at}/{name}" if at else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, at)
    else:
        yield at, "" if value is None else str(value).strip()


def _flat(path: Path, records: list[dict[str, str]], form: str) -> Sample | None:
    names = list(dict.fromkeys(name for record in records for name in record if name))
    if not names:
        return None
    return Sample(path, {n: [record.get(n, "") for record in records] for n in names}, len(records), form)


def _xml(path: Path, text: str, encoding: str) -> Sample | None:
    """The records are the elements below the root that come most often."""
    if not text.lstrip().startswith("<"):
        return None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ExtractError("the sample has a document type", where=str(path), mend="send it without one")
    try:
        root = ElementTree.fromstring(text.encode("utf-8") if "encoding" not in text[:200] else text.encode(encoding))
    except ElementTree.ParseError:
        return None
    spaces: dict[str, str] = {}
    for space in sorted({_space(element.tag) for element in root.iter()} - {""}):
        spaces[space] = "" if not spaces else f"n{len(spaces)}"
    if not len(root):
        return None
    [(tag, _)] = Counter(child.tag for child in root).most_common(1)
    named: Callable[[str], str] = lambda full: _named(full, spaces)  # noqa: E731
    records = [dict(_xml_leaves(child, "", named)) for child in root if child.tag == tag][:MOST_RECORDS]
    told = ", ".join(f"{json.dumps(prefix)}: {json.dumps(space)}" for space, prefix in spaces.items())
    form = f"{{kind: xml, records: [/{named(root.tag)}/{named(tag)}]{f', namespaces: {{{told}}}' if told else ''}}}"
    return _flat(path, records, form)


def _space(tag: str) -> str:
    return tag[1:].partition("}")[0] if tag.startswith("{") else ""


def _named(tag: str, spaces: dict[str, str]) -> str:
    prefix = spaces.get(_space(tag), "")
    return f"{prefix}:{tag.rpartition('}')[2]}" if prefix else tag.rpartition("}")[2]


def _xml_leaves(element: ElementTree.Element, at: str, named: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        yield f"{at}/@{named(name)}" if at else f"@{named(name)}", value.strip()
    for child in element:
        place = f"{at}/{named(child.tag)}" if at else named(child.tag)
        if len(child) == 0:
            yield place, (child.text or "").strip()
        yield from _xml_leaves(child, place, named)


def _excel(path: Path) -> Sample:
    sheet, rows = first_rows(path, MOST_RECORDS)
    widest = max((sum(map(bool, row)) for row in rows), default=0)
    if not widest:
        raise ExtractError("the first sheet is empty", where=str(path), mend="give a workbook with records")
    head = next(n for n, row in enumerate(rows) if sum(map(bool, row)) == widest)
    records = [dict(zip(rows[head], row, strict=False)) for row in rows[head + 1 :] if any(row)]
    names = [name for name in rows[head] if name]
    whole = [{name: record.get(name, "").strip() for name in names} for record in records]
    named = f", sheet: {json.dumps(sheet, ensure_ascii=False)}" if sheet else ""
    found = _flat(path, whole, f"{{kind: excel{named}}}")
    if found is None:
        raise ExtractError("the first sheet has a header alone", where=str(path), mend="give a workbook with records")
    return found
