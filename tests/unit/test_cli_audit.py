"""What was done and what went out, from the terminal: `kith audit`, `kith disclosures`, `kith aggregate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from governed import ROWS, World, declare, world
from record_rows import ANA

from flows.cli import app
from flows.terminal import run_command_line
from governance.disclosures import DisclosureHead, record_disclosures
from store.audit_log import Event, append, checkpoint

Kith = Callable[..., tuple[int, str]]
POLICY = """\
policy: counts
recipient: university
purpose: research
agreement: DUL-1
columns: {enrollment: [person_id, school_id]}
treatments: {"*.person_id": pseudonym}
rows: {age_bands: [minor], need_to_know: none}
aggregates: {min_cell: 11}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> World:
    pupils = [f"school/students/{n:02}" for n in range(10, 40)]
    rows = {
        "person": [*ROWS["person"], *({"person_ref": ref} for ref in pupils)],
        "person_demographic": [{"person_ref": ref, "birth_date": date(2012, 1, 1)} for ref in pupils],
        "enrollment": [{"person_ref": ref, "school_id": "1", "entry_date": date(2025, 9, 1)} for ref in pupils],
    }
    made = world(tmp_path_factory.mktemp("exchange"), rows, {ref: f"P{ref[-2:]}" for ref in pupils})  # type: ignore[arg-type]
    declare(made.home)
    made.small.policy(POLICY, "counts")
    return made


@pytest.fixture
def kith(home: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kith:
    def say(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["kith", *map(str, words)])
        monkeypatch.setenv("KITH_HOME", str(home.home.root))
        capsys.readouterr()
        try:
            status = run_command_line(app)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, capsys.readouterr().out

    return say


def disclose(home: World, name: str) -> None:
    head = DisclosureHead(name, "university", "research", "DUL-1", "study", "s1", date(2026, 3, 30), ("FERPA-99.33",))
    with duckdb.connect() as con:
        record_disclosures(
            home.home, head, con, [("enrollment", ["school_id", "entry_date"], "SELECT 'ANA' AS person_id")]
        )


def test_a_family_reads_what_went_out_to_whom_when_and_why(home: World, kith: Kith) -> None:
    disclose(home, "r1")
    status, letter = kith("disclosures", "for-child", ANA)
    assert status == 0
    for told in ("On 30 March 2026, to ", "DUL-1", "school id, entry date", "FERPA-99.33", "1 time."):
        assert told in letter
    by_id = json.loads(kith("disclosures", "for-child", "ANA", "--json")[1])
    assert [row["release_id"] for row in by_id] == ["r1"]


def test_of_a_child_nothing_of_whom_went_out_the_family_is_told_so(kith: Kith) -> None:
    assert kith("disclosures", "for-child", "NOBODY") == (
        0,
        "Nothing from your child's records was given to anybody.\n",
    )


def test_what_went_out_under_an_agreement_and_to_a_recipient_is_listed(home: World, kith: Kith) -> None:
    disclose(home, "r2")
    for words in (("for-agreement", "DUL-1"), ("for-recipient", "university")):
        rows: list[dict[str, Any]] = json.loads(kith("disclosures", *words, "--json")[1])
        assert {(row["table_name"], row["persons"]) for row in rows} == {("enrollment", 1)}
    assert "nothing went out to court" in kith("disclosures", "for-recipient", "court")[1]


def test_counts_are_made_and_told(kith: Kith) -> None:
    status, told = kith("aggregate", "counts", "enrollment", "--by", "school_id", "--on", "2026-03-30", "--json")
    assert status == 0
    cells = json.loads(told)["cells"]
    assert cells[0]["school_id"] == "(total)" and {"school_id": "1", "persons": 30} in cells
    assert [cell["school_id"] for cell in cells] == sorted(cell["school_id"] for cell in cells)


def test_the_log_is_verified_listed_and_exported(home: World, kith: Kith, tmp_path: Path) -> None:
    append(home.home, Event("seal", "o1", "r_ode", role="officer"))
    checkpoint(home.home)
    assert kith("audit", "verify")[0] == 0
    assert "seal" in kith("audit", "list", "--action", "seal")[1]
    assert kith("audit", "checkpoint", "--json")[0] == 0
    out, key = tmp_path / "audit.jsonl", tmp_path / "exchange.pem"
    assert kith("audit", "export", "--out", out)[0] == 0
    key.write_text(kith("receipt", "key")[1])
    assert kith("audit", "verify", "--log", out, "--key", key)[0] == 0
    out.write_bytes(out.read_bytes().replace(b"r_ode", b"somebody"))
    assert kith("audit", "verify", "--log", out, "--key", key)[0] == 11


def test_a_log_that_was_touched_is_told_with_its_line_and_ends_with_status_11(home: World, kith: Kith) -> None:
    append(home.home, Event("seal", "o2", "r_ode", role="officer"))
    (path,) = home.home.audit.glob("*.jsonl")
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b'"o2"', b'"o3"'))
    status, told = kith("audit", "verify", "--json")
    path.write_bytes(kept)
    faults = json.loads(told)["faults"]
    assert status == 11
    assert faults[0]["code"] == "altered" and faults[0]["where"].startswith(str(path))
    assert kith("audit", "verify")[0] == 0


def test_what_was_typed_and_is_no_id_does_not_stand_in_the_log(home: World, kith: Kith) -> None:
    assert kith("consent", "withdraw", "Ana Ode", "--on", "2026-03-01", "--by", "Ben Ulm")[0] == 3
    last = json.loads(kith("audit", "list", "--limit", "1", "--json")[1])[0]
    assert (last["action"], last["object"], last["decision"], last["reason"]) == (
        "consent.withdraw", "no id", "failed", "DeclarationError",
    )  # fmt: skip
    assert last["role"] == "operator"
    logged = "".join(path.read_text("utf-8") for path in home.home.audit.glob("*.jsonl"))
    assert "Ana" not in logged and "Ulm" not in logged
