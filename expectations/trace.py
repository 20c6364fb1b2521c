"""Follow a received row forward: where it went, what was found of it, and what of the record it became."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from expectations.quarantine import Shown, show_row
from expectations.retry import open_extract, states_of
from mappings.declarations import Feed
from standard.errors import ExtractError
from store.encryption_home import in_clear
from store.extracts import Batch
from store.home import Home, connect, literal
from store.ledger import Ledger
from store.ledger import extract as extracts


@dataclass(frozen=True)
class Trace:
    """The way of one received row."""

    row: Shown
    in_force: bool
    """Whether this very row is the one in force for its key."""
    instead: str | None
    """Why not: `deleted`, `withdrawn`, `purged`, `newer:<extract_id>` or None where no row of the key is in force."""
    entities: tuple[str, ...]
    """The entities of the common schema that rows of this feed become."""


def find_record(home: Home, ledger: Ledger, *, name: str, line: int) -> tuple[str, int]:
    """The extract and record of a line of a file, the newest arrival of that name.

    Raises:
        ExtractError: No file of that name arrived, or no record begins on that line.
    """
    newest = sa.select(extracts.c.extract_id).where(extracts.c.name == name).order_by(extracts.c.seq.desc())
    with ledger.reading() as connection:
        extract_id = connection.execute(newest.where(extracts.c.status != "duplicate").limit(1)).scalar()
    if extract_id is None:
        raise ExtractError("no file of this name has arrived", where=name, mend="see: kith status")
    rows = home.batches / extract_id / "rows.parquet"
    with connect() as con:
        of_a_file, last, record = con.execute(
            "SELECT count(_line) > 0, max(_line), arg_max(_record, _line) FILTER (WHERE _line <= $line)"
            f" FROM read_parquet({literal(rows)})", {"line": line}
        ).fetchall()[0]  # fmt: skip
    where = f"{name}, line {line}"
    if not of_a_file:
        raise ExtractError(
            "what arrived under this name has no lines", where=where, mend=f"give EXTRACT:RECORD, like {extract_id}:1"
        )
    if record is None:
        raise ExtractError("no record begins on this line", where=where, mend="give a later line")
    if line > last:
        _require_line(home, ledger, extract_id, where=where, line=line)
    return extract_id, int(record)


def _require_line(home: Home, ledger: Ledger, extract_id: str, *, where: str, line: int) -> None:
    """The last record may go on over several lines, but not beyond the file."""
    landed = open_extract(home, ledger, extract_id).extract.path
    with in_clear(landed) as path, path.open(encoding="latin-1") as file:
        lines = sum(1 for _ in file)
    if line > lines:
        raise ExtractError(f"the file has only {lines:,} lines", where=where, mend="give an earlier line")


def trace_row(home: Home, ledger: Ledger, feed: Feed, *, extract_id: str, record: int) -> Trace:
    """Follows a row of an extract to where it is now.

    Raises:
        ExtractError: There is no such row.
    """
    row = show_row(home, ledger, extract_id=extract_id, record=record)
    holder = _holder(home, ledger, open_extract(home, ledger, extract_id), record)
    mine = holder == (extract_id, record, None)
    instead = None
    if holder is not None and not mine:
        instead = holder[2] or f"newer:{holder[0]}"
    return Trace(row, mine, instead, tuple(feed.entities))


def _holder(home: Home, ledger: Ledger, batch: Batch, record: int) -> tuple[str, int, str | None] | None:
    """(extract, record, why gone) of what stands in the state under the key of a row."""
    state = states_of(home, ledger)(batch.extract.agency, batch.extract.feed)
    if state is None:
        return None
    rows = f"read_parquet({literal(batch.folder / 'rows.parquet')})"
    with connect() as con:
        found = con.execute(
            f"SELECT s._extract, s._record, s._deleted FROM read_parquet({literal(state)}) s"
            f" JOIN {rows} r ON r._key = s._key WHERE r._record = {int(record)}"
        ).fetchall()
    return (str(found[0][0]), int(found[0][1]), found[0][2]) if found else None
