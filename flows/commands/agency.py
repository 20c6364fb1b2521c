"""Add an agency without code: `kith agency new`, `kith agency check`, `kith agency try`, `kith agency diff`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.rows import opened
from flows.draft_agency import UNDECIDED, draft_agency, undecided
from flows.fetching import processing_order
from flows.settings import agency_folder, load_agency_of, load_settings
from flows.terminal import HERE, Commands, HomeOption, JsonOption, answer, home_at, table
from mappings.declarations import Feed
from mappings.load import Agency
from standard.errors import DeclarationError
from store.home import Home

app = typer.Typer(cls=Commands, help="What an agency declares, and what it makes of a sample.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Folder of the agency below agencies/.")]


@app.command()
def check(name: NameArgument, home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Check an agency's declarations whole: the first thing that is wrong, with file and line, or what they say.

    \b
    Example: kith agency check hillside_schools
    """
    agency = _load(home_at(home), name)
    feeds = [_feed_line(agency, feed) for feed in processing_order(agency)]
    open_ = undecided(agency)
    text = "\n".join([f"{agency.name} ({agency.sector}): all is well", table(feeds), *_notices(open_)])
    told = {"agency": agency.agency, "name": agency.name, "feeds": feeds, "undecided": open_}
    answer(told, text=text, as_json=as_json)


def _notices(undecided: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"notice: {feed}: {len(of)} columns are {UNDECIDED}: {', '.join(of)}" for feed, of in undecided.items()]


@app.command()
def new(
    name: NameArgument,
    sample: Annotated[list[Path], typer.Option("--sample", help="A file as sent (may be given several times).")],
    sector: Annotated[str, typer.Option(help="education, court, law_enforcement, child_welfare and so on.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Draft an agency's folder from samples of its files, in any form that is read: a beginning to be looked over.

    What a column plainly is, by its name and by what it holds, becomes an element; all others stand as not yet decided.
    Codes get an empty crosswalk; the values met stand in draft/ below the folder.

    \b
    Example: kith agency new maple_schools --sample students_20260907.csv --sample discipline.xml --sector education
    """
    at = home_at(home)
    agency = draft_agency(name, sample, at.agencies, sector=sector)
    feeds = [_feed_line(agency, feed) for feed in agency.feeds]
    open_ = undecided(agency)
    lines = [f"drafted in {agency.folder}", table(feeds), *_notices(open_)]
    then = [f"try it: kith agency try {name} {feed} {path}" for feed, path in zip(agency.feeds, sample, strict=True)]
    value = {"folder": str(agency.folder), "feeds": feeds, "undecided": open_}
    answer(value, text="\n".join([*lines, *then]), as_json=as_json)


@app.command()
def diff(
    name: NameArgument,
    feed: Annotated[str, typer.Argument(metavar="FEED", help="The feed the file is of.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file as sent.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say how a file's layout differs from what is declared: new, missing, renamed, re-cased, retyped columns.

    Exit status 5 where the file would be held.

    \b
    Example: kith agency diff hillside_schools students students_20261005.csv
    """
    from flows.layout_diff import layout_diff

    with opened(home) as at:
        agency = _load(at.home, name)
        found = layout_diff(at.home, at.ledger, agency, _feed_of(agency, feed), file, now=datetime.now(UTC))
    verdict = f"the file would be held: {found.held}" if found.held else "the file would be loaded"
    changes = [asdict(change) for change in found.changes]
    shown = table(changes, empty="its layout is as declared")
    answer(asdict(found), text=f"{shown}\n{verdict}", as_json=as_json)
    raise typer.Exit(5 if found.held else 0)


def _feed_of(agency: Agency, feed: str) -> Feed:
    if feed not in agency.feeds:
        raise DeclarationError(
            f"{agency.agency} has no feed {feed!r}", where=str(agency.folder),
            mend=f"name one of: {', '.join(agency.feeds)}",
        )  # fmt: skip
    return agency.feeds[feed]


def _load(home: Home, name: str) -> Agency:
    return load_agency_of(agency_folder(name, home), home, load_settings(home))


def _feed_line(agency: Agency, name: str) -> dict[str, object]:
    feed = agency.feeds[name]
    return {
        "feed": name, "arrives as": feed.arrives.files or f"table {feed.arrives.table}", "holds": str(feed.holds),
        "elements": len(feed.elements), "unused": len(feed.unused_columns),
        "becomes": ", ".join(feed.entities) or "(counted only)",
    }  # fmt: skip


@app.command("try")
def try_file(
    name: NameArgument,
    feed: Annotated[str, typer.Argument(metavar="FEED", help="The feed the sample is of.")],
    sample: Annotated[Path, typer.Argument(metavar="FILE", help="A file as sent; of a table, rows as CSV.")],
    home: HomeOption = HERE,
    with_values: Annotated[bool, typer.Option("--with-values", help="Show the first accepted row.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Map and check a sample without keeping anything, and say where each row would go.

    Exit status 5 where the file would be held whole.

    \b
    Example: kith agency try hillside_schools students example/students_20260907.csv --with-values
    """
    from flows.try_sample import try_sample

    with opened(home) as at:
        agency = _load(at.home, name)
        tried = try_sample(at.home, at.ledger, agency, _feed_of(agency, feed), sample, now=datetime.now(UTC))
    first = tried.first_accepted if with_values else None
    parts = [
        f"{tried.received:,} rows{f'; the whole file would be held: {tried.held}' if tried.held else ''}",
        table(tried.dispositions),
        table(tried.findings, empty="no findings"),
        *([table(tried.of_the_file)] if tried.of_the_file else []),
        *(
            ["\n".join(f"{element} = {value}" for element, value in first.items() if value is not None)]
            if first
            else []
        ),
    ]
    answer(asdict(tried) | {"first_accepted": first}, text="\n\n".join(parts), as_json=as_json)
    raise typer.Exit(5 if tried.held else 0)
