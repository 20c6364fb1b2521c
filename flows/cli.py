"""The command `kith`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from flows.commands import (
    agency,
    aggregate,
    agreement,
    audit,
    codes,
    consent,
    contradictions,
    demo,
    disclosures,
    evaluate,
    keys,
    link,
    measures,
    outbound,
    policy,
    reading,
    receipt,
    release,
    relink,
    remap,
    retention,
    review,
    rows,
    run,
    seal,
    setup,
    state,
)
from flows.prefect_server import NO_TELEMETRY
from flows.terminal import EXIT_STATUSES, Commands, run_command_line

EPILOG = "\b\nExit statuses:\n" + "\n".join(f"  {status:>3}  {meaning}" for status, meaning in EXIT_STATUSES.items())

app = typer.Typer(
    name="kith",
    cls=Commands,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
for command in (
    demo.demo, setup.init, setup.doctor, run.run, run.serve, run.status, receipt.check, remap.remap, state.state,
    link.link, link.explain, outbound.outbound, relink.relink, evaluate.evaluate, rows.trace, reading.person,
    reading.dictionary, reading.report, contradictions.contradictions, aggregate.aggregate,
):  # fmt: skip
    app.command()(command)
app.add_typer(rows.quarantine_app, name="quarantine")
app.add_typer(codes.app, name="codes")
app.add_typer(agency.app, name="agency")
app.add_typer(agreement.app, name="agreement")
app.add_typer(policy.app, name="policy")
app.add_typer(consent.app, name="consent")
app.add_typer(consent.override_app, name="override")
app.add_typer(audit.app, name="audit")
app.add_typer(disclosures.app, name="disclosures")
app.add_typer(measures.app, name="measure")
app.add_typer(seal.app, name="seal")
app.add_typer(keys.app, name="keys")
app.add_typer(retention.app, name="retention")
app.add_typer(review.app, name="review")
app.add_typer(receipt.app, name="receipt")
app.add_typer(receipt.pgp_app, name="pgp")
app.add_typer(release.app, name="release")


def _say_version(asked: bool) -> None:
    if asked:
        print(f"kith {version('kith')}")
        raise typer.Exit


@app.callback()
def _kith(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """One linked, governed record of the children and families that several agencies each know a part of."""


def main() -> None:
    """The entry point: runs the command line and exits with its status."""
    os.environ.update(NO_TELEMETRY)
    sys.exit(run_command_line(app))


if __name__ == "__main__":
    main()
