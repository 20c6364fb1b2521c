"""Load an agency's landed extracts again, in the order of then, by the declarations of now, beside what is in force."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from expectations.fingerprint import fingerprint_of
from expectations.retry import open_extract, release_row, rows_now
from flows.intake import UNFINISHED, load_extracts
from flows.run import Night, Progress
from flows.settings import Settings
from mappings.load import Agency
from standard.errors import ExtractError
from store.encryption_home import OWNER
from store.extracts import Status
from store.home import Home, clear_leftovers, connect, written_whole
from store.landing import Landing
from store.ledger import Ledger, account, open_ledger, order_, packed, received, row_move, run
from store.ledger import extract as extracts
from store.registers import seal_act, seal_mark, seal_order
from store.runs import Run
from store.seal_index import EXPUNGED
from store.take_over import NOTE, WORKPLACES, note_of, remove_workplace

_RELEASED = "released"
Row = Any


@dataclass(frozen=True)
class Workplace(Home):
    """Where extracts are loaded again: batches, states and a ledger of its own, the landing area of the home."""

    of: Home

    @property
    def landing(self) -> Path:
        return self.of.landing

    @property
    def keys(self) -> Path:
        return self.of.keys


@dataclass(frozen=True)
class Replay:
    """What an agency's extracts come to by the declarations of now."""

    remap_id: str
    agency: Agency
    place: Workplace
    ledger: Ledger
    """The workplace's own."""
    extracts: tuple[str, ...]
    releases_lost: int
    """Rows that a person released and that are not the same rows, or not to be released, any more."""


@dataclass(frozen=True)
class _Past:
    """What happened to an agency's extracts."""

    arrivals: Sequence[tuple[str, Sequence[Row]]]
    """(begin of the run, the extracts that came with it), in order."""
    releases: Sequence[Row]
    """Moves of rows that a person released."""
    orders: Sequence[Row]
    """The agency's orders in the register."""
    seals: Mapping[sa.Table, Sequence[Row]]
    """The orders written down by hand, what became of them, and what they mean."""


@contextmanager
def replayed(
    home: Home, settings: Settings, agency: Agency, *, ledger: Ledger, anew: frozenset[str], progress: Progress
) -> Iterator[Replay]:
    """Loads what an agency sent again in a workplace of its own; nothing that is in force is touched.

    All feeds of the agency are checked and folded again, because they refer to each other; those of `anew`, and those
    whose declarations changed since, are mapped again. Where a replay for the same was killed, this one goes on.
    To be called only by who holds the home.

    Args:
        home: The home.
        settings: Its settings.
        agency: Whose extracts are loaded again.
        ledger: The home's ledger; it is only read.
        anew: Feeds to be mapped again even where their declarations are those of then.
        progress: Told one line for every run whose extracts are loaded again.

    Raises:
        ExtractError: Nothing of the agency was ever loaded, a landed file is missing, or an extract cannot be loaded.
    """
    past = _read_past(ledger, agency)
    _require_landed(home, past)
    place = _open_workplace(home, agency, _made_of(agency, past, anew))
    own = open_ledger(place.ledger_file)
    # What was loaded is here already: a replay asks no agreement anew, lest one that has ended take rows out of force.
    settings = settings.model_copy(update={"governance": "off"})
    try:
        night = Night(
            place,
            settings,
            {agency.agency: agency},
            (agency.agency,),
            own,
            Run("remap", 1),
            datetime.now(UTC),
            lambda _: None,
        )
        try:
            lost = _repeat(night, past, home=home, real=ledger, anew=anew, progress=progress)
        finally:
            night.end_judge()
        ids = tuple(row.extract_id for _, rows in past.arrivals for row in rows)
        yield Replay(note_of(place.root)["remap_id"], agency, place, own, ids, lost)
    finally:
        own.close()


def _read_past(ledger: Ledger, agency: Agency) -> _Past:
    # What was refused at the door was never read, and is not read now.
    left_out = (*UNFINISHED, Status.DUPLICATE)
    unopened = sa.select(packed.c.extract_id).where(
        packed.c.extract_id == extracts.c.extract_id, packed.c.sha256 == extracts.c.sha256
    )
    expunged = sa.exists().where(account.c.extract_id == extracts.c.extract_id, account.c.reason == EXPUNGED)
    came = (
        sa.select(extracts, run.c.started_at, expunged.label("expunged"))
        .join(received, received.c.extract_id == extracts.c.extract_id)
        .join(run, run.c.run_id == extracts.c.run_id, isouter=True)
        .where(extracts.c.agency == agency.agency, extracts.c.feed.in_(agency.feeds))
        .where(extracts.c.status.not_in(left_out), ~sa.exists(unopened)).order_by(run.c.fence, extracts.c.seq)
    )  # fmt: skip
    released = sa.select(row_move).join(extracts, extracts.c.extract_id == row_move.c.extract_id).where(
        extracts.c.agency == agency.agency, row_move.c.reason == _RELEASED
    )  # fmt: skip
    # An order of an extract that is not loaded yet has not come as far as this goes: it arrives with that extract.
    not_loaded = sa.select(extracts.c.extract_id).where(
        extracts.c.extract_id == order_.c.since_extract, extracts.c.status.in_(UNFINISHED)
    )
    of_agency = order_.c.ref.startswith(f"{agency.agency}/", autoescape=True)
    ordered = order_.select().where(of_agency, ~sa.exists(not_loaded))
    with ledger.reading() as connection:
        rows = connection.execute(came).all()
        releases = connection.execute(released.order_by(row_move.c.move_id)).all()
        orders = connection.execute(ordered).all()
        seals = {table: connection.execute(table.select()).all() for table in (seal_order, seal_act, seal_mark)}
    if not rows:
        raise ExtractError(
            f"nothing of {agency.agency} has been loaded yet", where="the ledger",
            mend="take in what it sent with: kith run",
        )  # fmt: skip
    arrivals = [(began or "", list(of_run)) for began, of_run in groupby(rows, key=lambda row: row.started_at)]
    return _Past(arrivals, releases, orders, seals)


def _require_landed(home: Home, past: _Past) -> None:
    rows = [row for _, of_run in past.arrivals for row in of_run]
    # The file of an expunged row was removed on purpose: its other rows are taken as they were mapped.
    kept = [row for row in rows if not row.expunged]
    missing = [row for row in kept if not Landing(home.landing, row.agency).path_of(row.sha256).is_file()]
    if missing:
        raise ExtractError(
            f"{len(missing):,} of {len(rows):,} landed extracts are missing",
            where=str(Landing(home.landing, missing[0].agency).path_of(missing[0].sha256)),
            mend="put landing/ back from your copy; without what came nothing can be mapped again",
        )


def _made_of(agency: Agency, past: _Past, anew: frozenset[str]) -> str:
    """A hash of all that a replay depends on."""
    told = [
        [[row.extract_id, row.status] for _, rows in past.arrivals for row in rows],
        sorted((feed.feed, fingerprint_of(agency, feed)) for feed in agency.feeds.values()),
        sorted(anew),
        [row.move_id for row in past.releases],
        sorted((row.ref, row.reason, row.lifted_at or "") for row in past.orders),
        [[len(rows) for rows in past.seals.values()], [row.mark_id for row in past.seals[seal_mark]]],
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _open_workplace(home: Home, agency: Agency, made_of: str) -> Workplace:
    """The workplace of a replay that was killed, if it was for the same, else a new one."""
    place = Workplace(home.root / WORKPLACES / agency.agency, home)
    if (place.root / NOTE).is_file() and note_of(place.root)["made_of"] == made_of:
        clear_leftovers(place)
        return place
    if place.root.exists():
        remove_workplace(place.root)
    place.root.mkdir(mode=0o700, parents=True)
    with written_whole(place.root / NOTE) as part:
        part.write_text(json.dumps({"remap_id": secrets.token_hex(8), "made_of": made_of}), "utf-8")
    return place


def _repeat(
    night: Night, past: _Past, *, home: Home, real: Ledger, anew: frozenset[str], progress: Progress
) -> int:  # fmt: skip
    """Lets everything happen again in its order; gives how many releases could not be repeated."""
    [agency] = night.agencies.values()
    _place_foreign_orders(night.ledger, past)
    lost, left = 0, list(past.releases)
    ends = [began for began, _ in past.arrivals[1:]] + ["9999"]
    for number, ((began, rows), end) in enumerate(zip(past.arrivals, ends, strict=True), start=1):
        progress(f"{agency.agency}: loading again what came with run {number} of {len(past.arrivals)}")
        _place(night, home, agency, rows, anew)
        load_extracts(night, agency.agency)
        _lift(night.ledger, [row for row in past.orders if row.lifted_at and began <= row.lifted_at < end])
        while left and left[0].at < end:
            lost += not _release_again(night, home, real, left.pop(0))
    return lost


def _place_foreign_orders(own: Ledger, past: _Past) -> None:
    """Orders that none of the extracts brought stand from the beginning."""
    brought = {row.extract_id for _, rows in past.arrivals for row in rows}
    with own.writing() as connection:
        for row in past.orders:
            same = order_.select().where(order_.c.ref == row.ref, order_.c.reason == row.reason)
            if row.since_extract not in brought and connection.execute(same).first() is None:
                connection.execute(order_.insert().values(**row._mapping))
        for table, rows in past.seals.items():
            if rows and connection.execute(sa.select(table).limit(1)).first() is None:
                connection.execute(table.insert(), [dict(row._mapping) for row in rows])


def _lift(own: Ledger, lifted: Sequence[Row]) -> None:
    with own.writing() as connection:
        for row in lifted:
            same = sa.and_(order_.c.ref == row.ref, order_.c.reason == row.reason, order_.c.lifted_at.is_(None))
            connection.execute(order_.update().where(same).values(lifted_at=row.lifted_at))


def _place(night: Night, home: Home, agency: Agency, rows: Sequence[Row], anew: frozenset[str]) -> None:
    """Puts the extracts of a run into the workplace's ledger, as landed; where nothing changed, as mapped."""
    prints = {name: fingerprint_of(agency, feed) for name, feed in agency.feeds.items()}
    with night.ledger.writing() as connection:
        there = set(connection.execute(sa.select(extracts.c.extract_id)).scalars())
        for row in rows:
            if row.extract_id in there:
                continue
            # What a manifest says of a file may have come after it: such a file waits for its manifest again.
            same = row.declarations == prints[row.feed] and not agency.feeds[row.feed].manifest
            again = {"status": str(Status.LANDED), "declarations": None}
            if row.expunged or (same and row.feed not in anew):
                _take_mapped(home.batches / row.extract_id, night.home.batches / row.extract_id)
                again = {"status": str(Status.MAPPED), "declarations": row.declarations}
            values = {column.name: getattr(row, column.name) for column in extracts.columns}
            connection.execute(extracts.insert().values(values | again | {"status_reason": None, "state_path": None}))


def _take_mapped(batch: Path, into: Path) -> None:
    """The mapped rows of a batch, without what was checked of them; the same files, under another name."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(mode=0o700, parents=True)
    for name in (OWNER, "mapped.parquet", "unreadable.parquet", "census.parquet", "batch.json"):
        if (batch / name).exists():
            os.link(batch / name, into / name)


def _release_again(night: Night, home: Home, real: Ledger, move: Row) -> bool:
    """Repeats what a person decided, if it is still of the same row; whether the row is in force by it."""
    done = sa.select(row_move.c.move_id).where(
        row_move.c.extract_id == move.extract_id, row_move.c.record == move.record, row_move.c.reason == _RELEASED
    )
    with night.ledger.reading() as connection:
        if connection.execute(done).first() is not None:
            return True
    before = _row(home, real, move.extract_id, move.record)
    after = _row(night.home, night.ledger, move.extract_id, move.record)
    if after is None or before is None or after[:2] != before[:2]:
        return False
    if after[2] == "accepted":
        return True
    [agency] = night.agencies.values()
    who, _, why = str(move.who).partition(": ")
    feed = agency.feeds[_feed_of(night.ledger, move.extract_id)]
    try:
        release_row(night.home, night.ledger, feed, extract_id=move.extract_id, record=move.record, who=who, why=why)
    except ExtractError:  # its file is held now, or it cannot be used; it is told as lost
        return False
    return True


def _row(home: Home, ledger: Ledger, extract_id: str, record: int) -> tuple[Any, ...] | None:
    """Line, key and disposition of a row as it stands."""
    with connect() as con:
        rows = rows_now(con, ledger, open_extract(home, ledger, extract_id))
        found = con.execute(f"SELECT _line, _key, disposition FROM {rows} WHERE _record = {int(record)}").fetchall()
    return tuple(found[0]) if found else None


def _feed_of(ledger: Ledger, extract_id: str) -> str:
    with ledger.reading() as connection:
        return str(connection.execute(sa.select(extracts.c.feed).where(extracts.c.extract_id == extract_id)).scalar())
