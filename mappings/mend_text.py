"""Text as it was meant: edges trimmed, invisible characters out, doubly encoded UTF-8 repaired, lost ones marked."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

_REPLACEMENT = "\ufffd".encode()
INVISIBLE = "invisible"
"""The mark of values from which characters without width were taken, or of numbers whose signs only looked plain."""
# The byte order mark stands within a file where files were put one behind the other; the others come from web pages,
# those that turn the direction of writing also from address books.
_WITHOUT_WIDTH = "\u200b\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_SOFT_HYPHEN = "\u00ad"
# In a number: digits of full width and of Arabic, and the dashes and the minus that a word processor puts for a hyphen.
_PLAIN = str.maketrans(
    "".join(chr(zero + digit) for zero in (0xFF10, 0x0660, 0x06F0) for digit in range(10))
    + "\u2010\u2011\u2012\u2013\u2014\u2212\uff0d",
    "0123456789" * 3 + "-" * 7,
)
# What the bytes 80 to BF of UTF-8 turn into where they are read as Windows 1252 (five of them stay controls).
_FOLLOWING = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
_DOUBLED = f"[\u00c2-\u00df][{_FOLLOWING}]|[\u00e0-\u00ef][{_FOLLOWING}]{{2}}|[\u00f0-\u00f4][{_FOLLOWING}]{{3}}"


def mend_text(values: pa.Array, *, numbers: bool = False) -> tuple[pa.Array, dict[str, pa.Array]]:
    """The values of one column mended, and problem code -> which rows have it.

    Args:
        values: Text, NULL where nothing came.
        numbers: Whether they are identifiers: signs that only look like those of a number then become them.
    """
    data = _bytes_of(values)
    if data.isascii():
        return pc.ascii_trim_whitespace(values), {}
    marks: dict[str, pa.Array] = {}
    values, invisible = _without(values, data, _WITHOUT_WIDTH)
    values = pc.utf8_trim_whitespace(values)
    doubled = pc.fill_null(pc.match_substring_regex(values, _DOUBLED), False)
    if pc.any(doubled).as_py():
        values, repaired = _replaced(values, doubled, undouble)
        marks["repaired_text"] = repaired
    # Only now: doubly encoded text is made of soft hyphens, too.
    values, hyphens = _without(values, data, _SOFT_HYPHEN)
    marks[INVISIBLE] = pc.or_(invisible, hyphens)
    if numbers:
        values, plain = _replaced(values, pc.invert(pc.string_is_ascii(values)), lambda text: text.translate(_PLAIN))
        marks[INVISIBLE] = pc.or_(marks[INVISIBLE], plain)
    if _REPLACEMENT in data:
        marks["replaced_bytes"] = pc.fill_null(pc.match_substring(values, "\ufffd"), False)
    return values, {code: rows for code, rows in marks.items() if pc.any(rows).as_py()}


def _without(values: pa.Array, data: bytes, characters: str) -> tuple[pa.Array, pa.Array]:
    """The values without some characters, and which had one; `data` holds all bytes of the values as they came."""
    if not any(character.encode() in data for character in characters):
        return values, pa.array([False] * len(values))
    pattern = f"[{characters}]"
    found = pc.fill_null(pc.match_substring_regex(values, pattern), False)
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(values, pattern, "")), found


def _bytes_of(values: pa.Array) -> bytes:
    """All characters of an array in one piece (of its whole buffer, should the array be a part of it)."""
    buffer = values.buffers()[2]
    return buffer.to_pybytes() if buffer is not None else b""


def _replaced(
    values: pa.Array, chosen: pa.Array, mend: Callable[[str], str | None]
) -> tuple[pa.Array, pa.Array]:  # fmt: skip
    """The values with some of them mended, and which these are; what is as it was, or cannot be mended, stays."""
    damaged = pc.unique(values.filter(chosen)).drop_null().to_pylist()
    meant = {value: text for value in damaged if (text := mend(value)) not in (None, value)}
    if not meant:
        return values, pa.array([False] * len(values))
    place = pc.index_in(values, value_set=pa.array(list(meant), pa.string()))
    texts = pc.take(pa.array(list(meant.values()), pa.string()), place)
    return pc.coalesce(texts, values), pc.is_valid(place)


def undouble(value: str) -> str | None:
    """The text whose UTF-8 bytes were taken for Windows 1252 ("JosÃ©"); None where that cannot be proved."""
    try:
        meant = b"".join(_byte_of(character) for character in value).decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None
    return None if meant == value else meant


def _byte_of(character: str) -> bytes:
    return character.encode("latin-1" if "\u0080" <= character <= "\u009f" else "cp1252")


def mend_batch(batch: pa.RecordBatch, numbers: frozenset[str] = frozenset()) -> pa.RecordBatch:
    """A batch of records as sent with its text mended and `_marks` filled (`|column:code|...`, NULL for none).

    Args:
        batch: The records, with the columns of `schema_of`.
        numbers: The columns that hold identifiers.
    """
    arrays = {name: batch.column(name) for name in batch.schema.names}
    marks: list[pa.Array] = []
    for name in batch.schema.names[3:]:
        arrays[name], found = mend_text(arrays[name], numbers=name in numbers)
        marks += [pc.if_else(rows, f"|{name}:{code}|", "") for code, rows in found.items()]
    if marks:
        joined = pc.binary_join_element_wise(*marks, "")
        arrays["_marks"] = pc.if_else(pc.equal(joined, ""), None, joined)
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=batch.schema)
