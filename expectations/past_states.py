"""The rows of a feed that were in force at a moment of the past, made again from the batches that came up to then."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from expectations.bearing import tokens_of
from expectations.check_batch import rules_of
from expectations.relation import in_terms_sql
from expectations.retry import open_extract, states_of
from mappings.compile import install_macros
from mappings.declarations import Feed
from mappings.load import Agency
from standard.errors import ExtractError
from store.accounts import read_moves, rows_now_sql
from store.extracts import Status
from store.home import Home, connect, literal, sql_path, written_whole
from store.ledger import Ledger, order_, run
from store.ledger import extract as extracts
from store.seal_index import matched_sql, read_index
from store.state import fold, rows_sql

_FOLDED = (Status.LOADED, Status.LOADED_LATE, Status.SUPERSEDED)


def write_state_as_of(
    home: Home, ledger: Ledger, agency: Agency, feed: Feed, moment: date | str, *, into: Path
) -> tuple[int, int]:
    """Writes the rows of a feed that were in force: at the end of a day (by when files were received), or right after
    an extract. Rows of anything that an order covers today are left out.

    Batches are those of the declarations in force: after a remap the past is told by the mended ones.

    Args:
        home: The home; work lies below it and is removed.
        ledger: Its control plane; read only.
        agency: Whose feed it is.
        feed: The feed.
        moment: A day of the agency's time zone, or the id of an extract of the feed.
        into: The file to write, mode 0600: CSV if it is named so, else Parquet.

    Returns:
        Extracts that were folded, and rows written.

    Raises:
        ExtractError: Nothing had come by then, or there is no such extract of the feed.
    """
    ids, until = _came_by(ledger, agency, feed, moment)
    with TemporaryDirectory(dir=home.root, prefix=".state-") as folder:
        work, state = Path(folder), None
        for number, extract_id in enumerate(ids):
            state = _folded(home, ledger, feed, extract_id, state, work / f"{number}.parquet", until=until)
        assert state is not None
        return len(ids), _write(home, ledger, agency, feed, state, into, work)


def _came_by(ledger: Ledger, agency: Agency, feed: Feed, moment: date | str) -> tuple[list[str], str]:
    """The extracts loaded up to a moment, in order of arrival, and the moment up to which persons' decisions count."""
    of_feed = sa.and_(extracts.c.agency == agency.agency, extracts.c.feed == feed.feed, extracts.c.status.in_(_FOLDED))
    chosen = sa.select(extracts.c.extract_id, extracts.c.seq, extracts.c.received_at, run.c.finished_at)
    query = chosen.join(run, run.c.run_id == extracts.c.run_id, isouter=True).where(of_feed).order_by(extracts.c.seq)
    with ledger.reading() as connection:
        rows = connection.execute(query).all()
    if isinstance(moment, date):
        end = datetime.combine(moment + timedelta(days=1), time.min, ZoneInfo(agency.timezone)).astimezone(UTC)
        came = [row for row in rows if datetime.fromisoformat(row.received_at) < end]
        until = end.isoformat(timespec="milliseconds")
    else:
        last = next((row for row in rows if row.extract_id == moment), None)
        came = [row for row in rows if last is not None and row.seq <= last.seq]
        until = (last.finished_at if last else None) or "9999"
    if not came:
        first = _day_of(rows[0].received_at, agency) if rows else None
        raise ExtractError(
            f"nothing of {agency.agency}/{feed.feed} was in force then", where=str(moment),
            mend=f"name a day from {first} on (when it came counts, not the day it speaks of), or an extract of this "
            "feed that was loaded" if first else "none of its extracts was loaded yet; see: kith status",
        )  # fmt: skip
    return [row.extract_id for row in came], until


def _day_of(received_at: str, agency: Agency) -> date:
    return datetime.fromisoformat(received_at).astimezone(ZoneInfo(agency.timezone)).date()


def _folded(
    home: Home, ledger: Ledger, feed: Feed, extract_id: str, before: Path | None, into: Path, *, until: str
) -> Path:  # fmt: skip
    batch = open_extract(home, ledger, extract_id)
    stood = into.with_suffix(".rows.parquet")
    with connect() as con, ledger.reading() as connection:
        con.register("moves", read_moves(connection, extract_id, until=until))
        rows = rows_now_sql(f"read_parquet({literal(batch.folder / 'rows.parquet')})", "moves")
        con.sql(f"SELECT _record, disposition, reason FROM {rows}").write_parquet(sql_path(stood))
    return fold(before, batch, f"read_parquet({literal(stood)})", rules_of(feed), into=into)


def _write(home: Home, ledger: Ledger, agency: Agency, feed: Feed, state: Path, into: Path, work: Path) -> int:
    with ledger.reading() as connection:
        sealed = list(connection.execute(sa.select(order_.c.ref).where(order_.c.lifted_at.is_(None))).scalars())
    with connect(temp=work / ".spill") as con, written_whole(into) as part:
        install_macros(con)
        today = datetime.now(UTC).date()
        of_agency = states_of(home, ledger)
        rows = in_terms_sql(feed, rows_sql(state), as_of=today, state_of=lambda name: of_agency(agency.agency, name))
        con.execute("CREATE TEMP TABLE sealed AS SELECT unnest($refs::VARCHAR[]) AS ref", {"refs": sealed})
        tokens = tokens_of(agency.agency, feed)
        free = " AND ".join(f"coalesce({text} NOT IN (FROM sealed), true)" for _, text in tokens)
        if (seals := read_index(ledger, home.keys, on=today)) is not None:
            con.execute(f"CREATE TEMP VIEW in_terms AS SELECT * FROM {rows}")
            free += f" AND _key NOT IN (SELECT row FROM {matched_sql(con, seals, 'in_terms', tokens, row='_key')})"
        shown = f"SELECT own.* EXCLUDE (as_of{_lookups(feed)}) FROM {rows} own WHERE {free} ORDER BY _key"
        form = "FORMAT csv, HEADER" if into.suffix.lower() == ".csv" else "FORMAT parquet, COMPRESSION zstd"
        con.execute(f"COPY ({shown}) TO {literal(part)} ({form})")
        count = con.execute(f"SELECT count(*) FROM ({shown})").fetchall()
    into.chmod(0o600)
    return int(count[0][0])


def _lookups(feed: Feed) -> str:
    return "".join(f', "{alias}"' for alias in feed.lookups)
