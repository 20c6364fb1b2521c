# ruff: noqa: E501
"""The templates for systems of which no sample is at hand: invented rows in the standard's own columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mappings.load import load_agency
from tests.golden.test_templates import TEMPLATES, mapped

ID = "sourcedId,status,dateLastModified"
USERS = f"{ID},enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password"
USERS_12 = (
    f"{ID},userMasterIdentifier,username,userIds,enabledUser,givenName,familyName,middleName,identifier,email,sms,phone,"
    "agentSourcedIds,grades,password,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns"
)
ROLES = f"{ID},userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId"
DEMOGRAPHICS = (
    f"{ID},birthDate,sex,americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,"
    "white,demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,"
    "cityOfBirth,publicSchoolResidenceStatus"
)
FORCES = "VeteranStatus,YearEnteredService,YearSeparated,WorldWarII,KoreanWar,VietnamWar,DesertStorm,AfghanistanOEF,IraqOIF,IraqOND,OtherTheater,MilitaryBranch,DischargeStatus"
CLIENT = "PersonalID,FirstName,MiddleName,LastName,NameSuffix,NameDataQuality,SSN,SSNDataQuality,DOB,DOBDataQuality"
RACES = "AmIndAKNative,Asian,BlackAfAmerican,HispanicLatinao,MidEastNAfrican,NativeHIPacific,White,RaceNone,AdditionalRaceEthnicity"
KEPT = "DateCreated,DateUpdated,UserID,DateDeleted,ExportID"
C2026 = f"{CLIENT},Sex,{RACES},{FORCES},{KEPT}"
C2024 = f"{CLIENT},{RACES},Woman,Man,NonBinary,CulturallySpecific,Transgender,Questioning,DifferentIdentity,GenderNone,DifferentIdentityText,{FORCES},{KEPT}"
ODE = "7,Ana,,Ode,,1,123456780,1,2010-01-02,1"
DATES = "2026-01-02 03:04:05,2026-02-03 04:05:06,u1"

CASES: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("oneroster_11", "users", USERS, "s1,,,true,o1,student,ana,{LDAP:1},Ana,Ode,,0091,,,617-555-0101,\"g1,g2\",09,",
     {"role": "student", "is_person": True, "agent_1": "g1", "agent_2": "g2", "agent_3": None, "number": "0091"}),
    ("oneroster_11", "users", USERS, "s1,tobedeleted,2026-01-02T03:04:05.000Z,true,o1,teacher,t,,Tom,Fen,,,,,,,,",
     {"_action": "delete", "is_person": False, "role": "other", "_version": "2026-01-02 03:04:05"}),
    ("oneroster_11", "demographics", DEMOGRAPHICS.replace("sourcedId", "userSourcedId"),
     "s1,,,2010-01-02,female,false,TRUE,false,false,false,false,true,US,MA,Harlow,",
     {"user": "s1", "sex": "F", "race": "ASIAN HISP", "birth_precision": "day"}),
    ("oneroster_12", "users", USERS_12, "s1,active,2026-01-02T03:04:05.000Z,m1,ana,,true,Ana,Ode,,0091,,,,g1,09,,Anni,,Ode,o1,",
     {"preferred": "Anni", "agent_1": "g1", "_action": "upsert"}),
    ("oneroster_12", "roles", ROLES, "r1,active,2026-01-02T03:04:05.000Z,s1,primary,student,2025-09-01,,o1,",
     {"user": "s1", "role": "student", "school_id": "o1", "last_day": None}),
    ("hmis_2026", "clients", C2026, f"{ODE},0,0,0,1,1,0,0,0,,,{'99,' + ',' * 11},{DATES},,E1",
     {"sex": "F", "race": "BLACK HISP", "ssn_full": "123456780", "_action": "upsert", "birth_precision": "day"}),
    ("hmis_2026", "clients", C2026, f"{ODE.replace(',1,2010', ',2,2010')},99,0,0,0,0,0,0,0,9,,{'99,' + ',' * 11},{DATES},2026-02-03 00:00:00,E1",
     {"sex": "U", "race": "DECLINED", "ssn_full": None, "_action": "delete"}),
    ("hmis_2024", "clients", C2024, f"{ODE},0,0,0,0,1,0,0,,,1,0,0,0,0,0,0,,,{'99,' + ',' * 11},{DATES},,E1",
     {"sex": "F", "race": "MENA"}),
    ("hmis_2024", "clients", C2024, f"{ODE},0,0,0,0,1,0,0,,,1,0,0,0,1,0,0,,,{'99,' + ',' * 11},{DATES},,E1",
     {"sex": None, "sex_told": "woman other"}),
    ("hmis_2026", "exits", "ExitID,EnrollmentID,PersonalID,ExitDate,Destination,OtherDestination," + KEPT,
     f"x1,e1,7,2026-01-31,410,,{DATES},,E1", {"enrollment_id": "e1", "destination": "410"}),
]  # fmt: skip


@pytest.mark.parametrize(("template", "feed", "header", "row", "wanted"), CASES, ids=range(len(CASES)))
def test_a_row_of_the_standard_is_read_in_common_terms(
    tmp_path: Path, template: str, feed: str, header: str, row: str, wanted: dict[str, Any]
) -> None:
    path = tmp_path / "extract.csv"
    path.write_text(f"{header}\n{row}\n", encoding="utf-8")
    got = mapped(tmp_path, template, feed, path)
    assert got.unreadable == [] and got.batch.hold is None, got.found
    assert {name: got.rows[0][name] for name in wanted} == wanted
    assert not {"new_column", "missing_column"} & set(got.found), got.batch.findings


AFCARS = {"StateFIPS": "25", "RptPerEnd": "202109", "LocalFIPS": "25013", "RecNum": "00000000A17B", "ChDOB": "20100102",
          "ChSex": "2", "ChRcBl": "1", "ChHispLat": "1", "CurrRmv": "20210304", "TypRmv": "2", "Neg": "1",
          "CurrPlmt": "20210304", "CurrPlmtSet": "2", "FCDschrg": "20210630", "DschrgReas": "2"}  # fmt: skip


def test_a_foster_care_record_is_read_by_its_characters_also_where_blanks_are_cut(tmp_path: Path) -> None:
    line = [" "] * 197
    for field in load_agency(TEMPLATES / "afcars").layouts["foster_care"].fields:
        line[field.start - 1 : field.end] = AFCARS.get(field.name, "").ljust(field.end - field.start + 1)
    path = tmp_path / "AFCARS_FC_202109.txt"
    path.write_text("".join(line) + "\n" + "".join(line).rstrip().replace("17B", "18C") + "\n", encoding="ascii")
    got = mapped(tmp_path, "afcars", "foster_care", path)
    wanted = {
        "sex": "F",
        "race": "BLACK HISP",
        "manner": "court",
        "reason": "neglect",
        "setting": "kin",
        "end_reason": None,
    }
    assert [row["record_number"] for row in got.rows] == ["00000000A17B", "00000000A18C"]
    assert all({name: row[name] for name in wanted} == wanted for row in got.rows)
    assert str(got.rows[0]["removed_on"]) == "2021-03-04" and got.rows[0]["end_reason_match"] == "related"


ENROLLMENT = """<InterchangeStudentEnrollment xmlns="http://ed-fi.org/5.2.0"><StudentSchoolAssociation>
<StudentReference><StudentIdentity><StudentUniqueId>604821</StudentUniqueId></StudentIdentity></StudentReference>
<SchoolReference><SchoolIdentity><SchoolId>255901001</SchoolId></SchoolIdentity></SchoolReference>
<SchoolYear>2021-2022</SchoolYear><EntryDate>2021-08-23</EntryDate>
<EntryGradeLevel>uri://ed-fi.org/GradeLevelDescriptor#Ninth grade</EntryGradeLevel>
<ExitWithdrawDate>2021-12-01</ExitWithdrawDate>
<ExitWithdrawType>uri://ed-fi.org/ExitWithdrawTypeDescriptor#Incarcerated</ExitWithdrawType>
</StudentSchoolAssociation></InterchangeStudentEnrollment>"""


def test_an_ed_fi_enrolment_keeps_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "StudentEnrollment.xml"
    path.write_text(ENROLLMENT, encoding="utf-8")
    got = mapped(tmp_path, "edfi_xml", "enrollments", path)
    (row,) = got.rows
    assert (row["grade"], row["exit_type"], row["exit_type_match"]) == ("Ninth grade", "institutionalised", "broad")
    assert (row["school_id"], str(row["entry_date"]), got.found) == ("255901001", "2021-08-23", [])


ARREST = """<ArrestMessage xmlns="http://example.org/arrest-message/1.0" xmlns:s="http://release.niem.gov/niem/structures/5.0/"
 xmlns:nc="http://release.niem.gov/niem/niem-core/5.0/" xmlns:j="http://release.niem.gov/niem/domains/jxdm/7.2/">
<MessageOperationCode>update</MessageOperationCode>
<nc:DocumentCreationDate><nc:DateTime>2026-03-01T08:00:00</nc:DateTime></nc:DocumentCreationDate>
<nc:Incident><nc:ActivityIdentification><nc:IdentificationID>25-001841</nc:IdentificationID></nc:ActivityIdentification></nc:Incident>
<j:Arrest s:id="A1"><nc:ActivityIdentification><nc:IdentificationID>B77</nc:IdentificationID></nc:ActivityIdentification>
<nc:ActivityDate><nc:DateTime>2026-02-28T23:10:00</nc:DateTime></nc:ActivityDate>
<j:ArrestSubject><nc:RoleOfPerson><nc:PersonBirthDate><nc:Date>2010-01-02</nc:Date></nc:PersonBirthDate>
<j:PersonEthnicityCode>H</j:PersonEthnicityCode><nc:PersonName><nc:PersonGivenName>Ana</nc:PersonGivenName>
<nc:PersonSurName>Ode</nc:PersonSurName></nc:PersonName><j:PersonRaceCode>W</j:PersonRaceCode><j:PersonSexCode>F</j:PersonSexCode>
</nc:RoleOfPerson></j:ArrestSubject>
<j:ArrestCharge><j:ChargeSequenceID>1</j:ChargeSequenceID><j:ChargeNIBRSCode>90J</j:ChargeNIBRSCode></j:ArrestCharge>
<j:ArrestCharge><j:ChargeSequenceID>2</j:ChargeSequenceID><j:ChargeNIBRSCode>13B</j:ChargeNIBRSCode></j:ArrestCharge>
</j:Arrest></ArrestMessage>"""


def test_a_niem_arrest_message_gives_the_person_and_each_charge(tmp_path: Path) -> None:
    path = tmp_path / "arrests_20260301.xml"
    path.write_text(ARREST, encoding="utf-8")
    (person,) = mapped(tmp_path, "niem_arrest", "arrests", path).rows
    wanted = {"surname": "Ode", "sex": "F", "race": "HISP WHITE", "incident_no": "25-001841", "_action": "upsert"}
    assert {name: person[name] for name in wanted} == wanted and str(person["arrested_on"]) == "2026-02-28"
    charges = mapped(tmp_path, "niem_arrest", "charges", path).rows
    assert [(row["_key"], row["offense"]) for row in charges] == [("B77|1", "90J"), ("B77|2", "13B")]
