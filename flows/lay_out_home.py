"""Lay out a home for an exchange of one's own: settings, folders, secrets of its own, an example to copy."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from standard.errors import ExchangeError
from store.home import Home, written_whole
from store.seal_index import seal_secret

TEMPLATES = Path(__file__).parent / "templates"
IDENTITY_SECRET = "identity"
"""Person ids are made with it; whoever loses it cannot make the same ids again."""


def lay_out_home(folder: Path, *, name: str | None = None) -> Home:
    """Makes a home in a folder that is new or empty, private to its owner.

    Raises:
        ExchangeError: Something lies in the folder already.
    """
    root = folder.expanduser().resolve()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ExchangeError(
            "the folder is not empty",
            where=str(root),
            mend="name a new folder, or empty this one: nothing is overwritten",
        )
    home = Home(root).create()
    root.chmod(0o700)
    (home.keys / "known_hosts").touch(mode=0o600)
    make_secret(home.keys / IDENTITY_SECRET)
    seal_secret(home.keys, make=True)
    _copy(TEMPLATES / "agencies.md", home.agencies / "README.md")
    _copy(TEMPLATES / "governance.md", root / "governance" / "README.md")
    for path in (p for p in (TEMPLATES / "example").rglob("*") if p.is_file()):
        _copy(path, root / path.relative_to(TEMPLATES))
    write_settings(
        home, (TEMPLATES / "exchange.yaml").read_text("utf-8").replace("{{ name }}", json.dumps(name or root.name))
    )
    return home


def _copy(path: Path, to: Path) -> None:
    with written_whole(to) as part:
        part.write_bytes(path.read_bytes())


def write_settings(home: Home, text: str) -> None:
    """Writes exchange.yaml, last of all: with it the folder is a home."""
    with written_whole(home.settings_file) as part:
        part.write_text(text, encoding="utf-8")


def make_secret(path: Path) -> Path:
    """A secret for person ids in a file of mode 0600, made where it is not there yet."""
    if not path.exists():
        with written_whole(path) as part:
            part.write_text(secrets.token_hex(32), encoding="ascii")
    return path
