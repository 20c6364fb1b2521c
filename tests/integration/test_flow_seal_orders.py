"""Orders of a court: by whom they come into force, what they can mean, how they are lifted, what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo.governed import write_parties
from expectations.quarantine import list_quarantine
from expectations.retry import release_row
from flows.cli import app
from flows.remap import remap_agency
from flows.settings import load_settings
from flows.terminal import run_command_line
from governance.parties import read_parties
from governance.sealing import Kind, NewOrder, add_order, approve_order, lift_order
from governance.subjects import read_registers
from standard.errors import DeclarationError, ExtractError
from tests.courthouse import (
    CASE,
    CONTACTS,
    Courthouse,
    copied,
    courthouse,
    published,
)
from tests.exchange import MONDAY


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Courthouse:
    """The home before the order."""
    return courthouse(tmp_path_factory.mktemp("courthouse"))


def test_a_row_of_a_sealed_case_is_not_released_from_quarantine(base: Courthouse, tmp_path: Path) -> None:
    house = copied(base, tmp_path / "house")
    house.night(
        cases="CaseNo,Docket,Filed\nC1,24-JV-118,2026-03-02\n", contacts=f"{CONTACTS}503,Nobody,,,2026-02-15,\n"
    )
    with house.ledger.reading() as connection:
        [held] = [row for row in list_quarantine(house.home, house.ledger) if "contacts" in row.name]
        assert connection is not None
    house.order("town_police/contacts/503")
    house.night()
    assert not [row for row in list_quarantine(house.home, house.ledger) if "contacts" in row.name]
    feed = house.agencies["town_police"].feeds["contacts"]
    with pytest.raises(ExtractError, match="not in quarantine"):
        release_row(house.home, house.ledger, feed, extract_id=held.extract_id, record=held.record, who="a", why="b")


def test_an_order_of_a_feed_stays_where_its_rule_is_mended_away_until_it_is_lifted(
    base: Courthouse, tmp_path: Path
) -> None:
    house = copied(base, tmp_path / "house")
    feed = house.home.agencies / "valley_court" / "cases.yaml"
    text = feed.read_text("utf-8")
    rule = 'withhold: [{reason: sealed, when: "docket = \'24-JV-118\'", covers: "cases/{case_no}", lasting: true}]\n'
    feed.write_text(text.replace("elements:", f"{rule}elements:"), "utf-8")
    agency = house.agencies["valley_court"]
    remap_agency(house.home, load_settings(house.home), agency, ledger=house.ledger, anew=frozenset(),
                 progress=lambda _: None)  # fmt: skip
    assert "case" not in published(house.night())
    feed.write_text(text, "utf-8")
    agency = house.agencies["valley_court"]
    remap_agency(house.home, load_settings(house.home), agency, ledger=house.ledger, anew=frozenset(),
                 progress=lambda _: None)  # fmt: skip
    assert "case" not in published(house.night())
    with pytest.raises(DeclarationError, match="no such order"):
        lift_order(house.home, house.ledger, "valley_court/cases/C2", why="27-JV-030", by="clerk", parties=None)
    assert lift_order(house.home, house.ledger, CASE, why="27-JV-030", by="clerk", parties=None)
    assert "case" in published(house.night())


def test_two_officers_are_asked_for_and_releases_obey_before_the_next_run(base: Courthouse, tmp_path: Path) -> None:
    house = copied(base, tmp_path / "house")
    folder = tmp_path / "governance"
    write_parties(folder, {"hub": None, "court": "court"}, keys=tmp_path / "officers")
    parties = read_parties(folder)
    first, second = (next(iter(party.officers)) for party in parties.parties.values())
    order = NewOrder("27-SO-2", "Valley Juvenile Court", Kind.SEAL, (CASE, "valley_court/cases/C404"), MONDAY.date())
    given = {"parties": parties}
    with pytest.raises(DeclarationError, match="no party has an officer"):
        add_order(house.home, house.ledger, house.agencies, order, by="nobody", **given)
    added = add_order(house.home, house.ledger, house.agencies, order, by=first, **given)
    assert (added.in_force, added.idle) == (False, 1)  # one match means nothing yet, and is said so
    assert CASE not in read_registers(house.ledger).seals["ref"].to_pylist()
    with pytest.raises(DeclarationError, match="cannot be the second person"):
        approve_order(house.home, house.ledger, house.agencies, added.order_id, agree=True, by=first, **given)
    approve_order(house.home, house.ledger, house.agencies, added.order_id, agree=True, by=second, **given)
    assert CASE in read_registers(house.ledger).seals["ref"].to_pylist()
    with pytest.raises(DeclarationError, match="reviewed before"):
        approve_order(house.home, house.ledger, house.agencies, added.order_id, agree=True, by=second, **given)
    assert "case" not in published(house.night())
    # What it watches for comes one day.
    assert "C404" not in str(house.night(cases="CaseNo,Docket,Filed\nC404,X-1,2026-04-01\n").table("case").to_pandas())
    assert not lift_order(house.home, house.ledger, added.order_id, why="28-JV-1", by=first, **given)
    assert lift_order(house.home, house.ledger, added.order_id, why="28-JV-1", by=second, **given)
    assert "case" in published(house.night())


@pytest.mark.parametrize(
    ("match", "says"),
    [
        ("nowhere/cases/C1", "no agency is called"),
        ("valley_court/nothing/C1", "matches nothing"),
        ("C1", "no agency/feed/key"),
    ],
)
def test_an_order_that_can_mean_nothing_is_refused_without_its_key(base: Courthouse, match: str, says: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        base.order(match)
    assert says in str(refused.value.what)
    assert "C1" not in f"{refused.value.what} {refused.value.where} {refused.value.mend}"


def test_keys_that_differ_only_in_how_they_are_written_are_told_apart(base: Courthouse, tmp_path: Path) -> None:
    house = copied(base, tmp_path / "house")
    house.night(cases="CaseNo,Docket,Filed\nc1,24-JV-500,2026-05-05\n")
    house.order(CASE)
    cases = house.night().table("case").to_pandas().case_ref.tolist()
    assert sorted(cases) == ["valley_court/cases/C2", "valley_court/cases/c1"]


def test_the_command_line_says_what_was_done_and_what_is_left(
    base: Courthouse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = copied(base, tmp_path / "house")

    def kith(*words: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["kith", "seal", *words, "--home", str(house.home.root), "--json"])
        try:
            status = run_command_line(app)
        except SystemExit as ended:
            status = int(ended.code or 0)
        told = capsys.readouterr()
        assert "Zorabel" not in told.out + told.err
        return status, json.loads(told.out) if told.out else {"error": told.err}

    given = ("--order-no", "27-SO-3", "--court", "Valley Juvenile Court", "--kind", "seal", "--effective", "2026-09-07",
             "--verify-by", "2026-10-01", "--by", "clerk")  # fmt: skip
    status, told = kith("add", *given, "--match", "valley_court/nothing/C1", "--later")
    assert status == DeclarationError.exit_status
    assert "matches nothing" in told["error"]["what"]
    status, told = kith("add", *given, "--match", CASE, "--match", "valley_court/cases/C404", "--later")
    assert (status, told["in_force"], told["matches_nothing"]) == (0, True, 1)
    order = told["order"]
    status, told = kith("status")
    assert (status, told["orders"][0]["stands"], told["orders"][0]["proof_overdue"]) == (5, "in force, watching", True)
    status, told = kith("prove", order, "--by", "clerk")
    assert (status, told["carried_out"]) == (5, False)
    house.night()
    status, told = kith("prove", order, "--by", "clerk", "--out", str(tmp_path / "proof.json"))
    assert (status, told["found_where_nothing_may_be"]) == (0, 0)
    for file in (tmp_path / "proof.json", tmp_path / "proof.json.sig"):
        assert file.stat().st_mode & 0o077 == 0
    assert kith("export", str(tmp_path / "seals.json"))[0] == 0
    assert kith("import", str(tmp_path / "seals.json"), "--later") == (0, {"marks": 0})
    status, told = kith("acknowledge", "none", "--by", "clerk")
    assert (status, "no notice" in told["error"]["what"]) == (DeclarationError.exit_status, True)
    status, told = kith("status")
    assert (status, told["orders"][0]["stands"]) == (5, "in force")  # the court's own agency has not answered by now
    assert kith("lift", order, "--order-no", "28-JV-1", "--by", "clerk") == (0, {"lifted": True})
