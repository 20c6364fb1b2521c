"""The register of disclosures: what went out about a child is found again, under whatever id the child was known."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest
from record_rows import new_home

from governance.disclosures import (
    DisclosureHead,
    check_disclosures,
    disclosed_tables,
    disclosures_of,
    recipients_of,
    record_disclosures,
    recorded,
)
from governance.former_ids import ids_of
from standard.errors import AuditError, DeclarationError
from store.audit_check import read_entries
from store.home import Home
from store.ledger import Ledger, person_event

Register = tuple[Home, Ledger]


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return new_home(tmp_path / "home")


def release(home: Home, name: str, *persons: str, day: str = "2026-03-30", to: str = "university") -> None:
    head = DisclosureHead(name, to, "research", f"DUL-{to}", "study", "s1", date.fromisoformat(day), ("FERPA",))
    rows = ", ".join(f"('{person}')" for person in persons)
    with duckdb.connect() as con:
        parts = [("enrollment", ["school_id", "grade"], f"SELECT * FROM (VALUES {rows}) t(person_id)"),
                 ("case", ["case_no"], f"SELECT '{persons[0]}' AS person_id UNION ALL SELECT NULL")]  # fmt: skip
        record_disclosures(home, head, con, parts, actor="r_ode")


def happened(ledger: Ledger, *events: tuple[str, str, str, str]) -> None:
    with ledger.writing() as connection:
        for person_id, kind, other_id, day in events:
            row = {"person_id": person_id, "kind": kind, "other_id": other_id, "at": f"{day}T06:00:00+00:00"}
            connection.execute(person_event.insert().values(**row, snapshot_id="s1", cause="test"))


def found(register: Register, person: str) -> list[tuple[str, str]]:
    rows = disclosures_of(*register, [person]).to_pylist()
    return sorted({(row["release_id"], row["person_id"]) for row in rows})


def test_what_went_out_about_a_child_is_told_table_by_table(register: Register) -> None:
    release(register[0], "r1", "ANA", "BEN")
    rows = disclosures_of(*register, ["ANA"]).to_pylist()
    assert [(row["table_name"], row["columns"]) for row in rows] == [
        ("case", "case_no"), ("enrollment", "school_id grade")
    ]  # fmt: skip
    told = {name: rows[0][name] for name in ("recipient", "purpose", "agreement", "on", "notice", "snapshot_id")}
    assert told == {"recipient": "university", "purpose": "research", "agreement": "DUL-university",
                    "on": date(2026, 3, 30), "notice": "FERPA", "snapshot_id": "s1"}  # fmt: skip


def test_of_a_child_about_whom_nothing_went_out_nothing_is_found(register: Register) -> None:
    assert disclosures_of(*register, ["ANA"]).num_rows == 0
    release(register[0], "r1", "BEN")
    assert disclosures_of(*register, ["ANA"]).num_rows == 0


def test_a_child_whose_id_was_merged_is_found_under_either(register: Register) -> None:
    release(register[0], "r1", "ANA", day="2026-01-10")
    release(register[0], "r2", "ANNE", day="2026-01-10")
    happened(register[1], ("ANNE", "merged_into", "ANA", "2026-02-01"))
    release(register[0], "r3", "ANA", day="2026-03-01")
    assert found(register, "ANA") == found(register, "ANNE") == [("r1", "ANA"), ("r2", "ANNE"), ("r3", "ANA")]


def test_a_child_split_off_has_what_went_out_before_and_not_what_went_out_of_the_other_after(
    register: Register,
) -> None:
    release(register[0], "r1", "TWIN", day="2026-01-10")
    happened(register[1], ("OTHER", "split_from", "TWIN", "2026-02-01"))
    release(register[0], "r2", "TWIN", "OTHER", day="2026-03-01")
    assert found(register, "OTHER") == [("r1", "TWIN"), ("r2", "OTHER")]
    assert found(register, "TWIN") == [("r1", "TWIN"), ("r2", "TWIN")]


def test_a_merge_that_came_apart_binds_no_longer(register: Register) -> None:
    happened(register[1], ("BEN", "merged_into", "ANA", "2026-01-01"), ("BEN", "restored", "ANA", "2026-02-01"))
    release(register[0], "r1", "ANA", day="2026-01-15")
    release(register[0], "r2", "ANA", "BEN", day="2026-03-01")
    assert found(register, "BEN") == [("r1", "ANA"), ("r2", "BEN")]
    assert found(register, "ANA") == [("r1", "ANA"), ("r2", "ANA")]


def test_ids_are_followed_over_several_steps_and_the_earliest_day_counts(register: Register) -> None:
    happened(
        register[1], ("A", "merged_into", "B", "2026-01-01"), ("B", "merged_into", "C", "2026-01-05"),
        ("D", "split_from", "C", "2026-02-01"), ("D", "merged_into", "E", "2026-03-01"),
    )  # fmt: skip
    told = {row["person_id"]: row["until"] for row in ids_of(register[1], ["E"]).to_pylist()}
    assert told == {"E": "9999-12-31", "D": "9999-12-31", "C": "2026-02-01", "B": "2026-02-01", "A": "2026-02-01"}


def test_recipients_are_told_for_many_children_at_once(register: Register) -> None:
    many = [f"P{n}" for n in range(150)]
    release(register[0], "r1", *many)
    release(register[0], "r2", "P7", "Q", to="court")
    rows = recipients_of(*register, many).to_pylist()
    assert len(rows) == 151
    assert {row["recipient"] for row in rows if row["asked"] == "P7"} == {"university", "court"}


def test_an_agreement_is_told_with_how_many_persons_went_out(register: Register) -> None:
    release(register[0], "r1", "ANA", "BEN")
    release(register[0], "r2", "ANA", to="court")
    rows = disclosed_tables(register[0], agreement="DUL-university").to_pylist()
    assert [(r["release_id"], r["table_name"], r["persons"]) for r in rows] == [
        ("r1", "case", 1),
        ("r1", "enrollment", 2),
    ]
    assert [each.head.release_id for each in recorded(register[0], recipient="court")] == ["r2"]


def test_a_release_without_anybody_is_on_record_too(register: Register) -> None:
    head = DisclosureHead("r0", "court", "research", "DUL-1", "study", "s1", date(2026, 3, 30))
    with duckdb.connect() as con:
        record_disclosures(register[0], head, con, [])
    assert [(each.head, each.rows) for each in recorded(register[0])] == [(head, 0)]
    assert disclosed_tables(register[0])["release_id"].to_pylist() == ["r0"]


def test_what_is_on_record_is_never_written_again(register: Register) -> None:
    release(register[0], "r1", "ANA")
    with pytest.raises(AuditError, match="on record already"):
        release(register[0], "r1", "BEN")
    with pytest.raises(DeclarationError, match="is a name of letters"):
        release(register[0], "../r2", "BEN")


def test_a_file_is_private_and_the_log_tells_of_it(register: Register) -> None:
    release(register[0], "r1", "ANA", "BEN")
    path = register[0].disclosures / "r1.parquet"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    told = list(read_entries(register[0]))[-1].event
    assert (told.action, told.object, told.agreement, dict(told.counts)) == (
        "disclosure", "r1", "DUL-university", {"persons": 2, "rows": 3},
    )  # fmt: skip
    assert check_disclosures(register[0], read_entries(register[0])) == []


def test_a_file_that_is_gone_altered_or_slipped_in_is_found(register: Register) -> None:
    home = register[0]
    for name in ("r1", "r2", "r3"):
        release(home, name, "ANA")
    (home.disclosures / "r1.parquet").unlink()
    (home.disclosures / "r2.parquet").write_bytes((home.disclosures / "r3.parquet").read_bytes())
    (home.disclosures / "r4.parquet").write_bytes((home.disclosures / "r3.parquet").read_bytes())
    faults = check_disclosures(home, read_entries(home))
    assert [fault.code for fault in faults] == ["missing", "altered", "untold"]
    assert "r1" in faults[0].what
    assert [Path(fault.where).stem for fault in faults[1:]] == ["r2", "r4"]


def test_where_the_log_cannot_tell_of_it_nothing_is_on_record(register: Register) -> None:
    home = register[0]
    release(home, "r1", "ANA")
    (home.keys / "audit_key").rename(home.keys / "away")
    with pytest.raises(AuditError, match="the key of the audit log is not there"):
        release(home, "r2", "ANA")
    assert [path.name for path in home.disclosures.iterdir()] == ["r1.parquet"]
