"""An agency is drafted from samples in any form: what is plain becomes an element, the rest is not yet decided."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from flows.draft_agency import draft_agency, undecided
from flows.read_sample import read_sample
from standard.errors import DeclarationError, ExtractError

HEADER = ["StudentNo", "Last Name", "FirstName", "DOB", "Gender", "SSN", "HomePhone", "Homeroom"]
ROWS = [
    ["004211", "Osei", "Amara", "4/2/2013", "F", "219-09-9990", "(617) 555-0101", "12B"],
    ["004212", "Quillfeather", "Teodor", "11/19/2015", "M", "", "617-555-0102", "10A"],
    ["004213", "Valdrin", "Ines", "2/20/2014", "F", "219-09-9991", "617.555.0103", "12B"],
    ["004214", "Hargreen", "Bo", "8/8/2013", "M", "", "", "10A"],
]


def text(delimiter: str) -> str:
    return "".join(delimiter.join(row) + "\n" for row in [HEADER, *ROWS])


def objects() -> list[dict[str, str]]:
    return [dict(zip((name.replace(" ", "") for name in HEADER), row, strict=True)) for row in ROWS]


def as_xml() -> str:
    names = [name.replace(" ", "") for name in HEADER]
    rows = "".join(f"<S>{''.join(f'<{n}>{v}</{n}>' for n, v in zip(names, row, strict=True))}</S>" for row in ROWS)
    return f'<Students xmlns="urn:example:sis">{rows}</Students>'


def as_fixed() -> str:
    return "".join(f"{r[0]:<7}{r[1]:<14}{r[2]:<8}{r[3]:<11}{r[4]:<2}{r[7]:<4}\n" for r in ROWS)


def as_excel(path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    for row in [["Students of Maple"], HEADER, *ROWS]:
        book.active.append(row)
    book.save(path)


FORMS = {
    "students_20260907.csv": text(","), "students.tsv": text("\t"), "students.psv": text("|"),
    "students.json": json.dumps(objects()), "students_export.json": json.dumps({"students": objects()}),
    "students.jsonl": "".join(json.dumps(each) + "\n" for each in objects()), "students.xml": as_xml(),
}  # fmt: skip


@pytest.mark.parametrize("name", [*FORMS, "students.xlsx", "students.csv.gz", "students_utf16.csv"])
def test_the_same_students_are_recognised_in_every_form(tmp_path: Path, name: str) -> None:
    sample = tmp_path / name
    if name == "students.xlsx":
        as_excel(sample)
    elif name.endswith(".gz"):
        sample.write_bytes(gzip.compress(text(",").encode()))
    elif "utf16" in name:
        sample.write_text(text(";"), "utf-16")
    else:
        sample.write_text(FORMS[name], "utf-8")
    agency = draft_agency("maple", [sample], tmp_path, sector="education")
    [feed] = agency.feeds.values()
    kinds = {element: each.kind for element, each in feed.elements.items()}
    assert kinds == {
        "student_no": "identifier", "surname": "name", "given": "name", "birth_date": "date", "sex": "code",
        "ssn": "ssn", "phone": "phone",
    }  # fmt: skip
    assert feed.key == ("student_no",)
    assert feed.elements["student_no"].identifier is not None
    assert feed.elements["student_no"].identifier.width == 6
    assert [each.rpartition("/")[2] for each in undecided(agency)[feed.feed]] == ["Homeroom"]
    assert list(feed.entities) == ["person", "person_name", "person_demographic"]
    written = "".join(path.read_text() for path in agency.folder.rglob("*") if path.is_file())
    assert not [value for row in ROWS for value in row[:4] if value in written]


def test_of_a_workbook_with_several_sheets_the_first_is_declared_by_its_name(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Pupils, all"
    for row in [HEADER, *ROWS]:
        book.active.append(row)
    book.create_sheet("Notes")
    book.save(tmp_path / "students.xlsx")
    agency = draft_agency("maple", [tmp_path / "students.xlsx"], tmp_path, sector="education")
    assert agency.feeds["students"].format.sheet == "Pupils, all"


def test_fields_of_a_fixed_width_file_are_guessed_by_their_blanks(tmp_path: Path) -> None:
    (tmp_path / "students.txt").write_text(as_fixed())
    agency = draft_agency("maple", [tmp_path / "students.txt"], tmp_path, sector="education")
    places = [(f.start, f.end) for f in agency.layouts["students"].fields]
    assert places == [(1, 7), (8, 21), (22, 29), (30, 40), (41, 42), (43, 46)]
    assert agency.feeds["students"].elements["field_4"].date is not None


def test_codes_get_an_empty_crosswalk_and_their_values_wait_for_a_person(tmp_path: Path) -> None:
    (tmp_path / "students.csv").write_text(text(","))
    agency = draft_agency("maple", [tmp_path / "students.csv"], tmp_path, sector="education")
    assert agency.crosswalks["students_sex"].entries == ()
    assert (agency.folder / "draft" / "students_sex.csv").read_text().splitlines()[1:] == [
        "F,,,2 records", "M,,,2 records",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n\0\0", b"Dear colleagues,\nsee below\n", b"<!DOCTYPE a><a/>"])
def test_what_has_no_form_that_is_known_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "sample.csv").write_bytes(data)
    with pytest.raises(ExtractError):
        read_sample(tmp_path / "sample.csv")


def test_an_agency_that_is_there_is_not_drafted_over(tmp_path: Path) -> None:
    (tmp_path / "students.csv").write_text(text(","))
    draft_agency("maple", [tmp_path / "students.csv"], tmp_path, sector="education")
    with pytest.raises(DeclarationError, match="declared already"):
        draft_agency("maple", [tmp_path / "students.csv"], tmp_path, sector="education")


def test_a_key_of_several_columns_is_found_and_a_last_delimiter_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_text("StudentNo,Seq,Kind,\n004211,1,m,\n004211,2,f,\n004212,1,m,\n")
    agency = draft_agency("maple", [tmp_path / "contacts.csv"], tmp_path, sector="education")
    feed = agency.feeds["contacts"]
    assert feed.key == ("student_no", "seq")
    assert feed.format.trailing
    assert undecided(agency) == {"contacts": ["Kind"]}


def test_headers_that_are_cut_short_are_recognised_and_those_of_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "pupils.csv").write_text(
        "STU_NO,STU_FIRST_NM,STU_LAST_NM,BRTH_DT,GENDER_CD,HOME_ADDR,ZIP,GUARDIAN_LAST_NM,LEGAL_LAST_NM\n"
        "0041,Amara,Osei,2013-04-02,F,3 Birch St,01060,Osei,Osei\n"
        "0042,Bo,Hargreen,2013-08-08,M,4 Birch St,01062,Hargreen,Ott\n"
    )
    agency = draft_agency("maple", [tmp_path / "pupils.csv"], tmp_path, sector="education")
    feed = agency.feeds["pupils"]
    assert {name: each.column for name, each in feed.elements.items()} == {
        "stu_no": "STU_NO", "given": "STU_FIRST_NM", "surname": "STU_LAST_NM", "birth_date": "BRTH_DT",
        "sex": "GENDER_CD", "address": "HOME_ADDR", "zip": "ZIP",
    }  # fmt: skip
    assert undecided(agency) == {"pupils": ["GUARDIAN_LAST_NM", "LEGAL_LAST_NM"]}
    assert list(feed.entities) == ["person", "person_name", "person_demographic"]
