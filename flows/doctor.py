"""Look over a home: settings, keys, record, declarations, agreements, sources, schedule, disk; say how to mend."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from connectors.doors import probe
from connectors.sources import Secrets, Source
from flows.failures import failure_of
from flows.governed import uncovered_feeds
from flows.lay_out_home import IDENTITY_SECRET
from flows.settings import Settings, agency_folders, load_agency_of, load_settings, open_home_ledger
from flows.status import older_declarations, outdated_feeds
from flows.timetable import cadence_of
from governance.load import governance_folder, load_governance
from governance.policies import load_policies
from mappings.load import Agency
from record.snapshot import current_snapshot, verify
from standard.errors import DeclarationError, ExchangeError
from store.encryption_home import unlock
from store.home import Home
from store.ledger import run

LEAST_FREE = 2 * 2**30
"""Bytes of free disk below which a run may not find room for its batches."""


@dataclass(frozen=True)
class Sign:
    """One thing that was looked at."""

    check: str
    about: str
    well: bool
    says: str
    mend: str = ""
    exit_status: int = 0


def examine(home: Home, *, now: datetime, sources: bool = True) -> Iterator[Sign]:
    """Looks at everything a run needs, one sign after the other; nothing is changed.

    Args:
        home: The home.
        now: The moment from which the next due time of a feed is reckoned.
        sources: Whether to reach out to every source, too.
    """
    first = _look("settings", home.settings_file.name, lambda: f"exchange {load_settings(home).exchange}")
    yield first
    yield from _permissions(home)
    yield _look("disk", str(home.root), lambda: _free_disk(home))
    if not first.well:
        return
    settings = load_settings(home)
    yield _look("ledger", settings.ledger.url if settings.ledger else "ledger.db", lambda: _ledger(home, settings))
    yield _look("record", "snapshot in force", lambda: _record(home))
    yield _look("encryption", settings.encryption, lambda: _encryption(home))
    if settings.publish_to and sources:
        yield _reach(Source(database=settings.publish_to), home, "publish_to")
    yield from _agencies(home, settings, now=now, sources=sources)


def exit_status(signs: list[Sign]) -> int:
    """0 where nothing keeps a run from its work, else that of the first sign that does."""
    return next((sign.exit_status for sign in signs if not sign.well and sign.exit_status), 0)


def _look(check: str, about: str, see: Callable[[], str]) -> Sign:
    try:
        return Sign(check, about, True, see())
    except Exception as error:
        failure = failure_of(error, stage=check)
        says = f"{failure.what} ({failure.where})" if failure.where else failure.what
        return Sign(check, about, False, says, failure.mend, failure.exit_status)


def _permissions(home: Home) -> Iterator[Sign]:
    yield _look("permissions", "home", lambda: _private(home.root))
    for path in sorted(home.keys.iterdir()) if home.keys.is_dir() else []:
        yield _look("permissions", f"keys/{path.name}", partial(_private, path))
    yield _look("keys", IDENTITY_SECRET, lambda: _there(home.keys / IDENTITY_SECRET))


def _private(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    wanted = 0o700 if path.is_dir() else 0o600
    if mode & 0o077:
        raise DeclarationError(f"others can read it (mode {mode:o})", where=str(path), mend=f"chmod {wanted:o} {path}")
    return f"mode {mode:o}"


def _there(path: Path) -> str:
    if path.is_file() and path.stat().st_size:
        return "is there; keep a copy in a safe place, person ids are made with it"
    raise DeclarationError(
        "the secret for person ids is not there",
        where=str(path),
        mend="put it back from your copy; only in a home that never published: kith init in a new folder makes one",
    )


def _free_disk(home: Home) -> str:
    free = shutil.disk_usage(home.root).free
    if free < LEAST_FREE:
        raise ExchangeError(f"{free / 2**30:.1f} GiB are free", where=str(home.root), mend="make room on this disk")
    return f"{free / 2**30:.0f} GiB are free"


def _ledger(home: Home, settings: Settings) -> str:
    if settings.ledger is None and not home.ledger_file.exists():
        return "is made by the first run"
    ledger = open_home_ledger(home, settings)
    try:
        with ledger.reading() as connection:
            runs = connection.execute(sa.select(sa.func.count()).select_from(run)).scalar_one()
        return f"{runs} runs"
    finally:
        ledger.close()


def _record(home: Home) -> str:
    """The tables of the snapshot in force are what was published."""
    snapshot = current_snapshot(home)
    if snapshot is None:
        return "nothing was published yet"
    verify(snapshot)
    return f"{snapshot.snapshot_id}: {len(snapshot.manifest['tables'])} tables are as they were published"


def _encryption(home: Home) -> str:
    """Every data key opens by the master key."""
    keys = unlock(home)
    if keys is None:
        return "what rests in the home lies in clear; keep it on an encrypted disk"
    opened = [keys.key(key.key_id) for key in keys.all()]
    return f"{len(opened)} data keys open, {len(keys.destroyed())} were destroyed"


def _reach(source: Source, home: Home, about: str) -> Sign:
    return _look("source", about, lambda: probe(source, Secrets(home.keys)))


def _agencies(home: Home, settings: Settings, *, now: datetime, sources: bool) -> Iterator[Sign]:
    try:
        folders = agency_folders(home, settings)
    except DeclarationError as error:
        yield Sign("agencies", home.settings_file.name, False, error.what, error.mend, error.exit_status)
        return
    if not folders:
        yield Sign("agencies", "agencies/", False, "no agency takes part yet", "see agencies/README.md", 3)
    loaded: dict[str, Agency] = {}
    for name, folder in folders.items():
        yield from _agency(home, settings, name, folder, loaded, now=now, sources=sources)
    if folders and len(loaded) == len(folders):
        yield _look("governance", "agreements", lambda: _agreements(home, settings, loaded, now))


def _feeds(number: int) -> str:
    return f"{number} feed{'' if number == 1 else 's'}"


def _agreements(home: Home, settings: Settings, agencies: Mapping[str, Agency], now: datetime) -> str:
    """Every feed may be loaded, of the others the extracts would be held; and no policy is wrong."""
    uncovered = uncovered_feeds(home, settings, agencies, now=now)
    if uncovered is None:
        return "off: nothing is asked of agreements"
    if uncovered:
        first = next(iter(uncovered))
        raise DeclarationError(
            f"{_feeds(len(uncovered))} may not be loaded, {first} for one: {uncovered[first]}",
            mend="see governance/README.md, and: kith agreement check",
        )
    policies = load_policies(load_governance(governance_folder(home), agencies))
    return f"every feed may be loaded; policies: {len(policies)}, none wider than its agreement"


def _agency(
    home: Home, settings: Settings, name: str, folder: Path, loaded: dict[str, Agency], *, now: datetime, sources: bool
) -> Iterator[Sign]:

    def load() -> str:
        loaded[name] = load_agency_of(folder, home, settings)
        return _feeds(len(loaded[name].feeds))

    yield _look("agency", name, load)
    if agency := loaded.get(name):
        yield _declarations(home, settings, agency)
        yield _look("schedule", name, partial(_schedule, agency, now))
        for source_name, source in agency.sources.items() if sources else ():
            yield _reach(source, home, f"{name}/{source_name}")


def _declarations(home: Home, settings: Settings, agency: Agency) -> Sign:
    """Whether rows are there that older declarations mapped. It keeps no run from its work."""
    about = f"declarations of {agency.agency}"
    if settings.ledger is None and not home.ledger_file.exists():
        return Sign("mapping", about, True, "nothing was mapped yet")
    ledger = open_home_ledger(home, settings)
    try:
        older = [f"{agency.agency}/{feed}" for feed in outdated_feeds(ledger, agency)]
    finally:
        ledger.close()
    if not older:
        return Sign("mapping", about, True, "are those of all that is there")
    says, _, mend = older_declarations(older).partition(": ")
    return Sign("mapping", about, False, says, mend)


def _schedule(agency: Agency, now: datetime) -> str:
    cadences = [cadence for name in agency.feeds if (cadence := cadence_of(agency, name))]
    if not cadences:
        return "no feed declares when it arrives; kith serve runs it with the whole exchange"
    first = min(cadence.next_due(now) for cadence in cadences)
    return f"next due {first:%Y-%m-%d %H:%M} {agency.timezone}"
