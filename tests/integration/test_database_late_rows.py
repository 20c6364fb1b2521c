"""A row that comes into a table with an old watermark is found by its key."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from connectors.doors import open_door, receive
from connectors.sources import Secrets, Source
from connectors.wanted import TableWanted
from store.extracts import Holds, Status
from store.landing import Landing
from store.ledger import Ledger, extract, open_ledger
from tests.servers import ServerMissing, postgres_server

HEARING = "CREATE TABLE hearing (hearing_id CHAR(6), seq INTEGER, result_cd CHAR(4), last_mod_ts TIMESTAMP)"
WANTED = TableWanted(
    "hearing", key=("hearing_id", "seq"), watermark="last_mod_ts", overlap=timedelta(days=1), census=True
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("court") / "court.sqlite"
        sqlite3.connect(path).close()
        yield f"sqlite:///{path}"
        return
    try:
        with postgres_server() as server:
            yield server.create("court")
    except ServerMissing as error:
        pytest.skip(str(error))


def test_a_row_inserted_with_an_old_watermark_is_given_whole(url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as court:
        court.exec_driver_sql(HEARING)
        court.exec_driver_sql("INSERT INTO hearing VALUES ('R1', 1, NULL, '2026-03-01 17:00:00')")
        court.exec_driver_sql("INSERT INTO hearing VALUES ('R2', 1, 'CONT', '2026-03-23 17:00:00')")
    exchange = Exchange(tmp_path, url)
    assert exchange.poll() == [("R1", "1", False), ("R2", "1", False)]

    with engine.begin() as court:
        court.exec_driver_sql("INSERT INTO hearing VALUES ('R1', 2, NULL, '2025-08-19 17:00:00')")
        court.exec_driver_sql("INSERT INTO hearing VALUES ('R3', 1, 'ADJ', '2026-03-30 17:00:00')")
    engine.dispose()
    second = exchange.poll()

    assert [row for row in second if not row[2]] == [("R1", "2", False), ("R2", "1", False), ("R3", "1", False)]
    assert ("R1", "1", True) in second, "a row that did not change is given as a key of the census"
    exchange.ledger.close()


class Exchange:
    """A ledger and a landing area that read the court's table."""

    def __init__(self, root: Path, url: str) -> None:
        (root / "keys").mkdir()
        (root / "keys" / "court_url").touch(mode=0o600)
        (root / "keys" / "court_url").write_text(url)
        self.secrets = Secrets(root / "keys", {})
        self.ledger: Ledger = open_ledger(root / "ledger.db")
        self.landing = Landing(root / "landing")

    def poll(self) -> list[tuple[str, str, bool]]:
        source = Source.model_validate({"database": {"url": "secret:court_url"}})
        with open_door(source, self.secrets) as door:
            received = receive(
                door, WANTED, agency="court", feed="hearing", holds=Holds.CHANGES, ledger=self.ledger,
                landing=self.landing, run_id="run", now=datetime(2026, 4, 1, tzinfo=UTC),
            )  # fmt: skip
        with self.ledger.writing() as connection:
            connection.execute(extract.update().values(status=str(Status.LOADED)))
        rows = pq.read_table(received.extracts[0].path).to_pylist()
        return sorted((row["hearing_id"].strip(), row["seq"], row["_present_only"]) for row in rows)
