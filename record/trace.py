"""From a value of the record back to the agency, file and line it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb
import sqlalchemy as sa

from record.in_force import PERSON_PARTNERS
from record.reader import Record
from standard.errors import PublishError
from store import ledger as tables
from store.home import quoted
from store.ledger import Ledger

_PEOPLE = ("person_id", *(partner for partner in PERSON_PARTNERS.values() if partner != "person_id"))


@dataclass(frozen=True)
class Origin:
    """Where one row of the record came from.

    Attributes:
        table: Table of the record.
        row_id: The row in it.
        agency: Agency that sent it.
        feed: Table or file, as the agency names it.
        source_key: Key of the row there.
        extract_id: The extract whose version of the row is in force.
        name: Name of the file as sent, or of the table.
        record: Record number in the extract (1 = first data record).
        line: Line of the file on which the record starts; None for tables.
        as_of: Day the extract speaks for.
    """

    table: str
    row_id: str
    agency: str
    feed: str
    source_key: str
    extract_id: str
    name: str
    record: int
    line: int | None
    as_of: date


def trace_back(
    record: Record, ledger: Ledger, *, person_id: str | None = None, row_id: str | None = None
) -> list[Origin]:
    """Where the rows about a person, or one row, came from.

    Args:
        record: A pinned snapshot.
        ledger: The control plane, which knows the files' names.
        person_id: A person of the record: all rows in which the person has a part of its own.
        row_id: A row of any entity table.

    Raises:
        PublishError: The snapshot has no such person or row.
    """
    if (person_id is None) == (row_id is None):
        raise PublishError("name either a person or a row", mend="kith trace --help shows both")
    names = _file_names(ledger)
    with record.to_duckdb() as con:
        found = [_origin(line, names) for line in _rows(con, record, person_id, row_id)]
    if not found:
        what = "person" if person_id is not None else "row"
        raise PublishError(
            f"no row of the record belongs to this {what}",
            where=f"snapshot {record.snapshot_id}",
            mend="check the id; it may have been withheld or merged since, or stand in an earlier snapshot",
        )
    return found


def person_of(record: Record, mention: str) -> str:
    """The person of the record to whom a mention (agency/table/key) belongs.

    Raises:
        PublishError: The snapshot has no such mention.
    """
    with record.to_duckdb() as con:
        found = con.execute("SELECT person_id FROM person_source WHERE person_ref = $1", [mention]).fetchall()
    if not found:
        raise PublishError(
            "the record has no such mention",
            where=f"snapshot {record.snapshot_id}",
            mend="write it as agency/table/key, as person_source has it; it may be withheld or quarantined",
        )
    return str(found[0][0])


def _rows(
    con: duckdb.DuckDBPyConnection, record: Record, person_id: str | None, row_id: str | None
) -> Iterator[tuple[str, ...]]:
    for table in record.tables():
        columns = record.manifest["tables"][table]["columns"]
        people = [column for column in _PEOPLE if column in columns]
        if "extract_id" not in columns or (person_id is not None and not people):
            continue
        wanted = " OR ".join(f"{column} = $1" for column in people) if person_id is not None else "row_id = $1"
        yield from con.execute(
            f"""SELECT '{table}', row_id, agency_id, feed, source_key, extract_id, record, line, as_of
                FROM {quoted(table)} WHERE {wanted} ORDER BY agency_id, feed, source_key, row_id""",
            [person_id if person_id is not None else row_id],
        ).fetchall()


def _origin(line: tuple[str, ...], names: dict[str, str]) -> Origin:
    table, row_id, agency, feed, key, extract_id, number, at, as_of = line
    name = names.get(extract_id, "")
    return Origin(table, row_id, agency, feed, key, extract_id, name, number, at, as_of)  # type: ignore[arg-type]


def _file_names(ledger: Ledger) -> dict[str, str]:
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(tables.extract.c.extract_id, tables.extract.c.name)).all()
    return {row.extract_id: row.name for row in rows}
