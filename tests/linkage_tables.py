"""Small people tables for the tests of linkage: rows as a steward would write them, all people invented."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from linkage.link import Links, link_people
from linkage.people import COLUMNS

NAME = pa.struct([("given", pa.string()), ("middle", pa.string()), ("surname", pa.string())])
ADDRESS = pa.struct([("line1", pa.string()), ("line2", pa.string()), ("city", pa.string()), ("zip", pa.string())])
ARROW = {
    "VARCHAR": pa.string(),
    "DATE": pa.date32(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR[]": pa.list_(pa.string()),
    COLUMNS["other_names"]: pa.list_(NAME),
    COLUMNS["addresses"]: pa.list_(ADDRESS),
}
SCHEMA = pa.schema([(name, ARROW[kind]) for name, kind in COLUMNS.items()])


def person(record_id: str, name: str = "", born: str = "", **more: Any) -> dict[str, Any]:
    """A row: `name` is 'Given Surname' or 'Given Middle Surname', `born` an ISO date, `home` a street address."""
    words = name.split()
    home = more.pop("home", None)
    return {
        "record_id": record_id,
        "source": record_id.split("/")[0],
        "given": words[0] if words else None,
        "middle": words[1] if len(words) > 2 else None,
        "surname": words[-1] if len(words) > 1 else None,
        "birth_date": datetime.date.fromisoformat(born) if born else None,
        "addresses": [{"line1": home, "line2": None, "city": "Ashfield", "zip": "01330"}] if home else None,
        **more,
    }


def write_people(rows: list[dict[str, Any]], path: Path) -> Path:
    """Writes rows as a people table."""
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def linked(rows: list[dict[str, Any]], folder: Path, **more: Any) -> Links:
    """Links rows in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return link_people(write_people(rows, folder / "people.parquet"), folder / "links", secret=b"test", **more)


def person_ids(links: Links) -> dict[str, str]:
    """record_id -> person_id."""
    return dict(duckdb.read_parquet(str(links.into / "persons.parquet")).project("record_id, person_id").fetchall())


def edge(links: Links, left: str, right: str) -> dict[str, Any] | None:
    """The edge between two records, or None if there is none."""
    with duckdb.connect() as con:
        found = con.execute(
            "SELECT * FROM read_parquet(?) WHERE (record_l, record_r) IN ((?, ?), (?, ?))",
            [str(links.into / "edges.parquet"), left, right, right, left],
        )
        names = [column[0] for column in found.description]
        rows = found.fetchall()
    return dict(zip(names, rows[0], strict=True)) if rows else None
