"""What is held back, row by row: why, and how to mend it; never a value but where a person asks for the line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import sqlalchemy as sa

from expectations.retry import open_extract, open_quarantines, rows_now
from expectations.suites import expectations_of
from mappings.declarations import Feed
from standard.errors import ExtractError
from standard.schema import entities
from store.extracts import Batch
from store.home import Home, connect, literal
from store.ledger import Ledger, row_move

MENDS = {
    "blank_required": "fill the element, the row cannot be used without it",
    "unparsable_date": "write the date in the declared format, or leave it empty",
    "unparsable_number": "write the number in digits",
    "unparsable_boolean": "use one of the declared words for yes and no",
    "sentinel_date": "leave an unknown date empty",
    "future_date": "check the year: the date is later than it can be",
    "placeholder_value": "leave an unknown value empty",
    "unmapped_code": "say what the code means, so that the exchange can add it to its crosswalk",
    "not_applied_code": "nothing: the code has no common term and is kept as sent",
    "bad_identifier": "check the number",
    "damaged_identifier": "send the file as exported: a spreadsheet has thrown digits away",
    "damaged_text": "send the file as exported: a spreadsheet shows an error where the text should stand",
    "repaired_identifier": "send the number as it is: zeros were dropped, or signs put in that only look like its own,"
    " as a spreadsheet does; it was put right",
    "repaired_excel_date": "send the file as exported: a spreadsheet has turned the date into a number",
    "repaired_text": "send the file in the declared encoding: text was encoded twice and was repaired",
    "replaced_bytes": "send the file in the declared encoding: bytes that are no character were replaced",
    "too_long": "shorten the text, or send it in a column of its own",
    "no_key": "fill the key columns, the row cannot be used without them",
    "conflicting_key": "send one row for the key, or a version by which to choose",
    "delete_unknown_key": "check the key: nothing of this key is in force; the delete is tried again by itself",
    "orphan": "send the row it refers to; this row is tried again by itself",
    "ragged": "send the record with as many fields as the header has",
    "short_record": "send the record in its full length",
    "long_record": "send each record on a line of its own: a line end was lost within this one",
    "unknown_record": "send records of the types that the layout describes, or describe this one in the layout",
    "no_parent": "send the record after the one it belongs to, and that one in a form that can be read",
    "unclosed_quote": "close the quote, or double each quote that belongs to the text",
    "not_this_feed": "send the file in the layout of this feed, with its header",
    "bad_json": "send one whole JSON value a line, in which no name stands twice",
    "truncated": "send the whole file again",
    "spreadsheet_damage": "send the file as exported, not as a spreadsheet saved it: it changed numbers or dates",
    "wrong_sender": "check which agency's file this is",
    "layout": "send the file in the agreed layout, or declare the new one",
    "empty": "send the file again: it holds no record",
    "missing_column": "send the column again; if it has another name now, or is gone for good, tell the exchange",
    "new_column": "tell the exchange what it holds, and whether it is a column under a new name; else leave it out",
    "repeated_column": "send each column once",
    "wrong_delimiter": "send the file with the agreed delimiter",
    "missing_header": "send the file with its header as the first line",
    "several_sheets": "send one sheet, or agree with the exchange which one is read",
    "no_sheet": "give the sheet the agreed name",
    "no_final_line_end": "look whether the file is whole; if not, send it again",
    "no_agreement": "sign or renew the agreement that covers the feed: kith agreement check",
    "unlisted": "send the manifest that lists this file",
    "mass_withdrawal": "check that the file is whole; a person may then release it",
    "error_limit": "send the file again: too many of its rows are in error",
    "unreadable": "send the file again in the declared encoding and layout",
}  # fmt: skip
"""Reason or problem code -> what the agency can do, in its own words."""


@dataclass(frozen=True)
class Count:
    """How many rows of an extract are in quarantine for one reason."""

    agency: str
    feed: str
    extract_id: str
    name: str
    reason: str
    rows: int
    cleared: int


@dataclass(frozen=True)
class HeldRow:
    """One row in quarantine."""

    extract_id: str
    name: str
    line: int | None
    record: int
    reason: str
    mend: str
    cleared: bool


@dataclass(frozen=True)
class Finding:
    """Something found of a row: the element, the rule, how grave, and how to mend it."""

    element: str
    rule: str
    severity: str
    code: str
    mend: str


@dataclass(frozen=True)
class Shown:
    """One row with all that is known of its way."""

    agency: str
    feed: str
    extract_id: str
    name: str
    line: int | None
    record: int
    disposition: str
    reason: str
    cleared: bool
    mend: str
    findings: tuple[Finding, ...]
    moves: tuple[tuple[str, str, str, str], ...]
    """(at, where to, reason, who) of every move since the extract was checked."""


def mend_of(code: str) -> str:
    """How to mend what a reason, a problem code or an expectation's id names."""
    entity, _, name = code.partition("#")[0].partition(".")
    if name and entity in entities():
        return next((e.mend for e in expectations_of(entity) if e.id == name), "")
    return MENDS.get(code, "")


def count_quarantine(home: Home, ledger: Ledger, *, agency: str | None = None, feed: str | None = None) -> list[Count]:
    """The quarantine by agency, feed, extract and reason; an extract cleared as a whole is left out."""
    counts = []
    for batch, con, rows in _open(home, ledger, agency=agency, feed=feed):
        found = con.execute(
            f"SELECT reason, count(*), count(*) FILTER (WHERE cleared) FROM {rows}"
            " WHERE disposition = 'quarantined' GROUP BY reason ORDER BY reason"
        ).fetchall()
        of = batch.extract
        counts += [Count(of.agency, of.feed, of.extract_id, of.name, str(r), int(n), int(c)) for r, n, c in found]
    return counts


def list_quarantine(
    home: Home,
    ledger: Ledger,
    *,
    agency: str | None = None,
    feed: str | None = None,
    extract_id: str | None = None,
    reason: str | None = None,
    limit: int = 100,
) -> list[HeldRow]:
    """The rows in quarantine that nothing newer has cleared, in order of arrival."""
    held: list[HeldRow] = []
    chosen = f" AND reason = {literal(reason)}" if reason is not None else ""
    for batch, con, rows in _open(home, ledger, agency=agency, feed=feed, extract_id=extract_id):
        found = con.execute(
            f"SELECT _line, _record, reason FROM {rows} WHERE disposition = 'quarantined' AND NOT cleared{chosen}"
            f" ORDER BY _record LIMIT {limit - len(held)}"
        ).fetchall()
        of = batch.extract
        held += [
            HeldRow(of.extract_id, of.name, line, int(n), str(why), mend_of(str(why)), False) for line, n, why in found
        ]
        if len(held) >= limit:
            break
    return held


def _open(
    home: Home, ledger: Ledger, *, agency: str | None, feed: str | None, extract_id: str | None = None
) -> Iterator[tuple[Batch, duckdb.DuckDBPyConnection, str]]:
    """Each extract with rows in quarantine, a connection, and its rows as they stand now as SQL."""
    for each in open_quarantines(ledger, agency=agency, feed=feed, extract_id=extract_id):
        batch = open_extract(home, ledger, each)
        with connect() as con:
            yield batch, con, rows_now(con, ledger, batch)


def show_row(home: Home, ledger: Ledger, *, extract_id: str, record: int) -> Shown:
    """One row of an extract: where it stands, what was found of it, and how it moved since.

    Raises:
        ExtractError: There is no such row.
    """
    batch = open_extract(home, ledger, extract_id)
    of = batch.extract
    with connect() as con:
        rows = con.execute(
            f"SELECT _line, disposition, reason, cleared FROM {rows_now(con, ledger, batch)}"
            f" WHERE _record = {int(record)}"
        ).fetchall()
        if not rows:
            raise ExtractError(
                "there is no such row", where=f"extract {extract_id}, record {record}", mend="see: kith quarantine list"
            )
        found = con.execute(
            f"SELECT element, rule, severity, code FROM read_parquet({literal(batch.folder / 'findings.parquet')})"
            f" WHERE _record = {int(record)} ORDER BY ALL"
        ).fetchall()
    line, disposition, reason, cleared = rows[0]
    findings = tuple(Finding(element, rule, severity, code, mend_of(code)) for element, rule, severity, code in found)
    return Shown(
        of.agency, of.feed, extract_id, of.name, line, int(record), disposition, reason, bool(cleared),
        mend_of(reason), findings, _moves_of(ledger, extract_id, record),
    )  # fmt: skip


def _moves_of(ledger: Ledger, extract_id: str, record: int) -> tuple[tuple[str, str, str, str], ...]:
    query = (
        sa.select(row_move.c.at, row_move.c.to_disposition, row_move.c.reason, row_move.c.who)
        .where(row_move.c.extract_id == extract_id, row_move.c.record.in_([record, 0])).order_by(row_move.c.move_id)
    )  # fmt: skip
    with ledger.reading() as connection:
        return tuple((at, to, reason, who) for at, to, reason, who in connection.execute(query))


def read_as_sent(home: Home, ledger: Ledger, feed: Feed, *, extract_id: str, record: int) -> str:
    """The record as the agency sent it. It holds a person's values: for a terminal, never for a log or a file.

    Raises:
        ExtractError: There is no such row, or its line cannot be told.
    """
    batch = open_extract(home, ledger, extract_id)
    feed = feed.of_day(batch.extract.as_of)
    if feed.format.kind in ("table", "excel"):
        return _table_row(batch, record)
    line, after = _lines_of(batch, record)
    with batch.extract.path.open(encoding=feed.format.encoding, errors="replace", newline="") as lines:
        wanted = (text for number, text in enumerate(lines, start=1) if number >= line)
        taken = [next(wanted, "")]
        while after is not None and line + len(taken) < after:
            taken.append(next(wanted, ""))
    return "".join(taken).rstrip("\r\n")


def _lines_of(batch: Batch, record: int) -> tuple[int, int | None]:
    """The first line of a record and of the one that follows it."""
    files = ", ".join(literal(path) for path in (batch.mapped, batch.unreadable) if path.exists())
    with connect() as con:
        lines = f"SELECT _record, _line FROM read_parquet([{files}], union_by_name = true)"
        found = con.execute(
            f"SELECT _line, (SELECT min(_line) FROM ({lines}) b WHERE b._line > a._line) FROM ({lines}) a"
            f" WHERE _record = {int(record)}"
        ).fetchall()
    if not found or found[0][0] is None:
        where = f"extract {batch.extract.extract_id}, record {record}"
        raise ExtractError("the line of this row is not known", where=where, mend="see: kith quarantine list")
    return int(found[0][0]), found[0][1]


def _table_row(batch: Batch, record: int) -> str:
    """A row of a table or a sheet as its elements were read."""
    with connect() as con:
        relation = con.sql(f"SELECT * FROM read_parquet({literal(batch.mapped)}) WHERE _record = {int(record)}")
        rows = relation.fetchall()
        names = list(relation.columns)
    if not rows:
        where = f"extract {batch.extract.extract_id}, record {record}"
        raise ExtractError("there is no such row", where=where, mend="see: kith quarantine list")
    told = (f"{name} = {value}" for name, value in zip(names, rows[0], strict=True) if not name.startswith("_"))
    return "\n".join(told)
