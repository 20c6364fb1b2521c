"""Lay out the home of an exchange that takes in the reference county through the repository's own declarations."""

from __future__ import annotations

from pathlib import Path

from demo.governed import govern
from demo.reference_county.deliver import DATABASES, FILE_AGENCIES
from demo.reference_county.servers import PostgresServer, SftpServer
from demo.showing import AGREED
from flows.lay_out_home import lay_out_home, write_settings
from flows.settings import load_agencies_of, load_settings
from store.home import Home

AGENCIES = ("riverbend_schools", "metro_police", "county_court", "child_services")


def lay_out(folder: Path, *, sftp: SftpServer, postgres: PostgresServer) -> Home:
    """A new home with its sources pointed at the given servers, their keys pinned and their secrets in place.

    Raises:
        ExchangeError: The folder is not empty.
    """
    home = lay_out_home(folder, name="Reference county")
    (home.keys / "known_hosts").write_text(sftp.known_hosts, encoding="ascii")
    for agency in FILE_AGENCIES:
        _write_secret(home, f"{agency}_key", sftp.key.read_text(encoding="ascii"))
    for database in DATABASES:
        _write_secret(home, f"{database}_url", postgres.url(database))
    write_settings(home, _settings(sftp))
    agencies = load_agencies_of(home, load_settings(home))
    govern(home, agencies, term=AGREED, keys=home.root / "officers")
    return home


def _write_secret(home: Home, name: str, text: str) -> None:
    path = home.keys / name
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _settings(sftp: SftpServer) -> str:
    door = f"{{host: {sftp.host}, port: {sftp.port}, user: {sftp.user}}}"
    sources = "\n".join(f"  {agency}: {{exchange: {{sftp: {door}}}}}" for agency in FILE_AGENCIES)
    return f"exchange: Reference county\ngovernance: required\nagencies: [{', '.join(AGENCIES)}]\nsources:\n{sources}\n"
