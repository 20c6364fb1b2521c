"""How a recipient reads a release: from its folder alone, whole, in its time, as it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pyarrow as pa

from record.outbound import formula_undone
from record.snapshot import file_sha256
from standard.errors import PublishError
from store.home import connect, literal, quoted
from store.sign import is_signed

if TYPE_CHECKING:
    import pandas as pd

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
DICTIONARY, CODEBOOK, QUALITY, LOSSES = "dictionary.md", "codebook.csv", "quality.json", "mapping_loss.csv"
RETRACTIONS, AGREEMENT, POLICY, NOTICE = "retractions.csv", "agreement.yaml", "policy.yaml", "NOTICE.md"
DATABASE = "release.duckdb"
Format = Literal["parquet", "csv", "duckdb"]

CODEBOOK_COLUMNS = {"table": "VARCHAR", "column": "VARCHAR", "code": "VARCHAR", "meaning": "VARCHAR",
                    "rows": "BIGINT", "suppressed": "BOOLEAN"}  # fmt: skip
LOSS_COLUMNS = {"agency": "VARCHAR", "table": "VARCHAR", "column": "VARCHAR", "match": "VARCHAR", "term": "VARCHAR",
                "label": "VARCHAR", "common": "VARCHAR", "rows": "BIGINT", "suppressed": "BOOLEAN"}  # fmt: skip
RETRACTION_COLUMNS = {"table": "VARCHAR", "row": "VARCHAR", "person": "VARCHAR", "rows": "BIGINT",
                      "cause": "VARCHAR"}  # fmt: skip


@dataclass(frozen=True)
class ReleasedTable:
    """One table of a release."""

    name: str
    release: Release

    def to_arrow(self) -> pa.Table:
        """The whole table in memory."""
        with connect() as con:
            return self.to_duckdb(con).to_arrow_table()

    def to_pandas(self) -> pd.DataFrame:
        """The whole table as a data frame; columns keep their Arrow types, so that a NULL stays one."""
        return _frame(self.to_arrow())

    def to_duckdb(self, con: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """The table as a relation that is read only as far as a query asks, on `con` or a connection of its own."""
        con = con or connect()
        return con.sql(f"SELECT * FROM {self.release.source_of(self.name, con)}")


@dataclass(frozen=True)
class Release:
    """A release in its folder.

    Attributes:
        folder: Where it lies.
        manifest: release_id, recipient, purpose, policy, agreement, snapshot_id, day, expires, destroy_by, parent,
            format, min_cell, tables (rows, columns, treatments), files (sha256, size), audit_head.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def release_id(self) -> str:
        return str(self.manifest["release_id"])

    def tables(self) -> list[str]:
        """The names of its tables, sorted."""
        return sorted(self.manifest["tables"])

    def table(self, name: str) -> ReleasedTable:
        """One table by name.

        Raises:
            PublishError: The release has no such table.
        """
        if name not in self.manifest["tables"]:
            raise PublishError(
                f"the release has no table {name!r}", where=str(self.folder), mend=", ".join(self.tables())
            )
        return ReleasedTable(name, self)

    def to_duckdb(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection in memory with one view per table."""
        con = connect()
        for name in self.tables():
            con.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM {self.source_of(name, con)}")
        return con

    @cached_property
    def dictionary(self) -> str:
        """The data dictionary of what was released, in Markdown."""
        return (self.folder / DICTIONARY).read_text(encoding="utf-8")

    @cached_property
    def codebook(self) -> pd.DataFrame:
        """Every code of every column: table, column, code, meaning, rows (empty where `suppressed`)."""
        return self._csv(CODEBOOK, CODEBOOK_COLUMNS)

    @cached_property
    def mapping_loss(self) -> pd.DataFrame:
        """What the mapping to common terms loses: terms that no common one means exactly, and rows by match."""
        return self._csv(LOSSES, LOSS_COLUMNS)

    @cached_property
    def retractions(self) -> pd.DataFrame:
        """Rows of the release before that are gone, with cause: what was made of them is to be put right."""
        return self._csv(RETRACTIONS, RETRACTION_COLUMNS)

    @cached_property
    def quality(self) -> dict[str, Any]:
        """How good the links between mentions are."""
        found: dict[str, Any] = json.loads((self.folder / QUALITY).read_text(encoding="utf-8"))
        return found

    def verify(self, *, public_key: str | None = None) -> None:
        """Reads every file again and compares it with the manifest.

        Args:
            public_key: The exchange's public key (PEM, `kith receipt key`): the manifest's signature is asked, too.

        Raises:
            PublishError: A file is not as it was released, or the manifest is not what the exchange signed.
        """
        if public_key is not None:
            content, beside = (self.folder / MANIFEST).read_bytes(), self.folder / SIGNATURE
            signature = beside.read_bytes() if beside.is_file() else b""
            if not is_signed(content, signature, public_key):
                raise _tampered("the manifest is not what the exchange signed", self.folder / MANIFEST)
        for name, told in self.manifest["files"].items():
            if file_sha256(self.folder / name) != told["sha256"]:
                raise _tampered(f"{name} is not as it was released", self.folder / name)

    def source_of(self, name: str, con: duckdb.DuckDBPyConnection) -> str:
        """SQL of one table's source on a connection."""
        told = self.manifest["tables"][name]
        if self.manifest["format"] == "duckdb":
            con.execute(
                f"ATTACH IF NOT EXISTS {literal(self.folder / DATABASE)} AS {quoted(self.release_id)} (READ_ONLY)"
            )
            return f"{quoted(self.release_id)}.main.{quoted(name)}"
        path = self.folder / told["file"]
        return f"read_parquet({literal(path)})" if path.suffix == ".parquet" else csv_source(path, told["columns"])

    def _csv(self, name: str, columns: Mapping[str, str]) -> pd.DataFrame:
        with connect() as con:
            return _frame(con.sql(f"SELECT * FROM {csv_source(self.folder / name, columns)}").to_arrow_table())


def open_release(path: Path | str, *, today: date | None = None) -> Release:
    """Opens a release from its folder; nothing else is needed. The sizes of its files are compared at once.

    Args:
        path: The folder that holds `manifest.json`.
        today: The day of use; this day where nothing is said.

    Raises:
        PublishError: There is no release, a file is missing or of another size, or its time is over.
    """
    folder = Path(path).expanduser().resolve()
    manifest = _read_manifest(folder)
    over = date.fromisoformat(manifest["expires"])
    if (today or date.today()) > over:
        raise PublishError(
            f"the agreement {manifest['agreement']['id']} ended on {over}: this release may not be used any more",
            where=str(folder),
            mend=f"destroy it by {manifest['destroy_by']}, or agree anew and ask for a new release",
        )
    for name, told in manifest["files"].items():
        file = (folder / name).resolve()
        if not file.is_relative_to(folder) or not file.is_file() or file.stat().st_size != told["size"]:
            raise _tampered(f"{name} is missing or is not as it was released", folder / name)
    return Release(folder, manifest)


def csv_source(path: Path, columns: Mapping[str, str]) -> str:
    """SQL of a CSV file of a release: its types, empty cells as NULL, and no apostrophe before a formula."""
    kinds = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
    texts = [f"{formula_undone(quoted(name))} AS {quoted(name)}" for name, kind in columns.items() if kind == "VARCHAR"]
    back = f" REPLACE ({', '.join(texts)})" if texts else ""
    return (
        f"(SELECT *{back} FROM read_csv({literal(path)}, columns = {{{kinds}}}, header = true, delim = ',',"
        " quote = '\"', escape = '\"', auto_detect = false, allow_quoted_nulls = false))"
    )


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        date.fromisoformat(manifest["expires"])
        _ = {key: manifest[key] for key in ("release_id", "files", "tables", "format", "agreement", "destroy_by")}
    except FileNotFoundError as error:
        raise PublishError("here is no release", where=str(path), mend="name the folder that holds it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _tampered("the manifest cannot be read", path) from error
    return manifest  # type: ignore[no-any-return]


def _tampered(what: str, where: Path) -> PublishError:
    return PublishError(what, where=str(where), mend="do not use it; ask the exchange for the release again")


def _frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame
