"""The template for an Ed-Fi ODS, read from a real PostgreSQL whose tables have the names and types of the standard."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.sources import Source
from connectors.wanted import TableWanted
from flows.fetching import wanted_of
from mappings.load import load_agency
from mappings.map_extract import map_extract
from store.extracts import Extract, Status
from tests.integration.conftest import Court
from tests.mapping_cases import mapped_rows

TEMPLATE = Path(__file__).parents[2] / "mappings" / "templates" / "edfi_ods"
TABLES = Path(__file__).with_name("edfi_ods.sql")


@pytest.fixture
def ods(postgresql: Court) -> Court:
    postgresql.run(TABLES.read_text(encoding="utf-8"), (TEMPLATE / "views.sql").read_text(encoding="utf-8"))
    postgresql.source = Source.model_validate({"database": {"url": "secret:court_url", "schema": "kith"}})
    return postgresql


def _rows(ods: Court, folder: Path, name: str, **changed: Any) -> list[dict[str, Any]]:
    agency = load_agency(TEMPLATE)
    feed = agency.feeds[name]
    wanted = wanted_of(feed)
    assert isinstance(wanted, TableWanted)
    arrival = ods.fetch(replace(wanted, **changed))
    extract = Extract(
        "X1", agency.agency, name, arrival.name, arrival.sha256, arrival.size, dt.datetime(2026, 3, 23), arrival.as_of,
        1,        feed.holds, Status.LANDED, arrival.path,
    )  # fmt: skip
    got = mapped_rows(map_extract(extract, agency, feed, into=folder / f"{name}{len(changed)}"))
    assert (got.batch.hold, got.found) == (None, [])
    return got.rows


WANTED = {
    "student": {"student_id": "0091", "sex": "F", "birth_date": dt.date(2010, 1, 2), "surname": "Ode"},
    "enrollment": {"student_id": "0091", "school_id": "255901001", "grade": "Ninth grade", "school_year": "2026"},
    "attendance": {"status": "absent_unexcused", "date": dt.date(2026, 1, 12), "session": "Spring"},
    "behavior": {"incident_no": "17", "behavior": "other", "police_told": True, "police_incident": "P-9"},
    "action": {"incident_no": "17", "action": "suspension_out_of_school", "days": 3, "date": dt.date(2026, 1, 13)},
    "contact": {"contact_id": "C7", "sex": "F", "given": "Cleo"},
    "contact_link": {"contact_id": "C7", "type": "grandparent", "guardian": True, "lives_with": None},
}


def test_every_view_of_an_ods_is_read_in_common_terms(ods: Court, tmp_path: Path) -> None:
    for name, wanted in WANTED.items():
        first = _rows(ods, tmp_path, name)[0]
        assert {column: first[column] for column in wanted} == wanted, name


def test_an_incident_that_changed_brings_the_student_s_part_again(ods: Court, tmp_path: Path) -> None:
    ods.run("UPDATE edfi.disciplineincident SET incidentdate = '2026-01-15', lastmodifieddate = '2026-03-09'")
    rows = _rows(ods, tmp_path, "behavior", since="2026-03-05 00:00:00")
    assert [row["date"] for row in rows] == [dt.date(2026, 1, 15)]
