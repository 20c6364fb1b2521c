"""Ask every source of an agency for what is new: each feed's files or rows come to the landing area."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from connectors.database import Database
from connectors.doors import Door, open_door, receive
from connectors.exchange_folder import Expecting, tidy_inbox
from connectors.sources import FilesSource, Secrets
from connectors.wanted import FilesWanted, TableWanted, parse_overlap
from flows.run import Night
from mappings.declarations import Feed
from mappings.load import Agency
from standard.errors import ExchangeError
from store.extracts import Status
from store.landing import Landing, forget_left, known_files, known_refusals, note_refusal
from store.runs import stage_of


def fetch_agency(night: Night, name: str) -> None:
    """Polls every feed of an agency. What came stays landed, whatever fails after it.

    Raises:
        SourceError: A source, or a feed of it, could not be read; the others were asked all the same.
        DeclarationError: A secret or variable that a source names is missing.
    """
    agency = night.agencies[name]
    with stage_of(night.ledger, night.run.run_id, "fetch", agency=name) as going:
        going.rows = 0
        troubles: list[ExchangeError] = []
        # Backwards: a manifest, and a row others refer to, is asked for after what was put there before it.
        backwards = [agency.feeds[feed] for feed in reversed(processing_order(agency))]
        feeds = sorted(backwards, key=lambda feed: feed.source)
        for source, of_source in groupby(feeds, key=lambda feed: feed.source):
            came, found = _poll_source(night, agency, source, list(of_source))
            going.rows, troubles = going.rows + came, troubles + found
        night.progress(f"{name}: {going.rows} new extract{'' if going.rows == 1 else 's'}")
        if troubles:
            raise troubles[0]


def processing_order(agency: Agency) -> list[str]:
    """The feeds of an agency, each after those it needs (its manifest, references and lookups)."""
    ordered: dict[str, None] = {}
    begun: set[str] = set()

    def place(name: str) -> None:
        if name in begun:  # placed, or a circle: then the order of declaration decides
            return
        begun.add(name)
        for needed in needs(agency.feeds[name]):
            place(needed)
        ordered[name] = None

    for name in agency.feeds:
        place(name)
    return list(ordered)


def needs(feed: Feed) -> list[str]:
    """The feeds whose rows a feed needs: its manifest, its references and its lookups."""
    manifest = [feed.manifest.feed] if feed.manifest else []
    return [*manifest, *(r.feed for r in feed.references), *(lookup.feed for lookup in feed.lookups.values())]


def _poll_source(night: Night, agency: Agency, source: str, feeds: list[Feed]) -> tuple[int, list[ExchangeError]]:
    """Polls the feeds through one opening of the source; after a feed that fails, the rest through another."""
    came, troubles, waiting = 0, [], list(feeds)
    while waiting:
        asked = len(waiting)
        try:
            with open_door(agency.sources[source], Secrets(night.home.keys)) as door:
                while waiting:
                    came += _poll(night, agency, waiting.pop(0), door)
                _tidy(night, agency, source, door)
        except ExchangeError as error:
            troubles.append(error)
            if len(waiting) == asked:  # it is the source itself that does not open
                break
    return came, troubles


def _poll(night: Night, agency: Agency, feed: Feed, door: Door) -> int:
    received = receive(
        door, wanted_of(feed), agency=agency.agency, feed=feed.feed, holds=feed.holds,
        ledger=night.ledger, landing=Landing(night.home.landing, agency.agency), run_id=night.run.run_id,
        now=night.now.astimezone(ZoneInfo(agency.timezone)),
    )  # fmt: skip
    still = [left.listed.name for left in received.left]
    forget_left(night.ledger, agency=agency.agency, feed=feed.feed, still=still)
    for left in received.left:
        night.progress(f"{agency.agency} {feed.feed}: a file is left for the next poll: {left.reason}")
    for again in (e for e in received.extracts if e.status is Status.DUPLICATE and feed.arrives.files):
        night.progress(
            f"{agency.agency} {feed.feed}: extract {again.extract_id} holds what came before; it changes nothing"
        )
    night.held.extend(e.extract_id for e in received.extracts if e.status is Status.HELD)
    return sum(extract.status is not Status.DUPLICATE for extract in received.extracts)


def _tidy(night: Night, agency: Agency, source: str, door: Door) -> None:
    """Empties the inbox of what has landed, and notes what no feed expects there."""
    declared = agency.sources[source].declared
    if (
        isinstance(door, Database)
        or not isinstance(declared, FilesSource)
        or not (declared.archive or declared.receipts)
    ):
        return
    feeds = [feed for feed in agency.feeds.values() if feed.source == source]
    expecting = [
        Expecting(wanted, known_files(night.ledger, agency=agency.agency, feed=feed.feed))
        for feed in feeds if isinstance(wanted := wanted_of(feed), FilesWanted)
    ]  # fmt: skip
    seen = known_refusals(night.ledger, agency=agency.agency, source=source)
    for unexpected in tidy_inbox(door, declared, expecting, seen=seen):
        note_refusal(
            night.ledger, unexpected.listed, agency=agency.agency, source=source, reason=unexpected.reason, at=night.now
        )
        night.progress(f"{agency.agency}: a file in the inbox of {source} is refused: {unexpected.reason}")


def wanted_of(feed: Feed) -> FilesWanted | TableWanted:
    """What a feed wants of its source."""
    arrives = feed.arrives
    if arrives.files is not None:
        holds_zip = feed.format.kind == "excel"
        return FilesWanted(arrives.files, arrives.packed, arrives.member, holds_zip=holds_zip, states=arrives.stated)
    assert arrives.table is not None
    return TableWanted(
        table=arrives.table,
        columns=feed.columns,
        key=tuple(column for element in feed.key for column in feed.elements[element].sent),
        watermark=arrives.watermark,
        overlap=parse_overlap(arrives.overlap) if arrives.overlap else timedelta(0),
        census=arrives.census,
        never_read=arrives.never_read,
    )
