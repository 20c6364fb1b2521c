"""Parquet files of a home for Arrow: read and written whether the home rests encrypted or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from store.encryption_home import open_to_read, open_to_write

COMPACT = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 4000"
"""How DuckDB writes what rests. No dictionary is begun where nearly every value is another: nobody gains by it."""


def read_schema(path: Path) -> pa.Schema:
    """The columns of a file."""
    with open_to_read(path) as file:
        return pq.read_schema(file)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole file, or columns of it, in memory."""
    with open_to_read(path) as file:
        return pq.read_table(file, columns=None if columns is None else list(columns))


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A file to be read batch by batch."""
    with open_to_read(path) as file, pq.ParquetFile(file) as rows:
        yield rows


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a table to a file of mode 0600."""
    with open_to_write(path) as file:
        pq.write_table(table, file)
