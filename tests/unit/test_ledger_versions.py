"""Ledgers of earlier versions are brought to the newest one, whatever they hold."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from store.home import Home
from store.ledger import MIGRATIONS, Ledger, code_pending, extract, open_ledger, remap
from store.state import states_in_force

_OF_VERSION_2 = (
    "CREATE TABLE extract (extract_id TEXT PRIMARY KEY, agency TEXT NOT NULL, feed TEXT NOT NULL, name TEXT NOT NULL,"
    " sha256 TEXT NOT NULL, size BIGINT NOT NULL, received_at TEXT NOT NULL, as_of TEXT NOT NULL, seq BIGINT NOT NULL,"
    " holds TEXT NOT NULL, status TEXT NOT NULL, status_reason TEXT, run_id TEXT NOT NULL, watermark TEXT,"
    " state_path TEXT, duplicate_of TEXT)",
    "INSERT INTO extract VALUES ('x1', 'hillside_schools', 'students', 's.csv', 'ab', 1, '2026-09-07T10:00:00+00:00',"
    " '2026-09-07', 1, 'full', 'loaded', NULL, 'r1', NULL,"
    " '/srv/old place/state/hillside_schools/students/x1.2.parquet', NULL)",
    "CREATE TABLE ledger_version (version INTEGER PRIMARY KEY)",
    "INSERT INTO ledger_version VALUES (1), (2)",
)


def old_ledger(file: Path) -> None:
    opened = Ledger(f"sqlite:///{file}")
    with opened.writing() as connection:
        for statement in _OF_VERSION_2:
            connection.execute(sa.text(statement))
    opened.close()


def test_an_old_ledger_s_state_paths_are_found_below_the_home_wherever_it_lies(tmp_path: Path) -> None:
    home = Home(tmp_path)
    old_ledger(home.ledger_file)
    opened = open_ledger(home.ledger_file)
    with opened.reading() as connection:
        found = states_in_force(connection, home)
        declared = connection.execute(sa.select(extract.c.declarations)).scalars().all()
        assert sa.inspect(connection).has_table(remap.name)
    opened.close()
    assert found == {("hillside_schools", "students"): home.state / "hillside_schools" / "students" / "x1.2.parquet"}
    assert declared == [None]


def test_codes_that_waited_before_there_were_scopes_wait_on(tmp_path: Path) -> None:
    old_ledger(tmp_path / "ledger.db")
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with opened.writing() as connection:
        connection.execute(sa.text(
            "CREATE TABLE code_pending (agency TEXT, feed TEXT, element TEXT, value TEXT, first_extract TEXT NOT NULL,"
            " last_extract TEXT NOT NULL, rows BIGINT NOT NULL, PRIMARY KEY (agency, feed, element, value))"
        ))  # fmt: skip
        connection.execute(sa.text("INSERT INTO code_pending VALUES ('a', 'f', 'sex', 'Q', 'x1', 'x1', 3)"))
    opened.close()
    opened = open_ledger(tmp_path / "ledger.db")
    with opened.writing() as connection:
        connection.execute(code_pending.insert().values(agency="a", feed="f", element="sex", scope="EAST", value="Q",
                                                        first_extract="x2", last_extract="x2", rows=1))  # fmt: skip
        waiting = connection.execute(sa.select(code_pending.c.scope, code_pending.c.rows).order_by("scope")).all()
    opened.close()
    assert [tuple(row) for row in waiting] == [("", 3), ("EAST", 1)]


def test_a_new_ledger_and_one_opened_again_are_of_the_newest_version(tmp_path: Path) -> None:
    for _ in range(2):
        opened = open_ledger(tmp_path / "ledger.db")
        with opened.reading() as connection:
            versions = connection.execute(sa.text("SELECT version FROM ledger_version ORDER BY 1")).scalars().all()
        opened.close()
        assert versions == list(range(1, len(MIGRATIONS) + 1))
