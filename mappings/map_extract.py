"""Mapping one extract: from its landed bytes to one row per record in common terms, by one statement."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mappings.compile import CompiledFeed, compile_feed, install_macros
from mappings.declarations import Feed
from mappings.load import Agency
from mappings.manifest import ManifestEntry
from mappings.mend_text import mend_batch
from mappings.read_delimited import read_delimited, read_lines
from mappings.read_excel import read_excel
from mappings.read_fixed_width import read_fixed_width
from mappings.read_json import read_json, read_json_lines
from mappings.read_table import read_census, read_table
from mappings.read_xml import read_xml
from mappings.reading import Reading, Unreadable, schema_of
from standard.errors import ExtractError
from store.encryption_home import in_clear
from store.extracts import Batch, Extract, Severity
from store.home import connect, literal, sql_path, written_whole
from store.parquet import write_table

_READERS: dict[str, Callable[[Path, Feed], Reading]] = {
    "delimited": read_delimited, "table": read_table, "xml": read_xml, "json": read_json,
    "json_lines": read_json_lines, "excel": read_excel,
}  # fmt: skip
_UNREADABLE = pa.schema(
    [("_record", pa.int64()), ("_line", pa.int64()), ("code", pa.string()), ("raw_key", pa.string())]
)


def map_extract(
    extract: Extract, agency: Agency, feed: Feed, *, into: Path, manifest: ManifestEntry | None = None,
    memory_limit: str = "600MB",
) -> Batch:  # fmt: skip
    """Maps an extract into `into/mapped.parquet`, `unreadable.parquet` and, for a census, `census.parquet`.

    Args:
        extract: What arrived.
        agency: Whose declarations hold.
        feed: The declaration of the extract's feed.
        into: The batch's folder; nothing is written elsewhere.
        manifest: The manifest's line about this extract, where the feed has a manifest.
        memory_limit: What DuckDB may use; it spills below `into` beyond.

    Returns:
        The batch, with what was found about the file as a whole and the reason to hold it, if there is one.

    Raises:
        ExtractError: The extract cannot be mapped at all (a full disk, an SQL of the declaration that fails).
    """
    feed = feed.of_day(extract.as_of)
    work = _Work(extract, agency, feed, into)
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        with in_clear(extract.path) as path, work.connect(memory_limit) as connection:
            work = replace(work, extract=replace(extract, path=path))
            reading = work.map(connection)
            work.write_unreadable(connection, reading)
            work.write_census(connection)
            _judge_completeness(extract, feed, reading, manifest)
            _find_damage(connection, work.mapped, reading)
    except (duckdb.Error, OSError) as error:
        raise work.failed(error) from None
    finally:
        shutil.rmtree(into / ".spill", ignore_errors=True)
    declared = reading.declared if reading.counted is None else None  # else it was told of other feeds' records, too
    return Batch(extract, into, reading.records, declared, tuple(reading.findings), reading.hold)


@dataclass(frozen=True)
class _Work:
    """One extract on its way into one folder."""

    extract: Extract
    agency: Agency
    feed: Feed
    into: Path

    @property
    def mapped(self) -> Path:
        return self.into / "mapped.parquet"

    @cached_property
    def compiled(self) -> CompiledFeed:
        return compile_feed(self.feed, self.agency.crosswalks, as_of=self.extract.as_of)

    def connect(self, memory_limit: str) -> duckdb.DuckDBPyConnection:
        """A connection that reaches this folder alone, with plans that never gather a file in memory."""
        connection = connect(temp=self.into / ".spill", memory_limit=memory_limit)
        install_macros(connection, called_in=f"{self.compiled.select} {self.compiled.select_key}")
        # A crosswalk is the side of a join that is kept; the optimizer does not know that the file is the larger one.
        connection.execute("SET disabled_optimizers = 'build_side_probe_side,join_order'")
        connection.execute(f"SET allowed_directories = [{literal(f'{sql_path(self.into.resolve())}/')}]")
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        return connection

    def open(self) -> Reading:
        path, kind = self.extract.path, self.feed.format.kind
        if kind == "fixed_width":
            return read_fixed_width(path, self.feed, self.agency.layouts[self.feed.format.layout or ""])
        return _READERS[kind](path, self.feed)

    def map(self, connection: duckdb.DuckDBPyConnection) -> Reading:
        """Writes mapped.parquet. A file the parser gives up on is read again as mere lines, and held."""
        reading = self.open()
        broken: list[Exception] = []
        try:
            self._write(connection, self.compiled.select, reading, self.mapped, broken)
        except duckdb.Error as error:
            if broken and not isinstance(broken[0], pa.ArrowInvalid):
                raise broken[0] from None
            if not broken:
                raise self.failed(error) from None
            reading = read_lines(self.extract.path, self.feed)
            self._write(connection, self.compiled.select, reading, self.mapped, [])
        return reading

    def _write(
        self, connection: duckdb.DuckDBPyConnection, select: str, reading: Reading, path: Path,
        broken: list[Exception],
    ) -> None:  # fmt: skip
        batches = _prepared(reading, self.feed, broken)
        with written_whole(path.resolve()) as part:
            arriving = pa.RecordBatchReader.from_batches(schema_of(reading.columns), batches)
            connection.register("arriving", arriving)
            connection.execute(f"COPY ({select}) TO {literal(part)} (FORMAT parquet, COMPRESSION snappy)")
            connection.unregister("arriving")

    def write_unreadable(self, connection: duckdb.DuckDBPyConnection, reading: Reading) -> None:
        rows = sorted(reading.unreadable, key=lambda row: row.record)
        table = pa.table(
            [[row.record for row in rows], [row.line for row in rows], [row.code for row in rows],
             self._key_starts(connection, reading, rows) if rows else pa.nulls(0, pa.string())],
            schema=_UNREADABLE,
        )  # fmt: skip
        with written_whole(self.into / "unreadable.parquet") as part:
            write_table(pa.concat_tables([table, _unread_lines(reading)]), part)

    def _key_starts(self, connection: duckdb.DuckDBPyConnection, reading: Reading, rows: list[Unreadable]) -> pa.Array:
        """The keys of unreadable records as far as they can be read, converted as those of all others are."""
        texts = [{column: text.strip() for column, text in row.fields.items()} for row in rows]
        fields = [pa.array([text.get(column) for text in texts], pa.string()) for column in reading.columns]
        numbers = pa.array(range(len(rows)), pa.int64())
        nothing = [pa.nulls(len(rows), pa.int64()), pa.nulls(len(rows), pa.string())]
        connection.register(
            "arriving", pa.Table.from_arrays([numbers, *nothing, *fields], schema=schema_of(reading.columns))
        )
        found = connection.sql(f"SELECT _key_start FROM ({self.compiled.select_key}) ORDER BY _record")
        keys = found.to_arrow_table().column(0).combine_chunks()
        connection.unregister("arriving")
        return keys

    def write_census(self, connection: duckdb.DuckDBPyConnection) -> None:
        """The keys of a table's other rows: none where the table was read whole, no file where they are not known."""
        arrives = self.feed.arrives
        if arrives.table is None or (arrives.watermark is not None and not arrives.census):
            return
        path, census = self.into / "census.parquet", read_census(self.extract.path, self.feed)
        first = next((batch for batch in census.batches if batch.num_rows), None)
        if first is None:
            with written_whole(path) as part:
                write_table(pa.table({"_key": pa.nulls(0, pa.string())}), part)
            return
        census.batches = chain([first], census.batches)
        self._write(connection, f"SELECT _key FROM ({self.compiled.select_key})", census, path, [])

    def failed(self, error: duckdb.Error | OSError) -> ExtractError:
        """What is said of an error whose own words may hold a value: its kind, where, and how to mend it."""
        full = isinstance(error, OSError | duckdb.IOException | duckdb.OutOfMemoryException)
        return ExtractError(
            f"the extract cannot be mapped ({type(error).__name__})",
            where=f"{self.agency.folder / self.feed.feed}.yaml, extract {self.extract.extract_id}",
            mend="make room on the disk" if full else "mend the SQL of the declaration, e.g. TRY_CAST instead of CAST",
        )


def _prepared(reading: Reading, feed: Feed, broken: list[Exception]) -> Iterator[pa.RecordBatch]:
    """The batches with their text mended, counting rows of another sender; what breaks the reading is kept."""
    others = 0
    numbers = frozenset(column for each in feed.elements.values() if each.identifier for column in each.sent)
    try:
        for batch in reading.batches:
            if feed.sender is not None:
                senders = pc.utf8_trim_whitespace(batch.column(feed.sender.column))
                others += pc.sum(pc.not_equal(pc.fill_null(senders, ""), feed.sender.must_be)).as_py() or 0
            yield mend_batch(batch, numbers)
    except Exception as error:
        broken.append(error)
        raise
    if others and feed.sender is not None:
        detail = f"{feed.sender.column} is not {feed.sender.must_be} in all rows"
        reading.hold_for("wrong_sender", "wrong_sender", detail, others)


def _unread_lines(reading: Reading) -> pa.Table:
    count, first = reading.lines_unread, reading.records - reading.lines_unread + 1
    records, lines = np.arange(first, first + count), np.arange(count) + reading.first_line_unread
    codes = pa.repeat(pa.scalar("not_this_feed"), count)
    return pa.Table.from_arrays([records, lines, codes, pa.nulls(count, pa.string())], schema=_UNREADABLE)


def _judge_completeness(extract: Extract, feed: Feed, reading: Reading, manifest: ManifestEntry | None) -> None:
    """Holds what a trailer or a manifest shows not to be whole, and a file without records where none was declared."""
    counted = reading.records if reading.counted is None else reading.counted
    if reading.declared is not None and reading.declared != counted:
        detail = f"the trailer declares {reading.declared} records, the file has {counted}"
        reading.hold_for("truncated", "trailer_disagrees", detail)
    if feed.manifest is not None:
        _judge_by_manifest(extract, reading, manifest)
    if feed.format.kind != "table" and counted == 0 and reading.declared != 0 and not feed.format.may_be_empty:
        reading.hold_for("empty", "no_records", "the file has no records")


def _judge_by_manifest(extract: Extract, reading: Reading, manifest: ManifestEntry | None) -> None:
    if manifest is None:
        reading.hold_for("unlisted", "unlisted", "no manifest lists this file")
        return
    reading.declared = manifest.rows
    if manifest.rows != reading.records:
        detail = f"the manifest declares {manifest.rows} records, the file has {reading.records}"
        reading.hold_for("truncated", "manifest_disagrees", detail)
    elif manifest.sha256 != extract.sha256.lower():
        reading.hold_for("truncated", "manifest_disagrees", "the manifest declares another content (SHA-256)")


def _find_damage(connection: duckdb.DuckDBPyConnection, mapped: Path, reading: Reading) -> None:
    """Findings about the text of the file as a whole, with the number of rows."""
    counts = ", ".join(
        f"count(*) FILTER (contains(_problems, ':{code}'))" for code in ("replaced_bytes", "repaired_text")
    )
    found = connection.execute(f"SELECT {counts} FROM read_parquet({literal(mapped.resolve())})").fetchone()
    replaced, repaired = found or (0, 0)
    if replaced:
        reading.find(
            "replaced_bytes", Severity.WARNING, "bytes that mean nothing in the encoding became U+FFFD", replaced
        )
    if repaired:
        reading.find("repaired_text", Severity.NOTE, "doubly encoded text was put right", repaired)
    if reading.unreadable or reading.lines_unread:
        count = len(reading.unreadable) + reading.lines_unread
        reading.find("unreadable_records", Severity.WARNING, "records that could not be split into their fields", count)
