"""The rows of a feed that were in force at a moment of the past: `kith state`."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.rows import opened
from flows.settings import agency_folder, load_agency_of, load_settings
from flows.terminal import HERE, HomeOption, JsonOption, answer
from standard.errors import DeclarationError


def state(
    feed: Annotated[str, typer.Argument(metavar="AGENCY/FEED")],
    as_of: Annotated[
        str, typer.Option("--as-of", help="A day (2026-09-30, its end, by when files came) or the id of an extract.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write: .csv or .parquet. It holds personal values.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the rows of a feed that were in force at a moment of the past, made again from what had come by then.

    What is sealed today is left out.

    \b
    Example: kith state hillside_schools/students --as-of 2026-09-30 --out students_20260930.parquet
    """
    from expectations.past_states import write_state_as_of

    name, _, of_agency = feed.partition("/")
    with opened(home) as at:
        agency = load_agency_of(agency_folder(name, at.home), at.home, load_settings(at.home))
        if of_agency not in agency.feeds:
            raise DeclarationError(
                f"{name} has no feed {of_agency!r}", where=str(agency.folder),
                mend=f"name AGENCY/FEED, the feed one of: {', '.join(agency.feeds)}",
            )  # fmt: skip
        folded, rows = write_state_as_of(
            at.home, at.ledger, agency, agency.feeds[of_agency], _moment(as_of), into=out.absolute()
        )
    value = {"feed": feed, "as_of": as_of, "extracts": folded, "rows": rows, "file": str(out)}
    answer(value, text=f"{rows:,} rows in force, of {folded:,} extracts: {out}", as_json=as_json)


def _moment(said: str) -> date | str:
    if extract := re.fullmatch(r"([0-9a-f]{24})(-\d+)?", said):  # a receipt's id is its extract's and a number
        return extract[1]
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise DeclarationError(
            "--as-of is neither a day nor the id of an extract", where=said,
            mend="write the day as 2026-09-30, or take an id from: kith receipt list",
        ) from None  # fmt: skip
