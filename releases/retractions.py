"""What a recipient must take back: rows of the release before that are gone, under the names the recipient knows."""

from __future__ import annotations

from pathlib import Path

import duckdb

from releases.causes import attach_causes, changed_sql
from releases.index import Kept
from releases.pseudonyms import pseudonym_sql
from releases.reader import RETRACTION_COLUMNS
from releases.tables import write_csv
from store.home import literal
from store.ledger import Ledger


def write_retractions(con: duckdb.DuckDBPyConnection, old: Kept | None, new: Kept, ledger: Ledger, path: Path) -> None:
    """Writes the rows that the release before had and this one has not, with cause.

    Who is told sees of an order of a court only that the row is gone, as if its agency had deleted it.

    Args:
        con: A connection after `attach_keys`.
        old: The release before; None for the first.
        new: This one.
        ledger: The control plane.
        path: The CSV file.
    """
    parts = []
    if old is not None:
        attach_causes(con, old, new, ledger)
        parts = [_gone(table, old, new) for table in sorted(set(old.facts["chosen"]) & set(new.facts["chosen"]))]
    nothing = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in RETRACTION_COLUMNS.items())
    rows = " UNION ALL ".join([*parts, f"SELECT {nothing} WHERE false"])
    write_csv(con, f"(SELECT * FROM ({rows}) ORDER BY ALL)", RETRACTION_COLUMNS, path)


def _gone(table: str, old: Kept, new: Kept) -> str:
    row = """split_part("row", '|', 2)""" if table == "timeline" else '"row"'
    known_row = _as_known(old.facts["row_as_given"][table], "'row'", row)
    known_person = _as_known(old.facts["person_as_given"][table], "'person'", "person")
    return f"""
        SELECT {literal(table)} AS "table", {known_row} AS "row", {known_person} AS person, count(*) AS "rows",
            CASE cause WHEN 'sealed' THEN 'deleted' ELSE cause END AS cause
        FROM ({changed_sql(table, old, new)}) WHERE sign = -1 GROUP BY ALL"""


def _as_known(given: str | None, kind: str, own: str) -> str:
    if given is None:
        return "CAST(NULL AS VARCHAR)"
    return pseudonym_sql(kind, own) if given == "pseudonym" else own
