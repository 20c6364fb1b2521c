"""Wake the served exchange when the grace of a feed is over that was due and has not come, so that it is told then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from prefect.deployments import run_deployment
from prefect.runtime import deployment

from flows.run import Night
from flows.standing import next_grace_end

AFTER = timedelta(minutes=1)
"""At the very end of its grace a feed is not late yet."""
Ask = Callable[[str, datetime], None]
"""Given an agency and when it is to be asked again."""


def wake_when_grace_ends(night: Night, *, ask: Ask) -> None:
    """Asks for another run of each agency of the night that still may send what was due before its grace is over."""
    with night.ledger.reading() as connection:
        ends = {name: next_grace_end(connection, night.agencies[name], night.now) for name in night.wanted}
    for name, end in ends.items():
        if end is not None:
            ask(name, end + AFTER)


def is_served() -> bool:
    """Whether this run is one of `kith serve`; another one has nobody who would wake it."""
    return bool(deployment.id)


def ask_prefect(agency: str, at: datetime) -> None:
    """Schedules a run of the agency's own deployment, once however often it is asked for."""
    run_deployment(
        f"pull-and-publish/{agency}", scheduled_time=at, timeout=0, as_subflow=False,
        idempotency_key=f"{agency} {at.isoformat()}",
    )  # fmt: skip
