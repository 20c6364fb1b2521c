"""What agencies are told back: only under an agreement of their own in force, and nobody who refuses them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from governed import DAY, END, World, world
from record_rows import ANA, BEN

from governance.consent_records import Grantor, Scope, record_consent, withdraw_consent
from governance.disclosures import DisclosureHead, record_disclosures
from governance.feedback import allowed_back, why_nothing_back
from governance.retractions import note_withdrawals, notices
from governance.rules import Reason
from record.outbound import Feedback, make_feedback, note_told
from standard.sensitivity import Sensitivity
from store.registers import retraction


@pytest.fixture
def made(tmp_path: Path) -> World:
    return world(tmp_path)


def refuse(made: World, person: str, tmp_path: Path) -> None:
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(b"signed")
    scope = Scope(person, ("school",), ("individual_case_planning",), (Sensitivity.EDUCATION,))
    record_consent(
        made.ledger, made.small.load().parties, scope, granted=False, grantor=Grantor.PARENT, authority="",
        document=paper, since=date(2026, 1, 5), until=END, by="school_officer",
    )  # fmt: skip


def feedback(made: World) -> tuple[Feedback, list[tuple[str, str]]]:
    agency = made.small.agencies["school"]
    with allowed_back(made.home, made.ledger, made.small.load(), agency, DAY) as allowed:
        fed = make_feedback(made.home, made.record.snapshot, "school", permit=allowed.permit, tag=allowed.tag)
    [persons] = [path for path in fed.files if "_persons" in path.name]
    rows = duckdb.sql(f"SELECT change, \"table\" || '/' || \"key\" FROM read_csv('{persons}') ORDER BY ALL").fetchall()
    return fed, rows


def test_an_agency_is_told_nothing_without_an_agreement_of_its_own_in_force(made: World) -> None:
    governance, school = made.small.load(), made.small.agencies["school"]
    assert why_nothing_back(governance, school, DAY) is None
    assert why_nothing_back(governance, school, date(2027, 1, 1)) is Reason.NO_AGREEMENT
    made.small.edit("DSA-1", "allowed: true", "allowed: false")
    assert why_nothing_back(made.small.load(), school, DAY) is not None
    made.small.edit("DSA-1", "allowed: false", "allowed: true", signed=False)
    assert why_nothing_back(made.small.load(), school, DAY) is Reason.NO_AGREEMENT


def test_who_refuses_an_agency_is_left_out_and_withdrawn_where_it_was_told_before(made: World, tmp_path: Path) -> None:
    first, rows = feedback(made)
    keys = {ref.partition("/")[2] for ref in (ANA, BEN)}
    assert {key for _, key in rows} == keys
    note_told(made.home, "school", first)
    refuse(made, ANA, tmp_path)
    second, rows = feedback(made)
    assert rows == [("withdrawn", ANA.partition("/")[2])]
    assert second.folder != first.folder  # the same snapshot, told anew


def test_a_withdrawn_consent_owes_a_notice_to_each_recipient_it_named_once(made: World, tmp_path: Path) -> None:
    parties = made.small.load().parties
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(b"signed")
    scope = Scope(ANA, ("university",), ("research",), (Sensitivity.EDUCATION,))
    consent = record_consent(
        made.ledger, parties, scope, granted=True, grantor=Grantor.PARENT, authority="birth certificate",
        document=paper, since=date(2026, 1, 5), until=END, by="school_officer",
    )  # fmt: skip
    for recipient in ("university", "care"):
        head = DisclosureHead(f"r-{recipient}", recipient, "research", "DUL-1", "study", made.record.snapshot_id, DAY)
        with made.record.to_duckdb() as con:
            person = f"SELECT person_id FROM person_source WHERE person_ref = '{ANA}'"
            record_disclosures(made.home, head, con, [("enrollment", ("person_id",), person)])
    assert note_withdrawals(made.home, made.ledger, parties, today=DAY) == 0
    withdrawal = withdraw_consent(made.ledger, parties, consent, on=DAY, by="school_officer")
    assert note_withdrawals(made.home, made.ledger, parties, today=DAY) == 1
    assert note_withdrawals(made.home, made.ledger, parties, today=DAY) == 0
    [notice] = notices(made.ledger, today=DAY)
    assert (notice["recipient"], notice["releases"], notice["of"]) == ("university", "r-university", withdrawal)
    with made.ledger.reading() as connection:
        assert len(connection.execute(sa.select(retraction)).all()) == 1
