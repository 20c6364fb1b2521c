"""Ask the questions of the catalogue: `kith measure list`, `show`, `check`, `run`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal import HERE, Commands, HomeOption, JsonOption, answer, home_at, table

if TYPE_CHECKING:
    from releases.measures.declarations import Measure
    from releases.measures.run import Result
    from releases.measures.source import Source

app = typer.Typer(cls=Commands, help="Questions declared once, asked of the record or a release.", no_args_is_help=True)
MeasureArgument = Annotated[str, typer.Argument(metavar="MEASURE", help="Id of the measure, as `list` shows it.")]


@app.command("list")
def list_measures(as_json: JsonOption = False) -> None:
    """List the measures: what each asks, and whose definition it follows.

    \b
    Example: kith measure list
    """
    from releases.measures.declarations import catalogue

    rows = [
        {"measure": name, "title": measure.title, "definition": measure.definition.name}
        for name, measure in catalogue().measures.items()
    ]
    answer(rows, text=table(rows), as_json=as_json)


@app.command()
def show(name: MeasureArgument, as_json: JsonOption = False) -> None:
    """Tell a measure: index event, outcome, window, definition, what is missing, how to read it, what it needs.

    \b
    Example: kith measure show reentry_cfsr3
    """
    from releases.measures.compile import dimensions_of, needs
    from releases.measures.declarations import catalogue

    among = catalogue()
    measure = among.measure(name)
    needed = {each: sorted(columns) for each, columns in sorted(needs(measure, among.events, measure.by).items())}
    events = {each: among.events[each].meaning for each in measure.events}
    value = measure.model_dump(by_alias=True, exclude_none=True) | {"events": events, "needs": needed}
    lines = [
        f"{measure.measure}: {measure.title}", measure.question, "",
        f"follows     {measure.definition.name}: {measure.definition.source}",
        f"here        {measure.definition.ours}",
        f"population  {measure.population}", f"unit        {measure.unit}", *_windows(measure),
        *(f"event       {each}: {meaning}" for each, meaning in events.items()),
        f"missing     {measure.missing}", *(f"note        {note}" for note in measure.notes),
        f"ask by      {', '.join(dimensions_of(measure)) or '(nothing)'}",
        *(f"needs       {each}: {', '.join(columns)}" for each, columns in needed.items()),
    ]  # fmt: skip
    answer(value, text="\n".join(lines), as_json=as_json)


def _windows(measure: Measure) -> list[str]:
    named = (("before", measure.before), ("window", measure.window))
    told = [(name, "any before" if w.from_ is None else str(w.from_), w.to) for name, w in named if w is not None]
    return [f"{name:<11} day {first} to {last} from {measure.index.event}" for name, first, last in told]


@app.command()
def check(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="A catalogue of one's own; the project's without it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a catalogue: the first measure that cannot be asked, with file and line.

    \b
    Example: kith measure check my_catalogue
    """
    from releases.measures.check import check_catalogue
    from releases.measures.declarations import CATALOGUE, Catalogue

    among = Catalogue(folder or CATALOGUE)
    check_catalogue(among)
    answer(sorted(among.measures), text=f"{len(among.measures)} measures can be asked", as_json=as_json)


@app.command()
def run(
    name: MeasureArgument,
    release: Annotated[
        Path | None, typer.Option("--release", help="Folder of a release; the home's record without it.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option("--by", help="Count by this dimension; may be given again.")] = None,
    home: HomeOption = HERE,
    as_csv: Annotated[bool, typer.Option("--csv", help="Answer in CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a measure of the record, or of a release, and say how to read the answer. Small counts are not shown.

    \b
    Example: kith measure run reentry_cfsr3 --by year --home exchange
    Example: kith measure run late_responsibilities --by responsible_agency --release release_2026-04
    """
    from releases.measures.run import run_measure

    result = run_measure(name, _source(release, home), by=tuple(by or ()))
    if as_csv:
        print(_csv(result), end="")
        return
    answer(result.as_dict(), text=_told(result), as_json=as_json)


def _source(release: Path | None, home: Path) -> Source:
    from record.reader import open_record
    from releases.measures.source import source_of
    from releases.reader import open_release

    if release is not None:
        return source_of(open_release(release))
    at = home_at(home)
    return source_of(open_record(at), spill=at.record)


def _csv(result: Result) -> str:
    text = io.StringIO()
    names = list(result.rows[0]) if result.rows else []
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.rows)
    return text.getvalue()


def _told(result: Result) -> str:
    measure = result.measure
    watched = [f"{each} {first} to {last}" for each, (first, last) in sorted(result.watched.items())]
    lines = [
        f"{measure.title} ({measure.unit}; {measure.definition.name})", "",
        table(result.rows, empty="no such event stands in it"), "",
        *([f"told of: {', '.join(watched)}"] if watched else []),
        *_silence(result.silent),
        *([f"without a day, and so not counted: {result.undated:,} rows"] if result.undated else []),
        *([f"empty: fewer than {result.min_cell}, or what would give that away"] if _hides(result) else []),
        measure.missing, *(f"- {note}" for note in measure.notes),
    ]  # fmt: skip
    return "\n".join(lines)


def _silence(tables: Sequence[str]) -> list[str]:
    if not tables:
        return []
    return [f"NOT TOLD OF: no agency sends {', '.join(tables)}; what stands only there is not known, and not 'none'"]


def _hides(result: Result) -> bool:
    return any(row["suppressed"] for row in result.rows)
