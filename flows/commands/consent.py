"""Consents and overrides on record: `kith consent record|withdraw|list|explain`, `kith override add|review|list`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from duckdb import ColumnExpression, ConstantExpression

from flows.commands.agreement import Governed, OnOption, governed
from flows.settings import open_home_ledger
from flows.terminal import HERE, HomeOption, JsonOption, answer, table
from governance import consent_records as records
from governance.explain import explain_consent
from governance.rules import legal_bases
from record.reader import open_record
from record.snapshot import current_snapshot
from standard.sensitivity import Sensitivity
from store.audit_log import Event, Intent, intent, operator
from store.home import Home, connect
from store.ledger import Ledger
from store.registers import consent_record, override_record, override_review

_ID = re.compile(r"[0-9a-f]{16}")

app = typer.Typer(help="Consents to sharing, as the exchange wrote them down.", no_args_is_help=True)
override_app = typer.Typer(
    help="Sharing although consent is withheld: basis, evidence, two persons.", no_args_is_help=True
)

PersonArgument = Annotated[str, typer.Argument(metavar="PERSON", help="A reference: agency/table/key.")]
RecipientOption = Annotated[list[str], typer.Option("--recipient", help="Party (may be given several times).")]
PurposeOption = Annotated[list[str], typer.Option("--purpose", help="Purpose (several times).")]
ClassOption = Annotated[list[Sensitivity], typer.Option("--class", help="Sensitivity class (several times).")]
ByOption = Annotated[str, typer.Option("--by", help="Id of the officer in parties.yaml who does it.")]
UntilOption = Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day.")]


@dataclass(frozen=True)
class Opened:
    """What is agreed, with the ledger."""

    at: Governed
    ledger: Ledger

    def logged(self, action: str, what: str, by: str, *, reason: str = "") -> AbstractContextManager[Intent]:
        """Writes to the audit log what an officer is about to do, and after the body what became of it.

        What was typed and is no id of ours does not stand there: it may be anything.
        """
        known = self.at.governance.parties.party_of(by) is not None
        who, role = (by, "officer") if known else (operator(), "operator")
        named = what if what in ("consent", "override") or _ID.fullmatch(what) else "no id"
        return intent(self.at.home, Event(action, named, who, role=role, reason=reason))


@contextmanager
def opened(folder: Path, on: datetime | None = None) -> Iterator[Opened]:
    """What is agreed in the home in a folder, with its ledger, closed at the end."""
    at = governed(folder, on)
    ledger = open_home_ledger(at.home, at.settings)
    try:
        yield Opened(at, ledger)
    finally:
        ledger.close()


@app.command()
def record(
    person: PersonArgument,
    recipient: RecipientOption,
    purpose: PurposeOption,
    sensitivity: ClassOption,
    grantor: Annotated[records.Grantor, typer.Option(help="Who decided.")],
    document: Annotated[Path, typer.Option(help="The signed paper; only its hash is kept.")],
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
    until: UntilOption,
    by: ByOption,
    authority: Annotated[str, typer.Option(help="What shows that the grantor may decide; no personal value.")] = "",
    withheld: Annotated[bool, typer.Option("--withheld", help="It was refused, not given.")] = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write down a consent given (or withheld) on paper; without authority it is invalid and not written.

    A reference that nobody of the record has is written down, too (the person may be still to come), and told.

    \b
    Example: kith consent record hillside_schools/students/004211 --recipient county_care --class education
             --purpose individual_case_planning --grantor parent --authority "birth certificate on file"
             --document form.pdf --from 2026-09-01 --until 2027-08-31 --by r_ode
    """
    with opened(home) as o:
        scope = records.Scope(person, tuple(recipient), tuple(purpose), tuple(sensitivity))
        with o.logged("consent.record", "consent", by) as going:
            going.object = name = records.record_consent(
                o.ledger, o.at.governance.parties, scope, granted=not withheld, grantor=grantor, authority=authority,
                document=document, since=since.date(), until=until.date(), by=by,
            )  # fmt: skip
            going.decision = "withheld" if withheld else "granted"
    known = _known(o.at.home, person)
    text = f"consent {name} is on record"
    if known is False:
        text += f"\nnobody of the record has the reference {person}: check it, unless the person is still to come"
    answer({"consent": name, "person_in_record": known}, text=text, as_json=as_json)


def _known(home: Home, person: str) -> bool | None:
    """Whether the record in force has a reference; None where nothing is published yet."""
    if current_snapshot(home) is None:
        return None
    with connect() as con:
        source = open_record(home).table("person_source").to_duckdb(con)
        found = source.filter(ColumnExpression("person_ref") == ConstantExpression(person)).limit(1).fetchall()
    return bool(found)


@app.command()
def withdraw(
    consent: Annotated[str, typer.Argument(metavar="CONSENT", help="Its id, as `list` shows it.")],
    on: Annotated[datetime, typer.Option("--on", formats=["%Y-%m-%d"], help="From this day on.")],
    by: ByOption,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Record that a consent was withdrawn; it takes effect in the next snapshot and release.

    \b
    Example: kith consent withdraw 9f2c41d07ab3e655 --on 2026-11-21 --by r_ode
    """
    with opened(home) as o, o.logged("consent.withdraw", consent, by) as going:
        name = records.withdraw_consent(o.ledger, o.at.governance.parties, consent, on=on.date(), by=by)
        going.decision = "withdrawn"
    answer({"withdrawal": name}, text=f"withdrawn, as {name}", as_json=as_json)


@app.command("list")
def list_consents(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """List what the exchange wrote down itself; consents that agencies send stand in the record's table `consent`.

    \b
    Example: kith consent list --home exchange
    """
    with opened(home) as o, o.ledger.reading() as connection:
        query = sa.select(consent_record).order_by(consent_record.c.recorded_at)
        rows = [dict(row) for row in connection.execute(query).mappings()]
    shown = ("consent_id", "subject", "decision", "recipients", "purposes", "classes", "since", "until", "withdraws")
    answer(rows, text=table(rows, shown, empty="no consent is on record"), as_json=as_json)


@app.command()
def explain(
    person: PersonArgument,
    recipient: Annotated[str, typer.Option(help="Party that would receive.")],
    purpose: Annotated[str, typer.Option(help="What for.")],
    on: OnOption = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say class by class what a person's consents mean for a recipient and purpose on a day.

    \b
    Example: kith consent explain hillside_schools/students/004211 --recipient county_care --purpose research
    """
    with opened(home, on) as o:
        rows = explain_consent(o.at.home, o.ledger, o.at.governance, person, recipient, purpose, o.at.day)
    answer(rows, text=table(rows), as_json=as_json)


@override_app.command()
def add(
    person: PersonArgument,
    recipient: RecipientOption,
    purpose: PurposeOption,
    sensitivity: ClassOption,
    basis: Annotated[str, typer.Option(help=f"One of {', '.join(n for n, b in legal_bases().items() if b.override)}.")],
    evidence: Annotated[Path, typer.Option(help="The paper that shows it; only its hash is kept.")],
    until: UntilOption,
    by: ByOption,
    notify_family: Annotated[bool, typer.Option(help="The family is told.")] = True,
    why_not_notified: Annotated[str, typer.Option(help="Why it is not told; no personal value.")] = "",
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Record the decision to share without consent; it counts once a second person has agreed.

    \b
    Example: kith override add hillside_schools/students/004211 --recipient county_care --class education
             --purpose emergency_safety --basis HEALTH_SAFETY_EMERGENCY --evidence memo.pdf
             --until 2026-12-31 --by r_ode
    """
    with opened(home) as o:
        scope = records.Scope(person, tuple(recipient), tuple(purpose), tuple(sensitivity))
        with o.logged("override.add", "override", by, reason=basis) as going:
            going.object = name = records.add_override(
                o.ledger, o.at.governance.parties, scope, basis=basis, evidence=evidence, until=until.date(), by=by,
                notify_family=notify_family, why_not_notified=why_not_notified,
            )  # fmt: skip
    text = f"override {name} waits for a second person: kith override review {name} --by OFFICER --agree"
    answer({"override": name}, text=text, as_json=as_json)


@override_app.command()
def review(
    override: Annotated[str, typer.Argument(metavar="OVERRIDE", help="Its id, as `list` shows it.")],
    by: ByOption,
    agree: Annotated[bool, typer.Option("--agree/--refuse", help="The second person's word.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Agree to an override, or refuse it, as the second person.

    \b
    Example: kith override review 3b1d90aa52c7f014 --by k_lind --agree
    """
    with opened(home) as o, o.logged("override.review", override, by) as going:
        records.review_override(o.ledger, o.at.governance.parties, override, agreed=agree, by=by)
        going.decision = "agreed" if agree else "refused"
    answer({"override": override, "agreed": agree}, text="agreed" if agree else "refused", as_json=as_json)


@override_app.command("list")
def list_overrides(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """List every override with its basis, both persons and its end.

    \b
    Example: kith override list --home exchange
    """
    o, r = override_record, override_review
    query = sa.select(o, r.c.agreed, r.c.reviewed_by).outerjoin(r, r.c.override_id == o.c.override_id)
    with opened(home) as at, at.ledger.reading() as connection:
        rows = [dict(row) for row in connection.execute(query.order_by(o.c.decided_at)).mappings()]
    shown = ("override_id", "subject", "basis", "recipients", "classes", "until", "decided_by", "reviewed_by", "agreed")
    answer(rows, text=table(rows, shown, empty="there is no override"), as_json=as_json)
