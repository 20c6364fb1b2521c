"""The templates for systems of the field, proved on samples that others wrote: read here by other means, compared."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest

from mappings.entities import project_entities
from mappings.load import load_agencies, load_agency
from mappings.map_extract import map_extract
from store.extracts import Extract, Status
from tests.mapping_cases import Mapped, mapped_rows

TEMPLATES = Path(__file__).parents[2] / "mappings" / "templates"


@pytest.fixture(scope="session")
def samples(shared: Path) -> Path:
    folder = shared / "samples"
    if not folder.is_dir():
        pytest.skip("needs the samples of the field in ../shared/samples, which are not here")
    return folder


def mapped(folder: Path, template: str, feed: str, path: Path) -> Mapped:
    """What a template's feed makes of a file."""
    agency, content = load_agency(TEMPLATES / template), path.read_bytes()
    extract = Extract(
        "SAMPLE", agency.agency, feed, path.name, hashlib.sha256(content).hexdigest(), len(content),
        dt.datetime(2026, 3, 23), dt.date(2026, 3, 23), 1, agency.feeds[feed].holds, Status.LANDED, path,
    )  # fmt: skip
    return mapped_rows(map_extract(extract, agency, agency.feeds[feed], into=folder / f"{template}-{feed}"))


def problems(got: Mapped) -> Counter[str]:
    return Counter(problem for row in got.rows for problem in (row["_problems"] or "").split())


def test_every_template_is_whole() -> None:
    found = load_agencies([TEMPLATES])
    assert set(found) == {path.name for path in TEMPLATES.iterdir()} and len(found) >= 2


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]


NIBRS = {"incidents": "1", "offenses": "2", "victims": "4", "offenders": "5", "arrests": "6", "group_b_arrests": "7"}


@pytest.mark.parametrize("feed", NIBRS)
@pytest.mark.parametrize("name", ["Test-Submission-1.txt", "Test-Submission-2.txt"])
def test_every_segment_of_a_nibrs_flat_file_is_a_row(samples: Path, tmp_path: Path, name: str, feed: str) -> None:
    path = samples / "nibrs" / name
    sent = [line for line in _lines(path) if line[4] == NIBRS[feed]]
    got = mapped(tmp_path, "nibrs_flat", feed, path)
    assert [(row["ori"], row["incident_no"]) for row in got.rows] == [
        (line[16:25], line[25:37].strip()) for line in sent
    ]
    assert (got.unreadable, got.batch.hold, len(got.rows)) == ([], None, len(sent))


def test_both_vintages_of_nibrs_segments_are_read_by_their_length(samples: Path, tmp_path: Path) -> None:
    path = samples / "nibrs" / "Test-Submission-1.txt"
    lines = _lines(path)
    cargo = [row["cargo_theft"] for row in mapped(tmp_path, "nibrs_flat", "incidents", path).rows]
    assert cargo == [{"Y": True, "N": False}.get(line[87:88]) for line in lines if line[4] == "1"]
    offenders = mapped(tmp_path, "nibrs_flat", "offenders", path).rows
    assert [row["age"] for row in offenders] == [line[39:43].strip() or None for line in lines if line[4] == "5"]
    hispanic = [line[45:46] == "H" for line in lines if line[4] == "5"]
    assert ["HISP" in (row["race"] or "") for row in offenders] == hispanic and any(hispanic)


def test_property_that_repeats_within_a_segment_is_a_row_each(samples: Path, tmp_path: Path) -> None:
    path = samples / "nibrs" / "Test-Submission-1.txt"
    sent = [
        (line[25:37].strip(), line[37], line[at : at + 2], int(line[at + 2 : at + 11]))
        for line in _lines(path)
        if line[4] == "3"
        for at in range(38, 228, 19)
        if line[at : at + 2].strip() and line[at + 2 : at + 11].strip()
    ]
    rows = mapped(tmp_path, "nibrs_flat", "property", path).rows
    valued = [row for row in rows if row["dollars"] is not None]
    assert [(r["incident_no"], r["loss"], r["property"], r["dollars"]) for r in valued] == sent and len(sent) > 100


def test_an_arrestee_under_18_keeps_what_the_department_did(samples: Path, tmp_path: Path) -> None:
    path = samples / "nibrs" / "Test-Submission-1.txt"
    sent = Counter(line[78:79].strip() for line in _lines(path) if line[4] == "6")
    rows = mapped(tmp_path, "nibrs_flat", "arrests", path).rows
    assert Counter(row["under18_source"] or "" for row in rows) == sent
    assert {row["under18"] for row in rows if row["under18_source"] == "H"} == {"handled_within"}


def test_a_tanf_file_gives_families_adults_and_both_children_of_a_record(samples: Path, tmp_path: Path) -> None:
    path = samples / "tanf" / "ADS.E2J.FTP1.TS06"
    lines = _lines(path)
    by_tag = {tag: [line for line in lines if line.startswith(tag)] for tag in ("T1", "T2", "T3")}
    families = mapped(tmp_path, "tanf", "families", path)
    assert [row["case_number"] for row in families.rows] == [line[8:19].strip() for line in by_tag["T1"]]
    adults = mapped(tmp_path, "tanf", "adults", path)
    assert [row["ssn_sent"] for row in adults.rows] == [line[29:38].strip() for line in by_tag["T2"]]
    children = mapped(tmp_path, "tanf", "children", path)
    sent = [(line[8:19].strip(), line[at : at + 8]) for line in by_tag["T3"] for at in (20, 61) if line[at:].strip()]
    assert [(row["case_number"], row["birth_sent"]) for row in children.rows] == sent
    assert {got.batch.hold for got in (families, adults, children)} == {None}
    assert all(row["ssn"] is None for row in children.rows), "the header says that the numbers are encrypted"


@pytest.mark.parametrize("name", ["ADS.E2J.FTP3.TS06", "ADS.E2J.FTP3.TS142"])
def test_the_totals_of_a_tanf_file_add_up_in_each_month(samples: Path, tmp_path: Path, name: str) -> None:
    path = samples / "tanf" / name
    lines = [line for line in _lines(path) if line.startswith("T6")]
    got = mapped(tmp_path, "tanf", "totals", path)
    assert (got.batch.hold, got.unreadable, problems(got)) == (None, [], Counter())
    assert [(row["quarter"], row["month"]) for row in got.rows] == [(line[2:7], m) for line in lines for m in "123"]
    for row in got.rows:
        line, month = lines[(row["_record"] - 1) // 3], int(row["month"]) - 1
        assert row["families"] == int(line[115 + 8 * month : 123 + 8 * month])
        assert row["assistance"] == int(line[79 + 12 * month : 91 + 12 * month])
        assert row["closed"] == int(line[355 + 8 * month : 363 + 8 * month])
        assert row["applications"] == row["approved"] + row["denied"]
        assert row["families"] == row["two_parents"] + row["one_parent"] + row["no_parent"]
        assert row["recipients"] == row["adults"] + row["children"]


def test_the_strata_of_a_tanf_file_are_a_row_each(samples: Path, tmp_path: Path) -> None:
    path = samples / "tanf" / "ADS.E2J.FTP4.TS06"
    (line,) = [line for line in _lines(path) if line.startswith("T7")]
    groups = [line[start : start + 24] for start in range(7, 247, 24)]
    got = mapped(tmp_path, "tanf", "strata", path)
    assert (got.batch.hold, got.unreadable, problems(got)) == (None, [], Counter())
    names = ("of_section", "stratum", "families_1", "families_2", "families_3")
    assert [tuple(row[name] for name in names) for row in got.rows] == [
        (group[0], group[1:3], int(group[3:10]), int(group[10:17]), int(group[17:24]))
        for group in groups
        if group.strip()
    ]
    assert mapped(tmp_path, "tanf", "totals", path).rows == []


def test_a_tanf_file_whose_cases_are_closed_is_not_taken_for_active_ones(samples: Path, tmp_path: Path) -> None:
    path = samples / "tanf" / "ADS.E2J.FTP2.TS06"
    assert len(mapped(tmp_path, "tanf", "closed_persons", path).rows) == 605
    assert mapped(tmp_path, "tanf", "closed_families", path).batch.hold is None
    assert mapped(tmp_path, "tanf", "adults", path).rows == []


@pytest.mark.parametrize(
    ("name", "hold"),
    [
        ("small_tanf_section1.txt", "truncated"), ("bad_two_headers.txt", "truncated"), ("empty_file", "empty"),
        ("no_records.txt", "truncated"), ("bad_missing_header.txt", "empty"), ("bad_trailer_1.txt", "truncated"),
        ("small_bad_tanf_s1.txt", "truncated"), ("small_correct_file.txt", None),
    ],
)  # fmt: skip
def test_tanf_files_that_are_not_whole_are_held(samples: Path, tmp_path: Path, name: str, hold: str | None) -> None:
    assert mapped(tmp_path, "tanf", "families", samples / "tanf" / name).batch.hold == hold


def _elements(path: Path, name: str) -> list[ElementTree.Element]:
    """All elements of a name, whatever their namespace."""
    return [element for element in ElementTree.parse(path).iter() if element.tag.rpartition("}")[2] == name]


def _value(element: ElementTree.Element, path: str) -> str | None:
    found = element.find("/".join(f"{{*}}{step}" for step in path.split("/")))
    return found.text.strip() or None if found is not None and found.text else None


EDFI = {
    "students": ("Student.xml", "Student", {"student_id": "StudentUniqueId", "given": "Name/FirstName",
                 "middle": "Name/MiddleName", "surname": "Name/LastSurname", "birth_date": "BirthData/BirthDate"}),
    "contacts": ("Contact.xml", "Contact", {"contact_id": "ContactUniqueId", "surname": "Name/LastSurname",
                 "sex_source": "Sex"}),
    "contact_addresses": ("Contact.xml", "Address", {"line1": "StreetNumberName", "city": "City", "zip": "PostalCode",
                          "type_source": "AddressType"}),
    "contact_links": ("Contact.xml", "StudentContactAssociation", {"type_source": "Relation",
                      "student_id": "StudentReference/StudentIdentity/StudentUniqueId"}),
    "attendance": ("StudentSchoolAttendance.xml", "StudentSchoolAttendanceEvent", {
                   "student_id": "StudentReference/StudentIdentity/StudentUniqueId",
                   "date": "AttendanceEvent/EventDate", "category": "AttendanceEvent/AttendanceEventCategory"}),
    "incidents": ("StudentDiscipline.xml", "DisciplineIncident", {"incident_no": "IncidentIdentifier",
                  "date": "IncidentDate", "school_id": "SchoolReference/SchoolIdentity/SchoolId"}),
    "behaviors": ("StudentDiscipline.xml", "StudentDisciplineIncidentBehaviorAssociation", {"behavior_sent": "Behavior",
                  "student_id": "StudentReference/StudentIdentity/StudentUniqueId"}),
    "actions": ("StudentDiscipline.xml", "DisciplineAction", {"action_id": "DisciplineActionIdentifier",
                "action_source": "Discipline", "decided_on": "DisciplineDate"}),
}  # fmt: skip


@pytest.mark.parametrize("feed", EDFI)
def test_every_element_of_an_ed_fi_interchange_is_a_row(samples: Path, tmp_path: Path, feed: str) -> None:
    name, element, paths = EDFI[feed]
    path = samples / "edfi" / name
    sent = [[_value(found, at) for at in paths.values()] for found in _elements(path, element)]
    got = mapped(tmp_path, "edfi_xml", feed, path)
    told = [[None if row[name] is None else str(row[name]) for name in paths] for row in got.rows]
    assert told == sent and len(sent) > 20
    assert (got.batch.hold, got.found, got.unreadable) == (None, [], [])
    assert len({row["_key"] for row in got.rows}) == len(sent)


def test_ed_fi_attendance_keeps_its_kinds_and_applies_what_the_crosswalk_allows(samples: Path, tmp_path: Path) -> None:
    rows = mapped(tmp_path, "edfi_xml", "attendance", samples / "edfi" / "StudentSchoolAttendance.xml").rows
    assert Counter(row["status"] for row in rows) == {
        "absent_excused": 1_077, "absent_unexcused": 773, None: 66, "other": 1,
    }  # fmt: skip
    assert {row["status_match"] for row in rows if row["status"] is None} == {"narrow"}


def test_ed_fi_references_between_elements_and_files_become_references_of_the_record(
    samples: Path, tmp_path: Path
) -> None:
    agency, states = load_agency(TEMPLATES / "edfi_xml"), {}
    for feed, (name, _, _) in {**EDFI, "incident_ids": EDFI["incidents"]}.items():
        got = mapped(tmp_path, "edfi_xml", feed, samples / "edfi" / name)
        states["edfi_xml", feed] = tmp_path / f"{feed}.parquet"
        duckdb.sql(
            f"COPY (SELECT *, 'X' AS _extract, DATE '2026-03-23' AS _since, NULL::VARCHAR AS _deleted"
            f" FROM '{got.batch.mapped}') TO '{states['edfi_xml', feed]}'"
        )
    made = project_entities({"edfi_xml": agency}, states, tmp_path / "entities")
    contact_ids = {
        e.get("id"): _value(e, "ContactUniqueId") for e in _elements(samples / "edfi" / "Contact.xml", "Contact")
    }
    links = _elements(samples / "edfi" / "Contact.xml", "StudentContactAssociation")
    sent = [
        (f"edfi_xml/students/{_value(link, 'StudentReference/StudentIdentity/StudentUniqueId')}",
         f"edfi_xml/contacts/{contact_ids[reference.get('ref')]}")
        for link in links if (reference := link.find("{*}ContactReference")) is not None
    ]  # fmt: skip
    query = "SELECT person_ref, related_ref FROM '{}' ORDER BY record"
    assert duckdb.sql(query.format(made["relationship"])).fetchall() == sent and len(sent) == 1_872
    told = duckdb.sql(
        f"SELECT count(*), count(date), count(behavior), count(action) FROM '{made['discipline']}'"
    ).fetchall()
    assert told == [(46, 46, 21, 25)]
    police = f"SELECT count(*) FROM '{made['discipline']}' WHERE reported_to_police"
    assert duckdb.sql(police).fetchall() == [(2,)]


NIBRS_XML = {
    "nibrs_AllFields_Sample.xml": ("I", 1, 4, 1), "nibrs_GroupAIncident_Sample.xml": ("I", 1, 3, 0),
    "nibrs_IncidentDelete_Sample.xml": ("D", 0, 0, 0), "nibrs_GroupBArrest_Sample.xml": ("A", 0, 1, 1),
    "nibrs_GroupBArrestDelete_Sample.xml": ("D", 0, 0, 1), "nibrs_ZeroReport_Sample.xml": ("A", 0, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", NIBRS_XML)
def test_nibrs_xml_is_read_with_what_stands_in_the_report_around_each_element(
    samples: Path, tmp_path: Path, name: str
) -> None:
    path = samples / "nibrs" / name
    action, *counts = NIBRS_XML[name]
    rows = {
        feed: mapped(tmp_path, "nibrs_xml", feed, path).rows for feed in ("offenses", "persons", "arrests", "incidents")
    }
    elements = {"offenses": "OffenseUCRCode", "persons": "PersonSexCode", "arrests": "ArrestCategoryCode"}
    assert [len(rows[feed]) for feed in elements] == counts
    ori = _value(
        _elements(path, "ReportingAgency")[0], "OrganizationAugmentation/OrganizationORIIdentification/IdentificationID"
    )
    assert {row["ori"] for found in rows.values() for row in found} == {ori}
    assert {row["_action"] for found in rows.values() for row in found} == {"delete" if action == "D" else "upsert"}
    sexes = [element.text for element in _elements(path, "PersonSexCode")]
    assert [row["sex_source"] for row in rows["persons"] if row["sex_source"]] == sexes
    incident = [_value(i, "ActivityIdentification/IdentificationID") for i in _elements(path, "Incident")]
    assert [row["incident_no"] for row in rows["incidents"] if row["incident_no"]] == incident


def test_nibrs_xml_that_is_not_well_formed_is_held(samples: Path, tmp_path: Path) -> None:
    got = mapped(tmp_path, "nibrs_xml", "incidents", samples / "nibrs" / "nibrs_GroupAReplace_Sample.xml")
    assert (got.batch.hold, got.rows) == ("unreadable", [])


@pytest.mark.parametrize(
    ("feed", "name"),
    [("case_categories", "adams_casecategory_test.xml"), ("case_categories", "casecategory-weird.xml"),
     ("case_types", "adams_casetype_test.xml")],
)  # fmt: skip
def test_a_court_s_code_list_is_read_with_its_version(samples: Path, tmp_path: Path, feed: str, name: str) -> None:
    path = samples / "court_ecf" / name
    sent = [
        {value.get("ColumnRef"): _value(value, "SimpleValue") for value in row if value.tag.endswith("Value")}
        for row in _elements(path, "Row")
    ]
    got = mapped(tmp_path, "court_ecf", feed, path)
    assert [(row["code"], row["label"]) for row in got.rows] == [(row["code"], row["name"]) for row in sent]
    assert {row["version"] for row in got.rows} == {_value(_elements(path, "Identification")[0], "Version")}
    if feed == "case_categories":
        juvenile = {row["label"]: row["case_type"] for row in got.rows if "Juvenile" in row["label"]}
        assert juvenile["Juvenile Delinquent"] == "delinquency" and juvenile["Juvenile Abuse"] == "dependency"


def test_a_court_s_answer_about_a_case_is_a_row(samples: Path, tmp_path: Path) -> None:
    path = samples / "court_ecf" / "case_resp.xml"
    (row,) = mapped(tmp_path, "court_ecf", "cases", path).rows
    assert row["case_no"] == _elements(path, "CaseDocketID")[0].text
    assert row["type_code"] == _elements(path, "CaseTypeText")[0].text


def _sis(path: Path) -> list[dict[str, str | None]]:
    """An export of the student information system as the standard library reads it."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, escapechar="\\", doublequote=False)
        return [{(k or "").strip("'"): None if v in ("NULL", "") else v for k, v in row.items()} for row in rows]


SIS = {
    "students": ("fake_students_export.csv", {"local_id": "local_id", "state_id": "state_id", "grade": "grade",
                 "birth_date": "date_of_birth", "sex_source": "gender", "status_source": "enrollment_status"}),
    "behavior": ("fake_behavior_export.csv", {"local_id": "local_id", "date": "event_date", "code": "incident_code",
                 "description": "incident_description"}),
    "attendance": ("attendance_dump.csv", {"student": "ATT_STD_OID", "date": "ATT_DATE"}),
}  # fmt: skip


@pytest.mark.parametrize("feed", SIS)
def test_an_aspen_export_is_read_with_its_nulls_and_backslashes(samples: Path, tmp_path: Path, feed: str) -> None:
    name, columns = SIS[feed]
    sent = _sis(samples / "sis_exports" / name)
    got = mapped(tmp_path, "sis_aspen", feed, samples / "sis_exports" / name)
    told = [[None if row[element] is None else str(row[element]) for element in columns] for row in got.rows]
    assert told == [[row[column] for column in columns.values()] for row in sent]
    assert (got.batch.hold, got.found) == (None, [])
