"""Tables of counts that tell nothing of a single child: `kith aggregate`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.commands.agreement import OnOption
from flows.commands.consent import opened
from flows.terminal import HERE, HomeOption, JsonOption, answer, table


def aggregate(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Name of the policy by which it goes out.")],
    of: Annotated[str, typer.Argument(metavar="TABLE", help="Table of the record that is counted.")],
    by: Annotated[list[str], typer.Option(help="Column to count by (may be given several times).")],
    measure: Annotated[
        Literal["persons", "rows"], typer.Option(help="What is counted; a person once, however many rows it has.")
    ] = "persons",
    out: Annotated[
        Path | None, typer.Option(help="Folder for it.", show_default="releases/<recipient>/ in the home")
    ] = None,
    on: OnOption = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Count what a policy lets out, by some of its columns, with totals; small cells are hidden, and others with them.

    What is hidden cannot be worked out of totals, of other tables or of those the recipient was given before. Where
    that cannot be had the table is refused (R12), exit status 8.

    \b
    Example: kith aggregate dropout_study enrollment --by grade --by exit_type
    """
    from releases.aggregates import in_order, make_aggregate
    from releases.aggregates_count import TOTAL, Request

    with opened(home, on) as o:
        asked = Request(policy, of, tuple(by), measure, datetime.now(UTC), o.at.day)
        made = make_aggregate(o.at.home, o.ledger, o.at.governance, asked, into=out)
    rows = [
        {**{name: value or TOTAL for name, value in zip(made.dims, key, strict=True)}, measure: told}
        for key, told in sorted(made.cells.items(), key=lambda cell: in_order(cell[0]))
    ]
    shown = [row | {measure: "hidden" if row[measure] is None else row[measure]} for row in rows]
    value = {"folder": str(made.folder), "manifest": made.manifest, "cells": rows}
    answer(value, text=f"{table(shown)}\n\nwritten to {made.folder}", as_json=as_json)
