"""Person ids last; what happens to them is told."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from linkage.identity import Cause, EventKind, assign_ids, mint, note_changes
from tests.linkage_tables import person, write_people

SECRET = b"a test"
Event = tuple[str, str, str | None]
"""person_id, kind, other_id"""


def founded_on(record_id: str, *, counter: int = 0, secret: bytes = SECRET) -> str:
    return str(mint(secret, [record_id], counter)[0])


def assigned(
    clusters: dict[str, int], known: dict[str, str], spent: tuple[str, ...] = ()
) -> tuple[dict[str, str], list[Event]]:
    """Ids by record for clusters given as record -> cluster."""
    with duckdb.connect() as con:
        records = sorted(clusters)
        numbers = pa.array(range(len(records)), pa.int32())
        for name, columns in {
            "mention": {"id": numbers, "record_id": pa.array(records)},
            "cluster": {"id": numbers, "cluster": pa.array([clusters[r] for r in records], pa.int32())},
            "known": {"record_id": pa.array(known, pa.string()), "person_id": pa.array(known.values(), pa.string())},
        }.items():
            con.register("rows", pa.table(columns))
            con.execute(f"CREATE TABLE {name} AS FROM rows")
        assign_ids(con, secret=SECRET, spent=spent)
        events = con.sql("SELECT person_id, kind, other_id FROM person_event ORDER BY ALL").fetchall()
        rows = con.sql(
            "SELECT record_id, person_id FROM mention JOIN cluster USING (id) JOIN person_of USING (cluster)"
        )
        return dict(rows.fetchall()), events


def test_an_id_tells_nothing_and_depends_on_the_secret() -> None:
    one = founded_on("school/1")
    assert len(one) == 26 and one.isalnum() and "school" not in one
    assert one == founded_on("school/1") != founded_on("school/1", secret=b"another")


def test_a_spent_id_is_never_minted_again() -> None:
    first, second = founded_on("school/1"), founded_on("school/1", counter=1)
    assert assigned({"school/1": 1}, {}, spent=(first,))[0] == {"school/1": second}
    ids, events = assigned({"school/1": 1}, {}, spent=(first, second))
    assert ids["school/1"] not in {first, second}
    assert events == [(ids["school/1"], EventKind.MINTED, None)]


def test_ids_are_the_same_minted_alone_or_many_at_once() -> None:
    records = [f"school/{number}" for number in range(5000)]
    together, _ = assigned({record: number for number, record in enumerate(records)}, {})
    assert together == {record: founded_on(record) for record in records}
    assert len(set(together.values())) == 5000


def test_an_id_is_the_base32_of_a_keyed_hash() -> None:
    digest = hmac.digest(SECRET, b"school/1\x1f0", "sha256")
    assert founded_on("school/1") == base64.b32encode(digest).decode()[:26]


def test_ids_stay_when_nothing_changed() -> None:
    ids, events = assigned({"a": 1, "b": 1, "c": 2}, {})
    again, nothing = assigned({"a": 9, "b": 9, "c": 4}, ids)
    assert again == ids and nothing == []
    assert {kind for _, kind, _ in events} == {EventKind.MINTED}


def test_a_new_record_joins_the_id_of_its_cluster() -> None:
    ids, events = assigned({"a": 1, "b": 1, "0": 1}, {"a": "OLD", "b": "OLD"})
    assert set(ids.values()) == {"OLD"} and events == []


def test_the_id_with_most_records_survives_a_merge() -> None:
    ids, events = assigned({"a": 1, "b": 1, "c": 1}, {"a": "SMALL", "b": "LARGE", "c": "LARGE"})
    assert set(ids.values()) == {"LARGE"}
    assert events == [("SMALL", EventKind.MERGED_INTO, "LARGE")]


def test_the_smallest_id_survives_a_merge_of_equals() -> None:
    ids, events = assigned({"a": 1, "b": 1}, {"a": "Q2", "b": "Q1"})
    assert set(ids.values()) == {"Q1"} and events == [("Q2", EventKind.MERGED_INTO, "Q1")]


def test_the_part_that_leaves_gets_a_new_id() -> None:
    known = {"a": "OLD", "b": "OLD", "c": "OLD"}
    ids, events = assigned({"a": 1, "b": 2, "c": 2}, known)
    assert ids["b"] == ids["c"] == "OLD" != ids["a"]
    assert events == [(ids["a"], EventKind.MINTED, None), (ids["a"], EventKind.SPLIT_FROM, "OLD")]


def test_a_record_that_moves_to_another_person_is_told() -> None:
    ids, events = assigned({"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}, {"a": "X", "b": "X", "c": "X", "d": "Y", "e": "Y"})
    assert ids == {"a": "X", "b": "X", "c": "Y", "d": "Y", "e": "Y"}
    assert events == [("X", EventKind.MOVED_TO, "Y")]


def test_an_id_without_records_ends() -> None:
    ids, events = assigned({"a": 1}, {"a": "X", "gone": "Z"})
    assert ids == {"a": "X"} and events == [("Z", EventKind.ENDED, None)]


def test_an_id_merged_away_is_not_given_to_its_founder_again() -> None:
    founded = founded_on("b")
    ids, _ = assigned({"a": 1, "b": 2}, {"a": "X", "b": "X"}, spent=(founded,))
    assert ids["a"] == "X" and ids["b"] not in {"X", founded}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_founder_does_not_depend_on_the_order_of_rows(order: tuple[str, str]) -> None:
    ids, _ = assigned(dict.fromkeys(order, 1), {})
    assert ids["a"] == founded_on("a")


class Nights:
    """Night after night in one connection, as a home keeps ids: known, former and spent are carried on."""

    def __init__(self) -> None:
        self.con = duckdb.connect()
        self.ids: dict[str, str] = {}
        self.spent: set[str] = set()

    def night(
        self, clusters: dict[str, int], *, change: dict[str, str] | None = None, cause: Cause | None = None
    ) -> list[tuple[str, str, str | None, str]]:
        records = sorted(clusters)
        numbers = pa.array(range(len(records)), pa.int32())
        change = change or {}
        for name, columns in {
            "mention": {"id": numbers, "record_id": pa.array(records, pa.string())},
            "cluster": {"id": numbers, "cluster": pa.array([clusters[r] for r in records], pa.int32())},
            "known": {
                "record_id": pa.array(self.ids, pa.string()),
                "person_id": pa.array(self.ids.values(), pa.string()),
            },
            "change": {"record_id": pa.array(change, pa.string()), "cause": pa.array(change.values(), pa.string())},
        }.items():
            self.con.register("rows", pa.table(columns))
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM rows")
        assign_ids(self.con, secret=SECRET, spent=self.spent, cause=cause)
        query = "SELECT record_id, person_id FROM mention JOIN cluster USING (id) JOIN person_of USING (cluster)"
        self.ids = dict(self.con.sql(query).fetchall())
        self.spent |= set(self.ids.values())
        return list(self.con.sql("FROM person_event ORDER BY ALL").fetchall())


def test_what_was_joined_and_comes_apart_has_its_ids_again() -> None:
    nights = Nights()
    nights.night({"a": 1, "b": 1, "x": 2})
    before = dict(nights.ids)
    nights.night({"a": 1, "b": 1, "x": 1}, change={"a": Cause.JUDGEMENT, "x": Cause.JUDGEMENT})
    assert set(nights.ids.values()) == {before["a"]}
    events = nights.night({"a": 1, "b": 1, "x": 2}, change={"a": Cause.JUDGEMENT, "x": Cause.JUDGEMENT})
    assert nights.ids == before
    assert events == [(before["x"], EventKind.RESTORED, before["a"], Cause.JUDGEMENT)]


def test_the_part_that_had_the_id_has_it_again_though_it_has_grown_meanwhile() -> None:
    nights = Nights()
    nights.night({"a": 1, "b": 1, "x": 2})
    before = dict(nights.ids)
    nights.night({"a": 1, "b": 1, "x": 1, "y": 1, "z": 1})
    nights.night({"a": 1, "b": 1, "x": 2, "y": 2, "z": 2})
    assert nights.ids == {**before, "y": before["x"], "z": before["x"]}


def test_merges_are_undone_one_after_the_other() -> None:
    nights = Nights()
    apart, first, all_one = {"x": 1, "y": 2, "z": 3}, {"x": 1, "y": 1, "z": 3}, {"x": 1, "y": 1, "z": 1}
    states = []
    for clusters in (apart, first, all_one):
        nights.night(clusters)
        states.append(dict(nights.ids))
    nights.night(first)
    assert nights.ids == states[1]
    nights.night(apart)
    assert nights.ids == states[0]


def test_a_record_that_leaves_a_merged_person_takes_no_former_id_that_it_never_bore() -> None:
    nights = Nights()
    nights.night({"a": 1, "b": 1, "c": 1, "x": 2})
    before = dict(nights.ids)
    nights.night({"a": 1, "b": 1, "c": 1, "x": 1})
    nights.night({"a": 1, "b": 1, "x": 1, "c": 3})
    assert nights.ids["a"] == nights.ids["x"] == before["a"]
    assert nights.ids["c"] not in set(before.values())


def test_records_that_were_gone_for_a_night_come_back_to_their_id() -> None:
    nights = Nights()
    nights.night({"a": 1, "b": 1, "c": 2})
    before = dict(nights.ids)
    gone = nights.night({"c": 2}, change={"a": Cause.DELETION, "b": Cause.DELETION})
    back = nights.night({"a": 1, "b": 1, "c": 2}, change={"a": Cause.NEW_EVIDENCE, "b": Cause.NEW_EVIDENCE})
    assert nights.ids == before
    assert gone == [(before["a"], EventKind.ENDED, None, Cause.DELETION)]
    assert back == [(before["a"], EventKind.RESTORED, None, Cause.NEW_EVIDENCE)]


@pytest.mark.parametrize(
    ("change", "cause", "told"),
    [
        ({"n": Cause.NEW_EVIDENCE}, None, Cause.NEW_EVIDENCE),
        ({"b": Cause.CORRECTION, "n": Cause.NEW_EVIDENCE}, None, Cause.CORRECTION),
        ({"a": Cause.JUDGEMENT, "b": Cause.CORRECTION}, None, Cause.JUDGEMENT),
        ({"b": Cause.CORRECTION}, Cause.MODEL, Cause.MODEL),
        ({"elsewhere": Cause.DELETION}, None, Cause.DELETION),
        ({}, None, Cause.MODEL),
    ],
)
def test_a_merge_tells_the_weightiest_cause_among_the_records_of_both(
    change: dict[str, str], cause: Cause | None, told: Cause
) -> None:
    nights = Nights()
    nights.night({"a": 1, "b": 2})
    events = nights.night({"a": 1, "b": 1, "n": 1}, change=change, cause=cause)
    assert [(kind, why) for _, kind, _, why in events] == [(EventKind.MERGED_INTO, told)]


def test_a_lost_value_is_a_correction_and_an_added_one_new_evidence(tmp_path: Path) -> None:
    before = [
        person("same", "Mia Orr"), person("gone", "Ada Orr"), person("corrected", "Ana Orr"),
        person("fuller", "Bo Orr", phones=["5550001"]), person("moved", "Lu Orr", phones=["5550001"]),
    ]  # fmt: skip
    after = [
        person("same", "Mia Orr"), person("new", "Bea Orr"), person("corrected", "Anna Orr"),
        person("fuller", "Bo Orr", "2012-03-04", phones=["5550001", "5550002"]),
        person("moved", "Lu Orr", phones=["5550002"]),
    ]  # fmt: skip
    with duckdb.connect() as con:
        con.read_parquet(str(write_people(after, tmp_path / "after.parquet"))).create_view("people")
        note_changes(con, write_people(before, tmp_path / "before.parquet"))
        assert dict(con.sql("FROM change").fetchall()) == {
            "gone": Cause.DELETION, "new": Cause.NEW_EVIDENCE, "corrected": Cause.CORRECTION,
            "fuller": Cause.NEW_EVIDENCE, "moved": Cause.CORRECTION,
        }  # fmt: skip
