"""Databases that change, go away, refuse or are large while they are read; on PostgreSQL and SQLite."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.database import Database
from connectors.database_text import TextWriter
from connectors.doors import open_door
from connectors.sources import Secrets, Source
from connectors.wanted import TableWanted
from standard.errors import DeclarationError, SourceError
from tests.integration.conftest import NOW, PARTY, THREE, Court, rows


def test_the_same_rows_land_as_the_same_bytes(court: Court) -> None:
    court.made(*THREE)
    assert court.fetch(PARTY).sha256 == court.fetch(PARTY).sha256


def test_all_tables_of_one_opening_are_of_one_moment(postgresql: Court) -> None:
    postgresql.made(*THREE)
    with open_door(postgresql.source, postgresql.secrets) as door:
        assert isinstance(door, Database)
        door.fetch(PARTY, landing=postgresql.landing, now=NOW)
        postgresql.run("DELETE FROM party", "CREATE TABLE other (x INTEGER)")
        assert len(rows(door.fetch(PARTY, landing=postgresql.landing, now=NOW))) == 3
        with pytest.raises(SourceError, match="no table"):
            door.fetch(TableWanted("other"), landing=postgresql.landing, now=NOW)


def while_reading(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]) -> None:
    """Does something at the source after the first rows of a table were read."""
    write, done = TextWriter.write, list[object]()

    def meddled(self: TextWriter, *args: Any, **given: Any) -> None:
        write(self, *args, **given)
        if not done:
            done.append(deed())

    monkeypatch.setattr(TextWriter, "write", meddled)


def many(court: Court, count: int = 30_000) -> None:
    court.run(
        "CREATE TABLE party AS SELECT n AS party_id, 'Quill' AS lst_nm,"
        f" timestamp '2026-03-01' + n * interval '1 minute' AS last_mod_ts FROM generate_series(1, {count}) n"
    )


def test_an_application_that_writes_meanwhile_does_not_tear_the_extract(
    postgresql: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(postgresql)
    wanted = replace(PARTY, since="2026-03-15 00:00:00", overlap=timedelta(0))
    undisturbed = postgresql.fetch(wanted)
    while_reading(monkeypatch, lambda: postgresql.run(
        "DELETE FROM party WHERE party_id % 3 = 0",
        "INSERT INTO party SELECT -n, 'New', now() FROM generate_series(1, 99) n",
        "UPDATE party SET last_mod_ts = '2026-03-20' WHERE party_id % 3 = 1",
    ))  # fmt: skip
    assert postgresql.fetch(wanted).sha256 == undisturbed.sha256


def test_a_database_that_goes_away_in_the_middle_lands_nothing_and_is_read_again(
    postgresql: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(postgresql)
    undisturbed = postgresql.fetch(PARTY)
    undisturbed.path.unlink()
    with monkeypatch.context() as patched:
        while_reading(patched, lambda: postgresql.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'kith' AND datname = current_database()"
        ))  # fmt: skip
        with pytest.raises(SourceError) as raised:
            postgresql.fetch(PARTY)
    assert "Quill" not in repr(raised.value) and raised.value.__cause__ is None
    assert [path for path in postgresql.landing.folder.rglob("*") if path.is_file()] == []
    assert postgresql.fetch(PARTY).sha256 == undisturbed.sha256


def test_a_source_is_opened_for_reading_only(postgresql: Court, sqlite: Court) -> None:
    for court in (postgresql, sqlite):
        court.made(*THREE)
        with open_door(court.source, court.secrets) as door:
            assert isinstance(door, Database)
            with pytest.raises(sa.exc.DBAPIError, match=r"read-only|readonly"):
                door._connection.exec_driver_sql("DELETE FROM party")


def test_a_refused_login_shows_no_password(postgresql: Court) -> None:
    url = postgresql.engine.url.set(password="Grey-Heron-7")
    (postgresql.secrets.keys / "court_url").write_text(url.render_as_string(hide_password=False))
    with pytest.raises(SourceError) as raised:
        postgresql.fetch(PARTY)
    assert "Heron" not in str(raised.value) and "cannot be reached" in raised.value.what


def test_a_missing_sqlite_file_is_not_made(sqlite: Court, tmp_path: Path) -> None:
    source = Source.model_validate({"database": {"url": f"sqlite:///{tmp_path / 'none.sqlite'}"}})
    with pytest.raises(SourceError), open_door(source, sqlite.secrets):
        pass
    assert not (tmp_path / "none.sqlite").exists()


@pytest.mark.parametrize("url", ["not a url", "oracle+nothing://user@host/db"])
def test_a_url_that_leads_to_no_driver_is_said(secrets: Secrets, url: str) -> None:
    with pytest.raises(DeclarationError), open_door(Source.model_validate({"database": {"url": url}}), secrets):
        pass


def test_memory_is_bounded_by_the_batch_and_not_by_the_table(postgresql: Court, tmp_path: Path) -> None:
    many(postgresql, 20_000)
    postgresql.run(
        "CREATE TABLE large AS SELECT n AS party_id, repeat(md5(n::text), 64) AS filler"
        " FROM generate_series(1, 80000) n"
    )
    small, large = (peak_of_reading(postgresql, table) for table in ("party", "large"))
    assert large - small < 130 << 20  # the large table is 160 MB of text


def peak_of_reading(court: Court, table: str) -> int:
    """The peak memory, in bytes, of a process that reads a table."""
    child = os.fork()
    if child == 0:  # so that only this reading counts, on top of what the process was before
        try:
            court.fetch(TableWanted(table))
            os._exit(0)
        finally:
            os._exit(1)
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_maxrss * 1024


def test_a_table_or_column_without_a_name_is_told_with_how_to_mend_it(sqlite: Court) -> None:
    sqlite.run('CREATE TABLE party (party_id TEXT, "" TEXT)', 'CREATE TABLE "" (x TEXT)')
    with pytest.raises(SourceError, match="column without a name") as of_column:
        sqlite.fetch(TableWanted("party", key=("party_id",)))
    with pytest.raises(SourceError, match="there is no table") as of_table:
        sqlite.fetch(TableWanted("", key=("party_id",)))
    assert ("view that names every column" in of_column.value.mend, of_table.value.mend) == (
        True, "correct `table:`; there are: party",
    )  # fmt: skip
