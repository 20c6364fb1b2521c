"""How the command line speaks: answers on stdout (text or JSON), progress and errors on stderr, an exit status."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.failures import PACKAGES, Failure, failure_of
from store.home import Home, open_home


class Commands(TyperGroup):
    """A group whose help gives the first sentence of every command whole, over as many lines as it takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # typer's own copy of click names their types
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in commands if each])


HomeOption = Annotated[
    Path, typer.Option("--home", envvar="KITH_HOME", help="Folder of the exchange.", show_default="this folder")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
HERE = Path()

EXIT_STATUSES = {
    0: "all went well",
    1: "something that was not foreseen, or a check that is off",
    2: "the command was not typed as it is to be",
    3: "a declaration or a setting is wrong",
    4: "a source cannot be reached, or refuses us",
    5: "an extract is held or cannot be read; the rest went on",
    6: "accounts do not add up; nothing was published",
    7: "persons could not be linked",
    8: "the snapshot could not be published, or is not there",
    9: "another run holds the home",
    10: "a judgement was not taken",
    11: "the audit log cannot be written, or is not as it was written",
    12: "a key is not there or was destroyed, or what is encrypted was changed",
    130: "stopped from the keyboard",
}


def home_at(folder: Path) -> Home:
    """The home a command works on."""
    return open_home(folder)


def answer(value: object, *, text: str, as_json: bool) -> None:
    """Prints a command's answer: the value as JSON, or the text."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False) if as_json else text)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, *, empty: str = "nothing") -> str:
    """Rows as text under their column names; numbers to the right."""
    if not rows:
        return empty
    names = list(columns or rows[0])
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[n]) for line in cells)) for n, name in enumerate(names)]
    right = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in names]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(_line(line, widths, right) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
    return "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def show_progress() -> None:
    """Lets what a run says appear on stderr: its own line for every step, of the stages only what they warn of."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO if package in ("flows", "demo") else logging.WARNING)
        logger.propagate = False


def show_failures(failures: Sequence[Failure]) -> None:
    """What went wrong, on stderr: what, where, how to mend."""
    for failure in failures:
        print(f"{failure.agency or 'exchange'}: {failure.stage} failed\n  {failure}", file=sys.stderr)


def run_command_line(app: typer.Typer) -> int:
    """Runs the command line; an error becomes words without a traceback and an exit status."""
    os.umask(0o077)
    try:
        app()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Exception as error:
        return _say(failure_of(error, stage="command"))
    return 0


def _say(failure: Failure) -> int:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"what": failure.what, "where": failure.where, "mend": failure.mend}}, indent=2))
    print(f"kith: {failure}", file=sys.stderr)
    return failure.exit_status
