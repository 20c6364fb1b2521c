"""What the county's truth folder says; for checking only, never an input."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from standard.errors import ExchangeError

FIRST_DAY = date(2026, 3, 23)
"""Day 1 is a Monday; day i is 7 (i - 1) days later."""


@dataclass(frozen=True)
class Sent:
    """One line of the delivery accounting: a file or table of a delivery and what must become of its rows."""

    delivery: int
    agency: str
    file: str
    rows_sent: int
    status: str
    quarantined: int
    may_be_quarantined: int
    """Rows whose damage may be repaired where that is provable, else quarantined."""
    duplicate: int
    withheld: int
    flagged: int
    loaded: range


@dataclass(frozen=True)
class RowIssue:
    """A row of which the truth says where it must go."""

    delivery: int
    agency: str
    file: str
    record: int
    """1 = first row after the header; 0 for tables."""
    key: str
    expected: str


@dataclass(frozen=True)
class EventCount:
    """How many rows of a common type are in force after a delivery."""

    delivery: int
    agency: str
    type: str
    count: int


@dataclass(frozen=True)
class Trap:
    """A planted trap and where it stands; `rows` are keys, references or lists of references by person."""

    trap_id: str
    kind: str
    agency: str
    where: str
    rows: list[Any]
    delivery: int
    persons: tuple[str, ...]


@dataclass(frozen=True)
class Sealed:
    """A case that must not be seen from a delivery on."""

    agency: str
    case_id: str
    case_no: str
    party: str
    delivery: int


@dataclass(frozen=True)
class Truth:
    """The whole truth folder."""

    folder: Path
    sent: list[Sent] = field(default_factory=list)
    row_issues: list[RowIssue] = field(default_factory=list)
    events: list[EventCount] = field(default_factory=list)
    traps: list[Trap] = field(default_factory=list)
    sealed: list[Sealed] = field(default_factory=list)

    @property
    def persons(self) -> Path:
        """person_truth.csv: every person key of a source, the true person, the link to expect, the first delivery."""
        return self.folder / "person_truth.csv"


def day_of(delivery: int) -> date:
    """The Monday of a delivery."""
    return FIRST_DAY + timedelta(days=7 * (delivery - 1))


def read_truth(county: Path) -> Truth:
    """Reads the truth of a county folder.

    Raises:
        ExchangeError: A file of the truth folder is missing.
    """
    folder = county / "truth"
    return Truth(
        folder,
        [_sent(line) for line in _lines(folder / "delivery_accounting.csv")],
        [_row_issue(line) for line in _lines(folder / "row_issues.csv")],
        [_event_count(line) for line in _lines(folder / "event_truth_counts.csv")],
        [_trap(line) for line in _lines(folder / "traps.csv")],
        [_sealed(line) for line in _lines(folder / "sealed.csv")],
    )


def _lines(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise ExchangeError(
            "the truth of the county is not whole",
            where=str(path),
            mend="name a folder that holds deliveries/ and truth/",
        )
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _sent(line: dict[str, str]) -> Sent:
    return Sent(
        delivery=int(line["delivery"]),
        agency=line["agency"],
        file=line["file"],
        rows_sent=int(line["rows_sent"]),
        status=line["expected_file_status"],
        quarantined=int(line["exp_reject"]) + int(line["exp_quarantine"]),
        may_be_quarantined=int(line["exp_quarantine_or_repair"]),
        duplicate=int(line["exp_duplicate"]),
        withheld=int(line["exp_out_of_scope"]) + int(line["exp_suppress"]),
        flagged=int(line["exp_accept_flagged"]),
        loaded=range(int(line["exp_loaded_min"]), int(line["exp_loaded_max"]) + 1),
    )


def _row_issue(line: dict[str, str]) -> RowIssue:
    return RowIssue(
        int(line["delivery"]), line["agency"], line["file"], int(line["data_row"]), line["key"], line["expected"]
    )


def _event_count(line: dict[str, str]) -> EventCount:
    return EventCount(int(line["delivery"]), line["agency"], line["common_type"], int(line["count"]))


def _trap(line: dict[str, str]) -> Trap:
    return Trap(
        trap_id=line["trap_id"],
        kind=line["kind"],
        agency=line["agency"],
        where=line["where"],
        rows=json.loads(line["rows"]),
        delivery=int(line["delivery"]),
        persons=tuple(filter(None, line["true_person_ids"].split(";"))),
    )


def _sealed(line: dict[str, str]) -> Sealed:
    return Sealed(
        line["agency"], line["case_id"], line["case_no"], line["source_person_key"], int(line["effective_delivery"])
    )
