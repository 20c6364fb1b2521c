"""From a value of the record back to the agency's file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from record_rows import ANA_MOTHER, inputs_of, new_home

from record.publish import publish
from record.reader import Record, open_record
from record.trace import trace_back
from standard.errors import PublishError
from store import ledger as tables
from store.ledger import Ledger, now


@pytest.fixture
def published(tmp_path: Path) -> tuple[Record, Ledger]:
    home, ledger = new_home(tmp_path / "home")
    extract = {
        "extract_id": "x-school", "agency": "school", "feed": "students", "name": "students_20260330.csv",
        "sha256": "0", "size": 1, "received_at": now(), "as_of": "2026-03-30", "seq": 1, "holds": "full",
        "status": "landed", "run_id": "run-1",
    }  # fmt: skip
    with ledger.writing() as connection:
        connection.execute(tables.extract.insert().values(**extract))
    publish(home, ledger, inputs_of(tmp_path / "in"), run_id="run-1", fence=1)
    return open_record(home), ledger


def test_a_row_is_followed_to_its_file_and_line(published: tuple[Record, Ledger]) -> None:
    record, ledger = published
    row = record.table("enrollment").to_arrow().to_pylist()[1]
    (origin,) = trace_back(record, ledger, row_id=row["row_id"])
    assert (origin.agency, origin.name, origin.record, origin.line) == ("school", "students_20260330.csv", 2, 3)
    assert (origin.table, origin.source_key) == ("enrollment", "02")


def test_a_person_is_followed_to_every_row_of_every_agency(published: tuple[Record, Ledger]) -> None:
    record, ledger = published
    origins = trace_back(record, ledger, person_id="ANA")
    assert {origin.agency for origin in origins} == {"school", "court", "care"}
    assert {origin.table for origin in origins} >= {"person_name", "enrollment", "charge", "allegation"}


def test_a_person_known_only_as_somebody_s_relative_is_followed_too(published: tuple[Record, Ledger]) -> None:
    record, ledger = published
    sources = record.table("person_source").to_pandas().set_index("person_ref")
    tables_of_mother = {o.table for o in trace_back(record, ledger, person_id=sources.loc[ANA_MOTHER, "person_id"])}
    assert tables_of_mother == {"relationship", "case_participant"}


def test_an_unknown_id_is_told(published: tuple[Record, Ledger]) -> None:
    with pytest.raises(PublishError, match="no row of the record"):
        trace_back(*published, person_id="nobody")
    with pytest.raises(PublishError, match="either a person or a row"):
        trace_back(*published)
