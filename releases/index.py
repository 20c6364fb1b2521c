"""What the exchange itself keeps of a release: which row of the record each released row is, and what was counted.

It lies in the home (`release_index/<release_id>/`) and is nobody's but the exchange's. From it come the retractions of
the next release, and the causes of every difference between two.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from record.reader import Record
from record.snapshot import WITHHELD, file_sha256
from releases.reader import MANIFEST
from releases.tables import Decided, counted_columns, reasons_table
from standard.errors import PublishError
from store import ledger as tables
from store.home import Home, connect, literal, quoted, sync, written_whole
from store.ledger import Ledger

FACTS, GIVEN = "release.json", "GIVEN"
_OPEN_CASES = """SELECT c.person_id AS person, k.pseudonym AS known, c."until"
    FROM with_open_case c JOIN person_pseudonym k USING (person_id)"""
_ZSTD = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"


@dataclass(frozen=True)
class Kept:
    """What is kept of one release.

    Attributes:
        folder: `<table>.parquet` (`row, person, agency, extract, out, kind` and each counted column as it went out),
            `reasons.parquet` (table, kind, column, reason), `mentions.parquet` (mention, person),
            `withheld.parquet` (row, reason), `open_cases.parquet` (person, known, until: who has an
            open case with the recipient, the pseudonym, the last day that is known).
        facts: release_id, recipient, policy, policy_sha256, agreement, snapshot_id, published_at, at, path,
            manifest_sha256, extracts (extract_id, agency, feed, as_of), chosen and counted (table -> columns).
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def release_id(self) -> str:
        return str(self.facts["release_id"])

    def rows(self, table: str) -> str:
        """SQL of a table's rows."""
        return f"read_parquet({literal(self.folder / f'{table}.parquet')})"

    def part(self, name: str) -> str:
        """SQL of `reasons`, `mentions`, `withheld` or `open_cases`."""
        return self.rows(name)


def index_folder(home: Home) -> Path:
    """Where it is kept of every release."""
    return home.root / "release_index"


def folder_in_home(home: Home, kept: Kept) -> Path:
    """Where a release lies below the home, unless it was written elsewhere."""
    return home.root / "releases" / str(kept.facts["recipient"]) / kept.release_id


def kept_releases(home: Home) -> list[Kept]:
    """All releases that were given, the oldest first; one that a kill stopped before its folder appeared is none."""
    found = [_read(path.parent) for path in sorted(index_folder(home).glob(f"[!.]*/{FACTS}"))]
    return sorted((kept for kept in found if _was_given(kept)), key=lambda kept: (kept.facts["at"], kept.release_id))


def kept_release(home: Home, release_id: str) -> Kept:
    """What is kept of one release.

    Raises:
        PublishError: There was no such release.
    """
    for kept in kept_releases(home):
        if kept.release_id == release_id:
            return kept
    known = ", ".join(kept.release_id for kept in kept_releases(home)) or "(there was none yet)"
    raise PublishError(
        f"there was no release {release_id!r}", where=str(index_folder(home)), mend=f"name one of: {known}"
    )


def release_before(home: Home, recipient: str, policy: str) -> Kept | None:
    """The newest release to a recipient by a policy."""
    mine = [k for k in kept_releases(home) if (k.facts["recipient"], k.facts["policy"]) == (recipient, policy)]
    return mine[-1] if mine else None


def _read(folder: Path) -> Kept:
    return Kept(folder, json.loads((folder / FACTS).read_text(encoding="utf-8")))


def _was_given(kept: Kept) -> bool:
    """Whether the recipient's folder came to be; looked up once, since the recipient may carry it away."""
    if (kept.folder / GIVEN).is_file():
        return True
    manifest = Path(kept.facts["path"]) / MANIFEST
    if not manifest.is_file() or file_sha256(manifest) != kept.facts["manifest_sha256"]:
        return False
    note_given(kept.folder)
    return True


def note_given(folder: Path) -> None:
    """Notes that the recipient's folder has come to be."""
    with written_whole(folder / GIVEN) as part:
        part.touch(mode=0o600)


def write_index(
    con: duckdb.DuckDBPyConnection, record: Record, decided: Sequence[Decided], folder: Path
) -> dict[str, list[str]]:
    """Writes what is kept of a release's rows; table -> the columns that are counted.

    Args:
        con: The connection with the record's tables.
        record: The snapshot.
        decided: The tables.
        folder: Of the index.
    """
    counted = {table.table: list(counted_columns(table)) for table in decided}
    for table in decided:
        values = "".join(f", {quoted(c)}::VARCHAR AS {quoted(c)}" for c in counted[table.table])
        _copy(
            con,
            'SELECT _row AS "row", _person AS person, _agency AS agency, _extract AS extract, _out AS "out",'
            f" _kind AS kind{values} FROM {table.source}",
            folder / f"{table.table}.parquet",
        )
    _copy(con, _OPEN_CASES, folder / "open_cases.parquet")
    con.register("reasons", reasons_table(list(decided)))
    _copy(con, "FROM reasons", folder / "reasons.parquet")
    _copy(con, "SELECT md5(person_ref) AS mention, person_id AS person FROM person_source", folder / "mentions.parquet")
    withheld = record.snapshot.folder / WITHHELD
    none = 'SELECT NULL::VARCHAR AS "row", NULL::VARCHAR AS reason WHERE false'
    _copy(con, f"FROM read_parquet({literal(withheld)})" if withheld.is_file() else none, folder / "withheld.parquet")
    return counted


def _copy(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    con.execute(f"COPY ({query}) TO {literal(path)} ({_ZSTD})")


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes what holds for the release as a whole; with it the index is one."""
    for path in folder.iterdir():
        path.chmod(0o600)
        sync(path)
    with written_whole(folder / FACTS) as part:
        part.touch(mode=0o600)
        part.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def published_at(ledger: Ledger, snapshot_id: str) -> str:
    """When a snapshot was published."""
    s = tables.snapshot
    with ledger.reading() as connection:
        return str(connection.execute(sa.select(s.c.published_at).where(s.c.snapshot_id == snapshot_id)).scalar_one())


def clear_left(home: Home) -> None:
    """Removes what a killed release left of its work; to be called by who holds the lock of releases."""
    for left in (path for path in index_folder(home).iterdir() if path.is_dir()):
        if left.name.startswith(".") or not (left / FACTS).is_file() or not _was_given(_read(left)):
            shutil.rmtree(left)


_NAMES = (
    ("row", 'r."row"'),
    ("row", """split_part(r."row", '|', 2)"""),
    ("mention", "r.mention"),
    ("person", "r.person"),
)
"""Column of an index -> SQL of what it names; a row of the timeline bears the id of the event's row."""


def forget(home: Home, *, rows: Sequence[str] = (), persons: Sequence[str] = ()) -> int:
    """Takes rows of the record and persons out of every index, for an order of a court.

    What was counted stays, without a name, so that differences between releases still add up; it counts as sealed.

    Args:
        home: The home.
        rows: Row ids of the record; of a mention the md5 of its reference.
        persons: Person ids of whom nothing is to be named any more.

    Returns:
        How many rows of indexes named them.
    """
    gone = pa.table({"id": pa.array([*rows, *persons], pa.string())})
    with connect() as con:
        con.register("gone", gone)
        return sum(_forget_in(con, path, _NAMES) for path in _that_name(home))


def forget_agencies(home: Home, agencies: Sequence[str]) -> int:
    """Takes every row that came from some agencies out of every index, since all that came from them is destroyed.

    Returns:
        How many rows of indexes there were.
    """
    with connect() as con:
        con.register("gone", pa.table({"id": pa.array(agencies, pa.string())}))
        return sum(_forget_in(con, path, (("agency", "r.agency"),)) for path in _that_name(home))


def _that_name(home: Home) -> list[Path]:
    """The files of all indexes that name rows or persons."""
    found = (path for kept in kept_releases(home) for path in sorted(kept.folder.glob("*.parquet")))
    return [path for path in found if path.stem != "reasons"]


def _forget_in(con: duckdb.DuckDBPyConnection, path: Path, by: Sequence[tuple[str, str]]) -> int:
    """Leaves the counts of the rows that are forgotten and nothing else; gives their number."""
    rows = f"read_parquet({literal(path)})"
    names = [line[0] for line in con.execute(f"DESCRIBE FROM {rows}").fetchall()]
    told = [name for name in ("row", "mention", "person", "known", "agency", "extract") if name in names]
    bears = (
        " OR ".join(f"coalesce({sql} IN (SELECT id FROM gone), false)" for name, sql in by if name in names) or "false"
    )
    count = int(con.execute(f"SELECT count(*) FROM {rows} r WHERE {bears}").fetchall()[0][0])
    if count:
        without = ", ".join(f"CASE WHEN NOT ({bears}) THEN r.{quoted(n)} END AS {quoted(n)}" for n in told)
        with written_whole(path) as part:
            _copy(con, f"SELECT * REPLACE ({without}) FROM {rows} r", part)
    return count
