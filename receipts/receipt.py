"""Tell an agency what became of one delivery, by its own line numbers and column names; never a value of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from connectors import archives, exchange_folder, pgp
from expectations.quarantine import mend_of
from mappings.declarations import Feed
from store.extracts import Disposition, FileFinding
from store.home import literal, peek

Row = dict[str, Any]
FORMAT = "kith receipt 1"
FIRST_LINES = 20
"""So many lines are named of each finding; the rest is counted."""

REFUSALS = {**archives.MENDS, **pgp.MENDS, **exchange_folder.MENDS}
"""Why a file was not read at all -> what the agency can do."""
_OPEN_REASONS = ("out_of_scope", "superseded_by_newer")
_ORDER = "order"
_MENDS = {
    _ORDER: "nothing: your order stands, and what it covers is passed on to nobody",
    "out_of_scope": "nothing: these rows are not for the exchange; leave them out if you can",
    "superseded_by_newer": "nothing: a file of a later day has said it already",
    "exact_copy": "nothing: the row stands twice in the file",
    "unchanged": "nothing: the row is as it was sent before",
}
_SAYS = {
    "accepted": "The delivery was taken.",
    "accepted_late": "The delivery was taken. A file of a later day came before it: where both speak, that one holds.",
    "held": "Nothing of this delivery was taken: the file is held whole.",
    "refused": "Nothing of this file was read: it is not what was agreed.",
    "duplicate": "The file holds what came before: nothing was changed.",
    "superseded": "Nothing was changed: a file of a later day has been taken already.",
}
"""Verdict -> what it means."""
_VERDICTS = {"loaded": "accepted", "loaded_late": "accepted_late"}


@dataclass(frozen=True)
class Delivery:
    """What arrived, as it came."""

    agency: str
    feed: str | None
    name: str
    size: int
    sha256: str | None
    """Of the file as it came; None where it was not read."""
    received_at: datetime
    as_of: date | None = None
    holds: str | None = None
    content_sha256: str | None = None
    """Of what was in it, where it came packed or encrypted."""
    signer: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery."""

    status: str
    """The extract's status, or `refused`."""
    reason: str | None = None
    received: int | None = None
    declared: int | None = None
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(disposition, reason) -> rows."""
    of_the_file: Sequence[FileFinding] = ()
    findings: Path | None = None
    """findings.parquet."""
    duplicate_of: Row | None = None
    """name and received_at of what came before."""
    new_codes: Mapping[str, int] = field(default_factory=dict)
    """Element -> how many codes were met for the first time."""


@dataclass(frozen=True)
class Before:
    """One delivery of the same feed that came before."""

    received: int
    quarantined: int


def describe(
    delivery: Delivery, outcome: Outcome, feed: Feed | None, *, before: Sequence[Before] = (),
    overdue: Sequence[Row] = (),
) -> Row:  # fmt: skip
    """The receipt of one delivery as plain values, ready for JSON.

    Args:
        delivery: What arrived.
        outcome: What became of it.
        feed: The declaration of its feed; None where it is of none.
        before: The deliveries of the feed before it, the newest first.
        overdue: Other feeds that are expected and have not come (feed, due); numbers that never came (feed, missing).
    """
    verdict = _verdict(outcome)
    if verdict == "refused":
        outcome = replace(outcome, received=None)
    rows = _rows(outcome, feed)
    findings = _findings(outcome.findings, feed) if outcome.findings and feed else []
    return {
        "format": FORMAT,
        "agency": delivery.agency,
        "feed": delivery.feed,
        "delivery": _told(delivery),
        "verdict": verdict,
        "says": _SAYS[verdict],
        "reason": outcome.reason,
        "mend": _mend(outcome.reason) if outcome.reason else "",
        "duplicate_of": outcome.duplicate_of,
        "rows": _sums(outcome, rows),
        "reasons": rows,
        "of_the_file": [
            {"code": f.code, "severity": str(f.severity), "says": f.detail, "rows": f.rows, "mend": _mend(f.code)}
            for f in outcome.of_the_file
        ],
        "findings": findings,
        "asked_for": _asked_for(findings, feed, outcome.new_codes, overdue),
        "compared": _compared(outcome, before),
    }


def _told(delivery: Delivery) -> Row:
    return {
        "name": delivery.name, "size": delivery.size, "sha256": delivery.sha256,
        "content_sha256": delivery.content_sha256, "signed_by": delivery.signer,
        "received_at": delivery.received_at.isoformat(timespec="seconds"),
        "as_of": delivery.as_of.isoformat() if delivery.as_of else None, "holds": delivery.holds,
    }  # fmt: skip


def _verdict(outcome: Outcome) -> str:
    if outcome.status == "refused" or (outcome.status == "held" and outcome.reason in REFUSALS):
        return "refused"
    return _VERDICTS.get(outcome.status, outcome.status)


def _mend(code: str) -> str:
    return _MENDS.get(code) or REFUSALS.get(code) or mend_of(code)


def _rows(outcome: Outcome, feed: Feed | None) -> list[Row]:
    """Where the rows went and why.

    An order is told, as a count without lines, to the agency that gave it. Rows that are withheld for anything else
    count as accepted: from a receipt nobody learns of an order that is not its own.
    """
    own = {rule.reason for rule in feed.withhold} if feed else set()
    counted: dict[tuple[str, str], int] = {}
    for (disposition, reason), rows in outcome.counts.items():
        place = (str(disposition), reason)
        if disposition == Disposition.WITHHELD and reason not in _OPEN_REASONS:
            place = (str(Disposition.WITHHELD), _ORDER) if reason in own else (str(Disposition.ACCEPTED), "")
        counted[place] = counted.get(place, 0) + rows
    return [
        {"disposition": disposition, "reason": reason, "rows": rows, "mend": _mend(reason) if reason else ""}
        for (disposition, reason), rows in sorted(counted.items())
    ]


def _sums(outcome: Outcome, rows: Sequence[Row]) -> Row:
    """received = accepted + quarantined + duplicate + withheld; None where no row was read."""
    sums: Row = {"received": outcome.received, "declared": outcome.declared}
    for kind in Disposition:
        came = sum(row["rows"] for row in rows if row["disposition"] == kind)
        sums[str(kind)] = None if outcome.received is None else came
    return sums


def _findings(path: Path, feed: Feed) -> list[Row]:
    """Each kind of finding with its first lines (of a table: its first records) and how many more there are."""
    with peek() as con:
        found = con.execute(
            f"SELECT element, rule, code, severity, count(*), min(_line, {FIRST_LINES}), min(_record, {FIRST_LINES})"
            f" FROM read_parquet({literal(path)}) GROUP BY element, rule, code, severity"
            " ORDER BY CASE severity WHEN 'error' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, count(*) DESC, element, code"
        ).fetchall()
    return [_finding(feed, *row) for row in found]


def _finding(
    feed: Feed, element: str, rule: str, code: str, severity: str, rows: int, lines: list[int] | None,
    records: list[int],
) -> Row:  # fmt: skip
    first = lines or records
    return {
        "code": code, "severity": severity, "element": element, "columns": _columns(feed, element), "rows": rows,
        "counted_in": "lines" if lines else "records", "first": sorted(first), "more": rows - len(first),
        "mend": _mend(code or rule),
    }  # fmt: skip


def _columns(feed: Feed, element: str) -> list[str]:
    """The agency's own names for what a finding is about."""
    named = [name.strip() for name in (element or "").split(",")]
    sent = [column for name in named if name in feed.elements for column in feed.elements[name].sent]
    return list(dict.fromkeys(sent))


def _asked_for(findings: Sequence[Row], feed: Feed | None, new_codes: Mapping[str, int], overdue: Sequence[Row]) -> Row:
    """What is missing and asked for: feeds that have not come, required elements that are blank, codes to explain."""
    elements = [
        {"element": f["element"], "columns": f["columns"], "rows": f["rows"]}
        for f in findings
        if f["code"] in ("blank_required", "no_key")
    ]
    codes = [
        {"element": name, "columns": _columns(feed, name) if feed else [], "codes": count}
        for name, count in sorted(new_codes.items())
    ]
    feeds = [each for each in overdue if "missing" not in each]
    numbers = [each for each in overdue if "missing" in each]
    return {"feeds": feeds, "numbers": numbers, "elements": elements, "codes": codes}


def _compared(outcome: Outcome, before: Sequence[Before]) -> Row | None:
    """This delivery beside those before: rows, share in quarantine, codes not met before."""
    if outcome.received is None:
        return None
    quarantined = sum(rows for (kind, _), rows in outcome.counts.items() if kind == Disposition.QUARANTINED)
    usual = sorted(each.received for each in before)
    return {
        "deliveries_before": len(before),
        "rows": outcome.received,
        "rows_last": before[0].received if before else None,
        "rows_usual": usual[len(usual) // 2] if usual else None,
        "quarantined_share": _share(quarantined, outcome.received),
        "quarantined_share_last": _share(before[0].quarantined, before[0].received) if before else None,
        "new_codes": sum(outcome.new_codes.values()),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
