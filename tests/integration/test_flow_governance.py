"""A governed exchange: what no agreement in force covers is held with its reason, and loaded once one does."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from exchange import MONDAY, PARTIES, TUESDAY, SmallExchange, small_exchange

from demo.governed import Term, govern, sign_all, write
from flows.doctor import examine
from flows.governed import governance_lines
from flows.night import run_night
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from flows.status import read_status
from governance.load import governance_folder, load_governance
from governance.policies import load_policies
from record.reader import open_record

TERM = Term(date(2026, 7, 1), date(2027, 6, 30))


@pytest.fixture
def exchange(tmp_path: Path) -> SmallExchange:
    made = small_exchange(tmp_path)
    made.home.settings_file.write_text(made.home.settings_file.read_text("utf-8") + "governance: required\n")
    made.put_students()
    made.record(*PARTIES)
    return made


def agree(exchange: SmallExchange, term: Term = TERM) -> Path:
    settings = load_settings(exchange.home)
    govern(exchange.home, load_agencies_of(exchange.home, settings), term=term, keys=exchange.home.root / "officers")
    return governance_folder(exchange.home)


def held(exchange: SmallExchange) -> list[tuple[str, str]]:
    settings = load_settings(exchange.home)
    ledger = open_home_ledger(exchange.home, settings)
    try:
        status = read_status(exchange.home, ledger, load_agencies_of(exchange.home, settings), now=MONDAY)
    finally:
        ledger.close()
    return sorted((row["feed"], row["status_reason"]) for row in status.held)


def line(exchange: SmallExchange) -> str:
    settings = load_settings(exchange.home)
    return "; ".join(governance_lines(exchange.home, settings, load_agencies_of(exchange.home, settings), now=MONDAY))


def test_with_every_agreement_in_force_all_is_loaded_and_the_manifest_names_them(exchange: SmallExchange) -> None:
    agree(exchange)
    result = run_night(exchange.home, now=MONDAY)
    assert (result.exit_status, held(exchange)) == (0, [])
    versions = open_record(exchange.home).manifest["versions"]
    assert {"governance", "agreement MOU-1", "agreement DSA-1", "agreement DSA-2"} <= set(versions)
    assert line(exchange) == "required: 4 of 4 agreements in force"
    assert "Governance is required: 4 of 4" in result.report.read_text("utf-8")  # type: ignore[union-attr]


def test_the_policy_of_the_demo_is_within_its_agreement(exchange: SmallExchange) -> None:
    folder = agree(exchange)
    governance = load_governance(folder, load_agencies_of(exchange.home, load_settings(exchange.home)))
    assert list(load_policies(governance)) == ["research"]
    assert governance.why_not("DUL-1", TERM.effective) == ""


def test_doctor_names_a_policy_that_asks_for_more_than_its_agreement(exchange: SmallExchange) -> None:
    path = agree(exchange) / "policies" / "research.yaml"
    write(path, path.read_text("utf-8").replace("[person_id, agencies]", "[person_id, address_protected]"))
    signs = [sign for sign in examine(exchange.home, now=MONDAY, sources=False) if sign.check == "governance"]
    assert [(sign.well, "research.yaml, line" in sign.says) for sign in signs] == [(False, True)]


def test_what_a_missing_signature_leaves_uncovered_is_held_and_loaded_once_it_is_signed(
    exchange: SmallExchange,
) -> None:
    folder = agree(exchange)
    signatures = folder / "agreements" / "DSA-1.signatures.yaml"
    signatures.unlink()
    result = run_night(exchange.home, now=MONDAY)
    assert (result.exit_status, held(exchange)) == (5, [("students", "no_agreement")])
    assert "DSA-1: hillside_schools, kith_hub: has not signed" in line(exchange)
    agencies = open_record(exchange.home).table("person_source").to_pandas()["agency"].unique()
    assert list(agencies) == ["valley_court"]

    sign_all(folder, keys=exchange.home.root / "officers", today=TERM.effective, only=["DSA-1"])
    again = run_night(exchange.home, now=TUESDAY)
    assert (again.exit_status, held(exchange)) == (0, [])
    agencies = open_record(exchange.home).table("person_source").to_pandas()["agency"].unique()
    assert sorted(agencies) == ["hillside_schools", "valley_court"]


def test_a_wrong_agreement_stops_loading_and_publishing_with_file_and_line(exchange: SmallExchange) -> None:
    path = agree(exchange) / "agreements" / "DSA-1.yaml"
    write(path, path.read_text("utf-8").replace("kind: DSA", "kind: DSA\nsurprise: 1"))
    result = run_night(exchange.home, now=MONDAY)
    assert result.exit_status == 3 and not result.published
    assert all("DSA-1.yaml, line" in failure.where for failure in result.failures)
    assert "nothing can be loaded: surprise" in line(exchange)


def test_governance_that_is_off_is_told_in_status_report_and_manifest(tmp_path: Path) -> None:
    open_exchange = small_exchange(tmp_path)
    open_exchange.put_students()
    open_exchange.record(*PARTIES)
    result = run_night(open_exchange.home, now=MONDAY)
    assert line(open_exchange).startswith("off: nothing is asked of agreements")
    assert open_record(open_exchange.home).manifest["versions"]["governance"] == "off"
    assert "Governance is off" in result.report.read_text("utf-8")  # type: ignore[union-attr]
