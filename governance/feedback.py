"""What an agency may be told back about its own persons: by its agreement in force, and by their consents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from governance.load import Governance
from governance.rules import CONSENT_ORDER, Consent, Reason, class_of_sector
from governance.subjects import attach_consents, read_registers
from mappings.load import Agency
from record.outbound import Permit
from record.reader import open_record
from store.home import Home, literal
from store.ledger import Ledger

_REFUSED = CONSENT_ORDER.index(Consent.REFUSED)


@dataclass(frozen=True)
class Allowed:
    """What may leave.

    Attributes:
        permit: For `record.outbound.make_feedback`.
        tag: Another one where other persons refuse: then the agency is told anew, of the same snapshot, too.
    """

    permit: Permit
    tag: str


def why_nothing_back(governance: Governance, agency: Agency, day: date) -> Reason | None:
    """Why an agency is told nothing on a day; None where it is told.

    It is told which of its own persons are one: that takes a sharing agreement of its own in force that allows linkage
    and names the class of what it sends.
    """
    party = governance.parties.parties.get(agency.agency)
    if party is None:
        return Reason.NO_AGREEMENT
    if party.in_breach:
        return Reason.RECIPIENT_IN_BREACH
    own = [a for a in governance.in_force("DSA", day) if agency.agency in a.parties.discloser]
    if not own:
        return Reason.NO_AGREEMENT
    named = [a for a in own if class_of_sector(agency.sector) in a.classes]
    if not named:
        return Reason.CLASS
    return None if any(a.linkage is not None and a.linkage.allowed for a in named) else Reason.FIELD


@contextmanager
def allowed_back(home: Home, ledger: Ledger, governance: Governance, agency: Agency, day: date) -> Iterator[Allowed]:
    """What may leave for an agency of which `why_nothing_back` says nothing, while the body goes on.

    Persons whose consent refuses the agency, in any class and for any purpose of its agreement, are left out; one of
    whom it was told before is withdrawn. What refuses is taken widely.
    """
    own = [a for a in governance.in_force("DSA", day) if agency.agency in a.parties.discloser]
    purposes = sorted({purpose for agreement in own for purpose in agreement.purpose})
    with TemporaryDirectory(dir=home.root, prefix=".preview-") as folder:
        refused = Path(folder) / "refused.parquet"
        ids = _write_refused(home, ledger, governance, agency.agency, purposes, day, refused)
        gone = f"(SELECT person_id FROM read_parquet({literal(refused)}))"

        def permit(feed: str, rows: str) -> str:
            return f"SELECT * FROM ({rows}) WHERE person_id NOT IN {gone}" if feed == "own" else rows

        yield Allowed(permit, f"-{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:8]}" if ids else "")


def _write_refused(
    home: Home, ledger: Ledger, governance: Governance, recipient: str, purposes: list[str], day: date, into: Path
) -> list[str]:  # fmt: skip
    registers = read_registers(ledger)
    with open_record(home).to_duckdb() as con:
        con.execute("CREATE TEMP TABLE refused (person_id VARCHAR)")
        for purpose in purposes:
            attach_consents(con, registers, governance.parties, recipient=recipient, purpose=purpose, day=day)
            con.execute(f"INSERT INTO refused SELECT person_id FROM consent_state WHERE state = {_REFUSED}")
        ids = con.execute("SELECT DISTINCT person_id FROM refused ORDER BY 1").fetchall()
        con.execute(f"COPY (SELECT DISTINCT person_id FROM refused ORDER BY 1) TO {literal(into)} (FORMAT parquet)")
    into.chmod(0o600)
    return [person_id for (person_id,) in ids]
