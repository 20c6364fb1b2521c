"""What waits for a person: in which order, how many must judge, and what a judgement would change before it is made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linkage.identity import EventKind
from linkage.judgements import SCHEMA
from linkage.link import Links
from linkage.preview import Effect, PersonChange, preview
from linkage.register import Judgement, Verdict
from linkage.review import Concern, concern, queue, require_authority, shown_mentions
from standard.errors import JudgementError, LinkageError
from tests.linkage_tables import linked, person, person_ids

AGENCIES = ("school", "court", "police")
ROWS = [
    # two persons of three mentions each: only their first names tell them apart
    *(person(f"{agency}/1", "Hollis Vandermolen", "2012-09-09", home="1 Lake Dr") for agency in AGENCIES),
    *(person(f"{agency}/2", "Brynn Vandermolen", "2012-09-09", home="1 Lake Dr") for agency in AGENCIES),
    # twins of one mention each
    person("school/3", "Amos Quist", "2010-01-05", home="9 Fern Ct"),
    person("court/3", "Oda Quist", "2010-01-05", home="9 Fern Ct"),
    person("school/4", "Ottilie Brankovic", "2012-03-04", home="12 Alder St", ssn="521457731"),
    person("school/5", "Della Orr", "1971-11-30", adopted=True),
]  # fmt: skip


def made(folder: Path, rows: list[dict[str, Any]], protected: dict[str, str] | None = None, **more: Any) -> Links:
    """Links with what the exchange lays beside them."""
    links = linked(rows, folder, **more)
    shutil.copy(folder / "people.parquet", links.into)
    said = protected or {}
    reasons = pa.table({"record_id": pa.array(said, pa.string()), "reason": pa.array(said.values(), pa.string())})
    pq.write_table(reasons, links.into / "protected.parquet")
    return links


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Links:
    return made(tmp_path_factory.mktemp("review"), ROWS, {"school/5": "adopted", "school/4": "sealed"})


def judged(left: str, right: str, verdict: Verdict, reason: str | None = None) -> Judgement:
    return Judgement(1, min(left, right), max(left, right), verdict, "ada", "", "seen", None, 1, None, reason)


def said(*pairs: tuple[str, str, bool]) -> pa.Table:
    rows = [{"record_l": min(a, b), "record_r": max(a, b), "same": same} for a, b, same in pairs]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_two_persons_are_one_decision_and_what_settles_more_pairs_comes_first(links: Links) -> None:
    waiting = queue(links.into, [])
    persons = {frozenset((pair.person_l, pair.person_r)) for pair in waiting}
    assert len(persons) == len(waiting) == 2
    assert {(pair.records, pair.pairs, pair.agencies) for pair in waiting} == {(6, 9, 3), (2, 1, 2)}
    assert waiting[0].settles >= waiting[1].settles
    assert {pair.reason for pair in waiting} == {"first names conflict"}


def test_what_was_decided_waits_no_longer_and_what_is_unsure_comes_last(links: Links) -> None:
    first, second = queue(links.into, [])
    assert queue(links.into, [judged(first.record_l, first.record_r, Verdict.DIFFERENT)])[0].record_l == second.record_l
    again = queue(links.into, [judged(first.record_l, first.record_r, Verdict.UNSURE)])
    assert [(pair.record_l, pair.unsure) for pair in again] == [(second.record_l, False), (first.record_l, True)]


def test_the_chance_of_a_kind_of_pair_is_learnt_from_what_was_judged(links: Links) -> None:
    before = queue(links.into, [])[0].chance
    others = [judged(f"a/{n}", f"b/{n}", Verdict.SAME, "first names conflict") for n in range(10)]
    assert queue(links.into, others)[0].chance > 2 * before


def test_the_queue_is_the_same_every_time(links: Links) -> None:
    assert queue(links.into, []) == queue(links.into, []) and len(queue(links.into, [], limit=1)) == 1


def test_more_than_two_agencies_or_protected_records_need_two_persons(links: Links) -> None:
    assert concern(links.into, ("school/3", "court/3")).need.persons == 1
    three = concern(links.into, ("school/1", "court/2"))
    assert (three.records, three.need.persons, three.need.because) == (6, 2, "records of 3 agencies")
    sealed = concern(links.into, ("school/3", "school/4"))
    assert sealed.need.because == "protected records (sealed)"


def test_a_mention_that_the_record_has_not_is_an_error(links: Links) -> None:
    with pytest.raises(LinkageError, match="one of these is none"):
        concern(links.into, ("school/1", "school/99"))


def test_an_adoption_needs_an_authority_to_join_and_none_to_part() -> None:
    about = Concern(("P",), 2, ("court", "school"), ("adopted",))
    with pytest.raises(JudgementError, match="authority"):
        require_authority(about, Verdict.SAME, " ")
    require_authority(about, Verdict.SAME, "order of 2026-03-01")
    require_authority(about, Verdict.DIFFERENT, None)


def test_a_reviewer_sees_what_tells_persons_apart_but_no_whole_ssn_and_no_race(links: Links) -> None:
    seen = shown_mentions(links.into, ["school/4"])["school/4"]
    assert (seen["given"], seen["surname"], seen["ssn"]) == ("Ottilie", "Brankovic", "7731")
    assert "race" not in seen and "phones" not in seen


def effect(links: Links, *pairs: tuple[str, str, bool]) -> Effect:
    return preview(links.into, said(*pairs), (pairs[-1][0], pairs[-1][1]), most=200)


def test_a_preview_tells_which_persons_would_merge(links: Links) -> None:
    ids = person_ids(links)
    kept, gone = sorted((ids["school/3"], ids["court/3"]))
    told = effect(links, ("school/3", "court/3", True))
    assert (told.before, told.after, told.moved) == ({kept: 1, gone: 1}, {kept: 2}, 1)
    assert told.changes == [PersonChange(gone, EventKind.MERGED_INTO, kept)]


def test_a_preview_tells_which_person_would_come_apart(links: Links) -> None:
    person_id = person_ids(links)["school/1"]
    told = effect(links, ("school/1", "court/1", False))
    assert told.before == {person_id: 3} and sorted(told.after.values()) == [1, 2]
    assert set(told.after) == {person_id, "new 1"}
    assert told.changes == [PersonChange("new 1", EventKind.SPLIT_FROM, person_id)]


def test_a_preview_comes_true(tmp_path: Path) -> None:
    first = made(tmp_path / "1", ROWS)
    pairs = said(("school/3", "court/3", True), ("school/1", "court/1", False))
    told = preview(first.into, pairs, ("school/3", "court/3"), most=200)
    then = made(tmp_path / "2", ROWS, known=first.into / "persons.parquet", judgements=pairs)
    ids = person_ids(then)
    assert told.after == {ids["school/3"]: 2} and ids["court/3"] == ids["school/3"]
    again = preview(then.into, said(), ("school/3", "court/3"), most=200)
    assert {change.kind for change in again.changes} == {EventKind.RESTORED}
    assert set(again.after) == {person_ids(first)["school/3"], person_ids(first)["court/3"]}
