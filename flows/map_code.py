"""Say what an agency's code means: first on a copy of its declarations, with the effect on all that came before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.remap import preview
from flows.remap_changes import Changes
from flows.run import Progress
from flows.settings import Settings, agency_folder
from mappings.crosswalks import add_line
from mappings.load import Agency, load_agency
from standard.errors import DeclarationError
from store.home import Home
from store.ledger import Ledger


def crosswalk_of(agency: Agency, feed: str, element: str) -> Path:
    """The crosswalk by which an element of a feed is read.

    Raises:
        DeclarationError: There is no such feed, or the element is no code.
    """
    coded = agency.feeds[feed].elements.get(element) if feed in agency.feeds else None
    if coded is None or coded.code is None:
        codes = [f"{f}/{name}" for f, of in agency.feeds.items() for name, each in of.elements.items() if each.code]
        raise DeclarationError(
            f"{feed}/{element} is no code of {agency.agency}", where=str(agency.folder),
            mend=f"name one of: {', '.join(codes) or '(it declares none)'}",
        )  # fmt: skip
    return agency.folder / "crosswalks" / f"{coded.code.crosswalk}.csv"


@contextmanager
def with_line(agency: Agency, crosswalk: Path, line: Mapping[str, str]) -> Iterator[Agency]:
    """The agency as it would be with one more line in a crosswalk; checked whole, and gone at the end.

    Raises:
        DeclarationError: The line cannot stand there: an unknown term or match, or a value that is spoken for.
    """
    with TemporaryDirectory(prefix="kith-codes-") as folder:
        copy = Path(folder) / agency.agency
        shutil.copytree(agency.folder, copy)
        _make_writable(copy)
        try:
            add_line(copy / crosswalk.relative_to(agency.folder), line)
            mended = load_agency(copy)
        except DeclarationError as error:  # told of the file that a person can open: the copy is gone by then
            at = error.where.replace(str(copy), str(agency.folder))
            raise DeclarationError(error.what, where=at, mend=error.mend) from None
        yield replace(mended, sources=agency.sources)


def _make_writable(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        Path(root).chmod(0o700)
        for name in files:
            (Path(root) / name).chmod(0o600)


def effect_of(home: Home, settings: Settings, mended: Agency, *, ledger: Ledger, progress: Progress) -> Changes:
    """What the mended declarations would change in all that came before. To be called only by who holds the home.

    Raises:
        ExtractError: Nothing of the agency was ever loaded, or it cannot be loaded again.
    """
    return preview(home, settings, mended, ledger=ledger, anew=frozenset(), progress=progress)


def adopt_line(home: Home, agency: Agency, crosswalk: Path, line: Mapping[str, str]) -> None:
    """Writes the line into the agency's crosswalk in the home; it holds for what is read from then on.

    Raises:
        DeclarationError: The agency is declared in the repository, not in the home.
    """
    if agency_folder(agency.agency, home).parent != home.agencies:
        raise DeclarationError(
            f"{agency.agency} is declared outside the home", where=str(crosswalk),
            mend=f"copy its folder to {home.agencies} and map the code there, or add the line by a release",
        )  # fmt: skip
    add_line(crosswalk, line)
