"""Declarations are read as text, and what is wrong in one is named with its file and line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from standard.code_sets import code_set, code_set_names
from standard.declarations import Declared, read_declaration, read_yaml
from standard.errors import DeclarationError
from standard.schema import PROVENANCE, entities


class Thing(Declared):
    name: str
    parts: dict[str, str] | None = None


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "thing.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("written", ["0123", "NO", "1:30", "1e3", "2026-01-01", "yes", "0x1F"])
def test_a_scalar_stays_the_text_that_was_written(tmp_path: Path, written: str) -> None:
    assert read_yaml(_written(tmp_path, f"name: {written}\n")) == {"name": written}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name: a\nname: b\n", 2, "stands twice"),
        ("name: a\nparts:\n  x: 1\n  x: 2\n", 4, "stands twice"),
        ("name: a\n\nnmae: b\n", 3, "not known"),
        ("parts: {}\nnmae: b\n", 2, "nmae: this key is not known"),
        ("parts: {}\n", 1, "name: this key is missing"),
        ("name: a\nparts: [1]\n", 2, "dictionary"),
        ("name: [\n", 2, "not YAML"),
        ("- a\n", 1, "mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_declaration(_written(tmp_path, text), Thing)
    assert says in caught.value.what
    assert caught.value.where.endswith(f"thing.yaml, line {line}")


def test_every_entity_makes_a_parquet_schema_with_its_provenance() -> None:
    for entity in entities().values():
        names = entity.arrow_schema().names
        assert set(PROVENANCE) <= set(names)
        assert len(names) == len(set(names))


def test_every_event_names_columns_that_are_there() -> None:
    for entity in entities().values():
        if entity.event:
            assert {entity.event.date, entity.event.end or entity.event.date} <= set(entity.columns)


def test_every_code_has_a_meaning() -> None:
    for name in code_set_names():
        assert all(code and meaning for code, meaning in code_set(name).items())


@pytest.mark.parametrize(
    "written",
    [
        "name: " + "[" * 3000 + "]" * 3000,
        "a: &a {b: *a}",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in pairwise("abcdefg")),
    ],
    ids=["deep", "endless", "multiplied"],
)
def test_a_declaration_that_would_fill_the_memory_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(DeclarationError, match="nested deeper than 30 levels, or holds more than"):
        read_yaml(_written(tmp_path, written))
