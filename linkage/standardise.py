"""What agencies write made comparable: names, dates, addresses, numbers; values that mean nothing are taken out."""

from __future__ import annotations

from pathlib import Path

import duckdb

FOLDER = Path(__file__).parent
LISTS = {
    "skip_value": "skip_values.csv",
    "nickname": "nicknames.csv",
    "street_word": "street_words.csv",
    "given_name": "given_names.csv",
    "surname_name": "surnames.csv",
}


def standardise(con: duckdb.DuckDBPyConnection) -> None:
    """Makes the table `mention` (one row a record, integer id in the order of record_id) from the table `people`."""
    there = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()}
    for table, file in LISTS.items():
        if table in there:
            continue
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM read_csv(?, all_varchar = true, header = true)",
            [str(FOLDER / file)],
        )
    con.execute((FOLDER / "standardise.sql").read_text(encoding="utf-8"))
