"""A small invented county for the tests of the record: rows in force, persons and a ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from record.publish import Inputs
from record.withhold import REFERENCE_SCHEMA
from standard.schema import entities
from store import ledger as tables
from store.home import Home
from store.ledger import Ledger, now, open_ledger

Row = dict[str, Any]
AS_OF = date(2026, 3, 30)
NONE_RESTRICTED = pa.table([[], []], schema=REFERENCE_SCHEMA)

ANA, BEN = "school/students/01", "school/students/02"
ANA_COURT, BEN_COURT, ANA_MOTHER = "court/party/P1", "court/party/P2", "court/party/P3"
ANA_CLIENT, BEN_CLIENT, ANA_FEDERAL = "care/CLIENT_T/c1", "care/CLIENT_T/c2", "care/NCANDS.CHID/n1"
CASE, OTHER_CASE, REPORT = "court/case_hdr/C1", "court/case_hdr/C2", "care/REFERL_T/r1"

COUNTY: dict[str, list[Row]] = {
    "person": [
        {"person_ref": ANA}, {"person_ref": BEN},
        {"person_ref": ANA_COURT}, {"person_ref": BEN_COURT}, {"person_ref": ANA_MOTHER},
        {"person_ref": ANA_CLIENT, "same_as": ANA_FEDERAL}, {"person_ref": BEN_CLIENT},
    ],
    "person_name": [
        {"person_ref": ANA, "given": "Ana", "surname": "Ode"}, {"person_ref": BEN, "given": "Ben", "surname": "Ulm"},
        {"person_ref": ANA_COURT, "given": "ANA", "surname": "ODE"},
        {"person_ref": ANA_CLIENT, "given": "Ana", "surname": "Ode"},
        {"person_ref": BEN_CLIENT, "given": "Ben", "surname": "Ulm"},
    ],
    "address": [{"person_ref": ANA, "line1": "1 Elm St"}, {"person_ref": BEN, "line1": "2 Oak St"}],
    "relationship": [{"person_ref": ANA_COURT, "related_ref": ANA_MOTHER, "restriction": "no contact at 9 Ash Rd"}],
    "enrollment": [
        {"person_ref": ANA, "school_id": "7", "entry_date": date(2025, 9, 1)},
        {"person_ref": BEN, "school_id": "7", "entry_date": date(2025, 9, 2)},
    ],
    "case": [{"case_ref": CASE, "case_no": "JD1"}, {"case_ref": OTHER_CASE, "case_no": "JD2"}],
    "case_participant": [
        {"case_ref": CASE, "person_ref": ANA_COURT, "role": "youth"},
        {"case_ref": CASE, "person_ref": ANA_MOTHER, "role": "mother"},
        {"case_ref": OTHER_CASE, "person_ref": ANA_COURT, "role": "youth"},
        {"case_ref": OTHER_CASE, "person_ref": BEN_COURT, "role": "defendant"},
    ],
    "charge": [{"case_ref": CASE, "charge_ref": "court/charge/1", "person_ref": ANA_COURT, "nibrs": "13B",
                "offense_on": date(2025, 5, 5)}],
    "disposition": [{"case_ref": CASE, "charge_ref": "court/charge/1", "ordered_on": date(2025, 8, 1)}],
    "court_event": [{"case_ref": OTHER_CASE, "hearing": "disposition", "scheduled_on": date(2026, 1, 9)}],
    "cw_report": [{"report_ref": REPORT, "received_on": date(2025, 3, 3)}],
    "report_participant": [
        {"report_ref": REPORT, "person_ref": ANA_CLIENT, "role": "alleged_victim"},
        {"report_ref": REPORT, "person_ref": BEN_CLIENT, "role": "alleged_perpetrator"},
    ],
    "allegation": [{"report_ref": REPORT, "person_ref": ANA_CLIENT, "perpetrator_ref": BEN_CLIENT,
                    "received_on": date(2025, 3, 3)}],
}  # fmt: skip
PERSONS = {
    ANA: "ANA", ANA_COURT: "ANA", ANA_CLIENT: "ANA", BEN: "BEN", BEN_COURT: "BEN", BEN_CLIENT: "BEN",
    ANA_MOTHER: "MOM",
}  # fmt: skip


def write_entities(folder: Path, rows: Mapping[str, Sequence[Row]]) -> dict[str, Path]:
    """One Parquet per entity, with the provenance columns that a projection gives each row."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, entity in entities().items():
        schema = entity.arrow_schema()
        filled = [_with_provenance(name, number, row) for number, row in enumerate(rows.get(name, []), start=1)]
        paths[name] = folder / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(filled, schema=schema), paths[name])
    return paths


def _with_provenance(name: str, number: int, row: Row) -> Row:
    agency, feed, key = next(str(v) for k, v in row.items() if k.endswith("_ref")).split("/", 2)
    row_id = hashlib.sha256(repr((name, sorted(row.items(), key=str))).encode()).hexdigest()[:16]
    given = {"agency_id": agency, "feed": feed, "source_key": key, "row_id": row_id, "extract_id": f"x-{agency}"}
    return {**given, "record": number, "line": number + 1, "as_of": AS_OF, **row}


def write_persons(path: Path, persons: Mapping[str, str], *, weight: float = 9.5) -> Path:
    """The result of a linkage: record_id -> person_id."""
    columns = {
        "record_id": list(persons), "person_id": list(persons.values()),
        "weight": [weight] * len(persons), "how": ["scored"] * len(persons),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


def new_home(root: Path) -> tuple[Home, Ledger]:
    """An empty home with its ledger and one run that holds fence 1."""
    home = Home(root).create()
    ledger = open_ledger(home.ledger_file)
    begin_run(ledger, "run-1", 1)
    return home, ledger


def begin_run(ledger: Ledger, run_id: str, fence: int) -> None:
    with ledger.writing() as connection:
        row = {"run_id": run_id, "started_at": now(), "state": "running", "pid": 1, "host": "here", "fence": fence}
        connection.execute(tables.run.insert().values(**row))


def add_order(ledger: Ledger, ref: str, reason: str = "sealed", *, arrived: bool = True) -> None:
    with ledger.writing() as connection:
        row = {"ref": ref, "reason": reason, "since_extract": "x", "arrived": arrived, "recorded_at": now()}
        connection.execute(tables.order_.insert().values(**row))


def inputs_of(
    folder: Path,
    rows: Mapping[str, Sequence[Row]] = COUNTY,
    persons: Mapping[str, str] = PERSONS,
    restricted: pa.Table = NONE_RESTRICTED,
) -> Inputs:
    """What one publishing is given."""
    paths = write_entities(folder, rows)
    linked = write_persons(folder / "persons_linked.parquet", persons)
    return Inputs(paths, linked, restricted, AS_OF, versions={"code": "test"}, quality={"pairs": 3})
