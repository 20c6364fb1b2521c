"""Codes that no crosswalk knows: `kith codes pending`, `kith codes map`."""

from __future__ import annotations

import logging
from typing import Annotated

import sqlalchemy as sa
import typer

from flows.commands.remap import changes_text
from flows.commands.rows import opened
from flows.map_code import adopt_line, crosswalk_of, effect_of, with_line
from flows.remap import told
from flows.settings import agency_folder, load_agency_of, load_settings
from flows.terminal import HERE, Commands, HomeOption, JsonOption, answer, show_progress, table
from store.ledger import code_pending, extract
from store.runs import hold_home

log = logging.getLogger(__name__)
app = typer.Typer(cls=Commands, help="Codes that no crosswalk knows yet, and what they mean.", no_args_is_help=True)
NOTHING = "-"


@app.command("pending")
def pending_codes(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """List the codes that no crosswalk knows: kept as sent, counted, and waiting for a line in a crosswalk.

    \b
    Example: kith codes pending --home exchange
    """
    with opened(home) as at, at.ledger.reading() as connection:
        of_code = (code_pending.c.feed, code_pending.c.element, code_pending.c.scope, code_pending.c.value)
        query = sa.select(code_pending).order_by(code_pending.c.agency, *of_code)
        rows = [dict(row) for row in connection.execute(query).mappings()]
    columns = ("agency", "feed", "element", "scope", "value", "rows", "first_extract")
    text = table(rows, columns, empty="every code is known")
    answer(rows, text=text, as_json=as_json)


@app.command("map")
def map_code(
    feed: Annotated[str, typer.Argument(metavar="AGENCY/FEED")],
    element: Annotated[str, typer.Argument(metavar="ELEMENT", help="The element of the feed that holds the code.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The code as sent.")],
    common: Annotated[str, typer.Argument(metavar="COMMON", help="The common term; - where on purpose there is none.")],
    by: Annotated[str, typer.Option("--by", help="Who answers for it.")],
    match: Annotated[str, typer.Option(help="exact, close, broad, narrow or related.")] = "exact",
    scope: Annotated[str, typer.Option(help="Only in this scope, as `kith codes pending` shows it.")] = "",
    valid_from: Annotated[str, typer.Option("--from", help="From this day on (2026-07-01).")] = "",
    valid_to: Annotated[str, typer.Option("--to", help="Up to this day.")] = "",
    label: Annotated[str, typer.Option(help="The agency's own term for it.")] = "",
    definition: Annotated[str, typer.Option(help="The agency's own definition.")] = "",
    note: Annotated[str, typer.Option(help="What is lost, or why.")] = "",
    adopt: Annotated[bool, typer.Option("--adopt", help="Write it; else only its effect is told.")] = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say what a code means: shows what the line would change in all that came before, and with --adopt writes it.

    An adopted line holds for what is read from then on; `kith remap AGENCY/FEED` brings it to what is there.

    \b
    Example: kith codes map hillside_schools/students sex X X --match exact --by "R. Steward"
    Example: kith codes map hillside_schools/students sex 3 X --match close --by "R. Steward" --adopt
    """
    show_progress()
    name, _, of_agency = feed.partition("/")
    line = {
        "value": value, "common": "" if common == NOTHING else common, "match": match, "scope": scope,
        "valid_from": valid_from, "valid_to": valid_to, "label": label, "definition": definition, "note": note,
        "reviewer": by,
    }  # fmt: skip
    with opened(home) as at, hold_home(at.home):
        settings = load_settings(at.home)
        agency = load_agency_of(agency_folder(name, at.home), at.home, settings)
        crosswalk = crosswalk_of(agency, of_agency, element)
        came = sa.select(extract.c.extract_id).where(extract.c.agency == name).limit(1)
        with with_line(agency, crosswalk, line) as mended:
            with at.ledger.reading() as connection:
                loaded = connection.execute(came).first() is not None
            effect = effect_of(at.home, settings, mended, ledger=at.ledger, progress=log.info) if loaded else None
        if adopt:
            adopt_line(at.home, agency, crosswalk, line)
    shown = changes_text(effect) if effect else f"nothing of {name} has come yet"
    then = f"written to {crosswalk}; bring it to what is there: kith remap {feed}" if adopt else "nothing was written"
    answer({"effect": told(effect) if effect else None, "adopted": adopt}, text=f"{shown}\n{then}", as_json=as_json)
