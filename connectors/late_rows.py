"""Rows that came into a table with an old watermark: the census shows their keys, no watermark ever would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from store.home import connect, literal, quoted

_KEYS_AT_ONCE = 200


def new_keys(census: Path, before: Path, key: Sequence[str]) -> list[tuple[str, ...]]:
    """The keys of a census that the reading before did not have.

    Args:
        census: Parquet with the key columns as text.
        before: The file that landed from the reading before, with all keys that the table had then.
        key: Names of the key columns.
    """
    columns = ", ".join(quoted(name) for name in key)
    same = " AND ".join(f"rtrim(c.{quoted(name)}) = rtrim(b.{quoted(name)})" for name in key)
    whole = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    query = (
        f"SELECT {columns} FROM read_parquet({literal(census)}) c"
        f" ANTI JOIN read_parquet({literal(before)}) b ON {same} WHERE {whole} ORDER BY {columns}"
    )
    with connect(temp=census.parent / ".spill") as con:
        return [tuple(str(part) for part in row) for row in con.execute(query).fetchall()]


def of_keys(
    columns: Mapping[str, sa.Column[object]], keys: Sequence[tuple[str, ...]], dialect: str
) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions that together choose the rows of the keys, a limited number of keys in each."""
    for first in range(0, len(keys), _KEYS_AT_ONCE):
        yield sa.or_(*(_has_key(columns, key, dialect) for key in keys[first : first + _KEYS_AT_ONCE]))


def _has_key(columns: Mapping[str, sa.Column[object]], key: tuple[str, ...], dialect: str) -> sa.ColumnElement[bool]:
    pairs = zip(columns.values(), key, strict=True)
    return sa.and_(*(column == _typed(text, column, dialect) for column, text in pairs))


def _typed(text: str, column: sa.Column[object], dialect: str) -> sa.ColumnElement[Any]:
    """A key's text as the column's own type, so that an index serves; SQLite compares text as the column does."""
    value = sa.literal(text, sa.Text())
    return value if dialect == "sqlite" else sa.cast(value, column.type)
