"""What is declared wrongly in the catalogue is refused with file and line, before anybody asks it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from releases.measures.check import check_catalogue
from releases.measures.declarations import CATALOGUE, Catalogue, catalogue
from standard.errors import DeclarationError


def changed(folder: Path, old: str, new: str, name: str = "reentry_cfsr2.yaml") -> Catalogue:
    """The catalogue with one measure, of which a text was changed."""
    folder.mkdir(exist_ok=True)
    for each in ("_events.yaml", "reentry_cfsr2.yaml"):
        shutil.copyfile(CATALOGUE / each, folder / each)
    text = (folder / name).read_text("utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), "utf-8")
    return Catalogue(folder)


def test_every_measure_can_be_asked_by_each_of_its_dimensions() -> None:
    check_catalogue(catalogue())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("unit: exits from care", "unit: exits from care\nwhy: because", "why: this key is not known"),
        ("outcome: {event: removal}", "outcome: {event: removal, same_as: [x]}", "same_as"),
        ("window: {from: 1, to: 365}", "window: {from: 365, to: 1}", "from is not later than to"),
        ("window: {from: 1, to: 365}", "window: {from: one, to: 365}", "valid integer"),
        ("window: {from: 1, to: 365}", "", "a measure of kind follows has"),
        ("kind: follows", "kind: counts", "kind"),
        ("by: [agency,", "by: [county,", "no dimension is called county"),
        ("source: 71 FR", "origin: 71 FR", "origin"),
        ("event: removal_end", "event: homecoming", "no event is called homecoming"),
        ("measure: reentry_cfsr2", "measure: reentry", "not the file's name"),
    ],
)
def test_what_is_declared_wrongly_is_refused_with_file_and_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as refused:
        changed(tmp_path, old, new)
    assert said in str(refused.value)
    assert "reentry_cfsr2.yaml, line " in str(refused.value)


def test_an_event_that_keeps_different_names_is_refused(tmp_path: Path) -> None:
    rows = "    rows:\n      - {table: removal, on: ended_on, keeps: {end_reason: end_reason, entered_on: removed_on}}"
    with pytest.raises(DeclarationError, match="all rows of an event keep the same names"):
        changed(tmp_path, rows, rows + "\n      - {table: placement, on: ended_on}", "_events.yaml")


@pytest.mark.parametrize(
    ("old", "new", "said", "name"),
    [
        ("end_reason = 'reunified'", "reason = 'reunified'", "its SQL cannot be used", "reentry_cfsr2.yaml"),
        ("end_reason = 'reunified'", "end_reason = ", "its SQL cannot be used", "reentry_cfsr2.yaml"),
        ("table: removal, on: ended_on", "table: removal, on: left_on", "no column removal.left_on", "_events.yaml"),
        ("table: removal, on: ended_on", "table: removals, on: ended_on", "no column removals.", "_events.yaml"),
    ],
)
def test_what_the_record_does_not_have_is_found_before_it_is_asked(
    old: str, new: str, said: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError) as refused:
        check_catalogue(changed(tmp_path, old, new, name))
    assert said in str(refused.value) and "reentry_cfsr2.yaml" in str(refused.value)
