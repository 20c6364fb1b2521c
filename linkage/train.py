"""Makes a model file from people tables, without labels: `python -m linkage.train INTO.json PEOPLE[=MAP.yaml] ...`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb

from linkage.people import ColumnMap, read_column_map, read_people
from linkage.splink_model import save_model, train
from linkage.standardise import standardise


def train_model(tables: Mapping[Path, ColumnMap | None], into: Path, *, pairs: int = 5_000_000, seed: int = 1) -> None:
    """Learns a model from several people tables at once; the same tables and seed give the same file.

    Args:
        tables: People tables with their column maps, if they need one.
        into: The model file.
        pairs: Random pairs from which u is estimated.
        seed: Of the random sample.
    """
    with duckdb.connect() as con:
        for number, (path, columns) in enumerate(tables.items()):
            read_people(con, path, columns)
            con.execute(f"UPDATE people SET record_id = '{number}/' || record_id")
            con.execute("CREATE TEMP TABLE IF NOT EXISTS everybody AS FROM people LIMIT 0")
            con.execute("INSERT INTO everybody FROM people")
        con.execute("CREATE OR REPLACE TEMP TABLE people AS FROM everybody")
        standardise(con)
        save_model(train(con, pairs=pairs, seed=seed), into)


def _table(argument: str) -> tuple[Path, ColumnMap | None]:
    path, _, columns = argument.partition("=")
    return Path(path), read_column_map(Path(columns)) if columns else None


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    train_model(dict(_table(argument) for argument in sys.argv[2:]), Path(sys.argv[1]))
