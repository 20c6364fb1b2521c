"""An agency is told what has changed about its own keys, and nothing of anybody else's."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from record.outbound import Feedback, last_told, make_feedback, note_told, preview_feedback
from record.snapshot import Snapshot
from store.home import Home

SOURCE = ("agency", "table", "source_key", "person_id")
NAME = ("agency_id", "feed", "source_key", "extract_id", "record", "line")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path).create()


def snapshot(
    home: Home, name: str, persons: list[tuple[str, str, str]], rows: list[tuple[Any, ...]] | None = None
) -> Snapshot:
    """A snapshot in which keys of agencies (agency, key, person_id) are persons; `rows` are published names."""
    folder = home.record / "snapshots" / name
    folder.mkdir(parents=True)
    source = [dict(zip(SOURCE, (agency, "pupil", key, person), strict=True)) for agency, key, person in persons]
    pq.write_table(pa.Table.from_pylist(source), folder / "person_source.parquet")
    tables: dict[str, Any] = {"person_source": {"columns": dict.fromkeys(SOURCE, "VARCHAR")}}
    if rows:
        named = [dict(zip(NAME, row, strict=True)) for row in rows]
        pq.write_table(pa.Table.from_pylist(named), folder / "person_name.parquet")
        tables["person_name"] = {"columns": dict.fromkeys(NAME, "VARCHAR")}
    return Snapshot(folder, {"snapshot_id": name, "tables": tables})


def told(feedback: Feedback, feed: str = "persons") -> list[dict[str, str]]:
    file = next(each["name"] for each in feedback.manifest["files"] if each["feed"] == feed)
    with (feedback.folder / file).open(newline="") as lines:
        return list(csv.DictReader(lines))


def changes(home: Home, before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Key -> change, where an agency's keys were persons before and are others now."""
    first = snapshot(home, "a" * 20, [("maple", key, person) for key, person in before.items()])
    note_told(home, "maple", make_feedback(home, first, "maple"))
    then = snapshot(home, "b" * 20, [("maple", key, person) for key, person in now.items()])
    return {row["key"]: row["change"] for row in told(make_feedback(home, then, "maple"))}


def test_at_first_every_own_key_is_new_and_no_other_key_is_told(home: Home) -> None:
    made = make_feedback(home, snapshot(home, "a" * 20, [("maple", "1", "P1"), ("elm", "9", "P1")]), "maple")
    assert told(made) == [
        {"change": "new", "table": "pupil", "key": "1", "person_id": "P1", "person_id_before": "", "same_person": ""}
    ]
    assert not any(b"elm" in path.read_bytes() or path.read_bytes() == b"9" for path in made.files)


def test_what_has_not_changed_is_not_told_again(home: Home) -> None:
    assert changes(home, {"1": "P1", "2": "P2"}, {"1": "P1", "2": "P2"}) == {}


def test_a_merge_a_split_a_new_id_and_a_withdrawal_are_told_by_own_keys(home: Home) -> None:
    before = {"1": "P1", "2": "P2", "3": "P3", "4": "P3", "5": "P5", "6": "P6"}
    now = {"1": "P1", "2": "P1", "3": "P3", "4": "P4", "5": "P9", "7": "P7"}
    assert changes(home, before, now) == {
        "1": "merged", "2": "merged", "3": "split", "4": "split", "5": "person_id", "6": "withdrawn", "7": "new",
    }  # fmt: skip


def test_of_two_keys_of_one_person_one_that_is_withdrawn_makes_no_split(home: Home) -> None:
    assert changes(home, {"1": "P1", "2": "P1"}, {"1": "P1"}) == {"2": "withdrawn"}


def test_own_keys_of_the_same_person_are_named(home: Home) -> None:
    made = make_feedback(home, snapshot(home, "a" * 20, [("maple", "1", "P1"), ("maple", "2", "P1")]), "maple")
    assert {row["key"]: row["same_person"] for row in told(made)} == {"1": "pupil/2", "2": "pupil/1"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_begins_as_a_formula(home: Home, start: str) -> None:
    made = make_feedback(home, snapshot(home, "a" * 20, [("maple", f"{start}cmd|'/c calc'!A1", "P1")]), "maple")
    (row,) = told(made)
    assert row["key"] == f"'{start}cmd|'/c calc'!A1"


def test_parquet_keeps_values_as_they_are(home: Home) -> None:
    made = make_feedback(home, snapshot(home, "a" * 20, [("maple", "=1", "P1")]), "maple", format_="parquet")
    assert pq.read_table(made.files[0]).column("key").to_pylist() == ["=1"]


def test_the_manifest_proves_the_files_and_goes_last(home: Home) -> None:
    import hashlib

    made = make_feedback(home, snapshot(home, "a" * 20, [("maple", "1", "P1")]), "maple")
    sent = json.loads(made.files[-1].read_text())
    file, _ = sent["files"]
    content = (made.folder / file["name"]).read_bytes()
    assert (file["rows"], file["size"], file["sha256"]) == (1, len(content), hashlib.sha256(content).hexdigest())
    assert "extracts" not in sent


def test_the_same_snapshot_makes_the_same_files(home: Home) -> None:
    of = snapshot(home, "a" * 20, [("maple", str(key), f"P{key}") for key in range(500)])
    first = {path.name: path.read_bytes() for path in make_feedback(home, of, "maple").files}
    (home.outbound / "maple" / of.snapshot_id).rename(home.outbound / "maple" / ".building.lost")
    assert {path.name: path.read_bytes() for path in make_feedback(home, of, "maple").files} == first


def test_what_was_told_before_is_not_kept(home: Home) -> None:
    changes(home, {"1": "P1"}, {"1": "P2"})
    made = make_feedback(home, snapshot(home, "c" * 20, [("maple", "1", "P3")]), "maple")
    note_told(home, "maple", made)
    assert last_told(home, "maple") == "c" * 20
    assert [path.name for path in (home.outbound / "maple").iterdir() if path.is_dir()] == ["c" * 20]


def test_what_the_exchange_put_right_in_published_rows_is_told_once(home: Home) -> None:
    rows = [("maple", "pupils", "0042", "x1", 1, 2), ("elm", "pupils", "0043", "x2", 1, 2)]
    for extract, records in (("x1", [1, 7]), ("x2", [1])):
        (home.batches / extract).mkdir()
        found = [{"_record": n, "element": "pupil_no", "code": "repaired_identifier"} for n in records]
        pq.write_table(pa.Table.from_pylist(found), home.batches / extract / "findings.parquet")
    made = make_feedback(home, snapshot(home, "a" * 20, [("maple", "0042", "P1")], rows), "maple")
    assert told(made, "corrections") == [  # record 7 is not published
        {"feed": "pupils", "key": "0042", "line": "2", "element": "pupil_no", "repaired": "repaired_identifier"}
    ]
    note_told(home, "maple", made)
    later = make_feedback(home, snapshot(home, "b" * 20, [("maple", "0042", "P1")], rows), "maple")
    assert told(later, "corrections") == []


def test_a_policy_decides_what_may_leave(home: Home) -> None:
    of = snapshot(home, "a" * 20, [("maple", "1", "P1"), ("maple", "2", "P2")])
    made = make_feedback(home, of, "maple", permit=lambda feed, rows: f"SELECT * FROM ({rows}) WHERE \"key\" <> '2'")
    assert [row["key"] for row in told(made)] == ["1"]


def test_a_preview_counts_and_keeps_nothing(home: Home) -> None:
    of = snapshot(home, "a" * 20, [("maple", "1", "P1"), ("maple", "2", "P2")])
    manifest, counted = preview_feedback(home, of, "maple")
    assert (counted, manifest["since"]) == ({"new": 2}, None)
    assert not home.outbound.exists() and not list(home.root.glob(".preview-*"))
