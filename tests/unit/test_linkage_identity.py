"""Person ids last; what happens to them is told."""

from __future__ import annotations

import duckdb
import pytest

from linkage.identity import EventKind, PersonEvent, assign_ids, mint

SECRET = b"a test"


def assigned(
    clusters: dict[str, int], known: dict[str, str], spent: tuple[str, ...] = ()
) -> tuple[dict[str, str], list[PersonEvent]]:
    """Ids by record for clusters given as record -> cluster."""
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE mention (id INTEGER, record_id VARCHAR); CREATE TABLE cluster (id INTEGER, cluster INTEGER)"
        )
        con.execute("CREATE TABLE known (record_id VARCHAR, person_id VARCHAR)")
        for number, (record, cluster) in enumerate(sorted(clusters.items())):
            con.execute("INSERT INTO mention VALUES (?, ?)", [number, record])
            con.execute("INSERT INTO cluster VALUES (?, ?)", [number, cluster])
        for row in known.items():
            con.execute("INSERT INTO known VALUES (?, ?)", list(row))
        events = assign_ids(con, secret=SECRET, spent=spent)
        rows = con.sql(
            "SELECT record_id, person_id FROM mention JOIN cluster USING (id) JOIN person_of USING (cluster)"
        )
        return dict(rows.fetchall()), events


def test_an_id_tells_nothing_and_depends_on_the_secret() -> None:
    one = mint(SECRET, "school/1")
    assert len(one) == 26 and one.isalnum() and "school" not in one
    assert one == mint(SECRET, "school/1") != mint(b"another", "school/1")


def test_a_spent_id_is_never_minted_again() -> None:
    first = mint(SECRET, "school/1")
    second = mint(SECRET, "school/1", {first})
    assert second != first and mint(SECRET, "school/1", {first, second}) not in {first, second}


def test_ids_stay_when_nothing_changed() -> None:
    ids, events = assigned({"a": 1, "b": 1, "c": 2}, {})
    again, nothing = assigned({"a": 9, "b": 9, "c": 4}, ids)
    assert again == ids and nothing == []
    assert {e.kind for e in events} == {EventKind.MINTED}


def test_a_new_record_joins_the_id_of_its_cluster() -> None:
    ids, events = assigned({"a": 1, "b": 1, "0": 1}, {"a": "OLD", "b": "OLD"})
    assert set(ids.values()) == {"OLD"} and events == []


def test_the_id_with_most_records_survives_a_merge() -> None:
    ids, events = assigned({"a": 1, "b": 1, "c": 1}, {"a": "SMALL", "b": "LARGE", "c": "LARGE"})
    assert set(ids.values()) == {"LARGE"}
    assert events == [PersonEvent("SMALL", EventKind.MERGED_INTO, "LARGE")]


def test_the_smallest_id_survives_a_merge_of_equals() -> None:
    ids, events = assigned({"a": 1, "b": 1}, {"a": "Q2", "b": "Q1"})
    assert set(ids.values()) == {"Q1"} and events == [PersonEvent("Q2", EventKind.MERGED_INTO, "Q1")]


def test_the_part_that_leaves_gets_a_new_id() -> None:
    known = {"a": "OLD", "b": "OLD", "c": "OLD"}
    ids, events = assigned({"a": 1, "b": 2, "c": 2}, known)
    assert ids["b"] == ids["c"] == "OLD" != ids["a"]
    assert events == sorted(
        [PersonEvent(ids["a"], EventKind.MINTED), PersonEvent(ids["a"], EventKind.SPLIT_FROM, "OLD")],
        key=lambda e: e.kind,
    )


def test_a_record_that_moves_to_another_person_is_told() -> None:
    ids, events = assigned({"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}, {"a": "X", "b": "X", "c": "X", "d": "Y", "e": "Y"})
    assert ids == {"a": "X", "b": "X", "c": "Y", "d": "Y", "e": "Y"}
    assert events == [PersonEvent("X", EventKind.MOVED_TO, "Y")]


def test_an_id_without_records_ends() -> None:
    ids, events = assigned({"a": 1}, {"a": "X", "gone": "Z"})
    assert ids == {"a": "X"} and events == [PersonEvent("Z", EventKind.ENDED)]


def test_an_id_merged_away_is_not_given_to_its_founder_again() -> None:
    founded = mint(SECRET, "b")
    ids, _ = assigned({"a": 1, "b": 2}, {"a": "X", "b": "X"}, spent=(founded,))
    assert ids["a"] == "X" and ids["b"] not in {"X", founded}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_founder_does_not_depend_on_the_order_of_rows(order: tuple[str, str]) -> None:
    ids, _ = assigned(dict.fromkeys(order, 1), {})
    assert ids["a"] == mint(SECRET, "a")
