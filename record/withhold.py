"""Which rows are not published, and why: orders of a court, restricted records, consent, confidential addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from linkage.entities import READ
from record.in_force import (
    CONTAINERS,
    DEFINED_BY,
    SAME_PERSON,
    attach_in_force,
    bearing_references,
    only_row,
    person_references,
)
from standard.schema import Entity, entities
from store import ledger as tables
from store.home import literal, quoted
from store.ledger import Ledger
from store.seal_index import EXPUNGED, expunged_containers

REFERENCE_SCHEMA = pa.schema([("ref", pa.string()), ("reason", pa.string())])
"""A table of references to withhold: ref `agency/table/key`, reason as the feed's `withhold` rule names it."""

EXISTENCE_ONLY = ("person", "consent")
"""Entities that stay where a consent is withheld: that the agency knows the person, and the decision itself."""

PLACE = "(e.agency_id || '/' || e.feed)"
"""SQL of the feed of an entity's row `e`, as an order names it."""
ROW = f"({PLACE} || '/' || e.source_key)"
"""SQL of the row itself, as an order names it."""

WITHHELD_CLASSES = ("confidential_address",)
"""Columns of these classes keep their rows but are published empty."""


@dataclass(frozen=True)
class Withholding:
    """What is withheld at a publishing, and from which day's view.

    Attributes:
        orders: References under an order in force (ref, reason); an order never lapses by itself.
        restricted: References that a row in force restricts (ref, reason).
        as_of: The day on which consents are judged.
    """

    orders: pa.Table
    restricted: pa.Table
    as_of: date


def orders_in_force(ledger: Ledger) -> pa.Table:
    """The references that the register of orders covers now: ref, reason.

    Of a case that was expunged nothing but its mark is left: it stands as `agency/table/#mark`, so that persons who
    were known through it alone stay hidden.
    """
    order = tables.order_
    query = (
        sa.select(order.c.ref, sa.func.min(order.c.reason))
        .where(order.c.lifted_at.is_(None))
        .group_by(order.c.ref)
        .order_by(order.c.ref)
    )
    with ledger.reading() as connection:
        found = [(str(ref), str(reason)) for ref, reason in connection.execute(query)]
        found += [(f"{place}/#{mark}", EXPUNGED) for place, mark in expunged_containers(connection)]
    return pa.table([[row[0] for row in found], [row[1] for row in found]], schema=REFERENCE_SCHEMA)


def entities_to_link(
    con: duckdb.DuckDBPyConnection, paths: Mapping[str, Path], *, orders: pa.Table, restricted: pa.Table
) -> dict[str, str]:
    """Makes views of what linkage reads, without any row about a person who is withheld wholly.

    Args:
        con: A new connection; it gets the tables and views of `withhold`.
        paths: Entity -> Parquet of all rows in force.
        orders: References under an order (ref, reason).
        restricted: References restricted by a row in force (ref, reason).

    Returns:
        Entity -> its view, for the entities that linkage reads.
    """
    attach_in_force(con, paths)
    _withhold_wholly(con, orders, restricted)
    _judge_rows(con)
    return {name: f"visible.{quoted(name)}" for name in READ}


def judge_by_orders(con: duckdb.DuckDBPyConnection, orders: pa.Table) -> None:
    """Makes `withheld` and the views `judged.<entity>` of what these orders alone withhold; after `attach_in_force`.

    Args:
        con: A connection with the views of `attach_in_force`.
        orders: ref, reason.
    """
    _withhold_wholly(con, orders, REFERENCE_SCHEMA.empty_table())
    _judge_rows(con)


def protected_sql(people: Path) -> str:
    """SQL of the mentions that two persons must judge: record_id, reason; after `entities_to_link`.

    Protected is who is adopted, or has a part in something that is sealed or restricted.

    Args:
        people: The people table made of what `entities_to_link` shows.
    """
    mention = f"read_parquet({literal(people)})"
    return f"""
        SELECT record_id, min(reason) AS reason FROM (
            SELECT record_id, 'adopted' AS reason FROM {mention} WHERE adopted
            UNION ALL SELECT p.person, w.reason FROM part p JOIN withheld w ON w.ref = p.container)
        SEMI JOIN (SELECT record_id FROM {mention}) USING (record_id) GROUP BY record_id ORDER BY record_id"""


def withhold(con: duckdb.DuckDBPyConnection, withholding: Withholding, *, persons: str) -> None:
    """Splits the rows in force into `judged.<entity>` (all, with `withheld`, the reason) and `visible.<entity>`.

    Args:
        con: A connection with the views of `attach_in_force`.
        withholding: What is withheld.
        persons: SQL of (person_ref, person_id): a refusal covers all references an agency has for the person.
    """
    _withhold_wholly(con, withholding.orders, withholding.restricted)
    _withhold_details(con, withholding.as_of, persons)
    _judge_rows(con)


def _withhold_wholly(con: duckdb.DuckDBPyConnection, orders: pa.Table, restricted: pa.Table) -> None:
    """Fills `withheld` with the references under an order or restricted, and all that is only known through them."""
    con.register("given_orders", orders.cast(REFERENCE_SCHEMA))
    con.register("given_restricted", restricted.cast(REFERENCE_SCHEMA))
    con.execute("CREATE TEMP TABLE withheld(ref VARCHAR, reason VARCHAR, lasting BOOLEAN, wholly BOOLEAN)")
    con.execute("""
        INSERT INTO withheld
        SELECT ref, min_by(reason, (NOT lasting, reason)), bool_or(lasting), true
        FROM (SELECT ref, reason, true AS lasting FROM given_orders
              UNION ALL SELECT ref, reason, false FROM given_restricted)
        WHERE ref IS NOT NULL GROUP BY ref
    """)
    _make_participation(con)
    rules = [*_owned_rules(), _ALL_PARTICIPANTS_WITHHELD, _ALL_PARTS_WITHHELD, _PART_IN_NOTHING, _SAME_AS_RESTRICTED]
    _apply_until_stable(con, rules, wholly=True)


def _withhold_details(con: duckdb.DuckDBPyConnection, as_of: date, persons: str) -> None:
    """Adds to `withheld` the persons about whom a consent in force refuses sharing, and what is only theirs."""
    con.execute(_REFUSALS.format(as_of=literal(as_of.isoformat())))
    con.execute(f"""
        INSERT INTO withheld
        WITH same_person AS (
            SELECT a.person_ref AS ref, b.person_ref AS other FROM ({persons}) a JOIN ({persons}) b USING (person_id)
            WHERE split_part(a.person_ref, '/', 1) = split_part(b.person_ref, '/', 1)
            UNION SELECT a, b FROM same_person_said
            UNION SELECT ref, ref FROM refused)
        SELECT DISTINCT s.other, 'consent', false, false FROM refused r JOIN same_person s ON s.ref = r.ref
        WHERE s.other NOT IN (SELECT ref FROM withheld)
    """)
    _apply_until_stable(con, [*_owned_rules(), _ALL_PARTICIPANTS_WITHHELD], wholly=False)


_REFUSALS = """
CREATE TEMP TABLE refused AS
WITH decided AS (
    SELECT person_ref, coalesce(purpose, purpose_source) AS purpose, coalesce(recipient, recipient_source) AS recipient,
        coalesce(decision = 'granted' OR (decision = 'overridden' AND override_complete), false)
            AND coalesce(withdrawn_on > DATE {as_of}, true) AS permits,
        decision = 'withdrawn' AND withdrawn_on > DATE {as_of} AS still_ahead,
        CASE WHEN withdrawn_on <= DATE {as_of} THEN withdrawn_on ELSE effective_on END AS since,
        recipient = 'all' OR list_contains(regexp_split_to_array(upper(scope), '[^A-Z0-9]+'), 'ALL') AS for_all
    FROM in_force.consent
    WHERE coalesce(effective_on <= DATE {as_of}, true) AND coalesce(expires_on >= DATE {as_of}, true))
SELECT DISTINCT person_ref AS ref FROM decided r
WHERE NOT permits AND still_ahead IS NOT TRUE AND for_all AND NOT EXISTS (
    FROM decided g WHERE g.permits AND g.person_ref = r.person_ref AND g.purpose IS NOT DISTINCT FROM r.purpose
    AND g.recipient IS NOT DISTINCT FROM r.recipient AND g.since > r.since)
"""
# An override without reason, authority and approver, and a decision in a code not yet known, are no permission.


def _make_participation(con: duckdb.DuckDBPyConnection) -> None:
    """Who takes part in which case or report (a table), who has events of their own, who is said to be who (views)."""
    parts, alone = [], []
    for name, entity in entities().items():
        containers = [column for column in CONTAINERS if column in entity.columns]
        people = [column for column in person_references(entity) if name not in EXISTENCE_ONLY]
        for person in people:
            parts += [
                f"SELECT {person} AS person, {c} AS container FROM in_force.{quoted(name)} WHERE {c} IS NOT NULL"
                for c in containers
            ]
            if entity.event:
                unless = " AND ".join([f"{c} IS NULL" for c in containers] or ["true"])
                unless += f" AND {_any_withheld(entity)}"
                alone.append(f"SELECT {person} AS person FROM in_force.{quoted(name)} WHERE {unless}")
    con.execute(f"CREATE TEMP TABLE part AS SELECT * FROM ({' UNION '.join(parts)}) WHERE person IS NOT NULL")
    con.execute(f"CREATE TEMP VIEW own_event AS {' UNION ALL '.join(alone)}")
    con.execute(f"""
        CREATE TEMP VIEW same_person_said AS
        SELECT person_ref AS a, {SAME_PERSON} AS b FROM in_force.person WHERE {SAME_PERSON} IS NOT NULL
        UNION SELECT {SAME_PERSON}, person_ref FROM in_force.person WHERE {SAME_PERSON} IS NOT NULL
    """)


def _any_withheld(entity: Entity) -> str:
    """SQL that is true where a row bears no withheld reference to a thing (a removal, a charge)."""
    things = [column for column in bearing_references(entity) if column in DEFINED_BY and column not in CONTAINERS]
    return " AND ".join([f"coalesce({c} NOT IN (SELECT ref FROM withheld), true)" for c in things] or ["true"])


_ALL_PARTS_WITHHELD = """
    SELECT p.person, min(w.reason), bool_or(w.lasting) FROM part p LEFT JOIN withheld w ON w.ref = p.container
    WHERE p.person IN (SELECT q.person FROM part q JOIN withheld v ON v.ref = q.container)
    GROUP BY p.person
    HAVING count(*) = count(w.ref) AND p.person NOT IN (SELECT person FROM own_event WHERE person IS NOT NULL)
"""
"""A person whose every part in the agency's record is withheld."""

_TABLE_OF = "regexp_extract({}, '^[^/]*/[^/]*/')"
_PART_IN_NOTHING = f"""
    SELECT p.person_ref, min(o.reason), true FROM in_force.person p
    JOIN (SELECT split_part(ref, '/', 1) AS agency, min(reason) AS reason FROM given_orders
          WHERE ref NOT IN (SELECT container FROM part)
          AND {_TABLE_OF.format("ref")} NOT IN (SELECT {_TABLE_OF.format("person_ref")} FROM in_force.person)
          GROUP BY 1) o ON o.agency = split_part(p.person_ref, '/', 1)
    WHERE p.person_ref NOT IN (SELECT person FROM part)
        AND p.person_ref NOT IN (SELECT person FROM own_event WHERE person IS NOT NULL)
        AND p.person_ref NOT IN (
            SELECT s.a FROM same_person_said s JOIN part q ON q.person = s.b
            LEFT JOIN withheld v ON v.ref = q.container WHERE v.ref IS NULL)
    GROUP BY p.person_ref
"""
"""A person who has a part in nothing any more, of an agency that purged a case under an order: a person who was known
through that case alone must not come back with the purge. Orders that cover persons themselves purge no case."""

_ALL_PARTICIPANTS_WITHHELD = """
    SELECT p.container, min(w.reason), bool_or(w.lasting) FROM part p LEFT JOIN withheld w ON w.ref = p.person
    WHERE p.container IN (SELECT q.container FROM part q JOIN withheld v ON v.ref = q.person)
    GROUP BY p.container HAVING count(*) = count(w.ref)
"""
"""A case or report that is only about persons who are withheld."""

_SAME_AS_RESTRICTED = """
    SELECT s.b, min(w.reason), false FROM same_person_said s JOIN withheld w ON w.ref = s.a
    WHERE NOT w.lasting AND s.b NOT IN (
        SELECT p.person FROM part p LEFT JOIN withheld v ON v.ref = p.container WHERE v.ref IS NULL)
    GROUP BY s.b
"""
"""Another reference of a restricted person goes along, unless it has a part of its own in an open case or report."""


def _owned_rules() -> list[str]:
    """For every thing whose own row bears a withheld reference: the thing is withheld too."""
    rules = []
    for reference, name in DEFINED_BY.items():
        entity = entities()[name]
        rules += [
            f"""SELECT e.{reference}, min(w.reason), bool_or(w.lasting)
                FROM in_force.{quoted(name)} e JOIN withheld w ON w.ref = e.{by} GROUP BY 1"""
            for by in bearing_references(entity)
            if by != reference
        ]
        rules.append(
            f"""SELECT e.{reference}, min(w.reason), bool_or(w.lasting)
                FROM in_force.{quoted(name)} e JOIN withheld w ON w.ref = {ROW} GROUP BY 1"""
        )
    return rules


def _apply_until_stable(con: duckdb.DuckDBPyConnection, rules: list[str], *, wholly: bool) -> None:
    """Adds what the rules withhold, round by round, until a round adds nothing (each adds references that exist)."""
    size = -1
    while size != (size := only_row(con, "SELECT count(*) FROM withheld")[0]):
        for rule in rules:
            con.execute(f"""
                INSERT INTO withheld SELECT ref, reason, lasting, {wholly} FROM ({rule}) AS rule(ref, reason, lasting)
                WHERE ref IS NOT NULL AND ref NOT IN (SELECT ref FROM withheld)
            """)


def _judge_rows(con: duckdb.DuckDBPyConnection) -> None:
    """Views `judged.<entity>` with the reason of each row (NULL: published) and `visible.<entity>` of the others."""
    con.execute("CREATE SCHEMA judged; CREATE SCHEMA visible")
    found = con.execute(r"SELECT DISTINCT regexp_extract(ref, '^[^/]*/[^/]*') FROM withheld WHERE lasting").fetchall()
    places = [place for (place,) in found]
    for name, entity in entities().items():
        here = quoted(name)
        con.execute(f"CREATE VIEW judged.{here} AS {_judged_sql(name, entity, places)}")
        kinds = entity.stored_columns()
        hidden = ", ".join(f"CAST(NULL AS {kinds[c]}) AS {quoted(c)}" for c in hidden_columns(entity))
        star = f"* EXCLUDE (withheld){f' REPLACE ({hidden})' if hidden else ''}"
        con.execute(f"CREATE VIEW visible.{here} AS SELECT {star} FROM judged.{here} WHERE withheld IS NULL")


def _judged_sql(name: str, entity: Entity, places: list[str]) -> str:
    """SQL of an entity's rows with why each is withheld; by its own key a row is where an order names its feed."""
    only_wholly = " AND {w}.wholly" if name in EXISTENCE_ONLY else ""
    joins, reasons = "", []
    for number, column in enumerate(bearing_references(entity)):
        joins += f" LEFT JOIN withheld w{number} ON w{number}.ref = e.{column}{only_wholly.format(w=f'w{number}')}"
        reasons.append(f"w{number}.reason")
    if places:
        named = f"{PLACE} IN ({', '.join(literal(place) for place in places)})"
        joins += f" LEFT JOIN withheld own ON own.lasting AND own.ref = CASE WHEN {named} THEN {ROW} END"
        reasons.append("own.reason")
    if "confidential" in entity.columns:
        reasons.append("CASE WHEN e.confidential THEN 'confidential' END")
    reason = f"coalesce({', '.join([*reasons, 'NULL'])})"
    return f"SELECT e.*, CAST({reason} AS VARCHAR) AS withheld FROM in_force.{quoted(name)} e{joins}"


def hidden_columns(entity: Entity) -> list[str]:
    """The columns of an entity that are published empty."""
    return [name for name, column in entity.columns.items() if column.sensitivity in WITHHELD_CLASSES]
