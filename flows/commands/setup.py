"""Lay out an exchange of one's own and look it over: `kith init`, `kith doctor`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.doctor import Sign, examine, exit_status
from flows.lay_out_home import lay_out_home
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at
from store.home import Home


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    name: Annotated[str | None, typer.Option(help="Name of the exchange; the folder's where nothing is said.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Lay out the home of an exchange: exchange.yaml, agencies/, keys/, an empty landing area (mode 0700).

    \b
    Example: kith init exchange
    """
    home = lay_out_home(folder, name=name)
    text = (
        f"laid out {home.root}\n"
        f"  settings      {home.settings_file.name}\n"
        f"  governance    governance/README.md says how what may come in and go out is agreed on\n"
        f"  agencies      agencies/README.md says how one is added; example/ holds a small one\n"
        f"  keys          keys/ (secrets in files of mode 0600; pin servers' keys in keys/known_hosts)\n"
        f"next: kith doctor --home {folder}"
    )
    answer({"home": str(home.root)}, text=text, as_json=as_json)


def doctor(
    home: HomeOption = HERE,
    sources: Annotated[bool, typer.Option(help="Reach out to every source, too.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Look over settings, keys, permissions, agencies, agreements, every source, the schedule and the disk.

    Each thing that is not well says how to mend it. Exit status 3 where a declaration or setting is wrong or
    no agreement in force covers a feed, 4 where a source cannot be reached.

    \b
    Example: kith doctor --home exchange
    """
    signs: list[Sign] = []
    # A home whose settings are missing is just what the doctor is to tell of; a folder that is not there is no home.
    at = Home(home.expanduser().resolve()) if home.expanduser().is_dir() else home_at(home)
    for sign in examine(at, now=datetime.now(UTC), sources=sources):
        signs.append(sign)
        if not as_json:
            print(_line(sign), flush=True)
    if as_json:
        answer([asdict(sign) for sign in signs], text="", as_json=True)
    raise typer.Exit(exit_status(signs))


def _line(sign: Sign) -> str:
    line = f"{'ok ' if sign.well else 'BAD'}  {sign.check:<12} {sign.about}: {sign.says}"
    return line if sign.well or not sign.mend else f"{line}\n     mend: {sign.mend}"
