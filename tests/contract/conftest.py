"""The agencies of the contract: the same deeds done through each of the doors, against the real thing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from connectors.doors import Received, Wanted, open_door, receive
from connectors.sources import Secrets, Source
from connectors.wanted import FilesWanted, TableWanted
from store.extracts import Extract, Holds
from store.landing import Landing
from store.ledger import Ledger, open_ledger
from tests.servers import PostgresServer, SftpServer


@dataclass
class Exchange:
    """The receiving side: a landing area, a ledger and secrets."""

    root: Path
    ledger: Ledger
    landing: Landing
    secrets: Secrets

    def poll(
        self, source: Source, wanted: Wanted, *, feed: str = "students", landing: Landing | None = None
    ) -> Received:
        with open_door(source, self.secrets) as door:
            return receive(
                door, wanted, agency="maple", feed=feed, holds=Holds.FULL, ledger=self.ledger,
                landing=landing or self.landing, run_id="run", now=datetime.now(UTC),
            )  # fmt: skip

    def contents(self) -> list[Path]:
        """Everything that stands in the landing area."""
        return sorted(path for path in self.landing.folder.rglob("*") if path.is_file())


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    for name in ("landing", "keys"):
        (tmp_path / name).mkdir(mode=0o700)
    ledger = open_ledger(tmp_path / "ledger.db")
    yield Exchange(tmp_path, ledger, Landing(tmp_path / "landing"), Secrets(tmp_path / "keys", {}))
    ledger.close()


class Agency(Protocol):
    """A side that sends. What it sends is lines of a key and a text."""

    source: Source
    wanted: Wanted

    def send(self, lines: list[str], *, again: bool = False) -> None:
        """Puts content where the exchange finds it; `again`: in another way (another name, rows written anew)."""

    def lines(self, extract: Extract) -> list[str]:
        """What arrived, as it was sent."""

    def missing(self) -> tuple[Source, Wanted]:
        """A source or a want that leads to nothing."""


@dataclass
class FileAgency:
    """Sends files into a folder, which the exchange sees directly or over SFTP."""

    folder: Path
    source: Source
    nowhere: Source
    wanted: FilesWanted = field(default_factory=lambda: FilesWanted("students_{as_of:%Y%m%d}*.csv"))

    def put(self, name: str | bytes, content: bytes, *, age: float = 3600) -> Path:
        path = self.folder / os.fsdecode(name)
        path.write_bytes(content)
        changed = int(time.time() - age)
        os.utime(path, (changed, changed))
        return path

    def send(self, lines: list[str], *, again: bool = False) -> None:
        name = f"students_20260301_{uuid4().hex}.csv" if again else "students_20260301.csv"
        self.put(name, "\n".join(lines).encode())

    def lines(self, extract: Extract) -> list[str]:
        return extract.path.read_text().splitlines()

    def missing(self) -> tuple[Source, Wanted]:
        return self.nowhere, self.wanted


@dataclass
class DatabaseAgency:
    """Lets the exchange read a table."""

    engine: sa.Engine
    source: Source
    wanted: TableWanted = field(default_factory=lambda: TableWanted("STUDENT"))

    def send(self, lines: list[str], *, again: bool = False) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS student")
            connection.exec_driver_sql("CREATE TABLE student (line VARCHAR(100))")
            if lines:
                connection.execute(sa.text("INSERT INTO student VALUES (:line)"), [{"line": line} for line in lines])

    def lines(self, extract: Extract) -> list[str]:
        return [str(line) for line in pq.read_table(extract.path)["line"].to_pylist()]

    def missing(self) -> tuple[Source, Wanted]:
        return self.source, TableWanted("TEACHER")


@pytest.fixture
def folder_agency(tmp_path: Path) -> FileAgency:
    (tmp_path / "drop").mkdir()

    def source(path: str) -> Source:
        return Source.model_validate({"folder": {"path": str(tmp_path / path), "settle": "60"}})

    return FileAgency(tmp_path / "drop", source("drop"), source("nowhere"))


@pytest.fixture
def sftp_agency(exchange: Exchange, sshd: SftpServer) -> FileAgency:
    folder = uuid4().hex
    (sshd.root / folder).mkdir()
    allow(exchange.secrets.keys, sshd)

    def source(path: str) -> Source:
        sftp = {"host": sshd.host, "port": str(sshd.port), "user": sshd.user, "folder": path, "key": "secret:maple_key"}
        return Source.model_validate({"sftp": sftp})

    return FileAgency(sshd.root / folder, source(folder), source(f"{folder}/nowhere"))


def allow(keys: Path, sshd: SftpServer) -> None:
    """Gives the exchange its key, and pins the server's."""
    (keys / "known_hosts").write_text(sshd.known_hosts)
    (keys / "maple_key").write_text(sshd.key.read_text())
    (keys / "maple_key").chmod(0o600)


@pytest.fixture
def sqlite_agency(tmp_path: Path) -> Iterator[DatabaseAgency]:
    path = tmp_path / "agency.sqlite"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE other (x)")
    engine = sa.create_engine(f"sqlite:///{path}")
    yield DatabaseAgency(engine, Source.model_validate({"database": {"url": f"sqlite:///{path}"}}))
    engine.dispose()


@pytest.fixture
def postgresql_agency(exchange: Exchange, postgres: PostgresServer) -> Iterator[DatabaseAgency]:
    url = postgres.create(f"agency_{uuid4().hex}")
    (exchange.secrets.keys / "maple_url").write_text(url)
    (exchange.secrets.keys / "maple_url").chmod(0o600)
    engine = sa.create_engine(url)
    yield DatabaseAgency(engine, Source.model_validate({"database": {"url": "secret:maple_url"}}))
    engine.dispose()


@pytest.fixture(params=["folder", "sftp", "sqlite", "postgresql"])
def agency(request: pytest.FixtureRequest) -> Agency:
    """An agency behind each door."""
    found: Agency = request.getfixturevalue(f"{request.param}_agency")
    return found


@pytest.fixture(params=["folder", "sftp"])
def file_agency(request: pytest.FixtureRequest) -> FileAgency:
    """An agency behind each door through which files come."""
    found: FileAgency = request.getfixturevalue(f"{request.param}_agency")
    return found
