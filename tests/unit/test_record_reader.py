"""Readers pin one snapshot: whatever is published meanwhile, they never see a mixture."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import duckdb
import pytest
from record_rows import ANA_MOTHER, BEN, PERSONS, inputs_of, new_home

from record import open_record
from record.publish import publish
from record.snapshot import verify
from standard.errors import PublishError
from store.home import Home
from store.ledger import open_ledger

TWO_PERSONS = {**PERSONS, BEN: "ANA", ANA_MOTHER: "NEW"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home, ledger = new_home(tmp_path / "home")
    publish(home, ledger, inputs_of(tmp_path / "in"), run_id="run-1", fence=1)
    return home


def test_a_table_is_read_as_pandas_arrow_or_duckdb(home: Home) -> None:
    table = open_record(home.root).table("person")
    assert list(table.to_pandas()["person_id"]) == ["ANA", "BEN", "MOM"]
    assert table.to_arrow().column("agencies").to_pylist() == [3, 3, 1]
    assert table.to_duckdb().filter("agencies > 1").order("person_id").fetchall()[1][0] == "BEN"


def test_the_home_is_named_by_its_path_as_text(home: Home) -> None:
    assert open_record(str(home.root)).snapshot_id == open_record(home).snapshot_id


def test_the_record_opens_as_a_duckdb_connection_with_one_view_per_table(home: Home) -> None:
    record = open_record(home)
    with record.to_duckdb() as con:
        query = "SELECT n.given FROM person_name n JOIN person p USING (person_id) WHERE p.mentions = 3"
        assert {row[0] for row in con.execute(query).fetchall()} == {"Ben"}
        assert {row[0] for row in con.execute("SHOW TABLES").fetchall()} == set(record.tables())


def test_the_duckdb_file_follows_the_home_where_it_is_moved(home: Home, tmp_path: Path) -> None:
    moved = Home(tmp_path / "moved")
    shutil.move(home.root, moved.root)
    open_record(moved)
    path = moved.record / "record.duckdb"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    with duckdb.connect(path, read_only=True) as con:
        assert con.execute("SELECT count(*) FROM person").fetchall() == [(3,)]


def test_a_reader_pins_its_snapshot(home: Home, tmp_path: Path) -> None:
    before = open_record(home)
    ledger = open_ledger(home.ledger_file)
    publish(home, ledger, inputs_of(tmp_path / "b", persons=TWO_PERSONS), run_id="run-1", fence=1)
    assert open_record(home).snapshot_id != before.snapshot_id
    assert before.table("person").to_arrow().num_rows == 3
    again = open_record(home, snapshot=before.snapshot_id)
    assert again.table("person_source").to_arrow().equals(before.table("person_source").to_arrow())


def test_unknown_tables_and_snapshots_and_an_empty_home_are_told(home: Home, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="no table 'persons'"):
        open_record(home).table("persons")
    with pytest.raises(PublishError, match="no snapshot"):
        open_record(home, snapshot="0000")
    with pytest.raises(PublishError, match="nothing was published"):
        open_record(Home(tmp_path / "empty").create())


def test_a_changed_table_is_found_by_its_hash(home: Home) -> None:
    record = open_record(home)
    path = record.table("person").path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(PublishError, match="person is not as it was published"):
        verify(record.snapshot)


def test_readers_never_mix_two_snapshots_while_others_are_published(home: Home, tmp_path: Path) -> None:
    """Person, person_source and person_name of every pinned snapshot agree, over four publishings and three readers."""
    states = [inputs_of(tmp_path / "a"), inputs_of(tmp_path / "b", persons=TWO_PERSONS)]
    expected = {("ANA", "BEN", "MOM"), ("ANA", "BEN", "NEW")}
    done, mixed, seen = threading.Event(), [], set()

    def read() -> None:
        while not done.is_set():
            record = open_record(home)
            persons = tuple(record.table("person").to_arrow().column("person_id").to_pylist())
            sources = tuple(sorted(set(record.table("person_source").to_arrow().column("person_id").to_pylist())))
            names = set(record.table("person_name").to_arrow().column("person_id").to_pylist())
            seen.add(record.snapshot_id)
            if persons != sources or persons not in expected or not names <= set(persons):
                mixed.append(record.snapshot_id)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    ledger = open_ledger(home.ledger_file)
    for number in range(1, 5):
        publish(home, ledger, states[number % 2], run_id="run-1", fence=1)
    done.set()
    for reader in readers:
        reader.join()
    assert mixed == []
    assert len(seen) >= 3
