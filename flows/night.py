"""One night over a home, without Prefect: every agency's intake, then link, publish and report."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from functools import partial

from flows.fetching import fetch_agency
from flows.intake import load_extracts
from flows.notices import tell_notices
from flows.publishing import link, publish, report
from flows.run import Night, NightResult, Progress, open_night
from flows.send_outbound import send_outbound
from flows.send_receipts import send_receipts
from store.home import Home

log = logging.getLogger(__name__)


def run_night(
    home: Home, *, now: datetime, agencies: Iterable[str] | None = None, progress: Progress = log.info
) -> NightResult:
    """Takes in what every agency has sent, links, publishes and reports; goes on where a killed run stopped.

    Args:
        home: The exchange's home.
        now: The moment the night stands for (aware): tables read now speak for its day, lateness is judged by it.
        agencies: Whose sources are asked; all where nothing is said. The others keep what they sent before.
        progress: Told one line where something begins or ends.

    Returns:
        How it went. A failure of one agency, of linkage or of publishing is in it, not raised.

    Raises:
        BusyError: Another run holds the home.
        DeclarationError: The settings or an agency's declarations are wrong.
    """
    with open_night(home, now=now, agencies=agencies, progress=progress) as night:
        night.each_agency(partial(take_in, night))
        with night.surviving("link"):
            link(night)
        with night.surviving("publish"):
            publish(night)
        send_outbound(night)
        with night.surviving("report"):
            report(night)
        with night.surviving("notify"):
            tell_notices(night)
    return night.result()


def take_in(night: Night, agency: str) -> None:
    """The intake of one agency: what landed is loaded and answered even where a source failed."""
    with night.in_turn(agency), night.surviving("fetch", agency):
        fetch_agency(night, agency)
    with night.surviving("load", agency):
        load_extracts(night, agency)
    with night.surviving("answer", agency):
        send_receipts(night, agency)
