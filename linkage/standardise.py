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


def standardise(con: duckdb.DuckDBPyConnection, people: str = "people", *, begin: int = 0, end: int = 2**62) -> None:
    """Makes the table `mention` (one row a record, integer id in the order of record_id) from a table of people.

    Args:
        con: Where the work is done.
        people: The table, as linkage.people.read_people makes it.
        begin: The first of its rows that is taken.
        end: The first that is taken no more.
    """
    if not con.execute("SELECT 1 FROM duckdb_tables() WHERE temporary AND table_name = 'short_street'").fetchall():
        _read_lists(con)
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW people_row AS SELECT rowid AS place, * FROM {people} "
        f"WHERE rowid >= {begin} AND rowid < {end}"
    )
    con.execute((FOLDER / "standardise.sql").read_text(encoding="utf-8"))


def _read_lists(con: duckdb.DuckDBPyConnection) -> None:
    for table, file in LISTS.items():
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM read_csv(?, all_varchar = true, header = true)",
            [str(FOLDER / file)],
        )
    con.execute((FOLDER / "reference_lists.sql").read_text(encoding="utf-8"))
