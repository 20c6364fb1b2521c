"""The rows of a feed that are in force: how an extract is folded into them, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import sqlalchemy as sa

from standard.errors import ExtractError
from store.extracts import Batch, Extract, Holds
from store.home import Home, connect, literal, quoted, written_whole
from store.ledger import extract as extracts
from store.parquet import COMPACT

OF_STATE = {"_extract": "VARCHAR", "_since": "DATE", "_as_of": "DATE", "_seq": "BIGINT", "_deleted": "VARCHAR"}
"""What a state file adds to the columns of mapped.parquet: the extract that brought the row and its day, and the day
and the order of the extract that last had it."""

_RANK = "coalesce(_version, ''), _as_of, _seq, _record"
_KEPT_IN_TOMBSTONES = ("_record", "_line", "_key", "_hash", "_action", "_version", *OF_STATE)


@dataclass(frozen=True)
class Rules:
    """What a feed declares about its state."""

    holds: Holds
    key: tuple[str, ...]
    """Elements of the key, in order."""
    window: tuple[str, ...] = ()
    """Elements for whose values in the file a full file speaks; none: for everything."""
    max_withdrawn: float = 0.2
    """Share of the rows in force above which a file that would withdraw them is held."""
    least_withdrawn: int = 20
    """Fewer withdrawals than this never hold a file."""


def rows_sql(path: Path | None) -> str:
    """The rows in force of a state file as SQL; with no file yet, no row (columns `_key`, `_hash`, `_deleted` only)."""
    if path is None:
        return "(SELECT NULL::VARCHAR AS _key, NULL::VARCHAR AS _hash, NULL::VARCHAR AS _deleted WHERE false)"
    return f"(SELECT * FROM read_parquet({literal(path)}) WHERE _deleted IS NULL)"


def states_in_force(connection: sa.Connection, home: Home) -> dict[tuple[str, str], Path]:
    """(agency, feed) -> the state file in force; a feed of which no extract was folded yet has none."""
    query = sa.select(extracts.c.agency, extracts.c.feed, extracts.c.state_path)
    rows = connection.execute(query.where(extracts.c.state_path.is_not(None)))
    return {(row.agency, row.feed): home.root / row.state_path for row in rows}


def current_state(connection: sa.Connection, home: Home, agency: str, feed: str) -> Path | None:
    """The state file of a feed that is in force, or None before its first extract was folded."""
    query = sa.select(extracts.c.state_path).where(
        extracts.c.agency == agency, extracts.c.feed == feed, extracts.c.state_path.is_not(None)
    )
    found = connection.execute(query).scalar_one_or_none()
    return home.root / found if found else None


def put_in_force(connection: sa.Connection, home: Home, extract: Extract, path: Path) -> None:
    """Makes a state file the one in force of its feed; an extract row with a `state_path` is always the only one.

    The ledger keeps the path within the home, so that a home can be moved or put back elsewhere.
    """
    of_feed = sa.and_(extracts.c.agency == extract.agency, extracts.c.feed == extract.feed)
    within = path.relative_to(home.root).as_posix()
    connection.execute(extracts.update().where(of_feed).values(state_path=None))
    connection.execute(extracts.update().where(extracts.c.extract_id == extract.extract_id).values(state_path=within))


def clear_old_states(connection: sa.Connection, home: Home) -> None:
    """Removes the state files that are in force no longer; what they were made of is kept in the landing area."""
    kept = set(states_in_force(connection, home).values())
    for path in home.state.glob("*/*/*.parquet"):
        if path not in kept:
            path.unlink()


def next_state_path(home: Home, extract: Extract, before: Path | None) -> Path:
    """Where the state after an extract is written: never over the one in force, so that a crash leaves that whole."""
    folder = home.state / extract.agency / extract.feed
    path = folder / f"{extract.extract_id}.parquet"
    number = 1
    while before is not None and path == before:
        path = folder / f"{extract.extract_id}.{number}.parquet"
        number += 1
    return path


def read_missing(con: duckdb.DuckDBPyConnection, batch: Batch, rules: Rules, before: Path | None) -> int:
    """Makes the table `missing` (`_key`): rows in force that the extract shows to be gone; gives how many are in force.

    The connection must have the views `mapped` and `unreadable` of the batch. A key that is in the extract in any form
    (accepted, quarantined, unreadable) is not missing; where a key could be read only in part, every row in force that
    agrees with that part is protected.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE missing (_key VARCHAR)")
    if before is None or rules.holds == Holds.DELTA:
        return 0
    if rules.holds == Holds.CHANGES:
        return _missing_from_census(con, batch, before)
    return _missing_from_full(con, batch, rules, before)


def _spoken_for(extract: Extract, before: Path) -> str:
    """Rows in force that are not newer than the extract."""
    order = f"(_as_of, _seq) <= (DATE '{extract.as_of}', {extract.seq})"
    return f"(SELECT * FROM read_parquet({literal(before)}) WHERE _deleted IS NULL AND {order})"


def _missing_from_census(con: duckdb.DuckDBPyConnection, batch: Batch, before: Path) -> int:
    if not batch.census.exists():
        return 0
    census = f"read_parquet({literal(batch.census)})"
    inside = _spoken_for(batch.extract, before)
    con.execute(
        f"INSERT INTO missing SELECT _key FROM {inside} WHERE NOT EXISTS (SELECT 1 FROM {census} WHERE _key IS NULL)"
        f" AND _key NOT IN (SELECT _key FROM {census} WHERE _key IS NOT NULL)"
        f" AND _key NOT IN (SELECT _key FROM mapped WHERE _key IS NOT NULL)"
    )
    return _count(con, inside)


def _missing_from_full(con: duckdb.DuckDBPyConnection, batch: Batch, rules: Rules, before: Path) -> int:
    inside = _spoken_for(batch.extract, before)
    if rules.window:
        window = ", ".join(quoted(name) for name in rules.window)
        inside = f"(SELECT s.* FROM {inside} s SEMI JOIN (SELECT DISTINCT {window} FROM mapped) USING ({window}))"
    con.execute(
        f"INSERT INTO missing SELECT _key FROM {inside}"
        " WHERE _key NOT IN (SELECT _key FROM mapped WHERE _key IS NOT NULL)"
        " AND _key NOT IN (SELECT raw_key FROM unreadable WHERE raw_key IS NOT NULL)"
    )
    _protect_partly_read(con, rules, before)
    return _count(con, inside)


def _protect_partly_read(con: duckdb.DuckDBPyConnection, rules: Rules, before: Path) -> None:
    """Takes from `missing` what a row with an incomplete key may be: the parts of the key that were read must agree."""
    con.execute(
        "DELETE FROM missing WHERE EXISTS (SELECT 1 FROM unreadable WHERE raw_key IS NULL)"
        " OR EXISTS (SELECT 1 FROM unreadable WHERE starts_with(missing._key, raw_key || '|'))"
    )
    parts = [quoted(name) for name in rules.key]
    pattern = ", ".join(f"{part} IS NULL" for part in parts)
    for gaps in con.execute(f"SELECT DISTINCT {pattern} FROM mapped WHERE _key IS NULL").fetchall():
        known = [part for part, gap in zip(parts, gaps, strict=True) if not gap]
        if not known:
            con.execute("DELETE FROM missing")
            return
        same = " AND ".join(f"{part} IS {'NULL' if gap else 'NOT NULL'}" for part, gap in zip(parts, gaps, strict=True))
        agree = " AND ".join(f"s.{part} = m.{part}" for part in known)
        con.execute(
            f"DELETE FROM missing WHERE _key IN (SELECT s._key FROM read_parquet({literal(before)}) s"
            f" SEMI JOIN (SELECT * FROM mapped WHERE _key IS NULL AND {same}) m ON {agree})"
        )


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])


def withdraws_too_much(missing: int, in_force: int, rules: Rules) -> bool:
    """Whether a file that would end this many of the rows in force must be held for a person to look at."""
    return missing >= rules.least_withdrawn and missing > rules.max_withdrawn * in_force


def fold(before: Path | None, batch: Batch, dispositions: str, rules: Rules, *, into: Path) -> Path:
    """Writes the state after an extract: of every key the newest version, whatever the order of arrival.

    Args:
        before: The state in force, if there is one.
        batch: The extract's mapped rows.
        dispositions: The extract's rows as they stand now, as SQL (`_record, disposition, reason`); the name of a
            Parquet file in single quotes will do.
        rules: What the feed declares.
        into: The file to write; never `before`.

    Raises:
        ExtractError: The disk is full, or an element has another type than in the state in force.

    Returns:
        `into`. Its rows are those of mapped.parquet with the columns `OF_STATE`, one for every key, sorted
        by key; a row that is gone keeps its key and version only.
    """
    into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with connect(temp=into.parent / ".spill") as con, written_whole(into) as part:
            open_batch(con, batch)
            open_state(con, batch, before)
            con.execute(f"CREATE TEMP VIEW disposed AS SELECT * FROM {dispositions}")
            read_missing(con, batch, rules, before)
            _choose(con, batch.extract)
            con.execute(f"COPY ({_after(con, batch, rules)}) TO {literal(part)} ({COMPACT})")
    except duckdb.Error as error:
        # DuckDB's own words may hold a value; its kind of error does not.
        raise ExtractError(
            f"the extract cannot be folded into the rows in force ({type(error).__name__})",
            where=f"extract {batch.extract.extract_id}, state {before or 'none yet'}",
            mend="look at disk space and memory, and whether an element changed its type since the state was written",
        ) from None
    return into


def open_batch(con: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    """Makes the views `mapped` and `unreadable` of a batch."""
    con.execute(f"CREATE TEMP VIEW mapped AS SELECT * FROM read_parquet({literal(batch.mapped)})")
    if batch.unreadable.exists():
        con.execute(f"CREATE TEMP VIEW unreadable AS SELECT * FROM read_parquet({literal(batch.unreadable)})")
    else:
        con.execute("CREATE TEMP TABLE unreadable (_record BIGINT, _line BIGINT, code VARCHAR, raw_key VARCHAR)")


def open_state(con: duckdb.DuckDBPyConnection, batch: Batch, before: Path | None) -> None:
    """Makes the view `state`: every key of the state in force, tombstones too; without one yet, empty of that form."""
    if before is not None:
        con.execute(f"CREATE TEMP VIEW state AS SELECT * FROM read_parquet({literal(before)})")
        return
    added = ", ".join(f"NULL::{kind} AS {name}" for name, kind in OF_STATE.items())
    con.execute(f"CREATE TEMP VIEW state AS SELECT *, {added} FROM read_parquet({literal(batch.mapped)}) WHERE false")


def _choose(con: duckdb.DuckDBPyConnection, extract: Extract) -> None:
    """Makes the narrow tables `taken` (records that come into force) and `seen` (keys that came again unchanged)."""
    arrived = f"DATE '{extract.as_of}' AS _as_of, {extract.seq}::BIGINT AS _seq"
    con.execute(
        f"""
        CREATE TEMP TABLE taken AS
        WITH came AS (
            SELECT _key, _version, _record, {arrived}, true AS new FROM mapped
            SEMI JOIN (SELECT _record FROM disposed WHERE disposition = 'accepted') USING (_record)),
        both_ AS (
            SELECT * FROM came UNION ALL
            SELECT s._key, s._version, s._record, s._as_of, s._seq, false FROM state s SEMI JOIN came USING (_key))
        SELECT _key, _record, new FROM both_
        QUALIFY row_number() OVER (PARTITION BY _key ORDER BY ({_RANK}) DESC, new) = 1
        """
    )
    con.execute("DELETE FROM taken WHERE NOT new")
    con.execute(
        "CREATE TEMP TABLE seen AS SELECT DISTINCT _key FROM mapped SEMI JOIN "
        "(SELECT _record FROM disposed WHERE disposition = 'duplicate' AND reason = 'unchanged') USING (_record)"
    )


def _after(con: duckdb.DuckDBPyConnection, batch: Batch, rules: Rules) -> str:
    columns = [str(row[0]) for row in con.execute("DESCRIBE mapped").fetchall()]
    extract = batch.extract
    gone = "purged" if rules.holds == Holds.CHANGES else "withdrawn"
    here = f"(DATE '{extract.as_of}', {extract.seq}::BIGINT)"
    again = f"EXISTS (SELECT 1 FROM seen WHERE seen._key = s._key) AND (s._as_of, s._seq) < {here}"
    missing = "EXISTS (SELECT 1 FROM missing WHERE missing._key = s._key)"
    arrived = (
        f"{literal(extract.extract_id)} AS _extract, DATE '{extract.as_of}' AS _since,"
        f" DATE '{extract.as_of}' AS _as_of, {extract.seq}::BIGINT AS _seq"
    )
    wide = _blanked(columns, where="_deleted IS NOT NULL")
    return f"""
        WITH after AS (
            SELECT s.* EXCLUDE (_extract, _since, _as_of, _seq, _deleted, _hash, again, missing),
                CASE WHEN missing THEN NULL ELSE _hash END AS _hash,
                CASE WHEN missing THEN {literal(extract.extract_id)} ELSE _extract END AS _extract,
                CASE WHEN missing THEN DATE '{extract.as_of}' ELSE _since END AS _since,
                CASE WHEN again OR missing THEN DATE '{extract.as_of}' ELSE _as_of END AS _as_of,
                CASE WHEN again OR missing THEN {extract.seq} ELSE _seq END AS _seq,
                CASE WHEN missing THEN '{gone}' ELSE _deleted END AS _deleted
            FROM (SELECT s.*, {again} AS again, {missing} AS missing FROM state s ANTI JOIN taken USING (_key)) s
            UNION ALL BY NAME
            SELECT m.*, {arrived}, CASE WHEN m._action = 'delete' THEN 'deleted' END AS _deleted
            FROM ({_coming(con, rules)}) m)
        SELECT {wide} FROM after ORDER BY _key"""


def _coming(con: duckdb.DuckDBPyConnection, rules: Rules) -> str:
    """The rows that come into force. A number that was damaged on its way does not put out the one known before.

    Only in full files: they come into force in order of their day, so what was known before is the same whatever the
    order of arrival.
    """
    coming = "SELECT * FROM mapped SEMI JOIN taken USING (_record)"
    known = {str(row[0]) for row in con.execute("DESCRIBE state").fetchall()}
    reasons = "SELECT unnest(string_split(_missing, ' ')) AS reason FROM mapped WHERE contains(_missing, ':damaged')"
    damaged = f"SELECT DISTINCT split_part(reason, ':', 1) FROM ({reasons}) WHERE ends_with(reason, ':damaged')"
    elements = sorted(str(row[0]) for row in con.execute(damaged).fetchall() if row[0] in known)
    if rules.holds != Holds.FULL or not elements:
        return coming
    kept = ", ".join(
        f"CASE WHEN list_contains(string_split(c._missing, ' '), {literal(f'{name}:damaged')})"
        f" THEN s.{quoted(name)} ELSE c.{quoted(name)} END AS {quoted(name)}"
        for name in elements
    )
    before = "(SELECT * FROM state WHERE _deleted IS NULL)"
    return f"SELECT c.* REPLACE ({kept}) FROM ({coming}) c LEFT JOIN {before} s USING (_key)"


def _blanked(columns: list[str], *, where: str) -> str:
    """All columns, those of the elements emptied where a row is gone: what is gone is not kept longer than needed."""
    kept = [quoted(name) for name in _KEPT_IN_TOMBSTONES]
    emptied = [
        f"CASE WHEN {where} THEN NULL ELSE {quoted(name)} END AS {quoted(name)}"
        for name in columns
        if name not in _KEPT_IN_TOMBSTONES
    ]
    return ", ".join(kept + emptied)
