"""What a person said of two records holds, whatever the weights and rules say, and as long as the records are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from linkage.identity import Cause, EventKind
from linkage.judgements import JUDGED_APART, SCHEMA
from linkage.link import Links
from standard.errors import LinkageError
from tests.linkage_tables import edge, linked, person, person_ids

TWINS = [
    person("school/1", "Hollis Vandermolen", "2012-09-09", home="1 Lake Dr"),
    person("court/1", "Brynn Vandermolen", "2012-09-09", home="1 Lake Dr"),
]
SAME = [
    person("school/2", "Ottilie Rae Brankovic", "2012-03-04", home="12 Alder St"),
    person("court/2", "Ottilie R Brankovic", "2012-03-04", home="12 Alder St"),
]
STRANGERS = [person("police/7", "Ansel Quist", "1990-01-05"), person("police/8", "Della Orr", "1971-11-30")]
ROWS = [*TWINS, *SAME, *STRANGERS]


def said(*pairs: tuple[str, str, bool]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"record_l": min(a, b), "record_r": max(a, b), "same": same} for a, b, same in pairs], schema=SCHEMA
    )


def events(links: Links) -> list[tuple[Any, ...]]:
    return list(duckdb.read_parquet(str(links.into / "events.parquet")).project("kind, cause").order("ALL").fetchall())


def test_records_judged_to_be_the_same_are_one_person_though_a_rule_keeps_them_apart(tmp_path: Path) -> None:
    links = linked(ROWS, tmp_path, judgements=said(("school/1", "court/1", True)))
    ids = person_ids(links)
    assert ids["school/1"] == ids["court/1"]
    found = edge(links, "school/1", "court/1")
    assert found is not None and (found["decision"], found["veto"], found["judged"]) == ("link", None, True)
    how = dict(duckdb.read_parquet(str(links.into / "persons.parquet")).project("record_id, how").fetchall())
    assert how["school/1"] == "judged" and how["school/2"] == "scored"


def test_records_judged_to_be_different_are_two_persons_though_all_agrees(tmp_path: Path) -> None:
    links = linked(ROWS, tmp_path, judgements=said(("school/2", "court/2", False)))
    ids = person_ids(links)
    assert ids["school/2"] != ids["court/2"]
    found = edge(links, "school/2", "court/2")
    assert found is not None and (found["decision"], found["veto"]) == ("no", JUDGED_APART)


def test_strangers_that_nothing_brought_together_can_be_judged_the_same(tmp_path: Path) -> None:
    ids = person_ids(linked(ROWS, tmp_path, judgements=said(("police/7", "police/8", True))))
    assert ids["police/7"] == ids["police/8"]


def test_a_judgement_about_a_record_that_is_gone_waits(tmp_path: Path) -> None:
    ids = person_ids(linked(ROWS, tmp_path, judgements=said(("police/7", "police/9", True))))
    assert len(set(ids.values())) == len(ids) - 1


def test_a_judgement_moves_ids_and_taking_it_back_restores_them(tmp_path: Path) -> None:
    first = linked(ROWS, tmp_path / "1")
    judged = linked(
        ROWS, tmp_path / "2", known=first.into / "persons.parquet", judgements=said(("school/1", "court/1", True))
    )
    assert events(judged) == [(EventKind.MERGED_INTO, Cause.JUDGEMENT)]
    (tmp_path / "2" / "people.parquet").replace(judged.into / "people.parquet")
    undone = linked(ROWS, tmp_path / "3", known=judged.into / "persons.parquet", spent=person_ids(first).values())
    assert person_ids(undone) == person_ids(first)
    assert events(undone) == [(EventKind.RESTORED, Cause.JUDGEMENT)]


def test_contradicting_judgements_are_refused(tmp_path: Path) -> None:
    circle = said(("school/2", "court/2", True), ("court/2", "police/7", True), ("school/2", "police/7", False))
    with pytest.raises(LinkageError, match="contradict"):
        linked(ROWS, tmp_path, judgements=circle)
