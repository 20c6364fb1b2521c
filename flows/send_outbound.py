"""Tell agencies what has changed about their own persons: into their outboxes, after every publishing."""

from __future__ import annotations

from connectors.database import Database
from connectors.doors import open_door
from connectors.sources import Secrets
from flows.run import Night
from flows.send_receipts import folder_of
from mappings.load import Agency
from record.outbound import Feedback, Permit, last_told, make_feedback, note_told
from record.snapshot import current_snapshot
from standard.errors import DeclarationError
from store.home import Home
from store.runs import stage_of

PERMIT: Permit | None = None
"""What policies of releases let through of a feed back. None: what `make_feedback` says, the agency's own keys as the
record publishes them. Governance sets its own rule here."""


def send_outbound(night: Night) -> None:
    """Writes to every agency that declares it what has changed; of one that fails the others hear nothing."""
    for name, agency in night.agencies.items():
        if agency.outbound is None:
            continue
        with night.surviving("outbound", name), stage_of(night.ledger, night.run.run_id, "outbound", agency=name):
            if told := tell_agency(night.home, agency):
                rows = sum(each["rows"] for each in told.manifest["files"])
                night.progress(f"{name}: {rows:,} changes about its own persons are in its outbox")


def tell_agency(home: Home, agency: Agency) -> Feedback | None:
    """Brings an agency what has changed since it was told last; None where it knows the current snapshot already.

    The files bear their names only when they are whole, the manifest last; the same snapshot makes the same files, so
    that after a kill they are written again as they were.

    Raises:
        SourceError: Its outbox cannot be written to.
        DeclarationError: It declares none.
    """
    snapshot = current_snapshot(home)
    if snapshot is None or last_told(home, agency.agency) == snapshot.snapshot_id:
        return None
    source, folder = _outbox(agency)
    format_ = agency.outbound.format if agency.outbound else "csv"
    made = make_feedback(home, snapshot, agency.agency, format_=format_, permit=PERMIT)
    with open_door(agency.sources[source], Secrets(home.keys)) as door:
        assert not isinstance(door, Database)  # only a source of files declares a folder
        for path in made.files:
            with path.open("rb") as content:
                door.put(content, path.stat().st_size, folder, path.name)
    note_told(home, agency.agency, made)
    return made


def _outbox(agency: Agency) -> tuple[str, str]:
    found = folder_of(agency, "outbox")
    if found is None:
        raise DeclarationError(
            f"{agency.agency} has no outbox",
            where=str(agency.folder / "agency.yaml"),
            mend="declare outbox: FOLDER at one of its sources",
        )
    return found
