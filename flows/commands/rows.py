"""Follow rows and see what is held back: `kith trace`, `kith quarantine`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from string import hexdigits
from typing import Annotated

import sqlalchemy as sa
import typer

from flows.settings import agency_folders, load_agencies_of, load_agency_of, load_settings, open_home_ledger
from flows.standing import shown_name
from flows.terminal import HERE, Commands, HomeOption, JsonOption, answer, home_at, table
from mappings.declarations import Feed
from standard.errors import ExtractError
from store.audit_log import Event, intent, operator
from store.home import Home
from store.ledger import Ledger, extract
from store.runs import hold_home

quarantine_app = typer.Typer(cls=Commands, help="What is held back, why, and how to mend it.", no_args_is_help=True)

ExtractArgument = Annotated[str, typer.Argument(metavar="EXTRACT", help="Id of the extract, as `list` shows it.")]
RecordArgument = Annotated[int, typer.Argument(metavar="RECORD", help="Number of the record in it.")]


@dataclass(frozen=True)
class OpenHome:
    """A home with its ledger."""

    home: Home
    ledger: Ledger

    def feed_of(self, extract_id: str) -> Feed:
        """The declaration of an extract's feed.

        Raises:
            ExtractError: There is no such extract.
        """
        query = sa.select(extract.c.agency, extract.c.feed).where(extract.c.extract_id == extract_id)
        with self.ledger.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise ExtractError("there is no such extract", where=extract_id, mend="see: kith quarantine list")
        settings = load_settings(self.home)
        folder = agency_folders(self.home, settings)[row.agency]
        return load_agency_of(folder, self.home, settings).feeds[row.feed]


@contextmanager
def opened(folder: HomeOption) -> Iterator[OpenHome]:
    """The home in a folder with its ledger, closed at the end."""
    home = home_at(folder)
    ledger = open_home_ledger(home, load_settings(home))
    try:
        yield OpenHome(home, ledger)
    finally:
        ledger.close()


@quarantine_app.command("list")
def list_rows(
    home: HomeOption = HERE,
    agency: Annotated[str | None, typer.Option(help="Only this agency.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only rows held for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Count what is in quarantine, then list its rows by file and line; no value is shown.

    \b
    Example: kith quarantine list --agency hillside_schools
    """
    from expectations.quarantine import count_quarantine, list_quarantine

    with opened(home) as at:
        agencies = load_agencies_of(at.home, load_settings(at.home))
        counts = [
            asdict(c) | {"name": shown_name(agencies, c.agency, c.feed, c.name)}
            for c in count_quarantine(at.home, at.ledger, agency=agency, feed=feed)
        ]
        names = {count["extract_id"]: count["name"] for count in counts}
        rows = [
            asdict(row) | {"name": names[row.extract_id]}
            for row in list_quarantine(at.home, at.ledger, agency=agency, feed=feed, reason=reason, limit=limit)
        ]
    shown = table(rows, ("extract_id", "name", "line", "record", "reason", "mend"))
    text = table(counts, empty="nothing is in quarantine") + (f"\n\n{shown}" if rows else "")
    answer({"counts": counts, "rows": rows}, text=text, as_json=as_json)


@quarantine_app.command("show")
def show_row(
    extract_id: ExtractArgument,
    record: RecordArgument,
    home: HomeOption = HERE,
    with_values: Annotated[bool, typer.Option("--with-values", help="Print the record as it was sent.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one row: where it stands, what was found of it, how to mend it; its values only where they are asked for.

    \b
    Example: kith quarantine show 3f2a90c1d4e5b6a7988f1c20 17
    """
    from expectations.quarantine import read_as_sent
    from expectations.quarantine import show_row as read_row
    from expectations.sealed_rows import require_shown

    with opened(home) as at:
        feed = at.feed_of(extract_id)
        require_shown(at.home, at.ledger, feed, extract_id=extract_id, record=record)
        shown = read_row(at.home, at.ledger, extract_id=extract_id, record=record)
        sent = read_as_sent(at.home, at.ledger, feed, extract_id=extract_id, record=record) if with_values else None
    place = f"line {shown.line}" if shown.line else "table row"
    reason = f" ({shown.reason})" if shown.reason else ""
    lines = [
        f"{shown.agency} {shown.feed}, {shown.name}, {place}, record {shown.record}",
        f"{shown.disposition}{reason}{', cleared since' if shown.cleared else ''}",
        *([f"mend: {shown.mend}"] if shown.mend else []),
        table([asdict(finding) for finding in shown.findings], empty="no findings"),
        *(f"{at_}: moved to {to} ({why}) by {who}" for at_, to, why, who in shown.moves),
        *([sent] if sent is not None else []),
    ]
    answer(asdict(shown) | ({"as_sent": sent} if with_values else {}), text="\n".join(lines), as_json=as_json)


@quarantine_app.command("release")
def release_row(
    extract_id: ExtractArgument,
    record: RecordArgument,
    who: Annotated[str, typer.Option(help="Who answers for it.")],
    why: Annotated[str, typer.Option(help="Why the row may be used; no personal value.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Bring a quarantined row into force on a person's word; the next run publishes it.

    \b
    Example: kith quarantine release 3f2a90c1d4e5b6a7988f1c20 17 --who "R. Steward" --why "confirmed by phone"
    """
    from expectations.retry import release_row as release

    with opened(home) as at, hold_home(at.home):
        feed = at.feed_of(extract_id)
        with intent(at.home, Event("quarantine.release", f"{extract_id}:{record}", operator())):
            release(at.home, at.ledger, feed, extract_id=extract_id, record=record, who=who, why=why)
    answer({"released": [extract_id, record]}, text="released; the next run publishes it", as_json=as_json)


def trace(
    what: Annotated[str, typer.Argument(metavar="FILE:LINE | EXTRACT:RECORD | MENTION | PERSON | ROW")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Follow a received row forward, or a person, mention or row of the record back to the lines they came from.

    \b
    Example: kith trace students_20260907.csv:4
    Example: kith trace 3f2a90c1d4e5b6a7988f1c20:17
    Example: kith trace hillside_schools/students/004211
    Example: kith trace 6QK3V0ZJ1ZP6B8H2MN5T7W9XYA
    """
    with opened(home) as at:
        value, text = _forward(at, what) if ":" in what else _back(at, what)
    answer(value, text=text, as_json=as_json)


def _forward(at: OpenHome, what: str) -> tuple[object, str]:
    from expectations.trace import find_record, trace_row

    name, _, number = what.rpartition(":")
    if not number.isdigit():
        raise typer.BadParameter(f"{number!r} is not the number of a line or record")
    place = (
        (name, int(number)) if _is_extract(at, name) else find_record(at.home, at.ledger, name=name, line=int(number))
    )
    found = trace_row(
        at.home,
        at.ledger,
        at.feed_of(place[0]),
        extract_id=place[0],
        record=_shown(at, *place, name=name, line=int(number)),
    )
    row = found.row
    stands = "in force" if found.in_force else f"not in force{f' ({found.instead})' if found.instead else ''}"
    lines = [
        f"{row.agency} {row.feed}, {row.name}, {f'line {row.line}' if row.line else 'table row'}, record {row.record}",
        f"{row.disposition} ({row.reason or 'no finding of error'}); {stands}",
        f"{'becomes' if found.in_force else 'would become'}: {', '.join(found.entities) or 'nothing of the record'}",
        table([asdict(finding) for finding in row.findings], empty="no findings"),
    ]
    return asdict(found), "\n".join(lines)


def _shown(at: OpenHome, extract_id: str, record: int, *, name: str, line: int) -> int:
    """The record that is told of. One under an order is passed over as a line on which no record begins."""
    from expectations.sealed_rows import is_under_order, require_shown

    feed = at.feed_of(extract_id)
    if name == extract_id:
        require_shown(at.home, at.ledger, feed, extract_id=extract_id, record=record)
        return record
    while record and is_under_order(at.home, at.ledger, feed, extract_id=extract_id, record=record):
        record -= 1
    if not record:
        raise ExtractError("no record begins on this line", where=f"{name}, line {line}", mend="give a later line")
    return record


def _is_extract(at: OpenHome, name: str) -> bool:
    with at.ledger.reading() as connection:
        return connection.execute(sa.select(extract.c.seq).where(extract.c.extract_id == name)).first() is not None


def _back(at: OpenHome, what: str) -> tuple[object, str]:
    from record.reader import open_record
    from record.trace import person_of, trace_back

    record = open_record(at.home)
    if "/" in what:
        what = person_of(record, what)
    # A person id has 26 letters and digits in capitals; a row id is hexadecimal.
    person = len(what) == 26 and what.isupper()
    if not person and not set(what) <= set(hexdigits):
        raise typer.BadParameter(
            f"{what!r} is no line (FILE:LINE), no mention (agency/table/key) and no id of the record"
        )
    origins = trace_back(record, at.ledger, **{"person_id" if person else "row_id": what})
    rows = [asdict(origin) for origin in origins]
    shown = table(rows, ("table", "agency", "feed", "source_key", "name", "line", "record", "as_of"))
    return rows, f"person {what}\n{shown}" if person else shown
