"""What must be destroyed when an agreement has ended, what holds it back, and the certificate that it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

from governance.agreements import Agreement
from governance.load import Governance, Standing, unknown_agreement
from governance.rules import Reason
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError, ExchangeError
from store.home import Home, written_whole
from store.sign import is_signed, public_key, sign

HOLDS = "holds.yaml"
"""Beside parties.yaml: what must be kept although its time has come."""


class Hold(Declared):
    """Litigation, an audit or an inquiry: what it names is not destroyed while it lasts."""

    id: str
    because: str
    agencies: tuple[str, ...]
    since: date
    until: date | None = None
    """Its last day; open where nothing is said."""


class Holds(Declared):
    """governance/holds.yaml."""

    described_in: ClassVar[str] = "Keys, retention and destruction in docs/governance.md"

    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True)
class Due:
    """One agreement by which data came in or went out, and what has to become of them."""

    agreement: str
    kind: str
    parties: tuple[str, ...]
    """Of a DSA the agencies whose data end with it; of a DUL the recipient, who destroys at its own place."""
    ended_on: date
    destroy_by: date
    method: str
    standing: str
    """due, overdue, held, renewed, begun, certified."""
    why: str = ""


def certificates(home: Home) -> Path:
    """Where the certificates of destruction lie."""
    return home.root / "certificates"


def read_holds(folder: Path) -> tuple[Hold, ...]:
    """The legal holds of an exchange.

    Raises:
        DeclarationError: The file is wrong; with file and line.
    """
    path = folder / HOLDS
    return read_declaration(path, Holds).holds if path.is_file() else ()


def holds_on(holds: Sequence[Hold], agencies: Sequence[str], day: date) -> list[Hold]:
    """The holds that keep back what came from some agencies."""
    return [hold for hold in holds if set(hold.agencies) & set(agencies)
            and hold.since <= day and (hold.until is None or day <= hold.until)]  # fmt: skip


def ended_agencies(governance: Governance, agreement: Agreement, day: date) -> tuple[str, ...]:
    """The agencies of a sharing agreement that no other one, in force or still to come, speaks for."""
    others = [filed.agreement for name, filed in governance.filed.items()
              if filed.agreement.kind == "DSA" and name != agreement.id
              and governance.standing(name, day) in (Standing.IN_FORCE, Standing.NOT_YET)]  # fmt: skip
    still = {agency for other in others for agency in other.parties.discloser}
    return tuple(agency for agency in agreement.parties.discloser if agency not in still)


def due(home: Home, governance: Governance, day: date) -> list[Due]:
    """Every agreement whose time has passed, by the day until which its data must be destroyed."""
    holds = read_holds(governance.folder)
    ended = [filed.agreement for filed in governance.filed.values()
             if filed.agreement.kind != "MOU" and filed.agreement.expires < day]  # fmt: skip
    return sorted(
        (_due(home, governance, each, holds, day) for each in ended), key=lambda one: (one.destroy_by, one.agreement)
    )


def _due(home: Home, governance: Governance, agreement: Agreement, holds: Sequence[Hold], day: date) -> Due:
    assert agreement.destruction is not None  # only a memorandum has none
    of_use = agreement.kind == "DUL"
    parties = (agreement.parties.recipient or "",) if of_use else ended_agencies(governance, agreement, day)
    by = agreement.expires + timedelta(days=agreement.destruction.within_days)
    back = holds_on(holds, agreement.parties.discloser if of_use else parties, day)
    standing, why = ("overdue" if by < day else "due"), ""
    if certificate_file(home, agreement.id).is_file():
        standing = "certified"
    elif of_use and not back:
        why = "the recipient destroys it and certifies so"
    elif begun_file(home, agreement.id).is_file():
        standing, why = "begun", "end it with kith retention run, then certify it"
    elif not parties:
        standing, why = "renewed", "other agreements speak for its agencies"
    elif back:
        standing, why = "held", f"{Reason.HOLD_LEGAL} {', '.join(hold.id for hold in back)}"
    return Due(
        agreement.id, agreement.kind, parties, agreement.expires, by, agreement.destruction.method, standing, why
    )


def require_due(home: Home, governance: Governance, name: str, day: date) -> Due:
    """The agreement whose data are to be destroyed now.

    Raises:
        DeclarationError: There is no such agreement, it has not ended, another speaks for its agencies, the recipient
            may still have to be told of an order, or a legal hold keeps the data back.
    """
    if name not in governance.filed:
        raise unknown_agreement(name, governance)
    agreement = governance.filed[name].agreement
    found = next((each for each in due(home, governance, day) if each.agreement == name), None)
    where = str(governance.filed[name].path)
    if agreement.kind == "MOU":
        what, mend = f"{name} is a memorandum: nothing came or went by it", "name another; see: kith retention due"
    elif found is None:
        what, mend = (
            f"{name} has not ended: it lasts through {agreement.expires}",
            "wait, or end it by its parties' word",
        )
    elif found.standing in ("renewed", "held", "certified"):
        what, mend = f"nothing of {name} is destroyed: {found.why or found.standing}", "see: kith retention due"
    elif agreement.kind == "DUL" and found.standing != "overdue":
        what, mend = (
            f"the recipient has until {found.destroy_by} to destroy what it got by {name}",
            "wait: until then rows that an order covers have to be named to it",
        )
    else:
        return found
    raise DeclarationError(what, where=where, mend=mend)


def begun_file(home: Home, agreement: str) -> Path:
    """What a destruction has found and done so far."""
    return certificates(home) / f"{agreement}.begun.json"


def certificate_file(home: Home, agreement: str) -> Path:
    """The certificate of an agreement's destruction; its signature lies beside it."""
    return certificates(home) / f"{agreement}.json"


def write_certificate(home: Home, agreement: str, content: Mapping[str, Any]) -> Path:
    """Writes a certificate and its signature (Ed25519, as of receipts); the certificate last."""
    path = certificate_file(home, agreement)
    told = json.dumps(content, indent=1, sort_keys=True, default=str).encode()
    with written_whole(path.with_suffix(".json.sig")) as part:
        part.write_bytes(sign(told, home.keys))
    with written_whole(path) as part:
        part.write_bytes(told)
    return path


def read_certificate(home: Home, agreement: str) -> dict[str, Any]:
    """A certificate whose signature holds.

    Raises:
        ExchangeError: There is none, or it is not as it was signed.
    """
    path = certificate_file(home, agreement)
    if not path.is_file():
        raise ExchangeError(f"{agreement} has no certificate", where=str(path), mend="kith retention certify")
    content = path.read_bytes()
    if not is_signed(content, path.with_suffix(".json.sig").read_bytes(), public_key(home.keys)):
        raise ExchangeError("the certificate is not as it was signed", where=str(path), mend="put it back from a copy")
    told: dict[str, Any] = json.loads(content)
    return told


def told(found: Due) -> dict[str, Any]:
    """As a line of an answer."""
    return {**asdict(found), "parties": " ".join(found.parties)}
