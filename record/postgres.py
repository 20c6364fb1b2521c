"""The record in PostgreSQL: loaded beside the old tables by COPY, then put in their place in one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv as pc
import sqlalchemy as sa
from psycopg import sql

from record.snapshot import Snapshot
from standard.errors import PublishError
from store.parquet import opened

log = logging.getLogger(__name__)

SCHEMA = "kith_record"
_MARK = "Published by Kith, snapshot "
_TYPES = {"VARCHAR": "text", "DOUBLE": "double precision"}
_INDEXED = ("person_id", "row_id")
_BATCH_ROWS = 50_000
_SWAP_WAIT, _SWAP_PAUSE, _SWAP_TRIES = "2s", 3.0, 60
_CSV = pc.WriteOptions(include_header=False, quoting_style="all_valid")


def publish_to_postgres(snapshot: Snapshot, url: str, *, schema: str = SCHEMA) -> bool:
    """Brings a snapshot's tables to PostgreSQL; until the swap, and after any failure, the old ones stay.

    Readers go on meanwhile: the swap waits for transactions that read the old tables, so none ever sees both; who
    begins after it reads the new ones. Rights granted on the schema and its tables pass on to the new ones.

    Args:
        snapshot: What is published.
        url: Database URL (postgresql://...); its user must be allowed to create schemas.
        schema: Where the tables stand.

    Returns:
        False where this snapshot already stands there.

    Raises:
        PublishError: The database refuses, others' views hang on the tables, readers never let go of them, or the
            schema was not made by the exchange.
    """
    try:
        with psycopg.connect(conninfo(url), autocommit=True) as connection:
            if _published(connection, schema) == snapshot.snapshot_id:
                return False
            staging = f"{schema}_new"
            if _published(connection, staging) is not None:  # left by a publishing that was killed
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(staging)))
            _load(connection, snapshot, staging)
            _copy_rights(connection, schema, staging)
            when_free(schema, lambda: _swap(connection, schema, staging))
    except psycopg.Error as error:
        raise PublishError(
            f"PostgreSQL refused the record: {type(error).__name__} ({error.sqlstate or 'no connection'})",
            where=f"schema {schema} of {sa.make_url(url).render_as_string(hide_password=True)}",
            mend="see the server's log: it must be up, have room, and let the user create schemas; then: kith run",
        ) from None  # the server's own message quotes the line it was reading
    log.info("published snapshot %s to schema %s", snapshot.snapshot_id, schema)
    return True


def conninfo(url: str) -> str:
    """A database URL as libpq reads it."""
    parts = sa.make_url(url).set(drivername="postgresql")
    return parts.render_as_string(hide_password=False)


def _published(connection: psycopg.Connection, schema: str) -> str | None:
    """The snapshot that stands in a schema of ours; None where there is no such schema.

    Raises:
        PublishError: The schema is somebody else's.
    """
    query = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
    row = connection.execute(query, [schema]).fetchone()
    if row is None:
        return None
    if not (row[0] or "").startswith(_MARK):
        raise PublishError(
            f"the schema {schema} exists and was not made by the exchange",
            where="the database the record is published to",
            mend="name another schema in exchange.yaml, or remove that one",
        )
    return str(row[0]).removeprefix(_MARK)


def _load(connection: psycopg.Connection, snapshot: Snapshot, schema: str) -> None:
    """Makes the staging schema and fills its tables in one transaction, counted against the manifest."""
    with connection.transaction():
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        mark = sql.Literal(_MARK + snapshot.snapshot_id)
        connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), mark))
        for name, entry in sorted(snapshot.manifest["tables"].items()):
            table = sql.Identifier(schema, name)
            create_table(connection, table, entry["columns"])
            rows = copy_rows(connection, table, snapshot.table(name))
            if rows != entry["rows"]:
                raise PublishError(
                    f"{name}: {rows} rows arrived in PostgreSQL of {entry['rows']} published",
                    where=str(snapshot.table(name)),
                    mend="check the snapshot with: kith doctor",
                )
            for column in _INDEXED:
                if column in entry["columns"]:
                    connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(table, sql.Identifier(column)))


def create_table(connection: psycopg.Connection, table: sql.Identifier, columns: Mapping[str, str]) -> None:
    """Makes a table; columns by name with their SQL types as DuckDB calls them."""
    declared = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_TYPES.get(kind, kind))) for name, kind in columns.items()
    ]
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(declared)))


def copy_rows(connection: psycopg.Connection, table: sql.Identifier, path: Path) -> int:
    """Streams a Parquet table into PostgreSQL batch by batch and gives the number of rows that arrived."""
    cursor = connection.cursor()
    with opened(path) as rows, cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)) as copy:
        for batch in rows.iter_batches(batch_size=_BATCH_ROWS):
            text = pa.BufferOutputStream()
            pc.write_csv(batch, text, _CSV)
            copy.write(text.getvalue().to_pybytes())
    return cursor.rowcount


def _copy_rights(connection: psycopg.Connection, schema: str, staging: str) -> None:
    """Gives everybody who may use the old schema and read its tables the same on the new ones."""
    schema_rights = """
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN NULL ELSE a.grantee::regrole::text END
        FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE n.nspname = %s AND a.privilege_type = 'USAGE' AND a.grantee <> n.nspowner
    """
    table_rights = """
        SELECT DISTINCT c.relname, CASE WHEN a.grantee = 0 THEN NULL ELSE a.grantee::regrole::text END
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
        WHERE n.nspname = %s AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
        AND EXISTS (SELECT 1 FROM pg_tables t WHERE t.schemaname = %s AND t.tablename = c.relname)
    """
    for (role,) in connection.execute(schema_rights, [schema]).fetchall():
        grant = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}")
        connection.execute(grant.format(sql.Identifier(staging), _role(role)))
    for table, role in connection.execute(table_rights, [schema, staging]).fetchall():
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(staging, table), _role(role)))


def _role(name: str | None) -> sql.Composable:
    """A role as the server itself quoted it, or everybody."""
    return sql.SQL("PUBLIC") if name is None else sql.SQL(name)


def when_free(schema: str, swap: Callable[[], None]) -> None:
    """Tries a swap between readers: each try waits briefly for them, and lets those that queued behind it through.

    Raises:
        PublishError: They never let go.
    """
    for attempt in range(1, _SWAP_TRIES + 1):
        try:
            return swap()
        except psycopg.errors.LockNotAvailable:
            log.info("schema %s is being read; try %d of %d to swap it", schema, attempt, _SWAP_TRIES)
            time.sleep(_SWAP_PAUSE)
    raise PublishError(
        "transactions read the tables of the record and do not end; the old ones stay",
        where=f"schema {schema}",
        mend="end those transactions (see pg_stat_activity), then: kith run",
    )


def wait_briefly(connection: psycopg.Connection) -> None:
    """Lets a transaction give up soon where others hold what it needs."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_SWAP_WAIT)))


def _swap(connection: psycopg.Connection, schema: str, staging: str) -> None:
    """One transaction: the old tables go (refused where another's view hangs on one), the new ones take their name."""
    with connection.transaction():
        wait_briefly(connection)
        if _published(connection, schema) is not None:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
            tables = [sql.Identifier(schema, name) for (name,) in connection.execute(query, [schema]).fetchall()]
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(tables)))
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(tables)))
            connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(schema)))
        rename = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
        connection.execute(rename.format(sql.Identifier(staging), sql.Identifier(schema)))
