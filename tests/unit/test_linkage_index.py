"""The kept index: private, used where it fits, made anew where it does not; it never decides what comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from linkage.blocking import BlockIndex, Rules, blocking_rules, key_segment, packed
from linkage.kept import STATE, open_index
from linkage.link import LinkageSettings, Links, link_people
from tests.linkage_tables import person, person_ids, write_people

PEOPLE = [
    person("school/1", "Mia Orr", "2012-03-04", home="12 Alder St", ssn="521457731"),
    person("court/1", "Mia Orr", "2012-03-04", home="12 Alder St", ssn="521457731"),
    person("school/2", "Robert Quist", "1984-03-04", home="9 Fern Ct"),
    person("court/2", "Bob Quist", "1984-03-04", home="9 Fern Ct"),
]
LATE = person("police/1", "Mia Orr", "2012-03-04", ssn="521457731")


def link(folder: Path, night: int, rows: list[dict[str, object]], settings: LinkageSettings | None = None) -> Links:
    into = folder / f"night{night}"
    into.mkdir()
    known = folder / f"night{night - 1}" / "persons.parquet"
    return link_people(
        write_people(rows, into / "people.parquet"), into, secret=b"test", settings=settings, index=folder / "index",
        known=known if known.exists() else None,
    )  # fmt: skip


def test_only_what_is_new_is_compared_and_the_same_night_again_compares_nothing(tmp_path: Path) -> None:
    assert link(tmp_path, 1, PEOPLE).pairs == 2
    second = link(tmp_path, 2, [*PEOPLE, LATE])
    assert second.pairs == 2
    assert person_ids(second)["police/1"] == person_ids(second)["school/1"]
    assert link(tmp_path, 3, [*PEOPLE, LATE]).pairs == 0


def test_the_index_is_private(tmp_path: Path) -> None:
    link(tmp_path, 1, PEOPLE)
    assert (tmp_path / "index").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "index").iterdir()} == {0o600}


@pytest.mark.parametrize("harm", ["cut", "gone", "other links", "no state", "not json"])
def test_an_index_that_a_crash_left_or_that_does_not_fit_is_made_anew(tmp_path: Path, harm: str) -> None:
    link(tmp_path, 1, PEOPLE)
    index = tmp_path / "index"
    state = json.loads((index / STATE).read_text())
    first = index / state["mentions"][0]
    match harm:
        case "cut":
            first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
        case "gone":
            (index / state["last"]["person"]).unlink()
        case "other links":
            state["stamp"]["links"] = "night7"
            (index / STATE).write_text(json.dumps(state))
        case "no state":
            (index / STATE).unlink()
        case "not json":
            (index / STATE).write_text("{")
    links = link(tmp_path, 2, [*PEOPLE, LATE])
    assert links.pairs == 4
    assert person_ids(links)["police/1"] == person_ids(links)["school/1"]


def test_an_index_of_which_any_file_is_broken_is_not_used(tmp_path: Path) -> None:
    link(tmp_path, 1, PEOPLE)
    index = tmp_path / "index"
    stamp = json.loads((index / STATE).read_text())["stamp"]
    assert open_index(index, stamp, blocking_rules()) is not None
    for file in sorted(index.iterdir()):
        whole = file.read_bytes()
        of_other_rows = [whole.replace(b"(4,)", b"(3,)")] if b"(4,)" in whole else []
        no_array = [b"PK\3\4" + whole[4:]] if file.suffix == ".npy" else []
        for broken in (b"", b"[]", whole[: len(whole) // 2], *of_other_rows, *no_array):
            file.write_bytes(broken)
            assert open_index(index, stamp, blocking_rules()) is None
        file.write_bytes(whole)
    assert open_index(index, stamp, blocking_rules()) is not None


def test_an_index_with_a_flipped_bit_is_not_used(tmp_path: Path) -> None:
    link(tmp_path, 1, [*PEOPLE, LATE])
    index = tmp_path / "index"
    stamp = json.loads((index / STATE).read_text())["stamp"]
    for file in sorted(index.iterdir()):
        whole = file.read_bytes()
        for at in range(0, len(whole), 1 + len(whole) // 7):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert open_index(index, stamp, blocking_rules()) is None
        file.write_bytes(whole)
    assert open_index(index, stamp, blocking_rules()) is not None


def test_another_count_in_the_state_is_noticed(tmp_path: Path) -> None:
    link(tmp_path, 1, PEOPLE)
    path = tmp_path / "index" / STATE
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"dead": 1}))
    assert open_index(tmp_path / "index", state["stamp"], blocking_rules()) is None


def test_other_settings_compare_everything_anew(tmp_path: Path) -> None:
    link(tmp_path, 1, PEOPLE)
    assert link(tmp_path, 2, PEOPLE, LinkageSettings(review_weight=-5.0)).pairs == 2


def test_files_no_longer_in_force_are_removed(tmp_path: Path) -> None:
    for night in range(1, 15):
        link(tmp_path, night, [*PEOPLE, *(person(f"police/{n}", "Ann Orr", ssn="521457731") for n in range(night))])
    state = (tmp_path / "index" / STATE).read_text()
    assert all(path.name in state or path.name == STATE for path in (tmp_path / "index").iterdir())
    assert len(json.loads(state)["keys"]) <= 9


def test_a_copy_of_the_index_serves_as_well(tmp_path: Path) -> None:
    link(tmp_path, 1, PEOPLE)
    shutil.copytree(tmp_path / "index", tmp_path / "copy")
    shutil.rmtree(tmp_path / "index")
    (tmp_path / "copy").rename(tmp_path / "index")
    assert link(tmp_path, 2, [*PEOPLE, LATE]).pairs == 2


def test_pairs_come_once_whatever_the_size_of_a_part() -> None:
    rng = np.random.default_rng(3)
    keys, slots = rng.integers(0, 60, 500).astype(np.uint64), rng.integers(0, 200, 500).astype(np.int32)
    alive = np.ones(200, bool)
    blocks = BlockIndex(Rules(names=["only"], caps=[12]))
    whole = np.concatenate(list(blocks.pairs(key_segment(keys, slots), alive)))
    small = np.concatenate(list(blocks.pairs(key_segment(keys, slots), alive, at_once=7)))
    expected = {
        tuple(sorted((a, b)))
        for key in range(60)
        if len(found := set(slots[keys == key].tolist())) <= 12
        for a in found
        for b in found
        if a < b
    }
    assert sorted(packed(whole)) == sorted(packed(small))
    assert {tuple(pair) for pair in whole.tolist()} == expected and len(whole) == len(expected)


def test_an_id_that_ends_in_a_later_delivery_says_by_what(tmp_path: Path) -> None:
    link(tmp_path, 1, [*PEOPLE, person("police/9", "Winifred Okonjo", "1990-05-05")])
    (tmp_path / "night1" / "people.parquet").unlink()
    links = link(tmp_path, 2, PEOPLE)
    events = pq.read_table(links.into / "events.parquet").select(["kind", "cause"]).to_pylist()
    assert events == [{"kind": "ended", "cause": "deletion"}]
