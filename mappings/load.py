"""Loading the agencies' folders: everything they declare is checked against itself and the common schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import duckdb

from connectors.sources import Source
from mappings.calendars import Calendar, read_calendar
from mappings.check_declarations import Declared, check_feed
from mappings.compile import install_macros
from mappings.crosswalks import Crosswalk, read_crosswalk
from mappings.declarations import AgencyFile, Feed, Outbound
from mappings.layouts import Layout, read_layout
from mappings.places import Place
from standard.declarations import read_declaration
from standard.errors import DeclarationError
from store.home import connect

T = TypeVar("T")


@dataclass(frozen=True)
class Agency:
    """An agency with all it declares; feeds, crosswalks and layouts by name."""

    agency: str
    name: str
    sector: str
    state: str | None
    ori: str | None
    timezone: str
    folder: Path
    sources: dict[str, Source]
    feeds: dict[str, Feed]
    crosswalks: dict[str, Crosswalk]
    layouts: dict[str, Layout]
    outbound: Outbound | None = None
    calendars: Mapping[str, Calendar] = field(default_factory=dict)


def load_agency(folder: Path) -> Agency:
    """Loads the declarations of one agency and checks them whole.

    Raises:
        DeclarationError: The first thing that is wrong, with file and line.
    """
    with sandbox() as connection:
        return _load(folder, connection)


def load_agencies(folders: Iterable[Path]) -> dict[str, Agency]:
    """Loads every agency of some folders of agencies; of two with the same name the one in the earlier folder counts.

    Args:
        folders: Folders that hold one folder an agency, e.g. the home's `agencies` and the project's own; one that
            does not exist holds none.

    Raises:
        DeclarationError: The first thing that is wrong in any of them, with file and line.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for declared in sorted(folder.glob("*/agency.yaml")):
            found.setdefault(declared.parent.name, declared.parent)
    with sandbox() as connection:
        return {name: _load(folder, connection) for name, folder in found.items()}


def sandbox() -> duckdb.DuckDBPyConnection:
    """A connection with the macros of the mapping language that can reach no file and no setting."""
    connection = connect(memory_limit="200MB", threads=1)
    install_macros(connection)
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _load(folder: Path, connection: duckdb.DuckDBPyConnection) -> Agency:
    file = read_declaration(folder / "agency.yaml", AgencyFile)
    place = Place(folder / "agency.yaml")
    if file.agency != folder.name:
        raise place.wrong(f"the folder is named {folder.name!r}", "agency", mend="give both the same name")
    _check_listing(folder, file, place)
    feeds = {name: _read_feed(folder, name) for name in file.feeds}
    crosswalks = _read_all(folder / "crosswalks", read_crosswalk)
    layouts = _read_all(folder / "layouts", read_layout)
    calendars = _read_all(folder / "calendars", read_calendar)
    declared = Declared(folder, frozenset(file.sources), feeds, crosswalks, layouts)
    for feed in feeds.values():
        check_feed(feed, declared, connection)
        _check_calendar(feed, calendars, folder)
    return Agency(
        file.agency, file.name, file.sector, file.state, file.ori, file.timezone, folder, file.sources, feeds,
        crosswalks, layouts, file.outbound, calendars,
    )  # fmt: skip


def _check_listing(folder: Path, file: AgencyFile, place: Place) -> None:
    there = {path.stem for path in folder.glob("*.yaml")} - {"agency"}
    for name in file.feeds:
        if name not in there or file.feeds.count(name) > 1:
            raise place.wrong(
                f"the feed {name!r} has no file of its own", "feeds", mend=f"write {name}.yaml, and list it once"
            )
    for name in sorted(there - set(file.feeds)):
        raise place.wrong(f"{name}.yaml is not listed", "feeds", mend=f"add {name} to feeds, or take the file away")


def _check_calendar(feed: Feed, calendars: Mapping[str, Calendar], folder: Path) -> None:
    named = feed.arrives.calendar
    if named is not None and named not in calendars:
        raise Place(folder / f"{feed.feed}.yaml").wrong(
            f"there is no calendar {named!r}", "arrives", "calendar", mend=f"write calendars/{named}.csv"
        )


def _read_feed(folder: Path, name: str) -> Feed:
    feed = read_declaration(folder / f"{name}.yaml", Feed)
    if feed.feed != name:
        raise DeclarationError(
            f"the feed is named {feed.feed!r}", where=f"{folder / name}.yaml", mend="name the file as the feed"
        )
    return feed


def _read_all(folder: Path, read: Callable[[Path], T]) -> dict[str, T]:
    return {path.stem: read(path) for path in sorted(folder.glob("*.csv"))}
