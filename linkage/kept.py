"""The index in a folder: segments that are written once, and `index.json`, written last, which says what holds.

Every file has its checksum there, which is looked at before the file is used: a byte that a disk flipped would give
other persons without a word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage.blocking import BlockIndex, KeySegment, Rules
from linkage.index import BY_SLOT, Edges, EdgeSegment, LinkIndex, Mentions
from store.home import written_whole

FORMAT = 2
STATE = "index.json"


def save(index: LinkIndex, folder: Path) -> None:
    """Writes an index so that a crash leaves the one before or none; segments that stand there are not written again.

    Args:
        index: What to keep; its `stamp` tells what it fits.
        folder: Made if it is not there (0700; files 0600).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    index.settle()
    count = len(index.mentions)
    last = {name: _written(index, getattr(index, name)[:count], folder) for name in BY_SLOT}
    last |= {name: _written(index, getattr(index, name), folder) for name in ("former", "judgements")}
    state = {
        "format": FORMAT,
        "stamp": index.stamp,
        "dead": index.blocks.dead,
        "mentions": [_file_of(index, table, folder) for table in index.mentions.segments],
        "keys": [[_file_of(index, s.keys, folder), _file_of(index, s.slots, folder)] for s in index.blocks.segments],
        "edges": [[_file_of(index, s.rows, folder), _written(index, s.alive, folder)] for s in index.edges.segments],
        "last": last,
    }
    used = json.dumps(state)
    index.files = {number: file for number, file in index.files.items() if file[1] in used}
    index.digests = {name: digest for name, digest in index.digests.items() if name in used}
    state["sha256"] = index.digests
    text = json.dumps(state | {"sha256_of_this": _digest_of(state)}, indent=1)
    with written_whole(folder / STATE) as part:
        part.write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        if path.name not in text and path.name != STATE:
            path.unlink()


def open_index(folder: Path, stamp: dict[str, Any], rules: Rules) -> LinkIndex | None:
    """The index in a folder, or None where there is none, or none that fits: it is then to be made anew.

    Args:
        folder: Where `save` wrote it.
        stamp: What it must fit.
        rules: Of blocking.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if state.pop("sha256_of_this") != _digest_of(state) or (state["format"], state["stamp"]) != (FORMAT, stamp):
            return None
        _require_unchanged(folder, state["sha256"])
        index = LinkIndex(stamp=stamp)
        index.mentions = Mentions.of([_table(folder / name) for name in state["mentions"]])
        keys = [KeySegment(_array(folder / keys), _array(folder / slots)) for keys, slots in state["keys"]]
        index.blocks = BlockIndex(rules, keys, state["dead"])
        index.edges = Edges([EdgeSegment.of(_table(folder / rows)) for rows, _ in state["edges"]])
        for segment, (_, alive) in zip(index.edges.segments, state["edges"], strict=True):
            segment.alive = np.load(folder / alive)
        for name in BY_SLOT:
            setattr(index, name, np.load(folder / state["last"][name]))
        for name in ("former", "judgements"):
            setattr(index, name, _table(folder / state["last"][name]))
        _require_whole(index)
    # What a crash or a broken disk left is made anew from the people.
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, SyntaxError, BadZipFile, TokenError,
            pa.ArrowException):  # fmt: skip
        return None
    _remember_files(index, state)
    index.sort()
    return index


def _digest_of(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _require_unchanged(folder: Path, digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        if _digest(folder / name) != digest:
            raise ValueError("a file of the index is not what was written")


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _require_whole(index: LinkIndex) -> None:
    by_slot = [len(getattr(index, name)) for name in BY_SLOT]
    if set(by_slot) - {len(index.mentions)}:
        raise ValueError("a column of the index is not as long as its mentions")
    if any(len(keys.keys) != len(keys.slots) for keys in index.blocks.segments):
        raise ValueError("block keys and their slots are not as many")
    if any(len(edges.alive) != edges.rows.num_rows for edges in index.edges.segments):
        raise ValueError("edges and their marks are not as many")


def _table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _array(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    return array


def _written(index: LinkIndex, what: pa.Table | npt.NDArray[Any], folder: Path) -> str:
    """Writes a table or an array to a file of a new name and notes its checksum."""
    path = folder / f"{uuid4().hex}.{'arrow' if isinstance(what, pa.Table) else 'npy'}"
    with written_whole(path) as part, part.open("wb") as file:
        if isinstance(what, pa.Table):
            with pa.ipc.new_file(file, what.schema) as sink:
                sink.write_table(what)
        else:
            np.save(file, what)
    index.digests[path.name] = _digest(path)
    return path.name


def _file_of(index: LinkIndex, what: pa.Table | npt.NDArray[Any], folder: Path) -> str:
    """The file of a segment, which is written if it is not there yet."""
    name = index.files.get(id(what), (None, ""))[1]
    if not name or not (folder / name).exists():
        name = _written(index, what, folder)
        index.files[id(what)] = (what, name)
    return name


def _remember_files(index: LinkIndex, state: Mapping[str, Any]) -> None:
    """Notes the names under which segments were read, and their checksums."""
    index.digests = dict(state["sha256"])
    for table, name in zip(index.mentions.segments, state["mentions"], strict=True):
        index.files[id(table)] = (table, name)
    for segment, names in zip(index.blocks.segments, state["keys"], strict=True):
        index.files |= {id(a): (a, name) for a, name in zip((segment.keys, segment.slots), names, strict=True)}
    for edges, (name, _) in zip(index.edges.segments, state["edges"], strict=True):
        index.files[id(edges.rows)] = (edges.rows, name)
