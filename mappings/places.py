"""Where in a declaration something is wrong: the file, and the line on which the key stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from standard.declarations import read_document
from standard.errors import DeclarationError


@dataclass(frozen=True)
class Place:
    """A YAML declaration whose lines errors can point to."""

    path: Path

    def wrong(self, what: str, *keys: str | int, mend: str) -> DeclarationError:
        """The error that something is wrong at a key (or at the nearest key above it that is there)."""
        document, _ = read_document(self.path)
        return DeclarationError(what, where=f"{self.path}, line {document.line_of(keys)}", mend=mend)
