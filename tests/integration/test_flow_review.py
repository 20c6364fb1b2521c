"""A reviewer's week on the command line: look, preview, decide, let the night run, take back; ids come back as well."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from flows import cli
from flows.night import run_night
from flows.terminal import run_command_line
from record.reader import open_record
from tests.exchange import MONDAY, PARTIES, STUDENTS, SmallExchange, small_exchange

INES, MILO = "hillside_schools/students/004213", "valley_court/party/P3"
AMARA, TEODOR = "hillside_schools/students/004211", "valley_court/party/P2"
NAMES = ("Ines", "Valdrin", "MILO", "HARGREEN", "2014-02-20")


@dataclass
class Office:
    """The exchange, its reviewer's terminal and its nights."""

    small: SmallExchange
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    nights: int = 0

    def night(self) -> None:
        run_night(self.small.home, now=MONDAY + timedelta(days=self.nights))
        self.nights += 1

    def ids(self) -> dict[str, str]:
        found = open_record(self.small.home).table("person_source").to_pandas()
        return dict(zip(found["person_ref"], found["person_id"], strict=True))

    def kith(self, *words: str) -> tuple[int, str]:
        self.monkeypatch.setattr(sys, "argv", ["kith", *words, "--home", str(self.small.home.root)])
        self.capsys.readouterr()
        try:
            status = run_command_line(cli.app)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, self.capsys.readouterr().out

    def said(self, *words: str) -> Any:
        status, out = self.kith(*words, "--json")
        assert status == 0, out
        return json.loads(out)


@pytest.fixture
def office(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Office:
    small = small_exchange(tmp_path_factory.mktemp("office"))
    small.put_students()
    small.record(*PARTIES)
    made = Office(small, capsys, monkeypatch)
    made.night()
    return made


def test_a_judgement_is_previewed_made_followed_and_taken_back(office: Office) -> None:
    before = office.ids()
    words = ("review", "decide", INES, MILO, "same", "--why", "both birth records seen", "--by", "ada")
    told = office.said(*words, "--preview")
    assert told["effect"]["moved"] == 1 and told["effect"]["rows"]["person"] >= 1
    assert office.said("review", "list", "--judgements") == []

    made = office.said(*words)["judgement"]
    assert (made["state"], made["needs"], made["who"]) == ("in force", 1, "ada")
    office.night()
    assert len({office.ids()[INES], office.ids()[MILO]}) == 1
    survivor = office.ids()[INES]
    gone = ({before[INES], before[MILO]} - {survivor}).pop()
    history = office.said("person", gone)
    assert history["now"] == [survivor] and history["events"][-1]["cause"] == "judgement"

    undo = ("review", "undo", str(made["judgement_id"]), "--why", "another child", "--by", "ben")
    assert {change["kind"] for change in office.said(*undo, "--preview")["effect"]["changes"]} == {"restored"}
    assert office.said(*undo)["judgement"]["state"] == "withdrawn"
    office.night()
    assert office.ids() == before
    assert [event["kind"] for event in office.said("person", gone)["events"]] == ["minted", "merged_into", "restored"]


def test_contradictions_and_second_thoughts_end_with_status_10(office: Office) -> None:
    for left, right in ((INES, MILO), (MILO, AMARA)):
        assert office.kith("review", "decide", left, right, "same", "--why", "seen", "--by", "ada")[0] == 0
    status, out = office.kith("review", "decide", INES, AMARA, "different", "--why", "seen", "--by", "ben", "--json")
    assert status == 10 and "judgement 1, judgement 2" in json.loads(out)["error"]["what"]
    assert office.kith("review", "decide", INES, MILO, "same", "--why", "seen", "--by", "ben")[0] == 10
    assert office.kith("review", "decide", INES, "valley_court/party/P99", "same", "--why", "seen")[0] == 7
    assert office.kith("review", "undo", "9", "--why", "seen")[0] == 10
    assert office.kith("review", "decide", INES, MILO, "perhaps", "--why", "seen")[0] == 2


def test_values_are_shown_only_where_they_are_asked_for_and_never_in_json(office: Office) -> None:
    shown = office.kith("review", "show", INES, MILO, "--with-values")[1]
    assert all(name in shown for name in NAMES)
    for asked in (f"show {INES} {MILO}", f"show {INES} {MILO} --with-values --json", "list", "next", "list --json"):
        assert not [name for name in NAMES if name in office.kith("review", *asked.split())[1]]


def test_an_adopted_child_needs_an_authority_and_two_persons(office: Office) -> None:
    links = next(folder for folder in office.small.home.links.iterdir() if (folder / "protected.parquet").is_file())
    path = links / "protected.parquet"
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT '{AMARA}' AS record_id, 'adopted' AS reason) TO '{path}' (FORMAT parquet)")
    words = ("review", "decide", AMARA, TEODOR, "same", "--why", "order seen")
    assert office.kith(*words, "--by", "ada")[0] == 10
    pending = office.said(*words, "--by", "ada", "--authority", "order 12 of 2026")["judgement"]
    assert (pending["state"], pending["needs_because"]) == ("pending", "protected records (adopted)")
    assert office.kith(*words, "--by", "ada", "--authority", "order 12 of 2026")[0] == 10
    assert office.said("review", "next", "--by", "ben")["waits_for_you"]["judgement_id"] == pending["judgement_id"]
    confirmed = office.said(*words, "--by", "ben", "--authority", "order 12 of 2026")["judgement"]
    assert (confirmed["state"], confirmed["confirmed_by"]) == ("in force", ["ben"])


def test_a_judgement_outlives_new_deliveries(office: Office) -> None:
    office.said("review", "decide", INES, MILO, "same", "--why", "seen", "--by", "ada")
    office.small.put_students(STUDENTS + "004299,Nia,Brook,2012-05-06,2,12B\n", day="20260908")
    office.night()
    ids = office.ids()
    assert ids[INES] == ids[MILO] and "hillside_schools/students/004299" in ids
