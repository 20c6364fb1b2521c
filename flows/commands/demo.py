"""Show the whole way on a synthetic county: `kith demo`."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.run import run_plain
from flows.prefect_server import local_server, use_server
from flows.run import NightResult
from flows.terminal import JsonOption, answer, show_failures, show_progress
from store.home import Home

log = logging.getLogger(__name__)


def demo(
    persons: Annotated[int, typer.Option(min=100, help="People who live in the county.")] = 20_000,
    days: Annotated[int, typer.Option(min=1, help="Weekly deliveries.")] = 3,
    seed: Annotated[int, typer.Option(help="Another seed, another county.")] = 1,
    home: Annotated[Path, typer.Option("--home", help="A new folder, or that of a demo before.")] = Path("kith-demo"),
    plain: Annotated[bool, typer.Option("--plain", help="The same stages without Prefect.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a synthetic county with known truth, serve its agencies' extracts, and run a night for each delivery.

    Ends with what arrived, where each row went, who is shared, and how right the linkage was. The folder of a demo
    before is emptied first.

    \b
    Example: kith demo
    Example: kith demo --persons 100000 --days 5 --seed 7 --home big-demo
    """
    show_progress()
    from demo.showing import show_county

    _clear_demo(home)
    with ExitStack() as open_until_the_end:
        night = _plain if plain else _orchestrated(open_until_the_end)
        shown = show_county(home, persons=persons, days=days, seed=seed, run_night=night, progress=log.info)
    for result in shown.nights:
        show_failures(result.failures)
    value = {"summary": asdict(shown.summary) if shown.summary else None, "nights": [asdict(n) for n in shown.nights]}
    answer(value, text=shown.text, as_json=as_json)
    # What the demo's agencies send wrong on purpose is held, and that is as it should be.
    raise typer.Exit(next((n.exit_status for n in shown.nights if n.failures), 0))


def _clear_demo(folder: Path) -> None:
    """Empties the folder of a demo before; any other folder is left to the refusal that follows."""
    if (folder / "demo" / "county" / "truth").is_dir() and (folder / "exchange.yaml").is_file():
        log.info("removing the demo before in %s", folder)
        shutil.rmtree(folder)


def _plain(home: Home, now: datetime) -> NightResult:
    return run_plain(home, now=now)


def _orchestrated(until_the_end: ExitStack) -> Callable[[Home, datetime], NightResult]:
    """Runs nights under Prefect, on one server that is started for the first of them."""
    served: set[Path] = set()

    def night(home: Home, now: datetime) -> NightResult:
        if home.root not in served:
            use_server(home, until_the_end.enter_context(local_server(home)))
            served.add(home.root)
        from flows.pull_and_publish import orchestrate

        return orchestrate(home.root, now=now)

    return night
