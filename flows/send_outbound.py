"""Tell agencies what has changed about their own persons, and what they must retract: into their outboxes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import BinaryIO

from connectors.database import Database
from connectors.doors import open_door
from connectors.sources import Secrets
from flows.governed import day_of, governance_of
from flows.run import Night
from flows.sealing import owe_retractions
from flows.send_receipts import folder_of
from governance.feedback import Allowed, allowed_back, why_nothing_back
from governance.load import Governance
from governance.retractions import content_of, note_sent, unsent
from governance.sealing_enforce import EXCHANGE
from mappings.load import Agency
from record.outbound import Feedback, last_told, make_feedback, note_told
from record.snapshot import current_snapshot
from standard.errors import DeclarationError
from store.audit_entry import Event
from store.audit_log import append, intent
from store.home import Home
from store.ledger import Ledger
from store.runs import stage_of

ALL = Allowed(lambda _, rows: rows, "")
"""Where nothing is asked of agreements: the agency's own keys as the record publishes them."""


def send_outbound(night: Night) -> None:
    """Writes to every agency that declares it what has changed and what it must retract; of one that fails the others
    hear nothing."""
    with night.surviving("outbound"):
        owe_retractions(night)
    for name, agency in night.agencies.items():
        if folder_of(agency, "outbox") is not None:
            with night.surviving("outbound", name):
                _send_retractions(night, agency)
        if agency.outbound is None:
            continue
        with night.surviving("outbound", name), stage_of(night.ledger, night.run.run_id, "outbound", agency=name):
            _send_feedback(night, agency)


def _send_feedback(night: Night, agency: Agency) -> None:
    day = day_of(night.settings, night.now)
    with permission(night.home, night.ledger, governance_of(night), agency, day) as allowed:
        if allowed is None:
            night.progress(f"{agency.agency}: is told nothing: no agreement in force allows it")
        elif told := tell_agency(night.home, agency, allowed):
            rows = sum(each["rows"] for each in told.manifest["files"])
            night.progress(f"{agency.agency}: {rows:,} changes about its own persons are in its outbox")


@contextmanager
def permission(
    home: Home, ledger: Ledger, governance: Governance | None, agency: Agency, day: date
) -> Iterator[Allowed | None]:  # fmt: skip
    """What may leave for an agency on a day, while the body goes on; None: nothing, which the audit log tells."""
    if governance is None or current_snapshot(home) is None:
        yield ALL
        return
    why = why_nothing_back(governance, agency, day)
    if why is not None:
        append(home, Event("outbound", agency.agency, EXCHANGE, role=EXCHANGE, decision="refused", reason=str(why)))
        yield None
        return
    with allowed_back(home, ledger, governance, agency, day) as allowed:
        yield allowed


def tell_agency(home: Home, agency: Agency, allowed: Allowed = ALL) -> Feedback | None:
    """Brings an agency what has changed since it was told last; None where it knows the current snapshot already.

    The files bear their names only when they are whole, the manifest last; the same snapshot makes the same files, so
    that after a kill they are written again as they were.

    Raises:
        SourceError: Its outbox cannot be written to.
        DeclarationError: It declares none.
    """
    snapshot = current_snapshot(home)
    if snapshot is None or last_told(home, agency.agency) == f"{snapshot.snapshot_id}{allowed.tag}":
        return None
    format_ = agency.outbound.format if agency.outbound else "csv"
    made = make_feedback(home, snapshot, agency.agency, format_=format_, permit=allowed.permit, tag=allowed.tag)
    with _outbox(home, agency) as put:
        for path in made.files:
            with path.open("rb") as content:
                put(content, path.stat().st_size, path.name)
    note_told(home, agency.agency, made)
    return made


def _send_retractions(night: Night, agency: Agency) -> None:
    """Puts every notice to an agency into its outbox, once."""
    owed = unsent(night.ledger, agency.agency)
    if not owed:
        return
    event = Event("retraction", agency.agency, EXCHANGE, role=EXCHANGE, counts={"sent": len(owed)})
    with stage_of(night.ledger, night.run.run_id, "outbound", agency=agency.agency), intent(night.home, event):
        with _outbox(night.home, agency) as put:
            for notice in owed:
                text = json.dumps(content_of(notice), indent=1).encode()
                put(io.BytesIO(text), len(text), f"RETRACT_{notice.notice_id}.json")
        for notice in owed:
            note_sent(night.ledger, notice, who=EXCHANGE)
    night.progress(f"{agency.agency}: {len(owed)} notice{'' if len(owed) == 1 else 's'} to retract in its outbox")


@contextmanager
def _outbox(home: Home, agency: Agency) -> Iterator[Callable[[BinaryIO, int, str], None]]:
    """Opens an agency's outbox: what puts (content, its size) there under a name."""
    found = folder_of(agency, "outbox")
    if found is None:
        raise DeclarationError(
            f"{agency.agency} has no outbox",
            where=str(agency.folder / "agency.yaml"),
            mend="declare outbox: FOLDER at one of its sources",
        )
    source, folder = found
    with open_door(agency.sources[source], Secrets(home.keys)) as door:
        assert not isinstance(door, Database)  # only a source of files declares a folder
        yield lambda content, size, name: door.put(content, size, folder, name)
