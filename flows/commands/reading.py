"""Read about the record: `kith dictionary`, `kith report`, `kith person`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from flows.commands.rows import opened
from flows.settings import agency_folder, load_agencies_of, load_agency_of, load_settings
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, table
from standard.errors import PublishError
from store.home import Home


def dictionary(
    agency: Annotated[
        str | None, typer.Option("--agency", help="The page of this agency: its terms, ours, and how well they match.")
    ] = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Print every table and column of the record with meaning, code set and sensitivity, and who feeds it (Markdown).

    Outside a home the common schema alone is told.

    \b
    Example: kith dictionary --home exchange > dictionary.md
    Example: kith dictionary --home exchange --agency hillside_schools > hillside_schools.md
    """
    from record.agency_page import agency_dictionary
    from record.dictionary import data_dictionary

    if agency is not None:
        at = home_at(home)
        text = agency_dictionary(load_agency_of(agency_folder(agency, at), at, load_settings(at)))
        answer({"markdown": text}, text=text, as_json=as_json)
        return
    outside = home == HERE and not Home(home.resolve()).settings_file.is_file()
    of = None if outside else home_at(home)
    agencies = load_agencies_of(of, load_settings(of)) if of else {}
    text = data_dictionary(agencies)
    answer({"markdown": text}, text=text, as_json=as_json)


def report(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the last one's report.")] = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say where the page that reports a run lies.

    \b
    Example: kith report --home exchange
    """
    at = home_at(home)
    pages = sorted(at.reports.glob(f"{run_id or '*'}.html"))
    if not pages:
        raise PublishError("there is no such report", where=str(at.reports), mend="see the runs with: kith status")
    answer({"report": str(pages[-1])}, text=str(pages[-1]), as_json=as_json)


def person(
    person_id: Annotated[str, typer.Argument(metavar="ID", help="A person id of today or of the past.")],
    home: HomeOption = HERE,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="A day (2026-03-30, its end in UTC) or the id of a snapshot.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which mentions a person id has, or had then, who that is now, and what happened to the id and why.

    \b
    Example: kith person 3VIULIN7D46BPBXIUIASHITH4T --as-of 2026-03-30
    """
    from record.persons import person_as_of

    with opened(home) as at:
        found = person_as_of(at.home, at.ledger, person_id, _moment(as_of))
    called = "" if found.called == (person_id,) else f", then called {', '.join(found.called)}"
    events = table([asdict(event) for event in found.events], ("at", "person_id", "kind", "other_id", "cause"))
    lines = [
        f"person {person_id} in snapshot {found.snapshot_id} of {found.published_at[:16].replace('T', ' ')} UTC{called}"
        if found.called
        else f"person {person_id} was not in snapshot {found.snapshot_id}",
        *(f"  {mention}" for mention in found.mentions),
        f"now: {', '.join(found.now) or 'no longer in the record'}",
        events,
    ]
    answer(asdict(found), text="\n".join(lines), as_json=as_json)


def _moment(said: str | None) -> date | str | None:
    try:
        return date.fromisoformat(said) if said else None
    except ValueError:
        return said
