"""The forms extracts are written in: quoted files, piped files, fixed width, databases and what changed in them."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

OFFLINE: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": "false"}
"""How DuckDB is opened: nothing is ever fetched from the network."""

_SQL = Path(__file__).parent / "sql"

Tables = dict[str, pa.Table]
Frames = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Arrival:
    """What one file or table of a delivery holds, and the accidents planted in it.

    Args:
        delivery: Number of the delivery.
        agency: Its agency.
        name: The file or table.
        rows: Records sent (for tables of later deliveries: rows inserted or updated).
        fate: What a right exchange does with the whole: loaded, duplicate or held.
        accidents: Kind of accident -> rows planted (ragged, orphan, exact_copy, unseen_code, delete_unknown_key,
            sealed, soft_delete, purged).
    """

    delivery: int
    agency: str
    name: str
    rows: int
    fate: str = "loaded"
    accidents: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The arrival for expected.json."""
        return asdict(self)


def lay_out(query: str, **frames: pd.DataFrame | pa.Table) -> pa.Table:
    """The rows of an SQL query over frames named in it, as text columns of an Arrow table in the query's order."""
    connection = _database().cursor()
    try:
        for name, frame in frames.items():
            table = pa.Table.from_pandas(frame, preserve_index=False) if isinstance(frame, pd.DataFrame) else frame
            connection.register(name, table)
        return connection.sql(query).to_arrow_table()
    finally:
        connection.close()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One database in memory for all queries: opening one takes longer than most of them."""
    return duckdb.connect(config=OFFLINE)


def read_queries(name: str, **days: dt.date) -> dict[str, str]:
    """The queries of sql/<name>.sql by their names, with each {day} as a date."""
    text = (_SQL / f"{name}.sql").read_text(encoding="utf-8")
    for word, day in days.items():
        text = text.replace(f"{{{word}}}", f"DATE '{day}'")
    pieces = re.split(r"^-- query: (\w+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def tables_as_of(day: dt.date, name: str, frames: Frames, *, but: str = "") -> Tables:
    """The tables that the queries of sql/<name>.sql give for a day, each in the order of its columns."""
    queries = read_queries(name, day=day)
    return {
        table: lay_out(f"SELECT * FROM ({query}\n) ORDER BY ALL", **frames)
        for table, query in queries.items()
        if table != but
    }


def quoted_text(table: pa.Table, *, extra: Sequence[str] = ()) -> bytes:
    """Code page 1252, every value quoted, CRLF, header row; `extra` lines (ragged ones, say) follow the rows."""
    text = _delimited(table, ",", "all_valid", end="\r\n")
    return text + "".join(f"{line}\r\n" for line in extra).encode("cp1252")


def piped_text(table: pa.Table, *, trailer: str, extra: Sequence[str] = ()) -> bytes:
    """UTF-8, pipes, no quoting, LF, header row, and a last line with the number of records."""
    rows = table.num_rows + len(extra)
    ending = "".join(f"{line}\n" for line in [*extra, f"{trailer}|{rows}"])
    return _delimited(table, "|", "none", end="\n", encoding="utf-8") + ending.encode()


def _delimited(table: pa.Table, delimiter: str, quoting: str, *, end: str, encoding: str = "cp1252") -> bytes:
    quote = '"' if quoting == "all_valid" else ""
    header = delimiter.join(f"{quote}{name}{quote}" for name in table.column_names) + "\n"
    buffer = io.BytesIO()
    options = pa_csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style=quoting)
    pa_csv.write_csv(table, buffer, options)
    body = buffer.getvalue() if encoding == "utf-8" else buffer.getvalue().decode().encode(encoding)
    return (header.encode(encoding) + body).replace(b"\n", end.encode())


def fixed_text(table: pa.Table, layout: Path) -> bytes:
    """ASCII, CRLF, no header; each column at the place (start to end, 1-based, both included) its layout gives it."""
    places = pd.read_csv(layout, dtype=str)
    widths = (places["end"].astype(int) - places["start"].astype(int) + 1).tolist()
    line = " || ".join(
        f"rpad(coalesce({name}, ''), {width}, ' ')" for name, width in zip(places["field"], widths, strict=True)
    )
    lines = lay_out(f"SELECT {line} AS line FROM rows", rows=table)["line"].to_pylist()
    return "".join(f"{text}\r\n" for text in lines).encode("ascii")


def sha256(content: bytes) -> str:
    """The SHA-256 of a content, in hex."""
    return hashlib.sha256(content).hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Writes a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def changed_rows(before: pa.Table | None, now: pa.Table) -> pa.Table:
    """The rows of now that before did not hold just so."""
    return (
        now
        if before is None
        else lay_out("SELECT * FROM now EXCEPT SELECT * FROM before ORDER BY ALL", before=before, now=now)
    )


def gone_keys(before: pa.Table | None, now: pa.Table, key: Sequence[str]) -> pa.Table:
    """The keys of before that now does not hold any more."""
    names = ", ".join(key)
    earlier = now.slice(0, 0) if before is None else before
    return lay_out(f"SELECT {names} FROM earlier EXCEPT SELECT {names} FROM now ORDER BY ALL", earlier=earlier, now=now)


def write_database(path: Path, tables: Tables, keys: Mapping[str, Sequence[str]]) -> None:
    """A new SQLite database of these tables (text and integers), each with its primary key where one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as database:
        for name, table in tables.items():
            database.execute(_create(name, table, keys.get(name, ())))
            insert = f'INSERT INTO "{name}" VALUES ({", ".join("?" * table.num_columns)})'
            for batch in table.to_batches(max_chunksize=50_000):
                database.executemany(insert, zip(*(column.to_pylist() for column in batch.columns), strict=True))
    database.close()


def _create(name: str, table: pa.Table, key: Sequence[str]) -> str:
    columns = [f'"{f.name}" {"INTEGER" if pa.types.is_integer(f.type) else "TEXT"}' for f in table.schema]
    primary = [f"PRIMARY KEY ({', '.join(key)})"] if key else []
    return f'CREATE TABLE "{name}" ({", ".join(columns + primary)})'


def apply_changes(changes: Path, database: Path, keys: Mapping[str, Sequence[str]]) -> None:
    """Does to a database what its application did since: rows put in or replaced, rows purged (tables named x__purged).

    Args:
        changes: A database of the changed rows, as `write_database` wrote it.
        database: The agency's database; changed in one transaction.
        keys: Table -> its primary key.
    """
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("ATTACH ? AS changes", (str(changes),))
        connection.execute("BEGIN IMMEDIATE")
        for (name,) in connection.execute("SELECT name FROM changes.sqlite_schema WHERE type = 'table'").fetchall():
            table, _, purged = name.partition("__")
            if purged:
                names = ", ".join(keys[table])
                connection.execute(f'DELETE FROM "{table}" WHERE ({names}) IN (SELECT {names} FROM changes."{name}")')
            else:
                connection.execute(f'INSERT OR REPLACE INTO "{table}" SELECT * FROM changes."{name}"')
        connection.execute("COMMIT")
    finally:
        connection.close()
