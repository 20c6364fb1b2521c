"""A court's database, real, and the exchange that reads it; shared by the tests of tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from connectors.database import Database
from connectors.doors import open_door
from connectors.sources import Secrets, Source
from connectors.wanted import TableWanted
from store.landing import Arrival, Landing
from tests.servers import PostgresServer

NOW = datetime(2026, 3, 30, 5, tzinfo=UTC)
PARTY = TableWanted("PARTY", key=("PARTY_ID",), watermark="LAST_MOD_TS", census=True, overlap=timedelta(days=1))


@dataclass
class Court:
    """A database with a table of parties, and the exchange that reads it."""

    engine: sa.Engine
    source: Source
    secrets: Secrets
    landing: Landing

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.connection.cursor().execute(statement)  # without parameters: % is what it is

    def fetch(self, wanted: TableWanted, *, now: datetime = NOW) -> Arrival:
        with open_door(self.source, self.secrets) as door:
            assert isinstance(door, Database)
            return door.fetch(wanted, landing=self.landing, now=now)

    def made(self, *rows: str) -> None:
        self.run("CREATE TABLE party (party_id CHAR(4) PRIMARY KEY, lst_nm CHAR(8), last_mod_ts TIMESTAMP)")
        self.run(*(f"INSERT INTO party VALUES ({row})" for row in rows))


def rows(arrival: Arrival) -> list[dict[str, Any]]:
    return list(pq.read_table(arrival.path).to_pylist())


def whole(arrival: Arrival, column: str = "PARTY_ID") -> list[str]:
    return sorted(row[column] for row in rows(arrival) if not row["_present_only"])


def present(arrival: Arrival, column: str = "PARTY_ID") -> list[str]:
    return sorted(row[column] for row in rows(arrival) if row["_present_only"])


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    (tmp_path / "keys").mkdir()
    return Secrets(tmp_path / "keys", {})


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    (tmp_path / "landing").mkdir()
    return Landing(tmp_path / "landing")


@pytest.fixture
def postgresql(postgres: PostgresServer, secrets: Secrets, landing: Landing) -> Iterator[Court]:
    url = postgres.create(f"court_{uuid4().hex}")
    (secrets.keys / "court_url").write_text(url)
    (secrets.keys / "court_url").chmod(0o600)
    engine = sa.create_engine(url)
    yield Court(engine, Source.model_validate({"database": {"url": "secret:court_url"}}), secrets, landing)
    engine.dispose()


@pytest.fixture
def sqlite(tmp_path: Path, secrets: Secrets, landing: Landing) -> Iterator[Court]:
    url = f"sqlite:///{tmp_path / 'court.sqlite'}"
    engine = sa.create_engine(url)
    yield Court(engine, Source.model_validate({"database": {"url": url}}), secrets, landing)
    engine.dispose()


@pytest.fixture(params=["postgresql", "sqlite"])
def court(request: pytest.FixtureRequest) -> Court:
    found: Court = request.getfixturevalue(request.param)
    return found


THREE = (
    "'P001', 'Quill   ', '2026-03-01 10:00:00'",
    "'P002', 'Ode     ', '2026-03-20 10:00:00.5'",
    "'P003', NULL, '2026-03-28 10:00:00'",
)
