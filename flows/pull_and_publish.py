"""The night under Prefect: one subflow per agency with retries, then link, then publish; ids and counts only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.logging.handlers import APILogHandler
from prefect.tasks import exponential_backoff

from flows.failures import Failure, StageFailed, failure_of
from flows.fetching import fetch_agency
from flows.intake import load_extracts
from flows.publishing import link, publish, report
from flows.run import Night, NightResult, open_night
from standard.errors import SourceError
from store.home import open_home

FETCH_TRIES_AGAIN = 3
"""A source that cannot be reached is asked again after 10, 20 and 40 seconds."""

_open: dict[str, Night] = {}
"""The run of this process by its id: what tasks need is not passed through Prefect, which would keep it."""


class NightFailed(StageFailed):
    """A night in which something failed; the result, which stays in this process, says all of it."""

    def __init__(self, result: NightResult) -> None:
        super().__init__(result.failures[0])
        self.result = result


def _scrubbed(stage: str, work: Callable[[Night], None], night: Night, agency: str | None = None) -> None:
    """Does a stage; what crosses to Prefect of an error is its class, exit status and agency."""
    failure: Failure | None = None
    try:
        work(night)
    except Exception as error:
        failure = failure_of(error, stage=stage, agency=agency)
    if failure:
        raise StageFailed(failure)  # outside the except block: no cause, no context, nothing of the error's text


def _is_of_the_source(_task: object, _run: object, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.failure.exit_status == SourceError.exit_status


@task(
    name="fetch",
    persist_result=False,
    retries=FETCH_TRIES_AGAIN,
    retry_delay_seconds=exponential_backoff(10),
    retry_condition_fn=_is_of_the_source,
)
def fetch_task(run_id: str, agency: str) -> None:
    """Asks every source of an agency for what is new."""
    _scrubbed("fetch", lambda night: fetch_agency(night, agency), _open[run_id], agency)


@task(name="load", persist_result=False)
def load_task(run_id: str, agency: str) -> None:
    """Maps, checks and folds what an agency has sent."""
    _scrubbed("load", lambda night: load_extracts(night, agency), _open[run_id], agency)


@task(name="link", persist_result=False)
def link_task(run_id: str) -> None:
    """Links the persons of all agencies."""
    _scrubbed("link", link, _open[run_id])


@task(name="publish", persist_result=False)
def publish_task(run_id: str) -> None:
    """Publishes the snapshot."""
    _scrubbed("publish", publish, _open[run_id])


@task(name="report", persist_result=False)
def report_task(run_id: str) -> None:
    """Writes the page of the run."""
    _scrubbed("report", report, _open[run_id])


@flow(name="pull-agency", flow_run_name="pull {agency}", persist_result=False)
def pull_agency(run_id: str, agency: str) -> None:
    """The intake of one agency: what landed is loaded even where a source failed."""
    night = _open[run_id]
    before = len(night.failures)
    with night.surviving("fetch", agency):
        fetch_task(run_id, agency)
    with night.surviving("load", agency):
        load_task(run_id, agency)
    if len(night.failures) > before:
        raise StageFailed(night.failures[before])


@flow(name="pull-and-publish", persist_result=False)
def pull_and_publish(
    home: str, agencies: Sequence[str] | None = None, now: datetime | None = None, wait: int = 0
) -> NightResult:
    """One night.

    Args:
        home: The folder of the home.
        agencies: Whose sources are asked; all where nothing is said.
        now: The moment the night stands for; this moment where nothing is said.
        wait: Seconds to wait for another run to leave the home.
    """
    result: NightResult | None = None
    failure: Failure | None = None
    try:
        with open_night(open_home(Path(home)), now=now or datetime.now(UTC), agencies=agencies, wait=wait) as night:
            _run(night)
        result = night.result()
    except Exception as error:
        failure = failure_of(error, stage="run")
    if failure:
        raise StageFailed(failure)
    assert result is not None
    if result.failures:
        raise NightFailed(result)
    return result


def _run(night: Night) -> None:
    run_id = night.run.run_id
    _open[run_id] = night
    try:
        for agency in night.wanted:
            # The subflow has put its failure into the night already; here it only must not stop the others.
            pull_agency(run_id, agency, return_state=True)
        with night.surviving("publish"):
            link_task(run_id)
            publish_task(run_id)
        with night.surviving("report"):
            report_task(run_id)
    finally:
        del _open[run_id]


def orchestrate(home: Path, *, agencies: Sequence[str] | None = None, now: datetime | None = None) -> NightResult:
    """Runs the flow in this process and gives how the night went, whether anything failed or not.

    Raises:
        StageFailed: The run could not begin (another holds the home, a declaration is wrong).
    """
    try:
        return pull_and_publish(str(home), agencies=agencies, now=now)
    except NightFailed as failed:
        return failed.result
    finally:
        APILogHandler().flush()  # while the server is still there to take it
