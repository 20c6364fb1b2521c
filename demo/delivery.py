"""The agencies' side of the demo: their SFTP folders and databases, and what a delivery day puts there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from demo.county import AGENCIES, KEYS, County
from demo.formats import apply_changes

_DATABASES = ("database.sqlite", "changes.sqlite")


@dataclass(frozen=True)
class Outbox:
    """Where the agencies keep what the exchange comes for.

    Args:
        root: Holds sftp/<agency>/ and databases/<agency>.sqlite, private to their owner.
    """

    root: Path

    def sftp(self, agency: str) -> Path:
        """The folder an agency's SFTP user sees."""
        return self.root / "sftp" / agency

    def database(self, agency: str) -> Path:
        """An agency's database."""
        return self.root / "databases" / f"{agency}.sqlite"

    def sftp_roots(self) -> dict[str, Path]:
        """User -> folder, for the SFTP server."""
        return {agency: self.sftp(agency) for agency in AGENCIES}

    def create(self) -> Outbox:
        """Makes the folders (mode 0700)."""
        for folder in (self.root, self.root / "databases", self.root / "sftp", *self.sftp_roots().values()):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self


def deliver_day(county: County, day: int, outbox: Outbox) -> list[str]:
    """Puts the files of a delivery into the SFTP folders and does to the databases what their applications did.

    Args:
        county: A county that was made.
        day: Number of the delivery; each must come after the one before it.
        outbox: Where the agencies keep their files and databases.

    Returns:
        The files that were put, as agency/name.
    """
    put = []
    for agency in AGENCIES:
        for source in sorted(county.delivery(day, agency).glob("*")):
            if source.name in _DATABASES:
                _change_database(source, outbox.database(agency), agency)
            else:
                _put_whole(source, outbox.sftp(agency) / source.name)
                put.append(f"{agency}/{source.name}")
    return put


def _change_database(source: Path, database: Path, agency: str) -> None:
    if source.name == "changes.sqlite":
        apply_changes(source, database, KEYS[agency])
    else:
        _put_whole(source, database)


def _put_whole(source: Path, target: Path) -> None:
    """Copies a file so that nobody ever sees a part of it."""
    part = target.parent.parent / f".{target.parent.name}.{target.name}.part"
    shutil.copyfile(source, part)
    part.chmod(0o600)
    part.replace(target)
