"""The keys by which a home rests encrypted: `kith keys list|encrypt|renew`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import typer

from flows.settings import load_settings, open_home_ledger
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, table
from releases.index import index_folder
from standard.errors import DeclarationError
from store.encryption import is_encrypted
from store.encryption_home import note_owner, open_to_write
from store.home import ENCRYPTED, Home, written_whole
from store.keys import DataKeys
from store.landing import Landing
from store.ledger import Ledger, extract
from store.runs import hold_home

app = typer.Typer(help="The keys by which what rests in the home is encrypted.", no_args_is_help=True)


def _keys(folder: Path) -> tuple[Home, DataKeys]:
    home = home_at(folder)
    load_settings(home)
    if home.root not in ENCRYPTED:
        raise DeclarationError(
            "this home does not rest encrypted", where=str(home.settings_file),
            mend="say encryption: required and key_provider, see docs/governance.md",
        )  # fmt: skip
    return home, ENCRYPTED[home.root]


@app.command("list")
def list_keys(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """List the data keys, whose they are, and those that were destroyed; never a key itself.

    \b
    Example: kith keys list --home exchange
    """
    _, keys = _keys(home)
    rows = [{"key": key.key_id, "scope": key.scope, "made": key.created_at[:19], "master": key.master,
             "is": "retired" if key.retired else "in use"} for key in keys.all()]  # fmt: skip
    rows += [{"key": key.key_id, "scope": key.scope, "made": key.created_at[:19], "master": "",
              "is": f"destroyed {key.destroyed_at[:19]}"} for key in keys.destroyed()]  # fmt: skip
    answer(rows, text=table(rows, empty="no key was needed yet"), as_json=as_json)


@app.command()
def renew(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Wrap every data key by a new master key and destroy the one before; nothing is encrypted anew.

    Copy keys/data beside your backups afterwards: what was copied before opens no more.

    \b
    Example: kith keys renew --home exchange
    """
    at, keys = _keys(home)
    with hold_home(at):
        keys.renew_master()
    left = keys.masters_left()
    text = f"wrapped {len(keys.all())} data keys anew" + (f"; take away master key {', '.join(left)}" if left else "")
    answer({"keys": len(keys.all()), "masters_left": left}, text=text, as_json=as_json)


@app.command()
def encrypt(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Encrypt what was written before the home was said to rest encrypted; interrupted, it goes on.

    \b
    Example: kith keys encrypt --home exchange
    """
    at, _ = _keys(home)
    ledger = open_home_ledger(at, load_settings(at))
    try:
        with hold_home(at):
            shutil.rmtree(at.links / "index", ignore_errors=True)
            done = [_encrypt(path, to) for path, to in _in_clear(at, ledger)]
    finally:
        ledger.close()
    answer({"files": len(done)}, text=f"encrypted {len(done):,} files", as_json=as_json)


def _in_clear(home: Home, ledger: Ledger) -> Iterator[tuple[Path, Path]]:
    """Each file that lies in clear, and where it is to lie."""
    with ledger.reading() as connection:
        landed = connection.execute(extract.select().order_by(extract.c.seq)).all()
    for row in landed:
        note_owner(home.batches / row.extract_id, row.agency)
        common = Landing(home.landing).path_of(row.sha256)
        if common.is_file() and not is_encrypted(common):
            yield common, home.landing / row.agency / row.sha256[:2] / row.sha256
    for area in (home.batches, home.state, home.links, home.record, index_folder(home)):
        for path in (p for p in area.rglob("*.parquet") if p.is_file() and not is_encrypted(p)):
            yield path, path
    for row in landed:
        Landing(home.landing).path_of(row.sha256).unlink(missing_ok=True)


def _encrypt(path: Path, to: Path) -> Path:
    with path.open("rb") as plain, written_whole(to) as part, open_to_write(to, at=part) as sealed:
        shutil.copyfileobj(plain, sealed, 1 << 20)
    return to
