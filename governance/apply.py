"""Decisions over whole tables: one decision for each distinct tuple, joined to the rows set-based in DuckDB."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

import duckdb
import pyarrow as pa

from governance.decide import Decision, Request, Terms, decide
from governance.load import Governance
from governance.policies import tells_who_knows
from governance.rules import CONSENT_ORDER, Consent, Reason, class_of_sector
from governance.subjects import CONSENT_CLASSES, flags_sql
from record.classes import column_classes
from standard.errors import DeclarationError
from standard.sensitivity import Sensitivity
from store.home import quoted
from store.ledger import Ledger, now
from store.registers import decision_refused

log = logging.getLogger(__name__)

Treat = Callable[[str, str], str]
"""(column, its SQL) -> SQL of what a treatment makes of it; the whole row is there as `r`."""
_REASONS = pa.schema([("kind", pa.int32()), ("column", pa.string()), ("reason", pa.string())])
_FLAGS = ("agency", "sealed", "location_protected", "age_band", "open_case", "identity_certain")
_OWN_TREATMENTS: Mapping[str, Treat] = {
    "year": lambda _, own: f"date_trunc('year', {own})::DATE",
    "month": lambda _, own: f"date_trunc('month', {own})::DATE",
}


@dataclass(frozen=True)
class Kind:
    """Rows of a table that no decision tells apart: a number, what they share, how many they are."""

    number: int
    flags: Mapping[str, object]
    rows: int


@dataclass(frozen=True)
class Refusal:
    """Cells of one tuple that are refused."""

    agency: str
    table: str
    column: str
    sensitivity: Sensitivity
    flags: str
    reason: Reason
    cells: int

    @property
    def shown(self) -> Reason:
        """What the recipient is told."""
        return Reason.NO_CASE_LINK if self.reason is Reason.SEALED else self.reason


@dataclass(frozen=True)
class Decisions:
    """What of one table goes out.

    Attributes:
        table: The table of the record.
        columns: The columns the policy asks for, in the table's order.
        sql: Query of the rows that go out, refused values NULL, treatments done; rows of which nothing goes out are not
            in it. It reads temporary tables of the connection that was given.
        allowed_cells: How many values may go out (NULL among them).
        refusals: What is refused, by tuple.
        reasons: `kind, column, reason` of what is refused, for who asked for every row.
    """

    table: str
    columns: tuple[str, ...]
    sql: str
    allowed_cells: int
    refusals: tuple[Refusal, ...]
    reasons: pa.Table


def decision_table(
    con: duckdb.DuckDBPyConnection, governance: Governance, terms: Terms, table: str, *, day: date,
    treat: Mapping[str, Treat] | None = None, beside: Mapping[str, str] | None = None,
) -> Decisions:  # fmt: skip
    """Decides on every value of a table that the policy asks for.

    Args:
        con: A connection with the record's tables by name, after `attach_subjects` for the same terms and day.
        governance: What is agreed; it tells the sectors of the agencies.
        terms: By what is decided.
        table: Table of the record that the policy names.
        day: The day of the decision.
        treat: Treatment -> how it is done, for those that are not `year` or `month` (a pseudonym needs a key).
        beside: For the exchange itself: further columns -> their SQL over the row `r`. Then `sql` gives every row,
            those that do not go out, too, with `_out` (whether it does) and `_kind` (see `Decisions.reasons`).

    Raises:
        DeclarationError: The policy names a treatment that nobody does.
    """
    columns = tuple(terms.policy.chosen()[table])
    sources = {name: class_of_sector(agency.sector) for name, agency in governance.agencies.items()}
    sources[terms.hub] = class_of_sector(None)
    of_column = {column: terms.policy.class_of(table, column) for column in columns}
    consents = [name for name in CONSENT_CLASSES if name in {*of_column.values(), *sources.values()}]
    kinds = _find_kinds(con, table, consents, hub=terms.hub)
    ask = cache(lambda request: decide(terms, request))
    knowing = _knowing_agencies(con) if table == "person" else []
    allowed: dict[str, list[bool]] = {column: [] for column in columns}
    refusals: list[Refusal] = []
    reasons: list[tuple[int, str, str]] = []
    for kind in kinds:
        for column in columns:
            asked = [
                _request(terms, table, column, of_column[column], kind, sources, day, agency)
                for agency in (str(kind.flags["agency"]), *(knowing if tells_who_knows(table, column) else ()))
            ]
            request, decision = next(((r, d) for r in asked if not (d := ask(r)).allowed), (asked[0], ask(asked[0])))
            allowed[column].append(decision.allowed)
            refusals += _refusal(request, kind, decision, of_column[column])
            reasons += [(kind.number, column, str(decision.reason))] if decision.reason else []
    con.register(f"allowed_{table}", _allowed_table(kinds, allowed))
    cells = sum(kind.rows for n, kind in enumerate(kinds) for column in columns if allowed[column][n])
    sql = _sql(terms, table, columns, consents, treat or {}, beside)
    told = {name: [reason[n] for reason in reasons] for n, name in enumerate(_REASONS.names)}
    return Decisions(table, columns, sql, cells, tuple(refusals), pa.table(told, schema=_REASONS))


def _find_kinds(con: duckdb.DuckDBPyConnection, table: str, consents: list[Sensitivity], *, hub: str) -> list[Kind]:
    """Numbers the kinds of rows of a table (`kind_<table>`) and leaves the rows with the number of theirs."""
    flags = [*_FLAGS, *(f"c_{name}" for name in consents)]
    named = ", ".join(f"_{flag}" for flag in flags)
    rows = flags_sql(table, consents=consents, hub=hub)
    con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(f'flagged_{table}')} AS {rows}")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE {quoted(f"kind_{table}")} AS
        SELECT (row_number() OVER (ORDER BY {named}) - 1)::INTEGER AS _kind, {named}, count(*) AS _rows
        FROM {quoted(f"flagged_{table}")} GROUP BY {named}
    """)
    found = con.execute(f"SELECT _kind, _rows, {named} FROM {quoted(f'kind_{table}')} ORDER BY _kind").fetchall()
    return [Kind(row[0], dict(zip(flags, row[2:], strict=True)), row[1]) for row in found]


def _request(
    terms: Terms, table: str, column: str, sensitivity: Sensitivity, kind: Kind,
    sources: Mapping[str, Sensitivity], day: date, agency: str,
) -> Request:  # fmt: skip
    flags = kind.flags
    source = sources.get(agency)
    return Request(
        recipient=terms.policy.recipient, purpose=terms.policy.purpose, day=day,
        agency=None if flags["agency"] is None else agency,
        table=table, column=column, sensitivity=sensitivity, source_class=source,
        locates=column_classes()[table][column].locates, sealed=_flag(flags["sealed"]),
        location_protected=_flag(flags["location_protected"]), age_band=_text(flags["age_band"]),
        open_case=_flag(flags["open_case"]), identity_certain=_flag(flags["identity_certain"]),
        consent=_consent(flags, sensitivity), source_consent=None if source is None else _consent(flags, source),
    )  # fmt: skip


def _knowing_agencies(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The agencies that know anybody. Who knows a person goes out only where each of them may tell that it does: a
    value kept back for one agency alone would tell that it is this one.
    """
    query = "SELECT DISTINCT agency FROM person_source ORDER BY agency"
    return [str(agency) for (agency,) in con.execute(query).fetchall()]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _flag(value: object) -> bool | None:
    return None if value is None else bool(value)


def _consent(flags: Mapping[str, object], sensitivity: Sensitivity) -> Consent | None:
    if sensitivity not in CONSENT_CLASSES:
        return Consent.MISSING
    code = flags[f"c_{sensitivity}"]
    return None if code is None else CONSENT_ORDER[int(str(code))]


def _refusal(request: Request, kind: Kind, decision: Decision, sensitivity: Sensitivity) -> Iterator[Refusal]:
    if decision.reason is not None:
        flags = " ".join(f"{name}={value}" for name, value in kind.flags.items() if name != "agency")
        yield Refusal(str(request.agency), str(request.table), str(request.column), sensitivity, flags,
                      decision.reason, kind.rows)  # fmt: skip


def _allowed_table(kinds: list[Kind], allowed: Mapping[str, list[bool]]) -> pa.Table:
    return pa.table(
        {"_kind": pa.array([kind.number for kind in kinds], pa.int32())}
        | {f"_may_{column}": pa.array(verdicts, pa.bool_()) for column, verdicts in allowed.items()}
    )


def _sql(
    terms: Terms, table: str, columns: tuple[str, ...], consents: list[Sensitivity], treat: Mapping[str, Treat],
    beside: Mapping[str, str] | None,
) -> str:  # fmt: skip
    chosen = ", ".join(
        f"CASE WHEN a.{quoted(f'_may_{c}')} THEN {_treated(terms, table, c, treat)} END AS {quoted(c)}" for c in columns
    )
    somewhere = " OR ".join(f"a.{quoted(f'_may_{c}')}" for c in columns)
    flags = [*_FLAGS, *(f"c_{name}" for name in consents)]
    same = " AND ".join(f"k._{flag} IS NOT DISTINCT FROM r._{flag}" for flag in flags)
    flagged, kind = quoted(f"flagged_{table}"), quoted(f"kind_{table}")
    rows = f"{flagged} r JOIN {kind} k ON {same} JOIN {quoted(f'allowed_{table}')} a ON a._kind = k._kind"
    if beside is None:
        return f"SELECT {chosen} FROM {rows} WHERE {somewhere}"
    further = "".join(f", {sql} AS {quoted(name)}" for name, sql in beside.items())
    return f"SELECT {chosen}{further}, k._kind, ({somewhere}) AS _out FROM {rows}"


def _treated(terms: Terms, table: str, column: str, treat: Mapping[str, Treat]) -> str:
    treatment, own = terms.policy.treatment_of(f"{table}.{column}"), f"r.{quoted(column)}"
    if treatment is None:
        return own
    done = treat.get(treatment) or _OWN_TREATMENTS.get(treatment)
    if done is None:
        raise DeclarationError(
            f"nobody makes a {treatment} of {table}.{column}",
            where=f"policy {terms.policy.policy}, treatments",
            mend="release through kith release, which has the keys",
        )
    return done(column, own)


def log_refusals(ledger: Ledger, terms: Terms, decisions: Decisions, *, snapshot_id: str, day: date) -> None:
    """Writes every refused tuple with its count to the ledger; no value and no person stands in it."""
    shared = {"at": now(), "policy": terms.policy.policy, "recipient": terms.policy.recipient,
              "purpose": terms.policy.purpose, "day": day.isoformat(), "snapshot_id": snapshot_id}  # fmt: skip
    rows = [
        {**shared, "agency": r.agency, "table_name": r.table, "column_name": r.column, "class": str(r.sensitivity),
         "flags": r.flags, "reason": str(r.reason), "cells": r.cells}
        for r in decisions.refusals
    ]  # fmt: skip
    if rows:
        with ledger.writing() as connection:
            connection.execute(decision_refused.insert(), rows)
    refused = sum(r.cells for r in decisions.refusals)
    log.info("policy %s, %s: %d cells allowed, %d refused", terms.policy.policy, decisions.table,
             decisions.allowed_cells, refused)  # fmt: skip
