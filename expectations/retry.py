"""Rows that were set apart are tried again when what they waited for has come, and cleared when a newer row has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import sqlalchemy as sa

from expectations import dispositions
from expectations.check_batch import rules_of
from expectations.codes import pending_codes_sql
from expectations.dispositions import NOT_OF_CONTENT, States
from mappings.declarations import Feed
from standard.errors import ExtractError
from store.accounts import (
    WHOLE_EXTRACT,
    Move,
    clear_rows,
    move_rows,
    note_pending,
    read_moves,
    require_sums_hold,
    rows_now_sql,
    wholly_cleared,
)
from store.batches import read_batch
from store.extracts import Batch, Disposition, Holds, Status
from store.home import Home, connect, literal, quoted
from store.landing import Landing, read_extract
from store.ledger import Ledger, account
from store.ledger import extract as extracts
from store.seal_index import read_index
from store.state import current_state, fold, next_state_path, open_state, put_in_force

_LOADED = (Status.LOADED, Status.LOADED_LATE)


def states_of(home: Home, ledger: Ledger) -> States:
    """The states in force, read from the ledger each time they are asked for."""

    def state(agency: str, feed: str) -> Path | None:
        with ledger.reading() as connection:
            return current_state(connection, home, agency, feed)

    return state


def retry_quarantined(home: Home, ledger: Ledger, agency: str, feed: Feed) -> int:
    """Tries a feed's orphans and deletes of unknown keys again against the states of now.

    Only of feeds that send changes: a full file brings its rows again by itself. What passes moves to `accepted` (or
    to `withheld`, where an order stands by now) in its own extract's account and comes into force; a row that is
    still in error for what it holds stays quarantined for that.

    Returns:
        How many rows left the quarantine or changed their reason.

    Raises:
        AccountError: The sums of an extract do not hold.
    """
    if feed.holds is Holds.FULL:
        return 0
    moved = 0
    while True:
        again = sum(_retry(home, ledger, extract_id, feed) for extract_id in _waiting(ledger, agency, feed.feed))
        moved += again
        if not again:
            return moved


def _waiting(ledger: Ledger, agency: str, feed: str) -> list[str]:
    """The loaded extracts of a feed that have rows to be tried again, in order of arrival."""
    query = (
        sa.select(extracts.c.extract_id).distinct().join(account, account.c.extract_id == extracts.c.extract_id)
        .where(extracts.c.agency == agency, extracts.c.feed == feed, extracts.c.status.in_(_LOADED))
        .where(account.c.disposition == str(Disposition.QUARANTINED), account.c.reason.in_(NOT_OF_CONTENT))
        .add_columns(extracts.c.seq).order_by(extracts.c.seq)
    )  # fmt: skip
    with ledger.reading() as connection:
        return [row.extract_id for row in connection.execute(query)]


def open_extract(home: Home, ledger: Ledger, extract_id: str) -> Batch:
    """The mapped batch of an extract in the ledger."""
    extract = read_extract(ledger, Landing(home.landing), extract_id)
    return read_batch(home.batches / extract_id, extract)


def rows_now(con: duckdb.DuckDBPyConnection, ledger: Ledger, batch: Batch, *, moves: str = "moves") -> str:
    """An extract's rows as they stand now, as SQL on this connection, which gets the view `moves`."""
    with ledger.reading() as connection:
        con.register(moves, read_moves(connection, batch.extract.extract_id))
    return rows_now_sql(f"read_parquet({literal(batch.folder / 'rows.parquet')})", moves)


def _retry(home: Home, ledger: Ledger, extract_id: str, feed: Feed) -> int:
    batch = open_extract(home, ledger, extract_id)
    reasons = ", ".join(literal(reason) for reason in NOT_OF_CONTENT)
    with connect(temp=batch.folder / ".spill") as con:
        dispositions.open_batch(con, batch, feed, states_of(home, ledger))
        con.execute(
            f"CREATE TEMP TABLE waiting AS SELECT _record, reason FROM {rows_now(con, ledger, batch)}"
            f" WHERE disposition = 'quarantined' AND reason IN ({reasons}) AND NOT cleared"
        )
        con.execute("DELETE FROM fate WHERE _record NOT IN (SELECT _record FROM waiting)")
        _judge_again(con, home, ledger, batch, feed)
        changed = con.execute(
            "SELECT _record, waiting.reason, fate.disposition, fate.reason FROM fate JOIN waiting USING (_record)"
            " WHERE (fate.disposition, fate.reason) <> ('quarantined', waiting.reason) ORDER BY _record"
        ).fetchall()
        unseen = _unseen_codes(con, feed) if changed else []
    moves = [
        Move(int(record), Disposition.QUARANTINED, str(was), Disposition(to), str(reason))
        for record, was, to, reason in changed
    ]
    apply_moves(home, ledger, batch, feed, moves, who="exchange")
    if unseen:
        with ledger.writing() as connection:
            note_pending(connection, batch.extract, unseen)
    return len(moves)


def _unseen_codes(con: duckdb.DuckDBPyConnection, feed: Feed) -> list[tuple[object, ...]]:
    """Codes of the rows that pass now and could not be judged before: the row that gives their scope has come."""
    if not feed.scoped_by_lookup:
        return []
    con.execute(
        "CREATE TEMP VIEW passed AS SELECT mapped.* FROM mapped SEMI JOIN"
        " (SELECT _record FROM fate WHERE disposition = 'accepted') USING (_record)"
    )
    codes = con.execute(pending_codes_sql(con, feed, (), rows="passed")).fetchall()
    return [code for code in codes if code[0] in feed.scoped_by_lookup]


def _judge_again(con: duckdb.DuckDBPyConnection, home: Home, ledger: Ledger, batch: Batch, feed: Feed) -> None:
    standing = dispositions.read_standing(ledger, batch.extract, batch.folder.parent)
    seals = read_index(ledger, home.keys, on=datetime.now(UTC).date())
    dispositions.withhold_sealed(con, batch.extract, feed, seals)
    dispositions.withhold_orders(con, batch.extract, feed, standing)
    dispositions.quarantine_unknown_deletes(con)
    dispositions.quarantine_orphans(con, batch.extract, feed, states_of(home, ledger))
    dispositions.quarantine_found(con, batch.folder / "findings.parquet")
    if feed.scoped_by_lookup:
        dispositions.quarantine_problems(con, feed)
    dispositions.accept_rest(con, "retried")


def apply_moves(home: Home, ledger: Ledger, batch: Batch, feed: Feed, moves: Sequence[Move], *, who: str) -> None:
    """Moves rows of a loaded extract and brings those that are accepted by it into force, all or nothing.

    The new state is written beside the old one; the ledger's commit is the moment at which it counts.
    """
    if not moves:
        return
    extract = batch.extract
    path = None
    accepted = [move.record for move in moves if move.to_disposition is Disposition.ACCEPTED]
    if accepted:
        before = states_of(home, ledger)(extract.agency, extract.feed)
        path = next_state_path(home, extract, before)
        listed = f"unnest([{', '.join(str(record) for record in accepted)}]) AS _record"
        rows = f"(SELECT {listed}, 'accepted' AS disposition, '' AS reason)"
        fold(before, batch, rows, rules_of(feed), into=path)
    with ledger.writing() as connection:
        move_rows(connection, extract.extract_id, moves, who=who)
        require_sums_hold(connection, extract.extract_id)
        if path is not None:
            put_in_force(connection, home, extract, path)


def clear_superseded(home: Home, ledger: Ledger, agency: str, feed: Feed) -> int:
    """Marks quarantined rows as put right by what came later: a newer full file, or a newer row of the same key.

    A row whose key is gone from the newest census is put right too. The account of the row's own extract stays.

    Returns:
        How many moves were written; clearing a whole extract is one.
    """
    cleared = 0
    for extract_id in open_quarantines(ledger, agency=agency, feed=feed.feed):
        batch = open_extract(home, ledger, extract_id)
        records, reason = _put_right(home, ledger, batch, feed)
        with ledger.writing() as connection:
            clear_rows(connection, extract_id, records, reason=reason, who="exchange")
        cleared += len(records)
    return cleared


def open_quarantines(
    ledger: Ledger, *, agency: str | None = None, feed: str | None = None, extract_id: str | None = None
) -> list[str]:
    """The extracts that have quarantined rows and are not cleared as a whole, in order of arrival."""
    query = (
        sa.select(extracts.c.extract_id, extracts.c.seq).distinct()
        .join(account, account.c.extract_id == extracts.c.extract_id)
        .where(account.c.disposition == str(Disposition.QUARANTINED))
        .where(extracts.c.extract_id.not_in(wholly_cleared())).order_by(extracts.c.seq)
    )  # fmt: skip
    for column, value in ((extracts.c.agency, agency), (extracts.c.feed, feed), (extracts.c.extract_id, extract_id)):
        if value is not None:
            query = query.where(column == value)
    with ledger.reading() as connection:
        return [row.extract_id for row in connection.execute(query)]


def _put_right(home: Home, ledger: Ledger, batch: Batch, feed: Feed) -> tuple[list[int], str]:
    newest = _newest_loaded(ledger, batch)
    if feed.holds is Holds.FULL:
        spoken = newest is not None and _speaks_for(home.batches / newest, batch, feed)
        return ([WHOLE_EXTRACT] if spoken else []), "newer_full_file"
    with connect(temp=batch.folder / ".spill") as con, ledger.reading() as connection:
        open_state(con, batch, current_state(connection, home, batch.extract.agency, batch.extract.feed))
        con.execute(
            f"CREATE TEMP TABLE open_rows AS SELECT r._record, r._key, m._version FROM {rows_now(con, ledger, batch)} r"
            f" LEFT JOIN {_versions(batch)} m USING (_record)"
            " WHERE disposition = 'quarantined' AND NOT cleared AND r._key IS NOT NULL"
        )
        rank = f"(coalesce(q._version, ''), DATE '{batch.extract.as_of}', {batch.extract.seq})"
        newer = (
            f"SELECT q._record FROM open_rows q JOIN state s USING (_key)"
            f" WHERE (coalesce(s._version, ''), s._as_of, s._seq) > {rank}"
        )
        census = home.batches / (newest or "") / "census.parquet"
        if newest is not None and census.exists():
            newer += f" UNION SELECT _record FROM open_rows WHERE _key NOT IN ({_keys_of(census)})"
        return [int(record) for (record,) in con.execute(f"{newer} ORDER BY 1").fetchall()], "newer_row"


def _versions(batch: Batch) -> str:
    if not batch.mapped.exists():
        return "(SELECT NULL::BIGINT AS _record, NULL::VARCHAR AS _version WHERE false)"
    return f"(SELECT _record, _version FROM read_parquet({literal(batch.mapped)}))"


def _keys_of(census: Path) -> str:
    """The keys that are at the source; the full rows of the same extract stand beside the census."""
    files = ", ".join(literal(path) for path in (census, census.with_name("mapped.parquet")))
    return f"SELECT _key FROM read_parquet([{files}], union_by_name = true) WHERE _key IS NOT NULL"


def _newest_loaded(ledger: Ledger, batch: Batch) -> str | None:
    """The newest loaded extract of the same feed that is newer than this one."""
    extract = batch.extract
    newer = sa.or_(
        extracts.c.as_of > extract.as_of.isoformat(),
        sa.and_(extracts.c.as_of == extract.as_of.isoformat(), extracts.c.seq > extract.seq),
    )
    query = (
        sa.select(extracts.c.extract_id).where(extracts.c.agency == extract.agency, extracts.c.feed == extract.feed)
        .where(extracts.c.status.in_(_LOADED), newer).order_by(extracts.c.as_of.desc(), extracts.c.seq.desc()).limit(1)
    )  # fmt: skip
    with ledger.reading() as connection:
        return connection.execute(query).scalar()


def _speaks_for(newer: Path, batch: Batch, feed: Feed) -> bool:
    """Whether a newer full file speaks for all the windows of which this one has rows."""
    if not feed.window or not batch.mapped.exists():
        return True
    window = ", ".join(quoted(name) for name in feed.window)
    theirs = f"SELECT {window} FROM read_parquet({literal(newer / 'mapped.parquet')})"
    with connect() as con:
        left = f"SELECT {window} FROM read_parquet({literal(batch.mapped)}) EXCEPT {theirs}"
        return not con.execute(f"{left} LIMIT 1").fetchall()


def release_row(home: Home, ledger: Ledger, feed: Feed, *, extract_id: str, record: int, who: str, why: str) -> None:
    """Brings a quarantined row into force on a person's word; who and why stay in the ledger.

    Raises:
        ExtractError: The row is not in quarantine, its file is held, or it has no key or content to bring into force.
    """
    batch = open_extract(home, ledger, extract_id)
    where = f"extract {extract_id}, record {record}"
    if batch.extract.status not in _LOADED:
        raise ExtractError(
            "the file of this row is held whole",
            where=where,
            mend="release the file, or ask the agency to send it again",
        )
    with connect() as con:
        mapped = f"read_parquet({literal(batch.mapped)})"
        found = con.execute(
            f"SELECT reason, _key IS NOT NULL AND _record IN (SELECT _record FROM {mapped})"
            f" FROM {rows_now(con, ledger, batch)}"
            f" WHERE _record = {int(record)} AND disposition = 'quarantined'"
        ).fetchall()
    if not found:
        raise ExtractError("this row is not in quarantine", where=where, mend="see: kith quarantine list")
    reason, usable = found[0]
    if not usable:
        raise ExtractError(
            f"this row cannot be brought into force: {reason}", where=where, mend="ask the agency to send the row again"
        )
    move = Move(int(record), Disposition.QUARANTINED, str(reason), Disposition.ACCEPTED, "released")
    apply_moves(home, ledger, batch, feed, [move], who=f"{who}: {why}")
