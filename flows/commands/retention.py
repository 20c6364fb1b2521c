"""What must be destroyed, and that it was: `kith retention due|run|certify`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.commands.agreement import OnOption, governed
from flows.destruction import certify as certify_destroyed
from flows.destruction import destroy
from flows.settings import open_home_ledger
from flows.terminal import HERE, HomeOption, JsonOption, answer, show_progress, table
from governance.retention import due as due_agreements
from governance.retention import read_certificate, require_due, told
from store.home import ENCRYPTED

app = typer.Typer(help="What came by an agreement goes when it ends: keys, files, rows.", no_args_is_help=True)
AgreementArgument = Annotated[str, typer.Argument(metavar="AGREEMENT", help="Id of an agreement.")]


@app.command()
def due(home: HomeOption = HERE, on: OnOption = None, as_json: JsonOption = False) -> None:
    """List the agreements that have ended, until when their data must be destroyed, and what holds them back.

    \b
    Example: kith retention due --home exchange
    """
    at = governed(home, on)
    rows = [told(each) for each in due_agreements(at.home, at.governance, at.day)]
    answer(rows, text=table(rows, empty="no agreement has ended"), as_json=as_json)


@app.command()
def run(
    agreement: AgreementArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Destroy; else only say what would be.")] = False,
    on: OnOption = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Destroy what came by an agreement that has ended: its agencies' keys and files, and their rows in the record.

    A snapshot without them is published first. Nobody can undo it, with no copy of the home either. By a DUL the
    recipient destroys; here go copies of what it got, and which rows they were of.

    \b
    Example: kith retention run DSA-1 --home exchange
    Example: kith retention run DSA-1 --yes --home exchange
    """
    at = governed(home, on)
    found = require_due(at.home, at.governance, agreement, at.day)
    if not yes:
        what = "the exchange's own copies of what went to" if found.kind == "DUL" else "all of"
        text = f"would destroy {what} {', '.join(found.parties)} ({found.method}); do it with --yes"
        answer(told(found), text=text, as_json=as_json)
        return
    show_progress()
    now = (on or datetime.now(UTC)).astimezone(UTC)
    done = destroy(at.home, agreement, now=now)
    if found.kind == "DUL":
        text = f"{len(done['releases'])} releases are forgotten; {len(done['copies'])} copies of them were destroyed"
        answer(done, text=text, as_json=as_json)
        return
    keys = ENCRYPTED.get(at.home.root)
    waits = bool(keys and keys.masters_left())
    text = (
        f"destroyed {len(done['files'])} files and {len(done['keys']) + len(done['record_keys'])} keys; "
        f"the record is now snapshot {done['snapshot'] or '(none)'}\n"
        + ("take the master key of before away, then: " if waits else "next: ")
        + f"kith retention certify {agreement}"
    )
    answer({**done, "files": len(done["files"])}, text=text, as_json=as_json)


@app.command()
def certify(
    agreement: AgreementArgument, on: OnOption = None, home: HomeOption = HERE, as_json: JsonOption = False
) -> None:
    """Look whether all is gone and sign the certificate: hashes and counts, no content.

    \b
    Example: kith retention certify DSA-1 --home exchange
    """
    at = governed(home, on)
    ledger = open_home_ledger(at.home, at.settings)
    try:
        path = certify_destroyed(at.home, ledger, agreement, today=at.day)
    finally:
        ledger.close()
    signed = read_certificate(at.home, agreement)
    counted = f"{len(signed['files'])} files, {signed['rows_received']:,} rows received"
    text = f"certified: {counted}; copies {signed['copies']}\n{path}"
    answer(signed, text=text, as_json=as_json)
