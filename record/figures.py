"""The figures of one run for its report, from ledger, snapshot and links: counts, never a value of a person."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from expectations.quarantine import mend_of
from record.in_force import working_database
from record.snapshot import Snapshot
from store import ledger as tables
from store.home import literal
from store.ledger import Ledger

DISPOSITIONS = ("accepted", "quarantined", "duplicate", "withheld")

Late = Mapping[tuple[str, str], bool | None]
"""(agency, feed) -> whether it is late; None or absent where no schedule is declared."""
Stands = Mapping[tuple[str, str], Sequence[str]]
"""(agency, feed) -> what else is to be said of its arrivals: silent, early, short, gap."""

ShownName = Callable[[str, str, str], str]
"""Agency, feed and name of a file -> the name as it is shown."""


@dataclass(frozen=True)
class Arrival:
    """One extract that came in the run, or a feed that sent nothing (name None, then of its last one)."""

    agency: str
    feed: str
    name: str | None
    as_of: str | None
    received_at: str | None
    rows: int | None
    status: str
    reason: str
    mend: str
    late: bool | None
    stands: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowsOfFeed:
    """Where the rows of one feed went in the run."""

    agency: str
    feed: str
    received: int
    went: Mapping[str, int]

    @property
    def adds_up(self) -> bool:
        return self.received == sum(self.went.values())


@dataclass(frozen=True)
class Reason:
    """Rows of one feed that had one disposition for one reason."""

    disposition: str
    agency: str
    feed: str
    reason: str
    rows: int
    mend: str


@dataclass(frozen=True)
class UnseenCodes:
    """Codes of one element that no crosswalk line names yet; the codes themselves stay in the ledger."""

    agency: str
    feed: str
    element: str
    codes: int
    rows: int
    since_this_run: int


@dataclass(frozen=True)
class Overlap:
    """How many persons which agencies share."""

    agencies: Sequence[str]
    pairs: Mapping[tuple[str, str], int]
    """(agency, agency) -> persons known to both; the same agency twice: persons known to it."""
    groups: Sequence[tuple[tuple[str, ...], int]]
    """Exactly these agencies -> persons, most first."""


@dataclass(frozen=True)
class Weights:
    """Compared pairs by weight: `bins[weight][decision] = pairs`, each bin one unit of log2 odds wide."""

    bins: Mapping[int, Mapping[str, int]]
    review_from: float
    link_from: float


def read_run(ledger: Ledger, run_id: str) -> Mapping[str, Any]:
    """The run's row of the ledger."""
    with ledger.reading() as connection:
        return dict(connection.execute(sa.select(tables.run).where(tables.run.c.run_id == run_id)).mappings().one())


def arrivals(ledger: Ledger, run_id: str, late: Late, stands: Stands, shown: ShownName) -> list[Arrival]:
    """What came in the run, then every other feed that is scheduled or has ever sent something."""
    e, r = tables.extract, tables.received
    query = sa.select(e, r.c.rows).outerjoin(r, r.c.extract_id == e.c.extract_id).order_by(e.c.seq)
    with ledger.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    came = [_arrival(row, late, shown) for row in rows if row["run_id"] == run_id]
    last = {(row["agency"], row["feed"]): row for row in rows}
    silent = sorted({*last, *late} - {(a.agency, a.feed) for a in came})
    came += [_silent(key, last.get(key), late.get(key)) for key in silent]
    came = [replace(each, stands=tuple(stands.get((each.agency, each.feed), ()))) for each in came]
    return sorted(came, key=lambda a: (a.agency, a.feed, a.received_at or "", a.name or ""))


def _arrival(row: Mapping[str, Any], late: Late, shown: ShownName) -> Arrival:
    reason = row["status_reason"] or ""
    return Arrival(
        row["agency"], row["feed"], shown(row["agency"], row["feed"], row["name"]), row["as_of"], row["received_at"],
        row["rows"], row["status"], reason, mend_of(reason) if row["status"] == "held" else "",
        late.get((row["agency"], row["feed"])),
    )  # fmt: skip


def _silent(key: tuple[str, str], last: Mapping[str, Any] | None, late: bool | None) -> Arrival:
    at = last["received_at"] if last else None
    return Arrival(*key, None, last["as_of"] if last else None, at, None, "nothing new", "", "", late)


def rows_of_feeds(ledger: Ledger, run_id: str) -> list[RowsOfFeed]:
    """By feed: rows received in the run and where they went."""
    e, r, a = tables.extract, tables.received, tables.account
    mine = e.c.run_id == run_id
    received = sa.select(e.c.agency, e.c.feed, sa.func.sum(r.c.rows)).join(r, r.c.extract_id == e.c.extract_id)
    went = sa.select(e.c.agency, e.c.feed, a.c.disposition, sa.func.sum(a.c.rows))
    went = went.join(a, a.c.extract_id == e.c.extract_id)
    with ledger.reading() as connection:
        totals = connection.execute(received.where(mine).group_by(e.c.agency, e.c.feed)).all()
        parts = connection.execute(went.where(mine).group_by(e.c.agency, e.c.feed, a.c.disposition)).all()
    by_feed: dict[tuple[str, str], dict[str, int]] = {}
    for agency, feed, disposition, rows in parts:
        by_feed.setdefault((agency, feed), {})[disposition] = int(rows)
    found = [RowsOfFeed(agency, feed, int(n), by_feed.get((agency, feed), {})) for agency, feed, n in totals]
    return sorted(found, key=lambda f: (f.agency, f.feed))


def reasons(ledger: Ledger, run_id: str) -> list[Reason]:
    """By disposition other than accepted, feed and reason: rows of the run, most first."""
    e, a = tables.extract, tables.account
    query = sa.select(a.c.disposition, e.c.agency, e.c.feed, a.c.reason, sa.func.sum(a.c.rows))
    query = query.join(e, e.c.extract_id == a.c.extract_id)
    query = query.where(e.c.run_id == run_id, a.c.disposition != "accepted", a.c.rows > 0)
    with ledger.reading() as connection:
        rows = connection.execute(query.group_by(a.c.disposition, e.c.agency, e.c.feed, a.c.reason)).all()
    found = [Reason(d, agency, feed, reason, int(n), mend_of(reason)) for d, agency, feed, reason, n in rows]
    return sorted(found, key=lambda f: (-f.rows, f.agency, f.feed, f.reason))


def unseen_codes(ledger: Ledger, run_id: str) -> list[UnseenCodes]:
    """All codes that wait for a crosswalk line, by element, and how many of them this run saw first."""
    c, e = tables.code_pending, tables.extract
    new = sa.func.sum(sa.case((e.c.run_id == run_id, 1), else_=0))
    query = sa.select(c.c.agency, c.c.feed, c.c.element, sa.func.count(), sa.func.sum(c.c.rows), new)
    query = query.outerjoin(e, e.c.extract_id == c.c.first_extract).group_by(c.c.agency, c.c.feed, c.c.element)
    with ledger.reading() as connection:
        rows = connection.execute(query.order_by(c.c.agency, c.c.feed, c.c.element)).all()
    return [UnseenCodes(agency, feed, element, n, int(rows), int(new)) for agency, feed, element, n, rows, new in rows]


def overlap(snapshot: Snapshot, *, temp: Path) -> Overlap:
    """Persons by the agencies that know them."""
    with working_database(temp) as con:
        query = f"SELECT agency_ids, count(*) FROM read_parquet({literal(snapshot.table('person'))}) GROUP BY 1"
        counted = [(tuple(ids.split(" ")), int(n)) for ids, n in con.execute(query).fetchall()]
    agencies = sorted({agency for group, _ in counted for agency in group})
    pairs = {
        pair: sum(n for group, n in counted if set(pair) <= set(group))
        for pair in combinations_with_replacement(agencies, 2)
    }
    return Overlap(agencies, pairs, sorted(counted, key=lambda g: (-g[1], g[0])))


def weights(links: Path, *, temp: Path, lowest: int = -20, highest: int = 60) -> Weights:
    """The compared pairs by weight, rounded down; what lies outside the bounds is counted at them."""
    settings = json.loads((links / "linkage.json").read_text(encoding="utf-8"))["settings"]
    with working_database(temp) as con:
        query = f"""
            SELECT CAST(greatest({lowest}, least({highest}, floor(weight))) AS INTEGER), decision, count(*)
            FROM read_parquet({literal(links / "edges.parquet")}) WHERE weight IS NOT NULL GROUP BY ALL ORDER BY ALL
        """
        bins: dict[int, dict[str, int]] = {}
        for weight, decision, pairs in con.execute(query).fetchall():
            bins.setdefault(weight, {})[decision] = pairs
    return Weights(bins, float(settings["review_weight"]), float(settings["link_weight"]))


def publisher_of(ledger: Ledger, snapshot_id: str) -> str | None:
    """The run that published a snapshot."""
    s = tables.snapshot
    with ledger.reading() as connection:
        return connection.execute(sa.select(s.c.run_id).where(s.c.snapshot_id == snapshot_id)).scalar()
