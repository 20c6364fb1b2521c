"""Database values as exact text, and the Parquet file of text columns in which a table lands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from standard.errors import SourceError
from store.parts import disk_trouble_told

PRESENT_ONLY = "_present_only"
_GROUP_BYTES = 32 << 20


def as_sent(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """A column as the database itself writes it as text, where it does so exactly; else as the driver gives it.

    CHAR keeps its trailing blanks, which a cast of PostgreSQL would drop.
    """
    if dialect == "postgresql":
        return _as_sent_by_postgresql(column)
    if dialect == "sqlite":
        raw = sa.type_coerce(column, sa.Text())  # as stored: SQLite's types are those of its values
        if isinstance(column.type, sa.Boolean):
            return sa.case((raw == sa.literal_column("1"), "true"), (raw == sa.literal_column("0"), "false"), else_=raw)
        return raw
    return column


def _as_sent_by_postgresql(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    kind = column.type
    if isinstance(kind, sa.String) and not isinstance(kind, sa.Enum):
        return sa.type_coerce(column, sa.Text())
    if isinstance(kind, sa.Float):
        return sa.cast(sa.cast(sa.cast(column, sa.Text()), sa.Numeric()), sa.Text())  # without an exponent
    return sa.cast(column, sa.Text())


class TextWriter:
    """Writes rows to Parquet, every column as text, a group of rows at a time."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        if PRESENT_ONLY in columns:
            raise SourceError(
                f"a column is named {PRESENT_ONLY}, which the exchange uses itself",
                mend="give it another name in a view",
            )
        self._path = path
        self._schema = pa.schema([*((name, pa.string()) for name in columns), (PRESENT_ONLY, pa.bool_())])
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def __enter__(self) -> TextWriter:
        with disk_trouble_told(self._path):
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with disk_trouble_told(self._path):
            if kind is None:
                self._flush()
            self._writer.close()

    def write(self, columns: list[str], rows: Sequence[Sequence[object]], *, present_only: bool) -> None:
        """Takes rows of the columns named; the others are empty in them."""
        values = dict(zip(columns, zip(*rows, strict=True), strict=True))
        empty = pa.nulls(len(rows), pa.string())
        arrays = [_texts(values[name]) if name in values else empty for name in self._schema.names[:-1]]
        marks = pa.repeat(pa.scalar(present_only), len(rows))
        self._waiting.append(pa.record_batch([*arrays, marks], schema=self._schema))
        self._bytes += self._waiting[-1].nbytes
        if self._bytes >= _GROUP_BYTES:
            with disk_trouble_told(self._path):
                self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting, schema=self._schema))
        self._waiting, self._bytes = [], 0


def _texts(values: Sequence[object]) -> pa.Array:
    """Values of a column as text: as they are where the database gave text, else each by its type."""
    try:
        return pa.array(values, type=pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([text_of(value) for value in values], type=pa.string())


def text_of(value: object) -> str | None:
    """One value as text: ISO dates, `YYYY-MM-DD HH:MM:SS[.ffffff]`, plain numbers, true and false."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(sep=" ")
        case date():
            return value.isoformat()
        case float():
            return format(Decimal(repr(value)), "f").removesuffix(".0")
        case Decimal():
            return format(value, "f")
        case bytes() | memoryview():
            return "\\x" + bytes(value).hex()
        case _:
            return str(value)
