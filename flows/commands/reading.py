"""Read about the record: `kith dictionary`, `kith report`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.settings import load_agencies_of, load_settings
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at
from standard.errors import PublishError
from store.home import Home


def dictionary(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Print every table and column of the record with meaning, code set and sensitivity, and who feeds it (Markdown).

    Outside a home the common schema alone is told.

    \b
    Example: kith dictionary --home exchange > dictionary.md
    """
    from record.dictionary import data_dictionary

    outside = home == HERE and not Home(home.resolve()).settings_file.is_file()
    at = None if outside else home_at(home)
    agencies = load_agencies_of(at, load_settings(at)) if at else {}
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
