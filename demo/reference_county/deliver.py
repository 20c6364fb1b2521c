"""Put each delivery where the agencies would: files into their SFTP folders, rows into their databases."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from demo.reference_county.servers import PostgresServer, SftpServer
from standard.errors import ExchangeError

FILE_AGENCIES = ("riverbend_schools", "metro_police", "child_services")
DATABASES = ("county_court", "child_services")
NOT_SENT = {".sqlite", ".sql"}
"""What lies in a delivery folder and is no file of the SFTP exchange."""
_SETTLED = 600
"""Seconds: the files were put there a while before the night, as in life."""


@dataclass(frozen=True)
class Deliveries:
    """The deliveries of a county and the servers they go to."""

    county: Path
    sftp: SftpServer
    postgres: PostgresServer

    def days(self) -> int:
        """How many delivery days the county has."""
        return len(list((self.county / "deliveries").glob("day[0-9]*")))

    def open_places(self) -> None:
        """Makes the empty SFTP folders and databases.

        Raises:
            ExchangeError: The folder holds no deliveries.
        """
        if not self.days():
            raise ExchangeError(
                "there is no delivery in the county", where=str(self.county), mend="name a folder with deliveries/day01"
            )
        for agency in FILE_AGENCIES:
            (self.sftp.root / agency).mkdir(parents=True, exist_ok=True)
        for database in DATABASES:
            self.postgres.create(database)

    def deliver(self, day: int) -> None:
        """Brings one day's files and changes."""
        folder = self.county / "deliveries" / f"day{day:02d}"
        for agency in FILE_AGENCIES:
            for path in sorted(folder.glob(f"{agency}/*")):
                if path.suffix not in NOT_SENT:
                    self._put(path, agency)
        for database in DATABASES:
            for script in sorted(folder.glob(f"{database}/*.sql")):
                self.postgres.run(database, script)

    def _put(self, path: Path, agency: str) -> None:
        target = self.sftp.root / agency / path.name
        shutil.copyfile(path, target)
        before = time.time() - _SETTLED
        os.utime(target, (before, before))
