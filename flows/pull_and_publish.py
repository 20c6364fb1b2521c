"""The night under Prefect: one subflow per agency with retries, then link, then publish; ids and counts only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.context import SettingsContext, get_settings_context
from prefect.events import emit_event
from prefect.logging.handlers import APILogHandler
from prefect.tasks import exponential_backoff

from flows.failures import Failure, StageFailed, failure_of, scrubbed
from flows.fetching import fetch_agency
from flows.intake import load_extracts
from flows.notices import Notice, tell_notices
from flows.publishing import link, publish, report
from flows.run import Night, NightResult, open_night
from flows.send_outbound import send_outbound
from flows.send_receipts import send_receipts
from flows.wake import ask_prefect, is_served, wake_when_grace_ends
from standard.errors import SourceError
from store.home import open_home

FETCH_TRIES_AGAIN = 3
"""A source that cannot be reached is asked again after 10, 20 and 40 seconds."""

_open: dict[str, Night] = {}
"""The run of this process by its id: what tasks need is not passed through Prefect, which would keep it."""


_ended: dict[str, NightResult | Exception] = {}
"""By home: how the flow that ended last in this process went, or why it could not begin."""


def _scrubbed(stage: str, work: Callable[[Night], None], night: Night, agency: str | None = None) -> None:
    """Does a stage; of an error only its class, exit status and agency cross to Prefect."""
    try:
        return work(night)
    except Exception as error:
        night.scrubbed[stage, agency] = failure_of(error, stage=stage, agency=agency)
    # Outside the except block: no cause, no context, no frame that holds the error.
    raise scrubbed(night.scrubbed[stage, agency])


def _is_of_the_source(_task: object, _run: object, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.exit_status == SourceError.exit_status


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


@task(name="answer", persist_result=False)
def answer_task(run_id: str, agency: str) -> None:
    """Gives an agency the receipts of what it has sent."""
    _scrubbed("answer", lambda night: send_receipts(night, agency), _open[run_id], agency)


@task(name="link", persist_result=False)
def link_task(run_id: str) -> None:
    """Links the persons of all agencies."""
    _scrubbed("link", link, _open[run_id])


@task(name="publish", persist_result=False)
def publish_task(run_id: str) -> None:
    """Publishes the snapshot."""
    _scrubbed("publish", publish, _open[run_id])


@task(name="outbound", persist_result=False)
def outbound_task(run_id: str) -> None:
    """Tells agencies what has changed about their own persons."""
    _scrubbed("outbound", send_outbound, _open[run_id])


@task(name="report", persist_result=False)
def report_task(run_id: str) -> None:
    """Writes the page of the run."""
    _scrubbed("report", report, _open[run_id])


@task(name="notify", persist_result=False)
def notify_task(run_id: str) -> None:
    """Tells the operators what needs them, and makes an event of each."""
    _scrubbed("notify", lambda night: tell_notices(night, emit=_emit), _open[run_id])


def _emit(notice: Notice, over: bool) -> None:
    """An event an automation can act on: kith.late, kith.late.over and so on, of agency/feed."""
    emit_event(
        event=f"kith.{notice.kind}{'.over' if over else ''}",
        resource={"prefect.resource.id": f"kith.{notice.place}", "prefect.resource.name": notice.place},
        payload={"agency": notice.agency, "feed": notice.feed, "says": notice.says},
    )


@flow(name="pull-agency", flow_run_name="pull {agency}", persist_result=False)
def pull_agency(run_id: str, agency: str) -> None:
    """The intake of one agency: what landed is loaded even where a source failed."""
    night = _open[run_id]
    with night.in_turn(agency), night.surviving("fetch", agency):
        fetch_task(run_id, agency)
    with night.surviving("load", agency):
        load_task(run_id, agency)
    with night.surviving("answer", agency):
        answer_task(run_id, agency)
    if of_agency := [failure for failure in night.failures if failure.agency == agency]:
        raise scrubbed(of_agency[0])


@flow(name="pull-and-publish", persist_result=False)
def pull_and_publish(
    home: str, agencies: Sequence[str] | None = None, now: datetime | None = None, wait: int = 0
) -> None:
    """One night.

    Args:
        home: The folder of the home.
        agencies: Whose sources are asked; all where nothing is said.
        now: The moment the night stands for; this moment where nothing is said.
        wait: Seconds to wait for another run to leave the home.
    """
    failure: Failure | None = None
    try:
        with open_night(open_home(Path(home)), now=now or datetime.now(UTC), agencies=agencies, wait=wait) as night:
            _run(night)
        _ended[home] = result = night.result()
        failure = next(iter(result.failures), None)
    except Exception as error:
        _ended[home] = error
        failure = failure_of(error, stage="run")
    if failure:
        raise scrubbed(failure)


def _run(night: Night) -> None:
    run_id = night.run.run_id
    _open[run_id] = night
    try:
        # A subflow has put its failure into the night already; here it only must not stop the others.
        night.each_agency(lambda agency: pull_agency(run_id, agency, return_state=True))
        with night.surviving("link"):
            link_task(run_id)
        with night.surviving("publish"):
            publish_task(run_id)
        with night.surviving("outbound"):
            outbound_task(run_id)
        with night.surviving("report"):
            report_task(run_id)
        with night.surviving("notify"):
            notify_task(run_id)
        if is_served():
            with night.surviving("wake"):
                wake_when_grace_ends(night, ask=ask_prefect)
    finally:
        del _open[run_id]


def orchestrate(home: Path, *, agencies: Sequence[str] | None = None, now: datetime | None = None) -> NightResult:
    """Runs the flow in this process and gives how the night went, whether anything failed or not.

    Raises:
        BusyError: Another run holds the home.
        DeclarationError: The settings or an agency's declarations are wrong.
    """
    with _without_heartbeats():
        pull_and_publish(str(home), agencies=agencies, now=now, return_state=True)
    APILogHandler().flush()  # while the server is still there to take it
    ended = _ended.pop(str(home))
    if isinstance(ended, Exception):
        raise ended
    return ended


def _without_heartbeats() -> SettingsContext:
    """Prefect's settings without heartbeats: to end one costs every flow run a second.

    They tell Prefect of a run that was killed; the exchange knows that by the lock of the home.
    """
    context = get_settings_context()
    flows = context.settings.flows.model_copy(update={"heartbeat_frequency": None})
    return SettingsContext(profile=context.profile, settings=context.settings.model_copy(update={"flows": flows}))
