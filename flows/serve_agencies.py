"""Serve the night on each agency's cron and on the exchange's own, one run at a time, from one Prefect process."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from prefect import serve
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from flows.pull_and_publish import pull_and_publish
from flows.settings import Settings
from mappings.load import Agency
from store.home import Home

log = logging.getLogger(__name__)

WAIT_FOR_HOME = 3600
"""Seconds a run waits for another one to leave the home."""


def serve_agencies(home: Home, settings: Settings, agencies: Mapping[str, Agency]) -> None:
    """Serves until it is stopped."""
    deployments = [_deployment(home, "night", None, [Cron(settings.night.cron, timezone=settings.night.timezone)])]
    for name, agency in agencies.items():
        if hours := schedules_of(agency):
            deployments.append(_deployment(home, name, [name], hours))
    for deployment in deployments:
        log.info("serving %s", deployment.name)
    serve(*deployments, limit=1, print_starting_message=False)


def schedules_of(agency: Agency) -> list[Schedule]:
    """The hours at which any of an agency's feeds is due, in its time zone."""
    own = {feed.arrives.schedule for feed in agency.feeds.values() if feed.arrives.schedule}
    of_calendars = {period.schedule for calendar in agency.calendars.values() for period in calendar.periods}
    lines = sorted(own | {line for line in of_calendars if line})
    return [Cron(line, timezone=agency.timezone) for line in lines]


def _deployment(home: Home, name: str, agencies: list[str] | None, schedules: list[Schedule]) -> RunnerDeployment:
    made = pull_and_publish.to_deployment(
        name=name,
        schedules=schedules,
        parameters={"home": str(home.root), "agencies": agencies, "wait": WAIT_FOR_HOME},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made
