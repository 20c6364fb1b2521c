"""What agreements mean for a run: which feeds may be loaded, what the manifest and the status say of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import governance as governance_code
from flows.run import Night
from flows.settings import Settings
from governance.coverage import why_not_covered
from governance.load import Governance, Standing, governance_folder, load_governance, tell_what_does_not_count
from mappings.load import Agency
from record.snapshot import fingerprint
from standard.errors import DeclarationError
from store.audit_log import Event, append
from store.home import Home

NO_AGREEMENT = "no_agreement"
"""Why an extract is held that no agreement in force covers; it is loaded once one does."""
OFF = "off"
_READ: dict[str, Governance] = {}
"""What the run that goes on has read: one run, one reading, whatever is changed in the folder meanwhile."""


def governance_of(night: Night) -> Governance | None:
    """What is agreed in the exchange of a run; None where its settings say that nothing is asked.

    Raises:
        DeclarationError: Parties or agreements are wrong, with file and line: nothing is loaded and nothing published.
    """
    if night.settings.governance == OFF:
        return None
    run_id = night.run.run_id
    if run_id not in _READ:
        found = load_governance(governance_folder(night.home), night.agencies)
        day = day_of(night.settings, night.now)
        tell_what_does_not_count(found, day)
        _log_standings(night.home, found, day)
        _READ.clear()
        _READ[run_id] = found
    return _READ[run_id]


def _log_standings(home: Home, found: Governance, day: date) -> None:
    """Tells the audit log which agreements a run finds in force (1) and which not (0), by the folder as it is."""
    standings = {name: int(found.standing(name, day) is Standing.IN_FORCE) for name in found.filed}
    append(home, Event("agreements", found.versions()["governance"], "exchange", role="exchange", counts=standings))


def why_not_loaded(night: Night, agency: Agency, feed: str) -> str | None:
    """Why a feed's extracts may not be loaded in this run; None where they may."""
    agreed = governance_of(night)
    day = day_of(night.settings, night.now)
    return None if agreed is None else why_not_covered(agreed, agency, agency.feeds[feed], day)


def day_of(settings: Settings, now: datetime) -> date:
    """The day on which agreements are judged: that of the exchange's own time zone."""
    return now.astimezone(ZoneInfo(settings.night.timezone)).date()


def versions_of(night: Night) -> dict[str, str]:
    """What a snapshot's manifest says of the agreements under which it was made."""
    agreed = governance_of(night)
    if agreed is None:
        return {"governance": OFF}
    return {"governance code": fingerprint(Path(governance_code.__path__[0])), **agreed.versions()}


def uncovered_feeds(
    home: Home, settings: Settings, agencies: Mapping[str, Agency], *, now: datetime
) -> dict[str, str] | None:
    """Why feeds (`agency/feed`) may not be loaded at a moment, of those that may not; None where nothing is asked.

    Raises:
        DeclarationError: Parties or agreements are wrong, with file and line.
    """
    if settings.governance == OFF:
        return None
    agreed, day = load_governance(governance_folder(home), agencies), day_of(settings, now)
    return {
        f"{name}/{feed.feed}": why
        for name, agency in agencies.items()
        for feed in agency.feeds.values()
        if (why := why_not_covered(agreed, agency, feed, day))
    }


def governance_lines(home: Home, settings: Settings, agencies: Mapping[str, Agency], *, now: datetime) -> list[str]:
    """How the exchange is governed, and what of its agreements does not count: for status and report."""
    if settings.governance == OFF:
        return ["off: nothing is asked of agreements"]
    try:
        agreed = load_governance(governance_folder(home), agencies)
    except DeclarationError as error:
        return [f"required, but nothing can be loaded: {error.what}", f"where: {error.where}"]
    day = day_of(settings, now)
    standing = {name: agreed.standing(name, day) for name in agreed.filed}
    idle = [f"{name}: {agreed.why_not(name, day)}" for name, how in standing.items() if how is not Standing.IN_FORCE]
    return [f"required: {len(standing) - len(idle)} of {len(standing)} agreements in force", *idle]
