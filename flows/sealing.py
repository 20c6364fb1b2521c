"""Orders of a court in a run: what they mean is found, taken out and destroyed before anything is linked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from flows.governed import day_of, governance_of
from flows.intake import seals_of
from flows.run import Night
from flows.sealed_releases import forget_released
from governance.retractions import note_withdrawals, order_notices
from governance.sealing_enforce import EXCHANGE, find_meant, hidden_persons, note_meant
from governance.sealing_forget import forget_expunged
from governance.sealing_purge import Purged, purge
from record.publish import order_arrived_since
from record.snapshot import current_snapshot
from record.withhold import orders_in_force
from store.audit_entry import Event
from store.audit_log import intent
from store.home import connect, literal, written_whole
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
        _forget_links(night, entities, temp)
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
        _forget_links(night, entities, temp)
        purged = purge(night.home, night.ledger, night.agencies, index, meant.doomed)
        forgotten = forget_expunged(night.ledger, index, meant.doomed)
        forgotten += forget_released(night.home, night.ledger, index, today=today)
        going.counts.update(found=len(meant.new), notices=len(lines), forgotten=forgotten, **_counts(purged))
    _tell(night, len(meant.new), purged)
    return bool(purged.rows or purged.in_force)


def _forget_links(night: Night, entities: Mapping[str, Path], temp: Path) -> None:
    """Where an order arrived since the last publishing: whom it hides, linkage must not know from before either."""
    snapshot = current_snapshot(night.home)
    if snapshot is None or not order_arrived_since(night.ledger, snapshot.snapshot_id):
        return
    shutil.rmtree(night.home.links / INDEX, ignore_errors=True)
    hidden = pa.table(
        {"ref": pa.array(hidden_persons(orders_in_force(night.ledger), entities, temp=temp), pa.string())}
    )
    known = night.home.links / str(snapshot.manifest["versions"]["links"])
    for path in (known / "persons.parquet", known / "former.parquet"):
        if hidden.num_rows and path.is_file():
            with connect(temp=temp) as con, written_whole(path) as part:
                con.register("hidden", hidden)
                kept = f"SELECT * FROM read_parquet({literal(path)}) WHERE record_id NOT IN (SELECT ref FROM hidden)"
                con.execute(f"COPY ({kept}) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd)")


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
