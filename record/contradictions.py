"""What agencies say of one person that cannot all be true, with its sources; which of them is right is not for us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self

import duckdb
import pyarrow as pa
from pydantic import Field, model_validator

from record.in_force import working_database
from record.reader import attach_tables
from record.snapshot import Snapshot
from record.tables import SUBJECTS
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError, PublishError
from store.home import literal, quoted

DECLARED = Path(__file__).with_name("contradictions.yaml")


class Statement(Declared):
    """Rows of one table that say something of a person."""

    says: str = ""
    table: str
    value: str = "NULL"
    """SQL of what is said, where statements are compared by it; it never leaves this module."""
    from_: str = Field(default="NULL", alias="from")
    until: str = "NULL"
    where: str = "true"
    through: Literal["case", "report"] | None = None
    roles: tuple[str, ...] = ()


class Contradiction(Declared):
    """One kind of contradiction."""

    title: str
    contradicts: str
    tolerance: str
    period: str
    form: Literal["differ", "against", "without"]
    """`differ`: the values of `left` differ between agencies; `against`: a statement of `left` and one of `right` for
    which `when` holds; `without`: one of `left` for which there is none of `right`."""
    says: str = ""
    left: tuple[Statement, ...]
    right: tuple[Statement, ...] = ()
    when: str = "true"
    hint: str = "false"
    """SQL over two sources `l` and `r`: whether the two may be two persons."""

    @model_validator(mode="after")
    def _two_sides_where_two_are_compared(self) -> Self:
        if (self.form == "differ") != (not self.right):
            raise ValueError("form differ has a left side only, the others have both")
        return self


class _Contradictions(Declared):
    contradictions: dict[str, Contradiction]


SCHEMA = pa.schema({
    "kind": pa.string(), "person_id": pa.string(), "says": pa.string(), "agency": pa.string(), "table": pa.string(),
    "source_key": pa.string(), "as_of": pa.date32(), "row_id": pa.string(), "person_ref": pa.string(),
    "explain_l": pa.string(), "explain_r": pa.string(),
})  # fmt: skip
"""One row for each source of a contradiction; `explain_l` and `explain_r`: two mentions that may be two persons."""


@dataclass(frozen=True)
class Counted:
    """How many persons a kind of contradiction is about, and of how many it may mean that two persons were joined."""

    kind: str
    declared: Contradiction
    persons: int
    hints: int


@cache
def contradictions() -> Mapping[str, Contradiction]:
    """All kinds by name.

    Raises:
        DeclarationError: A declaration is wrong; with file and line.
    """
    return read_declaration(DECLARED, _Contradictions).contradictions


def find_contradictions(snapshot: Snapshot, kinds: Iterable[str] | None = None, *, temp: Path) -> pa.Table:
    """The sources of the contradictions in a snapshot (SCHEMA), sorted. What is withheld has no part in it.

    Args:
        snapshot: A published snapshot.
        kinds: Those wanted; all without it.
        temp: Where a private folder for what does not fit into memory may be made.

    Raises:
        DeclarationError: There is no such kind.
        PublishError: The tables of the snapshot were withdrawn.
    """
    with _opened(snapshot, temp) as con:
        found = [con.sql(_sources_sql(kind, declared)).to_arrow_table() for kind, declared in _chosen(kinds).items()]
    return pa.concat_tables([SCHEMA.empty_table(), *(table.cast(SCHEMA) for table in found)])


def count_contradictions(snapshot: Snapshot, *, temp: Path) -> list[Counted]:
    """The kinds with how many persons each is about; no person is named.

    Args:
        snapshot: A published snapshot.
        temp: Where a private folder for what does not fit into memory may be made.
    """
    counted = []
    with _opened(snapshot, temp) as con:
        for kind, declared in contradictions().items():
            query = f"""SELECT count(DISTINCT person_id), count(DISTINCT person_id) FILTER (explain_l IS NOT NULL)
                FROM ({_sources_sql(kind, declared)})"""
            counted.append(Counted(kind, declared, *con.execute(query).fetchall()[0]))
    return counted


def _chosen(kinds: Iterable[str] | None) -> Mapping[str, Contradiction]:
    known = contradictions()
    wanted = list(known if kinds is None else kinds)
    for kind in wanted:
        if kind not in known:
            raise DeclarationError(f"there is no contradiction {kind!r}", where="the command", mend=", ".join(known))
    return {kind: known[kind] for kind in wanted}


@contextmanager
def _opened(snapshot: Snapshot, temp: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view for each table of the snapshot."""
    with working_database(temp) as con:
        withdrawn = [name for name in snapshot.manifest["tables"] if not snapshot.table(name).is_file()]
        if withdrawn:
            raise PublishError(
                f"the table {withdrawn[0]} of this snapshot was withdrawn: a court's order now covers rows in it",
                where=str(snapshot.table(withdrawn[0])), mend="open the current snapshot",
            )  # fmt: skip
        attach_tables(con, snapshot)
        yield con


def _sources_sql(kind: str, declared: Contradiction) -> str:
    """SELECT of the columns of SCHEMA: the sources of every contradiction of a kind."""
    make = {"differ": _differ_sql, "against": _against_sql, "without": _without_sql}[declared.form]
    return f"""
        WITH left_said AS MATERIALIZED ({_said_sql(declared.left)}),
        {make(declared)},
        -- A person's word that two mentions are one is not asked for again.
        suspect AS (SELECT person_id, min({{'l': l_ref, 'r': r_ref}}) AS refs FROM pair
            WHERE hints AND l_ref <> r_ref AND NOT EXISTS
                (FROM person_source j WHERE j.how = 'judged' AND j.person_ref IN (l_ref, r_ref)) GROUP BY ALL)
        SELECT {literal(kind)} AS kind, s.person_id, s.says, s.agency, s."table", s.source_key, s.as_of, s.row_id,
            s.person_ref, h.refs.l AS explain_l, h.refs.r AS explain_r
        FROM source s LEFT JOIN suspect h USING (person_id) ORDER BY ALL"""


def _said_sql(statements: Sequence[Statement]) -> str:
    return " UNION ALL ".join(map(_statement_sql, statements))


def _statement_sql(statement: Statement) -> str:
    table = quoted(statement.table)
    if statement.through:
        people, shared = SUBJECTS[statement.through]
        roles = ", ".join(map(literal, statement.roles))
        table = f"""(SELECT t.*, p.person_id, p.person_ref FROM {table} t JOIN (SELECT {shared}, person_id,
            min(person_ref) AS person_ref FROM {people} WHERE role IN ({roles}) GROUP BY ALL) p USING ({shared}))"""
    return f"""SELECT person_id, person_ref, CAST({statement.value} AS VARCHAR) AS value,
            CAST({statement.from_} AS DATE) AS from_day, CAST({statement.until} AS DATE) AS until_day,
            {literal(statement.says)} AS says, agency_id AS agency, feed AS "table", source_key, as_of, row_id
        FROM {table} WHERE person_id IS NOT NULL AND ({statement.where})"""


def _differ_sql(declared: Contradiction) -> str:
    """Values that differ between agencies: numbered in the order of who says them, so that no number tells a value."""
    number = "dense_rank() OVER (PARTITION BY person_id ORDER BY first_said, value)"
    return f"""
        about AS (SELECT person_id FROM left_said GROUP BY ALL
            HAVING count(DISTINCT value) > 1 AND count(DISTINCT agency) > 1),
        source AS (SELECT * REPLACE ({literal(declared.says + " ")} || {number} AS says)
            FROM (SELECT *, min(person_ref) OVER (PARTITION BY person_id, value) AS first_said
                FROM left_said SEMI JOIN about USING (person_id))),
        one AS (SELECT DISTINCT person_id, person_ref, agency, value FROM left_said SEMI JOIN about USING (person_id)),
        pair AS (SELECT l.person_id, l.person_ref AS l_ref, r.person_ref AS r_ref, ({declared.hint}) AS hints
            FROM one l JOIN one r USING (person_id) WHERE l.agency < r.agency AND l.value <> r.value)"""


def _right_sql(declared: Contradiction) -> str:
    """The right side, of the persons of the left one only: most of a county is on one side alone."""
    return f"""right_all AS NOT MATERIALIZED ({_said_sql(declared.right)}),
        right_said AS MATERIALIZED (FROM right_all SEMI JOIN left_said USING (person_id))"""


def _against_sql(declared: Contradiction) -> str:
    named = "person_id, says, row_id"
    return f"""
        {_right_sql(declared)},
        pair AS MATERIALIZED (SELECT l.person_id, l.says AS l_says, l.row_id AS l_row, l.person_ref AS l_ref,
                r.says AS r_says, r.row_id AS r_row, r.person_ref AS r_ref, ({declared.hint}) AS hints
            FROM left_said l JOIN right_said r USING (person_id) WHERE ({declared.when})),
        source AS (
            FROM left_said WHERE ({named}) IN (SELECT (person_id, l_says, l_row) FROM pair) UNION ALL
            FROM right_said WHERE ({named}) IN (SELECT (person_id, r_says, r_row) FROM pair))"""


def _without_sql(declared: Contradiction) -> str:
    """Where nobody sends a row of the right side at all, nothing is contradicted."""
    return f"""
        {_right_sql(declared)},
        source AS (SELECT l.* FROM left_said l WHERE EXISTS (FROM right_all) AND NOT EXISTS
            (SELECT 1 FROM right_said r WHERE r.person_id = l.person_id AND ({declared.when}))),
        pair AS (SELECT person_id, NULL::VARCHAR AS l_ref, NULL::VARCHAR AS r_ref, false AS hints
            FROM left_said WHERE false)"""
