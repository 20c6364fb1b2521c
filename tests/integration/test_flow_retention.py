"""When an agreement has ended its data are destroyed: files, rows of the record, and every copy by its key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from demo.governed import Term, govern, sign_all
from flows.cli import app
from flows.destruction import certify, destroy
from flows.night import run_night
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from governance.load import governance_folder, load_governance
from governance.retention import due, read_certificate
from record.reader import open_record
from releases.index import index_folder
from releases.reader import open_release
from standard.errors import DeclarationError, EncryptionError, ExchangeError
from store.audit_check import check_log
from store.encryption import is_encrypted
from store.encryption_home import open_to_read
from store.home import ENCRYPTED, Home, connect, literal, open_home
from tests.encrypted_home import encrypt_home, files_below
from tests.exchange import MONDAY, PARTIES, TUESDAY, SmallExchange, small_exchange

TERM = Term(date(2026, 7, 1), date(2026, 12, 31))
AFTER = datetime(2027, 1, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def after_a_night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A governed, encrypted exchange after two nights, to be copied by each test."""
    folder = tmp_path_factory.mktemp("governed")
    made = small_exchange(folder)
    said = made.home.settings_file
    said.write_text(said.read_text("utf-8") + "governance: required\n")
    encrypt_home(made.home, folder / "masters")
    agencies = load_agencies_of(made.home, load_settings(made.home))
    govern(made.home, agencies, term=TERM, keys=made.home.root / "officers")
    made.put_students()
    made.record(*PARTIES)
    assert run_night(made.home, now=MONDAY).failures == ()
    made.record(("P4", "INGA", "AALTONEN", "2012-12-01", "2026-09-08 10:00:00"))
    assert run_night(made.home, now=TUESDAY).failures == ()
    yield folder
    ENCRYPTED.clear()


@pytest.fixture
def home(after_a_night: Path, tmp_path: Path) -> Home:
    """The exchange of its own, with master keys of its own."""
    shutil.copytree(after_a_night, tmp_path / "it")
    said = tmp_path / "it" / "home" / "exchange.yaml"
    said.write_text(said.read_text("utf-8").replace(str(after_a_night), str(tmp_path / "it")))
    return open_home(tmp_path / "it" / "home")


def _agreed(home: Home) -> list[tuple[str, str]]:
    governance = load_governance(governance_folder(home), load_agencies_of(home, load_settings(home)))
    return [(each.agreement, each.standing) for each in due(home, governance, AFTER.date())]


def test_what_ended_is_destroyed_with_its_copies_and_certified(home: Home, tmp_path: Path) -> None:
    with_both = open_record(home).snapshot_id
    shutil.copytree(home.root, tmp_path / "backup")
    _renew(home, "DSA-2")
    assert _agreed(home) == [("DSA-1", "due"), ("DUL-1", "due")]
    done = destroy(home, "DSA-1", now=AFTER)
    assert done["rows_received"] == 4
    assert {file["area"] for file in done["files"]} == {"landing", "batches", "state"}
    assert list(open_record(home).table("person_source").to_pandas()["agency"].unique()) == ["valley_court"]
    assert not list((home.record / "snapshots" / with_both).glob("*.parquet"))
    assert not (home.landing / "hillside_schools").exists()

    settings = load_settings(home)
    ledger = open_home_ledger(home, settings)
    certify(home, ledger, "DSA-1", today=AFTER.date())
    ledger.close()
    signed = read_certificate(home, "DSA-1")
    assert signed["copies"] == "destroyed with their keys"
    assert "Quillfeather" not in json.dumps(signed)
    assert _agreed(home) == [("DSA-1", "certified"), ("DUL-1", "due")]
    assert check_log(home, []).faults == []

    # The backup of before, laid back beside the same master keys, opens nothing; with the keys of now, the court alone.
    restored = open_home(tmp_path / "backup")
    stored = [path for path in files_below(restored.landing, restored.batches, restored.state, restored.links,
                                           restored.record / "snapshots") if is_encrypted(path)]  # fmt: skip
    assert len(stored) > 20
    assert [path for path in stored if _opens(path)] == []
    shutil.copytree(home.keys / "data", restored.keys / "data", dirs_exist_ok=True)
    ENCRYPTED.clear()
    open_home(tmp_path / "backup")
    opened = [path.relative_to(restored.root).parts[:2] for path in stored if _opens(path)]
    assert {place for place in opened if place[0] in ("landing", "state", "links", "record")} == {
        ("landing", "valley_court"), ("state", "valley_court")
    }  # fmt: skip


def _opens(path: Path) -> bool:
    try:
        with open_to_read(path) as file:
            file.read(1)
    except EncryptionError:
        return False
    return True


def _renew(home: Home, name: str) -> None:
    """Lets an agreement last another year, signed anew."""
    folder = governance_folder(home)
    for each in ("MOU-1", name):
        path = folder / "agreements" / f"{each}.yaml"
        path.write_text(path.read_text("utf-8").replace("2026-12-31", "2027-12-31"), "utf-8")
    sign_all(folder, keys=home.root / "officers", today=TERM.effective, only=["MOU-1", name])


def test_a_destruction_that_was_killed_goes_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _renew(home, "DSA-2")
    with monkeypatch.context() as patched:
        patched.setattr("flows.destruction._remove_files", _dies)
        with pytest.raises(KeyboardInterrupt):
            destroy(home, "DSA-1", now=AFTER)
    ledger = open_home_ledger(home, load_settings(home))
    with pytest.raises(ExchangeError, match="files are still there"):
        certify(home, ledger, "DSA-1", today=AFTER.date())
    ledger.close()
    on = ("--on", "2027-01-15", "--home", str(home.root), "--json")
    assert _kith("retention", "run", "DSA-1", *on)["standing"] == "begun"  # without --yes it only says so
    assert _kith("retention", "run", "DSA-1", "--yes", *on)["files"] > 5
    signed = _kith("retention", "certify", "DSA-1", *on)
    assert {file["area"] for file in signed["files"]} == {"landing", "batches", "state"}
    assert [each["standing"] for each in _kith("retention", "due", *on)] == ["certified", "due"]


def _kith(*words: str) -> Any:
    told = CliRunner().invoke(app, [*words], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_of_releases_the_copies_here_go_with_their_rows_and_the_rest_when_the_recipient_has_to_be_told_nothing_more(
    home: Home, tmp_path: Path
) -> None:
    release = ("release", "research", "--on", "2026-09-08", "--home", str(home.root), "--json")
    made = [_kith(*release), _kith(*release, "--format", "csv", "--out", str(tmp_path / "given"))]
    here, elsewhere = (Path(each["folder"]) for each in made)
    assert open_release(here, today=TUESDAY.date()).table("person").to_arrow().num_rows > 3
    assert _agencies_kept(home, here.name) == {"hillside_schools", "valley_court"}
    _renew(home, "DSA-2")
    destroy(home, "DSA-1", now=AFTER)
    assert (here.exists(), elsewhere.exists()) == (False, True)
    ledger = open_home_ledger(home, load_settings(home))
    certify(home, ledger, "DSA-1", today=AFTER.date())
    ledger.close()
    signed = read_certificate(home, "DSA-1")
    assert (signed["releases"], signed["released_elsewhere"]) == ([here.name], [elsewhere.name])
    assert _agencies_kept(home, here.name) == {None, "valley_court"}

    with pytest.raises(DeclarationError, match="has until"):
        destroy(home, "DUL-1", now=AFTER)
    gone = _kith("retention", "run", "DUL-1", "--yes", "--on", "2028-01-01", "--home", str(home.root), "--json")
    assert (sorted(gone["releases"]), gone["copies"]) == (sorted([here.name, elsewhere.name]), [])
    assert [path.name for path in index_folder(home).iterdir() if path.is_dir()] == []
    assert _kith("disclosures", "for-agreement", "DUL-1", "--home", str(home.root), "--json")
    assert check_log(home, []).faults == []


def _agencies_kept(home: Home, release_id: str) -> set[str | None]:
    """Of which agencies the exchange knows which rows of theirs went out in a table of a release."""
    path = index_folder(home) / release_id / "person_demographic.parquet"
    with connect() as con:
        return set(con.sql(f"FROM read_parquet({literal(path)})").to_arrow_table()["agency"].to_pylist())


def test_a_legal_hold_keeps_the_data_back(home: Home) -> None:
    (governance_folder(home) / "holds.yaml").write_text(
        "holds:\n  - {id: HOLD-7, because: inquiry of the county, agencies: [hillside_schools], since: 2026-10-01}\n"
    )
    assert ("DSA-1", "held") in _agreed(home)
    with pytest.raises(DeclarationError, match="R18 HOLD-7"):
        destroy(home, "DSA-1", now=AFTER)
    assert (home.landing / "hillside_schools").exists()


def test_what_has_not_ended_or_is_spoken_for_by_another_agreement_is_not_destroyed(home: Home) -> None:
    with pytest.raises(DeclarationError, match="has not ended"):
        destroy(home, "DSA-1", now=TUESDAY)
    with pytest.raises(DeclarationError, match="is a memorandum"):
        destroy(home, "MOU-1", now=AFTER)
    folder = governance_folder(home)
    text = (folder / "agreements" / "DSA-1.yaml").read_text("utf-8")
    (folder / "agreements" / "DSA-9.yaml").write_text(
        text.replace("DSA-1", "DSA-9").replace("2026-12-31", "2027-12-31"), "utf-8"
    )
    _renew(home, "DSA-9")
    assert ("DSA-1", "renewed") in _agreed(home)
    with pytest.raises(DeclarationError, match="other agreements speak"):
        destroy(home, "DSA-1", now=AFTER)


def test_keys_cannot_be_destroyed_that_there_are_not(tmp_path: Path) -> None:
    small: SmallExchange = small_exchange(tmp_path)
    agencies = load_agencies_of(small.home, load_settings(small.home))
    govern(small.home, agencies, term=TERM, keys=small.home.root / "officers")
    with pytest.raises(ExchangeError, match="not encrypted: copies stay readable"):
        destroy(small.home, "DSA-1", now=AFTER)
