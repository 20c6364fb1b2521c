"""Checks compiled to SQL: one statement for the ids of all failing rows, one for the counts and the verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from expectations.kinds import Scope
from expectations.suites import Check
from store.home import literal, quoted


@dataclass(frozen=True)
class Outcome:
    """What came of one check: a verdict and counts, never a value of a row.

    `considered` are the rows it looks at (those of its condition that have a value), `unexpected` those that fail;
    None where it judges a whole column.
    """

    id: str
    holds: bool
    considered: int
    unexpected: int | None
    observed: float | None = None
    """A rounded measure of a whole column (a mean); None otherwise."""


def _columns(check: Check) -> list[str]:
    return [quoted(column) for column in check.columns]


def _considered(check: Check) -> str:
    """The condition under which a row is looked at."""
    parts = [quoted(check.condition)] if check.condition else []
    if not check.kind.nulls_count:
        parts += [f"{column} IS NOT NULL" for column in _columns(check)]
    return " AND ".join(parts) or "true"


def _fails(check: Check, relation: str) -> str:
    columns = _columns(check)
    if check.kind.scope is Scope.ROW:
        return f"({_considered(check)}) AND NOT ({check.kind.holds(columns, check.arguments)})"
    keys = ", ".join(columns)
    again = f"SELECT {keys} FROM {relation} WHERE {_considered(check)} GROUP BY ALL HAVING count(*) > 1"
    return f"({_considered(check)}) AND ({keys}) IN ({again})"


def failing_rows_sql(checks: Sequence[Check], relation: str) -> str:
    """One statement that gives `_record, number` for every failure of a row: `number` counts the checks from 0."""
    judged = [(number, check) for number, check in enumerate(checks) if check.kind.judges_rows]
    if not judged:
        return f"SELECT _record, NULL::INTEGER AS number FROM {relation} WHERE false"
    flags = ", ".join(f"coalesce({_fails(check, relation)}, false) AS f{number}" for number, check in judged)
    some = " OR ".join(f"f{number}" for number, _ in judged)
    numbers = ", ".join(f"CASE WHEN f{number} THEN {number} END" for number, _ in judged)
    return (
        f"SELECT _record, number FROM (SELECT _record, unnest([{numbers}])::INTEGER AS number"
        f" FROM (SELECT _record, {flags} FROM {relation}) WHERE {some}) WHERE number IS NOT NULL"
    )


def _observed(check: Check) -> str:
    where = _considered(check)
    return check.kind.observed.format(*_columns(check), where="" if where == "true" else f"FILTER (WHERE {where})")


def counts_sql(checks: Sequence[Check], relation: str) -> str:
    """One statement that gives `c0, o0, h0, c1, ...`: rows considered, measure observed and verdict of each check.

    Observed and verdict are NULL for checks that judge rows: theirs follow from the failing rows.
    """
    columns = []
    for number, check in enumerate(checks):
        columns.append(f"count(*) FILTER (WHERE {_considered(check)}) AS c{number}")
        if check.kind.judges_rows:
            columns += [f"NULL::DOUBLE AS o{number}", f"NULL::BOOLEAN AS h{number}"]
            continue
        seen = _observed(check)
        columns.append(f"{f'({seen})::DOUBLE' if check.kind.measured else 'NULL::DOUBLE'} AS o{number}")
        columns.append(f"({check.kind.holds([f'({seen})'], check.arguments)}) AS h{number}")
    return f"SELECT {', '.join(columns)} FROM {relation}"


def run_checks(
    con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str, *, into: str = "failing"
) -> list[Outcome]:
    """Evaluates checks on a relation with a column `_record`.

    Args:
        con: The connection that has the relation.
        checks: What must hold.
        relation: A table or view.
        into: The temporary table that is made: `_record, number`, one row for every failure of a row.

    Returns:
        The outcome of every check, in order. A column without any value is not judged as a whole.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS {failing_rows_sql(checks, relation)}")
    if not checks:
        return []
    counted = con.execute(f"SELECT number, count(*) FROM {into} GROUP BY number").fetchall()
    unexpected = {int(number): int(count) for number, count in counted}
    [values] = con.execute(counts_sql(checks, relation)).fetchall()
    return [
        _outcome(check, int(values[3 * n]), values[3 * n + 1], values[3 * n + 2], unexpected.get(n, 0))
        for n, check in enumerate(checks)
    ]


def _outcome(check: Check, considered: int, observed: float | None, holds: bool | None, unexpected: int) -> Outcome:
    if check.kind.judges_rows:
        return Outcome(check.id, holds_mostly(considered, unexpected, check.mostly), considered, unexpected)
    nothing = considered == 0 and check.kind.columns > 0
    return Outcome(check.id, True if nothing else bool(holds), considered, None, observed)


def holds_mostly(considered: int, unexpected: int, mostly: float) -> bool:
    """Whether enough of the rows that were looked at are as expected."""
    return considered == 0 or (considered - unexpected) / considered >= mostly


def disagreements(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> list[str]:
    """The ids of checks on which two engines differ: in the verdict, or in how many rows fail.

    A rounded measure that lies on its bound may fall on either side; it agrees where both saw the same measure. A
    column without any value is not judged as a whole, whatever an engine says of nothing.
    """
    return [a.id for a, b in zip(ours, theirs, strict=True) if not _agree(a, b)]


def _agree(a: Outcome, b: Outcome) -> bool:
    if a.holds == b.holds and a.unexpected == b.unexpected:
        return True
    if a.unexpected is None and a.considered == 0:
        return True
    if a.observed is None or b.observed is None:
        return False
    return math.isclose(a.observed, b.observed, rel_tol=1e-9, abs_tol=1e-12)


def number_sql(checks: Sequence[Check]) -> str:
    """The checks as an SQL relation `number, id, element, severity`, to be joined with the failing rows."""
    rows = ", ".join(
        f"({n}, {literal(check.id)}, {literal(check.element)}, '{check.severity}')" for n, check in enumerate(checks)
    )
    rows = rows or "(-1, '', '', '')"
    return f"(VALUES {rows}) AS checks(number, id, element, severity)"
