"""The record in a real PostgreSQL: the same rows, swapped at once, and the old ones kept whenever it fails."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from record_rows import BEN, COUNTY, PERSONS, add_order, inputs_of, new_home

import record.postgres
from record.postgres import publish_to_postgres
from record.publish import publish
from record.reader import Record, open_record
from record.snapshot import Snapshot
from standard.errors import PublishError
from tests.servers import PostgresServer

ODD = 'a "quoted", name\nover two lines; \\N and é'


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.create(f"record_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def snapshots(tmp_path: Path) -> tuple[Record, Record]:
    """Two snapshots of one home, the second with one person fewer and a name that CSV must quote."""
    home, ledger = new_home(tmp_path / "home")
    publish(home, ledger, inputs_of(tmp_path / "a"), run_id="run-1", fence=1)
    first = open_record(home)
    rows = {**COUNTY, "person_name": [{"person_ref": BEN, "given": ODD, "middle": "", "surname": None}]}
    publish(home, ledger, inputs_of(tmp_path / "b", rows, {**PERSONS, BEN: "ANA"}), run_id="run-1", fence=1)
    return first, open_record(home)


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM kith_record.{table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def test_postgres_holds_the_same_rows_as_the_snapshot(
    snapshots: tuple[Record, Record], url: str, connection: psycopg.Connection
) -> None:
    for pinned in snapshots:
        assert publish_to_postgres(pinned.snapshot, url)
        for name in pinned.tables():
            table = pinned.table(name).to_arrow()
            columns = ", ".join(f'"{column}"' for column in table.column_names)
            stored = connection.execute(f'SELECT {columns} FROM kith_record."{name}"').fetchall()  # type: ignore[arg-type]
            expected = [tuple(row.values()) for row in table.to_pylist()]
            assert sorted(stored, key=repr) == sorted(expected, key=repr), name
        assert not publish_to_postgres(pinned.snapshot, url), "a second time there is nothing to do"


def test_who_may_read_the_old_tables_may_read_the_new_ones(
    snapshots: tuple[Record, Record], url: str, connection: psycopg.Connection
) -> None:
    role = f'"analyst {uuid.uuid4().hex[:6]}"'
    publish_to_postgres(snapshots[0].snapshot, url)
    connection.execute(f"CREATE ROLE {role}")  # type: ignore[arg-type]
    connection.execute(f"GRANT USAGE ON SCHEMA kith_record TO {role}")  # type: ignore[arg-type]
    connection.execute(f"GRANT SELECT ON kith_record.person TO {role}")  # type: ignore[arg-type]
    publish_to_postgres(snapshots[1].snapshot, url)
    connection.execute(f"SET ROLE {role}")  # type: ignore[arg-type]
    assert count(connection, "person") == snapshots[1].table("person").to_arrow().num_rows
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        count(connection, "person_name")


def test_a_failure_leaves_the_old_tables_and_is_told_without_a_value(
    snapshots: tuple[Record, Record], url: str, connection: psycopg.Connection, tmp_path: Path
) -> None:
    publish_to_postgres(snapshots[0].snapshot, url)
    with pytest.raises(PublishError, match="rows arrived") as caught:
        publish_to_postgres(with_wrong_count(snapshots[1].snapshot), url)
    assert count(connection, "person") == 3
    home, ledger = new_home(tmp_path / "nul")
    rows = {**COUNTY, "person_name": [{"person_ref": BEN, "given": "Ben\0Ulm"}]}
    refused = publish(home, ledger, inputs_of(tmp_path / "c", rows), run_id="run-1", fence=1)
    with pytest.raises(PublishError, match="PostgreSQL refused") as caught:
        publish_to_postgres(refused, url)
    assert "Ulm" not in str(caught.value) and caught.value.__cause__ is None
    assert count(connection, "person") == 3
    assert publish_to_postgres(snapshots[1].snapshot, url), "what a failure left does not stand in the way"


def with_wrong_count(snapshot: Snapshot) -> Snapshot:
    tables = dict(snapshot.manifest["tables"])
    tables["person_name"] = {**tables["person_name"], "rows": 99}
    return replace(snapshot, manifest={**snapshot.manifest, "tables": tables})


def test_a_reader_in_a_transaction_never_sees_two_snapshots(
    snapshots: tuple[Record, Record], url: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record.postgres, "_SWAP_WAIT", "200ms")
    monkeypatch.setattr(record.postgres, "_SWAP_PAUSE", 0.1)
    publish_to_postgres(snapshots[0].snapshot, url)
    publisher = threading.Thread(target=publish_to_postgres, args=(snapshots[1].snapshot, url))
    with connection.transaction():
        assert count(connection, "person_name") == 5
        publisher.start()
        publisher.join(timeout=1.5)
        assert publisher.is_alive(), "the swap waits for the reader"
        assert count(connection, "person_source") == 8
    publisher.join()
    assert count(connection, "person_name") == 1


def test_a_reader_that_never_ends_keeps_the_old_tables(
    snapshots: tuple[Record, Record], url: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record.postgres, "_SWAP_WAIT", "50ms")
    monkeypatch.setattr(record.postgres, "_SWAP_PAUSE", 0.01)
    monkeypatch.setattr(record.postgres, "_SWAP_TRIES", 3)
    publish_to_postgres(snapshots[0].snapshot, url)
    with connection.transaction():
        count(connection, "person")
        with pytest.raises(PublishError, match="do not end"):
            publish_to_postgres(snapshots[1].snapshot, url)
    assert count(connection, "person") == 3


def test_a_schema_of_somebody_else_is_left_alone(
    snapshots: tuple[Record, Record], url: str, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.kept (x int)")
    with pytest.raises(PublishError, match="not made by the exchange"):
        publish_to_postgres(snapshots[0].snapshot, url, schema="theirs")
    assert connection.execute("SELECT count(*) FROM theirs.kept").fetchone() == (0,)


def test_a_view_of_others_on_a_table_is_not_dropped_in_silence(
    snapshots: tuple[Record, Record], url: str, connection: psycopg.Connection
) -> None:
    publish_to_postgres(snapshots[0].snapshot, url)
    connection.execute("CREATE VIEW public.people AS SELECT person_id FROM kith_record.person")
    with pytest.raises(PublishError, match="DependentObjectsStillExist"):
        publish_to_postgres(snapshots[1].snapshot, url)
    assert connection.execute("SELECT count(*) FROM public.people").fetchone() == (3,)


def test_a_server_that_is_not_there_is_told_without_the_password(snapshots: tuple[Record, Record]) -> None:
    with pytest.raises(PublishError, match="no connection") as caught:
        publish_to_postgres(snapshots[0].snapshot, "postgresql://kith:secret-word@127.0.0.1:9/none")
    assert "secret-word" not in str(caught.value)


def test_a_seal_reaches_postgres_too(tmp_path: Path, url: str, connection: psycopg.Connection) -> None:
    home, ledger = new_home(tmp_path / "home")
    publish_to_postgres(publish(home, ledger, inputs_of(tmp_path / "a"), run_id="run-1", fence=1), url)
    assert count(connection, "charge") == 1
    add_order(ledger, "court/case_hdr/C1")
    publish_to_postgres(publish(home, ledger, inputs_of(tmp_path / "a"), run_id="run-1", fence=1), url)
    assert count(connection, "charge") == 0
    schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'kith%'").fetchall()
    assert schemas == [("kith_record",)]
