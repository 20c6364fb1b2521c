"""Declarations that cannot be taken as they are written are refused with the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.load import load_agencies, load_agency
from standard.errors import DeclarationError
from tests.mapping_cases import ELEMENTS, HEAD, ROOT, write_agency

GOOD = HEAD + ELEMENTS
CODED = GOOD + "  sex: {column: S, code: {crosswalk: sex}}\n"
DEMOGRAPHIC = (
    'entities:\n  person_demographic: [{person_ref: "students/{id}", sex: sex, birth_date: born}]\n'
)  # fmt: skip
SEX = "value,common,match\nF,F,exact\n"


def refusal(
    folder: Path, feed: str, *, crosswalks: dict[str, str] | None = None, layouts: dict[str, str] | None = None
) -> str:
    """What is said of a declaration of the feed `students`."""
    with pytest.raises(DeclarationError) as refused:
        load_agency(write_agency(folder, {"students": feed}, crosswalks=crosswalks, layouts=layouts))
    assert refused.value.mend
    return f"{refused.value.what} @ {Path(refused.value.where).name}"


def test_a_sound_declaration_is_loaded(tmp_path: Path) -> None:
    agency = load_agency(write_agency(tmp_path, {"students": CODED + DEMOGRAPHIC}, crosswalks={"sex": SEX}))
    assert list(agency.feeds["students"].elements) == ["id", "surname", "born", "sex"]


@pytest.mark.parametrize(
    ("feed", "what", "line"),
    [
        (GOOD + "colour: red\n", "colour: this key is not known here", 13),
        (GOOD + "key: [id]\n", "the key 'key' stands twice", 13),
        (GOOD.replace("{width: 4}", "{width: wide}"), "elements.id.identifier.width: ", 10),
        (GOOD.replace("name: {}", "name: {}, text: {}"), "exactly one conversion", 11),
        (GOOD.replace("name: {}", "nothing: {}"), "this key is not known here", 11),
        (GOOD.replace("key: [id]", "key: [ID]"), "key names 'ID', which is no element", 8),
        (GOOD.replace("source: drop", "source: pickup"), "there is no source 'pickup'", 4),
        (GOOD + "manifest: {feed: listing}\n", "is no feed with the elements file, rows", 13),
        (GOOD + "version: changed\n", "version names 'changed'", 13),
        (GOOD + "references: [{elements: [id], feed: nobody, to: [id]}]\n", "no element 'id' of a feed 'nobody'", 13),
        (GOOD.replace("%m/%d/%Y", "%q"), "uses %q, which is not known", 12),
        (GOOD.replace("{kind: delimited}", "{kind: delimited, encoding: ebcdic7}"), "there is no encoding", 6),
        (GOOD.replace("required: true", "blank: lost"), "'lost' is not in the code set missing_reason", 10),
        (CODED, "there is no crosswalk 'sex'", 13),
        (GOOD + "  x: {columns: [Name], sql: 'upper(Nme)', type: text}\n", "this SQL cannot be used", 13),
        (GOOD + "  x: {columns: [Name], sql: 'max(Name)', type: text}\n", "this SQL cannot be used", 13),
        (GOOD + "  x: {columns: [Name], sql: 'unnest([Name, Name])', type: text}\n", "this SQL cannot be used", 13),
        (GOOD + "  x: {columns: [Name], sql: 'lag(Name) OVER ()', type: text}\n", "this SQL cannot be used", 13),
        (GOOD.replace("kind: delimited", "kind: delimited, encoding: rot13"), "no encoding 'rot13'", 6),
        (GOOD.replace("kind: delimited", "kind: delimited, delimiter: '\"'"), "neither the quote nor the escape", 6),
        (GOOD + "  x: {columns: [Name], sql: '1); DROP TABLE y; SELECT (1', type: text}\n", "SQL cannot be used", 13),
        (GOOD + "  x: {columns: [Name], sql: '{y}', type: text}\n", "x needs 'y', which is no element", 13),
        (
            GOOD + "  x: {columns: [Name], sql: '{y}', type: text}\n  y: {columns: [Name], sql: '{x}', type: text}\n",
            "need each other in a circle", 9,
        ),
        (GOOD + 'deleted_when: "surnme = 1"\n', "this SQL cannot be used", 13),
        (GOOD + "scope: [{drop: 'born < yesterday', reason: old}]\n", "this SQL cannot be used", 13),
        (GOOD + "withhold: [{reason: sealed, when: 'id = 1 AND', covers: 'students/{id}'}]\n", "cannot be used", 13),
        (GOOD + "withhold: [{reason: sealed, when: 'true', covers: 'students/{no}'}]\n", "withhold names 'no'", 13),
        (GOOD + "unused_columns: {Name: said twice}\n", "the column Name is mapped and unused", 13),
        (GOOD + "  n: {column: NAME, text: {}}\n", "the columns Name and NAME have the same name", 9),
        (GOOD + "entities: {persons: []}\n", "there is no entity 'persons'", 13),
        (GOOD + "entities:\n  person_name: [{person_ref: 'students/{id}', last: surname}]\n", "no column 'last'", 14),
        (GOOD + "entities:\n  person_name: [{surname: surname}]\n", "person_name needs person_ref", 14),
        (GOOD + "entities:\n  person_name: [{person_ref: 'students/{ID}'}]\n", "the template names", 14),
        (
            GOOD + "entities:\n  person_name: [{person_ref: 'students/{id}', use: =nick}]\n",
            "'nick' is not in the code set name_use", 14,
        ),
        (
            GOOD + "entities:\n  person_name: [{person_ref: 'students/{id}', use: surname}]\n",
            "use is a code; surname is text as sent", 14,
        ),
        (
            GOOD + "entities:\n  person_demographic: [{person_ref: 'students/{id}', birth_date: surname}]\n",
            "birth_date is of type date", 14,
        ),
        (
            GOOD + "entities:\n  person_name: [{person_ref: 'students/{id}', when: 'left is null'}]\n",
            "this SQL cannot be used", 14,
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, feed: str, what: str, line: int) -> None:
    told = refusal(tmp_path, feed)
    assert what in told and told.endswith(f"@ students.yaml, line {line}")


@pytest.mark.parametrize(
    ("crosswalk", "what", "line"),
    [
        ("value,common,match\nF,F,exact\nM,male,exact\n", "'male' is not in the code set sex", 3),
        ("value,common,match\nF,F,same\n", "match is one of exact", 2),
        ("value,common\nF,F\n", "a crosswalk has the columns", 1),
        ("value,common,match,colour\nF,F,exact,red\n", "a crosswalk has the columns", 1),
        ("value,common,match\nF,F,exact\nF,M,exact\n", "the value 'F' stands in line 2 for the same time", 3),
        ("value,common,match\nF,F\n", "not as many fields", 2),
        ("value,common,match,valid_from\nF,F,exact,today\n", "dates like 2025-01-31", 2),
        (
            "value,common,match,valid_from,valid_to\nF,F,exact,2020-01-01,2021-01-01\nF,M,exact,2021-01-01,\n",
            "for the same time", 3,
        ),
    ],
)  # fmt: skip
def test_a_crosswalk_that_is_wrong_is_told_with_its_line(tmp_path: Path, crosswalk: str, what: str, line: int) -> None:
    told = refusal(tmp_path, CODED + DEMOGRAPHIC, crosswalks={"sex": crosswalk})
    assert what in told and told.endswith(f"@ sex.csv, line {line}")


def test_codes_whose_meaning_changes_need_a_date_and_scoped_codes_a_scope(tmp_path: Path) -> None:
    changing = "value,common,match,valid_from,valid_to\nF,F,exact,,2020-12-31\nF,X,exact,2021-01-01,\n"
    assert "whose meaning changes with time" in refusal(tmp_path, CODED, crosswalks={"sex": changing})
    scoped = "value,common,match,scope\nF,F,exact,EAST\n"
    assert "has scopes" in refusal(tmp_path, CODED, crosswalks={"sex": scoped})


def test_every_field_of_a_layout_is_spoken_for(tmp_path: Path) -> None:
    feed = GOOD.replace("{kind: delimited}", "{kind: fixed_width, layout: child}").replace(
        "{column: Name,", "{column: NAME,"
    )
    layout = "field,start,end\nID,1,4\nNAME,5,9\nBorn,10,19\n"
    load_agency(write_agency(tmp_path, {"students": feed}, layouts={"child": layout}))
    assert "PET is neither mapped nor unused" in refusal(tmp_path, feed, layouts={"child": layout + "PET,20,21\n"})
    assert "Born is not in the layout" in refusal(tmp_path, feed, layouts={"child": layout.replace("Born", "BRN")})
    told = refusal(tmp_path, feed, layouts={"child": layout.replace("10,19", "10,x")})
    assert told.endswith("@ child.csv, line 4")


def test_a_feed_that_is_not_listed_or_has_no_file_is_told(tmp_path: Path) -> None:
    folder = write_agency(tmp_path, {"students": GOOD})
    (folder / "pets.yaml").write_text(GOOD.replace("feed: students", "feed: pets"), encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"pets\.yaml is not listed"):
        load_agency(folder)
    (folder / "pets.yaml").unlink()
    (folder / "students.yaml").rename(folder / "pupils.yaml")
    with pytest.raises(DeclarationError, match="'students' has no file of its own"):
        load_agency(folder)


def test_the_home_s_own_declaration_of_an_agency_goes_before_the_project_s(tmp_path: Path) -> None:
    own = write_agency(tmp_path / "own", {"students": GOOD}).parent
    other = write_agency(tmp_path / "other", {"students": GOOD.replace("key: [id]", "key: [NO]")}).parent
    assert load_agencies([own, other, tmp_path / "nowhere"])["hill_schools"].folder.parent == own


def test_the_sql_of_a_declaration_reaches_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    feed = GOOD + f"  x: {{columns: [Name], sql: \"(SELECT a FROM read_csv('{secret}'))\", type: text}}\n"
    assert "this SQL cannot be used" in refusal(tmp_path, feed)


@pytest.mark.parametrize("folder", sorted((ROOT / "mappings" / "agencies").glob("*/")), ids=lambda f: f.name)
def test_the_project_s_own_declarations_are_sound(folder: Path) -> None:
    assert load_agency(folder).feeds


@pytest.mark.parametrize(
    "sql",
    ["random() < 0.5", "born < today()", "born < current_date", "uuid() = id", "age(born) IS NULL",
     "ago(INTERVAL 1 DAY) > born", "NOW()::DATE = born", "current_setting('TimeZone') = 'UTC'",
     "1 = (SELECT max(NEXTVAL('s')))"],
)  # fmt: skip
def test_sql_that_does_not_give_the_same_answer_every_time_is_refused_with_its_line(tmp_path: Path, sql: str) -> None:
    said = refusal(tmp_path, GOOD + f'deleted_when: "{sql}"\n')
    assert "not give the same answer every time" in said or "NEXTVAL" in sql.upper()
    assert "students.yaml, line 13" in said


@pytest.mark.parametrize("sql", ["(SELECT count(*) FROM read_csv('/etc/hosts')) > 0", "EXISTS (FROM glob('/*'))"])
def test_sql_that_reads_files_is_refused_with_its_line(tmp_path: Path, sql: str) -> None:
    said = refusal(tmp_path, GOOD + f'deleted_when: "{sql}"\n')
    assert "this SQL cannot be used" in said and "students.yaml, line 13" in said


@pytest.mark.parametrize("name", ["''", "'  '"])
def test_a_table_without_a_name_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    feed = GOOD.replace("{kind: delimited}", "{kind: table}")
    arrives = next(line for line in feed.splitlines() if line.startswith("arrives:"))
    said = refusal(tmp_path, feed.replace(arrives, f"arrives: {{table: {name}}}"))
    assert "a table has a name" in said and "students.yaml, line" in said
