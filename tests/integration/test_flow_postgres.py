"""An exchange deployed with its ledger and its published record in PostgreSQL, as deploy/compose.yaml has it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from demo.reference_county.servers import PostgresServer
from flows.lay_out_home import write_settings
from flows.night import run_night
from record.reader import open_record
from store.ledger import run
from tests.exchange import MONDAY, PARTIES, SmallExchange, small_exchange


def deployed(folder: Path, server: PostgresServer) -> SmallExchange:
    small = small_exchange(folder)
    for name in ("ledger_url", "record_url"):
        secret = small.home.keys / name
        secret.touch(mode=0o600)
        secret.write_text(server.create(f"flow_{name}"))
    settings = small.home.settings_file.read_text(encoding="utf-8")
    where = "ledger: {url: secret:ledger_url}\npublish_to: {url: secret:record_url, schema: shared_record}\n"
    write_settings(small.home, settings + where)
    small.put_students()
    small.record(*PARTIES)
    return small


def test_runs_stand_in_one_database_and_the_record_in_the_other(tmp_path: Path, postgres: PostgresServer) -> None:
    small = deployed(tmp_path, postgres)
    first, second = (run_night(small.home, now=MONDAY) for _ in range(2))
    assert [str(f) for f in (*first.failures, *second.failures)] == []
    assert not small.home.ledger_file.exists()
    assert (first.published, second.published, first.snapshot_id) == (True, False, second.snapshot_id)
    ledger = sa.create_engine(postgres.url("flow_ledger_url"))
    record = sa.create_engine(postgres.url("flow_record_url"))
    with ledger.connect() as connection:
        assert list(connection.execute(sa.select(run.c.state)).scalars()) == ["finished", "finished"]
    with record.connect() as connection:
        there = connection.execute(sa.text("SELECT person_ref, person_id FROM shared_record.person_source")).all()
    ledger.dispose()
    record.dispose()
    ours = open_record(small.home).table("person_source").to_pandas()
    assert {tuple(row) for row in there} == set(zip(ours["person_ref"], ours["person_id"], strict=True))
