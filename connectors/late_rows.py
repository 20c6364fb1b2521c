"""Rows that came into a table with an old watermark: the census shows their keys, no watermark ever would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from store.home import connect, literal, quoted
from store.parquet import read_schema


def has_columns(landed: Path, names: Sequence[str]) -> bool:
    """Whether a landed table is still there and holds these columns."""
    return landed.is_file() and set(names) <= set(read_schema(landed).names)


def new_keys(census: Path, before: Path, key: Sequence[str], *, at_most: int) -> list[tuple[str, ...]]:
    """The keys of a census that the reading before did not have.

    Args:
        census: Parquet with the key columns as text.
        before: The file that landed from the reading before, with all keys that the table had then.
        key: Names of the key columns.
        at_most: How many are given.
    """
    columns = ", ".join(quoted(name) for name in key)
    same = " AND ".join(f"rtrim(c.{quoted(name)}) = rtrim(b.{quoted(name)})" for name in key)
    whole = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    query = (
        f"SELECT {columns} FROM read_parquet({literal(census)}) c"
        f" ANTI JOIN read_parquet({literal(before)}) b ON {same} WHERE {whole} ORDER BY {columns} LIMIT {at_most}"
    )
    with connect(temp=census.parent / ".spill") as con:
        return [tuple(str(part) for part in row) for row in con.execute(query).fetchall()]


def has_keys(
    columns: Mapping[str, sa.Column[object]], keys: Sequence[tuple[str, ...]], dialect: str
) -> list[sa.ColumnElement[bool]]:
    """Conditions each of which chooses the row of one key; a row with a null in its key fits none, and none is null."""
    return [_has_key(columns, key, dialect) for key in keys]


def _has_key(columns: Mapping[str, sa.Column[object]], key: tuple[str, ...], dialect: str) -> sa.ColumnElement[bool]:
    pairs = zip(columns.values(), key, strict=True)
    return sa.and_(*(sa.and_(column.is_not(None), column == _typed(text, column, dialect)) for column, text in pairs))


def _typed(text: str, column: sa.Column[object], dialect: str) -> sa.ColumnElement[Any]:
    """A key's text as the column's own type, so that an index serves; SQLite compares text as the column does."""
    value = sa.literal(text, sa.Text())
    return value if dialect == "sqlite" else sa.cast(value, column.type)
