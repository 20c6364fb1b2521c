"""A home that rests encrypted goes through its nights as any other, and holds no row in clear."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from expectations.past_states import write_state_as_of
from expectations.quarantine import show_row
from flows.cli import app
from flows.night import run_night
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from mappings import map_extract
from record.reader import open_record
from standard.errors import EncryptionError
from store.encryption import is_encrypted
from store.encryption_home import open_to_read
from store.home import ENCRYPTED, Home, open_home
from tests.encrypted_home import encrypt_home, files_below, in_clear
from tests.exchange import MONDAY, PARTIES, STUDENTS, TUESDAY, small_exchange

VALUES = ["Quillfeather", "QUILLFEATHER", "Valdrin", "Hargreen", "HARGREEN", "2013-04-02", "2010-01-30", "004212"]
LATER = STUDENTS.replace("Valdrin", "Sundqvist-Valdrin").replace("004214,Bo,,", "004214,Bo,Aaltonen,")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same two nights in a home in clear and in one that rests encrypted: plain/home, sealed/home, masters."""
    folder = tmp_path_factory.mktemp("nights")
    plain, sealed = small_exchange(folder / "plain"), small_exchange(folder / "sealed")
    shutil.copy2(plain.home.keys / "identity", sealed.home.keys / "identity")
    encrypt_home(sealed.home, folder / "masters")
    for small in (plain, sealed):
        small.put_students()
        small.record(*PARTIES)
        first = run_night(small.home, now=MONDAY)
        small.put_students(LATER, day="20260908")
        small.record(("P4", "INGA", "AALTONEN", "2012-12-01", "2026-09-08 10:00:00"))
        second = run_night(small.home, now=TUESDAY)
        assert (first.failures, second.failures) == ((), ())
    yield folder
    ENCRYPTED.clear()


@pytest.fixture
def sealed(nights: Path) -> Home:
    return open_home(nights / "sealed" / "home")


def test_the_record_is_that_of_a_home_in_clear_and_nothing_of_it_lies_in_clear(nights: Path, sealed: Home) -> None:
    plain = open_home(nights / "plain" / "home")
    record = open_record(sealed)
    assert record.snapshot_id == open_record(plain).snapshot_id  # a hash of what the tables hold
    assert in_clear(sealed, VALUES) == []
    assert len(in_clear(plain, VALUES)) > 20
    assert len(record.to_duckdb().sql("FROM person").fetchall()) == record.manifest["tables"]["person"]["rows"]
    assert record.table("person").to_arrow().num_rows == record.manifest["tables"]["person"]["rows"]
    data = (path for path in sealed.root.iterdir() if path.is_dir() and path.name != "agencies")
    assert [path for path in files_below(*data) if path.stat().st_mode & 0o077] == []


def test_a_row_is_shown_and_a_past_state_is_made_again(sealed: Home, tmp_path: Path) -> None:
    settings = load_settings(sealed)
    agency = load_agencies_of(sealed, settings)["hillside_schools"]
    ledger = open_home_ledger(sealed, settings)
    into = tmp_path / "state.csv"
    _, rows = write_state_as_of(sealed, ledger, agency, agency.feeds["students"], date(2026, 9, 7), into=into)
    assert rows == 3
    assert "QUILLFEATHER" in into.read_text().upper()
    with ledger.reading() as connection:
        [extract_id] = connection.exec_driver_sql(
            "SELECT extract_id FROM extract WHERE feed = 'students' ORDER BY seq LIMIT 1"
        ).scalars()
    assert show_row(sealed, ledger, extract_id=extract_id, record=4).disposition == "quarantined"
    ledger.close()


def test_landed_content_cannot_be_put_in_anothers_place(sealed: Home) -> None:
    one, other = sorted((sealed.landing / "hillside_schools").rglob("?" * 64))
    kept = other.read_bytes()
    shutil.copyfile(one, other)
    with pytest.raises(EncryptionError, match="another's place"):
        open_to_read(other)
    other.write_bytes(kept)


def test_without_the_master_key_nothing_is_read(nights: Path, sealed: Home) -> None:
    (nights / "masters").rename(nights / "elsewhere")
    ENCRYPTED.clear()
    open_home(sealed.root)
    with pytest.raises(EncryptionError, match="master key"):
        open_record(sealed).table("person").to_arrow()
    (nights / "elsewhere").rename(nights / "masters")


def test_what_a_kill_leaves_in_clear_the_next_night_removes(tmp_path: Path) -> None:
    small = small_exchange(tmp_path, agencies=("hillside_schools",))
    encrypt_home(small.home, tmp_path / "masters")
    small.put_students()
    pid = os.fork()
    if pid == 0:  # dies in the middle of mapping, while the landed file is staged in clear
        map_extract._READERS["delimited"] = _die
        run_night(small.home, now=MONDAY)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert any(b"Quillfeather" in path.read_bytes() for path in (small.home.landing / ".parts").iterdir())
    assert run_night(small.home, now=MONDAY).failures == ()
    assert in_clear(small.home, VALUES) == []


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_home_that_is_encrypted_from_now_on_still_reads_what_lies_in_clear(tmp_path: Path) -> None:
    small = small_exchange(tmp_path, agencies=("hillside_schools",))
    small.put_students()
    run_night(small.home, now=MONDAY)
    encrypt_home(small.home, tmp_path / "masters")
    small.put_students(LATER, day="20260908")
    assert run_night(small.home, now=TUESDAY).failures == ()
    assert all(is_encrypted(path) for path in (small.home.record / "snapshots").rglob("*.parquet")
               if path.parent.name == open_record(small.home).snapshot_id)  # fmt: skip
    assert in_clear(small.home, VALUES) != []
    assert _kith("keys", "encrypt", "--home", str(small.home.root))["files"] > 5
    assert in_clear(small.home, VALUES) == []
    before = open_record(small.home)
    assert _kith("keys", "renew", "--home", str(small.home.root))["masters_left"] == []
    assert {key["scope"] for key in _kith("keys", "list", "--home", str(small.home.root))} == {
        "agency/hillside_schools", "record"
    }  # fmt: skip
    assert run_night(small.home, now=TUESDAY).failures == ()
    assert open_record(small.home).snapshot_id == before.snapshot_id


def _kith(*words: str) -> Any:
    told = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)
