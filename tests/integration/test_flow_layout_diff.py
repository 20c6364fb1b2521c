"""How a file differs in its layout is told in the agency's own columns, and what becomes of it; drafts are noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from tests.exchange import STUDENTS, SmallExchange, small_exchange


@pytest.fixture
def small(tmp_path: Path) -> SmallExchange:
    return small_exchange(tmp_path, agencies=("hillside_schools",))


def kith(small: SmallExchange, *arguments: str, status: int = 0) -> dict[str, Any]:
    ran = CliRunner().invoke(app, [*arguments, "--home", str(small.home.root), "--json"])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    assert ran.exit_code == status, ran.output
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def diff(small: SmallExchange, text: str, *, status: int = 0) -> dict[str, Any]:
    path = small.drop.parent / "students_20261005.csv"
    path.write_text(text, "utf-8")
    return kith(small, "agency", "diff", "hillside_schools", "students", str(path), status=status)


def test_new_missing_recased_and_retyped_columns_are_told_and_the_file_goes_on(small: SmallExchange) -> None:
    told = diff(small, STUDENTS.replace("Homeroom", "Advisor").replace("First", "FIRST").replace("20", "20/"))
    assert told["held"] is None
    assert {(each["column"], each["is_"].split(":")[0]) for each in told["changes"]} == {
        ("First came as FIRST", "written otherwise"), ("Homeroom", "missing"), ("Advisor", "new"),
        ("DOB", "of another form"),
    }  # fmt: skip


def test_a_file_without_its_key_would_be_held(small: SmallExchange) -> None:
    told = diff(small, STUDENTS.replace("StudentNo", "Pupil"), status=5)
    assert told["held"] == "layout"
    assert {each["column"] for each in told["changes"]} == {"StudentNo", "Pupil"}


def test_a_file_as_declared_differs_in_nothing(small: SmallExchange) -> None:
    assert diff(small, STUDENTS) == {"changes": [], "held": None}


PUPILS = [{"No": "004211", "Name": {"Last": "Osei"}, "Born": "2013-04-02"},
          {"No": "004212", "Name": {"Last": "Ruiz"}, "Born": "2015-11-19"}]  # fmt: skip
WHOLE = {
    "json": json.dumps(PUPILS),
    "json_lines": "".join(json.dumps(each) + "\n" for each in PUPILS),
    "xml": "<R>" + "".join(f"<P><No>{p['No']}</No><Name><Last>{p['Name']['Last']}</Last></Name>"  # type: ignore[index]
                           f"<Born>{p['Born']}</Born></P>" for p in PUPILS) + "</R>",
}  # fmt: skip
RECORDS = {"json": ", records: [/]", "json_lines": "", "xml": ", records: [/R/P]"}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_path_that_is_new_or_gone_in_xml_and_json_is_told(small: SmallExchange, kind: str) -> None:
    folder = small.home.agencies / "hillside_schools"
    (folder / "students.yaml").write_text(
        f"feed: students\ntitle: Pupils\nsource: drop\narrives: {{files: 'students_{{as_of:%Y%m%d}}.csv'}}\n"
        f"format: {{kind: {kind}{RECORDS[kind]}}}\nholds: full\nkey: [number]\nelements:\n"
        "  number: {column: No, identifier: {}, required: true}\n  surname: {column: Name/Last, name: {}}\n"
        "  born: {column: Born, date: {}}\n"
    )
    assert diff(small, WHOLE[kind]) == {"changes": [], "held": None}
    told = diff(
        small, WHOLE[kind].replace("Last", "Family").replace("2013-04-02", "2/4/13").replace("2015-11", "15-Nov")
    )
    changes = {(each["column"], each["is_"].split(":")[0]) for each in told["changes"]}
    assert changes == {("Name/Family", "new"), ("Name/Last", "missing"), ("Born", "of another form")}


def test_a_workbook_differs_by_its_header(small: SmallExchange) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    feed = small.home.agencies / "hillside_schools" / "students.yaml"
    told = yaml.safe_load(feed.read_text("utf-8")) | {"format": {"kind": "excel"}}
    feed.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    book = openpyxl.Workbook()
    for line in STUDENTS.replace("Homeroom", "Advisor").splitlines():
        book.active.append(line.split(","))
    path = small.drop.parent / "students_20261005.csv"
    book.save(path)
    found = kith(small, "agency", "diff", "hillside_schools", "students", str(path))
    assert {(each["column"], each["is_"].split(":")[0]) for each in found["changes"]} == {
        ("Homeroom", "missing"), ("Advisor", "new"),
    }  # fmt: skip


def test_a_workbook_of_several_sheets_is_told_to_be_held_and_why(small: SmallExchange) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    feed = small.home.agencies / "hillside_schools" / "students.yaml"
    told = yaml.safe_load(feed.read_text("utf-8")) | {"format": {"kind": "excel"}}
    feed.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    book = openpyxl.Workbook()
    book.create_sheet("Notes")
    path = small.drop.parent / "students_20261005.csv"
    book.save(path)
    found = kith(small, "agency", "diff", "hillside_schools", "students", str(path), status=5)
    assert found["held"] == "layout"
    assert "the workbook has 2 sheets" in found["changes"][0]["is_"]


def test_a_drafted_agency_passes_its_check_and_names_what_is_not_decided(small: SmallExchange) -> None:
    sample = small.drop.parent / "pupils_20260907.csv"
    sample.write_text(STUDENTS, "utf-8")
    new = ("agency", "new", "maple_schools", "--sample", str(sample), "--sector", "education")
    assert kith(small, *new)["undecided"] == {"pupils": ["Homeroom"]}
    assert kith(small, "agency", "check", "maple_schools")["undecided"] == {"pupils": ["Homeroom"]}
    tried = kith(small, "agency", "try", "maple_schools", "pupils", str(sample))
    assert (tried["received"], tried["held"]) == (4, None)
