"""How a file differs in its layout is told in the agency's own columns, and what becomes of it; drafts are noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
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


def test_a_drafted_agency_passes_its_check_and_names_what_is_not_decided(small: SmallExchange) -> None:
    sample = small.drop.parent / "pupils_20260907.csv"
    sample.write_text(STUDENTS, "utf-8")
    new = ("agency", "new", "maple_schools", "--sample", str(sample), "--sector", "education")
    assert kith(small, *new)["undecided"] == {"pupils": ["Homeroom"]}
    assert kith(small, "agency", "check", "maple_schools")["undecided"] == {"pupils": ["Homeroom"]}
    tried = kith(small, "agency", "try", "maple_schools", "pupils", str(sample))
    assert (tried["received"], tried["held"]) == (4, None)
