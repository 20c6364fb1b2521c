"""Which rows of a published record are covered by an order that came since it was made: none of them may go out."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from record.in_force import bearing_references
from record.tables import MEANINGS
from record.withhold import ROW, judge_by_orders
from standard.schema import entities
from store.home import quoted

_TABLES = [name for name in entities() if name not in MEANINGS]
"""The entities whose rows are published as such."""


def attach_sealed_rows(con: duckdb.DuckDBPyConnection, orders: pa.Table) -> None:
    """Makes the tables `sealed_row` (row_id) and `sealed_mention` (person_ref) of what the next snapshot leaves out.

    What is owned by something sealed goes along (the charges of a case, what was ordered on them), and who is known
    through it alone. An order that the record obeys already finds nothing and costs one pass over its references.

    Args:
        con: A connection with the record's tables by name.
        orders: The orders in force: ref, reason.
    """
    con.register("order_given", orders)
    con.execute("CREATE OR REPLACE TEMP TABLE sealed_row(row_id VARCHAR)")
    con.execute("CREATE OR REPLACE TEMP TABLE sealed_mention(person_ref VARCHAR)")
    if not orders.num_rows:
        return
    texts = " UNION ALL ".join(["SELECT person_ref FROM person_source", *(_texts_of(name) for name in _TABLES)])
    told = f"SELECT DISTINCT text FROM ({texts}) AS told(text) WHERE text IN (SELECT ref FROM order_given)"
    meant = con.sql(f"SELECT ref, reason FROM order_given WHERE ref IN ({told})").to_arrow_table()
    if not meant.num_rows:
        return
    con.execute("CREATE SCHEMA in_force")
    for name in entities():
        con.execute(f"CREATE VIEW in_force.{quoted(name)} AS {_rows_of(name)}")
    judge_by_orders(con, meant)
    for name in _TABLES:
        covered = "withheld IN (SELECT reason FROM withheld)"
        con.execute(f"INSERT INTO sealed_row SELECT row_id FROM judged.{quoted(name)} WHERE {covered}")
    known = "person_ref IN (SELECT ref FROM withheld)"
    con.execute(f"INSERT INTO sealed_mention SELECT person_ref FROM person_source WHERE {known}")
    con.execute("DROP SCHEMA visible CASCADE; DROP SCHEMA judged CASCADE; DROP SCHEMA in_force CASCADE")
    con.execute("DROP VIEW own_event; DROP VIEW same_person_said; DROP TABLE part; DROP TABLE withheld")


def _rows_of(name: str) -> str:
    """SQL of an entity's rows as they are published; of a person there is the reference."""
    kinds = entities()[name].stored_columns()
    if name in _TABLES:
        return f"SELECT {', '.join(map(quoted, kinds))} FROM main.{quoted(name)}"
    told = {"person_ref": "person_ref", "agency_id": "agency", "feed": '"table"', "source_key": "source_key"}
    columns = ", ".join(f"CAST({told.get(c, 'NULL')} AS {kind}) AS {quoted(c)}" for c, kind in kinds.items())
    return f"SELECT {columns} FROM main.person_source"


def _texts_of(name: str) -> str:
    """SQL of all by which an order can name a table's rows: what they bear, and the row itself."""
    texts = [*(f"e.{column}" for column in bearing_references(entities()[name])), ROW]
    return " UNION ALL ".join(f"SELECT {text} FROM main.{quoted(name)} e" for text in texts)
