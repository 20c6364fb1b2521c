"""Laying out a home and looking it over: what is made, with which permissions, and how each ill is told."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flows import cli
from flows.doctor import Sign, examine
from flows.lay_out_home import lay_out_home
from flows.settings import load_settings
from flows.terminal import run_command_line
from record.publish import publish
from standard.errors import ExchangeError
from store.home import Home, open_home
from store.ledger import open_ledger
from tests.exchange import MONDAY
from tests.record_rows import inputs_of


def kith(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Types a command and gives its exit status."""
    monkeypatch.setattr(sys, "argv", ["kith", *map(str, words)])
    try:
        return run_command_line(cli.app)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return lay_out_home(tmp_path / "exchange")


def with_example(home: Home) -> Home:
    (home.root / "example" / "hillside_schools").rename(home.agencies / "hillside_schools")
    return home


def without_governance(home: Home) -> None:
    settings = home.settings_file.read_text("utf-8")
    home.settings_file.write_text(settings.replace("governance: required", "governance: off"), "utf-8")


def public_line() -> str:
    """The line of a new officer's .pub file."""
    made = Ed25519PrivateKey.generate().public_key()
    return made.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


def ills(home: Home) -> dict[tuple[str, str], Sign]:
    return {(sign.check, sign.about): sign for sign in examine(home, now=MONDAY) if not sign.well}


def test_a_new_home_is_private_and_its_settings_can_be_read(home: Home) -> None:
    modes = {path.relative_to(home.root): stat.S_IMODE(path.stat().st_mode) for path in home.root.rglob("*")}
    others = {path: f"{mode:o}" for path, mode in modes.items() if mode & 0o077}
    assert others == {}
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    assert load_settings(open_home(home.root)).exchange == "exchange"


def test_nothing_is_laid_out_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExchangeError, match="not empty"):
        lay_out_home(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_name_that_looks_like_yaml_stays_a_name(tmp_path: Path) -> None:
    home = lay_out_home(tmp_path / "x", name="Hill: & Dale # 1")
    assert load_settings(home).exchange == "Hill: & Dale # 1"


def test_two_homes_never_share_a_secret(tmp_path: Path) -> None:
    secrets = {(lay_out_home(tmp_path / name).keys / "identity").read_text() for name in "ab"}
    assert len(secrets) == 2


def test_init_and_doctor_speak_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kith(monkeypatch, "init", tmp_path / "x", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"home": str(tmp_path / "x")}
    assert kith(monkeypatch, "doctor", "--home", tmp_path / "x", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert [sign["about"] for sign in told if not sign["well"]] == ["agencies/"]


def test_doctor_says_that_no_agency_takes_part_yet(home: Home) -> None:
    assert {about: sign.says for (_, about), sign in ills(home).items()} == {"agencies/": "no agency takes part yet"}


def test_doctor_finds_nothing_wrong_with_an_agency_whose_source_answers(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drop").mkdir()
    monkeypatch.setenv("HILLSIDE_DROP", str(tmp_path / "drop"))
    without_governance(with_example(home))
    assert ills(home) == {}


def test_doctor_says_that_an_agency_s_files_would_be_held_for_want_of_an_agreement(home: Home) -> None:
    nobody = ills(with_example(home))["governance", "agreements"]
    assert (nobody.exit_status, "nobody is named yet" in nobody.says) == (3, True)
    assert "governance/README.md" in nobody.mend
    example = home.root / "example" / "governance"
    parties = re.sub("PASTE.*?}", lambda _: f"{public_line()}}}", (example / "parties.yaml").read_text("utf-8"))
    (example / "parties.yaml").write_text(parties, "utf-8")
    shutil.copytree(example, home.root / "governance", dirs_exist_ok=True)
    unsigned = ills(home)["governance", "agreements"]
    assert (unsigned.exit_status, "kith agreement check" in unsigned.mend) == (3, True)
    assert "1 feed may not be loaded, hillside_schools/students" in unsigned.says
    assert "DSA-2026-001: hillside_schools, valley_exchange: has not signed" in unsigned.says


def test_doctor_names_the_variable_a_source_needs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HILLSIDE_DROP", raising=False)
    sign = ills(with_example(home))["source", "hillside_schools/drop"]
    assert (sign.exit_status, "HILLSIDE_DROP is not set" in sign.says) == (3, True)


def test_doctor_finds_a_source_that_is_not_there(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HILLSIDE_DROP", str(tmp_path / "nowhere"))
    assert ills(with_example(home))["source", "hillside_schools/drop"].exit_status == 4


def test_doctor_finds_a_key_that_others_can_read_and_says_the_command(home: Home) -> None:
    (home.keys / "hillside_key").write_text("secret")
    (home.keys / "hillside_key").chmod(0o644)
    sign = ills(home)["permissions", "keys/hillside_key"]
    assert (sign.exit_status, sign.mend) == (3, f"chmod 600 {home.keys / 'hillside_key'}")


def test_doctor_finds_a_table_of_the_record_that_is_not_as_it_was_published(home: Home, tmp_path: Path) -> None:
    ledger = open_ledger(home.ledger_file)
    snapshot = publish(home, ledger, inputs_of(tmp_path / "in"), run_id="run-1", fence=1)
    ledger.close()
    assert ("record", "snapshot in force") not in ills(home)
    snapshot.table("address").write_bytes(b"not a table")
    sign = ills(home)[("record", "snapshot in force")]
    assert "address" in sign.says and sign.exit_status == 8 and "kith run" in sign.mend


def test_doctor_finds_a_lost_identity_secret(home: Home) -> None:
    (home.keys / "identity").unlink()
    assert ills(home)["keys", "identity"].exit_status == 3


def test_doctor_names_file_and_line_of_a_wrong_declaration(home: Home) -> None:
    students = with_example(home).agencies / "hillside_schools" / "students.yaml"
    students.write_text(students.read_text().replace("holds: full", "holds: fully"))
    sign = ills(home)["agency", "hillside_schools"]
    line = students.read_text().split("\n").index("holds: fully") + 1
    assert f"students.yaml, line {line}" in sign.says


def test_doctor_tells_of_settings_with_an_unknown_key(home: Home) -> None:
    home.settings_file.write_text("exchange: x\nagncies: []\n")
    assert "agncies" in ills(home)["settings", "exchange.yaml"].says


def test_an_override_of_an_agency_that_takes_no_part_is_refused(home: Home) -> None:
    home.settings_file.write_text("exchange: x\nagencies: [hillside_schools]\nsources: {hilside: {drop: {}}}\n")
    with_example(home)
    assert "hilside" in ills(home)["agencies", "exchange.yaml"].says


def test_the_command_line_started_as_a_module_does_not_end_well_without_having_done_anything(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "flows.cli", "status", "--home", str(tmp_path / "nowhere")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, "kith init" in ran.stderr) == (3, True)
