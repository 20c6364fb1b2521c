"""What went wrong, in words that hold no personal value: for the ledger, for Prefect and for the terminal."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from standard.errors import ExchangeError

_ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "standard",
    "store",
    "connectors",
    "mappings",
    "expectations",
    "receipts",
    "linkage",
    "record",
    "governance",
    "releases",
    "flows",
    "demo",
)


@dataclass(frozen=True)
class Failure:
    """Why a stage of a run did not end."""

    stage: str
    agency: str | None
    error: str
    """The class of the error."""
    what: str
    where: str
    mend: str
    exit_status: int

    def __str__(self) -> str:
        return str(ExchangeError(self.what, where=self.where, mend=self.mend))


def failure_of(error: BaseException, *, stage: str, agency: str | None = None) -> Failure:
    """The failure an error is.

    An error of ours says what, where and mend. Of any other only its class and the place in our code are told,
    because its text may hold what a row holds.
    """
    kind = type(error).__name__
    if isinstance(error, ExchangeError):
        return Failure(stage, agency, kind, error.what, error.where, error.mend, error.exit_status)
    if _is_full_disk(error):
        what, mend = "the disk is full", "make room, then run again: nothing was lost, nothing is half published"
        return Failure(stage, agency, kind, what, "the disk of the home", mend, 1)
    return Failure(
        stage, agency, kind, f"unexpected {kind}", " < ".join(own_frames(error)) or "outside the exchange's own code",
        "report it with the places above; its text is not shown, because it may hold what a row holds", 1,
    )  # fmt: skip


def _is_full_disk(error: BaseException) -> bool:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    of_ledger = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return full or of_ledger == sqlite3.SQLITE_FULL or os.strerror(errno.ENOSPC) in str(error)


def own_frames(error: BaseException) -> list[str]:
    """Where in our own code an error passed, innermost first: file:line, no text and no values."""
    places = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [(path.relative_to(_ROOT), line) for path, line in reversed(places) if path.is_relative_to(_ROOT)]
    return [f"{path}:{line}" for path, line in ours if path.parts[0] in PACKAGES]


class StageFailed(Exception):
    """What crosses to Prefect in place of any error: stage, agency, class and exit status.

    Prefect keeps a failed flow's exception with all it holds, pickled, in a file; so this one holds no more.
    """

    def __init__(self, stage: str, agency: str | None, error: str, exit_status: int) -> None:
        super().__init__(stage, agency, error, exit_status)
        self.exit_status = exit_status

    def __str__(self) -> str:
        stage, agency, error, exit_status = self.args
        return f"{stage}{f' of {agency}' if agency else ''}: {error}, exit status {exit_status}"


def scrubbed(failure: Failure) -> StageFailed:
    """A failure as Prefect may know it."""
    return StageFailed(failure.stage, failure.agency, failure.error, failure.exit_status)


def to_json(failures: list[Failure]) -> str:
    """Failures as the ledger keeps them."""
    return json.dumps([asdict(failure) for failure in failures])


def from_json(text: str | None) -> list[Failure]:
    """Failures as the ledger kept them; of a killed run there are none."""
    return [Failure(**each) for each in json.loads(text)] if text and text.startswith("[") else []
