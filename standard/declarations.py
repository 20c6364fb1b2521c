"""YAML read as text by one loader: unknown and repeated keys are refused, and every refusal names file and line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from standard.errors import DeclarationError


class Declared(BaseModel):
    """What is read from a declaration: frozen, and every key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    described_in: ClassVar[str] = "docs/design.md"
    """Where a person reads what the keys mean."""


D = TypeVar("D", bound=Declared)

if TYPE_CHECKING:
    _Loader = yaml.SafeLoader
else:
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where PyYAML was built with it


class _TextLoader(_Loader):
    """Every scalar stays the text that was written: 0123 is '0123', NO is 'NO', 1:30 is '1:30'."""


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


_NODES = 100_000
_DEPTH = 30
"""No declaration is larger or nested deeper; what aliases repeat counts each time."""


class Document:
    """The plain value of one YAML document and the line on which each of its keys stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[tuple[str | int, ...], int] = {}
        self._nodes = 0

    def build(self, node: yaml.Node, at: tuple[str | int, ...] = ()) -> Any:
        self.lines[at] = node.start_mark.line + 1
        self._nodes += 1
        if len(at) > _DEPTH or self._nodes > _NODES:
            raise _too_much(f"{self.path}, line {node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*at, n)) for n, item in enumerate(node.value)]
        return None if node.tag == "tag:yaml.org,2002:null" else node.value

    def _mapping(self, node: yaml.MappingNode, at: tuple[str | int, ...]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in value:
                raise DeclarationError(
                    f"the key {key!r} stands twice",
                    where=f"{self.path}, line {key_node.start_mark.line + 1}",
                    mend="keep one of the two",
                )
            value[key] = self.build(value_node, (*at, key))
            self.lines[(*at, key)] = key_node.start_mark.line + 1
        return value

    def line_of(self, place: tuple[str | int, ...]) -> int:
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_document(path: Path) -> tuple[Document, Any]:
    """A YAML document with the lines on which its keys stand, and its plain value."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_TextLoader)
    except OSError as error:
        raise DeclarationError(
            "the declaration cannot be read", where=str(path), mend="check that the file is there and readable"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise DeclarationError(
            f"this is not YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}", mend="mend the syntax"
        ) from error
    except RecursionError:
        raise _too_much(str(path)) from None
    document = Document(path)
    return document, {} if node is None else document.build(node)


def _too_much(where: str) -> DeclarationError:
    return DeclarationError(
        f"this is nested deeper than {_DEPTH} levels, or holds more than {_NODES:,} values",
        where=where,
        mend="write less; look for an alias (*name) that repeats itself",
    )


def read_yaml(path: Path) -> Any:
    """The plain value of a YAML file; scalars are text, empty is None, a repeated key is an error."""
    return read_document(path)[1]


def read_declaration(path: Path, model: type[D], **given: object) -> D:
    """Reads one declaration into its model.

    Args:
        path: The YAML file.
        model: What it declares.
        given: Values that come from elsewhere than the file (its folder's name).

    Raises:
        DeclarationError: Not YAML, an unknown or repeated key, or a value the model refuses; with file and line.
    """
    document, value = read_document(path)
    if not isinstance(value, dict):
        raise DeclarationError(
            "a declaration is a mapping of keys", where=f"{path}, line 1", mend="write it as key: value"
        )
    try:
        return model.model_validate({**value, **given})
    except ValidationError as error:
        place, kind = _told(error)
        raise DeclarationError(
            ": ".join(filter(None, [".".join(str(p) for p in place), kind])),
            where=f"{path}, line {document.line_of(place)}",
            mend=f"see {model.described_in}",
        ) from error


def _told(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """The place and the words of what is wrong; a key that is not known comes first, as it is often one that misses."""
    errors = error.errors(include_url=False, include_input=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    said = {"extra_forbidden": "this key is not known here", "missing": "this key is missing"}
    return tuple(first["loc"]), said.get(first["type"], first["msg"].removeprefix("Value error, "))
