"""Another model is seen before it is adopted, and the next run links by it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from flows.cli import app
from flows.night import run_night
from flows.terminal import run_command_line
from linkage.link import LinkageSettings
from linkage.model import read_model
from record.reader import open_record
from tests.exchange import MONDAY, PARTIES, SmallExchange, small_exchange


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallExchange:
    made = small_exchange(tmp_path_factory.mktemp("relink"))
    made.put_students()
    made.record(*PARTIES)
    run_night(made.home, now=MONDAY)
    return made


@pytest.fixture
def doubter(tmp_path: Path) -> Path:
    """A model to which nothing that agrees says anything."""
    model = read_model(LinkageSettings().model)
    for level in (level for comparison in model["comparisons"] for level in comparison["comparison_levels"]):
        if "u_probability" in level:
            level["m_probability"] = level["u_probability"]
        level.pop("tf_adjustment_column", None)
    path = tmp_path / "doubter.json"
    path.write_text(json.dumps(model))
    return path


def kith(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["kith", *words])
    try:
        return run_command_line(app)
    except SystemExit as ended:
        return int(ended.code or 0)


def persons(small: SmallExchange) -> int:
    return int(open_record(small.home).manifest["tables"]["person"]["rows"])


def test_a_model_is_seen_adopted_and_followed(
    small: SmallExchange, doubter: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = persons(small)
    words = ("relink", "--model", str(doubter), "--home", str(small.home.root))
    assert kith(monkeypatch, *words, "--preview", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["splits"], told["merges"], told["adopted"]) == (2, 0, False)
    assert told["persons_after"] == before + 2
    assert {reason["kind"] for reason in told["reasons"]} == {"split"}
    assert not list(small.home.root.glob(".relink-*"))

    run_night(small.home, now=MONDAY + timedelta(days=1))
    assert persons(small) == before

    assert kith(monkeypatch, *words) == 7  # on no grounds
    assert kith(monkeypatch, *words, "--why", "measured", "--by", "ada") == 0
    assert persons(small) == before
    capsys.readouterr()
    run_night(small.home, now=MONDAY + timedelta(days=2))
    assert persons(small) == before + 2
    manifest = open_record(small.home).manifest
    assert manifest["quality"]["model"].startswith(str(small.home.root / "models" / "doubter-"))

    split = open_record(small.home).table("person_source").to_pandas()["person_id"].iloc[0]
    assert kith(monkeypatch, "person", split, "--home", str(small.home.root), "--json") == 0
    causes = {e["cause"] for e in json.loads(capsys.readouterr().out)["events"] if e["kind"] == "split_from"}
    assert causes <= {"model"}


def test_a_model_that_is_not_there_is_an_error_and_adopts_nothing(
    small: SmallExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("relink", "--model", "1999-1", "--why", "none", "--home", str(small.home.root))
    assert kith(monkeypatch, *words) == 7
