"""A release in PostgreSQL: one schema and one role per recipient, rows seen only while they may be used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import sqlalchemy as sa
from psycopg import sql

from record.postgres import conninfo, copy_rows, create_table, wait_briefly, when_free
from releases.index import Kept
from releases.reader import Release
from standard.errors import DeclarationError, PublishError
from store.home import connect

log = logging.getLogger(__name__)

_MARK = "Released by Kith"
_LONGEST = 63
"""Bytes of a name in PostgreSQL; it would cut a longer one off."""
_RELEASE = "release"
_OPEN_CASE = "open_case"


@dataclass(frozen=True)
class _Place:
    """Where a release stands: the recipient's schema and role, both of this name, and the policy's tables there."""

    recipient: str
    policy: str

    @property
    def schema(self) -> str:
        return f"release_{self.recipient}"

    @property
    def staging(self) -> str:
        return f"new_{self.schema}"  # no recipient's own: those begin otherwise

    def table(self, name: str) -> str:
        return f"{self.policy}_{name}"

    def at(self, name: str) -> sql.Identifier:
        return sql.Identifier(self.schema, name)


def publish_release(release: Release, kept: Kept, url: str, *, by_open_case: bool) -> str:
    """Brings a release into the recipient's schema in place of the one before by the same policy; all at once.

    The role `release_<recipient>` cannot log in; it is granted to those of the recipient who may. It sees the rows of a
    table `<policy>_<table>` through the last day of the agreement, and nothing of any other recipient.

    Args:
        release: Written as Parquet.
        kept: What the exchange keeps of it.
        url: Database URL; its user must be allowed to create schemas and roles.
        by_open_case: A row is seen only while its person has, as far as was known, an open case with the recipient.

    Returns:
        The schema.

    Raises:
        DeclarationError: A table cannot be kept to open cases, or a name is too long.
        PublishError: The database refuses, or readers never let go of the tables before.
    """
    place = _Place(release.manifest["recipient"], release.manifest["policy"]["name"])
    _require_can_be_kept(release, place, by_open_case=by_open_case)
    try:
        with psycopg.connect(conninfo(url), autocommit=True) as connection:
            _make_schema(connection, place)
            _load(connection, release, kept if by_open_case else None, place)
            when_free(place.schema, lambda: _swap(connection, release, place, by_open_case=by_open_case))
    except psycopg.Error as error:
        raise PublishError(
            f"PostgreSQL refused the release: {type(error).__name__} ({error.sqlstate or 'no connection'})",
            where=f"schema {place.schema} of {sa.make_url(url).render_as_string(hide_password=True)}",
            mend="its user must be allowed to create schemas and roles; see the server's log, then release again",
        ) from None  # the server's own message quotes the line it was reading
    log.info("release %s stands in schema %s", release.release_id, place.schema)
    return place.schema


def _require_can_be_kept(release: Release, place: _Place, *, by_open_case: bool) -> None:
    for name, told in release.manifest["tables"].items():
        if by_open_case and "person_id" not in told["columns"]:
            raise DeclarationError(
                f"{name} cannot be kept to open cases: the policy gives no person_id of it",
                where=f"policy {place.policy}, columns", mend="give person_id too, or another format than postgres",
            )  # fmt: skip
        if len(place.table(name).encode()) > _LONGEST or len(place.staging.encode()) > _LONGEST:
            raise DeclarationError(
                f"{place.table(name)} is too long a name for PostgreSQL", where=f"policy {place.policy}",
                mend=f"call the policy otherwise: {_LONGEST} bytes for its name and a table's",
            )  # fmt: skip


def _make_schema(connection: psycopg.Connection, place: _Place) -> None:
    """Makes role and schema where they are not there yet, and clears what a killed publishing left."""
    with connection.transaction():
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [place.schema]).fetchall():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(place.schema)))
        comment = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
        for schema in (place.schema, place.staging):
            found = connection.execute(comment, [schema]).fetchone()
            if found is not None and found[0] != _MARK:
                raise PublishError(
                    f"the schema {schema} exists and was not made by the exchange", where="the database of releases",
                    mend="name another database, or remove that schema",
                )  # fmt: skip
            if found is not None and schema == place.staging:
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            if found is None or schema == place.staging:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
                mark = sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), sql.Literal(_MARK))
                connection.execute(mark)
        _make_own_tables(connection, place)


def _make_own_tables(connection: psycopg.Connection, place: _Place) -> None:
    """What says of every policy's tables until when they are seen, and of whom."""
    role = sql.Identifier(place.schema)
    connection.execute(sql.SQL(
        "CREATE TABLE IF NOT EXISTS {} (policy text PRIMARY KEY, release_id text NOT NULL, agreement text NOT NULL,"
        " purpose text NOT NULL, snapshot_id text NOT NULL, released_at timestamptz NOT NULL, expires date NOT NULL,"
        " destroy_by date NOT NULL, notice text NOT NULL, tables text[] NOT NULL)"
    ).format(place.at(_RELEASE)))  # fmt: skip
    connection.execute(sql.SQL(
        'CREATE TABLE IF NOT EXISTS {} (policy text NOT NULL, person_id text NOT NULL, "until" date NOT NULL,'
        " PRIMARY KEY (policy, person_id))"
    ).format(place.at(_OPEN_CASE)))  # fmt: skip
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {0} TO {0}").format(role))
    connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(place.at(_RELEASE), role))
    _keep_cases(connection, place)


def _keep_cases(connection: psycopg.Connection, place: _Place) -> None:
    """Who has an open case is seen while it is open and may be used, and never until when: it is a true day."""
    cases, role = place.at(_OPEN_CASE), sql.Identifier(place.schema)
    kept = "SELECT FROM pg_policies WHERE schemaname = %s AND tablename = %s"
    if connection.execute(kept, [place.schema, _OPEN_CASE]).fetchall():
        return  # once: it would wait for every reader
    seen = sql.SQL(
        'SELECT FROM {} r WHERE r.policy = open_case.policy AND r.expires >= current_date AND "until" >= current_date'
    ).format(place.at(_RELEASE))
    connection.execute(sql.SQL("REVOKE SELECT ON {} FROM {}").format(cases, role))
    connection.execute(sql.SQL("GRANT SELECT (policy, person_id) ON {} TO {}").format(cases, role))
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(cases))
    policy = sql.SQL("CREATE POLICY seen ON {} FOR SELECT TO {} USING (EXISTS ({}))")
    connection.execute(policy.format(cases, role, seen))


def _load(connection: psycopg.Connection, release: Release, kept: Kept | None, place: _Place) -> None:
    """Fills the staging schema, counted against the manifest; open cases only where `kept` is asked for them."""
    with connection.transaction():
        for name, told in sorted(release.manifest["tables"].items()):
            table = sql.Identifier(place.staging, place.table(name))
            create_table(connection, table, told["columns"])
            rows = copy_rows(connection, table, release.folder / told["file"])
            if rows != told["rows"]:
                raise PublishError(
                    f"{name}: {rows} rows arrived in PostgreSQL of {told['rows']} released",
                    where=str(release.folder / told["file"]), mend="check it with: kith release verify",
                )  # fmt: skip
        cases = sql.Identifier(place.staging, _OPEN_CASE)
        connection.execute(sql.SQL('CREATE TABLE {} (person_id text, "until" date)').format(cases))
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(cases)) as copy:
            for row in _open_cases(release, kept) if kept else ():
                copy.write_row(row)


def _open_cases(release: Release, kept: Kept) -> Iterator[tuple[object, ...]]:
    """As the recipient knows them, the persons in the release with an open case, and its last day that is known."""
    named = [t for t, told in release.manifest["tables"].items() if "person_id" in told["columns"]]
    if not named:
        return
    with connect() as con, release.to_duckdb() as given:
        people = " UNION ".join(f'SELECT person_id FROM "{table}"' for table in named)
        con.register("given", given.sql(people).to_arrow_table())
        found = con.execute(
            f'SELECT g.person_id, max(c."until") FROM given g JOIN {kept.part("open_cases")} c'
            " ON g.person_id IN (c.person, c.known) GROUP BY 1"
        )
        while batch := found.fetchmany(50_000):
            yield from batch


def _swap(connection: psycopg.Connection, release: Release, place: _Place, *, by_open_case: bool) -> None:
    """One transaction: the tables of the release before go, the new ones come, with their rules."""
    told, role = release.manifest, sql.Identifier(place.schema)
    tables = [place.table(name) for name in release.tables()]
    with connection.transaction():
        wait_briefly(connection)
        query = sql.SQL("SELECT tables FROM {} WHERE policy = %s").format(place.at(_RELEASE))
        before = connection.execute(query, [place.policy]).fetchone()
        for name in before[0] if before else ():
            connection.execute(sql.SQL("DROP TABLE {}").format(place.at(name)))
        for name in tables:
            moved = sql.SQL("ALTER TABLE {} SET SCHEMA {}")
            connection.execute(moved.format(sql.Identifier(place.staging, name), role))
        row = [place.policy, release.release_id, told["agreement"]["id"], told["purpose"], told["snapshot_id"],
               told["released_at"], told["expires"], told["destroy_by"],
               (release.folder / "NOTICE.md").read_text(encoding="utf-8"), tables]  # fmt: skip
        for each in (_RELEASE, _OPEN_CASE):
            connection.execute(sql.SQL("DELETE FROM {} WHERE policy = %s").format(place.at(each)), [place.policy])
        marks = sql.SQL(", ").join(sql.Placeholder() * len(row))
        connection.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(place.at(_RELEASE), marks), row)
        cases = sql.SQL('INSERT INTO {} SELECT %s, person_id, "until" FROM {}')
        connection.execute(
            cases.format(place.at(_OPEN_CASE), sql.Identifier(place.staging, _OPEN_CASE)), [place.policy]
        )
        for name in tables:
            _keep(connection, place, name, by_open_case=by_open_case)
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(place.staging)))


def _keep(connection: psycopg.Connection, place: _Place, name: str, *, by_open_case: bool) -> None:
    """Lets the role read a table, through the rule that says which of its rows."""
    table, role = place.at(name), sql.Identifier(place.schema)
    seen = sql.SQL(
        "EXISTS (SELECT FROM {} r WHERE r.policy = {policy} AND r.expires >= current_date)"
        + (" AND person_id IN (SELECT c.person_id FROM {} c WHERE c.policy = {policy})" if by_open_case else "")
    ).format(place.at(_RELEASE), *([place.at(_OPEN_CASE)] if by_open_case else []), policy=sql.Literal(place.policy))
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(table))
    connection.execute(sql.SQL("CREATE POLICY seen ON {} FOR SELECT TO {} USING ({})").format(table, role, seen))
    connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(table, role))
