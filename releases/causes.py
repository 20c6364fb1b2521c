"""Why a row of one release is not in another, or other there: one cause for each, found set-based from both indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from releases.index import Kept
from store import ledger as tables
from store.home import literal, quoted
from store.ledger import Ledger

CAUSES = {
    "new": "came in the time between",
    "late": "had been due before the old release, and came or was released from quarantine after it",
    "corrected": "the agency has sent it otherwise",
    "deleted": "the agency has it no longer",
    "re-linked": "mentions were joined or taken apart, or are linked too weakly",
    "re-mapped": "the same rows were read by other declarations",
    "consent": "a consent was given, refused, withdrawn or ended",
    "sealed": "an order of a court covers it, or does so no longer",
    "terms": "what is agreed on, the person's age or an open case with the recipient is another now",
}
_SQL = Path(__file__).with_name("causes.sql")
_EXTRACT = ("extract_id", "agency", "feed", "as_of")
_OF_PERSONS = ("person", "timeline")
"""Tables whose rows come and go with persons, not only with rows of agencies."""


def attach_causes(con: duckdb.DuckDBPyConnection, old: Kept, new: Kept, ledger: Ledger) -> None:
    """Gives a connection what `changed_sql` needs of two releases."""
    for side, kept in (("old", old), ("new", new)):
        con.register(f"{side}_extract", _extracts(kept.facts))
        for part, name in (("mention", "mentions"), ("withheld", "withheld"), ("reason", "reasons")):
            con.execute(f"CREATE OR REPLACE TEMP VIEW {side}_{part} AS FROM {kept.part(name)}")
    con.register("remapped", _remapped(ledger, old, new))
    con.execute(_SQL.read_text(encoding="utf-8"))


def _extracts(facts: Mapping[str, object]) -> pa.Table:
    rows = facts["extracts"]
    assert isinstance(rows, list)
    given = {name: [str(row[name]) for row in rows] for name in _EXTRACT}
    return pa.table(given, schema=pa.schema([(name, pa.string()) for name in _EXTRACT]))


def _remapped(ledger: Ledger, old: Kept, new: Kept) -> pa.Table:
    """The agencies whose extracts were mapped again between the snapshots of two releases."""
    r = tables.remap
    query = (
        sa.select(r.c.agency).where(r.c.at > old.facts["published_at"], r.c.at <= new.facts["published_at"]).distinct()
    )
    with ledger.reading() as connection:
        return pa.table({"agency": pa.array(list(connection.execute(query).scalars()), pa.string())})


def changed_sql(table: str, old: Kept, new: Kept, *, columns: Sequence[str] = ()) -> str:
    """SQL of a table's rows that went out in one release only: `row, person, sign` (1 came, -1 gone), `cause`, and
    some counted columns as they went out; after `attach_causes`.
    """
    counted = "".join(f", {{side}}.{quoted(c)}" for c in columns)
    gone, came = counted.format(side="o"), counted.format(side="n")
    of_person = table in _OF_PERSONS
    return f"""
        SELECT o."row", o.person, -1 AS sign, {_cause_gone(table, of_person=of_person)} AS cause{gone}
        FROM (FROM {old.rows(table)} WHERE "out") o LEFT JOIN {new.rows(table)} n ON n."row" = o."row"
        LEFT JOIN why y ON y.side = 'new' AND y."table" = {literal(table)} AND y.kind = n.kind
        LEFT JOIN new_withheld w ON w."row" = {_own_row(table, "o")} LEFT JOIN went e ON e.extract_id = o.extract
        LEFT JOIN withheld_person p ON p.person = o.person
        WHERE n."out" IS NOT TRUE
        UNION ALL
        SELECT n."row", n.person, 1, {_cause_came(of_person=of_person)}{came}
        FROM (FROM {new.rows(table)} WHERE "out") n LEFT JOIN {old.rows(table)} o ON o."row" = n."row"
        LEFT JOIN why y ON y.side = 'old' AND y."table" = {literal(table)} AND y.kind = o.kind
        LEFT JOIN old_withheld w ON w."row" = {_own_row(table, "n")} LEFT JOIN came e ON e.extract_id = n.extract
        LEFT JOIN shown_person p ON p.person = n.person
        WHERE o."out" IS NOT TRUE"""


def _own_row(table: str, side: str) -> str:
    return f"split_part({side}.\"row\", '|', 2)" if table == "timeline" else f'{side}."row"'


def _cause_gone(table: str, *, of_person: bool) -> str:
    moved = "WHEN o.person IN (FROM moved_person) THEN 're-linked'" if of_person else ""
    hidden = "WHEN p.reason IS NOT NULL THEN cause_withheld(p.reason)" if table == "person" else ""
    return f"""CASE WHEN o."row" IS NULL THEN 'sealed'
        WHEN n."row" IS NOT NULL THEN {_decided_otherwise()}
        WHEN w.reason IS NOT NULL THEN cause_withheld(w.reason)
        {moved} {hidden} ELSE coalesce(e.cause, 'deleted') END"""


def _cause_came(*, of_person: bool) -> str:
    moved = "WHEN n.person IN (FROM moved_person) THEN 're-linked'" if of_person else ""
    shown = "WHEN p.reason IS NOT NULL THEN cause_withheld(p.reason)" if of_person else ""
    return f"""CASE WHEN o."row" IS NOT NULL THEN {_decided_otherwise()}
        WHEN w.reason IS NOT NULL THEN cause_withheld(w.reason)
        {moved} {shown} ELSE coalesce(e.cause, 'new') END"""


def _decided_otherwise(reason: str = "y.reason") -> str:
    return f"""CASE WHEN cause_of({reason}) IN ('consent', 'sealed') THEN cause_of({reason})
        WHEN o.person IS DISTINCT FROM n.person THEN 're-linked' ELSE cause_of({reason}) END"""


def altered_sql(table: str, column: str, old: Kept, new: Kept) -> str:
    """SQL of rows that went out in both releases with another value in a column: `before, after, cause`."""
    own = "'re-linked'" if table in ("person", "person_source") else "'corrected'"
    c = quoted(column)
    return f"""
        SELECT o.{c} AS before, n.{c} AS after, CASE
            WHEN coalesce(a.reason, b.reason) IS NOT NULL THEN {_decided_otherwise("coalesce(a.reason, b.reason)")}
            WHEN o.extract IS DISTINCT FROM n.extract THEN 'corrected'
            WHEN n.person IN (FROM moved_person) THEN {own}
            WHEN n.agency IN (FROM remapped) THEN 're-mapped' ELSE 'corrected' END AS cause
        FROM {old.rows(table)} o JOIN {new.rows(table)} n ON n."row" = o."row"
        LEFT JOIN new_reason a ON a."table" = {literal(table)} AND a."column" = {literal(column)} AND a.kind = n.kind
        LEFT JOIN old_reason b ON b."table" = {literal(table)} AND b."column" = {literal(column)} AND b.kind = o.kind
        WHERE o."out" AND n."out" AND o.{c} IS DISTINCT FROM n.{c}"""
