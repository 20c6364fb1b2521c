"""What recipients are given: `kith policy check`, `explain`, `diff`, `matrix`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.agreement import Governed, OnOption, governed
from flows.commands.consent import opened
from flows.terminal import HERE, HomeOption, JsonOption, answer, table
from governance.decide import Decision, decide, request_for, terms_of
from governance.explain import explain_for_person, newly_visible
from governance.load import Governance
from governance.policies import Policy, load_policies, load_policy, read_policy
from record.classes import column_classes
from standard.errors import DeclarationError

app = typer.Typer(help="Which columns of whom go out to whom, and why not the others.", no_args_is_help=True)
PolicyArgument = Annotated[str, typer.Argument(metavar="POLICY", help="Name of a policy in governance/policies/.")]


@app.command()
def check(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Check every policy against its agreement: one that allows more is refused with file and line.

    \b
    Example: kith policy check --home exchange
    """
    at = governed(home)
    rows = [
        {"policy": name, "recipient": policy.recipient, "purpose": policy.purpose, "agreement": policy.agreement,
         "columns": sum(map(len, policy.chosen().values())),
         "agreement is": str(at.governance.standing(policy.agreement, at.day))}
        for name, policy in load_policies(at.governance).items()
    ]  # fmt: skip
    answer(rows, text=table(rows, empty="there is no policy yet"), as_json=as_json)


@app.command()
def explain(
    policy: PolicyArgument,
    column: Annotated[str, typer.Argument(metavar="TABLE.COLUMN")],
    agency: Annotated[str, typer.Option(help="Whose row; the hub where nothing is said.")] = "",
    person: Annotated[str, typer.Option(help="About this person: agency/table/key.")] = "",
    on: OnOption = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say whether a column goes out, and which clause decides.

    \b
    Example: kith policy explain research enrollment.school_id --agency hillside_schools
    """
    with opened(home, on) as o:
        found = load_policy(o.at.governance, policy)
        terms = terms_of(o.at.governance, found)
        name, _, of = column.partition(".")
        _require_column(name, of)
        _require_agency(agency, o.at.governance)
        request = request_for(
            o.at.governance, found, table=name, column=of, agency=agency or o.at.governance.parties.hub, day=o.at.day
        )
        if person:
            decision = explain_for_person(o.at.home, o.ledger, o.at.governance, terms, person, request)
        else:
            decision = decide(terms, request)
    value = {"allowed": decision.allowed, "reason": decision.shown, "clauses": decision.path}
    answer(value, text=_told(decision), as_json=as_json)


def _require_column(table_name: str, column: str) -> None:
    if column not in column_classes().get(table_name, {}):
        raise DeclarationError(
            f"the record has no column {table_name}.{column}", where="the command", mend="see kith dictionary"
        )


def _require_agency(agency: str, governance: Governance) -> None:
    known = [governance.parties.hub, *governance.agencies]
    if agency and agency not in known:
        raise DeclarationError(
            f"no agency is called {agency!r}", where="the command", mend=f"name one of: {', '.join(known)}"
        )


def _told(decision: Decision) -> str:
    *passed, last = decision.path
    lines = [f"  holds   {clause}" for clause in passed]
    if decision.shown is None:
        return "\n".join(["goes out", *lines, f"  holds   {last}"])
    return "\n".join([f"refused: {decision.shown} {decision.shown.name}", *lines, f"  decides {last}"])


@app.command()
def diff(before: str, after: str, home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Say what a policy gives out that another (or its file of before) did not; exit status 1 where there is more.

    \b
    Example: kith policy diff before/research.yaml research
    """
    at = governed(home)
    rows = newly_visible(_policy(at, before), _policy(at, after))
    answer(rows, text=table(rows, empty="nothing is newly visible"), as_json=as_json)
    raise typer.Exit(1 if rows else 0)


def _policy(at: Governed, name: str) -> Policy:
    return read_policy(Path(name), at.governance) if name.endswith(".yaml") else load_policy(at.governance, name)


@app.command()
def matrix(on: OnOption = None, home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Show every column that any policy asks for, and what each policy does with it.

    `yes`, the treatment, or the reason of the first agency's refusal; nothing speaks against the persons here.

    \b
    Example: kith policy matrix --home exchange
    """
    at = governed(home, on)
    policies = load_policies(at.governance)
    wanted = sorted({(t, c) for policy in policies.values() for t, cs in policy.chosen().items() for c in cs})
    rows = [
        {"column": f"{t}.{c}", "class": str(column_classes()[t][c].sensitivity),
         **{name: _cell(at, policy, t, c) for name, policy in policies.items()}}
        for t, c in wanted
    ]  # fmt: skip
    answer(rows, text=table(rows, empty="there is no policy yet"), as_json=as_json)


def _cell(at: Governed, policy: Policy, table_name: str, column: str) -> str:
    if column not in policy.chosen().get(table_name, ()):
        return ""
    terms = terms_of(at.governance, policy)
    hub = at.governance.parties.hub
    disclosers = [name for name in terms.agreement.parties.discloser if (name == hub) == (table_name == "person")]
    decisions = [
        decide(terms, request_for(at.governance, policy, table=table_name, column=column, agency=name, day=at.day))
        for name in disclosers
    ]
    if any(decision.allowed for decision in decisions):
        return policy.treatment_of(f"{table_name}.{column}") or "yes"
    return str(decisions[0].shown) if decisions else "R01"
