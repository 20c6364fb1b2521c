"""What travels between the stages about one arrival of one feed: the extract, its mapped batch, the checked rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path


class Holds(StrEnum):
    """What an extract of a feed holds."""

    FULL = "full"
    DELTA = "delta"
    CHANGES = "changes"  # a table read by watermark or whole, with a census of its keys


class Status(StrEnum):
    """Where an extract stands."""

    LANDED = "landed"
    MAPPED = "mapped"
    CHECKED = "checked"
    LOADED = "loaded"
    LOADED_LATE = "loaded_late"
    HELD = "held"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"


class Disposition(StrEnum):
    """Where a received row went: every row has exactly one."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    WITHHELD = "withheld"


class Severity(StrEnum):
    """What a finding does: an error quarantines the row (or holds the file), the others go along with it."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Extract:
    """One arrival of one feed."""

    extract_id: str
    agency: str
    feed: str
    name: str
    """As sent (file) or the table's name; data only, never used as a path."""
    sha256: str
    size: int
    received_at: datetime
    as_of: date
    seq: int
    """Order of arrival over all feeds of the home."""
    holds: Holds
    status: Status
    path: Path
    """The landed, unchanged content."""
    status_reason: str | None = None
    watermark: str | None = None


@dataclass(frozen=True)
class FileFinding:
    """Something about an extract as a whole. `detail` names columns and counts, never a person's value."""

    code: str
    severity: Severity
    detail: str
    rows: int | None = None


@dataclass(frozen=True)
class Batch:
    """The mapped rows of one extract (see docs/design.md, step 2)."""

    extract: Extract
    folder: Path
    received: int
    """Records in the extract: mapped and unreadable, census rows not counted."""
    declared: int | None
    """Records that a trailer or manifest declares."""
    findings: tuple[FileFinding, ...] = ()
    hold: str | None = None
    """Why the whole file must be held (truncated, wrong_sender, layout, empty, unlisted, unreadable), if it must."""

    @property
    def mapped(self) -> Path:
        return self.folder / "mapped.parquet"

    @property
    def unreadable(self) -> Path:
        return self.folder / "unreadable.parquet"

    @property
    def census(self) -> Path:
        return self.folder / "census.parquet"


@dataclass(frozen=True)
class Checked:
    """The dispositions of a batch's rows; accepted + quarantined + duplicate + withheld = received, always."""

    batch: Batch
    rows: Path
    findings: Path
    counts: dict[tuple[Disposition, str], int] = field(default_factory=dict)
    held: str | None = None

    @property
    def status(self) -> tuple[Status, str | None]:
        """Where the extract stands now, and why: held, superseded by a later file, or checked and ready to load."""
        if self.held:
            return Status.HELD, self.held
        superseded = self.counts.get((Disposition.WITHHELD, "superseded_by_newer"))
        if self.batch.received and superseded == self.batch.received:
            return Status.SUPERSEDED, None
        return Status.CHECKED, None
