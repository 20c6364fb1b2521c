"""How the bytes of a feed are laid out: one declaration for delimited, fixed-width, XML, JSON and Excel files."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from standard.declarations import Declared

Names = tuple[str, ...]
DELIMITED_AS = "\x1f"
"""What stands for a delimiter that is no single ASCII character while such a file is parsed."""
_ONLY: dict[str, frozenset[str]] = {
    "layout": frozenset({"fixed_width"}), "trimmed": frozenset({"fixed_width"}), "carries": frozenset({"fixed_width"}),
    "records": frozenset({"fixed_width", "xml", "json", "json_lines"}), "namespaces": frozenset({"xml"}),
    "sheet": frozenset({"excel"}), "line_end": frozenset({"delimited"}), "trailing": frozenset({"delimited"}),
    "trailer": frozenset({"delimited", "fixed_width"}),
}  # fmt: skip
"""Setting -> the kinds of file it belongs to."""


def _known_encoding(name: str) -> str:
    try:
        found = codecs.lookup(name)
        # Not every codec is of text, nor can each go on after a byte that means nothing.
        found.incrementaldecoder(errors="replace").decode("ID".encode(name) + b"\xff" * 4, True)
    except (LookupError, UnicodeError):
        raise ValueError(f"there is no encoding {name!r}; write it like utf-8, cp1252, utf-16") from None
    return found.name


class Trailer(Declared):
    """The last line of a file, which tells how many records went before it."""

    prefix: str
    count_field: int = Field(default=2, ge=1)


class Format(Declared):
    """How the bytes of a feed are laid out."""

    kind: Literal["delimited", "fixed_width", "xml", "json", "json_lines", "excel", "table"]
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    delimiter: str = ","
    line_end: str | None = None
    """The character that ends a record, where it is no line break."""
    quote: str | None = '"'
    escape: str | None = None
    header: bool = True
    columns: Names = ()
    trailing: bool = False
    """Every record of a delimited file ends with a delimiter, behind which nothing stands."""
    aliases: dict[str, Names] = Field(default_factory=dict)
    null_values: Names = ()
    """Texts that stand for nothing in every column."""
    trailer: Trailer | None = None
    layout: str | None = None
    trimmed: bool = False
    """The sender of a fixed-width file cuts blanks at the end of a record: only required fields must be whole."""
    records: Names = ()
    """Which records of the file are the feed's: record types of the layout; for XML and JSON where they stand."""
    carries: dict[str, Names] = Field(default_factory=dict)
    """Record type -> fields that each record takes from the last record of that type before it."""
    namespaces: dict[str, str] = Field(default_factory=dict)
    """Prefix -> XML namespace; the empty prefix is for names without one."""
    may_be_empty: bool = False
    """A file without a record of this feed is no failure: there was nothing to tell."""
    sheet: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Format:
        for setting, kinds in _ONLY.items():
            if setting in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{setting} belongs to kind {', '.join(sorted(kinds))}")
        self._check_characters()
        if self.kind in ("delimited", "excel") and (not self.header) != bool(self.columns):
            raise ValueError("columns are listed for a file without a header, and only then")
        if self.kind == "fixed_width" and self.layout is None:
            raise ValueError("a fixed-width file names its layout")
        if self.kind in ("xml", "json") and not self.records:
            raise ValueError("records: says where the records stand, e.g. [/InterchangeStudent/Student]")
        if self.carries and not self.records:
            raise ValueError("carries needs records: the record types that are the feed's own")
        return self

    def _check_characters(self) -> None:
        for what in ("quote", "escape"):
            value = getattr(self, what)
            if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n"):
                raise ValueError(f"{what} is one ASCII character")
        for what in ("delimiter", "line_end"):
            value = getattr(self, what)
            if value is not None and (len(value) != 1 or value in "\r\n\0"):
                raise ValueError(f"{what} is one character, and no line break")
        if self.delimiter in (self.quote, self.escape, self.line_end):
            raise ValueError("the delimiter is neither the quote nor the escape nor the end of a record")
        if self.is_translated and self.trailer is not None:
            raise ValueError("a file with its own line_end, or a delimiter that is not ASCII, has no trailer")

    @property
    def is_translated(self) -> bool:
        """Whether the file's delimiter or line end must be put in the place of others before it can be parsed."""
        return self.line_end is not None or not self.delimiter.isascii()

    @property
    def columns_are_paths(self) -> bool:
        """Whether a column is named by where it stands in its record, and not by a header or a layout."""
        return self.kind in ("xml", "json", "json_lines")
