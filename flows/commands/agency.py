"""Add an agency without code: `kith agency check`, `kith agency try`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.rows import opened
from flows.fetching import processing_order
from flows.settings import agency_folder, load_agency_of, load_settings
from flows.terminal import HERE, Commands, HomeOption, JsonOption, answer, home_at, table
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
    text = f"{agency.name} ({agency.sector}): all is well\n{table(feeds)}"
    answer({"agency": agency.agency, "name": agency.name, "feeds": feeds}, text=text, as_json=as_json)


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
        if feed not in agency.feeds:
            raise DeclarationError(
                f"{name} has no feed {feed!r}", where=str(agency.folder), mend=f"name one of: {', '.join(agency.feeds)}"
            )
        tried = try_sample(at.home, at.ledger, agency, agency.feeds[feed], sample, now=datetime.now(UTC))
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
