"""The governance commands: what is agreed, consents, overrides and policies, from the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from governed import DAY, POLICY, World, declare, world
from record_rows import ANA, BEN

from demo.governed import make_key, write
from flows.cli import app
from flows.lay_out_home import TEMPLATES, lay_out_home
from flows.settings import load_settings
from flows.terminal import run_command_line
from governance.load import governance_folder

Kith = Callable[..., tuple[int, Any]]
OFFICERS = {"k_lind": "valley_exchange", "r_ode": "hillside_schools", "t_marsh": "valley_university"}


@pytest.fixture
def kith(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kith:
    def say(*words: object, home: Path) -> tuple[int, Any]:
        monkeypatch.setattr("sys.argv", ["kith", *map(str, words), "--home", str(home), "--json"])
        capsys.readouterr()
        try:
            status = run_command_line(app)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, json.loads(capsys.readouterr().out)

    return say


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A new home with the example agency and the example's agreements, unsigned."""
    home = lay_out_home(tmp_path / "exchange")
    (home.root / "example" / "hillside_schools").rename(home.agencies / "hillside_schools")
    folder = governance_folder(home)
    for path in (p for p in (TEMPLATES / "example" / "governance").rglob("*.yaml")):
        text = path.read_text("utf-8")
        for officer in OFFICERS:
            name = officer.upper().replace("_", ". ")
            if f"KEY OF {name}" in text:
                text = text.replace(f"PASTE THE PUBLIC KEY OF {name}", make_key(tmp_path / "keys" / officer).strip())
        write(folder / path.relative_to(TEMPLATES / "example" / "governance"), text)
    return home.root


def test_the_example_s_agreements_cover_its_feed_once_every_party_has_signed(
    example: Path, tmp_path: Path, kith: Kith
) -> None:
    status, told = kith("agreement", "check", "--on", "2026-10-01", home=example)
    assert status == 3 and told["feeds"][0]["may be loaded"] == "no"
    for name, parties in {"MOU-2026-001": OFFICERS, "DSA-2026-001": ["k_lind", "r_ode"],
                          "DUL-2026-001": ["r_ode", "t_marsh"]}.items():  # fmt: skip
        for officer in parties:
            key = tmp_path / "keys" / officer
            assert kith("agreement", "sign", name, "--officer", officer, "--key", key, home=example)[0] == 0
    status, told = kith("agreement", "check", "--on", "2026-10-01", home=example)
    assert status == 0 and told["feeds"][0]["may be loaded"] == "yes" and told["policies"] == ["dropout_study"]
    assert {row["standing"] for row in kith("agreement", "list", "--on", "2027-07-01", home=example)[1]} == {"expired"}
    assert kith("agreement", "check", "--on", "2027-07-01", home=example)[0] == 3
    status, told = kith("agreement", "explain", "DSA-2026-001", "--on", "2026-10-01", home=example)
    assert (told["standing"], set(told["signed_by"])) == ("in force", {"valley_exchange", "hillside_schools"})
    assert kith("agreement", "explain", "DSA-9", home=example)[0] == 3


def test_who_is_no_party_to_an_agreement_does_not_sign_it(example: Path, tmp_path: Path, kith: Kith) -> None:
    key = tmp_path / "keys" / "t_marsh"
    status, told = kith("agreement", "sign", "DSA-2026-001", "--officer", "t_marsh", "--key", key, home=example)
    assert (status, told["error"]["what"]) == (
        3, "t_marsh signs for valley_university, which is no party to DSA-2026-001",
    )  # fmt: skip
    assert not (example / "governance" / "agreements" / "DSA-2026-001.signatures.yaml").exists()
    standing = {row["agreement"]: row["why not"] for row in kith("agreement", "list", home=example)[1]}
    assert standing["DSA-2026-001"] == "hillside_schools, valley_exchange: has not signed"


def test_a_draft_names_every_feed_and_class_and_is_whole_once_its_evidence_is_filled_in(
    example: Path, kith: Kith
) -> None:
    words = ("--party", "hillside_schools", "--purpose", "evaluation_performance", "--parent", "MOU-2026-001",
             "--from", "2026-07-01", "--until", "2027-06-30")  # fmt: skip
    status, told = kith("agreement", "new", "DSA-7", "--kind", "DSA", *words, home=example)
    assert status == 0
    draft = Path(told["draft"])
    value = yaml.safe_load(draft.read_text("utf-8"))
    assert value["fields"]["allow"] == ["students.*"] and "education" in value["classes"]
    agreements = example / "governance" / "agreements"
    write(agreements / "DSA-7.yaml", draft.read_text("utf-8"))
    status, told = kith("agreement", "check", home=example)
    assert status == 3 and "needs as evidence" in told["error"]["what"]
    write(agreements / "DSA-7.yaml", draft.read_text("utf-8").replace("''", "told"))
    assert kith("agreement", "explain", "DSA-7", home=example)[0] == 0
    assert kith("agreement", "new", "DSA-7", "--kind", "DSA", *words, home=example)[0] == 3  # nothing is overwritten


def test_a_draft_stands_under_the_only_memorandum_and_asks_which_where_it_is_not_the_only_one(
    example: Path, kith: Kith
) -> None:
    words = ("--party", "hillside_schools", "--purpose", "evaluation_performance",
             "--from", "2026-07-01", "--until", "2027-06-30")  # fmt: skip
    status, told = kith("agreement", "new", "DSA-8", "--kind", "DSA", *words, home=example)
    assert status == 0
    assert yaml.safe_load(Path(told["draft"]).read_text("utf-8"))["parent"] == "MOU-2026-001"
    for path in (example / "governance" / "agreements").glob("*.yaml"):
        path.unlink()
    status, told = kith("agreement", "new", "DSA-9", "--kind", "DSA", *words, home=example)
    assert (status, told["error"]["what"]) == (3, "there is no memorandum yet")
    assert kith("agreement", "new", "DSA-9", "--kind", "DSA", *words, "--parent", "MOU-5", home=example)[0] == 0


def test_a_home_without_parties_says_how_to_begin(tmp_path: Path, kith: Kith) -> None:
    home = lay_out_home(tmp_path / "exchange")
    status, told = kith("agreement", "list", home=home.root)
    assert status == 3 and "governance/README.md" in told["error"]["mend"]
    assert load_settings(home).governance == "required"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = world(tmp_path_factory.mktemp("world"))
    declare(made.home)
    made.small.policy()
    return made


def test_consents_and_overrides_are_recorded_explained_and_withdrawn(made: World, tmp_path: Path, kith: Kith) -> None:
    home, paper = made.home.root, tmp_path / "form.pdf"
    paper.write_bytes(b"signed")
    about = (BEN, "--recipient", "university", "--purpose", "research", "--class", "education")
    given = ("--grantor", "court", "--document", paper, "--from", "2026-01-01", "--until", "2026-12-31")
    who = ("--by", "school_officer")
    status, told = kith("consent", "record", *about, *given, *who, home=home)
    assert status == 3 and "without authority is invalid" in told["error"]["what"]
    status, told = kith("consent", "record", *about, *given, *who, "--authority", "order 12", home=home)
    assert (status, told["person_in_record"]) == (0, True)
    unknown = ("school/people/999999", *about[1:], *given, *who, "--authority", "order 13")
    status, missed = kith("consent", "record", *unknown, home=home)
    assert (status, missed["person_in_record"]) == (0, False)
    asked = ("consent", "explain", BEN, "--recipient", "university", "--purpose", "research", "--on", str(DAY))
    assert {"class": "education", "consent": "given"} in kith(*asked, home=home)[1]
    assert kith(*("nonsense" if word == "research" else word for word in asked), home=home)[0] == 3
    assert kith("consent", "withdraw", told["consent"], "--on", "2026-03-01", *who, home=home)[0] == 0
    assert {"class": "education", "consent": "refused"} in kith(*asked, home=home)[1]
    assert [row["decision"] for row in kith("consent", "list", home=home)[1]] == ["granted", "granted", "withdrawn"]

    basis = ("--basis", "COURT_ORDER", "--evidence", paper, "--until", "2026-12-31")
    status, told = kith("override", "add", *about, *basis, *who, home=home)
    assert status == 0
    status, refused = kith("override", "review", told["override"], *who, "--agree", home=home)
    assert status == 3 and "cannot be the second person" in refused["error"]["what"]
    assert kith("override", "review", told["override"], "--by", "care_officer", "--agree", home=home)[0] == 0
    assert {"class": "education", "consent": "overridden"} in kith(*asked, home=home)[1]
    assert kith("override", "list", home=home)[1][0]["reviewed_by"] == "care_officer"


def test_a_policy_is_checked_explained_compared_and_shown_whole(made: World, tmp_path: Path, kith: Kith) -> None:
    home, day = made.home.root, ("--on", str(DAY))
    assert kith("policy", "check", home=home)[1][0]["columns"] == 7
    status, told = kith("policy", "explain", "study", "enrollment.exit_date", "--agency", "school", *day, home=home)
    assert (status, told["allowed"], told["reason"]) == (0, False, "R09")
    of_ana = ("policy", "explain", "study", "enrollment.school_id", "--agency", "school", "--person")
    assert kith(*of_ana, ANA, *day, home=home)[1]["allowed"] is True
    assert kith(*of_ana, "school/students/99", *day, home=home)[1]["allowed"] is False
    assert kith("policy", "explain", "study", "enrollment.shoe_size", home=home)[0] == 3
    status, told = kith("policy", "explain", "study", "enrollment.exit_date", "--agency", "skool", *day, home=home)
    assert (status, told["error"]["what"]) == (3, "no agency is called 'skool'")
    wider = tmp_path / "study.yaml"
    wider.write_text(POLICY.replace("entry_date, agency_id", "entry_date, exit_date, agency_id"))
    status, told = kith("policy", "diff", "study", wider, home=home)
    assert (status, [row["column"] for row in told]) == (1, ["exit_date"])
    assert kith("policy", "diff", wider, "study", home=home) == (0, [])
    matrix = {row["column"]: row["study"] for row in kith("policy", "matrix", *day, home=home)[1]}
    assert matrix["enrollment.school_id"] == "yes" and matrix["allegation.person_id"] == "pseudonym"
