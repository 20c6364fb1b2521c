"""A release in a real PostgreSQL, read as the recipient's role, which tries to see more than it may."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from governed import CLASSES, DAY, END, POLICY, PURPOSES, START, World, world
from record_rows import ANA_CLIENT, BEN_CLIENT

import record.postgres
from demo.governed import EVIDENCE
from governance import draft
from record.postgres import publish_to_postgres
from releases.index import kept_release
from releases.postgres import publish_release
from releases.reader import Release
from releases.release import make_release
from standard.errors import DeclarationError, PublishError
from tests.servers import PostgresServer

AT = datetime(2026, 3, 30, 8, 0, tzinfo=UTC)
CARE = """\
policy: care_plans
recipient: care
purpose: research
agreement: DUL-2
columns: {enrollment: [person_id, school_id, entry_date]}
treatments: {"*.person_id": pseudonym}
rows: {age_bands: [minor], need_to_know: open_case}
"""
LAST = date(2030, 6, 30)
"""Of the agreements: beyond the day of the tests, since the server asks its own clock."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A county in which Ana has a case with child welfare without a known end, and Ben one that has ended by now."""
    cases = [
        {"person_ref": ANA_CLIENT, "role": "client", "status": "open", "opened_on": date(2025, 3, 3)},
        {"person_ref": BEN_CLIENT, "role": "client", "status": "open", "opened_on": date(2025, 3, 3),
         "closed_on": DAY + timedelta(7)},
    ]  # fmt: skip
    of = world(tmp_path_factory.mktemp("world"), {"involvement": cases})
    for name in ("MOU-1", "DSA-1", "DSA-2", "DSA-3", "DUL-1"):
        of.small.edit(name, f"expires: {END}", f"expires: {LAST}")
    of.small.write("DUL-2", draft.use(
        "DUL-2", disclosers=["school"], recipient="care", parent="MOU-1", purposes=PURPOSES, fields=["enrollment.*"],
        sensitivities=CLASSES, need_to_know="open_case", evidence=EVIDENCE, effective=START, expires=LAST,
    ))  # fmt: skip
    return of


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.create(f"release_{uuid.uuid4().hex[:8]}")


_minutes = iter(range(1000))


def give(of: World, url: str, policy: str = POLICY, name: str = "study", *, by_open_case: bool = False) -> Release:
    of.small.policy(policy, name)
    at = AT + timedelta(minutes=next(_minutes))
    given = make_release(of.home, of.ledger, of.small.load(), name, at=at, day=DAY)
    publish_release(given, kept_release(of.home, given.release_id), url, by_open_case=by_open_case)
    return given


@contextmanager
def admin(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@contextmanager
def recipient(url: str, name: str) -> Iterator[psycopg.Connection]:
    """A connection of a user who logs in and was granted just the recipient's role."""
    user = f"analyst_{uuid.uuid4().hex[:8]}"
    with admin(url) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'of the test'")
        connection.execute(f"GRANT release_{name} TO {user}")
    parts = psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))
    asked = psycopg.conninfo.make_conninfo(**{**parts, "user": user, "password": "of the test"})  # type: ignore[arg-type]
    with psycopg.connect(asked, autocommit=True) as connection:
        yield connection


def rows(connection: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def test_a_recipient_reads_its_release_and_what_may_be_done_with_it(made: World, url: str) -> None:
    given = give(made, url)
    with recipient(url, "university") as connection:
        seen = rows(
            connection, "SELECT person_id, school_id, entry_date, agency_id FROM release_university.study_enrollment"
        )
        expected = [tuple(row.values()) for row in given.table("enrollment").to_arrow().to_pylist()]
        assert sorted(seen) == sorted(expected) and len(seen) == 2
        told = rows(connection, "SELECT release_id, agreement, expires, notice FROM release_university.release")
        assert told[0][:3] == (given.release_id, "DUL-1", LAST) and "FERPA-99.33" in told[0][3]


def test_a_recipient_sees_nothing_of_another_or_of_the_record_and_changes_nothing(made: World, url: str) -> None:
    give(made, url)
    give(made, url, CARE, "care_plans", by_open_case=True)
    publish_to_postgres(made.record.snapshot, url)
    with recipient(url, "university") as connection:
        for query in (
            "SELECT * FROM release_care.care_plans_enrollment",
            "SELECT person_id FROM release_care.open_case",
            "SELECT * FROM kith_record.person_source",
            "SET ROLE release_care",
            "UPDATE release_university.release SET expires = '2099-01-01'",
            "INSERT INTO release_university.open_case VALUES ('study', 'x', '2099-01-01')",
            "DELETE FROM release_university.study_enrollment",
            "DROP POLICY seen ON release_university.study_enrollment",
            "ALTER TABLE release_university.study_enrollment DISABLE ROW LEVEL SECURITY",
            "CREATE TABLE release_university.mine (x int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query)
        connection.execute("SET row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows(connection, "SELECT * FROM release_university.study_enrollment")


def test_nobody_sees_a_row_after_the_agreement_has_ended(made: World, url: str) -> None:
    give(made, url)
    query = "SELECT count(*) FROM release_university.study_enrollment"
    with admin(url) as owner, recipient(url, "university") as connection:
        for expires, seen in (("current_date", 2), ("current_date - 1", 0)):
            owner.execute(f"UPDATE release_university.release SET expires = {expires}")
            assert rows(connection, query) == [(seen,)]


def test_an_agency_sees_a_person_only_while_it_has_an_open_case(made: World, url: str) -> None:
    given = give(made, url, CARE, "care_plans", by_open_case=True)
    assert given.table("enrollment").to_arrow().num_rows == 2, "on the day of the release both cases were open"
    with recipient(url, "care") as connection:
        seen = rows(connection, "SELECT person_id FROM release_care.care_plans_enrollment")
        assert rows(connection, "SELECT person_id FROM release_care.open_case") == seen
        for query in ("SELECT * FROM release_care.open_case", 'SELECT max("until") FROM release_care.open_case'):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query)
    with admin(url) as owner:
        known = dict(rows(owner, 'SELECT person_id, "until" FROM release_care.open_case'))
        assert sorted(known.values()) == [DAY + timedelta(6), date(9999, 12, 31)]
        assert [known[person] for (person,) in seen] == [date(9999, 12, 31)]
        owner.execute("UPDATE release_care.release SET expires = current_date - 1")
    with recipient(url, "care") as connection:
        assert rows(connection, "SELECT person_id FROM release_care.open_case") == []


def test_a_release_that_is_not_by_open_case_tells_of_no_case(made: World, url: str) -> None:
    """Days of cases that stand beside pseudonyms would tell the recipient who they are."""
    of_all = CARE.replace("need_to_know: open_case", "need_to_know: open_case, lowest_weight: 0")
    give(made, url, of_all, "care_plans")
    with admin(url) as owner:
        assert rows(owner, "SELECT person_id FROM release_care.open_case") == []


def test_a_table_that_cannot_be_kept_to_open_cases_is_refused(made: World, url: str) -> None:
    with pytest.raises(DeclarationError, match="enrollment cannot be kept to open cases"):
        give(made, url, CARE.replace("person_id, ", ""), "care_plans", by_open_case=True)
    with admin(url) as owner:
        assert rows(owner, "SELECT FROM pg_namespace WHERE nspname LIKE 'release%'") == []


def test_a_new_release_takes_the_place_of_the_one_before_and_readers_never_see_both(
    made: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record.postgres, "_SWAP_WAIT", "200ms")
    monkeypatch.setattr(record.postgres, "_SWAP_PAUSE", 0.1)
    monkeypatch.setattr(record.postgres, "_SWAP_TRIES", 2)
    first = give(made, url)
    query = "SELECT release_id FROM release_university.release"
    with recipient(url, "university") as connection:
        with connection.transaction():
            assert rows(connection, "SELECT count(*) FROM release_university.study_enrollment") == [(2,)]
            with pytest.raises(PublishError, match="do not end"):
                give(made, url)
            assert rows(connection, query) == [(first.release_id,)]
        second = give(made, url, POLICY.replace("  allegation: [person_id, type, received_on]\n", ""))
        assert rows(connection, query) == [(second.release_id,)]
        tables = rows(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'release_university' ORDER BY 1")
    assert tables == [("open_case",), ("release",), ("study_enrollment",)]


def test_a_schema_of_somebody_else_is_left_alone(made: World, url: str) -> None:
    with admin(url) as owner:
        owner.execute("CREATE SCHEMA release_university")
        with pytest.raises(PublishError, match="was not made by the exchange"):
            give(made, url)
        assert rows(owner, "SELECT FROM pg_tables WHERE schemaname = 'release_university'") == []


def test_a_database_that_refuses_is_told_without_its_password(made: World, url: str, tmp_path: Path) -> None:
    wrong = url.replace("@", ":secret-of-the-test@", 1) if ":" not in url.split("@")[0].split("//")[1] else url
    wrong = wrong.rsplit("/", 1)[0] + "/no_such_database"
    with pytest.raises(PublishError, match="PostgreSQL refused the release") as refused:
        give(made, wrong)
    assert "secret-of-the-test" not in str(refused.value) and refused.value.__cause__ is None
