"""The bytes of a file as UTF-8 in bounded pieces: decoded as declared, what cannot be decoded marked and counted."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

REPLACEMENT = "\ufffd"
_PIECE = 1 << 20
_HEAD = 1 << 18
_TAIL = 1 << 16
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_NOT_WINDOWS = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))  # what Windows 1252 has no character for
_WIDE = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}


class Rewrite(Protocol):
    """Gives a piece of text as another; `final` where no more comes."""

    def __call__(self, text: str, *, final: bool) -> str: ...


class TextStream:
    """A file as a stream of UTF-8 bytes that a reader can `read`; bytes that mean nothing and NULs become U+FFFD.

    Args:
        path: The file.
        encoding: The declared encoding; a byte order mark that proves another goes before it.
        stop: The byte at which to end (where a trailer begins); None reads all.
        unwanted: Characters that no value may hold and that become U+FFFD as well.
        rewrite: What each piece of text is given through; it may keep some of it for the next piece.

    Attributes:
        encoding: The encoding read.
        declared: The encoding declared.
        nuls: Unwanted characters met so far.
        tail: The last characters read.
    """

    closed = False

    def __init__(
        self, path: Path, encoding: str, *, stop: int | None = None, unwanted: str = "\0",
        rewrite: Rewrite | None = None,
    ) -> None:  # fmt: skip
        self.declared = codecs.lookup(encoding).name
        self._file = path.open("rb")
        bom, self.encoding = _marked(self._file.read(4), self.declared)
        if not bom and self.encoding == "utf-8" and _is_windows_text(path):
            self.encoding = "cp1252"
        self._file.seek(bom)
        self._left = (path.stat().st_size if stop is None else stop) - bom
        self._decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        self._plain = self.encoding not in _WIDE and _is_ascii_superset(self.encoding)
        self._kept = b""
        self._unwanted = unwanted
        self._rewrite = rewrite
        self.nuls = 0
        self.tail = ""

    @property
    def ends_open(self) -> bool:
        """Whether the last character is no line end; known once all is read."""
        return bool(self.tail) and self.tail[-1] not in "\r\n"

    def head(self) -> str:
        """The first quarter of a million characters or fewer, which stay to be read."""
        while len(self._kept) < _HEAD and (piece := self._next(_PIECE)):
            self._kept += piece
        return self._kept[:_HEAD].decode("utf-8", errors="ignore")

    def skip(self, text: str) -> None:
        """Leaves out some text at the beginning of `head`."""
        self._kept = self._kept[len(text.encode("utf-8")) :]

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        if not self._kept:
            self._kept = self._next(max(size, 1))
        piece, self._kept = self._kept[:size], self._kept[size:]
        return piece

    def skim(self, size: int) -> bytes:
        """As `read`, of which nothing but lines and blanks is asked: much faster where NULs fill a gigabyte."""
        if self._kept or not self._plain or self._rewrite:
            return self.read(size)
        raw = self._file.read(max(min(size, self._left), 0))
        self._left = self._left - len(raw) if raw else 0
        return raw if self._left > 0 else raw.rstrip(b"\x1a")

    def _next(self, size: int) -> bytes:
        """The next piece as UTF-8; empty only at the end."""
        while self._left > 0:
            raw = self._file.read(min(size, self._left))
            self._left = self._left - len(raw) if raw else 0
            piece = self._decoded(raw, final=self._left <= 0)
            if piece:
                return piece
        return b""

    def _decoded(self, raw: bytes, *, final: bool) -> bytes:
        clean = raw.isascii() and not any(mark.encode() in raw for mark in self._unwanted)
        plain = self._plain and clean and not self._rewrite and not (final and raw.endswith(b"\x1a"))
        if plain and not self._decoder.getstate()[0]:
            self.tail = (self.tail + raw[-_TAIL:].decode("ascii"))[-_TAIL:]
            return raw
        text = self._decoder.decode(raw, final)
        for mark in self._unwanted:
            self.nuls += text.count(mark)
            text = text.replace(mark, REPLACEMENT)
        if self._rewrite is not None:
            text = self._rewrite(text, final=final)
        if final:
            text = text.rstrip("\x1a")  # the end-of-file mark of old systems
        self.tail = (self.tail + text[-_TAIL:])[-_TAIL:]
        return text.encode("utf-8", errors="replace")

    def close(self) -> None:
        self._file.close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _marked(start: bytes, declared: str) -> tuple[int, str]:
    """Length of a byte order mark and the encoding it proves, or 0 and the declared one."""
    for mark, encoding in _BOMS:
        if start.startswith(mark):
            return len(mark), encoding
    return 0, {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(declared, declared)


def _is_windows_text(path: Path) -> bool:
    """Whether a file that should be UTF-8 is proved to be Windows 1252: it has bytes beyond ASCII, all of them letters
    there, and none that together would be a character in UTF-8."""
    decoder, found = codecs.getincrementaldecoder("utf-8")(errors="ignore"), False
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            if piece.isascii() and not decoder.getstate()[0]:
                continue
            found = True
            if not decoder.decode(piece).isascii() or piece.translate(None, _NOT_WINDOWS) != piece:
                return False
    return found


def _is_ascii_superset(encoding: str) -> bool:
    letters = bytes(range(32, 127))
    try:
        return letters.decode(encoding) == letters.decode("ascii")
    except UnicodeDecodeError:
        return False


def last_line(path: Path, encoding: str) -> tuple[int, str]:
    """The last line that is not blank: the byte at which it begins, and its text."""
    with path.open("rb") as file:
        _, encoding = _marked(file.read(4), codecs.lookup(encoding).name)
        width = _WIDE.get(encoding, 1)
        start = max(0, path.stat().st_size - _TAIL) // width * width
        file.seek(start)
        tail = file.read()
    # One character a byte, so that positions are bytes whatever cannot be decoded.
    text = tail.decode("latin-1") if width == 1 else tail.decode(encoding, errors="replace")
    text = text.rstrip("\r\n\x1a \0")
    begin = max(text.rfind("\n"), text.rfind("\r")) + 1
    line = text[begin:]
    if width == 1:
        line = line.encode("latin-1").decode(encoding, errors="replace")
    return start + begin * width, line.removeprefix("\ufeff")


def split_record(text: str, *, delimiter: str, quote: str | None, escape: str | None = None) -> list[str]:
    """The fields of one record's text; a quote that is never closed ends with the text."""
    try:
        return next(records_of(io.StringIO(text, newline=""), delimiter=delimiter, quote=quote, escape=escape), [])
    except csv.Error:  # a field longer than any real one
        return text.split(delimiter)


def records_of(
    lines: Iterable[str], *, delimiter: str, quote: str | None, escape: str | None = None
) -> Iterator[list[str]]:
    """The records of some text, split as the reader of the whole file splits them."""
    if quote is None:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, escapechar=escape)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, escapechar=escape)
