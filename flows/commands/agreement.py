"""What the parties have agreed: `kith agreement list`, `check`, `explain`, `sign`, `new`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.governed import day_of
from flows.settings import Settings, load_agencies_of, load_settings
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, table
from governance import draft
from governance.agreements import Agreement
from governance.coverage import why_not_covered
from governance.load import Filed, Governance, Standing, governance_folder, load_governance, unknown_agreement
from governance.policies import load_policies
from governance.rules import legal_bases
from governance.signatures import sign as sign_file
from standard.errors import DeclarationError, ExchangeError
from standard.sensitivity import Sensitivity
from store.audit_log import Event, intent, operator
from store.home import Home, written_whole

app = typer.Typer(help="What the parties have agreed, and whether it is in force.", no_args_is_help=True)
IdArgument = Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its id, as `list` shows it.")]
OnOption = Annotated[datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="As at this day, not today.")]


@dataclass(frozen=True)
class Governed:
    """A home with all that is agreed in it, as at a day."""

    home: Home
    settings: Settings
    governance: Governance
    day: date


def governed(folder: Path, on: datetime | None = None) -> Governed:
    """What is agreed in the home in a folder.

    Raises:
        DeclarationError: Parties or agreements are wrong; with file and line.
    """
    home = home_at(folder)
    settings = load_settings(home)
    found = load_governance(governance_folder(home), load_agencies_of(home, settings))
    return Governed(home, settings, found, on.date() if on else day_of(settings, datetime.now(UTC)))


@app.command("list")
def list_agreements(home: HomeOption = HERE, on: OnOption = None, as_json: JsonOption = False) -> None:
    """List every agreement: with whom, until when, and whether it is in force.

    \b
    Example: kith agreement list --home exchange
    """
    at = governed(home, on)
    rows = [_line(at, filed) for _, filed in sorted(at.governance.filed.items())]
    answer(rows, text=table(rows, empty="no agreement is filed yet"), as_json=as_json)


def _line(at: Governed, filed: Filed) -> dict[str, object]:
    agreement = filed.agreement
    return {
        "agreement": agreement.id, "kind": agreement.kind, "parties": ", ".join(dict.fromkeys(agreement.signers)),
        "effective": str(agreement.effective), "expires": str(agreement.expires),
        "standing": str(at.governance.standing(agreement.id, at.day)),
        "why not": at.governance.why_not(agreement.id, at.day),
    }  # fmt: skip


@app.command()
def check(home: HomeOption = HERE, on: OnOption = None, as_json: JsonOption = False) -> None:
    """Check parties, agreements, signatures and policies whole, and say of every feed whether it may be loaded.

    Exit status 3 where a declaration is wrong, an agreement is not in force or a feed is not covered.

    \b
    Example: kith agreement check --home exchange
    """
    at = governed(home, on)
    policies = load_policies(at.governance)
    lines = [_line(at, filed) for _, filed in sorted(at.governance.filed.items())]
    feeds = [
        {"agency": agency.agency, "feed": feed.feed, "may be loaded": "no" if why else "yes", "why not": why or ""}
        for agency in at.governance.agencies.values()
        for feed in agency.feeds.values()
        for why in [why_not_covered(at.governance, agency, feed, at.day)]
    ]
    text = "\n\n".join([table(lines, empty="no agreement is filed yet"), table(feeds, empty="no agency takes part"),
                        f"policies: {len(policies)}, none wider than its agreement"])  # fmt: skip
    answer({"agreements": lines, "feeds": feeds, "policies": list(policies)}, text=text, as_json=as_json)
    well = all(row["may be loaded"] == "yes" for row in feeds)
    raise typer.Exit(0 if well and all(row["standing"] == Standing.IN_FORCE for row in lines) else 3)


@app.command()
def explain(agreement: IdArgument, home: HomeOption = HERE, on: OnOption = None, as_json: JsonOption = False) -> None:
    """Tell an agreement in words: who, why, by which law, what of whom, until when, and who has signed.

    \b
    Example: kith agreement explain DSA-2026-001
    """
    at = governed(home, on)
    filed = at.governance.filed.get(agreement)
    if filed is None:
        raise unknown_agreement(agreement, at.governance)
    value = filed.agreement.model_dump(mode="json", by_alias=True, exclude_none=True)
    value |= {"standing": str(at.governance.standing(agreement, at.day)), "signed_by": dict(filed.signed.by)}
    answer(value, text=_told(at, filed), as_json=as_json)


def _told(at: Governed, filed: Filed) -> str:
    agreement = filed.agreement
    why = at.governance.why_not(agreement.id, at.day)
    signed = [f"{party} by {officer}" for party, officer in filed.signed.by.items()]
    lines = [
        f"{agreement.id} ({agreement.kind}): {agreement.title}",
        f"file      {filed.path}",
        f"standing  {at.governance.standing(agreement.id, at.day)}{f': {why}' if why else ''}",
        f"time      {agreement.effective} to {agreement.expires}",
        f"parties   {', '.join(dict.fromkeys(agreement.signers))}",
        f"signed    {', '.join(signed) or 'by nobody'}",
        f"purposes  {', '.join(agreement.purpose)}",
    ]
    return "\n".join([*lines, *_content(agreement)])


def _content(agreement: Agreement) -> list[str]:
    if agreement.kind == "MOU":
        return []
    a = agreement
    assert a.subjects and a.fields_ and a.linkage and a.redisclosure and a.aggregates and a.destruction
    bases = [
        f"basis     {claim.basis}: {legal_bases()[claim.basis].meaning} ({legal_bases()[claim.basis].citation});"
        f" {'; '.join(f'{name}: {told}' for name, told in claim.evidence.items())}"
        for claim in a.legal_basis
    ]
    return [
        *bases,
        f"about     {a.subjects.who}; {', '.join(a.subjects.age_bands)};"
        f" {'only with an open case' if a.subjects.need_to_know == 'open_case' else 'with or without a case'}",
        f"fields    {', '.join(a.fields_.allow)}" + (f"; never {', '.join(a.fields_.deny)}" if a.fields_.deny else ""),
        f"classes   {', '.join(a.classes)}",
        f"linkage   {'allowed' if a.linkage.allowed else 'not allowed'}",
        f"passing on {'allowed' if a.redisclosure.allowed else 'not allowed'};"
        f" notices: {', '.join(a.redisclosure.notice) or 'none'}",
        f"counts    no cell below {a.aggregates.min_cell}",
        f"its end   {a.destruction.method} within {a.destruction.within_days} days",
    ]


@app.command()
def sign(
    agreement: IdArgument,
    officer: Annotated[str, typer.Option(help="Id of the officer in parties.yaml who signs.")],
    key: Annotated[Path, typer.Option(help="The officer's private key (ssh-keygen -t ed25519), mode 0600.")],
    ask_passphrase: Annotated[bool, typer.Option("--passphrase", help="Ask for the key's passphrase.")] = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Sign an agreement as it stands, for the party whose officer you are; any change makes the signature void.

    \b
    Example: kith agreement sign DSA-2026-001 --officer r_ode --key ~/.ssh/kith_officer
    """
    at = governed(home)
    filed = at.governance.filed.get(agreement)
    if filed is None:
        raise unknown_agreement(agreement, at.governance)
    party = at.governance.parties.party_of(officer)
    if party is not None and party not in filed.agreement.signers:
        raise DeclarationError(
            f"{officer} signs for {party}, which is no party to {agreement}", where=str(filed.path),
            mend=f"an officer of one of these signs it: {', '.join(dict.fromkeys(filed.agreement.signers))}",
        )  # fmt: skip
    passphrase = typer.prompt("passphrase", hide_input=True, err=True).encode() if ask_passphrase else None
    who, role = (officer, "officer") if party else (operator(), "operator")
    with intent(at.home, Event("agreement.sign", agreement, who, role=role, agreement=agreement)) as going:
        signed = sign_file(
            filed.path, at.governance.parties, officer=officer, key=key, passphrase=passphrase, today=at.day
        )
        why = governed(home).governance.why_not(agreement, at.day)
        going.decision = "signed" if why else "in force"
    text = f"{agreement} is signed for {signed.party}; {why or 'it is in force'}"
    answer(signed.model_dump(mode="json"), text=text, as_json=as_json)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="AGREEMENT", help="Id of the new agreement.")],
    kind: Annotated[str, typer.Option(help="MOU (who and why), DSA (data in) or DUL (data out).")],
    effective: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
    expires: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day.")],
    purpose: Annotated[list[str], typer.Option(help="Purpose (may be given several times).")],
    party: Annotated[list[str], typer.Option(help="Member of a MOU, else who gives (several times).")],
    parent: Annotated[str, typer.Option(help="Its memorandum; may be left out where there is only one.")] = "",
    recipient: Annotated[str, typer.Option(help="Who receives, of a DUL.")] = "",
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Draft an agreement from what agencies declare, into governance/drafts/, with the evidence left to fill in.

    \b
    Example: kith agreement new DSA-1 --kind DSA --party hillside_schools --purpose research
             --from 2026-07-01 --until 2027-06-30
    """
    at = home_at(home)
    text = _draft(at, name, kind, party, recipient, parent, purpose, effective.date(), expires.date())
    path = governance_folder(at) / "drafts" / f"{Path(name).name}.yaml"
    if path.exists():
        raise DeclarationError("there is such a draft", where=str(path), mend="take it away, or choose another id")
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    told = f"drafted {path}\nfill in the evidence, move it to agreements/, let every party sign: kith agreement sign"
    answer({"draft": str(path)}, text=told, as_json=as_json)


def _only_memorandum(home: Home) -> str:
    """The one memorandum there is.

    Raises:
        DeclarationError: There is none, or there are several.
    """
    filed = governed(home.root).governance.filed
    found = sorted(name for name, each in filed.items() if each.agreement.kind == "MOU")
    if len(found) == 1:
        return found[0]
    raise DeclarationError(
        "there are several memoranda" if found else "there is no memorandum yet",
        where=str(governance_folder(home) / "agreements"),
        mend=f"add --parent, one of: {', '.join(found)}" if found else
        "draft one first: kith agreement new MOU-1 --kind MOU; or name the one that is to come: --parent MOU-1",
    )  # fmt: skip


def _draft(
    home: Home, name: str, kind: str, parties: Sequence[str], recipient: str, parent: str, purposes: Sequence[str],
    effective: date, expires: date,
) -> str:  # fmt: skip
    time: dict[str, Any] = {"effective": effective, "expires": expires, "purposes": list(purposes)}
    if kind == "MOU":
        return draft.memorandum(name, members=parties, **time)
    parent = parent or _only_memorandum(home)
    if kind == "DUL":
        out = [c for c in Sensitivity if c not in (Sensitivity.CONFIDENTIAL_ADDRESS, Sensitivity.REPORTER_IDENTITY)]
        return draft.use(name, disclosers=parties, recipient=recipient, parent=parent, fields=["*.*"],
                         sensitivities=out, need_to_know="open_case", **time)  # fmt: skip
    agencies = load_agencies_of(home, load_settings(home))
    if kind != "DSA" or len(parties) != 1 or parties[0] not in agencies:
        raise ExchangeError(
            "a sharing agreement (DSA) is drafted for one agency of this exchange",
            where=str(home.settings_file), mend=f"--kind DSA --party, one of: {', '.join(agencies)}",
        )  # fmt: skip
    from governance.parties import read_parties

    hub = read_parties(governance_folder(home)).hub
    return draft.sharing(name, agencies[parties[0]], parent=parent, hub=hub, **time)
