"""The run ledger: who holds the home, which runs there were, and which of their stages ended."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from standard.errors import BusyError, ExchangeError
from store.home import Home
from store.ledger import Ledger, now, run, stage

_A_LOOK = 0.5
"""Seconds: `is_held` takes the lock for a moment to look, and a run that starts just then is not turned away."""


@dataclass(frozen=True)
class Run:
    """A run that holds the home."""

    run_id: str
    fence: int
    """Grows with every run; a publish of an older fence than the youngest run's is refused."""


@dataclass
class Stage:
    """A stage while it goes on; what it is given here stands in the ledger when it ends."""

    stage_id: int
    name: str
    rows: int | None = None


def lock_file(home: Home) -> Path:
    """The file whose lock is the right to run."""
    return home.root / ".run.lock"


@contextmanager
def hold_home(home: Home, *, wait: float = 0) -> Iterator[None]:
    """Holds the home against every other run for as long as this process lives.

    Args:
        home: The home.
        wait: Seconds to wait for another run to leave it.

    Raises:
        BusyError: Another run holds it.
    """
    handle = os.open(lock_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(handle, home, until=time.monotonic() + max(wait, _A_LOOK))
        yield
    finally:
        os.close(handle)


def _lock(handle: int, home: Home, *, until: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise BusyError(
                    "another run holds this home",
                    where=str(home.root),
                    mend="wait until it ends (kith status shows it), then run again",
                ) from error
        time.sleep(0.1)


def is_held(home: Home) -> bool:
    """Whether a run holds the home at this moment."""
    handle = os.open(lock_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def start_run(ledger: Ledger) -> Run:
    """Writes a new run with the next fence; to be called only by who holds the home.

    Runs that still stand as running are dead, because the lock they lived by is ours; they are written so.
    """
    with ledger.writing() as connection:
        _bury(connection)
        fence = (connection.execute(sa.select(sa.func.max(run.c.fence))).scalar() or 0) + 1
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        connection.execute(
            run.insert().values(
                run_id=run_id,
                started_at=now(),
                state="running",
                pid=os.getpid(),
                host=socket.gethostname(),
                fence=fence,
            )
        )
    return Run(run_id, fence)


def _bury(connection: sa.Connection) -> None:
    dead = run.c.state == "running"
    ids = sa.select(run.c.run_id).where(dead).scalar_subquery()
    connection.execute(
        stage.update()
        .where(stage.c.state == "running", stage.c.run_id.in_(ids))
        .values(state="dead", finished_at=now(), error_code="killed")
    )
    connection.execute(run.update().where(dead).values(state="dead", finished_at=now(), error="killed"))


def finish_run(ledger: Ledger, run_id: str, *, state: str, error: str | None = None) -> None:
    """Writes how a run ended: `finished` or `failed`, with what went wrong (never a personal value)."""
    with ledger.writing() as connection:
        connection.execute(
            run.update().where(run.c.run_id == run_id).values(state=state, finished_at=now(), error=error)
        )


@contextmanager
def stage_of(
    ledger: Ledger,
    run_id: str,
    name: str,
    *,
    agency: str | None = None,
    feed: str | None = None,
    extract_id: str | None = None,
) -> Iterator[Stage]:
    """Records one stage of a run: running while the body goes on, then finished or failed with the error's class."""
    with ledger.writing() as connection:
        row = stage.insert().values(
            run_id=run_id, name=name, agency=agency, feed=feed, extract_id=extract_id, state="running", started_at=now()
        )
        going = Stage(connection.execute(row.returning(stage.c.stage_id)).scalar_one(), name)
    try:
        yield going
    except Exception as error:
        _end_stage(ledger, going, state="failed", error_code=error_code(error))
        raise
    _end_stage(ledger, going, state="finished", error_code=None)


def _end_stage(ledger: Ledger, going: Stage, *, state: str, error_code: str | None) -> None:
    with ledger.writing() as connection:
        connection.execute(
            stage.update()
            .where(stage.c.stage_id == going.stage_id)
            .values(state=state, finished_at=now(), rows=going.rows, error_code=error_code)
        )


def error_code(error: BaseException) -> str:
    """What the ledger may say of an error: its class and exit status, nothing that could hold a value."""
    return f"{type(error).__name__}/{error.exit_status if isinstance(error, ExchangeError) else 1}"
