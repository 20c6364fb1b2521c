"""Bring mended declarations to the rows that are there already: `kith remap`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from flows.commands.run import how_it_went, run_plain
from flows.remap import preview, remap_agency, require_loaded, told
from flows.remap_changes import Changes
from flows.run import open_night
from flows.settings import load_agencies_of, load_settings, open_home_ledger
from flows.status import outdated_feeds
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, show_failures, show_progress, table
from mappings.load import Agency
from standard.errors import DeclarationError
from store.home import Home, clear_leftovers
from store.ledger import Ledger
from store.runs import hold_home

log = logging.getLogger(__name__)
Wanted = list[tuple[Agency, frozenset[str]]]
"""Agencies with the feeds that are mapped again in any case."""


def remap(
    feed: Annotated[
        str | None, typer.Argument(metavar="[AGENCY[/FEED]]", help="One feed, or all feeds of an agency.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every agency whose declarations changed since.")] = False,
    only_preview: Annotated[bool, typer.Option("--preview", help="Say what would change; keep nothing.")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="Link and publish at once.")] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Go on though many rows leave force by the new declarations.")
    ] = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Map what came before again, by the declarations of now: a mended crosswalk, mapping or suite reaches its rows.

    Takes the files kept in landing/. All feeds of the agency are checked again, because they refer to each other;
    those not named are mapped again only where their declarations changed. What was sealed stays sealed. Until it is
    done all is as it was, and a remap that was stopped is gone on with by the next. The next run publishes it.

    \b
    Example: kith remap hillside_schools/students --preview
    Example: kith remap hillside_schools/students --publish
    Example: kith remap --all
    """
    if (feed is None) != all_:
        raise typer.BadParameter("name AGENCY/FEED or AGENCY, or give --all")
    show_progress()
    at = home_at(home)
    found = _preview(at, feed) if only_preview else _remap(at, feed, withdraw=withdraw)
    lines = [changes_text(changes) for changes in found] or ["every feed is mapped with the declarations of now"]
    value: dict[str, Any] = {"remapped": [told(changes) for changes in found], "kept": not only_preview}
    status = 0
    if publish and not only_preview:
        result = run_plain(at, [])
        show_failures(result.failures)
        status, value["run"] = result.exit_status, result.run_id
        lines.append(how_it_went(result))
    elif found:
        lines.append("nothing was kept" if only_preview else "in force; the next run publishes it: kith run")
    answer(value, text="\n\n".join(lines), as_json=as_json)
    raise typer.Exit(status)


def _preview(home: Home, feed: str | None) -> list[Changes]:
    settings = load_settings(home)
    agencies = load_agencies_of(home, settings)
    with hold_home(home):
        clear_leftovers(home)
        ledger = open_home_ledger(home, settings)
        try:
            return [
                preview(home, settings, agency, ledger=ledger, anew=anew, progress=log.info)
                for agency, anew in _wanted(ledger, agencies, feed)
            ]
        finally:
            ledger.close()


def _remap(home: Home, feed: str | None, *, withdraw: bool) -> list[Changes]:
    with open_night(home, now=datetime.now(UTC), agencies=[]) as night:
        return [
            remap_agency(
                night.home, night.settings, agency, ledger=night.ledger, anew=anew, progress=log.info,
                withdraw=withdraw,
            )
            for agency, anew in _wanted(night.ledger, night.agencies, feed)
        ]  # fmt: skip


def _wanted(ledger: Ledger, agencies: dict[str, Agency], feed: str | None) -> Wanted:
    """Which agencies, and which of their feeds in any case; of all only those with changed declarations."""
    if feed is None:
        return [(agency, frozenset()) for agency in agencies.values() if outdated_feeds(ledger, agency)]
    name, _, of_agency = feed.partition("/")
    if name not in agencies:
        raise _unknown(f"no agency here is called {name!r}", list(agencies))
    agency = agencies[name]
    if of_agency and of_agency not in agency.feeds:
        raise _unknown(f"{name} has no feed {of_agency!r}", [f"{name}/{other}" for other in agency.feeds])
    if of_agency:
        require_loaded(ledger, name, of_agency)
    return [(agency, frozenset([of_agency] if of_agency else agency.feeds))]


def _unknown(what: str, known: list[str]) -> DeclarationError:
    return DeclarationError(what, where="kith remap", mend=f"name one of: {', '.join(known) or '(there is none yet)'}")


def changes_text(changes: Changes) -> str:
    """What a remap changes, in tables of a terminal."""
    feeds = [
        {"feed": f.feed, "extracts": f.extracts, "in force": f.in_force, "changed": f.changed, "come": f.came,
         "gone": f.gone}
        for f in changes.feeds
    ]  # fmt: skip
    elements = [
        {"feed": f.feed, "element": element, "rows": rows}
        for f in changes.feeds
        for element, rows in f.elements.items()
    ]
    files = [{name: row[name] for name in ("feed", "name", "was", "becomes")} for row in changes.files]
    parts = [f"{changes.agency}: rows in force", table(feeds)]
    for title, rows in (
        ("what changes in rows that stay", elements), ("rows that go elsewhere", changes.moved),
        ("files that stand otherwise", files), ("codes", changes.codes),
    ):  # fmt: skip
        parts += [title, table(rows)] if rows else []
    said = [
        (changes.orders_found, "references come under an order that was not found before"),
        (changes.orders_kept, "orders are found no longer; they stay in force"),
        (changes.releases_lost, "rows that a person released are not those rows any more: see kith quarantine list"),
    ]
    return "\n".join([*parts, *(f"{count:,} {what}" for count, what in said if count)])
