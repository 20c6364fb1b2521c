"""Sixty personal values and ten secrets go through nights that succeed, fail and are killed: nowhere do they show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from store.home import Home
from store.keys_pkcs11 import PIN_VARIABLE
from tests.canaries import CODES, COURT, FILES, PERSONAL, PHONES, found_in, headless, manifest, new_columns, students
from tests.encrypted_home import encrypt_home, files_below
from tests.exchange import small_exchange
from tests.servers import PostgresServer, SftpServer

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ("ledger.db", "ledger.db-wal", "ledger.db-shm")
KEPT_BY_PURPOSE = (*LEDGER, "keys", "agencies", "exchange.yaml")
"""What the operators wrote themselves, secrets in their files, and the ledger, which has a test of its own."""
PIN = "pin-Qz83-4471-Vx"
MANIFEST = """\
feed: manifest
title: What the schools say they exported
source: drop
arrives: {files: "manifest_{as_of:%Y%m%d}.csv"}
format: {kind: delimited, encoding: utf-8, delimiter: ",", quote: '"', header: true}
holds: delta
key: [file, sha256]
elements:
  file: {column: file, text: {}, required: true}
  rows: {column: rows, integer: {}, required: true}
  sha256: {column: sha256, text: {}, required: true}
"""
NIGHTS = """
import json, os, signal, sys
from pathlib import Path
import duckdb
import flows.intake
from flows.cli import app
from flows.commands.run import run_orchestrated
from flows.failures import failure_of
from flows.night import run_night
from flows.terminal import run_command_line, show_progress
from store.home import open_home
from tests.canaries import FAILING
from tests.exchange import MONDAY, TUESDAY

show_progress()
home, told = open_home(Path(sys.argv[1])), []

def tell(result):
    told.append([result.published, sorted(f"{f.agency} {f.stage} {f.error}" for f in result.failures)])

def row_breaks(*_, **__):
    duckdb.connect().execute(f"SELECT CAST('{FAILING[0]}, {FAILING[1]}' AS DATE)")

def library_breaks(*_, **__):
    raise ValueError(f"could not convert {FAILING[2]!r} of {FAILING[3]!r}")

def dies(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def night(run, now, **patched):
    before = {name: getattr(flows.intake, name) for name in patched}
    for name, put in patched.items():
        setattr(flows.intake, name, put)
    tell(run(home, now=now))
    for name, was in before.items():
        setattr(flows.intake, name, was)

for step in sys.argv[2:]:
    if step == "killed":
        night(run_night, MONDAY, check_batch=dies)
    elif step == "prefect":
        night(run_orchestrated, TUESDAY, map_extract=row_breaks)
    elif step == "library":
        night(run_night, TUESDAY, check_batch=library_breaks)
    elif step == "well":
        night(run_night, TUESDAY)
print("told", json.dumps(told), flush=True)
for words in (["status"], ["quarantine", "list"], ["audit", "list"], ["keys", "list"]):
    sys.argv = ["kith", *words, "--home", str(home.root), "--json"]
    try:
        run_command_line(app)
    except SystemExit:
        pass
"""


@dataclass
class Nights:
    """What the nights left."""

    home: Home
    told: list[list[object]]
    log: bytes
    answers: bytes
    """What commands printed."""
    temporary: Path
    secrets: list[str]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, sshd: SftpServer, postgres: PostgresServer) -> Nights:
    folder = tmp_path_factory.mktemp("canaries")
    small = small_exchange(folder)
    home, temporary = small.home, folder / "tmp"
    temporary.mkdir(mode=0o700)
    inbox = _behind_a_real_server(home, sshd)
    database = f"court_{uuid4().hex[:8]}"
    (home.keys / "valley_court_url").write_text(postgres.create(database))
    _record(postgres, database)
    encrypt_home(home, folder / "masters")
    _put(inbox, "students_20260907.csv", students())
    _put(inbox, "manifest_20260907.csv", manifest("students_20260907.csv"))
    log, _, _ = _run(home, temporary, "killed", status=-signal.SIGKILL)
    _put(inbox, f"students_20260908_{FILES[0]}.csv", headless())
    _put(inbox, f"students_20260909_{FILES[1]}.csv", new_columns())
    more, answers, told = _run(home, temporary, "prefect", "library", "well")
    postgres.run(database, _BROKEN)
    last, again, after = _run(home, temporary, "well")
    secrets = _secrets(home, folder, postgres)
    return Nights(home, told + after, log + more + last, answers + again, temporary, secrets)


def _behind_a_real_server(home: Home, sshd: SftpServer) -> Path:
    place = uuid4().hex
    for name in ("inbox", "receipts"):
        (sshd.root / place / name).mkdir(parents=True)
    (home.keys / "known_hosts").write_text(sshd.known_hosts)
    (home.keys / "hillside_key").touch(mode=0o600)
    (home.keys / "hillside_key").write_text(sshd.key.read_text())
    sftp = {"host": sshd.host, "port": str(sshd.port), "user": sshd.user, "key": "secret:hillside_key", "settle": "0",
            "folder": f"{place}/inbox", "receipts": f"{place}/receipts"}  # fmt: skip
    settings = yaml.safe_load(home.settings_file.read_text())
    settings["sources"] = {"hillside_schools": {"drop": {"sftp": sftp}}}
    home.settings_file.write_text(yaml.safe_dump(settings))
    feed = home.agencies / "hillside_schools" / "students.yaml"
    text = feed.read_text().replace("%Y%m%d}.csv", "%Y%m%d}*.csv")
    feed.write_text(text.replace("holds: full", "manifest: {feed: manifest}\nholds: full"))
    (feed.parent / "manifest.yaml").write_text(MANIFEST)
    agency = feed.parent / "agency.yaml"
    agency.write_text(agency.read_text().replace("feeds: [", "feeds: [manifest, "))
    return sshd.root / place / "inbox"


def _put(inbox: Path, name: str, text: str) -> None:
    path = inbox / name
    path.write_text(text, encoding="utf-8")
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))


def _record(postgres: PostgresServer, database: str) -> None:
    rows = ", ".join(
        f"('P{n}', '{name}', '{name}', '2012-10-23', '2026-09-01 10:00:00')" for n, name in enumerate(COURT)
    )
    columns = "party_no TEXT PRIMARY KEY, first_name TEXT, last_name TEXT, birth_date TEXT, changed_at TEXT"
    postgres.run(database, f"CREATE TABLE party ({columns}); INSERT INTO party VALUES {rows}")


_BROKEN = """
ALTER TABLE party RENAME TO party_of_before;
CREATE VIEW party AS SELECT party_no, first_name, last_name, CAST(last_name AS date)::text AS birth_date, changed_at
FROM party_of_before;
"""
"""The database says of its own accord which value it could not convert."""


def _run(home: Home, temporary: Path, *steps: str, status: int = 0) -> tuple[bytes, bytes, list[list[object]]]:
    around = os.environ | {"TMPDIR": str(temporary), PIN_VARIABLE: PIN}
    done = subprocess.run(
        [sys.executable, "-c", NIGHTS, str(home.root), *steps],
        cwd=ROOT, capture_output=True, timeout=280, check=False, env=around,
    )  # fmt: skip
    assert done.returncode == status, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith(b"told ")]
    return done.stderr, done.stdout, json.loads(lines[-1][5:]) if lines else []


def _secrets(home: Home, folder: Path, postgres: PostgresServer) -> list[str]:
    """Ten secrets: passwords, a PIN, keys of the exchange, of its log, receipts and login, and the master key."""
    names = ("identity", "audit_key", "receipt_key", "hillside_key")
    lines = [(home.keys / name).read_text().strip().splitlines() for name in names]
    masters = [path.read_text().strip() for path in (folder / "masters").iterdir()]
    wrapped = [
        json.loads(path.read_text())["wrapped"] for path in (home.keys / "data").glob("*.json") if len(path.stem) == 32
    ]
    longest = [max(each, key=len) for each in lines]
    return [postgres.password, PIN, (home.keys / "valley_court_url").read_text(), *longest, *masters, *wrapped]


def test_the_nights_went_as_they_were_to_go(nights: Nights) -> None:
    failures = [told[1] for told in nights.told]
    assert failures[0] == [f"{agency} load ConversionException" for agency in ("hillside_schools", "valley_court")]
    assert failures[1] == [f"{agency} load ValueError" for agency in ("hillside_schools", "valley_court")]
    assert failures[2] == []
    assert failures[3] == ["valley_court fetch SourceError"]
    assert len(PERSONAL) == 60
    assert len(nights.secrets) >= 10


def test_no_value_of_a_person_shows_below_the_home(nights: Nights) -> None:
    assert _leaks(nights.home.root, [value for value in PERSONAL if value not in FILES]) == []


def test_the_name_of_a_file_shows_only_in_the_receipt_to_who_named_it(nights: Nights) -> None:
    assert {Path(place).parts[0] for place, _ in _leaks(nights.home.root, FILES)} == {"receipts"}


def test_the_ledger_holds_of_all_values_names_of_files_and_what_stood_where_a_code_should_alone(nights: Nights) -> None:
    in_place_of_codes = {*CODES, PHONES[0]}  # one row was shifted into wrong columns
    stored = b"".join(path.read_bytes() for name in LEDGER if (path := nights.home.root / name).is_file())
    assert found_in(stored, [*PERSONAL, *nights.secrets]) == {*FILES, *in_place_of_codes}


def test_no_secret_shows_outside_its_file(nights: Nights) -> None:
    assert _leaks(nights.home.root, nights.secrets) == []


def test_neither_shows_in_temporary_folders_or_on_the_terminal(nights: Nights) -> None:
    hidden = [*PERSONAL, *nights.secrets]
    assert found_in(nights.log, hidden) == set()
    assert found_in(nights.answers, hidden) == set()
    left = {path.name: found_in(path.read_bytes(), hidden) for path in files_below(nights.temporary)}
    assert {name: values for name, values in left.items() if values} == {}


def test_nothing_but_the_operators_own_declarations_can_be_read_by_others(nights: Nights) -> None:
    root = nights.home.root
    made = [path for path in root.rglob("*") if not path.is_relative_to(nights.home.agencies)]
    assert [str(path) for path in made if path.lstat().st_mode & 0o077 and path != nights.home.settings_file] == []


def _leaks(root: Path, values: list[str]) -> list[tuple[str, list[str]]]:
    looked = [
        path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] not in KEPT_BY_PURPOSE
    ]
    assert len(looked) > 60
    found = ((str(path.relative_to(root)), found_in(path.read_bytes() + path.name.encode(), values)) for path in looked)
    return [(name, sorted(which)) for name, which in found if which]
