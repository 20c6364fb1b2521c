"""People tables: what is taken, what is refused, and how the entities become one."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linkage.entities import people_from_entities
from linkage.link import link_file
from linkage.people import ColumnMap, read_column_map, read_people
from linkage.standardise import standardise
from standard.errors import DeclarationError, LinkageError
from tests.linkage_tables import person, write_people


def mentions(rows: list[dict[str, Any]], folder: Path, columns: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        read_people(con, write_people(rows, folder / "people.parquet"))
        standardise(con)
        return con.sql(f"SELECT {columns} FROM mention ORDER BY record_id").fetchall()


def test_flat_columns_and_a_column_map_are_taken(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("no,first,last,nr,street,born\n1,Ada,Quist,12,Elm St,03/04/2012\n")
    columns = ColumnMap(
        columns={
            "record_id": "no",
            "given": "first",
            "surname": "last",
            "address": ["nr", "street"],
            "birth_date": "born",
        },
        birth_date_format="%m/%d/%Y",
    )
    with duckdb.connect() as con:
        missing = read_people(con, tmp_path / "people.csv", columns)
        row = con.sql("SELECT record_id, given, addresses[1].line1, birth_date::VARCHAR FROM people").fetchall()
    assert row == [("1", "Ada", "12 Elm St", "2012-03-04")]
    assert "ssn" in missing and "addresses" not in missing


def test_an_unknown_common_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("columns: {record_id: no, first_name: first}\n")
    (tmp_path / "people.csv").write_text("no,first\n1,Ada\n")
    with pytest.raises(DeclarationError, match="first_name"):
        link_file(tmp_path / "people.csv", tmp_path / "out", columns=read_column_map(tmp_path / "map.yaml"))


@pytest.mark.parametrize("text", ["record_id,given\n1,Ada\n1,Ada\n", "record_id,given\n,Ada\n"])
def test_records_must_be_named_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "people.csv").write_text(text)
    with pytest.raises(LinkageError, match="record_id must name each row once") as raised:
        link_file(tmp_path / "people.csv", tmp_path / "out")
    assert "Ada" not in str(raised.value)


def test_an_empty_table_links_to_nothing(tmp_path: Path) -> None:
    links = link_file(write_people([], tmp_path / "people.parquet"), tmp_path / "out")
    assert (links.people, links.persons) == (0, 0)
    assert pq.read_table(tmp_path / "out" / "persons.parquet").num_rows == 0


def test_a_suffix_in_the_surname_is_read_as_one(tmp_path: Path) -> None:
    rows = [person("s/1", surname="Truongvale Jr", given="Rob"), person("s/2", surname="Orr", given="Rob", suffix="II")]
    assert mentions(rows, tmp_path, "surname, generation") == [("TRUONGVALE", 2), ("ORR", 2)]


def test_words_that_are_no_names_and_numbers_that_are_none_are_taken_out(tmp_path: Path) -> None:
    rows = [
        person("s/1", given="Mrs", surname="Orr", ssn="123-45-6789", born="1900-01-01"),
        person("s/2", given="BABY BOY", surname="Orr", ssn="999999999"),
        person("s/3", given="Jane", surname="Doe", ssn="000123456"),
        person("s/4", given="Ada", surname="Orr", ssn="521-45-7731", home="TRANSIENT"),
    ]
    assert mentions(rows, tmp_path, "given, ssn, birth, homes, placeholder") == [
        (None, None, None, None, False),
        (None, None, None, None, True),
        (None, None, None, None, True),
        ("ADA", "521457731", None, None, False),
    ]


def test_one_home_is_written_in_many_ways(tmp_path: Path) -> None:
    ways = ["12 North Alder Street", "12 N. ALDER ST", "12 n alder st apt 4", "12 N Alder St #4"]
    rows = [person(f"s/{n}", "Ada Orr", home=way) for n, way in enumerate(ways)]
    assert {row[0][0] for row in mentions(rows, tmp_path, "homes")} == {"12NALDERST"}


def test_an_address_of_very_many_surnames_is_no_home(tmp_path: Path) -> None:
    rows = [person(f"s/{n}", f"Ada Orr{'abcdefghijklmnop'[n]}", home="1 Shelter Way") for n in range(14)]
    assert {row[0] for row in mentions(rows, tmp_path, "homes")} == {None}


def entity(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_entities_become_one_row_a_reference(tmp_path: Path) -> None:
    child, parent = "school/students/1", "school/guardians/9"
    old = {"agency_id": "school", "as_of": "2026-03-23", "row_id": "b"}
    new = {"agency_id": "school", "as_of": "2026-03-30", "row_id": "a"}
    entities = {
        "person": entity(
            tmp_path,
            "person",
            [{"person_ref": child, **old}, {"person_ref": child, **new}, {"person_ref": parent, **old}],
        ),
        "person_name": entity(
            tmp_path,
            "person_name",
            [
                {"person_ref": child, "use": "legal", "given": "Ada", "middle": None, "surname": "Orr", **old},
                {"person_ref": child, "use": "legal", "given": "Ada", "middle": "M", "surname": "Quist", **new},
                {"person_ref": child, "use": "preferred", "given": "Addie", "middle": None, "surname": "Quist", **new},
                {"person_ref": parent, "use": "legal", "given": "Bo", "middle": None, "surname": "Orr", **old},
            ],
        ),
        "person_identifier": entity(
            tmp_path,
            "person_identifier",
            [
                {"person_ref": child, "type": "state_student_id", "value": "1100000001", **old},
                {"person_ref": child, "type": "local_student_id", "value": "0000017", **old},
            ],
        ),
        "relationship": entity(
            tmp_path, "relationship", [{"person_ref": child, "related_ref": parent, "type": "mother", **old}]
        ),
        "person_demographic": entity(
            tmp_path,
            "person_demographic",
            [{"person_ref": child, "birth_date": datetime.date(2012, 5, 6), "sex": "F", **old}],
        ),
    }
    with duckdb.connect() as con:
        path = people_from_entities(con, entities, tmp_path / "people.parquet")
        rows = {row["record_id"]: row for row in pq.read_table(path).to_pylist()}
    assert set(rows) == {child, parent}
    assert (rows[child]["surname"], rows[child]["middle"]) == ("Quist", "M")
    assert {(n["given"], n["surname"]) for n in rows[child]["other_names"]} == {("Ada", "Orr"), ("Addie", "Quist")}
    assert rows[child]["student_id"] == "1100000001" and rows[child]["identifiers"] == [
        "school/local_student_id:0000017"
    ]
    assert rows[child]["relatives"] == ["Bo Orr"] and rows[child]["related"] == [parent]
    assert (
        rows[parent]["sex"] == "F"
        and rows[parent]["relatives"] == ["Ada Quist"]
        and str(rows[parent]["born_before"]) == "2000-05-06"
    )
    assert path.stat().st_mode & 0o077 == 0


def test_an_age_counts_from_the_day_of_the_event_its_row_tells_of(tmp_path: Path) -> None:
    def row(number: int, **more: Any) -> dict[str, Any]:
        return {"person_ref": f"police/RMS/{number}", "agency_id": "police", "feed": "RMS", "source_key": str(number),
                "as_of": "2026-01-26", "row_id": str(number), **more}  # fmt: skip

    day, born = datetime.date(2021, 3, 1), datetime.date(2008, 2, 3)
    ages = [row(3, age_at_event=15, birth_date=born), row(1, age_at_event=15), row(2, age_at_event=15)]
    events = [row(1, opened_on=day), row(1, opened_on=datetime.date(2025, 1, 1), source_key="another row")]
    entities = {
        "person_demographic": entity(tmp_path, "person_demographic", ages),
        "involvement": entity(tmp_path, "involvement", events),
    }
    with duckdb.connect() as con:
        path = people_from_entities(con, entities, tmp_path / "people.parquet")
        dates = {p["record_id"]: (str(p["birth_date"]), p["birth_precision"]) for p in pq.read_table(path).to_pylist()}
    assert dates == {
        "police/RMS/1": ("2005-09-01", "estimated"),  # fifteen, and on average half a year more
        "police/RMS/2": ("2010-07-26", "estimated"),
        "police/RMS/3": ("2008-02-03", "day"),
    }


def test_entities_that_are_not_there_count_as_empty(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        path = people_from_entities(con, {}, tmp_path / "people.parquet")
    assert pq.read_table(path).num_rows == 0
