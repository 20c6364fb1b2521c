"""The settings of one exchange: what a home's exchange.yaml says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError

import mappings
from connectors.sources import DatabaseSource, Secrets, Source
from mappings.load import Agency, load_agency
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError
from store.home import Home, unlock_home
from store.keys_provider import KeptKeys
from store.ledger import Ledger, open_ledger

REPOSITORY_AGENCIES = Path(mappings.__file__).parent / "agencies"


class Timetable(Declared):
    """When the whole exchange runs under `kith serve`, beside each agency's own hours."""

    cron: str = "0 6 * * *"
    timezone: str = "UTC"


class Settings(Declared):
    """One exchange."""

    described_in: ClassVar[str] = "exchange.yaml in docs/command_line.md"

    exchange: str
    """Its name, as the report shows it."""
    agencies: tuple[str, ...] | None = None
    """The agencies that take part, by folder name; all in the home's `agencies/` where nothing is said."""
    sources: dict[str, dict[str, dict[str, dict[str, Any]]]] = Field(default={})
    """agency -> source -> door (sftp, database, folder) -> setting -> value: laid over what agency.yaml declares."""
    ledger: DatabaseSource | None = None
    """The PostgreSQL database that holds the ledger; the file ledger.db where nothing is said."""
    publish_to: DatabaseSource | None = None
    """The PostgreSQL database into which every snapshot is loaded beside the home's own folder."""
    night: Timetable = Timetable()
    notify: tuple[str, ...] = ()
    """Whom the operators' notices go to, as Apprise writes them (mailto, webhook, chat), best as `secret:NAME`."""
    encryption: Literal["required", "off"] = "off"
    """Whether what rests in the home is encrypted (store.encryption_home)."""
    key_provider: KeptKeys | None = None
    """Where the master key is kept, outside the home."""
    governance: Literal["required", "off"] = "off"
    """Whether nothing is loaded or released without an agreement in force. That it is `off` the status tells."""


def load_settings(home: Home) -> Settings:
    """What the home's exchange.yaml says.

    Raises:
        DeclarationError: The file is missing or wrong; with file and line.
    """
    settings = read_declaration(home.settings_file, Settings)
    unlock_home(home)
    return settings


def agency_folders(home: Home, settings: Settings) -> dict[str, Path]:
    """Where each agency that takes part is declared: the home's own folder comes before the repository's.

    Raises:
        DeclarationError: An agency that exchange.yaml names has no folder, or takes no part.
    """
    folders = _folders(home, settings)
    if unknown := [name for name in settings.sources if name not in folders]:
        raise DeclarationError(
            f"sources are overridden for {unknown[0]!r}, which takes no part",
            where=str(home.settings_file),
            mend=f"name one of: {', '.join(folders) or '(there is none yet)'}",
        )
    return folders


def _folders(home: Home, settings: Settings) -> dict[str, Path]:
    if settings.agencies is None:
        return {file.parent.name: file.parent for file in sorted(home.agencies.glob("*/agency.yaml"))}
    return {name: agency_folder(name, home) for name in settings.agencies}


def agency_folder(name: str, home: Home) -> Path:
    """Where an agency is declared: in the home, else in the repository.

    Raises:
        DeclarationError: Nowhere.
    """
    for agencies in (home.agencies, REPOSITORY_AGENCIES):
        folder = agencies / Path(name).name
        if (folder / "agency.yaml").is_file():
            return folder
    known = ", ".join(sorted(file.parent.name for file in home.agencies.glob("*/agency.yaml")))
    raise DeclarationError(
        f"the agency {name!r} is not declared",
        where=str(home.settings_file),
        mend=f"write {home.agencies / name}/agency.yaml{f', or name one of: {known}' if known else ''}",
    )


def open_home_ledger(home: Home, settings: Settings) -> Ledger:
    """The control plane of the home.

    Raises:
        DeclarationError: Its secret is missing or not private.
    """
    if settings.ledger is None:
        return open_ledger(home.ledger_file)
    return open_ledger(Secrets(home.keys).url(settings.ledger.url).get_secret_value())


def load_agencies_of(home: Home, settings: Settings) -> dict[str, Agency]:
    """Every agency that takes part, its sources as exchange.yaml overrides them.

    Raises:
        DeclarationError: One of them is wrong; with file and line.
    """
    folders = agency_folders(home, settings)
    return {name: load_agency_of(folder, home, settings) for name, folder in folders.items()}


def load_agency_of(folder: Path, home: Home, settings: Settings) -> Agency:
    """One agency from its folder, its sources as exchange.yaml overrides them.

    Raises:
        DeclarationError: It is wrong; with file and line.
    """
    agency = load_agency(folder)
    laid_over = settings.sources.get(agency.agency, {})
    sources = dict(agency.sources)
    for name, doors in laid_over.items():
        sources[name] = _overridden(sources.get(name), doors, f"sources.{agency.agency}.{name}", home)
    return replace(agency, sources=sources)


def _overridden(declared: Source | None, doors: dict[str, dict[str, Any]], place: str, home: Home) -> Source:
    before = declared.model_dump(exclude_unset=True, by_alias=True) if declared else {}
    # Another door than the declared one replaces it; the same door keeps what is not said anew.
    merged = {door: {**(before.get(door) or {}), **given} for door, given in doors.items()}
    try:
        return Source.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DeclarationError(
            f"{place}.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            where=str(home.settings_file),
            mend="see the sources in docs/mapping.md",
        ) from error
