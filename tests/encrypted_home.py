"""A home that rests encrypted, for tests: its master key in a folder beside it; and what lies in clear below it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from store.encryption import is_encrypted
from store.home import Home

ENCRYPTED_AREAS = ("landing", "batches", "state", "links", "record", "work", "remap")


def encrypt_home(home: Home, masters: Path) -> Home:
    """Says in exchange.yaml that the home rests encrypted."""
    said = home.settings_file.read_text("utf-8")
    home.settings_file.write_text(
        f"{said}\nencryption: required\nkey_provider: {{provider: file, folder: {masters}}}\n", "utf-8"
    )
    return home


def files_below(*folders: Path) -> Iterator[Path]:
    """Every file below some folders."""
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def in_clear(home: Home, values: list[str]) -> list[str]:
    """The files of a home that hold one of some values in clear, or a table or landed content that is not encrypted."""
    found = []
    for path in files_below(*(home.root / area for area in ENCRYPTED_AREAS)):
        content = path.read_bytes()
        is_data = path.suffix == ".parquet" or (path.parts[len(home.root.parts)] == "landing")
        if any(value.encode() in content for value in values) or (is_data and not is_encrypted(path)):
            found.append(str(path.relative_to(home.root)))
    return found
