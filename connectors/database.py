"""Rows of an agency's database, through SQLAlchemy: one consistent snapshot, any size, every value as exact text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from connectors.database_text import TextWriter, as_sent
from connectors.late_rows import has_columns, has_keys, new_keys
from connectors.sources import DatabaseSource, Secrets
from connectors.wanted import TableWanted
from connectors.watermark import Watermark
from standard.errors import DeclarationError, SourceError
from store.landing import Arrival, Landing

_ROWS_AT_ONCE = 2_000
_CONNECT_SECONDS = 30
_LATE_ROWS_AT_MOST = 500  # asked for by key in one statement
_SNAPSHOT = {"mssql": "SNAPSHOT", "oracle": "SERIALIZABLE", "sqlite": "SERIALIZABLE"}
"""The isolation under which all reads of a transaction see one moment; REPEATABLE READ elsewhere."""
_POSTGRESQL_SESSION = """SET LOCAL DateStyle = 'ISO, MDY'; SET LOCAL TimeZone = 'UTC'; SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1; SET LOCAL synchronize_seqscans = off; SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0"""


class Database:
    """An open, read-only transaction: everything read through it is of one moment."""

    def __init__(self, source: DatabaseSource, secrets: Secrets) -> None:
        url = _parsed(secrets.url(source.url).get_secret_value())
        self.place = url.render_as_string(hide_password=True)
        self._schema = source.schema_name
        self._engine = _engine(url)
        with self._troubles_told("the database cannot be reached"):
            try:
                self._connection = self._engine.connect()
                self._begin()
            except BaseException:
                self._engine.dispose()
                raise

    def _begin(self) -> None:
        self._connection.begin()
        if self._engine.dialect.name == "sqlite":
            self._connection.exec_driver_sql("BEGIN")
            self._connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")  # from here on it is one snapshot
        if self._engine.dialect.name == "postgresql":
            self._connection.exec_driver_sql(_POSTGRESQL_SESSION)

    def close(self) -> None:
        """Ends the transaction."""
        self._connection.invalidate() if self._connection.closed else self._connection.close()
        self._engine.dispose()

    def probe(self) -> str:
        """What the database shows, in a sentence."""
        return f"{self.place}: {len(self._names())} tables and views"

    def fetch(self, wanted: TableWanted, *, landing: Landing, now: datetime) -> Arrival:
        """Reads the rows wanted into one Parquet file of the landing area.

        Every column is text, NULL kept; `_present_only` marks rows of which only the key is given (the census).

        Args:
            wanted: Which rows and columns.
            landing: Where the file comes to lie.
            now: The moment of this poll in the agency's time zone: the `as_of` of the extract. A watermark more than
                a day later is a clock's error and is not believed.

        Raises:
            SourceError: The table, its key or its watermark is not there, or the database is gone.
        """
        with self._troubles_told(f"the table {wanted.table} cannot be read"):
            table = self._reflected(wanted.table)
            columns = _Columns(table, wanted, self.place)
            mark = Watermark.read(self._connection, columns.watermark, wanted, now=now, place=self.place)
            if mark.given_whole is not None and wanted.census and wanted.before is not None:
                mark = self._with_late_rows(table, columns, wanted.before, mark, landing)
            with landing.scratch() as part:
                with TextWriter(part, list(columns.shown)) as writer:
                    self._read(table, columns, wanted, mark, writer)
                size = part.stat().st_size
                sha256, path = landing.keep(part)
        return Arrival(name=wanted.table, sha256=sha256, size=size, path=path, as_of=now.date(), watermark=mark.reached)

    def _with_late_rows(
        self, table: sa.Table, columns: _Columns, before: Path, mark: Watermark, landing: Landing
    ) -> Watermark:
        """Adds rows that came in with an old watermark to those given whole; of very many, or where the reading before
        is gone or of another key, reads the table whole."""
        assert mark.given_whole is not None
        if not has_columns(before, list(columns.key)):
            return replace(mark, given_whole=None)
        with landing.scratch() as census:
            with TextWriter(census, list(columns.key)) as writer:
                self._write(table, columns.key, sa.not_(mark.given_whole), writer, present_only=True)
            late = new_keys(census, before, list(columns.key), at_most=_LATE_ROWS_AT_MOST + 1)
        if len(late) > _LATE_ROWS_AT_MOST:
            return replace(mark, given_whole=None)
        return replace(mark, given_whole=sa.or_(mark.given_whole, *has_keys(columns.key, late, self._dialect)))

    def _read(
        self, table: sa.Table, columns: _Columns, wanted: TableWanted, mark: Watermark, writer: TextWriter
    ) -> None:
        """Reads the rows given whole, then the census, and counts both in the same snapshot."""
        full = self._write(table, columns.read, mark.given_whole, writer, present_only=False)
        self._count_agrees(table, mark.given_whole, full)
        if wanted.census and mark.given_whole is not None:
            keys = self._write(table, columns.key, sa.not_(mark.given_whole), writer, present_only=True)
            self._count_agrees(table, None, full + keys)

    @property
    def _dialect(self) -> str:
        return self._engine.dialect.name

    def _write(
        self,
        table: sa.Table,
        columns: dict[str, sa.Column[object]],
        condition: sa.ColumnElement[bool] | None,
        writer: TextWriter,
        *,
        present_only: bool,
    ) -> int:
        query = sa.select(*(as_sent(column, self._dialect).label(name) for name, column in columns.items()))
        if condition is not None:
            query = query.where(condition)
        streamed = self._connection.execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE)
        rows = 0
        with streamed.execute(query.select_from(table)) as result:
            for partition in result.partitions():
                rows += len(partition)
                writer.write(list(columns), partition, present_only=present_only)
        return rows

    def _count_agrees(self, table: sa.Table, condition: sa.ColumnElement[bool] | None, rows: int) -> None:
        query = sa.select(sa.func.count()).select_from(table)
        counted = self._connection.execute(query if condition is None else query.where(condition)).scalar_one()
        if counted != rows:
            raise SourceError(
                f"{rows} rows were read of the {counted} that table {table.name} counts in the same snapshot",
                where=self.place,
                mend="nothing was landed; run again, and tell the database's administrator if it comes back",
            )

    def _names(self) -> list[str]:
        inspector = sa.inspect(self._connection)
        names = set(inspector.get_table_names(self._schema)) | set(inspector.get_view_names(self._schema))
        if self._engine.dialect.name == "postgresql":
            names |= set(inspector.get_materialized_view_names(self._schema))
        return sorted(names - {""})  # SQLite lets a table have no name: none can be read by it

    def _reflected(self, wanted: str) -> sa.Table:
        names = self._names()
        name = matched(wanted, names)
        if name is None:
            raise SourceError(
                f"there is no table {wanted}",
                where=self.place + (f", schema {self._schema}" if self._schema else ""),
                mend=f"correct `table:`; there are: {', '.join(names) or 'none that this login may see'}",
            )
        try:
            return sa.Table(name, sa.MetaData(), schema=self._schema, autoload_with=self._connection, resolve_fks=False)
        except sa.exc.ArgumentError:
            raise SourceError(
                f"the table {wanted} has a column without a name",
                where=self.place,
                mend="ask the agency for a view that names every column, and read that",
            ) from None

    @contextmanager
    def _troubles_told(self, what: str) -> Iterator[None]:
        """Says that the database is the matter. A driver's message may hold a value of a row and is not passed on."""
        try:
            yield
        except (sa.exc.SQLAlchemyError, UnicodeError) as error:
            raise SourceError(
                f"{what} ({_named(error)})",
                where=self.place,
                mend="check that the database runs, and the login and its right to read; nothing was landed, the next "
                "run reads again",
            ) from None


def _named(error: Exception) -> str:
    """The kind of a driver's error and its SQLSTATE."""
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None)
    return type(cause).__name__ + (f", SQLSTATE {state}" if state else "")


class _Columns:
    """The columns of a table under the names the feed declares."""

    def __init__(self, table: sa.Table, wanted: TableWanted, place: str) -> None:
        self._table, self._place = table, place
        there = {column.name: column for column in table.columns}
        hidden = {name.casefold() for name in wanted.never_read}
        named = [*wanted.columns, *wanted.key, *filter(None, [wanted.watermark])]
        self.read: dict[str, sa.Column[object]] = {}
        for name in dict.fromkeys(named if wanted.columns else [*named, *there]):
            column = matched(name, list(there))
            if column and name.casefold() not in hidden and there[column] not in self.read.values():
                self.read[name] = there[column]
        taken = {column.name for column in self.read.values()}
        new = [name for name in there if name not in taken and name.casefold() not in hidden]
        self.shown = dict.fromkeys([*self.read, *new])
        """Names of the columns of the file that lands, the new ones empty."""
        self.key = {name: self._needed(name) for name in wanted.key}
        self.watermark = self._needed(wanted.watermark) if wanted.watermark else None

    def _needed(self, name: str) -> sa.Column[object]:
        names = [column.name for column in self._table.columns]
        column = matched(name, names)
        if column is None:
            raise SourceError(
                f"table {self._table.name} has no column {name}, which is its key or its watermark",
                where=self._place,
                mend=f"correct the feed's declaration; the table has: {', '.join(names)}",
            )
        return self._table.columns[column]


def matched(wanted: str, names: list[str]) -> str | None:
    """The name that is meant: as written, or the only one that differs in case alone."""
    if wanted in names:
        return wanted
    alike = [name for name in names if name.casefold() == wanted.casefold()]
    return alike[0] if len(alike) == 1 else None


def _parsed(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise DeclarationError(
            "this is not a database URL", where="url of a database source", mend="e.g. postgresql://user@host/name"
        ) from None
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _engine(url: sa.URL) -> sa.Engine:
    """An engine that can only read."""
    if url.get_backend_name() == "sqlite":
        return sa.create_engine(
            url, creator=lambda: _read_only_sqlite(url), poolclass=sa.NullPool, hide_parameters=True
        )
    given: dict[str, object] = {"poolclass": sa.NullPool, "hide_parameters": True}
    given["isolation_level"] = _SNAPSHOT.get(url.get_backend_name(), "REPEATABLE READ")
    if url.get_backend_name() == "postgresql":
        given["execution_options"] = {"postgresql_readonly": True}
        given["connect_args"] = {
            "connect_timeout": _CONNECT_SECONDS, "client_encoding": "utf8", "application_name": "kith",
            "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
        }  # fmt: skip
    try:
        return sa.create_engine(url, **given)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        raise DeclarationError(
            f"no driver for {url.drivername} is installed",
            where=url.render_as_string(hide_password=True),
            mend="install the driver beside the exchange, or use postgresql:// or sqlite://",
        ) from error


def _read_only_sqlite(url: sa.URL) -> sqlite3.Connection:
    path = quote(str(Path(url.database or "").expanduser().resolve()))
    connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=_CONNECT_SECONDS, check_same_thread=False
    )
    # Bytes that are not UTF-8 come as U+FFFD, which the mapping reports, and do not hide the rows beside them.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection
