"""How others read the record: a snapshot is pinned once, so no reader ever mixes two."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from record.snapshot import Snapshot, current_id, current_snapshot, load_snapshot, pointer_lock
from standard.errors import PublishError
from standard.rules import rule_macros
from store.home import ENCRYPTED, Home, connect, literal, quoted, sql_path, unlock_home, written_whole
from store.parquet import read_table

if TYPE_CHECKING:
    import pandas as pd

VIEWS_FILE = "record.duckdb"
_VIEWS_PLACE = ".record.duckdb.place"
"""Beside it: the folder for which the views were written. Another one here means that the home was moved."""


@dataclass(frozen=True)
class Table:
    """One table of a pinned snapshot."""

    name: str
    path: Path

    def to_arrow(self) -> pa.Table:
        """The whole table in memory."""
        self._require_there()
        return read_table(self.path)

    def to_pandas(self) -> pd.DataFrame:
        """The whole table as a data frame; columns keep their Arrow types, so that a NULL stays one."""
        import pandas as pd

        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def to_duckdb(self, con: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """The table as a relation that is read only as far as a query asks, on `con` or a connection of its own."""
        self._require_there()
        return (con or connect()).read_parquet(sql_path(self.path))

    def _require_there(self) -> None:
        if not self.path.is_file():
            raise PublishError(
                f"the table {self.name} of this snapshot was withdrawn: a court's order now covers rows in it",
                where=str(self.path),
                mend="open the current snapshot",
            )


@dataclass(frozen=True)
class Record:
    """A pinned snapshot of the record."""

    snapshot: Snapshot

    @property
    def snapshot_id(self) -> str:
        return self.snapshot.snapshot_id

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.snapshot.manifest

    def tables(self) -> list[str]:
        """The names of its tables, sorted."""
        return sorted(self.manifest["tables"])

    def table(self, name: str) -> Table:
        """One table by name.

        Raises:
            PublishError: The record has no such table.
        """
        if name not in self.manifest["tables"]:
            raise PublishError(
                f"the record has no table {name!r}", where=str(self.snapshot.folder), mend=", ".join(self.tables())
            )
        return Table(name, self.snapshot.table(name))

    def to_duckdb(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection in memory with one view per table."""
        con = connect()
        attach_tables(con, self.snapshot)
        return con


def open_record(home: Home | Path | str, *, snapshot: str | None = None) -> Record:
    """Pins the current snapshot, or the one named, for all that is read through what this returns.

    Args:
        home: The home of the exchange.
        snapshot: Id of an earlier snapshot.

    Raises:
        PublishError: Nothing was published yet, or there is no such snapshot.
    """
    place = home if isinstance(home, Home) else Home(Path(home).expanduser().resolve())
    chosen = snapshot or current_id(place)
    if chosen is None:
        raise PublishError("nothing was published yet", where=str(place.record), mend="publish with: kith run")
    if place.settings_file.is_file():
        unlock_home(place)
    _follow_the_home(place)
    return Record(load_snapshot(place, chosen))


def _follow_the_home(home: Home) -> None:
    """Writes the views anew where the home was moved, unless this reader may only read."""
    place = home.record / _VIEWS_PLACE
    if not place.is_file() or place.read_text("utf-8") == str(home.record) or not os.access(home.record, os.W_OK):
        return
    with pointer_lock(home):
        current = current_snapshot(home)
        if current is not None:
            write_views(home, current)


def write_views(home: Home, snapshot: Snapshot) -> Path:
    """Writes `record/record.duckdb`: one view per table of the snapshot, for DuckDB's own tools.

    Beside them stand the macros of the rules of law (`is_juvenile`, `school_year_of` and so on, standard.rules).
    The views hold absolute paths, since DuckDB would take relative ones from wherever it is started. Every publishing
    writes the file anew, and so does the first `open_record` in a home that was moved. An encrypted home has none.
    """
    path = home.record / VIEWS_FILE
    part = path.with_name(f".{VIEWS_FILE}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    if home.root in ENCRYPTED:  # DuckDB's own tools have not the keys
        path.unlink(missing_ok=True)
        return path
    try:
        with duckdb.connect(part, config={"autoinstall_known_extensions": False}) as con:
            attach_tables(con, snapshot)
            con.execute("".join(rule_macros().values()))
        part.chmod(0o600)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    with written_whole(home.record / _VIEWS_PLACE) as told:
        told.write_text(str(home.record), "utf-8")
    return path


def attach_tables(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """Makes a view of every table of a snapshot."""
    for name in sorted(snapshot.manifest["tables"]):
        rows = f"SELECT * FROM read_parquet({literal(snapshot.table(name))})"
        con.execute(f"CREATE VIEW {quoted(name)} AS {rows}")
