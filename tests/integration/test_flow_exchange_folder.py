"""An agency's folders on a real server: inbox, archive, receipts and outbox, with encrypted files."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from connectors import pgp
from flows import send_outbound
from flows.night import run_night
from store.sign import public_key, verify
from tests.exchange import MONDAY, STUDENTS, TUESDAY, SmallExchange, small_exchange
from tests.servers import SftpServer

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs GnuPG; install it: apt-get install gnupg")


@dataclass
class Schools:
    """The schools of the small exchange behind a real sshd; they encrypt and sign what they send."""

    exchange: SmallExchange
    folder: Path
    """Their part of the server."""
    gnupg: Path
    signer: str

    def gpg(self, *arguments: str | Path, content: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", self.gnupg, "--batch", "--no-tty", "--trust-model", "always",
                   "--pinentry-mode", "loopback", "--passphrase", "", *arguments]  # fmt: skip
        return subprocess.run(command, check=True, input=content, capture_output=True).stdout

    def send(self, name: str, text: str, *, signed: bool = True) -> None:
        sign = ["-s", "-u", self.signer] if signed else []
        path = self.folder / "inbox" / name
        path.write_bytes(self.gpg(*sign, "-r", "kith exchange for hillside_schools", "-e", content=text.encode()))
        an_hour_ago = time.time() - 3600
        os.utime(path, (an_hour_ago, an_hour_ago))

    def found(self, kind: str) -> list[Path]:
        return sorted((self.folder / kind).iterdir())

    def receipts(self) -> list[dict[str, str]]:
        return [json.loads(path.read_text()) for path in self.found("receipts") if path.suffix == ".json"]


@pytest.fixture
def schools(tmp_path: Path, sshd: SftpServer) -> Iterator[Schools]:
    exchange = small_exchange(tmp_path, agencies=("hillside_schools",))
    keys, place = exchange.home.keys, uuid4().hex
    (keys / "known_hosts").write_text(sshd.known_hosts)
    (keys / "hillside_key").touch(mode=0o600)
    (keys / "hillside_key").write_text(sshd.key.read_text())
    for name in ("inbox", "archive", "receipts", "outbox"):
        (sshd.root / place / name).mkdir(parents=True)
    gnupg = tmp_path / "g"
    gnupg.mkdir(mode=0o700)
    made = Schools(exchange, sshd.root / place, gnupg, "")
    made.gpg("--quick-gen-key", "Hillside", "future-default", "default", "never")
    (tmp_path / "hillside.asc").write_bytes(made.gpg("--armor", "--export", "Hillside"))
    (made.signer,) = pgp.pin(keys / "hillside.gnupg", tmp_path / "hillside.asc")
    made.gpg("--import", content=pgp.own_key(keys / "hillside.gnupg", "hillside_schools").encode())
    sftp = {"host": sshd.host, "port": str(sshd.port), "user": sshd.user, "key": "secret:hillside_key", "settle": "0",
            "folder": f"{place}/inbox", "archive": f"{place}/archive", "receipts": f"{place}/receipts",
            "outbox": f"{place}/outbox", "pgp": {"keyring": "hillside", "signers": [made.signer]}}  # fmt: skip
    settings = yaml.safe_load(exchange.home.settings_file.read_text())
    settings["sources"] = {"hillside_schools": {"drop": {"sftp": sftp}}}
    exchange.home.settings_file.write_text(yaml.safe_dump(settings))
    feed = exchange.home.agencies / "hillside_schools" / "students.yaml"
    plain, packed = 'files: "students_{as_of:%Y%m%d}.csv"', 'packed: [pgp], files: "students_{as_of:%Y%m%d}*.pgp"'
    feed.write_text(feed.read_text().replace(plain, packed))
    agency = exchange.home.agencies / "hillside_schools" / "agency.yaml"
    agency.write_text(agency.read_text() + "outbound: {format: csv}\n")
    yield made
    subprocess.run(["gpgconf", "--homedir", gnupg, "--kill", "gpg-agent"], check=True)


def test_a_night_takes_answers_archives_and_tells(schools: Schools) -> None:
    schools.send("students_20260907.pgp", STUDENTS)
    result = run_night(schools.exchange.home, now=MONDAY)
    assert (result.exit_status, result.published) == (0, True)
    assert schools.found("inbox") == []
    assert [path.name[16:] for path in schools.found("archive")] == ["students_20260907.pgp"]
    (told,) = schools.receipts()
    assert (told["verdict"], told["delivery"]["signed_by"]) == ("accepted", schools.signer)  # type: ignore[index]
    (path,) = [path for path in schools.found("receipts") if path.suffix == ".json"]
    verify(path.read_bytes(), path.with_name(f"{path.name}.sig").read_bytes(), public_key(schools.exchange.home.keys))
    persons, manifest, _ = schools.found("outbox")[::-1]
    assert json.loads(manifest.read_text())["files"][0]["rows"] == 3
    with persons.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["key"] for row in rows} == {"004211", "004212", "004213"}
    assert {row["change"] for row in rows} == {"new"}


def test_what_was_encrypted_anew_is_a_duplicate_and_tells_nothing_new(schools: Schools) -> None:
    schools.send("students_20260907.pgp", STUDENTS)
    run_night(schools.exchange.home, now=MONDAY)
    outbox = schools.found("outbox")
    schools.send("students_20260907_again.pgp", STUDENTS)
    run_night(schools.exchange.home, now=MONDAY)
    assert [each["verdict"] for each in schools.receipts()] == ["accepted", "duplicate"]
    assert schools.found("outbox") == outbox


def test_an_unsigned_file_is_refused_and_the_next_one_taken(schools: Schools) -> None:
    schools.send("students_20260906.pgp", STUDENTS, signed=False)
    schools.send("students_20260907.pgp", STUDENTS)
    result = run_night(schools.exchange.home, now=MONDAY)
    assert result.exit_status == 5
    assert sorted((each["verdict"], each["reason"]) for each in schools.receipts()) == [
        ("accepted", None), ("refused", "pgp_unsigned"),
    ]  # fmt: skip


def test_no_plaintext_rests_outside_the_places_of_the_home_that_hold_rows(schools: Schools) -> None:
    schools.send("students_20260907.pgp", STUDENTS)
    run_night(schools.exchange.home, now=MONDAY)
    home = schools.exchange.home.root
    holding = {
        path.relative_to(home).parts[0]
        for path in home.rglob("*")
        if path.is_file() and b"QUILLFEATHER" in path.read_bytes().upper()
    }
    assert holding <= {"landing", "batches", "state", "record", "links", "ledger.db"} and "landing" in holding
    made = [path for path in home.rglob("*") if path.is_file() and not path.is_relative_to(home / "agencies")]
    assert [path for path in made if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("place", ["decrypted", "receipt sent", "outbound put"])
def test_a_night_killed_is_ended_by_the_next_one(schools: Schools, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed once it has decrypted, sent a receipt or written to the outbox, and before the ledger knows."""
    schools.send("students_20260907.pgp", STUDENTS)
    child = os.fork()
    if child == 0:
        kill_at(place, monkeypatch)
        run_night(schools.exchange.home, now=MONDAY)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    result = run_night(schools.exchange.home, now=MONDAY)
    assert result.failures == ()
    assert [each["verdict"] for each in schools.receipts()] == ["accepted"]
    assert len(schools.found("outbox")) == 3 and schools.found("inbox") == []
    assert list((schools.exchange.home.landing / ".parts").glob("?" * 32 + ".part")) == []
    assert not list(schools.folder.rglob(".*.part"))


def kill_at(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if place == "decrypted":
        monkeypatch.setattr(pgp, "_judged", dies)
    elif place == "receipt sent":
        monkeypatch.setattr("flows.send_receipts.note_sent", dies)
    else:
        monkeypatch.setattr(send_outbound, "note_told", dies)


def test_what_changes_is_told_by_own_keys(schools: Schools) -> None:
    schools.send("students_20260907.pgp", STUDENTS)
    run_night(schools.exchange.home, now=MONDAY)
    fewer = "\n".join(line for line in STUDENTS.splitlines() if not line.startswith("004213")) + "\n"
    schools.send("students_20260908.pgp", fewer + "=1+1,Pia,Lindqvist,2012-05-06,2,12B\n")
    run_night(schools.exchange.home, now=TUESDAY)
    persons = [path for path in schools.found("outbox") if path.name.endswith("persons.csv")]
    newest = max(persons, key=lambda path: path.stat().st_mtime_ns)
    with newest.open(newline="") as lines:
        told = {row["key"]: row["change"] for row in csv.DictReader(lines)}
    assert told["004213"] == "withdrawn" and "004211" not in told
    assert not any(key.startswith("=") for key in told)
