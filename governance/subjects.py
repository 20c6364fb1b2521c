"""Whom the rows of the record are about, as decisions ask: age, open case, seals, protected place, consents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from governance.decide import NOBODY, Terms
from governance.parties import Parties
from governance.rules import classes
from governance.sealed_rows import attach_sealed_rows
from record.in_force import CONTAINERS, PERSON_PARTNERS
from record.tables import MEANINGS, SUBJECTS
from record.withhold import orders_in_force
from standard.schema import entities
from standard.sensitivity import Sensitivity
from store.home import literal, quoted
from store.ledger import Ledger
from store.registers import consent_record, override_record, override_review

_SQL = Path(__file__).with_name("subjects.sql")
CONSENT_CLASSES = tuple(name for name, rule in classes().classes.items() if not rule.never and not rule.with_any_basis)
"""The classes for which consents are asked."""
_FLAGS = ("sealed", "location_protected", "age_band", "open_case", "identity_certain")


@dataclass(frozen=True)
class Registers:
    """What the ledger holds about persons: consents and overrides written down, seals; as tables for DuckDB."""

    consents: pa.Table
    overrides: pa.Table
    seals: pa.Table


def read_registers(ledger: Ledger) -> Registers:
    """The registers as they stand; of overrides only those to which a second person agreed."""
    o, r = override_record, override_review
    second = sa.and_(r.c.override_id == o.c.override_id, r.c.agreed, r.c.reviewed_by != o.c.decided_by)
    # A consent that was withdrawn refuses from that day on: the withdrawal stands as a later word.
    return Registers(
        _read(ledger, sa.select(consent_record).order_by(consent_record.c.consent_id)),
        _read(ledger, sa.select(o).join(r, second).order_by(o.c.override_id)),
        orders_in_force(ledger),
    )


def _read(ledger: Ledger, query: sa.Select[Any]) -> pa.Table:
    columns = [column.name for column in query.selected_columns]
    with ledger.reading() as connection:
        rows = connection.execute(query).all()
    # A register holds some thousand papers, not a row an event.
    given = {name: [None if row[n] is None else str(row[n]) for row in rows] for n, name in enumerate(columns)}
    return pa.table(given, schema=pa.schema([(name, pa.string()) for name in columns]))


def attach_subjects(
    con: duckdb.DuckDBPyConnection, terms: Terms, parties: Parties, registers: Registers, *, day: date
) -> None:
    """Makes the tables `subject` (a person) and `container_subject` (a case or report) of what decisions ask.

    Args:
        con: A connection with the record's tables by name (`Record.to_duckdb`).
        terms: By what is decided; recipient and purpose count for consents, the recipient's agencies for open cases.
        parties: Who takes part.
        registers: What the ledger holds.
        day: The day of the decision.
    """
    attach_consents(con, registers, parties, recipient=terms.policy.recipient, purpose=terms.policy.purpose, day=day)
    con.register("seal", registers.seals.select(["ref"]))
    attach_sealed_rows(con, registers.seals)
    weight = terms.policy.rows.lowest_weight
    certain = "true" if weight is None else f"coalesce(p.lowest_weight >= {weight}, p.mentions = 1)"
    states = "".join(
        f", coalesce(max(s.state) FILTER (s.class = '{name}'), 2)::TINYINT AS c_{name}" for name in CONSENT_CLASSES
    )
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE subject AS
        SELECT p.person_id,
            p.person_id IN (SELECT person_id FROM person_source WHERE person_ref IN (FROM seal)
                UNION SELECT person_id FROM person_source SEMI JOIN (
                    SELECT person_id FROM person_source WHERE person_ref IN (FROM sealed_mention)) USING (person_id)
                GROUP BY 1 HAVING bool_and(person_ref IN (FROM sealed_mention))) AS sealed,
            coalesce(any_value(p.address_protected), true) AS location_protected,
            CASE WHEN any_value(a.latest) IS NULL THEN 'unknown'
                 WHEN NOT surely_adult(any_value(a.latest), any_value(t.day)) THEN 'minor'
                 ELSE 'adult' END AS age_band,
            p.person_id IN (SELECT person_id FROM with_open_case WHERE person_id IS NOT NULL) AS open_case,
            any_value({certain}) AS identity_certain{states}
        FROM person p LEFT JOIN person_age a USING (person_id) LEFT JOIN consent_state s USING (person_id),
            terms_asked t
        GROUP BY p.person_id
    """)
    con.execute(_container_subjects())


def attach_consents(
    con: duckdb.DuckDBPyConnection, registers: Registers, parties: Parties, *, recipient: str, purpose: str, day: date
) -> None:
    """Makes the table `consent_state`: person_id, class, state (0 given ... 4 refused) for a recipient and purpose."""
    party = parties.parties[recipient]
    asked = {"day": [day], "purpose": [purpose], "recipient": [recipient], "consent_as": [list(party.consent_as)],
             "agencies": [list(party.agencies or (recipient,))]}  # fmt: skip
    texts = pa.list_(pa.string())
    schema = pa.schema([("day", pa.date32()), ("purpose", pa.string()), ("recipient", pa.string()),
                        ("consent_as", texts), ("agencies", texts)])  # fmt: skip
    words = [(word, str(name)) for word, named in classes().consent_scopes.items() for name in named]
    given: Mapping[str, pa.Table] = {
        "terms_asked": pa.table(asked, schema=schema),
        "consent_word": pa.table({"word": [w for w, _ in words], "class": [c for _, c in words]}),
        "consent_class": pa.table({
            "class": [str(name) for name in CONSENT_CLASSES],
            "minor_consents": [classes().classes[name].minor_consents for name in CONSENT_CLASSES],
        }),
        "recorded_consent": registers.consents,
        "override_in_force": registers.overrides,
    }  # fmt: skip
    for name, table in given.items():
        con.register(name, table)
    con.execute(_SQL.read_text(encoding="utf-8"))


def _container_subjects() -> str:
    """All persons with a part in a case or report as one: protected, sealed or without consent if one of them is."""
    combined = ", ".join(f"{how} AS {flag}" for flag, how in _together().items())
    parts = " UNION ALL ".join(
        f"SELECT {shared} AS container, person_id FROM {table} WHERE person_id IS NOT NULL"
        for table, shared in SUBJECTS.values()
    )
    return f"""CREATE OR REPLACE TEMP TABLE container_subject AS
        SELECT container, {combined} FROM ({parts}) JOIN subject s USING (person_id) GROUP BY container"""


def _together() -> dict[str, str]:
    youngest = (
        "CASE WHEN bool_or(s.age_band = 'minor') THEN 'minor' WHEN bool_or(s.age_band = 'unknown') THEN 'unknown'"
    )
    rules = {
        "sealed": "bool_or(s.sealed)", "location_protected": "bool_or(s.location_protected)",
        "age_band": f"{youngest} ELSE 'adult' END", "open_case": "bool_or(s.open_case)",
        "identity_certain": "bool_and(s.identity_certain)",
    }  # fmt: skip
    return rules | {f"c_{name}": f"max(s.c_{name})" for name in CONSENT_CLASSES}


def flags_sql(table: str, *, consents: list[Sensitivity], hub: str) -> str:
    """SQL of a table's rows (all its columns) with the flags of those they are about beside them (`_agency`, `_...`).

    Everybody a row names counts for seals, protection and consent; for age and case it is who the row is about.
    A row about persons of whom none is known has NULL flags.

    Args:
        table: A table of the record.
        consents: The classes whose consents are wanted, as `_c_<class>`.
        hub: Whose rows those of no single agency are.
    """
    agency = {"person": literal(hub), "person_source": "r.agency"}.get(table, "r.agency_id")
    wanted = [*_FLAGS, *(f"c_{name}" for name in consents)]
    named, container = people_of(table)
    if not named and container is None:
        return f"SELECT r.*, {agency} AS _agency, {_about_nobody(table, consents)} FROM {quoted(table)} r"
    if container is not None:
        chosen = ", ".join(f"s.{flag} AS _{flag}" for flag in wanted)
        joined = f"LEFT JOIN container_subject s ON s.container = r.{container}"
    else:
        first, others = "s0", [f"s{n}" for n in range(1, len(named))]
        chosen = ", ".join(f"{_combined(flag, first, others)} AS _{flag}" for flag in wanted)
        joined = "".join(f" LEFT JOIN subject s{n} ON s{n}.person_id = r.{column}" for n, column in enumerate(named))
    return (
        f"SELECT * REPLACE (_sealed OR {_own_seal(table)} AS _sealed) FROM ("
        f"SELECT r.*, {agency} AS _agency, {chosen} FROM {quoted(table)} r {joined}) r"
    )


def _combined(flag: str, first: str, others: list[str]) -> str:
    own = f"{first}.{flag}"
    if not others or flag in ("age_band", "open_case"):
        return own
    if flag.startswith("c_"):  # without a subject of the row itself nothing is known of it
        return f"CASE WHEN {own} IS NOT NULL THEN greatest({', '.join([own, *(f'{o}.{flag}' for o in others)])}) END"
    word, neutral = ("AND", "true") if flag == "identity_certain" else ("OR", "false")
    return f" {word} ".join([own, *(f"coalesce({o}.{flag}, {neutral})" for o in others)])


def _own_seal(table: str) -> str:
    """SQL that is true where an order covers the row itself, or what it hangs on."""
    if table == "person_source":
        return "r.person_ref IN (FROM sealed_mention)"
    if table == "person":
        return "false"  # persons are asked as such
    references = entities()[table].references() if table not in MEANINGS else []
    own = [f"coalesce(r.{column} IN (FROM seal), false)" for column in references]
    return " OR ".join([*own, "r.row_id IN (FROM sealed_row)"])


def _about_nobody(table: str, consents: list[Sensitivity]) -> str:
    states = "".join(f", 2::TINYINT AS _c_{name}" for name in consents)
    return (
        f"{_own_seal(table)} AS _sealed, false AS _location_protected, '{NOBODY}' AS _age_band, true AS _open_case,"
        f" true AS _identity_certain{states}"
    )


def people_of(table: str) -> tuple[list[str], str | None]:
    """The columns of a table that name persons, the one it is about first; or the column of its case or report."""
    if table in MEANINGS:
        return ["person_id"], None
    columns = entities()[table].columns
    named = [partner for reference, partner in PERSON_PARTNERS.items() if reference in columns]
    container = next((column for column in CONTAINERS if column in columns), None)
    return named, None if named else container
