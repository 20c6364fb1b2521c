"""Whoever touches the audit log is found out: by the log, by its head, or by who was given a head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.audit import a_log, missed
from standard.errors import AuditError
from store.audit_check import check_export, check_log, read_entries
from store.audit_log import Event, append, checkpoint, head, intent
from store.home import Home
from store.sign import public_key


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return a_log(tmp_path_factory.mktemp("log") / "home")


def test_a_log_that_nobody_touched_is_whole(logged: Home) -> None:
    found = check_log(logged)
    assert (found.faults, found.notes, found.open_intents) == ([], [], {})
    assert (found.entries, found.checkpoints, found.witnesses) == (40, 3, 8)


def test_every_mutation_of_a_sample_is_found(logged: Home, tmp_path: Path) -> None:
    done, not_found = missed(logged, tmp_path, mutations=80, seed=7)
    assert not_found == {} and len(done) > 10


def test_nothing_logged_is_nothing_wrong_unless_somebody_has_a_head(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    assert check_log(home).faults == []
    (home.receipts / "school").mkdir(parents=True)
    (home.receipts / "school" / "r.json").write_text(json.dumps({"audit": {"seq": 3, "sha256": "ab"}}))
    assert [fault.code for fault in check_log(home).faults] == ["truncated"]


def test_a_log_that_was_written_anew_with_its_own_key_is_found_by_what_an_agency_kept(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    append(home, Event("seal", "o1", "r_ode"))
    end = checkpoint(home)
    assert end is not None
    kept = tmp_path / "receipt.json"
    kept.write_text(json.dumps({"audit": end.told()}))
    for path in home.audit.glob("*.jsonl"):
        path.unlink()
    (home.audit / "HEAD").unlink()
    for number in range(5):
        append(home, Event("seal", f"o{number + 2}", "r_ode"))
    checkpoint(home)
    assert check_log(home).faults == []
    assert {fault.code for fault in check_log(home, [kept]).faults} == {"witness"}


def test_a_file_without_a_head_is_no_witness(logged: Home, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(AuditError, match="tells no head"):
        check_log(logged, [tmp_path / "other.json"])


def test_a_witness_whose_checkpoint_another_signed_is_told(logged: Home, tmp_path: Path) -> None:
    end = head(logged)
    assert end is not None and end.checkpoint is not None
    told = end.told()
    told["checkpoint"]["signature"] = "AAAA"
    (tmp_path / "other.json").write_text(json.dumps({"audit": told}))
    assert [fault.code for fault in check_log(logged, [tmp_path / "other.json"]).faults] == ["signature"]


def test_an_exported_log_is_verified_without_the_secret(logged: Home, tmp_path: Path) -> None:
    lines = b"".join(path.read_bytes() for path in sorted(logged.audit.glob("*.jsonl")))
    out, witness = tmp_path / "audit.jsonl", logged.record / "snapshots" / "s1" / "manifest.json"
    out.write_bytes(lines)
    found = check_export(out, public_key(logged.keys), [witness])
    assert (found.faults, found.entries) == ([], 40)
    out.write_bytes(lines.replace(b"r_ode", b"x_ode", 1))
    assert check_export(out, public_key(logged.keys)).faults
    out.write_bytes(b"".join(lines.splitlines(keepends=True)[:-3]))
    assert {fault.code for fault in check_export(out, public_key(logged.keys), [witness]).faults} == {"truncated"}


def test_what_was_begun_and_never_ended_is_told(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    with intent(home, Event("release", "r1", "r_ode")):
        assert check_log(home).open_intents == {1: "release r1"}
    assert check_log(home).open_intents == {}


def test_half_a_line_is_a_fault_until_the_next_append_takes_it_away(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    append(home, Event("release", "r1", "r_ode"))
    with next(home.audit.glob("*.jsonl")).open("ab") as log:
        log.write(b'{"half')
    assert [fault.code for fault in check_log(home).faults] == ["torn"]
    append(home, Event("release", "r2", "r_ode"))
    assert check_log(home).faults == []
    assert [entry.event.action for entry in read_entries(home)] == ["release", "recovered", "release"]


def test_a_line_whose_head_was_not_written_is_noted_and_no_fault(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    append(home, Event("release", "r1", "r_ode"))
    kept = (home.audit / "HEAD").read_bytes()
    append(home, Event("release", "r2", "r_ode"))
    (home.audit / "HEAD").write_bytes(kept)
    found = check_log(home)
    assert found.faults == [] and "killed before the head" in found.notes[0]
