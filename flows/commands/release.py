"""What goes out: `kith release POLICY`, `kith release list`, `diff`, `verify`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from connectors.sources import Secrets
from flows.commands.agreement import Governed, OnOption
from flows.commands.consent import opened
from flows.terminal import HERE, HomeOption, JsonOption, answer, table
from governance.policies import load_policy
from releases.diff import diff_releases
from releases.index import kept_release, kept_releases
from releases.reader import Format, Release, open_release
from releases.release import make_release
from standard.errors import DeclarationError


class _PolicyOrCommand(TyperGroup):
    """`kith release POLICY` makes a release; `list` and the like are commands of their own."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["make", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_PolicyOrCommand, no_args_is_help=True,
    help="Make a release of the record by a policy: `kith release POLICY`; and look at those made.",
)  # fmt: skip


class Written(StrEnum):
    """How the tables of a release are written."""

    PARQUET = "parquet"
    CSV = "csv"
    DUCKDB = "duckdb"
    POSTGRES = "postgres"
    """As Parquet, and loaded from there."""


_FORMS: Mapping[Written, Format] = {
    Written.PARQUET: "parquet", Written.CSV: "csv", Written.DUCKDB: "duckdb", Written.POSTGRES: "parquet",
}  # fmt: skip


@app.command()
def make(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Name of a policy in governance/policies/.")],
    out: Annotated[Path | None, typer.Option(help="Folder in which the release's own is made.")] = None,
    format_: Annotated[Written, typer.Option("--format", help="How its tables are written.")] = Written.PARQUET,
    database: Annotated[
        str | None,
        typer.Option(help="For postgres: secret:NAME of its URL.", show_default="publish_to"),
    ] = None,
    on: OnOption = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Give out what a policy allows of the snapshot in force: tables, manifest, dictionary, codebook, agreement.

    Nothing goes out unless the agreement is in force and the audit log and the register of disclosures tell of it.

    \b
    Example: kith release research --format csv
    """
    with opened(home, on) as o:
        url = _url(o.at, database) if format_ is Written.POSTGRES else None
        made = make_release(
            o.at.home, o.ledger, o.at.governance, policy, at=datetime.now(UTC), day=o.at.day, into=out,
            format_=_FORMS[format_],
        )  # fmt: skip
        schema = url and _to_postgres(o.at, made, url)
    rows = [{"table": name, "rows": told["rows"]} for name, told in made.manifest["tables"].items()]
    value = {
        "release": made.release_id,
        "folder": str(made.folder),
        "expires": made.manifest["expires"],
        "tables": rows,
        "schema": schema,
    }
    where = f"{made.folder}" + (f" and in schema {schema} of the database" if schema else "")
    text = f"{made.release_id} in {where}\n{table(rows)}\nto be used until {made.manifest['expires']}"
    answer(value, text=text, as_json=as_json)


def _url(at: Governed, database: str | None) -> str:
    """The URL of the database of releases, asked before anything is made."""
    declared = database or (at.settings.publish_to.url if at.settings.publish_to else None)
    if declared is None:
        raise DeclarationError(
            "no database is named for releases", where=str(at.home.settings_file),
            mend="name one by --database secret:NAME, or as publish_to in exchange.yaml",
        )  # fmt: skip
    return Secrets(at.home.keys).url(declared).get_secret_value()


def _to_postgres(at: Governed, made: Release, url: str) -> str:
    from releases.postgres import publish_release  # its driver is not needed by the other formats

    policy = load_policy(at.governance, made.manifest["policy"]["name"])
    by_open_case = policy.rows.need_to_know == "open_case"
    return publish_release(made, kept_release(at.home, made.release_id), url, by_open_case=by_open_case)


@app.command("list")
def list_releases(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """List every release that was given: to whom, by which policy, of which snapshot, and where it was written.

    \b
    Example: kith release list
    """
    with opened(home) as o:
        names = ("release_id", "recipient", "policy", "agreement", "snapshot_id", "at", "path")
        rows = [{name: kept.facts[name] for name in names} for kept in kept_releases(o.at.home)]
    answer(rows, text=table(rows, empty="nothing was released yet"), as_json=as_json)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Id of a release, as `list` shows it.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Id of a later one by the same policy.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say of every number that changed between two releases by which causes, which sum to the difference.

    The numbers are exact, for the exchange itself: rows of every table, and rows of every code.

    \b
    Example: kith release diff research-20260330T080000Z research-20260430T080000Z
    """
    with opened(home) as o:
        changes = [asdict(change) for change in diff_releases(o.at.home, o.ledger, old, new)]
    answer(changes, text=table(changes, empty="no number changed"), as_json=as_json)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a release; no home is needed.")],
    key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The exchange's public key (`kith receipt key`).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read every file of a release again and hold it against the manifest, and that against the exchange's key.

    \b
    Example: kith release verify research-20260330T080000Z --key exchange.pem
    """
    found = open_release(folder)
    found.verify(public_key=key.read_text(encoding="ascii", errors="replace") if key else None)
    says = "as it was released" + (" and signed" if key else "; who released it was not asked (--key)")
    answer({"release": found.release_id, "signature": bool(key)}, text=f"{found.release_id} is {says}", as_json=as_json)
