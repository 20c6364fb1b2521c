"""What always holds of linkage: order does not matter, a second run changes nothing, vetoed pairs share no person."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkage.identity import EventKind
from linkage.link import Links
from tests.linkage_tables import linked, person, person_ids

GIVEN = ["Mia", "Maya", "Robert", "Bob", "Jayden", "Jaylen", "B", "", "UNKNOWN"]
SURNAME = ["Orr", "Orr-Quist", "Quist", "Quist Jr", "Brankovic", "Branković"]
BORN = ["2012-03-04", "2012-04-03", "2012-03-05", "1984-03-04", "1900-01-01", ""]
HOMES = ["12 Alder St", "12 ALDER STREET APT 3", "9 Fern Ct", None]
SSNS = ["521457731", "521457732", "999999999", None]
QUICK = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def people(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for number in range(draw(st.integers(2, 14))):
        agency = draw(st.sampled_from(["school", "court", "police"]))
        rows.append(
            person(
                f"{agency}/{number}",
                born=draw(st.sampled_from(BORN)),
                given=draw(st.sampled_from(GIVEN)) or None,
                surname=draw(st.sampled_from(SURNAME)),
                home=draw(st.sampled_from(HOMES)),
                ssn=draw(st.sampled_from(SSNS)),
                sex=draw(st.sampled_from(["F", "M", None])),
                same_as=draw(st.sampled_from([f"{agency}/MNI/1", None, None, None])),
            )
        )
    return rows


def kinds_of_events(links: Links) -> set[str]:
    return set(pq.read_table(links.into / "events.parquet")["kind"].to_pylist())


@given(rows=people(), seed=st.integers(0, 9))
@QUICK
def test_order_of_rows_does_not_matter_and_running_again_changes_nothing(rows: list[dict[str, Any]], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        once = linked(rows, Path(folder) / "once")
        other_order = random.Random(seed).sample(rows, len(rows))
        again = linked(other_order, Path(folder) / "again", known=once.into / "persons.parquet")
        fresh = linked(other_order, Path(folder) / "fresh")
        assert person_ids(once) == person_ids(again) == person_ids(fresh)
        assert kinds_of_events(again) == set()
        assert kinds_of_events(once) == {EventKind.MINTED}


@given(rows=people())
@QUICK
def test_every_record_has_one_person_and_no_vetoed_pair_shares_one(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        links = linked(rows, Path(folder))
        ids = person_ids(links)
        assert set(ids) == {row["record_id"] for row in rows}
        vetoed = duckdb.read_parquet(str(links.into / "edges.parquet")).filter("veto IS NOT NULL")
        for left, right in vetoed.project("record_l, record_r").fetchall():
            assert ids[left] != ids[right]
