"""Publishing is all or nothing: whole snapshots, one pointer, fences, crashes at any step, accounts that must hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_rows import (
    ANA_FEDERAL,
    ANA_MOTHER,
    BEN,
    CASE,
    COUNTY,
    PERSONS,
    add_order,
    begin_run,
    inputs_of,
    new_home,
)

from record.publish import Inputs, publish
from record.reader import open_record
from record.snapshot import current_id, fingerprint, load_snapshot, verify
from record.tables import entity_tables, published_columns, table_names
from standard.errors import AccountError, PublishError
from standard.schema import entities
from store import ledger as tables
from store.home import Home
from store.ledger import Ledger, now, open_ledger

STEPS = ["_write_table", "write_manifest", "_commit", "point_at", "write_views"]
MOVED = {**PERSONS, BEN: "ANA", ANA_MOTHER: "NEW"}


@pytest.fixture
def ready(tmp_path: Path) -> tuple[Home, Ledger, Inputs]:
    home, ledger = new_home(tmp_path / "home")
    return home, ledger, inputs_of(tmp_path / "in")


def add_extract(ledger: Ledger, *, received: int, accounted: int, extract_id: str = "x1") -> None:
    with ledger.writing() as connection:
        connection.execute(
            tables.extract.insert().values(
                extract_id=extract_id, agency="school", feed="students", name="students.csv", sha256="0" * 64, size=1,
                received_at=now(), as_of="2026-03-30", seq=1, holds="full", status="loaded", run_id="run-1",
            )
        )  # fmt: skip
        connection.execute(tables.received.insert().values(extract_id=extract_id, rows=received))
        account = {"extract_id": extract_id, "disposition": "accepted", "reason": "", "rows": accounted}
        connection.execute(tables.account.insert().values(**account))


def test_the_first_snapshot_has_every_table_private_and_as_its_manifest_says(
    ready: tuple[Home, Ledger, Inputs],
) -> None:
    home, ledger, inputs = ready
    snapshot = publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert snapshot.is_new
    assert open_record(home).tables() == table_names()
    assert {oct(path.stat().st_mode & 0o777) for path in snapshot.folder.iterdir()} == {"0o600"}
    assert oct(snapshot.folder.stat().st_mode & 0o777) == "0o700"
    beside = {"manifest.json", "withheld.parquet"}
    assert {path.name for path in snapshot.folder.iterdir()} == {f"{t}.parquet" for t in table_names()} | beside
    verify(load_snapshot(home, snapshot.snapshot_id))


def test_tables_have_the_declared_columns_and_types(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    manifest = publish(home, ledger, inputs, run_id="run-1", fence=1).manifest
    for name in entity_tables():
        assert manifest["tables"][name]["columns"] == published_columns(entities()[name]), name


def test_every_reference_to_a_person_has_the_person_id_beside_it(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    publish(home, ledger, inputs, run_id="run-1", fence=1)
    allegation = open_record(home).table("allegation").to_arrow().to_pylist()[0]
    assert (allegation["person_id"], allegation["perpetrator_id"]) == ("ANA", "BEN")


def test_person_source_names_agency_table_and_key_as_the_agency_does(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    publish(home, ledger, inputs, run_id="run-1", fence=1)
    rows = {row["person_ref"]: row for row in open_record(home).table("person_source").to_arrow().to_pylist()}
    federal = rows[ANA_FEDERAL]
    assert (federal["agency"], federal["table"], federal["source_key"]) == ("care", "NCANDS.CHID", "n1")
    assert (federal["person_id"], federal["how"], federal["feeds"]) == ("ANA", "agency", "CLIENT_T")


def test_the_timeline_shows_events_of_a_case_to_all_its_persons(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    publish(home, ledger, inputs, run_id="run-1", fence=1)
    timeline = open_record(home).table("timeline").to_arrow().to_pylist()
    hearings = {(e["person_id"], e["role"], e["code"]) for e in timeline if e["event_type"] == "court_event"}
    assert hearings == {("ANA", "youth", "disposition"), ("BEN", "defendant", "disposition")}
    enrolments = [(e["person_id"], e["occurred_on"]) for e in timeline if e["event_type"] == "enrollment"]
    assert enrolments == [("ANA", date(2025, 9, 1)), ("BEN", date(2025, 9, 2))]


def test_the_same_inputs_give_the_same_bytes_in_another_home(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        home, ledger = new_home(tmp_path / name)
        snapshot = publish(home, ledger, inputs_of(tmp_path / f"{name}-in"), run_id="run-1", fence=1)
        digests.append({path.name: path.read_bytes() for path in snapshot.folder.iterdir()})
    assert digests[0] == digests[1]


@pytest.mark.parametrize("ids", [("A", "Z"), ("Z", "A")])
def test_an_index_number_of_two_persons_goes_to_the_same_mentions_whatever_the_person_ids(
    tmp_path: Path, ids: tuple[str, str]
) -> None:
    rows = {"person": [{"person_ref": f"police/name/{n}", "same_as": "police/index/9"} for n in (1, 2)]}
    persons = {f"police/name/{n}": person for n, person in zip((1, 2), ids, strict=True)}
    home, ledger = new_home(tmp_path / "home")
    publish(home, ledger, inputs_of(tmp_path, rows, persons), run_id="run-1", fence=1)
    found = open_record(home).table("person_source").to_pandas().set_index("person_ref")["person_id"]
    assert found["police/index/9"] == found["police/name/1"]
    assert open_record(home).manifest["divided_index_numbers"] == 1


def test_an_index_number_of_one_person_is_counted_as_no_divided_one(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    assert publish(home, ledger, inputs, run_id="run-1", fence=1).manifest["divided_index_numbers"] == 0


def test_publishing_the_same_again_keeps_the_snapshot_and_says_so(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    first = publish(home, ledger, inputs, run_id="run-1", fence=1)
    again = publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert again.snapshot_id == first.snapshot_id
    assert not again.is_new
    assert len(list((home.record / "snapshots").iterdir())) == 1


def test_a_record_that_comes_back_to_an_earlier_state_gets_a_place_of_its_own(tmp_path: Path) -> None:
    home, ledger = new_home(tmp_path / "home")
    states = [inputs_of(tmp_path / "a"), inputs_of(tmp_path / "b", persons=MOVED)]
    ids = [publish(home, ledger, states[n % 2], run_id="run-1", fence=1).snapshot_id for n in range(4)]
    assert len(set(ids)) == 4
    assert current_id(home) == ids[-1]
    assert open_record(home).manifest["parent"] == ids[-2]


def test_changes_against_the_snapshot_before_are_counted(tmp_path: Path) -> None:
    home, ledger = new_home(tmp_path / "home")
    publish(home, ledger, inputs_of(tmp_path / "a"), run_id="run-1", fence=1)
    rows = {**COUNTY, "enrollment": COUNTY["enrollment"][:1]}
    changes = publish(home, ledger, inputs_of(tmp_path / "b", rows, MOVED), run_id="run-1", fence=1).manifest["changes"]
    assert changes["rows"]["enrollment"] == [2, 1]
    assert changes["persons"] == {
        "mentions_new": 0, "mentions_gone": 0, "mentions_moved": 2, "persons_new": 1, "persons_gone": 1,
        "merges": 1, "splits": 1,
    }  # fmt: skip


def test_an_older_run_may_not_publish_once_a_younger_one_began(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    begin_run(ledger, "run-2", 2)
    with pytest.raises(PublishError, match="younger run"):
        publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert current_id(home) is None


def test_a_run_overtaken_while_it_builds_is_refused_at_the_commit(
    ready: tuple[Home, Ledger, Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, ledger, inputs = ready
    import record.publish as publishing

    write = publishing.write_manifest

    def overtaken(folder: Path, manifest: dict[str, object]) -> str:
        begin_run(ledger, "run-2", 2)
        return write(folder, manifest)

    monkeypatch.setattr(publishing, "write_manifest", overtaken)
    with pytest.raises(PublishError, match="younger run"):
        publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert current_id(home) is None
    monkeypatch.undo()
    assert publish(home, ledger, inputs, run_id="run-2", fence=2).is_new


def test_a_slow_publisher_cannot_set_the_pointer_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, ledger = new_home(tmp_path / "home")
    import record.publish as publishing

    commit, younger = publishing._commit, inputs_of(tmp_path / "b", persons=MOVED)

    def then_another_publishes(*args: object, **kwargs: object) -> None:
        commit(*args, **kwargs)
        monkeypatch.setattr(publishing, "_commit", commit)
        begin_run(ledger, "run-2", 2)
        publish(home, ledger, younger, run_id="run-2", fence=2)

    monkeypatch.setattr(publishing, "_commit", then_another_publishes)
    slow = publish(home, ledger, inputs_of(tmp_path / "a"), run_id="run-1", fence=1)
    assert current_id(home) != slow.snapshot_id
    assert open_record(home).manifest["parent"] == slow.snapshot_id


def test_accounts_that_do_not_add_up_stop_the_publishing(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    add_extract(ledger, received=3, accounted=2)
    with pytest.raises(AccountError, match="do not add up"):
        publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert current_id(home) is None


def test_a_row_id_that_stands_twice_stops_the_publishing(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    name = pq.read_table(inputs.entities["person_name"])
    pq.write_table(name.take([0, 0, 1]), inputs.entities["person_name"])
    with pytest.raises(AccountError, match="person_name"):
        publish(home, ledger, inputs, run_id="run-1", fence=1)


def test_a_person_without_a_person_id_stops_the_publishing(tmp_path: Path) -> None:
    home, ledger = new_home(tmp_path / "home")
    partial = {ref: person for ref, person in PERSONS.items() if ref != BEN}
    with pytest.raises(PublishError, match="1 references to persons have no person id"):
        publish(home, ledger, inputs_of(tmp_path / "in", persons=partial), run_id="run-1", fence=1)


def test_a_damaged_input_is_told_without_a_value(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    inputs.entities["person_name"].write_bytes(b"Ana Ode was here")
    with pytest.raises(PublishError) as caught:
        publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert "Ode" not in str(caught.value)
    assert list(home.record.glob(".building.*")) == []


def test_publishing_the_same_puts_back_a_table_that_was_damaged(ready: tuple[Home, Ledger, Inputs]) -> None:
    home, ledger, inputs = ready
    snapshot = publish(home, ledger, inputs, run_id="run-1", fence=1)
    snapshot.table("address").write_bytes(b"not a table")
    snapshot.table("person").unlink()
    again = publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert not again.is_new and again.snapshot_id == snapshot.snapshot_id
    verify(again)
    assert {oct(path.stat().st_mode & 0o777) for path in again.folder.iterdir()} == {"0o600"}


def test_person_events_are_kept_with_the_snapshot_that_made_them(
    ready: tuple[Home, Ledger, Inputs], tmp_path: Path
) -> None:
    home, ledger, inputs = ready
    events = tmp_path / "events.parquet"
    pq.write_table(pa.table({"person_id": ["BEN"], "kind": ["merged_into"], "other_id": ["ANA"]}), events)
    told = replace(inputs, person_events=events, cause="scored")
    snapshot = publish(home, ledger, told, run_id="run-1", fence=1)
    with ledger.reading() as connection:
        kept = connection.execute(tables.person_event.select()).mappings().one()
    assert (kept["person_id"], kept["other_id"], kept["cause"]) == ("BEN", "ANA", "scored")
    assert kept["snapshot_id"] == snapshot.snapshot_id


def test_the_extracts_and_versions_stand_in_the_manifest(ready: tuple[Home, Ledger, Inputs], tmp_path: Path) -> None:
    home, ledger, inputs = ready
    add_extract(ledger, received=2, accounted=2)
    manifest = publish(home, ledger, inputs, run_id="run-1", fence=1).manifest
    assert [e["extract_id"] for e in manifest["extracts"]] == ["x1"]
    assert manifest["versions"] == {"code": "test"}
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.yaml").write_text("a: 1")
    before = fingerprint(tmp_path / "v")
    (tmp_path / "v" / "a.yaml").write_text("a: 2")
    assert fingerprint(tmp_path / "v") != before


def test_an_order_that_arrives_later_takes_the_tables_of_earlier_snapshots(tmp_path: Path) -> None:
    home, ledger = new_home(tmp_path / "home")
    inputs = inputs_of(tmp_path / "in")
    first = publish(home, ledger, inputs, run_id="run-1", fence=1)
    pinned = open_record(home)
    add_order(ledger, CASE)
    second = publish(home, ledger, inputs, run_id="run-1", fence=1)
    assert [path.name for path in first.folder.iterdir()] == ["manifest.json"]
    with pytest.raises(PublishError, match="withdrawn"):
        pinned.table("case").to_arrow()
    verify(second)


def test_an_order_known_at_first_sight_leaves_earlier_snapshots_alone(tmp_path: Path) -> None:
    home, ledger = new_home(tmp_path / "home")
    first = publish(home, ledger, inputs_of(tmp_path / "a"), run_id="run-1", fence=1)
    add_order(ledger, "court/case_hdr/unseen", arrived=False)
    publish(home, ledger, inputs_of(tmp_path / "b", persons=MOVED), run_id="run-1", fence=1)
    verify(first)


CRASHING = """
import os, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from record_rows import inputs_of
import record.publish as publishing
import record.snapshot
from store.home import Home
from store.ledger import open_ledger

root = Path(sys.argv[2])

def publish(folder, persons):
    home, ledger = Home(folder), open_ledger(folder / "ledger.db")
    given = inputs_of(folder / "in", persons=persons)
    return publishing.publish(home, ledger, given, run_id="run-1", fence=1)

def killed_at(step):
    setattr(publishing, step, lambda *args, **kwargs: os._exit(9))

for step in sys.argv[3:]:
    child = os.fork()
    if child == 0:
        from record_rows import PERSONS
        killed_at(step)
        publish(root / step, {**PERSONS, "school/students/02": "ANA"})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, step
"""


def test_a_kill_at_any_step_leaves_a_whole_snapshot_and_the_next_publishing_ends_the_same(
    tmp_path: Path,
) -> None:
    here = Path(__file__).resolve().parents[1]
    home, ledger = new_home(tmp_path / "whole")
    ids = [publish(home, ledger, inputs_of(tmp_path / "a"), run_id="run-1", fence=1).snapshot_id]
    ledger.close()
    for step in STEPS:
        shutil.copytree(home.root, tmp_path / step)
    command = [sys.executable, "-c", CRASHING, str(here), str(tmp_path), *STEPS]
    subprocess.run(
        command, check=True, timeout=120, cwd=here.parent, env={**os.environ, "PYTHONPATH": str(here.parent)}
    )

    persons = {**PERSONS, "school/students/02": "ANA"}
    given = inputs_of(tmp_path / "again", persons=persons)
    ids.append(publish(home, open_ledger(home.ledger_file), given, run_id="run-1", fence=1).snapshot_id)
    for step in STEPS:
        home = Home(tmp_path / step)
        verify(open_record(home).snapshot)
        assert current_id(home) in ids, step
        end = publish(home, open_ledger(home.ledger_file), given, run_id="run-1", fence=1)
        assert [end.snapshot_id, current_id(home)] == [ids[1], ids[1]], step
        assert sorted(p.name for p in (home.record / "snapshots").iterdir()) == sorted(ids), step
        assert list(home.record.glob(".building.*")) == [], step
        assert json.loads((end.folder / "manifest.json").read_text())["parent"] == ids[0], step
