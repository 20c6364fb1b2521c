"""How each feed stands against its schedule, its own history and its count: late, silent, early, short, with gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice, pairwise
from statistics import median

import sqlalchemy as sa

from connectors.wanted import SEQUENCE, FilesWanted
from flows.timetable import Cadence, cadence_of
from mappings.load import Agency
from receipts.owed import deliveries_before
from store.extracts import Holds
from store.ledger import extract

LATE, SILENT, EARLY, SHORT, GAP = "late", "silent", "early", "short", "gap"
SILENT_AFTER = 3
"""Due moments in a row, or usual distances between arrivals, for which nothing came."""
_HISTORY = 12
_LEAST_HISTORY = 3
_SHORT_OF = {Holds.FULL: 0.5, Holds.DELTA: 0.1}
"""Share of its usual rows below which a file is short; what changes in a table in a night may be nothing."""
_LEAST_ROWS = 20
_NEVER_YET = 1 << 60
_MOST_MISSING = 20


@dataclass(frozen=True)
class Standing:
    """One feed at a moment."""

    agency: str
    feed: str
    last_arrival: datetime | None
    due: datetime | None
    """The last due moment; None where no schedule is declared, here and below."""
    next: datetime | None
    late: bool | None
    kinds: tuple[str, ...]
    """Which of late, silent, early, short and gap it is."""
    rows: int | None
    """Rows of its newest delivery."""
    rows_usual: int | None
    """Median rows of the deliveries before."""
    missing: tuple[int, ...] = ()
    """The first numbers that its sender's count has and that never came."""


def read_standings(connection: sa.Connection, agencies: Mapping[str, Agency], now: datetime) -> list[Standing]:
    """Every feed of some agencies as it stands at a moment."""
    return [_standing(connection, agency, feed, now) for agency in agencies.values() for feed in agency.feeds]


def next_grace_end(connection: sa.Connection, agency: Agency, now: datetime) -> datetime | None:
    """When the grace of a feed that is due and has not come is over; None where none is waited for."""
    ends = []
    for feed in agency.feeds:
        if (cadence := cadence_of(agency, feed)) is not None:
            came = _arrivals(connection, agency.agency, feed)
            ends.append(cadence.grace_ends(came[0] if came else None, now))
    return min((end for end in ends if end is not None), default=None)


def _standing(connection: sa.Connection, agency: Agency, feed: str, now: datetime) -> Standing:
    came = _arrivals(connection, agency.agency, feed)
    counts = [each.received for each in deliveries_before(connection, agency.agency, feed, seq=_NEVER_YET)]
    usual = int(median(counts[1:])) if len(counts) > _LEAST_HISTORY else None
    cadence = cadence_of(agency, feed)
    last = came[0] if came else None
    kinds = [
        *(_against_schedule(cadence, came, now) if cadence else _against_history(came, now)),
        *([SHORT] if _is_short(agency.feeds[feed].holds, counts, usual) else []),
    ]
    missing = missing_numbers(connection, agency, feed)
    kinds += [GAP] if missing else []
    return Standing(
        agency.agency, feed, last,
        cadence.last_due(now) if cadence else None, cadence.next_due(now) if cadence else None,
        LATE in kinds if cadence else None, tuple(kinds), counts[0] if counts else None, usual,
        missing,
    )  # fmt: skip


def missing_numbers(connection: sa.Connection, agency: Agency, feed: str) -> tuple[int, ...]:
    """The first numbers between the first and the last that came which a feed's files have not borne."""
    wanted = agency.feeds[feed].arrives.files
    if wanted is None or SEQUENCE not in wanted:
        return ()
    named = sa.select(extract.c.name).distinct().where(extract.c.agency == agency.agency, extract.c.feed == feed)
    files = FilesWanted(wanted)
    came = sorted({n for name in connection.execute(named).scalars() if (n := files.sequence(name)) is not None})
    gaps = chain.from_iterable(range(before + 1, after) for before, after in pairwise(came))
    return tuple(islice(gaps, _MOST_MISSING))


def shown_name(agencies: Mapping[str, Agency], agency: str, feed: str, name: str) -> str:
    """The name of an extract as operators see it: of a file what its feed's pattern fixes, the rest is `*`."""
    declared = agencies[agency].feeds.get(feed) if agency in agencies else None
    if declared is None:
        return "*"
    wanted = declared.arrives.files
    return name if wanted is None else FilesWanted(wanted).shown(name)


def _arrivals(connection: sa.Connection, agency: str, feed: str) -> list[datetime]:
    """The newest arrivals of a feed, the newest first."""
    query = sa.select(extract.c.received_at).where(extract.c.agency == agency, extract.c.feed == feed)
    rows = connection.execute(query.order_by(extract.c.received_at.desc()).limit(_HISTORY + 1)).scalars()
    return [datetime.fromisoformat(at) for at in rows]


def _against_schedule(cadence: Cadence, came: Sequence[datetime], now: datetime) -> list[str]:
    missed = cadence.missed(came[0] if came else None, now, at_most=SILENT_AFTER)
    if missed:
        return [LATE, SILENT] if missed >= SILENT_AFTER and came else [LATE]
    return [EARLY] if len(came) > 1 and cadence.is_early(came[0], before=came[1]) else []


def _against_history(came: Sequence[datetime], now: datetime) -> list[str]:
    """A feed without a schedule is silent when it stays away far longer than it did before."""
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(came)]
    if len(gaps) < _LEAST_HISTORY:
        return []
    usual = max(timedelta(seconds=median(gaps)), timedelta(days=1))
    return [SILENT] if now - came[0] > SILENT_AFTER * usual else []


def _is_short(holds: Holds, counts: Sequence[int], usual: int | None) -> bool:
    return holds in _SHORT_OF and usual is not None and usual >= _LEAST_ROWS and counts[0] < _SHORT_OF[holds] * usual
