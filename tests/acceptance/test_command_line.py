"""The command line as a new user types it: from an empty folder to a published record, and each way it can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from demo.governed import Term, govern
from flows.cli import app
from flows.settings import load_agencies_of, load_settings
from flows.terminal import run_command_line
from store.home import Home

KITH = Path(sys.executable).with_name("kith")
STUDENTS = """StudentNo,First,Last,DOB,Sex,Homeroom
004211,Amara,Osei,2013-04-02,1,12B
004212,Teodor,Quillfeather,2015-11-19,2,10A
004213,Ines,Valdrin,2014-02-30,1,11C
004214,Bo,,2013-08-08,2,12B
004215,Lumi,Kestrel,2012-12-01,7,12A
"""
PERSONAL = ("Amara", "Osei", "Quillfeather", "Valdrin", "Kestrel", "2013-04-02", "004214")


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """A person at a terminal, in the folder of an exchange."""

    folder: Path
    drop: Path

    def kith(self, *words: str) -> Answer:
        """Types a command; in this process, because starting Python anew for each takes seconds."""
        out, err, mask = StringIO(), StringIO(), os.umask(0o022)
        with pytest.MonkeyPatch.context() as patch, chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            patch.setenv("HILLSIDE_DROP", str(self.drop))
            patch.setenv("COLUMNS", "200")
            patch.delenv("KITH_HOME", raising=False)
            patch.setattr(sys, "argv", ["kith", *words])
            try:
                status = run_command_line(app)
            except SystemExit as ended:
                status = int(ended.code or 0)
        os.umask(mask)
        return Answer(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """An exchange that was laid out, with the example agency and one file of it."""
    root = tmp_path_factory.mktemp("terminal")
    (root / "drop").mkdir()
    laid_out = Terminal(root, root / "drop").kith("init", "exchange")
    assert laid_out.status == 0, laid_out.err
    home = root / "exchange"
    shutil.copytree(home / "example" / "hillside_schools", home / "agencies" / "hillside_schools")
    laid = Home(home)
    agencies = load_agencies_of(laid, load_settings(laid))
    govern(laid, agencies, term=Term(date(2020, 1, 1), date(2099, 12, 31)), keys=root / "officers")
    sent = root / "drop" / "students_20260907.csv"
    sent.write_text(STUDENTS, encoding="utf-8")
    os.utime(sent, (1_788_000_000, 1_788_000_000))
    return Terminal(home, root / "drop")


@pytest.fixture(scope="module")
def first_night(terminal: Terminal) -> Answer:
    return terminal.kith("run", "--plain", "--json")


def test_the_installed_command_tells_its_exit_statuses() -> None:
    told = subprocess.run([KITH, "--help"], capture_output=True, text=True, timeout=100, check=False)
    assert (told.returncode, "9  another run holds the home" in told.stdout) == (0, True)
    assert subprocess.run([KITH, "rnu"], capture_output=True, timeout=100, check=False).returncode == 2


def test_an_agency_is_checked_and_a_sample_is_tried_before_anything_is_stored(terminal: Terminal) -> None:
    checked = terminal.kith("agency", "check", "hillside_schools", "--json")
    assert [feed["feed"] for feed in checked.json["feeds"]] == ["students"]
    tried = terminal.kith("agency", "try", "hillside_schools", "students", "example/students_20260907.csv", "--json")
    went = {(row["disposition"], row["reason"]): row["rows"] for row in tried.json["dispositions"]}
    assert (tried.status, went) == (0, {("accepted", ""): 4, ("quarantined", "blank_required"): 1})
    assert [left.name for left in terminal.folder.iterdir() if left.name.startswith(".try")] == []
    assert list((terminal.folder / "landing").iterdir()) == []


def test_the_first_night_publishes_and_tells_no_personal_value(first_night: Answer) -> None:
    assert (first_night.status, first_night.json["published"]) == (0, True)
    assert [value for value in PERSONAL if value in first_night.out + first_night.err] == []


def test_help_gives_the_first_sentence_of_every_command_whole(terminal: Terminal) -> None:
    told = terminal.kith("--help")
    assert (told.status, "..." in told.out.replace("[ARGS]...", "")) == (0, False)
    assert terminal.kith("--version").out.split()[0] == "kith"


def test_status_fits_into_80_columns_and_names_its_time_zone(terminal: Terminal, first_night: Answer) -> None:
    told = terminal.kith("status").out
    assert max(len(line) for line in told.splitlines() if "hillside_schools" not in line) <= 80
    assert ("times are of UTC" in told, "+00:00" in told) == (True, False)


def test_status_shows_the_run_and_the_snapshot(terminal: Terminal, first_night: Answer) -> None:
    told = terminal.kith("status", "--json").json
    assert told["snapshot"]["snapshot_id"] == first_night.json["snapshot_id"]
    assert [run["state"] for run in told["runs"]] == ["finished"]


def test_a_quarantined_row_is_listed_without_values_and_shown_with_them_where_asked(
    terminal: Terminal, first_night: Answer
) -> None:
    listed = terminal.kith("quarantine", "list", "--json")
    (row,) = listed.json["rows"]
    assert (row["name"], row["line"], row["reason"]) == ("students_20260907.csv", 5, "blank_required")
    assert [value for value in PERSONAL if value in listed.out] == []
    where = (row["extract_id"], str(row["record"]))
    assert "004214" not in terminal.kith("quarantine", "show", *where).out
    assert "004214,Bo,," in terminal.kith("quarantine", "show", *where, "--with-values").out


def test_an_unseen_code_waits_for_a_line_in_the_crosswalk(terminal: Terminal, first_night: Answer) -> None:
    assert [(code["element"], code["value"]) for code in terminal.kith("codes", "pending", "--json").json] == [
        ("sex", "7")
    ]


def test_a_line_is_followed_forward_and_a_person_back_to_the_line(terminal: Terminal, first_night: Answer) -> None:
    forward = terminal.kith("trace", "students_20260907.csv:2", "--json").json
    assert (forward["row"]["disposition"], forward["in_force"]) == ("accepted", True)
    from record.reader import open_record

    found = open_record(terminal.folder).table("person_source").to_pandas()
    person = found[found["source_key"] == "004211"]["person_id"].iloc[0]
    for what in (person, "hillside_schools/students/004211"):
        back = terminal.kith("trace", what, "--json").json
        assert {(row["name"], row["line"]) for row in back} == {("students_20260907.csv", 2)}


def test_two_mentions_are_explained_by_their_comparisons(terminal: Terminal, first_night: Answer) -> None:
    told = terminal.kith("explain", "hillside_schools/students/004211", "hillside_schools/students/004212", "--json")
    assert told.status == 0, told.err
    assert told.json["decision"] == "no"
    assert [value for value in PERSONAL if value in told.out and value not in ("004214",)] == []


def test_the_dictionary_and_the_report_are_there(terminal: Terminal, first_night: Answer) -> None:
    assert "hillside_schools" in terminal.kith("dictionary").out
    assert Path(terminal.kith("report", "--json").json["report"]).is_file()


def test_a_table_of_persons_is_linked(terminal: Terminal, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text(
        "record_id,source,given,surname,birth_date,ssn\n"
        "a1,a,Amara,Quillfeather,2013-04-02,123121234\nb1,b,Amara,Quillfeather,2013-04-02,123121234\n"
        "b2,b,Bo,Kestrel,2010-01-01,\n"
    )
    told = terminal.kith("link", str(people), "--out", str(tmp_path / "linked"), "--json")
    assert told.status == 0, told.err
    assert told.json["persons"] == 2


def test_a_file_is_checked_before_it_is_sent(terminal: Terminal, first_night: Answer) -> None:
    told = terminal.kith("check", str(terminal.drop / "students_20260907.csv"), "--feed", "hillside_schools/students")
    assert (told.status, told.out.split(":")[0]) == (0, "DUPLICATE")
    wrong = terminal.drop.parent / "wrong.csv"
    wrong.write_text("A,B\n1,2\n")
    told = terminal.kith("check", str(wrong), "--feed", "hillside_schools/students", "--json")
    assert (told.status, told.json["verdict"], told.json["reason"]) == (5, "held", "layout")


def test_a_file_is_checked_by_declarations_alone(terminal: Terminal, tmp_path: Path) -> None:
    sample, declared = tmp_path / "students_20260907.csv", terminal.folder / "example" / "hillside_schools"
    sample.write_text(STUDENTS, encoding="utf-8")
    told = terminal.kith("check", str(sample), "--feed", f"{declared}/students", "--home", str(tmp_path), "--json")
    assert (told.status, told.json["verdict"], told.json["rows"]["received"]) == (0, "accepted", 5)
    assert [path.name for path in tmp_path.iterdir()] == [sample.name]


def test_a_receipt_is_listed_shown_and_verified(terminal: Terminal, first_night: Answer, tmp_path: Path) -> None:
    listed = terminal.kith("receipt", "list", "--json").json
    assert [row["verdict"] for row in listed] == ["loaded"]
    assert terminal.kith("receipt", "show", listed[0]["receipt_id"]).out.startswith("ACCEPTED")
    key = tmp_path / "exchange.pem"
    key.write_text(terminal.kith("receipt", "key").out)
    file = terminal.folder / "receipts" / "hillside_schools" / f"{listed[0]['name']}.json"
    assert terminal.kith("receipt", "verify", str(file), "--key", str(key)).status == 0
    changed = tmp_path / file.name
    changed.write_bytes(file.read_bytes() + b" ")
    changed.with_name(f"{file.name}.sig").write_bytes(file.with_name(f"{file.name}.sig").read_bytes())
    assert terminal.kith("receipt", "verify", str(changed), "--key", str(key)).status == 5


def test_outbound_is_previewed_and_needs_an_outbox(terminal: Terminal, first_night: Answer) -> None:
    told = terminal.kith("outbound", "hillside_schools", "--preview", "--json")
    assert (told.status, told.json["changes"]) == (0, {"new": 4})
    assert not (terminal.folder / "outbound" / "hillside_schools").exists()
    assert terminal.kith("outbound", "hillside_schools").status == 3


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["rnu"], 2, "rnu"),
        (["run", "--agency", "hilside"], 3, "hilside"),
        (["agency", "check", "nobody"], 3, "nobody"),
        (["status", "--home", "agencies"], 3, "kith init"),
        (["quarantine", "show", "nothing", "1"], 5, "no such extract"),
        (["report", "20200101T000000-abcdef"], 8, "no such report"),
        (["trace", "students_20260907.csv:7"], 5, "only 6 lines"),
        (["trace", "students_20260907.csv"], 2, "FILE:LINE"),
        (["trace", "hillside_schools/students/9"], 8, "no such mention"),
        (["doctor", "--home", "nowhere"], 3, "kith init"),
        (["dictionary", "--home", "nowhere"], 3, "kith init"),
    ],
)
def test_what_is_typed_wrong_is_told_with_how_to_mend_it_and_an_exit_status(
    terminal: Terminal, first_night: Answer, words: list[str], status: int, says: str
) -> None:
    told = terminal.kith(*words)
    assert (told.status, says in told.err, "Traceback" in told.err) == (status, True, False)


def test_a_source_that_is_away_is_exit_status_4_and_a_home_that_is_held_is_9(terminal: Terminal) -> None:
    away = Terminal(terminal.folder, terminal.drop.with_name("nowhere")).kith("doctor", "--json")
    assert (away.status, [sign["check"] for sign in away.json if not sign["well"]]) == (4, ["source"])
    from store.home import Home
    from store.runs import hold_home

    with hold_home(Home(terminal.folder)):
        assert terminal.kith("run", "--plain").status == 9


def test_every_command_says_an_example(terminal: Terminal) -> None:
    groups = {group.name: [c.name or c.callback.__name__ for c in group.typer_instance.registered_commands]
              for group in app.registered_groups}  # fmt: skip
    commands = [[c.name or c.callback.__name__] for c in app.registered_commands]
    commands += [[str(group), str(name)] for group, names in groups.items() for name in names]
    told = {" ".join(words): terminal.kith(*words, "--help").out for words in commands}
    assert [command for command, text in told.items() if "Example: kith " not in text] == []
    assert [command for command, text in told.items() if "--json" not in text and command != "serve"] == []


def test_a_mended_crosswalk_reaches_the_rows_that_are_there(terminal: Terminal, first_night: Answer) -> None:
    crosswalk = terminal.folder / "agencies" / "hillside_schools" / "crosswalks" / "sex.csv"
    crosswalk.write_text(crosswalk.read_text("utf-8") + "7,X,exact\n", "utf-8")
    assert "kith remap hillside_schools/students --preview" in terminal.kith("status").out
    mapping = [sign for sign in terminal.kith("doctor", "--json").json if sign["check"] == "mapping"]
    assert [(sign["well"], sign["mend"]) for sign in mapping] == [
        (False, "kith remap hillside_schools/students --preview")
    ]
    seen = terminal.kith("remap", "hillside_schools/students", "--preview")
    assert (seen.status, "nothing was kept" in seen.out) == (0, True)
    assert not [value for value in PERSONAL if value in seen.out + seen.err]
    done = terminal.kith("remap", "--all", "--publish", "--json")
    [changes] = done.json["remapped"]
    assert (done.status, changes["feeds"][0]["elements"], done.json["kept"]) == (0, {"sex": 1}, True)
    assert terminal.kith("remap", "--all").out == "every feed is mapped with the declarations of now\n"
    assert terminal.kith("remap").status == 2
    assert terminal.kith("remap", "hillside_schools/pupils").status == 3
