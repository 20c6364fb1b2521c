"""Orders of a court in a run: what they mean is found, taken out and destroyed before anything is linked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from flows.governed import day_of, governance_of
from flows.intake import seals_of
from flows.run import Night
from governance.retractions import note_withdrawals, order_notices
from governance.sealing_enforce import EXCHANGE, find_meant, note_meant
from governance.sealing_forget import forget_expunged
from governance.sealing_purge import Purged, purge
from record.publish import newest_published, order_arrived_since
from store.audit_entry import Event
from store.audit_log import intent
from store.registers import retraction

INDEX = "index"
"""The folder below links/ of what linkage keeps between runs (linkage.index); it can be removed at any time."""


def enforce_seals(night: Night, entities: Mapping[str, Path], *, temp: Path) -> bool:
    """Holds the rows in force against the orders in force, and does what they ask.

    Killed at any moment it is gone on with by the next run; until then nothing new is published.

    Args:
        night: The run.
        entities: Entity -> Parquet of all rows in force.
        temp: Folder below the home in which work may spill.

    Returns:
        Whether rows in force are gone, so that the entities must be projected anew.
    """
    index = seals_of(night)
    if index is None:
        _forget_kept_links(night)
        return False
    today = day_of(night.settings, night.now)
    meant = find_meant(night.home, night.ledger, index, entities, temp=temp)
    index = seals_of(night) or index  # with the marks of what hangs on it
    with intent(night.home, Event("seal.apply", night.run.run_id, EXCHANGE, role="exchange")) as going:
        lines = []
        for order_id, persons in meant.persons.items():
            of_order = frozenset(ref.partition("/")[0] for ref, _, order in meant.new if order == order_id)
            lines += order_notices(night.home, night.ledger, order_id, persons, agencies=of_order, today=today)
        with night.ledger.writing() as connection:
            note_meant(connection, meant)
            if lines:
                connection.execute(retraction.insert(), lines)
        purged = purge(night.home, night.ledger, night.agencies, index, meant.doomed)
        forgotten = forget_expunged(night.ledger, index, meant.doomed)
        _forget_kept_links(night)
        going.counts.update(found=len(meant.new), notices=len(lines), forgotten=forgotten, **_counts(purged))
    _tell(night, len(meant.new), purged)
    return bool(purged.rows or purged.in_force)


def _forget_kept_links(night: Night) -> None:
    """Removes what linkage keeps between runs where an order arrived since: it holds names, and is made again."""
    if order_arrived_since(night.ledger, newest_published(night.ledger)):
        shutil.rmtree(night.home.links / INDEX, ignore_errors=True)


def _counts(purged: Purged) -> dict[str, int]:
    return {"moved": purged.moved, "destroyed": purged.rows, "in_force": purged.in_force, "files": purged.files}


def _tell(night: Night, found: int, purged: Purged) -> None:
    if found or purged.moved or purged.rows or purged.in_force or purged.files:
        night.progress(
            f"orders: {found:,} new matches; {purged.moved:,} rows set apart, the content of {purged.rows:,} destroyed,"
            f" {purged.files:,} landed files removed"
        )


def owe_retractions(night: Night) -> None:
    """Owes notices for the consents that were withdrawn since."""
    agreed = governance_of(night)
    parties = None if agreed is None else agreed.parties
    note_withdrawals(night.home, night.ledger, parties, today=day_of(night.settings, night.now))
