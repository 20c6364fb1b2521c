"""An agency's own folders on its server: what was taken leaves the inbox, what nobody expects there is named."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.files import FileChanged, FileStore, is_fetched, is_settled
from connectors.sources import FilesSource
from connectors.wanted import FilesWanted
from store.landing import Known
from store.parts import Listed

_LONGEST_NAME = 255

MENDS = {
    "not_expected": "give the file the agreed name of its feed; nothing of it was read",
    "not_a_file": "put a plain file there: no link, pipe or device is read",
}
"""Why something in an inbox is refused -> what the agency can do."""


@dataclass(frozen=True)
class Unexpected:
    """Something in an inbox that no feed takes."""

    listed: Listed
    reason: str


@dataclass(frozen=True)
class Expecting:
    """A feed that polls an inbox: what it wants there, and which files of it are known."""

    wanted: FilesWanted
    known: Known


def tidy_inbox(
    door: FileStore, source: FilesSource, feeds: Iterable[Expecting], *, seen: Container[tuple[str, int, int]]
) -> list[Unexpected]:
    """Moves out of an inbox what every feed that wants it has landed, and says what no feed wants.

    A file is moved by renaming, after all of it is safe in the landing area; a move that a kill prevented is made at
    the next poll. What stands there is refused only where it has settled, and where receipts are declared: the inbox
    is then the agency's alone.

    Args:
        door: The open source.
        source: What is declared of it.
        feeds: All feeds of the agency that poll it.
        seen: What was refused before: name, size, time of change.

    Raises:
        SourceError: The source is gone, or may not be written to.
    """
    if not (source.archive or source.receipts):
        return []
    feeds, unexpected = list(feeds), []
    for listed in door.entries():
        wanting = [feed for feed in feeds if feed.wanted.moment(listed.name) is not None] if listed.regular else []
        if wanting:
            if source.archive and all(is_fetched(listed, feed.known) for feed in wanting):
                _archive(door, listed, source.archive)
            continue
        stands = is_settled(listed, {}, settle=door.settle)
        if source.receipts and stands and (listed.name, listed.size, listed.changed_ns) not in seen:
            unexpected.append(Unexpected(listed, "not_expected" if listed.regular else "not_a_file"))
    return unexpected


def _archive(door: FileStore, listed: Listed, folder: str) -> None:
    """Under the time of its change and its name, so that a later file of the same name does not replace it."""
    changed = datetime.fromtimestamp(listed.changed_ns / 1e9, UTC)
    prefix = f"{changed:%Y%m%dT%H%M%S}_".encode()
    name = (listed.raw or os.fsencode(listed.name))[-(_LONGEST_NAME - len(prefix)) :]
    try:
        door.move(listed, folder, prefix + name)
    except FileChanged:
        return  # the agency took it away itself
