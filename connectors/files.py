"""Fetch new files whole, whatever door they come through: only settled ones, resumed after a cut, verified."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from connectors.archives import PackageRefused
from connectors.packages import open_package
from connectors.pgp import Keyring
from connectors.wanted import FilesWanted
from standard.errors import SourceError
from store.landing import Arrival, Known, Landing, Left, Packed
from store.parts import Listed, Part


class FileRefused(SourceError):
    """The source gives us this one file not; others may still come."""


class FileChanged(Exception):
    """The file is gone or another than was listed; the next poll sees it as it then is."""


class FileStore(Protocol):
    """A place that lists and gives files."""

    place: str
    """What a person knows it by."""
    settle: float
    keyring: Keyring | None
    """The keys of an agency that encrypts its files."""

    def entries(self) -> list[Listed]:
        """All that stands in the folder but folders, be it a file or a link or a pipe.

        Raises:
            SourceError: As `listing`.
        """

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

    def move(self, listed: Listed, folder: str, name: bytes) -> None:
        """Moves a file of the inbox into another folder, at once.

        Raises:
            FileChanged: It is gone.
            SourceError: The folder is not there or not to be written to, or the source is gone.
        """

    def put(self, content: BinaryIO, size: int, folder: str, name: str) -> None:
        """Writes a file into another folder: it bears its name only when it is whole.

        Raises:
            SourceError: The folder is not there or not to be written to, or the source is gone.
        """


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
        if is_fetched(listed, known):
            continue
        if not is_settled(listed, known, settle=store.settle):
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


def is_fetched(listed: Listed, known: Known) -> bool:
    """Whether a file was fetched before as it is now."""
    sighting = known.get((listed.name, listed.size, listed.changed_ns))
    return sighting is not None and sighting.fetched


def is_settled(listed: Listed, known: Known, *, settle: float) -> bool:
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
        sent = part.finish()
        if wanted.packed:
            return _unpacked(part.path, sent, listed, as_of, wanted, landing=landing, keyring=store.keyring)
        sha256, path = landing.keep(part.path, sent)
    return Arrival(name=listed.name, sha256=sha256, size=listed.size, path=path, as_of=as_of, listed=listed,
                   dated=_is_dated(listed, wanted))  # fmt: skip


def _unpacked(
    part: Path, sent: str, listed: Listed, as_of: date, wanted: FilesWanted, *, landing: Landing,
    keyring: Keyring | None,
) -> Arrival:  # fmt: skip
    """Lands what is in a file; the file as it came, held, where it cannot be opened."""
    packed = Packed(sent, listed.size)
    with landing.scratch() as content:
        try:
            packed = replace(packed, signer=open_package(part, content, wanted, keyring=keyring, landing=landing))
            size, (sha256, path) = content.stat().st_size, landing.keep(content)
            part.unlink()
        except PackageRefused as error:
            packed, size = replace(packed, refused=error.code, detail=error.what), listed.size
            sha256, path = landing.keep(part, sent)
    return Arrival(listed.name, sha256, size, path, as_of, listed, packed=packed, dated=_is_dated(listed, wanted))


def _is_dated(listed: Listed, wanted: FilesWanted) -> bool:
    """Whether a file's name tells the day it speaks for."""
    return wanted.moment(listed.name) not in (None, datetime.min)


def _all_of(refused: list[FileRefused], place: str) -> SourceError:
    if len(refused) == 1:
        return refused[0]
    return FileRefused(
        f"{len(refused)} files are refused; the first: {refused[0].what}", where=place, mend=refused[0].mend
    )
