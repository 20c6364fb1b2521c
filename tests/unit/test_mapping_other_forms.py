"""Fixed-width files, tables with a census, and the entities that rows become."""

from __future__ import annotations

import datetime as dt
import resource
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mappings.entities import project_entities
from mappings.load import load_agency
from mappings.manifest import ManifestEntry, entry_for, manifest_entries
from mappings.map_extract import map_extract
from standard.errors import ExtractError
from standard.schema import entities
from tests.mapping_cases import ELEMENTS, HEAD, extract_of, map_file, map_table, write_agency

LAYOUT = "field,start,end,type,description\nID,1,4,AN,number\nName,5,14,AN,name\nBorn,15,24,AN,born\nPet,25,29,AN,pet\n"
FIXED = HEAD.replace("{kind: delimited}", "{kind: fixed_width, layout: child, encoding: cp1252}")
PET = "unused_columns: {Pet: nobody asks}\n"
TABLE = HEAD.replace('{files: "students_{as_of:%Y%m%d}*.csv"}', "{table: students, watermark: TS, census: true}")
TABLE = (
    TABLE.replace("{kind: delimited}", "{kind: table}").replace("full", "changes")
    + ELEMENTS
    + "unused_columns: {TS: when}\n"
)


def _fixed(tmp_path: Path, text: bytes, form: str = FIXED) -> Any:
    return map_file(tmp_path, text, feed=form + PET + ELEMENTS, layouts={"child": LAYOUT})


def test_fields_of_a_fixed_width_record_are_read_by_their_characters(tmp_path: Path) -> None:
    got = _fixed(tmp_path, b"0001Ren\xe9      1/2/2010  Rex  \r\n0002Lind      3/4/2011  Tom  \r\n")
    assert [(r["_record"], r["_line"], r["_key"], r["surname"], str(r["born"])) for r in got.rows] == [
        (1, 1, "0001", "René", "2010-01-02"), (2, 2, "0002", "Lind", "2011-03-04"),
    ]  # fmt: skip


def test_a_record_shorter_than_its_layout_is_unreadable_and_keeps_its_key(tmp_path: Path) -> None:
    got = _fixed(
        tmp_path, b"0001Ode       1/2/2010  Rex  \n\n0002Lind      3/4/20\n000\n0004Fen       1/2/2010  Tom  \n"
    )
    assert [r["_key"] for r in got.rows] == ["0001", "0004"]
    assert got.unreadable == [(2, 3, "short_record", "0002"), (3, 4, "short_record", None)]
    assert (got.batch.received, got.rows[1]["_record"], got.rows[1]["_line"]) == (4, 4, 5)


def test_a_sender_that_cuts_blanks_must_reach_the_last_required_field(tmp_path: Path) -> None:
    form = FIXED.replace("layout: child", "layout: child, trimmed: true")
    got = _fixed(tmp_path, b"0001Ode\n000\n", form)
    assert [(r["_key"], r["surname"]) for r in got.rows] == [("0001", "Ode")]
    assert [row[2] for row in got.unreadable] == ["short_record"]


def test_two_records_on_one_line_are_set_aside_and_no_key_is_taken_for_absent(tmp_path: Path) -> None:
    record = b"%04dOde       1/2/2010  Rex  "
    got = _fixed(tmp_path, b"\n".join([record % 1, record % 2 + record % 3, record % 4]) + b"\n")
    assert [r["_key"] for r in got.rows] == ["0001", "0004"]
    assert got.unreadable == [(2, 2, "long_record", None)]


def test_a_file_of_records_without_line_ends_is_held(tmp_path: Path) -> None:
    got = _fixed(tmp_path, b"".join(b"%04dOde       1/2/2010  Rex  " % n for n in range(20)))
    assert (got.batch.hold, got.batch.received, got.rows) == ("layout", 1, [])


def test_a_layout_need_not_describe_a_record_to_its_end(tmp_path: Path) -> None:
    record = b"0001Ode       1/2/2010  Rex  " + b"x" * 200
    got = _fixed(tmp_path, record + b"\n" + record.replace(b"0001", b"0002") + b"y" * 90 + b"\n")
    assert ([r["_key"] for r in got.rows], got.unreadable) == (["0001", "0002"], [])


def test_a_new_page_moves_no_field(tmp_path: Path) -> None:
    got = _fixed(tmp_path, b"0001Ode       1/2/2010  Rex  \n\f0102Fen       1/2/2010  Tom  \n")
    assert [(r["_key"], r["surname"]) for r in got.rows] == [("0001", "Ode"), ("0102", "Fen")]


def test_a_separator_inside_a_fixed_width_record_changes_nothing(tmp_path: Path) -> None:
    got = _fixed(tmp_path, b"0001O\x1fde      1/2/2010  Rex  \n0002Fen       1/2/2010  R\x00x  \n")
    assert [r["_key"] for r in got.rows] == ["0001", "0002"]
    assert got.rows[0]["_problems"] == "surname:replaced_bytes"


def test_a_fixed_width_trailer_is_read(tmp_path: Path) -> None:
    form = FIXED.replace("layout: child", "layout: child, trailer: {prefix: TRAILER, count_field: 2}")
    record = b"0001Ode       1/2/2010  Rex  \n"
    assert _fixed(tmp_path, record + b"TRAILER0000001\n", form).batch.hold is None
    assert _fixed(tmp_path, record + b"TRAILER0000002\n", form).batch.hold == "truncated"


def _table(present_only: list[bool], **columns: list[str | None]) -> pa.Table:
    return pa.table({**{k: pa.array(v, pa.string()) for k, v in columns.items()}, "_present_only": present_only})


def test_rows_of_a_table_are_mapped_and_the_keys_of_the_others_are_its_census(tmp_path: Path) -> None:
    rows = _table(
        [False, True, False], id=["1", "2 ", "0003"], NAME=["Ode   ", None, "Fen"], born=["1/2/2010", None, None],
        ts=["a", None, "b"],
    )  # fmt: skip
    got = map_table(tmp_path, rows, feed=TABLE)
    assert [(r["_record"], r["_line"], r["_key"], r["surname"]) for r in got.rows] == [
        (1, None, "0001", "Ode"), (2, None, "0003", "Fen"),
    ]  # fmt: skip
    assert pq.read_table(got.batch.census).to_pylist() == [{"_key": "0002"}]
    assert (got.batch.received, got.batch.hold) == (2, None)


def test_blank_padding_does_not_make_a_row_another_row(tmp_path: Path) -> None:
    rows = _table([False, False], id=["0001", "0001"], NAME=["Ode       ", "Ode"], born=[None, ""], ts=["a ", "a"])
    got = map_table(tmp_path, rows, feed=TABLE)
    assert got.rows[0]["_hash"] == got.rows[1]["_hash"]


def test_a_table_read_by_watermark_without_a_census_tells_nothing_of_other_rows(tmp_path: Path) -> None:
    rows = _table([False], id=["0001"], NAME=["Ode"], born=[None], ts=["a"])
    assert not map_table(tmp_path / "a", rows, feed=TABLE.replace(", census: true", "")).batch.census.exists()
    whole = TABLE.replace(", watermark: TS, census: true", "")
    assert pq.read_table(map_table(tmp_path / "b", rows, feed=whole).batch.census).num_rows == 0


def test_an_empty_table_is_no_empty_file(tmp_path: Path) -> None:
    got = map_table(tmp_path, _table([], id=[], NAME=[], born=[], ts=[]), feed=TABLE)
    assert (got.batch.received, got.batch.hold) == (0, None)


def test_a_table_without_its_key_is_held(tmp_path: Path) -> None:
    got = map_table(tmp_path, _table([False], NAME=["Ode"], born=[None], ts=["a"]), feed=TABLE)
    assert (got.batch.hold, got.found) == ("layout", ["missing_column"])


def test_an_sql_that_fails_on_a_value_says_so_without_the_value(tmp_path: Path) -> None:
    feed = HEAD + ELEMENTS + "  n: {columns: [Name], sql: 'CAST(Name AS INTEGER)', type: integer}\n"
    with pytest.raises(ExtractError) as failed:
        map_file(tmp_path, "ID,Name,Born\n0001,Odescalchi,\n", feed=feed)
    assert "students.yaml" in failed.value.where and "TRY_CAST" in failed.value.mend
    assert "Odescalchi" not in str(failed.value) and failed.value.__cause__ is None
    assert not list((tmp_path / "batch").glob("*.part")) and not (tmp_path / "batch" / "mapped.parquet").exists()


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    agency = load_agency(write_agency(tmp_path, {"students": HEAD + ELEMENTS}))
    path, batch = tmp_path / "students_20260323.csv", tmp_path / "batch"
    path.write_text("ID,Name,Born\n" + "".join(f"{n:04d},{n * 7919 % 9973}x{n},\n" for n in range(9999)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # as if the disk ended here
    try:
        with pytest.raises(ExtractError) as failed:
            map_extract(extract_of(path), agency, agency.feeds["students"], into=batch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "make room" in failed.value.mend and failed.value.exit_status == 5
    assert [path.name for path in batch.iterdir()] == []


def test_a_file_is_found_in_a_manifest_by_content_before_name(tmp_path: Path) -> None:
    listed = pa.table({"file": ["a.csv", "b.csv", None], "rows": [1, 2, 3], "sha256": ["AA", "bb", "cc"]})
    pq.write_table(listed, tmp_path / "m.parquet")
    entries = manifest_entries([tmp_path / "m.parquet"])
    assert entries == [ManifestEntry("a.csv", 1, "aa"), ManifestEntry("b.csv", 2, "bb")]
    path = tmp_path / "b.csv"
    path.write_text("x", encoding="utf-8")
    assert entry_for(extract_of(path), entries) == entries[1]
    same_content = ManifestEntry("c.csv", 9, extract_of(path).sha256)
    assert entry_for(extract_of(path), [*entries, same_content]) == same_content
    assert manifest_entries([]) == []


FAMILY = (
    HEAD + "references: [{elements: [id], feed: students, to: [id]}]\n" + ELEMENTS
    + "  sex: {column: Sex, code: {crosswalk: sex}}\n"
    + "  kind: {columns: [Name], sql: \"CASE WHEN Name = 'Gone' THEN 'nickname' ELSE 'alias' END\", type: text}\n"
    + """
entities:
  person: [{person_ref: "students/{id}"}]
  person_name:
    - {person_ref: "students/{id}", use: =legal, surname: surname}
    - {person_ref: "students/{id}", use: kind, surname: surname, when: "surname <> 'Ode'"}
  person_demographic: [{person_ref: "students/{id}", birth_date: born, sex: sex}]
"""
)  # fmt: skip
HOMES = (
    HEAD.replace("feed: students", "feed: homes").replace("[id]", "[no]")
    + """
lookups: {child: {feed: students, on: {pupil: id}}}
elements:
  no: {column: No, text: {}}
  pupil: {column: Pupil, identifier: {width: 4}}
  city: {column: City, text: {}}
entities:
  address: [{person_ref: "students/{pupil}", type: =home, city: city, line1: child.surname, when: "child.sex = 'F'"}]
"""
)


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The entities of three children (one deleted) and two homes."""
    folder = tmp_path_factory.mktemp("entities")
    crosswalks = {"sex": "value,common,match\nF,F,exact\nM,M,broad\n"}
    agency = load_agency(write_agency(folder, {"students": FAMILY, "homes": HOMES}, crosswalks=crosswalks))
    sent = {
        "students": "ID,Name,Born,Sex\n1,Ode,1/2/2010,F\n2,Gone,soon,Q\n3,Fen,1/1/2011,M\n",
        "homes": "No,Pupil,City\na,1,Harlow\nb,3,Tamarack\n",
    }
    states = {}
    for feed, text in sent.items():
        path = folder / f"{feed}_20260323.csv"
        path.write_text(text, encoding="utf-8")
        batch = map_extract(extract_of(path, feed=feed), agency, agency.feeds[feed], into=folder / feed)
        states["hill_schools", feed] = _in_force(batch.mapped, folder / f"{feed}_state.parquet")
    return project_entities({"hill_schools": agency}, states, folder / "out")


def _in_force(mapped: Path, state: Path) -> Path:
    duckdb.sql(
        f"COPY (SELECT *, 'X1' AS _extract, DATE '2026-03-23' AS _since, 1::BIGINT AS _seq,"
        f" CASE WHEN _key = '0003' THEN 'deleted' END AS _deleted FROM '{mapped}') TO '{state}'"
    )
    return state


def _read(path: Path, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[c] for c in columns) for row in pq.read_table(path).to_pylist()]


def test_every_entity_has_a_file_with_its_schema_also_without_rows(projected: dict[str, Path]) -> None:
    assert set(projected) == set(entities())
    for name, path in projected.items():
        written, declared = pq.read_schema(path), entities()[name].arrow_schema()
        assert (written.names, written.types) == (declared.names, declared.types), name
    assert pq.read_metadata(projected["charge"]).num_rows == 0


def test_rows_in_force_become_entity_rows_and_deleted_ones_do_not(projected: dict[str, Path]) -> None:
    assert _read(projected["person"], "person_ref", "source_key", "record", "line", "as_of", "extract_id") == [
        ("hill_schools/students/0001", "0001", 1, 2, dt.date(2026, 3, 23), "X1"),
        ("hill_schools/students/0002", "0002", 2, 3, dt.date(2026, 3, 23), "X1"),
    ]


def test_a_code_brings_its_source_and_match_into_the_entity(projected: dict[str, Path]) -> None:
    columns = ("sex", "sex_source", "sex_match", "birth_date", "missing")
    assert _read(projected["person_demographic"], *columns) == [
        ("F", "F", "exact", dt.date(2010, 1, 2), None),
        (None, "Q", "unmapped", None, "birth_date:unparsable sex:unknown"),
    ]


def test_an_sql_value_outside_the_code_set_is_kept_as_sent_and_unmapped(projected: dict[str, Path]) -> None:
    assert _read(projected["person_name"], "use", "use_source", "use_match", "surname") == [
        ("legal", None, None, "Ode"), ("legal", None, None, "Gone"), (None, "nickname", "unmapped", "Gone"),
    ]  # fmt: skip


def test_an_entity_row_may_use_what_stands_in_another_feed(projected: dict[str, Path]) -> None:
    assert _read(projected["address"], "person_ref", "city", "line1") == [
        ("hill_schools/students/0001", "Harlow", "Ode")
    ]


def test_the_agency_itself_is_a_row_of_the_record(projected: dict[str, Path]) -> None:
    assert _read(projected["agency"], "agency_id", "name", "sector", "state") == [
        ("hill_schools", "Hill Schools", "education", "MA")
    ]


def test_row_ids_are_unique_and_stay_the_same(projected: dict[str, Path]) -> None:
    names = [row[0] for row in _read(projected["person_name"], "row_id")]
    assert len(set(names)) == len(names) == 3
    assert not any("0001" in name for name in names)


def test_two_children_never_share_a_key_because_of_where_a_bar_stands(tmp_path: Path) -> None:
    feed = HEAD.replace("key: [id]", "key: [id, surname]") + ELEMENTS.replace("width: 4", "")
    feed += 'entities: {person: [{person_ref: "students/{id}|{surname}"}]}\n'
    got = map_file(tmp_path, "ID,Name,Born\nA|B,C,\nA,B|C,\nA\\,B|C,\nA|B\\,C,\n1,C,\n", feed=feed)
    keys = [row["_key"] for row in got.rows]
    assert len(set(keys)) == 5 and keys[4] == "1|C"
    agency = load_agency(tmp_path / "hill_schools")
    state = _in_force(got.batch.mapped, tmp_path / "state.parquet")
    made = project_entities({"hill_schools": agency}, {("hill_schools", "students"): state}, tmp_path / "out")
    assert {ref for (ref,) in _read(made["person"], "person_ref")} == {f"hill_schools/students/{key}" for key in keys}


def test_a_trailer_that_tells_of_no_record_makes_an_empty_file_a_good_one(tmp_path: Path) -> None:
    form = FIXED.replace("layout: child", "layout: child, trailer: {prefix: TRL}")
    assert _fixed(tmp_path, b"TRL 0\n", form).batch.hold is None
    assert _fixed(tmp_path / "two", b"TRL 2\n", form).batch.hold == "empty"
