"""XML: namespaces, repeating groups, what stands beside a record, and files made to do harm."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from mappings.load import load_agency
from mappings.paths import parse_path, parse_place
from standard.errors import DeclarationError
from tests.mapping_cases import HEAD, Mapped, map_file, write_agency

FORM = '{kind: xml, namespaces: {"": "urn:school", p: "urn:person"}, records: [/School/Class/Child]}'
FEED = (
    HEAD.replace("{kind: delimited}", FORM)
    + """
unused_columns: {Pets: nobody asks}
elements:
  id: {column: "@id", identifier: {}, required: true}
  surname: {column: p:Name/p:Last, name: {}}
  phones: {column: Phone, text: {}}
  home: {column: "Phone[@kind='home']", text: {}}
  mail: {column: "Phone[Use='mail']/No", text: {}}
  teacher: {column: ../Teacher/Name, text: {}}
  room: {column: ../@room, text: {}}
  town: {column: ../../Town, text: {}}
  text: {column: ., text: {}}
"""
)
NAMES = 'xmlns="urn:school" xmlns:p="urn:person"'


def _child(number: int | str, inner: str = "") -> str:
    return f'<Child id="{number}"><p:Name><p:Last>Ode</p:Last></p:Name>{inner}</Child>'


def _school(*children: str) -> str:
    inner = "\n".join(children)
    head = f'<School {NAMES}>\n<Town>Harlow</Town>\n<Class room="1"><Teacher><Name>Fen</Name></Teacher>'
    return f"{head}\n{inner}\n</Class></School>"


def _map(folder: Path, text: str | bytes, feed: str = FEED) -> Mapped:
    return map_file(folder, text, feed=feed)


def test_a_record_takes_what_stands_in_it_and_beside_its_parents(tmp_path: Path) -> None:
    inner = '<Phone kind="work">1</Phone><Phone kind="home">2</Phone><Phone><Use>mail</Use><No>3</No></Phone>'
    got = _map(tmp_path, _school(_child(7, inner), _child(8)))
    first, second = got.rows
    told = {name: first[name] for name in ("id", "surname", "phones", "home", "mail", "teacher", "room", "town")}
    assert told == {
        "id": "7", "surname": "Ode", "phones": "1; 2", "home": "2", "mail": "3", "teacher": "Fen", "room": "1",
        "town": "Harlow",
    }  # fmt: skip
    assert (second["id"], second["phones"], second["teacher"], second["text"]) == ("8", None, "Fen", None)
    assert [(row["_record"], row["_line"]) for row in got.rows] == [(1, 4), (2, 5)] and got.found == []


def test_an_element_of_the_same_name_in_another_place_or_namespace_is_no_record(tmp_path: Path) -> None:
    inner = "<Pets><Child id='9'/></Pets>"
    got = _map(tmp_path, _school(_child(1, inner), '<Child xmlns="urn:other" id="2"/>', _child(3)))
    assert [row["id"] for row in got.rows] == ["1", "3"]


def test_what_nobody_declared_is_found_under_its_path(tmp_path: Path) -> None:
    got = _map(tmp_path, _school(_child(1, '<Mood at="x">fine</Mood><Pets><Cat>Tom</Cat></Pets>')))
    assert sorted(f.detail for f in got.batch.findings if f.code == "new_column") == ["Mood", "Mood/@at"]


def test_text_is_whole_over_comments_and_character_data(tmp_path: Path) -> None:
    got = _map(tmp_path, _school(_child(1, "<Phone>a<!-- x -->b<![CDATA[<c>]]>&amp;&#233;</Phone>")))
    assert got.rows[0]["phones"] == "ab<c>&é"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_the_encoding_that_a_file_declares_is_believed(tmp_path: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n' + _school(_child(1, "<Phone>é</Phone>"))
    got = _map(tmp_path, text.encode(encoding))
    assert [row["phones"] for row in got.rows] == ["é"]


def test_bytes_that_mean_nothing_are_marked_and_the_file_is_read(tmp_path: Path) -> None:
    text = _school(_child(1, "<Phone>René</Phone><Phone kind='home'>Jos\xff\0</Phone>")).encode()
    got = _map(tmp_path, text.replace("Jos\xff".encode(), b"Jos\xe9"))
    assert got.rows[0]["home"] == "Jos\ufffd\ufffd" and {"replaced_bytes", "nul_characters"} <= set(got.found)


def test_many_records_are_read_in_bounded_memory_with_what_stands_beside_them(tmp_path: Path) -> None:
    other = "<Staff>" + "<Note>x</Note>" * 2_000 + "</Staff>"
    children = [
        _child(number, "<Phone>" + "1" * 100 + "</Phone>") + other * (number % 500 == 0) for number in range(15_000)
    ]
    text = _school(*children)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    got = _map(tmp_path, text)
    assert [row["id"] for row in got.rows] == [str(number) for number in range(15_000)]
    assert {row["teacher"] for row in got.rows} == {"Fen"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + _school(_child(1, "<Phone>&b;</Phone>"))
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + _school(_child(1, "<Phone>&x;</Phone>"))


@pytest.mark.parametrize(
    ("text", "hold", "code"),
    [
        (LAUGHS, "unreadable", "document_type"), (OUTSIDE, "unreadable", "document_type"),
        ("<?xml version='1.0'?>\n<!-- x -->\n" + OUTSIDE, "unreadable", "document_type"),
        (_school(_child(1, "<Phone>&b;</Phone>")), "unreadable", "not_well_formed"),
        (_school(_child(1, "<Phone></Child>")), "unreadable", "not_well_formed"),
        (_school(_child(1))[:-9], "truncated", "cut_off"),
        (_school(_child(1, "<a>" * 3_000 + "</a>" * 3_000)), "unreadable", "not_well_formed"),
        (_school(_child(1, "<Phone>" + "1" * 11_000_000 + "</Phone>")), "unreadable", "endless_record"),
        (_school(_child(1, "<Phone>1</Phone>" * 1_300_000)), "unreadable", "endless_record"),
        (_school("<Teacher/>" * 200_000, _child(1)), "unreadable", "too_many_elements"),
        ("<Other/>", "layout", "other_root"), ("", "empty", "empty_file"),
        ("ID,Name\n1,Ode\n", "unreadable", "not_xml"),
        ("<!--" + "x" * 400_000, "unreadable", "not_xml"), (" \n ", "empty", "empty_file"),
        (_school(), "empty", "no_records"),
    ],
    ids=range(16),
)  # fmt: skip
def test_a_harmful_or_broken_file_is_held(tmp_path: Path, text: str, hold: str, code: str) -> None:
    began = time.monotonic()
    got = _map(tmp_path, text)
    assert (got.batch.hold, code in got.found) == (hold, True), got.found
    assert time.monotonic() - began < 20
    assert not any("Ode" in f.detail or "passwd" in f.detail for f in got.batch.findings)


def test_blanks_before_the_declaration_do_not_make_a_file_unreadable(tmp_path: Path) -> None:
    got = _map(tmp_path, ' \n<?xml version="1.0" encoding="utf-8"?>' + _school(_child(1)))
    assert len(got.rows) == 1 and got.batch.hold is None


@pytest.mark.parametrize("text", ["a//b", "a/../b", "@a/b", "a[b]", "a[b='c'", "a b", "1a", "", "a/"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_path(text)


@pytest.mark.parametrize("text", ["a/b", "/a/..", "/a/@b", "/a[b='c']"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_place(text)


def test_a_prefix_without_a_namespace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="'p' stands for no namespace"):
        load_agency(write_agency(tmp_path, {"students": FEED.replace(', p: "urn:person"', "")}))
