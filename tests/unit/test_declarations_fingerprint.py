"""What counts as another declaration of a feed, so that rows mapped by the old one are told of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from expectations.fingerprint import fingerprint_of
from mappings.load import load_agency
from tests.exchange import small_exchange


def fingerprint(folder: Path) -> str:
    agency = load_agency(folder)
    return fingerprint_of(agency, agency.feeds["students"])


def edited(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text("utf-8")
        assert change(text) != text
        (folder / name).write_text(change(text), "utf-8")

    return edit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_exchange(tmp_path).home.agencies / "hillside_schools"


@pytest.mark.parametrize(
    "edit",
    [
        edited("crosswalks/sex.csv", lambda text: text + "7,U,exact\n"),
        edited("students.yaml", lambda text: text + "error_limit: 0.3\n"),
    ],
    ids=["a line in a crosswalk", "another limit"],
)
def test_what_decides_where_a_row_goes_is_another_declaration(folder: Path, edit: Callable[[Path], None]) -> None:
    before = fingerprint(folder)
    edit(folder)
    assert fingerprint(folder) != before


@pytest.mark.parametrize(
    "edit",
    [
        edited("students.yaml", lambda text: "# a remark\n" + text),
        edited("agency.yaml", lambda text: text.replace("name: ", "name: The ")),
        edited("students.yaml", lambda text: text + "error_limit: 0.2\nmax_withdrawn: 0.2\n"),
    ],
    ids=["a comment", "the agency's name", "a default"],
)
def test_what_decides_nothing_is_none(folder: Path, edit: Callable[[Path], None]) -> None:
    before = fingerprint(folder)
    edit(folder)
    assert fingerprint(folder) == before
