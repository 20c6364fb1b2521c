"""What the exchange made of the deliveries, read from its ledger, batches, states and record."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from demo.reference_county.truth import Truth
from record.reader import Record, open_record
from store import ledger as tables
from store.home import Home, connect, literal, quoted
from store.ledger import Ledger


@dataclass(frozen=True)
class Arrived:
    """One extract of one night."""

    extract_id: str
    agency: str
    feed: str
    name: str
    status: str
    reason: str | None
    seq: int
    path: Path
    """The landed content."""
    folder: Path
    """Its batch."""

    @property
    def has_rows(self) -> bool:
        """Whether it was mapped and checked."""
        return (self.folder / "mapped.parquet").exists() and (self.folder / "rows.parquet").exists()


@dataclass
class Observed:
    """The exchange after a night.

    Attributes:
        home: Its home.
        ledger: Its control plane.
        truth: What should have come of the deliveries.
        delivery: The delivery the night took in.
        arrived: The extracts of that night.
        earlier: The extracts of the nights before.
        entities: Entity -> Parquet of all rows in force, nothing withheld.
        states: (agency, feed) -> state file in force.
    """

    home: Home
    ledger: Ledger
    truth: Truth
    delivery: int
    arrived: list[Arrived]
    earlier: list[Arrived]
    entities: dict[str, Path]
    states: dict[tuple[str, str], Path]
    con: duckdb.DuckDBPyConnection = field(default_factory=connect)

    @cached_property
    def record(self) -> Record:
        """The published record, pinned."""
        return open_record(self.home)

    def open(self) -> Observed:
        """Makes the schemas `entity` (rows in force before withholding) and `record` (the published snapshot)."""
        self.con.execute("CREATE SCHEMA entity; CREATE SCHEMA record")
        for name, path in self.entities.items():
            self._view("entity", name, path)
        for name in self.record.tables():
            self._view("record", name, self.record.table(name).path)
        pairs = f"read_parquet({literal(self._newest_edges())})"
        self.con.execute(f"CREATE VIEW review AS SELECT record_l, record_r FROM {pairs} WHERE decision = 'review'")
        self._table(tables.code_pending, "agency", "value")
        self._table(tables.file_finding, "extract_id", "code")
        return self

    def _newest_edges(self) -> Path:
        return max(self.home.links.glob("*/edges.parquet"), key=lambda path: path.stat().st_mtime_ns)

    def _table(self, table: sa.Table, *columns: str) -> None:
        """A table of the ledger, with some of its columns."""
        with self.ledger.reading() as connection:
            found = connection.execute(sa.select(*(table.c[column] for column in columns))).all()
        schema = pa.schema([(column, pa.string()) for column in columns])
        rows = pa.table([[row[n] for row in found] for n in range(len(columns))], schema=schema)
        self.con.register(table.name, rows)

    def _view(self, schema: str, name: str, path: Path) -> None:
        source = f"SELECT * FROM read_parquet({literal(path)})"
        self.con.execute(f"CREATE VIEW {schema}.{quoted(name)} AS {source}")

    def rows(self, query: str, values: list[object] | None = None) -> list[tuple[object, ...]]:
        """The result of a query."""
        found: list[tuple[object, ...]] = self.con.execute(query, values or []).fetchall()
        return found

    def number(self, query: str, values: list[object] | None = None) -> int:
        """The one number a query gives; 0 for NULL."""
        value = self.rows(query, values)[0][0]
        return 0 if value is None else int(str(value))

    def of(self, agency: str, name: str) -> list[Arrived]:
        """The extracts of the night by the name of the file or table."""
        return [extract for extract in self.arrived if extract.agency == agency and extract.name == name]

    def mapped(self, extract: Arrived) -> str:
        """SQL of an extract's mapped rows."""
        return f"read_parquet({literal(extract.folder / 'mapped.parquet')})"

    def dispositions(self, extract: Arrived) -> str:
        """SQL of an extract's rows: _record, _line, _key, disposition, reason."""
        return f"read_parquet({literal(extract.folder / 'rows.parquet')})"

    def findings(self, extract: Arrived) -> str:
        """SQL of an extract's findings: _record, _line, element, rule, severity, code."""
        return f"read_parquet({literal(extract.folder / 'findings.parquet')})"

    def state(self, agency: str, feed: str) -> str:
        """SQL of a feed's rows in force."""
        return f"(SELECT * FROM read_parquet({literal(self.states[agency, feed])}) WHERE _deleted IS NULL)"


def extracts_of(ledger: Ledger, home: Home, run_ids: list[str]) -> list[Arrived]:
    """The extracts that arrived in some runs, in order of arrival."""
    e = tables.extract
    with ledger.reading() as connection:
        found = connection.execute(sa.select(e).where(e.c.run_id.in_(run_ids)).order_by(e.c.seq)).mappings().all()
    return [
        Arrived(
            row["extract_id"], row["agency"], row["feed"], row["name"], row["status"], row["status_reason"], row["seq"],
            home.landing / row["sha256"][:2] / row["sha256"], home.batches / row["extract_id"],
        )
        for row in found
    ]  # fmt: skip
