"""`kith release` from the terminal: made, listed, compared, verified; what is wrong ends with a status and words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from governed import DAY, END, POLICY, World, declare, world

from flows.cli import app
from flows.terminal import run_command_line
from store.sign import public_key

Kith = Callable[..., tuple[int, Any]]
LAST = "2099-12-31"


@pytest.fixture
def kith(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kith:
    def say(*words: object) -> tuple[int, Any]:
        monkeypatch.setattr("sys.argv", ["kith", "release", *map(str, words), "--json"])
        capsys.readouterr()
        try:
            status = run_command_line(app)
        except SystemExit as ended:
            status = int(ended.code or 0)
        out = capsys.readouterr().out
        return status, json.loads(out) if out else None

    return say


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = world(tmp_path_factory.mktemp("world"))
    declare(made.home)
    for name in ("MOU-1", "DSA-1", "DSA-2", "DSA-3", "DUL-1"):
        made.small.edit(name, f"expires: {END}", f"expires: {LAST}")
    made.small.policy(POLICY)
    return made


def test_a_release_is_made_listed_verified_and_compared(made: World, kith: Kith, tmp_path: Path) -> None:
    at = ("--home", made.home.root)
    status, first = kith("study", "--on", DAY, "--format", "csv", *at)
    assert status == 0 and {row["table"]: row["rows"] for row in first["tables"]} == {"allegation": 1, "enrollment": 2}
    assert (Path(first["folder"]) / "tables" / "enrollment.csv").is_file()
    key = tmp_path / "exchange.pem"
    key.write_text(public_key(made.home.keys), "ascii")
    assert kith("verify", first["folder"], "--key", key) == (0, {"release": first["release"], "signature": True})
    assert kith("verify", first["folder"], "--key", tmp_path / "not_there.pem") == (2, None)
    beside = Path(first["folder"]) / "manifest.json.sig"
    signature = beside.read_bytes()
    beside.unlink()
    status, told = kith("verify", first["folder"], "--key", key)
    assert (status, told["error"]["what"]) == (8, "the manifest is not what the exchange signed")
    beside.write_bytes(signature)
    status, listed = kith("list", *at)
    assert status == 0 and [row["release_id"] for row in listed] == [first["release"]]
    assert kith("diff", first["release"], first["release"], *at) == (0, [])


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (("nothing_of_this_name",), 3, "there is no policy"),
        (("study", "--on", "2100-01-01"), 3, "DUL-1 is not in force"),
        (("study", "--format", "postgres"), 3, "no database is named for releases"),
        (("diff", "a", "b"), 8, "there was no release 'a'"),
    ],
)
def test_what_cannot_be_done_ends_with_a_status_and_words(
    made: World, kith: Kith, words: tuple[str, ...], status: int, what: str
) -> None:
    ended, told = kith(*words, "--home", made.home.root)
    assert ended == status and what in told["error"]["what"] and told["error"]["mend"]


def test_a_folder_that_is_no_release_is_told_so(kith: Kith, tmp_path: Path) -> None:
    status, told = kith("verify", tmp_path)
    assert status == 8 and told["error"]["what"] == "here is no release"
