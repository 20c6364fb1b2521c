"""Links are evaluated on the command line: by a truth, or by a sample that is drawn, judged and estimated from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import app
from flows.night import run_night
from flows.terminal import run_command_line
from tests.exchange import MONDAY, PARTIES, SmallExchange, small_exchange


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallExchange:
    made = small_exchange(tmp_path_factory.mktemp("evaluate"))
    made.put_students()
    made.record(*PARTIES)
    run_night(made.home, now=MONDAY)
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def ask(*words: str, status: int = 0) -> Any:
        monkeypatch.setattr("sys.argv", ["kith", *words, "--json"])
        capsys.readouterr()
        try:
            ended = run_command_line(app)
        except SystemExit as stopped:
            ended = int(stopped.code or 0)
        out = capsys.readouterr().out
        assert ended == status, out
        return json.loads(out)

    return ask


def test_a_sample_is_drawn_judged_and_estimated_from(small: SmallExchange, said: Any) -> None:
    home = str(small.home.root)
    assert said("evaluate", home)["estimates"] == "not judged yet"
    page = next(small.home.reports.glob("*.html")).read_text(encoding="utf-8")
    assert "How good the links are" in page and "Precision and recall: not judged yet" in page
    drawn = said("evaluate", home, "--sample", "10")
    assert drawn and not any(pair["judged"] for pair in drawn)
    for pair in drawn:
        same = "same" if pair["stratum"].startswith("joined") else "different"
        said("review", "decide", pair["record_l"], pair["record_r"], same, "--why", "seen", "--home", home)
    found = said("evaluate", home)
    assert {one["figure"]: one["value"] for one in found["estimates"]} == {"precision": 1.0, "recall": 1.0}
    assert found["estimates"][0]["judged"] == len(drawn)


def test_a_home_and_a_file_are_evaluated_by_a_truth(small: SmallExchange, said: Any, tmp_path: Path) -> None:
    refs = [("hillside_schools/students/004211", "a"), ("valley_court/party/P1", "a"), ("valley_court/party/P3", "b")]
    (tmp_path / "truth.csv").write_text("record_id,truth\n" + "".join(f"{ref},{who}\n" for ref, who in refs))
    found = said("evaluate", str(small.home.root), "--truth", str(tmp_path / "truth.csv"))
    assert (found["mentions"], found["pairs_within_persons"]["recall"]) == (3, 1.0)

    (tmp_path / "people.csv").write_text(
        "id,first,last,born,sex\n1,Mia,Orr,2012-03-04,F\n2,Mia,Orr,2012-03-04,F\n3,Bo,Ek,2011-01-02,M\n"
    )
    (tmp_path / "map.yaml").write_text(
        "columns: {record_id: id, given: first, surname: last, birth_date: born, sex: sex}\n"
    )
    (tmp_path / "who.csv").write_text("record_id,truth\n1,x\n2,x\n3,y\n")
    words = ("evaluate", str(tmp_path / "people.csv"), "--columns", str(tmp_path / "map.yaml"))
    found = said(*words, "--truth", str(tmp_path / "who.csv"))
    assert found["mentions"] == 3 and {row["by"] for row in found["by_group"]} == {"race", "sex", "age"}
    assert not list(tmp_path.glob(".kith-evaluate-*"))


def test_a_truth_by_agency_table_and_key_is_read_as_the_demo_writes_it(
    small: SmallExchange, said: Any, tmp_path: Path
) -> None:
    told = "agency,table_or_file,source_person_key,true_person_id\n"
    keys = [("hillside_schools,students,004211", "amara"), ("valley_court,party,P1", "amara"),
            ("hillside_schools,students,004213", "ines")]  # fmt: skip
    (tmp_path / "truth.csv").write_text(told + "".join(f"{key},{who}\n" for key, who in keys))
    found = said("evaluate", str(small.home.root), "--truth", str(tmp_path / "truth.csv"))
    assert (found["mentions"], found["pairs_within_persons"]["true"]) == (3, 1)
    assert sum(each["true"] for each in found["by_sources"]) == 1


def test_a_file_without_a_truth_cannot_be_evaluated(said: Any, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("record_id\n1\n")
    assert "judged samples" in said("evaluate", str(tmp_path / "people.csv"), status=7)["error"]["what"]
