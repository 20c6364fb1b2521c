"""Mended declarations reach what was taken in before: the landed files are mapped again, and all accounts hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import pytest
import sqlalchemy as sa

from expectations.quarantine import list_quarantine, show_row
from expectations.retry import release_row
from flows import remap as remapping
from flows.remap import require_loaded
from flows.status import outdated_feeds
from record.reader import Record
from standard.errors import ExtractError, PublishError
from store.home import Home
from store.ledger import Ledger, extract, order_
from store.take_over import WORKPLACES, finish_remaps
from tests.exchange import small_exchange
from tests.school import PUPILS, VISITS, School


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    made = School(small_exchange(tmp_path, agencies=("hillside_schools",)))
    yield made
    made.ledger.close()


def test_a_new_line_of_a_crosswalk_reaches_rows_that_are_in_force(school: School) -> None:
    school.night(students=PUPILS)
    assert school.state("students", "sex", "sex_match")[2] == (None, "unmapped")
    school.edit("crosswalks/sex.csv", "2,M,exact\n", "2,M,exact\n3,X,exact\n")
    assert outdated_feeds(school.ledger, school.agency) == ["students"]
    changes = school.remap()
    assert [(f.feed, f.changed, f.came, f.gone, f.elements) for f in changes.feeds] == [
        ("students", 1, 0, 0, {"sex": 1}),
        ("visits", 0, 0, 0, {}),
    ]
    assert changes.codes == [
        {"feed": "students", "element": "sex", "scope": "", "value": "3", "rows": 1, "becomes": "mapped"}
    ]
    assert school.state("students", "sex", "sex_match")[2] == ("X", "exact")
    assert outdated_feeds(school.ledger, school.agency) == []
    demographic = school.publish().table("person_demographic").to_pandas()
    assert sorted(demographic["sex"]) == ["F", "M", "X"]


def test_a_mended_mapping_reaches_rows_in_quarantine_and_their_move_is_told(school: School) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,03/09/2026,\nV2,004212,2026-09-04,\n")
    assert school.accounts()["quarantined", "unparsable_date"] == 1
    school.edit("visits.yaml", '["%Y-%m-%d"]', '["%Y-%m-%d", "%d/%m/%Y"]')
    changes = school.remap("visits")
    way = {"was": "quarantined", "was_reason": "unparsable_date", "to": "accepted", "reason": "remapped"}
    assert changes.moved == [{"feed": "visits", **way, "rows": 1}]
    assert school.accounts() == {("accepted", ""): 4, ("accepted", "remapped"): 1}
    assert [str(day) for _, day in school.state("visits", "visit_no", "day")] == ["2026-09-03", "2026-09-04"]
    shown = show_row(school.home, school.ledger, extract_id=school.ids("visits")[0], record=1)
    assert (shown.disposition, shown.reason) == ("accepted", "remapped")
    assert next(move[1:] for move in shown.moves) == ("accepted", "remapped", "kith remap")
    assert list_quarantine(school.home, school.ledger) == []


def test_a_row_that_the_mended_declaration_no_longer_takes_goes_back_to_quarantine(school: School) -> None:
    school.night(students=PUPILS)
    school.edit("students.yaml", "code: {crosswalk: sex}}", "code: {crosswalk: sex}, severity: {unmapped_code: error}}")
    changes = school.remap()
    assert (changes.feeds[0].in_force, changes.feeds[0].gone) == (3, 1)
    assert school.accounts() == {("accepted", ""): 2, ("quarantined", "unmapped_code"): 1}
    assert [row.reason for row in list_quarantine(school.home, school.ledger)] == ["unmapped_code"]


def test_what_did_not_change_stays_to_the_last_detail(school: School) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,2026-09-03,\nV2,004299,2026-09-04,\n")
    school.night(visits=VISITS + "V1,004211,2026-09-03,\nV3,004212,,\nV4,004213,2026-09-05,Y\n")
    school.night(students=PUPILS + "004299,Bo,Hargreen,2013-08-08,2,12B\n")
    school.night(visits=VISITS + "V3,004212,2026-09-06,\nV4,004213,2026-09-05,\n")
    published, before = school.publish().snapshot_id, school.everything()
    changes = school.remap("students", "visits")
    assert (changes.moved, changes.files, changes.codes) == ([], [], [])
    marks = school.ids("students") + school.ids("visits")
    told = json.loads(school.everything())
    assert len([move for move in told["row_move"] if move["to_disposition"] == "remapped"]) == len(marks)
    told["row_move"] = [move for move in told["row_move"] if move["who"] != "kith remap"]
    was = json.loads(before)
    # What a newer row cleared is told once more after the mark.
    assert {json.dumps(m, sort_keys=True) for m in told.pop("row_move")} == {
        json.dumps(m, sort_keys=True) for m in was.pop("row_move")
    }
    assert told == was
    assert school.publish().snapshot_id == published


def test_a_remap_comes_to_what_a_home_comes_to_that_had_the_declaration_from_the_first_day(tmp_path: Path) -> None:
    deliveries: list[dict[str, str]] = [
        {"students": PUPILS, "visits": VISITS + "V1,004211,03/09/2026,\nV2,004299,2026-09-04,\n"},
        {"visits": VISITS + "V1,004211,2026-09-03,\nV2,004299,05/09/2026,Y\nV3,004213,06/09/2026,\n"},
        {"students": PUPILS.replace("004213,", "4213,") + "004299,Bo,Hargreen,2013-08-08,3,12B\n"},
        {"visits": VISITS + "V3,004213,2026-09-06,Y\n"},
    ]
    came = {}
    for mended_first in (True, False):
        (tmp_path / str(mended_first)).mkdir()
        school = School(small_exchange(tmp_path / str(mended_first), agencies=("hillside_schools",)))
        for number, files in enumerate(deliveries):
            if number == (0 if mended_first else 3):
                school.edit("visits.yaml", '["%Y-%m-%d"]', '["%Y-%m-%d", "%d/%m/%Y"]')
                school.edit("crosswalks/sex.csv", "2,M,exact\n", "2,M,exact\n3,X,exact\n")
            school.night(**files)
        if not mended_first:
            school.remap()
        counts = {way: rows for way, rows in school.accounts().items() if way[0] != "accepted"}
        rows = [school.state(feed, "*") for feed in ("students", "visits")]
        with school.ledger.reading() as connection:
            orders = sorted((row.ref, row.reason) for row in connection.execute(order_.select()))
        came[mended_first] = (counts, rows, orders)
        school.ledger.close()
    assert came[False] == came[True]


def mentions(record: Record) -> str:
    """The source keys of all persons of a record."""
    return " ".join(record.table("person_source").to_pandas()["source_key"])


@contextmanager
def killed_after(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """A remap that dies right where one of its steps begins."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(remapping, name, die)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("step", ["compare", "take_over", "require_sums_hold"])
def test_a_crash_before_the_commit_leaves_all_as_it_was_and_the_next_call_goes_on(
    school: School, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    school.night(students=PUPILS)
    before = school.everything()
    school.edit("crosswalks/sex.csv", "2,M,exact\n", "2,M,exact\n3,X,exact\n")
    with killed_after(monkeypatch, step):
        school.remap()
    assert school.everything() == before
    with monkeypatch.context() as patched:
        patched.setattr("flows.intake.map_extract", lambda *_, **__: pytest.fail("mapped again"))
        school.remap()
    assert school.state("students", "sex")[2] == ("X",)
    assert not list((school.home.root / "remap").glob("*"))


def test_a_crash_after_the_commit_is_made_good_by_the_next_run(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,03/09/2026,\n")
    school.edit("visits.yaml", '["%Y-%m-%d"]', '["%Y-%m-%d", "%d/%m/%Y"]')
    calls = []

    def die_the_second_time(home: Home, ledger: Ledger) -> None:
        calls.append(home)
        if len(calls) == 2:
            raise KeyboardInterrupt
        finish_remaps(home, ledger)

    with monkeypatch.context() as patched:
        patched.setattr(remapping, "finish_remaps", die_the_second_time)
        with pytest.raises(KeyboardInterrupt):
            school.remap()
    assert list((school.home.root / "remap").glob("*"))
    school.night()
    assert not list((school.home.root / "remap").glob("*"))
    shown = show_row(school.home, school.ledger, extract_id=school.ids("visits")[0], record=1)
    assert (shown.disposition, [finding.code for finding in shown.findings]) == ("accepted", [])


@contextmanager
def killed_while_removing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A kill in the middle of the removal of a workplace: its batches are gone, other things are still there."""

    def remove_some(folder: Path, **how: bool) -> None:
        if folder.parent.name != WORKPLACES:
            return rmtree(folder, **how)
        rmtree(folder / "batches")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", remove_some)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_a_crash_while_a_preview_is_removed_leaves_nothing_that_the_next_remap_goes_on_with(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    school.night(students=PUPILS)
    school.edit("crosswalks/sex.csv", "2,M,exact\n", "2,M,exact\n3,X,exact\n")
    with killed_while_removing(monkeypatch):
        school.preview()
    school.remap()
    assert school.state("students", "sex")[2] == ("X",)
    assert not list((school.home.root / "remap").glob("*"))


def test_a_crash_while_a_remap_in_force_is_removed_does_not_stop_the_next_run(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    school.night(students=PUPILS)
    school.edit("crosswalks/sex.csv", "2,M,exact\n", "2,M,exact\n3,X,exact\n")
    ends = iter([finish_remaps, lambda home, ledger: _finish_killed(monkeypatch, home, ledger)])
    with monkeypatch.context() as patched:
        patched.setattr(remapping, "finish_remaps", lambda home, ledger: next(ends)(home, ledger))
        school.remap()
    assert list((school.home.root / "remap").glob("*"))
    school.night()
    assert school.state("students", "sex")[2] == ("X",)
    assert not list((school.home.root / "remap").glob("*"))


def _finish_killed(monkeypatch: pytest.MonkeyPatch, home: Home, ledger: Ledger) -> None:
    with killed_while_removing(monkeypatch):
        finish_remaps(home, ledger)


def test_a_seal_stays_though_the_mended_rule_would_no_longer_find_it(school: School) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,2026-09-03,\n")
    school.night(visits=VISITS + "V1,004211,2026-09-03,Y\n")
    school.edit("visits.yaml", "sealed = 'Y'", "sealed = 'YES'")
    changes = school.remap()
    assert (changes.orders_found, changes.orders_kept) == (0, 1)
    with school.ledger.reading() as connection:
        refs = connection.execute(sa.select(order_.c.ref).where(order_.c.lifted_at.is_(None))).scalars().all()
    assert refs == ["hillside_schools/students/004211"]
    assert "004211" not in mentions(school.publish())


def test_a_seal_that_only_the_mended_rule_finds_takes_back_what_was_published(school: School) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,2026-09-03,Yes\n")
    before = school.publish()
    assert "004211" in mentions(before)
    school.edit("visits.yaml", "sealed = 'Y'", "upper(sealed) IN ('Y', 'YES')")
    assert school.remap().orders_found == 1
    assert "004211" not in mentions(school.publish())
    with pytest.raises(PublishError, match="withdrawn"):
        mentions(before)


def test_a_seal_of_a_file_that_waits_arrives_with_that_file_after_the_remap(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,2026-09-03,\n")
    before = school.publish()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("flows.intake._fold", _die)
        school.night(visits=VISITS + "V1,004211,2026-09-03,Y\n")
    school.edit("crosswalks/sex.csv", "2,M,exact\n", "2,M,exact\n3,X,exact\n")
    school.remap()
    school.night()
    assert school.accounts() == {("accepted", ""): 4, ("withheld", "sealed"): 1}
    assert [key for (key,) in school.state("visits", "visit_no")] == ["V1"]
    assert "004211" not in mentions(school.publish())
    with pytest.raises(PublishError, match="withdrawn"):
        mentions(before)


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_a_person_released_stays_released(school: School) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,2026-09-03,\nV2,004299,2026-09-04,\n")
    visits = school.ids("visits")[0]
    feed = school.agency.feeds["visits"]
    release_row(school.home, school.ledger, feed, extract_id=visits, record=2, who="R. Steward", why="by phone")
    school.edit("crosswalks/sex.csv", "2,M,exact\n", "2,M,exact\n3,X,exact\n")
    changes = school.remap()
    assert (changes.releases_lost, changes.moved) == (0, [])
    assert [key for (key,) in school.state("visits", "visit_no")] == ["V1", "V2"]
    shown = show_row(school.home, school.ledger, extract_id=visits, record=2)
    assert "R. Steward: by phone" in [who for _, _, _, who in shown.moves]


def test_a_preview_tells_all_this_and_keeps_nothing(school: School) -> None:
    school.night(students=PUPILS, visits=VISITS + "V1,004211,03/09/2026,\n")
    before = school.everything()
    school.edit("visits.yaml", '["%Y-%m-%d"]', '["%Y-%m-%d", "%d/%m/%Y"]')
    changes = school.preview()
    assert [(f.feed, f.came) for f in changes.feeds] == [("students", 0), ("visits", 1)]
    assert school.everything() == before
    assert not list((school.home.root / "remap").glob("*"))


def test_a_remap_takes_nothing_out_of_force_because_an_agreement_has_ended_since(school: School) -> None:
    school.night(students=PUPILS)
    settings = school.home.settings_file
    settings.write_text(settings.read_text("utf-8") + "governance: required\n", "utf-8")
    changes = school.remap("students")
    assert (changes.files, changes.feeds[0].gone, changes.feeds[0].in_force) == ([], 0, 3)


def test_a_file_that_was_refused_at_the_door_is_not_read_by_a_remap(school: School) -> None:
    school.night(students=PUPILS)
    [students] = school.ids("students")
    with school.ledger.writing() as connection:
        row = connection.execute(extract.select().where(extract.c.extract_id == students)).mappings().one()
        refused = {"extract_id": "refused", "seq": 9, "status": "held", "status_reason": "unsigned", "state_path": None}
        connection.execute(extract.insert().values(dict(row) | refused))
    before = school.state("students", "*")
    assert school.remap("students").files == []
    assert school.state("students", "*") == before
    with school.ledger.reading() as connection:
        query = sa.select(extract.c.status, extract.c.status_reason).where(extract.c.extract_id == "refused")
        assert tuple(connection.execute(query).one()) == ("held", "unsigned")


def test_a_declaration_that_would_take_most_rows_out_of_force_is_refused_until_it_is_meant(school: School) -> None:
    many = "".join(f"{n:06d},Kind{n},Muster,2013-04-02,1,12B\n" for n in range(40))
    school.night(students=PUPILS.splitlines()[0] + "\n" + many)
    before = school.everything()
    school.edit("students.yaml", "elements:", "scope: [{drop: \"surname = 'Muster'\", reason: not here}]\nelements:")
    with pytest.raises(ExtractError, match="40 of 40 rows of students would leave force"):
        school.remap()
    assert school.everything() == before
    assert school.remap(withdraw=True).feeds[0].gone == 40


def test_a_file_read_in_another_form_is_counted_anew(school: School) -> None:
    school.edit("visits.yaml", "header: true", 'header: true, delimiter: ";"')
    school.night(students=PUPILS, visits=VISITS + "V1,004211,2026-09-03,\nV2,004212,2026-09-04,\n")
    school.edit("visits.yaml", 'header: true, delimiter: ";"', "header: true")
    changes = school.remap()
    assert [(row["name"], row["was"], row["becomes"]) for row in changes.files] == [
        ("visits_20260907.csv", "held (layout)", "loaded")
    ]
    assert len(school.state("visits", "visit_no")) == 2
    assert school.accounts() == {("accepted", ""): 3, ("accepted", "remapped"): 2}


def test_an_agency_or_a_feed_that_never_sent_anything_is_told(school: School) -> None:
    school.night()
    with pytest.raises(ExtractError, match="nothing of hillside_schools/visits has been loaded yet"):
        require_loaded(school.ledger, "hillside_schools", "visits")
    with pytest.raises(ExtractError, match="nothing of hillside_schools has been loaded yet"):
        school.remap()
