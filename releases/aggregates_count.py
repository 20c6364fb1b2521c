"""Count what a policy lets out of a table of the record: each person once, by which values, which cells are small."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import duckdb

from governance.agreements import Aggregates
from governance.apply import decision_table, log_refusals
from governance.decide import Terms
from governance.load import Governance
from governance.subjects import attach_subjects, read_registers
from record.classes import column_classes
from releases.aggregates_register import Dimension, Kept
from releases.suppression import Key
from store.home import quoted
from store.ledger import Ledger

Measure = Literal["persons", "rows"]
TOTAL, MISSING, SEVERAL = "(total)", "(missing)", "(several)"
"""How a table writes: all values; no value; a person with several values in the rows that are counted."""
COARSENED = {"year": "date_trunc('year', {})::DATE", "month": "date_trunc('month', {})::DATE"}
_ROWS_OF = {"person": "r.person_id", "person_source": "r.person_ref", "timeline": "r.row_id || '/' || r.person_id"}
"""SQL that tells the rows of the tables apart that are no entities."""


@dataclass(frozen=True)
class Request:
    """A table that is asked for: of which table of the record, counted by which columns, what, at which moment.

    `at` names the table with the policy; `day` is the day on which agreements and consents are judged.
    """

    policy: str
    table: str
    by: tuple[str, ...]
    measure: Measure
    at: datetime
    day: date


@dataclass(frozen=True)
class Counted:
    """What was counted: finest combinations of every dimension, small cells of the table asked for, whom they count."""

    atoms: Mapping[tuple[str, ...], int]
    small: frozenset[Key]
    members: Mapping[tuple[Dimension, ...], Mapping[Key, str]]
    """Dimensions of a table -> its finest cells -> a hash of whom they count."""


def joint_dimensions(dims: Sequence[Dimension], before: Sequence[Kept]) -> tuple[Dimension, ...]:
    """The dimensions of a table and of those before, in one order."""
    every = {*dims, *(d for kept in before for d in kept.dims)}
    return tuple(sorted(every, key=lambda d: d.name))


def attach_units(
    con: duckdb.DuckDBPyConnection, ledger: Ledger, governance: Governance, terms: Terms, request: Request,
    every: Sequence[Dimension], snapshot_id: str,
) -> dict[str, int]:  # fmt: skip
    """Makes the table `unit`: who (a person or row), person, and the value of every dimension; gives what is refused.

    A person is counted once: of whom the rows tell several values of a dimension, that one is `(several)`.
    """
    attach_subjects(con, terms, governance.parties, read_registers(ledger), day=request.day)
    person, row = _identities(request.table)
    values = {d.name: COARSENED.get(d.treatment or "", "{}").format(f"r.{quoted(d.column)}") for d in every}
    beside = {f"_dim_{name}": f"coalesce(({sql})::VARCHAR, '{MISSING}')" for name, sql in values.items()}
    decided = decision_table(
        con, governance, terms, request.table, day=request.day,
        treat={"pseudonym": lambda _column, sql: sql, "shifted": lambda _column, sql: sql},
        beside={**beside, "_person": f"coalesce({person}, {row})", "_row": row, "_about": person},
    )  # fmt: skip
    log_refusals(ledger, terms, decided, snapshot_id=snapshot_id, day=request.day)
    con.register("refused_kind", decided.reasons)
    by = ", ".join(f"'{column}'" for column in request.by)
    con.execute(f"""CREATE TEMP TABLE counted AS SELECT * FROM ({decided.sql})
        WHERE _kind NOT IN (SELECT kind FROM refused_kind WHERE "column" IN ({by}))""")
    names = [quoted(f"_dim_{d.name}") for d in every]
    if request.measure == "rows":
        columns = ", ".join(f"{name} AS {quoted(d.name)}" for name, d in zip(names, every, strict=True))
        con.execute(f"CREATE TEMP TABLE unit AS SELECT _row AS who, _person AS person, {columns} FROM counted")
    else:
        columns = ", ".join(
            f"CASE WHEN count(DISTINCT {name}) = 1 THEN min({name}) ELSE '{SEVERAL}' END AS {quoted(d.name)}"
            for name, d in zip(names, every, strict=True)
        )
        con.execute(f"""CREATE TEMP TABLE unit AS SELECT _about AS who, _about AS person, {columns} FROM counted
            WHERE _about IS NOT NULL GROUP BY _about""")
    reasons: dict[str, int] = {}
    for refusal in decided.refusals:
        if refusal.column in request.by:
            reasons[str(refusal.reason)] = reasons.get(str(refusal.reason), 0) + refusal.cells
    return reasons


def _identities(table: str) -> tuple[str, str]:
    """SQL of the person and of the row itself."""
    person = "r.person_id" if "person_id" in column_classes()[table] else "NULL::VARCHAR"
    return person, _ROWS_OF.get(table, "r.row_id")


def count_units(
    con: duckdb.DuckDBPyConnection, rules: Aggregates, dims: tuple[Dimension, ...], before: Sequence[Kept]
) -> Counted:
    """Counts the table `unit` for a table that is asked for, and for those that the recipient has."""
    every = ", ".join(quoted(d.name) for d in joint_dimensions(dims, before))
    atoms = {
        tuple(row[:-1]): row[-1] for row in con.execute(f"SELECT {every}, count(*) FROM unit GROUP BY ALL").fetchall()
    }
    members = {each: _members(con, each) for each in {dims, *(kept.dims for kept in before)}}
    return Counted(atoms, _small(con, rules, dims), members)


def _members(con: duckdb.DuckDBPyConnection, dims: Sequence[Dimension]) -> dict[Key, str]:
    """Finest cell -> a hash of whom it counts, whatever their order."""
    names = ", ".join(quoted(d.name) for d in dims)
    query = f"SELECT {names}, count(*) || '-' || sum(md5_number_lower(who)::HUGEINT)::VARCHAR FROM unit GROUP BY ALL"
    return {tuple(row[:-1]): hashlib.sha256(row[-1].encode()).hexdigest()[:20] for row in con.execute(query).fetchall()}


def _small(con: duckdb.DuckDBPyConnection, rules: Aggregates, dims: Sequence[Dimension]) -> frozenset[Key]:
    """The cells that must not be told: of too few persons or rows, or where a few persons make up nearly all rows."""
    names = ", ".join(quoted(d.name) for d in dims)
    most, share = rules.dominance or (0, 1.0)
    few = f"count(*) < {rules.min_cell} OR sum(n) < {rules.min_cell}"
    rule = f"{few} OR list_sum(list_slice(list_sort(list(n), 'DESC'), 1, {most})) > {share} * sum(n)" if most else few
    query = f"""SELECT {names} FROM (SELECT {names}, person, count(*) AS n FROM unit GROUP BY CUBE ({names}), person)
        GROUP BY {names} HAVING {rule}"""
    return frozenset(tuple(row) for row in con.execute(query).fetchall())
