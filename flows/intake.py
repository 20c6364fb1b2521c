"""Take in what an agency has sent: map, check, account and fold every extract, from where the ledger says it stands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from expectations.check_batch import check_batch, rules_of
from expectations.fingerprint import fingerprint_of
from expectations.retry import clear_superseded, retry_quarantined, states_of
from flows.fetching import needs, processing_order
from flows.governed import NO_AGREEMENT, day_of, why_not_loaded
from flows.run import Night
from mappings.declarations import Feed
from mappings.load import Agency
from mappings.manifest import ManifestEntry, entry_for, manifest_entries
from mappings.map_extract import map_extract
from store.accounts import require_rows_agree, require_sums_hold, write_accounts
from store.batches import read_batch, write_batch
from store.encryption_home import note_owner
from store.extracts import Batch, Checked, Disposition, Extract, Holds, Status
from store.home import literal
from store.landing import Landing, read_extract
from store.ledger import extract as extracts
from store.runs import Stage, stage_of
from store.seal_index import SealIndex, read_index
from store.state import fold, next_state_path, put_in_force

log = logging.getLogger(__name__)

UNFINISHED = (Status.LANDED, Status.MAPPED, Status.CHECKED)
_WAITS_FOR_MANIFEST = sa.and_(extracts.c.status == Status.HELD, extracts.c.status_reason == "unlisted")
"""A file that came before the manifest that lists it is looked at again when that has come."""
_WAITS_FOR_AGREEMENT = sa.and_(extracts.c.status == Status.HELD, extracts.c.status_reason == NO_AGREEMENT)


def load_extracts(night: Night, name: str) -> None:
    """Loads every extract of an agency that is not finished, by day and in the order in which feeds need each other.

    A feed of which an extract fails waits for the next run, and with it the feeds that need its rows, which would all
    be orphans; the agency's other feeds go on.

    Raises:
        Exception: What the first of them failed of, after all others were loaded.
    """
    agency = night.agencies[name]
    failed: list[Exception] = []
    waiting: set[str] = set()
    _try_again(night, agency)
    unfinished = _unfinished(night, agency)
    if unfinished:
        night.choose_judge()
    for extract_id, feed in unfinished:
        if night.stopping:
            return
        if feed in waiting or waiting & set(needs(agency.feeds[feed])):
            waiting.add(feed)
            continue
        if why := why_not_loaded(night, agency, feed):
            _hold_unagreed(night, agency, feed, why)
            waiting.add(feed)
            continue
        try:
            _load(night, agency, extract_id)
        except Exception as error:
            failed.append(error)
            waiting.add(feed)
            night.progress(f"{name} {feed}: extract {extract_id} failed: {type(error).__name__}")
    _try_again(night, agency)
    if failed:
        raise failed[0]


def _hold_unagreed(night: Night, agency: Agency, feed: str, why: str) -> None:
    """Holds every extract of a feed that waits while no agreement covers it; nothing of them is read."""
    of_feed = sa.and_(extracts.c.agency == agency.agency, extracts.c.feed == feed)
    with night.ledger.writing() as connection:
        waiting = sa.and_(of_feed, extracts.c.status.in_(UNFINISHED))
        night.held += connection.execute(sa.select(extracts.c.extract_id).where(waiting)).scalars()
        connection.execute(extracts.update().where(waiting).values(status=Status.HELD, status_reason=NO_AGREEMENT))
    night.progress(f"{agency.agency} {feed}: held, {NO_AGREEMENT}: {why}")


def _try_again(night: Night, agency: Agency) -> None:
    """Clears quarantined rows that newer ones put right, and tries again those that waited for another feed's rows."""
    for name in processing_order(agency):
        feed = agency.feeds[name]
        clear_superseded(night.home, night.ledger, agency.agency, feed)
        if moved := retry_quarantined(night.home, night.ledger, agency.agency, feed):
            night.progress(f"{agency.agency} {name}: {moved:,} rows of the quarantine were tried again and moved")


def _unfinished(night: Night, agency: Agency) -> list[tuple[str, str]]:
    """(extract_id, feed) in the order of loading."""
    rank = {feed: n for n, feed in enumerate(processing_order(agency))}
    query = sa.select(extracts.c.extract_id, extracts.c.feed, extracts.c.as_of, extracts.c.seq).where(
        extracts.c.agency == agency.agency,
        sa.or_(extracts.c.status.in_(UNFINISHED), _WAITS_FOR_MANIFEST, _WAITS_FOR_AGREEMENT),
    )
    with night.ledger.reading() as connection:
        rows = connection.execute(query).all()
    declared = sorted((row for row in rows if row.feed in rank), key=lambda row: row.seq)
    turns = _turns(agency, [(row.feed, row.as_of) for row in declared])
    # Of a full feed the newest day goes first: what it speaks of, an older file no longer says. An older file is still
    # there for its turn, should the newer one turn out to be bad.
    declared.sort(key=lambda row: row.as_of if row.feed in turns else "", reverse=True)
    # A table read tonight already holds whatever the files of earlier days speak of, so tables go first.
    of_files = {name: feed.arrives.table is None for name, feed in agency.feeds.items()}
    declared.sort(key=lambda row: (of_files[row.feed], turns.get(row.feed, row.as_of), rank[row.feed]))
    return [(row.extract_id, row.feed) for row in declared]


def _turns(agency: Agency, waiting: list[tuple[str, str]]) -> dict[str, str]:
    """Full feed -> the day on which all its waiting (feed, as_of) have their turn.

    That is its newest day, and no earlier than that of a full feed whose rows it needs.
    """
    turns: dict[str, str] = {}
    for name in processing_order(agency):
        days = [as_of for feed, as_of in waiting if feed == name]
        if days and agency.feeds[name].holds is Holds.FULL:
            turns[name] = max([*days, *(turns[needed] for needed in needs(agency.feeds[name]) if needed in turns)])
    return turns


def _load(night: Night, agency: Agency, extract_id: str) -> None:
    """Brings one extract from where it stands to its end, stage by stage."""
    extract = read_extract(night.ledger, Landing(night.home.landing), extract_id)
    feed = agency.feeds[extract.feed]
    if extract.status_reason == "unlisted" and _manifest_entry(night, feed, extract) is None:
        return
    if extract.status in (Status.LANDED, Status.HELD):
        _map(night, agency, feed, extract)
    batch = read_batch(night.home.batches / extract_id, extract)
    if extract.status is Status.CHECKED or _check(night, feed, batch) is Status.CHECKED:
        _fold(night, feed, batch)


@contextmanager
def _stage(night: Night, name: str, extract: Extract) -> Iterator[Stage]:
    of_extract = {"agency": extract.agency, "feed": extract.feed, "extract_id": extract.extract_id}
    with stage_of(night.ledger, night.run.run_id, name, **of_extract) as going:
        yield going


def _manifest_entry(night: Night, feed: Feed, extract: Extract) -> ManifestEntry | None:
    """What any manifest that came up to now says of an extract."""
    if feed.manifest is None:
        return None
    taken = (Status.LOADED, Status.LOADED_LATE, Status.SUPERSEDED)
    query = sa.select(extracts.c.extract_id).where(
        extracts.c.agency == extract.agency, extracts.c.feed == feed.manifest.feed, extracts.c.status.in_(taken)
    )
    with night.ledger.reading() as connection:
        manifests = [night.home.batches / found / "mapped.parquet" for found in connection.execute(query).scalars()]
    return entry_for(extract, manifest_entries(manifests))


def _map(night: Night, agency: Agency, feed: Feed, extract: Extract) -> None:
    with _stage(night, "map", extract) as going:
        manifest = _manifest_entry(night, feed, extract)
        into = night.home.batches / extract.extract_id
        note_owner(into, agency.agency)
        batch = map_extract(extract, agency, feed, into=into, manifest=manifest)
        write_batch(batch)
        going.rows = batch.received
        with night.ledger.writing() as connection:
            _set_status(connection, extract, Status.MAPPED, declarations=fingerprint_of(agency, feed))


def _check(night: Night, feed: Feed, batch: Batch) -> Status:
    """Gives every row its disposition and writes the accounts; the status that follows."""
    extract = batch.extract
    with _stage(night, "check", extract) as going:
        states = states_of(night.home, night.ledger)
        checked = check_batch(batch, feed, states=states, ledger=night.ledger, judge=night.judge, seals=seals_of(night))
        status, reason = checked.status
        with night.ledger.writing() as connection:
            write_accounts(connection, checked)
            require_sums_hold(connection, extract.extract_id)
            require_rows_agree(connection, checked)
            _set_status(connection, extract, status, reason)
        going.rows = batch.received
    if status is Status.HELD:
        night.held.append(extract.extract_id)
    night.progress(f"{extract.agency} {extract.feed}: {_line(checked)}")
    return status


def seals_of(night: Night) -> SealIndex | None:
    """What the orders in force on the night's day mean."""
    return read_index(night.ledger, night.home.keys, on=day_of(night.settings, night.now))


def _line(checked: Checked) -> str:
    went = {kind: sum(rows for (of, _), rows in checked.counts.items() if of is kind) for kind in Disposition}
    counts = ", ".join(f"{rows:,} {kind}" for kind, rows in went.items())
    held = f"; held: {checked.held}" if checked.held else ""
    # By its id: the name of a file is the agency's, and people have put a person's name into one.
    return f"extract {checked.batch.extract.extract_id}: {checked.batch.received:,} received, {counts}{held}"


def _fold(night: Night, feed: Feed, batch: Batch) -> None:
    """Puts the accepted rows in force; the ledger's commit is the moment."""
    extract = batch.extract
    with _stage(night, "fold", extract) as going:
        before = states_of(night.home, night.ledger)(extract.agency, extract.feed)
        path = next_state_path(night.home, extract, before)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = f"read_parquet({literal(batch.folder / 'rows.parquet')})"
        fold(before, batch, rows, rules_of(feed), into=path)
        with night.ledger.writing() as connection:
            late = _is_late(connection, extract)
            put_in_force(connection, night.home, extract, path)
            _set_status(connection, extract, Status.LOADED_LATE if late else Status.LOADED)
        going.rows = batch.received


def _is_late(connection: sa.Connection, extract: Extract) -> bool:
    """Whether an extract of a later day was loaded before this one."""
    loaded = (Status.LOADED, Status.LOADED_LATE)
    later = sa.select(sa.literal(1)).where(
        extracts.c.agency == extract.agency, extracts.c.feed == extract.feed,
        extracts.c.status.in_(loaded), extracts.c.as_of > extract.as_of.isoformat(),
    )  # fmt: skip
    return connection.execute(later.limit(1)).first() is not None


def _set_status(
    connection: sa.Connection, extract: Extract, status: Status, reason: str | None = None, **more: str
) -> None:
    of_extract = extracts.update().where(extracts.c.extract_id == extract.extract_id)
    connection.execute(of_extract.values(status=str(status), status_reason=reason, **more))
