"""The exchange's own copies of releases go when the agreement behind their rows, or the one they went out by, ended."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from typing import Any

from governance.retention import Due
from releases.index import Kept, folder_in_home, kept_releases
from store.audit_entry import Event
from store.audit_log import intent, operator
from store.home import Home, sync


def releases_with(home: Home, agencies: Collection[str]) -> list[Kept]:
    """The releases that were made of a snapshot in which rows of some agencies were."""
    return [kept for kept in kept_releases(home) if {each["agency"] for each in kept.facts["extracts"]} & set(agencies)]


def remove_copies(home: Home, releases: Iterable[Kept]) -> list[str]:
    """Removes the folders of releases below the home; the ids of those that lay there.

    What was written elsewhere, or went to the recipient, is the recipient's to destroy.
    """
    there = [kept for kept in releases if folder_in_home(home, kept).is_dir()]
    for kept in there:
        folder = folder_in_home(home, kept)
        shutil.rmtree(folder)
        sync(folder.parent)
    return [kept.release_id for kept in there]


def destroy_released(home: Home, found: Due) -> dict[str, Any]:
    """Removes what the exchange has of the releases by a DUL: copies in the home, and which rows they were of.

    Who received what stands in the register of disclosures as before.

    Args:
        home: The home.
        found: The DUL, whose recipient's time to destroy is over, so that nothing has to be named to it any more.

    Returns:
        agreement, releases (ids of all that went out by it) and copies (ids of those that lay in the home).
    """
    event = Event("retention.destroy", found.agreement, operator(), agreement=found.agreement, reason=found.method)
    with intent(home, event) as going:
        mine = [kept for kept in kept_releases(home) if kept.facts["agreement"] == found.agreement]
        copies = remove_copies(home, mine)
        for kept in mine:
            shutil.rmtree(kept.folder)
            sync(kept.folder.parent)
        going.counts["releases"] = len(mine)
    return {"agreement": found.agreement, "releases": [kept.release_id for kept in mine], "copies": copies}
