"""A small intake for tests: deliveries told as rows, checked and folded like any extract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.check_batch import check_batch, rules_of
from mappings.compile import mapped_columns
from mappings.declarations import Feed
from store.accounts import require_rows_agree, require_sums_hold, write_accounts
from store.batches import write_batch
from store.extracts import Batch, Checked, Extract, Status
from store.home import Home
from store.landing import Landing
from store.ledger import Ledger, open_ledger
from store.ledger import extract as extracts
from store.state import current_state, fold, next_state_path, put_in_force

Row = Mapping[str, Any]
_ARROW = {
    "BIGINT": pa.int64(), "VARCHAR": pa.string(), "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us"),
    "INTEGER": pa.int32(), "DECIMAL(9,4)": pa.decimal128(9, 4), "BOOLEAN": pa.bool_(),
}  # fmt: skip


def feed(name: str = "students", **declared: Any) -> Feed:
    """A delimited feed; `elements` may be given as name -> conversion only."""
    elements = declared.pop("elements", {"number": "identifier", "grade": "text"})
    whole = {
        "feed": name,
        "title": name,
        "source": "drop",
        "arrives": {"files": f"{name}_{{as_of:%Y%m%d}}.csv"},
        "format": {"kind": "delimited"},
        "holds": "delta",
        "key": ["number"],
        "elements": {
            element: how if isinstance(how, dict) else {"column": element, how: {}} for element, how in elements.items()
        },
    }
    return Feed.model_validate(whole | declared)


@dataclass
class Intake:
    """A home with a ledger into which deliveries come one after the other."""

    home: Home
    feeds: dict[str, Feed]
    agency: str = "town_school"
    ledger: Ledger = field(init=False)
    arrived: int = 0

    def __post_init__(self) -> None:
        self.home.create()
        self.ledger = open_ledger(self.home.ledger_file)

    def state(self, agency: str, name: str) -> Path | None:
        with self.ledger.reading() as connection:
            return current_state(connection, self.home, agency, name)

    def land(
        self, name: str, rows: Sequence[Row], *, as_of: date = date(2026, 3, 23), unreadable: Sequence[Row] = (),
        census: Sequence[str] | None = None, hold: str | None = None,
    ) -> Batch:  # fmt: skip
        """An extract that was landed and mapped; a row is what its elements became (and `_version` etc.)."""
        self.arrived += 1
        digest = sha256(repr((self.arrived, rows, unreadable)).encode()).hexdigest()
        extract_id = f"x{self.arrived:03d}{digest[:8]}"
        extract = Extract(
            extract_id, self.agency, name, f"{name}_{as_of:%Y%m%d}.csv", digest, 1,
            datetime.now(UTC), as_of, self.arrived, self.feeds[name].holds, Status.MAPPED,
            Landing(self.home.landing).path_of(digest),
        )  # fmt: skip
        folder = self.home.batches / extract_id
        folder.mkdir(parents=True)
        pq.write_table(self._mapped(name, rows), folder / "mapped.parquet")
        schema = pa.schema(
            [("_record", pa.int64()), ("_line", pa.int64()), ("code", pa.string()), ("raw_key", pa.string())]
        )
        pq.write_table(pa.Table.from_pylist(list(unreadable), schema=schema), folder / "unreadable.parquet")
        if census is not None:
            pq.write_table(pa.table({"_key": pa.array(census, pa.string())}), folder / "census.parquet")
        with self.ledger.writing() as connection:
            connection.execute(
                extracts.insert().values(
                    extract_id=extract_id, agency=self.agency, feed=name, name=extract.name, sha256=extract.sha256,
                    size=1, received_at=extract.received_at.isoformat(), as_of=as_of.isoformat(), seq=extract.seq,
                    holds=str(extract.holds), status="mapped", run_id="r",
                )
            )  # fmt: skip
        batch = Batch(extract, folder, len(rows) + len(unreadable), None, hold=hold)
        write_batch(batch)
        return batch

    def _mapped(self, name: str, rows: Sequence[Row]) -> pa.Table:
        declared = self.feeds[name]
        columns = mapped_columns(declared)
        whole = []
        for number, row in enumerate(rows, start=1):
            parts = [row.get(part) for part in declared.key]
            content = repr(sorted((k, str(v)) for k, v in row.items()))
            common = {
                "_record": number, "_line": number + 1, "_action": "upsert",
                "_key": None if None in parts else "|".join(str(part) for part in parts),
                "_hash": sha256(content.encode()).hexdigest()[:16],
            }  # fmt: skip
            whole.append(common | {column: row.get(column) for column in columns if column in row})
        return pa.Table.from_pylist(whole, schema=pa.schema([(n, _ARROW[kind]) for n, kind in columns.items()]))

    def check(self, batch: Batch, **more: Any) -> Checked:
        return check_batch(batch, self.feeds[batch.extract.feed], states=self.state, ledger=self.ledger, **more)

    def load(self, name: str, rows: Sequence[Row], **more: Any) -> Checked:
        """A whole delivery: landed, checked, accounted for and, unless held, folded."""
        batch = self.land(name, rows, **more)
        checked = self.check(batch)
        before = self.state(self.agency, name)
        path = None
        if checked.held is None:
            path = next_state_path(self.home, batch.extract, before)
            fold(before, batch, f"read_parquet('{checked.rows}')", rules_of(self.feeds[name]), into=path)
        with self.ledger.writing() as connection:
            write_accounts(connection, checked)
            require_sums_hold(connection, batch.extract.extract_id)
            require_rows_agree(connection, checked)
            if path is not None:
                put_in_force(connection, self.home, batch.extract, path)
            status = "held" if checked.held else "loaded"
            connection.execute(
                extracts.update().where(extracts.c.extract_id == batch.extract.extract_id).values(status=status)
            )
        return checked

    def in_force(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """What a feed's state holds of the rows in force, sorted by key."""
        path = self.state(self.agency, name)
        if path is None:
            return []
        listed = ", ".join(columns or ("_key",))
        return read(f"SELECT {listed} FROM '{path}' WHERE _deleted IS NULL ORDER BY _key")

    def gone(self, name: str) -> list[tuple[Any, ...]]:
        """Key and reason of the tombstones of a feed."""
        return read(
            f"SELECT _key, _deleted FROM '{self.state(self.agency, name)}' WHERE _deleted IS NOT NULL ORDER BY 1"
        )


def read(query: str) -> list[tuple[Any, ...]]:
    """The rows of a query over Parquet files."""
    with duckdb.connect() as con:
        return list(con.execute(query).fetchall())


def went(checked: Checked) -> list[tuple[int, str, str]]:
    """Record, disposition and reason of every row."""
    return read(f"SELECT _record, disposition, reason FROM '{checked.rows}' ORDER BY _record")
