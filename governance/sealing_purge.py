"""Take rows under an order out of quarantine and, where it says expunge, destroy their content wherever it rests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from expectations.bearing import tokens_of
from expectations.relation import in_terms_sql
from expectations.retry import open_extract, rows_now, states_of
from mappings.compile import install_macros
from mappings.declarations import Feed
from mappings.load import Agency
from standard.errors import ExtractError
from store.accounts import Move, move_rows, require_sums_hold
from store.extracts import Batch, Disposition
from store.home import Home, connect, literal, quoted, written_whole
from store.landing import Landing
from store.ledger import Ledger, account
from store.ledger import extract as extracts
from store.seal_index import EXPUNGED, SealIndex, matched_sql
from store.state import next_state_path, put_in_force, rows_sql
from store.take_over import WORKPLACES

SWEPT = "swept.json"
"""Beside a batch: against which marks its rows were held last."""
_OPAQUE = f"'{EXPUNGED}|' || _record"
"""What stands for the key of a row whose content is gone."""
_WHO = "order"
_KEPT = ("_record", "_line")


@dataclass(frozen=True)
class Purged:
    """What was taken away: rows out of quarantine, rows of batches, rows in force, landed files."""

    moved: int = 0
    rows: int = 0
    in_force: int = 0
    files: int = 0


def purge(
    home: Home, ledger: Ledger, agencies: Mapping[str, Agency], index: SealIndex, doomed: frozenset[str]
) -> Purged:  # fmt: skip
    """Holds every batch and state against the index. To be called only by who holds the home; again, it goes on.

    Of an expunged row the batch keeps the record's number and line, and a mark in place of its key, so that accounts
    hold. The landed file it came in is removed whole: it cannot be rewritten and stay what came. The file's other rows
    stay in force, and in their batch; they are not mapped anew from then on (`kith remap` takes them as they are).

    Args:
        home: The home.
        ledger: Its control plane.
        agencies: The agencies by name.
        index: The orders in force.
        doomed: `agency/feed/key` of rows that go along with what is expunged.

    Raises:
        ExtractError: A batch cannot be rewritten; nothing of it is lost, and the next run goes on.
    """
    expunging = EXPUNGED in index.marks["reason"].to_pylist()
    if expunging:
        shutil.rmtree(home.root / WORKPLACES, ignore_errors=True)  # extracts loaded again are loaded again once more
    named = {place.partition("/")[0] for place in index.places()}
    sweeps = [
        _Sweep(home, ledger, agency, feed, index, doomed)
        for name, agency in agencies.items() if name in named for feed in agency.feeds.values()
    ]  # fmt: skip
    told = [each.batch(extract_id) for each in sweeps for extract_id in each.checked()]
    files = _remove_landed(home, ledger)
    # The rows in force go last: what goes along with an expunged case is known by them.
    in_force = sum(each.state() for each in sweeps) if expunging else 0
    return Purged(sum(moved for moved, _ in told), sum(rows for _, rows in told), in_force, files)


def _remove_landed(home: Home, ledger: Ledger) -> int:
    """Removes the landed files of which a row was expunged, and those that came again."""
    with ledger.reading() as connection:
        landed = connection.execute(
            sa.select(extracts.c.agency, extracts.c.sha256).distinct()
            .join(account, account.c.extract_id == extracts.c.extract_id)
            .where(account.c.reason == EXPUNGED, account.c.rows > 0)
        ).all()  # fmt: skip
    paths = {Landing(home.landing, agency).path_of(sha256) for agency, sha256 in landed}
    there = [path for path in paths if path.is_file()]
    for path in there:
        path.unlink()
    return len(there)


@dataclass(frozen=True)
class _Sweep:
    """One feed of an agency, held against the index."""

    home: Home
    ledger: Ledger
    agency: Agency
    feed: Feed
    index: SealIndex
    doomed: frozenset[str]

    def checked(self) -> list[str]:
        """The extracts of the feed whose rows have their disposition."""
        has_rows = sa.select(account.c.extract_id).where(account.c.extract_id == extracts.c.extract_id)
        query = sa.select(extracts.c.extract_id).where(
            extracts.c.agency == self.agency.agency, extracts.c.feed == self.feed.feed,
            extracts.c.status.not_in(["landed", "mapped"]), sa.exists(has_rows),
        )  # fmt: skip
        with self.ledger.reading() as connection:
            return list(connection.execute(query.order_by(extracts.c.seq)).scalars())

    def batch(self, extract_id: str) -> tuple[int, int]:
        """Rows moved and rows whose content was destroyed."""
        folder = self.home.batches / extract_id
        against = f"{len(self.index.marks)} {sorted(self.index.marks['mark'].to_pylist())[-1]} {len(self.doomed)}"
        if not (folder / "mapped.parquet").is_file() or _swept(folder) == against:
            return 0, 0
        batch = open_extract(self.home, self.ledger, extract_id)
        try:
            with connect(temp=folder / ".spill") as con:
                self._find(con, batch)
                moved = self._move(con, batch)
                destroyed = self._destroy(con, batch)
        except duckdb.Error as error:
            raise ExtractError(
                f"what an order covers cannot be taken out of a batch ({type(error).__name__})",
                where=f"extract {extract_id}", mend="make room on the disk, then: kith run",
            ) from None  # fmt: skip
        with written_whole(folder / SWEPT) as part:
            part.write_text(json.dumps(against), "utf-8")
        return moved, destroyed

    def _open(self, con: duckdb.DuckDBPyConnection, rows: str) -> None:
        install_macros(con)
        of_agency = states_of(self.home, self.ledger)
        terms = in_terms_sql(self.feed, rows, as_of=datetime.now(UTC).date(),
                             state_of=lambda name: of_agency(self.agency.agency, name))  # fmt: skip
        con.execute(f"CREATE TEMP VIEW in_terms AS SELECT * FROM {terms}")
        con.register("doomed_rows", pa.table({"text": pa.array(sorted(self.doomed), pa.string())}))

    def _meant(self, con: duckdb.DuckDBPyConnection, *, row: str) -> str:
        """SQL of (row, reason) of the rows in `in_terms` that are meant, or doomed along with them."""
        tokens = tokens_of(self.agency.agency, self.feed)
        return (
            f"SELECT row, min(reason) AS reason FROM (SELECT row, reason FROM"
            f" {matched_sql(con, self.index, 'in_terms', tokens, row=row)}"
            f" UNION ALL SELECT {row}, '{EXPUNGED}' FROM in_terms WHERE {tokens[0][1]} IN (FROM doomed_rows))"
            " GROUP BY row"
        )

    def _find(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> None:
        """Makes the table `hit` (_record, reason)."""
        rows = f"read_parquet({literal(batch.mapped)})"
        self._open(con, f"(SELECT * FROM {rows} WHERE _action <> '{EXPUNGED}')")
        gone = f"SELECT _record, '{EXPUNGED}' AS reason FROM {rows} WHERE _action = '{EXPUNGED}'"
        meant = self._meant(con, row="_record")
        con.execute(f"CREATE TEMP TABLE hit AS SELECT row::BIGINT AS _record, reason FROM ({meant}) UNION {gone}")
        if batch.unreadable.exists():
            own = tokens_of(self.agency.agency, self.feed)[:1]
            unread = f"(SELECT _record, raw_key AS _key FROM read_parquet({literal(batch.unreadable)}))"
            found = matched_sql(con, self.index, unread, own, row="_record")
            con.execute(f"INSERT INTO hit SELECT row, min(reason) FROM {found} GROUP BY row")

    def _move(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> int:
        """Out of quarantine goes what any order means; of what is expunged every row is withheld for that."""
        now_sql = rows_now(con, self.ledger, batch)
        found = con.execute(
            f"SELECT _record, disposition, r.reason, hit.reason FROM {now_sql} r JOIN hit USING (_record)"
            f" WHERE disposition = 'quarantined' OR (hit.reason = '{EXPUNGED}' AND r.reason <> '{EXPUNGED}')"
        ).fetchall()
        moves = [
            Move(int(record), Disposition(was), str(reason), Disposition.WITHHELD, str(order))
            for record, was, reason, order in found
        ]
        if moves:
            with self.ledger.writing() as connection:
                move_rows(connection, batch.extract.extract_id, moves, who=_WHO)
                require_sums_hold(connection, batch.extract.extract_id)
        return len(moves)

    def _destroy(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> int:
        """Rewrites the files of a batch without the content of what is expunged, the mapped rows last."""
        con.execute(f"CREATE TEMP TABLE gone AS SELECT DISTINCT _record FROM hit WHERE reason = '{EXPUNGED}'")
        mapped = f"read_parquet({literal(batch.mapped)})"
        [(count,)] = con.execute("SELECT count(*) FROM gone").fetchall()
        if not count:
            return 0
        hit = "_record IN (FROM gone)"
        keys = f"SELECT _key FROM {mapped} WHERE {hit}"
        _rewrite(con, batch.folder / "rows.parquet", {"_key": f"CASE WHEN {hit} THEN {_OPAQUE} ELSE _key END"})
        _rewrite(con, batch.unreadable, {"raw_key": f"CASE WHEN {hit} THEN {_OPAQUE} ELSE raw_key END"})
        _rewrite(con, batch.folder / "findings.parquet", {}, where=f"NOT {hit}")
        _rewrite(con, batch.census, {}, where=f"_key IS NULL OR _key NOT IN ({keys})")
        self._forget_orders(con, batch)
        emptied = {"_key": _OPAQUE, "_action": f"'{EXPUNGED}'"}
        names = [str(row[0]) for row in con.execute(f"DESCRIBE FROM {mapped}").fetchall()]
        replaced = {
            name: f"CASE WHEN {hit} THEN {emptied.get(name, 'NULL')} ELSE {quoted(name)} END"
            for name in names if name not in _KEPT
        }  # fmt: skip
        _rewrite(con, batch.mapped, replaced)
        return int(count)

    def _forget_orders(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> None:
        """What the batch once put into the register is not kept in the clear."""
        path = batch.folder / "orders.parquet"
        if path.is_file():
            found = matched_sql(con, self.index, f"read_parquet({literal(path)})", [("", "ref")], row="ref")
            _rewrite(con, path, {}, where=f"ref NOT IN (SELECT row FROM {found})")

    def state(self) -> int:
        """Takes what is expunged out of the rows in force; gives how many there were."""
        before = states_of(self.home, self.ledger)(self.agency.agency, self.feed.feed)
        if before is None:
            return 0
        with connect(temp=before.parent / ".spill") as con:
            self._open(con, rows_sql(before))
            meant = self._meant(con, row="_key")
            con.execute(f"CREATE TEMP TABLE gone AS SELECT row AS _key FROM ({meant}) WHERE reason = '{EXPUNGED}'")
            own = f"(SELECT * FROM read_parquet({literal(before)}) WHERE _deleted IS NOT NULL)"
            tokens = tokens_of(self.agency.agency, self.feed)[:1]
            con.execute(f"INSERT INTO gone SELECT row FROM {matched_sql(con, self.index, own, tokens, row='_key')}"
                        f" WHERE reason = '{EXPUNGED}'")  # fmt: skip
            [(count,)] = con.execute("SELECT count(*) FROM gone").fetchall()
            if not count:
                return 0
            holder = open_extract(self.home, self.ledger, self._holder()).extract
            path = next_state_path(self.home, holder, before)
            kept = f"SELECT * FROM read_parquet({literal(before)}) WHERE _key NOT IN (FROM gone) ORDER BY _key"
            with written_whole(path) as part:
                con.execute(f"COPY ({kept}) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd)")
        with self.ledger.writing() as connection:
            put_in_force(connection, self.home, holder, path)
        before.unlink()
        return int(count)

    def _holder(self) -> str:
        query = sa.select(extracts.c.extract_id).where(
            extracts.c.agency == self.agency.agency, extracts.c.feed == self.feed.feed,
            extracts.c.state_path.is_not(None),
        )  # fmt: skip
        with self.ledger.reading() as connection:
            return str(connection.execute(query).scalar_one())


def _swept(folder: Path) -> str | None:
    path = folder / SWEPT
    return str(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def _rewrite(
    con: duckdb.DuckDBPyConnection, path: Path, replaced: Mapping[str, str], *, where: str = "true"
) -> None:  # fmt: skip
    """Writes a file of a batch again with other values, or without some rows; all at once."""
    if not path.is_file():
        return
    columns = ", ".join(f"{value} AS {quoted(name)}" for name, value in replaced.items())
    star = f"* REPLACE ({columns})" if columns else "*"
    with written_whole(path) as part:
        con.execute(f"COPY (SELECT {star} FROM read_parquet({literal(path)}) WHERE {where}) TO {literal(part)}"
                    " (FORMAT parquet, COMPRESSION zstd)")  # fmt: skip
