"""Fetch new files whole, whatever door they come through: only settled ones, resumed after a cut, verified."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

from connectors.wanted import FilesWanted
from standard.errors import SourceError
from store.landing import Arrival, Known, Landing, Left, Listed, Part


class FileRefused(SourceError):
    """The source gives us this one file not; others may still come."""


class FileChanged(Exception):
    """The file is gone or another than was listed; the next poll sees it as it then is."""


class FileStore(Protocol):
    """A place that lists and gives files."""

    place: str
    """What a person knows it by."""
    settle: float

    def listing(self) -> list[Listed]:
        """The regular files of the folder; anything else (links, folders, devices) is left out.

        Raises:
            SourceError: The folder is not there or not readable, or the source is gone.
        """

    def download(self, listed: Listed, part: Part) -> None:
        """Writes the file from `part.done` on.

        Raises:
            FileChanged: It is not the file that was listed.
            FileRefused: It may not be read.
            SourceError: The source is gone.
        """

    def unchanged(self, listed: Listed) -> bool:
        """Whether the file is still the one that was listed."""


def fetch_files(
    store: FileStore, wanted: FilesWanted, *, known: Known, landing: Landing, now: datetime
) -> Iterator[Arrival | Left]:
    """Fetches the files that are wanted and new, in the order of what they speak of.

    Args:
        store: Where they are.
        wanted: Which.
        known: Files seen before: those fetched are not fetched again, those left are taken once they stood still.
        landing: Where they come to lie.
        now: The moment of this poll in the agency's time zone; the `as_of` of files whose names have none.

    Raises:
        SourceError: The source is gone, or it refused files; those it gave have been yielded before.
    """
    refused: list[FileRefused] = []
    for listed in _in_order(store.listing(), wanted):
        if _fetched(listed, known):
            continue
        if not _settled(listed, known, settle=store.settle):
            yield Left(listed, f"it has not stood still for {store.settle:g} seconds")
            continue
        try:
            yield _fetch(store, listed, wanted, landing=landing, now=now)
        except FileChanged:
            yield Left(listed, "changed while it was read")
        except FileRefused as error:
            refused.append(error)
    if refused:
        raise _all_of(refused, store.place)


def _in_order(listing: list[Listed], wanted: FilesWanted) -> list[Listed]:
    dated = [(wanted.moment(listed.name), listed) for listed in listing]
    fitting = [(moment, listed.changed_ns, listed.raw, listed) for moment, listed in dated if moment is not None]
    return [listed for *_, listed in sorted(fitting, key=lambda entry: entry[:3])]


def _fetched(listed: Listed, known: Known) -> bool:
    sighting = known.get((listed.name, listed.size, listed.changed_ns))
    return sighting is not None and sighting.fetched


def _settled(listed: Listed, known: Known, *, settle: float) -> bool:
    """Whether a file has stood still long enough: by its time of change or, where the source's clock is ahead of ours
    and that says nothing, by our own clock since an earlier poll saw it as it is now."""
    if time.time() - listed.changed_ns / 1e9 >= settle:
        return True
    sighting = known.get((listed.name, listed.size, listed.changed_ns))
    return sighting is not None and (datetime.now(UTC) - sighting.first_seen_at).total_seconds() >= settle


def _fetch(store: FileStore, listed: Listed, wanted: FilesWanted, *, landing: Landing, now: datetime) -> Arrival:
    as_of = wanted.as_of(listed.name, read_on=now.date())
    assert as_of is not None  # only wanted files come here
    with landing.part(store.place, listed) as part:
        try:
            store.download(listed, part)
            if not store.unchanged(listed):
                raise FileChanged
        except (FileChanged, FileRefused):
            part.discard()
            raise
        sha256, path = landing.keep(part.path, part.finish())
    return Arrival(name=listed.name, sha256=sha256, size=listed.size, path=path, as_of=as_of, listed=listed)


def _all_of(refused: list[FileRefused], place: str) -> SourceError:
    if len(refused) == 1:
        return refused[0]
    return FileRefused(
        f"{len(refused)} files are refused; the first: {refused[0].what}", where=place, mend=refused[0].mend
    )
