"""Reading the landed rows of a database table: rows given whole, and the census of the keys of all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mappings.columns import match_columns
from mappings.declarations import Feed
from mappings.reading import Reading, schema_of

PRESENT_ONLY = "_present_only"
_ROWS = 1 << 14


def read_table(path: Path, feed: Feed) -> Reading:
    """Opens the rows given whole; `_line` is NULL, `_record` counts them in the order in which they were read."""
    reading, names = _matched(path, feed)
    reading.batches = _batches(path, names, reading, present_only=False)
    return reading


def read_census(path: Path, feed: Feed) -> Reading:
    """Opens the rows of which only the key is given."""
    reading, names = _matched(path, feed)
    reading.batches = _batches(path, names, reading, present_only=True)
    return reading


def _matched(path: Path, feed: Feed) -> tuple[Reading, dict[str, str]]:
    present = [name for name in pq.read_schema(path).names if name != PRESENT_ONLY]
    matched = match_columns(feed, present)
    reading = Reading(feed.columns, iter(()), findings=list(matched.findings))
    if matched.hold:
        reading.hold = "layout"
    return reading, matched.names


def _batches(path: Path, names: dict[str, str], reading: Reading, *, present_only: bool) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        marked = PRESENT_ONLY in file.schema_arrow.names
        wanted = [*names.values(), *([PRESENT_ONLY] if marked else [])]
        for batch in file.iter_batches(batch_size=_ROWS, columns=wanted):
            rows = batch.filter(pc.equal(batch.column(PRESENT_ONLY), present_only)) if marked else batch
            if not marked and present_only:
                return
            yield _numbered(rows, names, reading)


def _numbered(rows: pa.RecordBatch, names: dict[str, str], reading: Reading) -> pa.RecordBatch:
    count, first = rows.num_rows, reading.records + 1
    reading.records += count
    columns = [
        rows.column(names[column]).cast(pa.string()) if column in names else pa.nulls(count, pa.string())
        for column in reading.columns
    ]
    fixed = [pa.array(np.arange(first, first + count)), pa.nulls(count, pa.int64()), pa.nulls(count, pa.string())]
    return pa.RecordBatch.from_arrays([*fixed, *columns], schema=schema_of(reading.columns))
