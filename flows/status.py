"""What the ledger knows of an exchange: which runs there were, what is late, what is held, what is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from expectations.fingerprint import fingerprint_of
from flows.failures import from_json
from flows.standing import Standing, read_standings, shown_name
from mappings.load import Agency
from store.extracts import Holds, Status
from store.home import Home
from store.ledger import Ledger, extract, run, sighting, snapshot, stage
from store.runs import is_held

Row = dict[str, Any]
SPOKEN_FOR = (Status.LOADED, Status.LOADED_LATE, Status.HELD)
"""Extracts whose rows are in force or in quarantine."""


@dataclass(frozen=True)
class ExchangeStatus:
    """The state of an exchange; rows are plain mappings, ready for a table or JSON."""

    runs: list[Row]
    """run_id, started_at, finished_at, state (running, finished, failed, dead), last_stage (begun), failures."""
    feeds: list[Row]
    """agency, feed, last_arrival, due (last), next, late (True, False; None where no schedule is declared), stands
    (late, silent, early, short, gap), rows (of the newest delivery), rows_usual, missing (numbers)."""
    held: list[Row]
    """extract_id, agency, feed, name (what the feed's pattern fixes of it), as_of, reason."""
    waiting: list[Row]
    """Extracts that landed and were not finished: agency, feed, name, status. The next run goes on with them."""
    left: list[Row]
    """Files a source showed that were not taken yet: agency, feed, name, size, first_seen_at."""
    outdated: list[str]
    """agency/feed of which rows were mapped by older declarations than those of now: `kith remap` maps them again."""
    snapshot: Row | None
    """snapshot_id, published_at, run_id of the last one published."""


def read_status(home: Home, ledger: Ledger, agencies: Mapping[str, Agency], *, now: datetime) -> ExchangeStatus:
    """The state of an exchange at a moment; reads only."""
    with ledger.reading() as connection:
        return ExchangeStatus(
            runs=_runs(connection, held=is_held(home)),
            feeds=[_feed(each) for each in read_standings(connection, agencies, now)],
            held=_shown(read_held(connection), agencies),
            waiting=_shown(_extracts(connection, [Status.LANDED, Status.MAPPED, Status.CHECKED]), agencies),
            left=_shown(_left(connection), agencies),
            outdated=all_outdated(ledger, agencies),
            snapshot=_last_snapshot(connection),
        )


def _shown(rows: Sequence[Row], agencies: Mapping[str, Agency]) -> list[Row]:
    return [row | {"name": shown_name(agencies, row["agency"], row["feed"], row["name"])} for row in rows]


def all_outdated(ledger: Ledger, agencies: Mapping[str, Agency]) -> list[str]:
    """agency/feed of all feeds of which rows were mapped by older declarations."""
    return [f"{name}/{feed}" for name, agency in agencies.items() for feed in outdated_feeds(ledger, agency)]


def older_declarations(feeds: Sequence[str]) -> str:
    """What is said of feeds that were mapped by older declarations, and how to mend it."""
    if len(feeds) == 1:
        return f"1 feed was mapped with older declarations: kith remap {feeds[0]} --preview"
    return f"{len(feeds)} feeds were mapped with older declarations: kith remap --all --preview"


def outdated_feeds(ledger: Ledger, agency: Agency) -> list[str]:
    """The feeds of an agency of which rows were mapped and checked by other declarations than those of now.

    Of a full feed without a window only its newest file and what is held count: of the rest nothing is in force.
    Extracts of before fingerprints were kept are not told of.
    """
    columns = [extract.c[name] for name in ("feed", "status", "declarations")]
    query = sa.select(*columns).where(
        extract.c.agency == agency.agency, extract.c.feed.in_(agency.feeds), extract.c.status.in_(SPOKEN_FOR)
    )
    with ledger.reading() as connection:
        rows = connection.execute(query.order_by(extract.c.as_of.desc(), extract.c.seq.desc())).all()
    found = []
    for name, feed in agency.feeds.items():
        mine = [row for row in rows if row.feed == name]
        if feed.holds == "full" and not feed.window:
            newest = next((n for n, row in enumerate(mine) if row.status != Status.HELD), len(mine))
            mine = mine[: newest + 1]
        print_now = fingerprint_of(agency, feed)
        if any(row.declarations not in (None, print_now) for row in mine):
            found.append(name)
    return found


def _runs(connection: sa.Connection, *, held: bool) -> list[Row]:
    rows = connection.execute(sa.select(run).order_by(run.c.fence.desc()).limit(10)).mappings().all()
    return [
        {
            "run_id": row["run_id"],
            "started_at": row["started_at"],
            "finished_at": row["finished_at"],
            "state": _state(row["state"], held=held and n == 0),
            "last_stage": _last_stage(connection, row["run_id"]),
            "failures": [f"{f.agency or 'exchange'}: {f.stage}: {f.what}" for f in from_json(row["error"])],
        }
        for n, row in enumerate(rows)
    ]


def _state(state: str, *, held: bool) -> str:
    """A run that stands as running while nobody holds the home was killed."""
    return "dead" if state == "running" and not held else state


def _last_stage(connection: sa.Connection, run_id: str) -> str | None:
    query = sa.select(stage).where(stage.c.run_id == run_id).order_by(stage.c.stage_id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return " ".join(str(part) for part in (row["agency"], row["feed"], row["name"], row["state"]) if part)


def _feed(standing: Standing) -> Row:
    return {
        "agency": standing.agency, "feed": standing.feed, "late": standing.late, "stands": list(standing.kinds),
        "last_arrival": standing.last_arrival.isoformat() if standing.last_arrival else None,
        "due": standing.due.isoformat(timespec="minutes") if standing.due else None,
        "next": standing.next.isoformat(timespec="minutes") if standing.next else None,
        "rows": standing.rows, "rows_usual": standing.rows_usual,
        "missing": list(standing.missing),
    }  # fmt: skip


def _extracts(connection: sa.Connection, statuses: list[Status]) -> list[Row]:
    columns = [extract.c[name] for name in ("extract_id", "agency", "feed", "name", "as_of", "status", "status_reason")]
    query = sa.select(*columns).where(extract.c.status.in_(statuses)).order_by(extract.c.seq)
    return [dict(row) for row in connection.execute(query).mappings()]


def _left(connection: sa.Connection) -> list[Row]:
    columns = [sighting.c[name] for name in ("agency", "feed", "name", "size", "first_seen_at")]
    query = sa.select(*columns).where(sighting.c.extract_id.is_(None)).order_by(*columns)
    return [dict(row) for row in connection.execute(query).mappings()]


def read_held(connection: sa.Connection) -> list[Row]:
    """Held extracts in place of which nothing has been loaded since."""
    mine, later = extract, extract.alias()
    since = sa.or_(later.c.as_of == mine.c.as_of, sa.and_(mine.c.holds == Holds.FULL, later.c.as_of > mine.c.as_of))
    mended = sa.select(sa.literal(1)).where(
        later.c.agency == mine.c.agency, later.c.feed == mine.c.feed, later.c.seq > mine.c.seq, since,
        later.c.status.in_([Status.LOADED, Status.LOADED_LATE]),
    )  # fmt: skip
    query = sa.select(mine.c.extract_id).where(mine.c.status == Status.HELD, ~sa.exists(mended))
    wanted = set(connection.execute(query).scalars())
    return [row for row in _extracts(connection, [Status.HELD]) if row["extract_id"] in wanted]


def _last_snapshot(connection: sa.Connection) -> Row | None:
    query = sa.select(snapshot).order_by(snapshot.c.fence.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return {name: row[name] for name in ("snapshot_id", "published_at", "run_id")} if row else None
