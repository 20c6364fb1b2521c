"""An id of the record can be looked up as of a day or snapshot, and leads to who it is now."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from record import open_record, person_as_of
from record.persons import rows_of_persons
from record.publish import publish
from standard.errors import PublishError
from store import ledger as tables
from store.home import Home
from store.ledger import Ledger
from tests.record_rows import (
    ANA,
    ANA_CLIENT,
    ANA_COURT,
    ANA_MOTHER,
    BEN,
    BEN_CLIENT,
    BEN_COURT,
    PERSONS,
    inputs_of,
    new_home,
)

MERGED = {ref: "ANA" if person == "BEN" else person for ref, person in PERSONS.items()}


def told(path: Path, *events: tuple[str, str, str | None, str]) -> Path:
    names = ("person_id", "kind", "other_id", "cause")
    pq.write_table(pa.Table.from_pylist([dict(zip(names, event, strict=True)) for event in events]), path)
    return path


@pytest.fixture
def county(tmp_path: Path) -> tuple[Home, Ledger, str, str]:
    """Ana, Ben and a mother; in the second snapshot, of a month later, Ben is merged into Ana."""
    home, ledger = new_home(tmp_path / "home")
    minted = told(tmp_path / "1.parquet", *((p, "minted", None, "new_evidence") for p in ("ANA", "BEN", "MOM")))
    one = publish(home, ledger, replace(inputs_of(tmp_path / "a"), person_events=minted), run_id="run-1", fence=1)
    merged = told(tmp_path / "2.parquet", ("BEN", "merged_into", "ANA", "judgement"))
    inputs = replace(inputs_of(tmp_path / "b", persons=MERGED), person_events=merged)
    two = publish(home, ledger, inputs, run_id="run-1", fence=1)
    with ledger.writing() as connection:
        for snapshot, day in ((one, "2026-03-01"), (two, "2026-04-01")):
            s = tables.snapshot
            connection.execute(
                s.update().where(s.c.snapshot_id == snapshot.snapshot_id).values(published_at=f"{day}T06:00:00.000")
            )
    return home, ledger, one.snapshot_id, two.snapshot_id


def test_an_id_that_was_merged_leads_to_the_person_it_is_now(county: tuple[Home, Ledger, str, str]) -> None:
    home, ledger, _, newest = county
    found = person_as_of(home, ledger, "BEN")
    assert (found.snapshot_id, found.called, found.now) == (newest, ("ANA",), ("ANA",))
    assert {BEN, ANA} <= set(found.mentions)
    assert [(e.kind, e.other_id, e.cause) for e in found.events] == [
        ("minted", None, "new_evidence"), ("merged_into", "ANA", "judgement"),
    ]  # fmt: skip


def test_a_person_is_shown_as_it_was_on_a_day_or_in_a_snapshot(county: tuple[Home, Ledger, str, str]) -> None:
    home, ledger, first, _ = county
    on_the_day = person_as_of(home, ledger, "BEN", date(2026, 3, 20))
    assert on_the_day == person_as_of(home, ledger, "BEN", first)
    assert (on_the_day.called, on_the_day.mentions) == (("BEN",), tuple(sorted((BEN, BEN_COURT, BEN_CLIENT))))
    assert on_the_day.now == ("ANA",)
    assert person_as_of(home, ledger, "ANA", first).mentions == tuple(
        sorted((ANA, ANA_COURT, ANA_CLIENT, "care/NCANDS.CHID/n1"))
    )


def test_what_was_unknown_or_unpublished_then_is_an_error(county: tuple[Home, Ledger, str, str]) -> None:
    home, ledger, *_ = county
    with pytest.raises(PublishError, match="ever had this id"):
        person_as_of(home, ledger, "NOBODY")
    with pytest.raises(PublishError, match="nothing was published by 2026-02-28"):
        person_as_of(home, ledger, "ANA", date(2026, 2, 28))
    with pytest.raises(PublishError, match="no snapshot nine"):
        person_as_of(home, ledger, "ANA", "nine")


def test_the_rows_in_which_persons_have_a_part_are_counted_by_table(county: tuple[Home, Ledger, str, str]) -> None:
    home, *_ = county
    rows = rows_of_persons(open_record(home), ["MOM"])
    assert rows == {"case_participant": 1, "person": 1, "person_source": 1, "relationship": 1} | {
        "timeline": rows["timeline"]
    }
    assert ANA_MOTHER not in str(rows)
