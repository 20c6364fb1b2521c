"""Bring mended declarations to what was taken in before: replay the landed extracts, compare, and put in force."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import duckdb
import sqlalchemy as sa

from expectations.check_batch import rules_of
from flows.remap_changes import Changes, compare
from flows.replay import Replay, replayed
from flows.run import Progress
from flows.settings import Settings
from flows.status import SPOKEN_FOR
from mappings.load import Agency
from standard.errors import ExtractError
from store.accounts import require_sums_hold
from store.home import Home, connect, literal, sync, written_whole
from store.ledger import Ledger
from store.ledger import extract as extracts
from store.state import withdraws_too_much
from store.take_over import COMPARED, NEXT_ROWS, finish_remaps, remove_workplace, take_over


def require_loaded(ledger: Ledger, agency: str, feed: str) -> None:
    """Refuses a feed of which nothing came yet.

    Raises:
        ExtractError: There is nothing to map again.
    """
    of_feed = sa.select(extracts.c.extract_id).where(extracts.c.agency == agency, extracts.c.feed == feed)
    with ledger.reading() as connection:
        if connection.execute(of_feed.where(extracts.c.status.in_(SPOKEN_FOR)).limit(1)).first() is None:
            raise ExtractError(
                f"nothing of {agency}/{feed} has been loaded yet", where="the ledger",
                mend="take in what it sent with: kith run",
            )  # fmt: skip


def preview(
    home: Home, settings: Settings, agency: Agency, *, ledger: Ledger, anew: frozenset[str], progress: Progress
) -> Changes:
    """What mapping an agency's extracts again would change; nothing is kept. To be called only by who holds the home.

    Args:
        home: The home.
        settings: Its settings.
        agency: Whose extracts are mapped again.
        ledger: The home's ledger.
        anew: Feeds to be mapped again even where their declarations are those of then.
        progress: Told where it stands.

    Raises:
        ExtractError: Nothing of the agency was ever loaded, a landed file is missing, or an extract cannot be loaded.
    """
    finish_remaps(home, ledger)
    with replayed(home, settings, agency, ledger=ledger, anew=anew, progress=progress) as replay:
        changes = compare(home, ledger, replay)
    remove_workplace(replay.place.root)
    return changes


def remap_agency(
    home: Home, settings: Settings, agency: Agency, *, ledger: Ledger, anew: frozenset[str], progress: Progress,
    withdraw: bool = False,
) -> Changes:  # fmt: skip
    """Maps an agency's extracts again and puts what comes of it in force; the next publishing shows it.

    The ledger's commit is the moment: before it all is as it was, whatever fails; what is left to do after it is done
    by the next run. To be called only by who holds the home.

    Args:
        home: The home.
        settings: Its settings.
        agency: Whose extracts are mapped again.
        ledger: The home's ledger.
        anew: Feeds to be mapped again even where their declarations are those of then.
        progress: Told where it stands.
        withdraw: Go on where more of a feed's rows leave force than one file may withdraw.

    Raises:
        ExtractError: As `preview`; or too many rows would leave force.
        AccountError: The accounts of an extract do not hold; nothing was changed.
    """
    finish_remaps(home, ledger)
    with replayed(home, settings, agency, ledger=ledger, anew=anew, progress=progress) as replay:
        changes = compare(home, ledger, replay)
        if not withdraw:
            _require_few_gone(agency, changes)
        for extract_id in replay.extracts:
            _write_next(replay.place.batches / extract_id)
        states = _lay_states_beside(home, replay)
        with ledger.writing() as connection, replay.ledger.reading() as own:
            take_over(
                connection, own, agency=agency.agency, batches=replay.place.batches, extracts_=replay.extracts,
                anew=changes.counted_anew, states=states, remap_id=replay.remap_id,
            )  # fmt: skip
            require_sums_hold(connection)
    finish_remaps(home, ledger)
    return changes


def _require_few_gone(agency: Agency, changes: Changes) -> None:
    for feed in changes.feeds:
        if withdraws_too_much(feed.gone, feed.in_force, rules_of(agency.feeds[feed.feed])):
            raise ExtractError(
                f"{feed.gone:,} of {feed.in_force:,} rows of {feed.feed} would leave force",
                where=f"{agency.folder / feed.feed}.yaml",
                mend="see why with --preview and mend the declaration; if that is what it is to be, add --withdraw",
            )


def _write_next(folder: Path) -> None:
    """Writes rows.parquet as it will be: where each row stands after all that has happened to it."""
    try:
        with connect(temp=folder / ".spill") as con, written_whole(folder / NEXT_ROWS) as part:
            rows = f"SELECT _record, _line, _key, disposition, reason FROM read_parquet({literal(folder / COMPARED)})"
            con.execute(f"COPY ({rows} ORDER BY _record) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd)")
    except duckdb.Error as error:
        raise ExtractError(
            f"the rows cannot be written ({type(error).__name__})", where=str(folder), mend="make room on the disk"
        ) from None


def _lay_states_beside(home: Home, replay: Replay) -> dict[str, str]:
    """Puts the new states beside those in force, under names of their own; extract -> path within the home."""
    with replay.ledger.reading() as connection:
        query = sa.select(extracts.c.extract_id, extracts.c.state_path).where(extracts.c.state_path.is_not(None))
        rows = connection.execute(query).all()
    laid = {}
    for row in rows:
        made = replay.place.root / row.state_path
        path = home.root / Path(row.state_path).with_name(f"{row.extract_id}.{replay.remap_id}.parquet")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(made, path)
        sync(path.parent)
        laid[str(row.extract_id)] = path.relative_to(home.root).as_posix()
    return laid


def told(changes: Changes) -> dict[str, object]:
    """Changes as JSON."""
    return {**asdict(changes), "counted_anew": sorted(changes.counted_anew)}
