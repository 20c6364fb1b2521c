"""Answer the agencies: `kith receipt`, `kith check`; their keys: `kith pgp`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.rows import opened
from flows.settings import load_agencies_of, load_settings
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, table
from standard.errors import DeclarationError, ExtractError
from store.home import Home

app = typer.Typer(help="The receipts of deliveries: signed answers to the agencies.", no_args_is_help=True)
pgp_app = typer.Typer(help="Keys of agencies that encrypt and sign their files.", no_args_is_help=True)
AgencyArgument = Annotated[str, typer.Argument(metavar="AGENCY", help="The agency.")]


@app.command("list")
def list_receipts(
    home: HomeOption = HERE,
    agency: Annotated[str | None, typer.Option(help="Only this agency's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the newest receipts, and whether they have reached the agency.

    \b
    Example: kith receipt list --agency hillside_schools
    """
    from receipts.write import list_receipts as read

    with opened(home) as at:
        rows = read(at.ledger, agency=agency, limit=limit)
    text = table(rows, ("receipt_id", "agency", "verdict", "written_at", "sent_at"), empty="no receipt was written yet")
    answer(rows, text=text, as_json=as_json)


@app.command("show")
def show_receipt(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="Its id, the start of it, or an extract's id.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show a receipt as the agency has it.

    \b
    Example: kith receipt show 3f2a90c1d4e5b6a7988f1c20-1
    """
    from receipts.page import text
    from receipts.write import read_receipt

    with opened(home) as at:
        found = read_receipt(at.home, at.ledger, receipt)
    answer(found, text=text(found), as_json=as_json)


@app.command("key")
def print_key(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Print the public key by which agencies verify receipts (PEM); it is made where there is none yet.

    \b
    Example: kith receipt key > exchange.pem
    An agency without kith verifies by OpenSSL:
      openssl pkeyutl -verify -pubin -inkey exchange.pem -rawin -in RECEIPT.json -sigfile RECEIPT.json.sig
    """
    from store.sign import public_key

    public = public_key(home_at(home).keys)
    answer({"public_key": public}, text=public.rstrip(), as_json=as_json)


@app.command("verify")
def verify_receipt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSON of a receipt; FILE.sig lies beside it.")],
    key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The exchange's public key (PEM); the home's own else."),
    ] = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Verify that a receipt is, to the last byte, what the exchange signed. Exit status 5 where it is not.

    \b
    Example: kith receipt verify 20260907T120000_students_3f2a90c1d4e5-1.json --key exchange.pem
    """
    from store.sign import public_key, verify

    signature = file.with_name(f"{file.name}.sig")
    for needed in (file, signature):
        if not needed.is_file():
            raise ExtractError("there is no such file", where=str(needed), mend="take both from the receipts folder")
    public = key.read_text(encoding="ascii", errors="replace") if key else public_key(home_at(home).keys)
    verify(file.read_bytes(), signature.read_bytes(), public, where=str(file))
    answer({"verified": str(file)}, text="it is what the exchange signed", as_json=as_json)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file as it is to be sent.")],
    feed: Annotated[str, typer.Option(metavar="AGENCY/FEED", help="AGENCY may be the path of its declarations.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say of a file, before it is sent, what its receipt would say; nothing of it is stored.

    Where the folder is the home of an exchange, what is in force there counts; else the declarations alone. Exit
    status 5 where the file would be held or refused.

    \b
    Example: kith check students_20260907.csv --feed hillside_schools/students
    """
    from flows.check_file import check_file
    from receipts.page import text

    at = Home(home.expanduser().resolve())
    found = check_file(at if at.settings_file.is_file() else None, file, feed, now=datetime.now(UTC))
    answer(found, text=text(found), as_json=as_json)
    raise typer.Exit(5 if found["verdict"] in ("held", "refused") else 0)


@pgp_app.command("key")
def print_pgp_key(agency: AgencyArgument, home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Print our public key for an agency, for which it encrypts its files; it is made where there is none yet.

    \b
    Example: kith pgp key hillside_schools > exchange.asc
    """
    from connectors.pgp import own_key

    public = own_key(_keyring_folder(home_at(home), agency), agency)
    answer({"public_key": public}, text=public.rstrip(), as_json=as_json)


@pgp_app.command("pin")
def pin_pgp_key(
    agency: AgencyArgument,
    key: Annotated[Path, typer.Argument(metavar="FILE", help="The agency's public key.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Take an agency's public key into its keyring, and print the fingerprint to compare and to declare.

    Only what agency.yaml lists under `pgp: signers:` counts.

    \b
    Example: kith pgp pin hillside_schools hillside.asc
    """
    from connectors.pgp import pin

    found = pin(_keyring_folder(home_at(home), agency), key)
    said = "\n".join(found) + "\ncompare this by telephone or letter, then declare it under `pgp: signers:`"
    answer({"fingerprints": found}, text=said, as_json=as_json)


def _keyring_folder(home: Home, name: str) -> Path:
    """The keyring that an agency's source declares."""
    from connectors.sources import FilesSource, keyring_folder

    agencies = load_agencies_of(home, load_settings(home))
    if name not in agencies:
        raise DeclarationError(
            f"no agency here is called {name!r}",
            where=str(home.settings_file),
            mend=f"name one of: {', '.join(agencies)}",
        )
    sources = [source.declared for source in agencies[name].sources.values()]
    declared = [source.pgp for source in sources if isinstance(source, FilesSource) and source.pgp]
    return keyring_folder(home.keys, declared[0].keyring if declared else name)
