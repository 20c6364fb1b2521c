"""Which pairs of records are worth comparing; a key that too many records share is left out and reported."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import duckdb

KEYS = Path(__file__).parent / "blocking.sql"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SkippedBlocks:
    """Keys of one rule that were left out because more records share them than the cap."""

    rule: str
    keys: int
    records: int


def block(con: duckdb.DuckDBPyConnection, *, cap: int) -> list[SkippedBlocks]:
    """Makes the tables `candidate` and, within it, `stated` (id_l < id_r, each pair once) from the table `mention`.

    Args:
        con: Holds `mention`.
        cap: Most records that may share one key, where the rule itself does not allow fewer.
    """
    con.execute("CREATE OR REPLACE TEMP VIEW usable AS SELECT * FROM mention WHERE NOT placeholder")
    con.execute("CREATE OR REPLACE TEMP VIEW with_form AS SELECT *, unnest(given_forms) AS form FROM usable")
    keys = KEYS.read_text(encoding="utf-8")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE block_key AS SELECT rule, cap, key, id FROM ({keys}) WHERE key IS NOT NULL"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE block_size AS SELECT key, any_value(rule) AS rule, count(*) AS records, "
        "least(max(cap), ?) AS cap FROM block_key GROUP BY key HAVING count(*) > 1",
        [cap],
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE candidate AS
        WITH kept AS (
            SELECT key, id FROM block_key SEMI JOIN (SELECT key FROM block_size WHERE records <= cap) USING (key)
        )
        SELECT DISTINCT l.id AS id_l, r.id AS id_r FROM kept l JOIN kept r ON l.key = r.key AND l.id < r.id"""
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE stated AS
        SELECT DISTINCT l.id AS id_l, r.id AS id_r FROM block_key l JOIN block_key r ON l.key = r.key AND l.id < r.id
        SEMI JOIN block_size s ON s.key = l.key AND s.records <= s.cap
        WHERE l.rule = 'same_as' AND r.rule = 'same_as'"""
    )
    skipped = con.sql(
        "SELECT rule, count(*), sum(records)::BIGINT FROM block_size WHERE records > cap GROUP BY rule ORDER BY rule"
    ).fetchall()
    con.execute("DROP TABLE block_key; DROP TABLE block_size")
    return [SkippedBlocks(*row) for row in skipped]
