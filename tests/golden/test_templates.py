"""The templates for systems of the field, proved on samples that others wrote: read here by other means, compared."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from pathlib import Path

import pytest

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
