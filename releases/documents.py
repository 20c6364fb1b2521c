"""What goes along with a release so that it can be read: dictionary, codebook, quality of links, losses, notice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from governance.agreements import Agreement
from governance.load import Governance
from governance.policies import Policy
from mappings.crosswalks import Entry
from mappings.load import Agency
from record.dictionary import markdown_table, meaning_of_column, meaning_of_table
from releases.reader import CODEBOOK_COLUMNS, LOSS_COLUMNS
from releases.tables import MATCH, Decided, counted_columns, event_code_sets, write_csv
from standard.code_sets import code_set
from standard.schema import entities
from standard.sensitivity import Sensitivity
from store.home import literal, quoted

_TREATED = {"pseudonym": "pseudonym", "shifted": "shifted by days of its person", "year": "only the year",
            "month": "only the month"}  # fmt: skip
_BOOLEAN = {"true": "Yes.", "false": "No."}
_MATCHES = {
    "exact": "The agency's term means just this.", "close": "The agency's term means nearly this.",
    "broad": "The common term is wider than the agency's.",
    "narrow": "The common term is narrower than the agency's.",
    "related": "The agency's term is something near to the common one.",
    "unmapped": "No common term was found for the agency's.",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What the documents of a release are made of."""

    policy: Policy
    agreement: Agreement
    agencies: Mapping[str, Agency]
    tables: Sequence[Decided]
    min_cell: int
    """Counts below it are left out."""


def dictionary(told: Told) -> str:
    """The data dictionary of what goes out, as Markdown."""
    lines = [
        "# Data dictionary", "", f"What policy `{told.policy.policy}` gives {told.policy.recipient} for"
        f" {told.policy.purpose}. An empty value was not known, or may not be told.", "",
    ]  # fmt: skip
    for table in told.tables:
        rows = (_column(told.policy, table, column) for column in table.columns)
        lines += [f"## {table.table}", "", meaning_of_table(table.table), ""]
        lines += markdown_table(["column", "type", "meaning", "class", "codes", "treatment"], rows)
    return "\n".join(lines).rstrip() + "\n"


def _column(policy: Policy, table: Decided, column: str) -> list[str]:
    treatment = policy.treatment_of(f"{table.table}.{column}")
    declared = entities()[table.table].columns.get(column) if table.table in entities() else None
    return [
        f"`{column}`", table.kinds[column], meaning_of_column(table.table, column),
        policy.class_of(table.table, column), (declared and declared.code_set) or "",
        _TREATED.get(treatment or "", ""),
    ]  # fmt: skip


def write_codebook(con: duckdb.DuckDBPyConnection, told: Told, path: Path) -> None:
    """Writes every code of every column that is counted, with its meaning and how many rows have it."""
    con.register("code_meaning", _meanings(told))
    counts = [sql for table in told.tables for sql in _counts(table)]
    con.execute(f"CREATE OR REPLACE TEMP TABLE code_count AS {_union(counts, _COUNTED)}")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE codebook AS
        SELECT coalesce(m."table", c."table") AS "table", coalesce(m."column", c."column") AS "column",
            coalesce(m.code, c.code) AS code, m.meaning, coalesce(c."rows", 0) AS "rows"
        FROM code_meaning m FULL JOIN code_count c USING ("table", "column", code)
    """)
    _write_suppressed(con, "codebook", ["table", "column"], CODEBOOK_COLUMNS, path, told.min_cell)


_COUNTED = {"table": "VARCHAR", "column": "VARCHAR", "code": "VARCHAR", "rows": "BIGINT"}


def _counts(table: Decided) -> Iterable[str]:
    """SQL for each counted column: table, column, code, rows that go out with it."""
    for column in counted_columns(table):
        yield f"""SELECT {literal(table.table)} AS "table", {literal(column)} AS "column",
            {quoted(column)}::VARCHAR AS code, count(*) AS "rows"
            FROM {table.given} WHERE {quoted(column)} IS NOT NULL GROUP BY ALL"""


def _union(queries: Sequence[str], columns: Mapping[str, str]) -> str:
    nothing = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    return " UNION ALL ".join([*queries, f"SELECT {nothing} WHERE false"])


def _meanings(told: Told) -> pa.Table:
    rows = [
        {"table": table.table, "column": column, "code": code, "meaning": meaning}
        for table in told.tables
        for column, words in counted_columns(table).items()
        for code, meaning in _words(told, column, words).items()
    ]
    return pa.Table.from_pylist(rows, pa.schema([(n, pa.string()) for n in ("table", "column", "code", "meaning")]))


def _words(told: Told, column: str, words: str | None) -> Mapping[str, str]:
    if words == "agency":
        return {name: told.agencies[name].name for name in told.agreement.parties.discloser if name in told.agencies}
    if words == "event":
        return {code: meaning for name in event_code_sets().values() for code, meaning in code_set(name).items()}
    if words is not None:
        return code_set(words)
    if column == "event_type":
        return {name: entity.meaning for name, entity in entities().items() if entity.event}
    return {"how": {}}.get(column, _MATCHES if column.endswith("_match") else _BOOLEAN)


def _write_suppressed(
    con: duckdb.DuckDBPyConnection, table: str, within: Sequence[str], columns: Mapping[str, str], path: Path,
    min_cell: int,
) -> None:  # fmt: skip
    """Writes counts without the small ones; where these make a small sum, the next smallest goes with them.

    Args:
        con: A connection with the table; its count is called `rows`.
        table: Name of the table.
        within: The columns whose groups have a known total.
        columns: What is written, `suppressed` among it.
        path: The CSV file.
        min_cell: Counts from 1 to below it are small.
    """
    group = ", ".join(map(quoted, within))
    chosen = ", ".join(
        f"CASE WHEN NOT hidden THEN {quoted(c)} END AS {quoted(c)}" if c == "rows"
        else "hidden AS suppressed" if c == "suppressed" else quoted(c)
        for c in columns
    )  # fmt: skip
    query = f"""(
        SELECT {chosen} FROM (
            SELECT *, small OR (alone AND "rows" > 0 AND place = 1) AS hidden FROM (
                SELECT *, coalesce(sum("rows") FILTER (small) OVER (PARTITION BY {group}) < {min_cell}, false) AS alone,
                    row_number() OVER (PARTITION BY {group}, small OR "rows" = 0 ORDER BY "rows") AS place
                FROM (SELECT *, "rows" > 0 AND "rows" < {min_cell} AS small FROM {quoted(table)})))
        ORDER BY ALL)"""
    write_csv(con, query, columns, path)


def write_losses(con: duckdb.DuckDBPyConnection, told: Told, path: Path) -> None:
    """Writes what the mapping to common terms loses: the agencies' terms without an exact one, and rows by match.

    A line with a `term` is one of a crosswalk; a line without one counts rows that go out by the match of their code.
    """
    counts = [
        f"""SELECT _agency AS agency, {literal(table.table)} AS "table", {literal(column)} AS "column",
            {quoted(f"{MATCH}{column}")} AS match, NULL::VARCHAR AS term, NULL::VARCHAR AS label,
            NULL::VARCHAR AS common, count(*) AS "rows"
        FROM {table.given} WHERE {quoted(f"{MATCH}{column}")} IS NOT NULL GROUP BY ALL"""
        for table in told.tables
        for column, words in counted_columns(table).items()
        if words and table.table in entities() and column in entities()[table.table].columns and words != "agency"
    ]
    counted = {name: kind for name, kind in LOSS_COLUMNS.items() if name != "suppressed"}
    con.register("lost_term", _lost_terms(told))
    con.execute(f"CREATE OR REPLACE TEMP TABLE mapping_loss AS {_union(counts, counted)}")
    con.execute("INSERT INTO mapping_loss BY NAME SELECT * FROM lost_term")
    _write_suppressed(con, "mapping_loss", ["agency", "table", "column", "term"], LOSS_COLUMNS, path, told.min_cell)


def _lost_terms(told: Told) -> pa.Table:
    rows = [
        {"agency": name, "table": table.table, "column": column, "match": entry.match, "term": entry.value,
         "label": entry.label or None, "common": entry.common}
        for table in told.tables
        for column in table.columns
        for name in told.agreement.parties.discloser
        if name in told.agencies
        for entry in _entries(told.agencies[name], table.table, column)
        if entry.match != "exact" or entry.common is None
    ]  # fmt: skip
    names = ("agency", "table", "column", "match", "term", "label", "common")
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in names]))


def _entries(agency: Agency, table: str, column: str) -> list[Entry]:
    """The lines of the crosswalks through which an agency's codes reach a column."""
    found: dict[str, None] = {}
    for feed in agency.feeds.values():
        for row in feed.entities.get(table, ()):
            element = feed.elements.get(row.get(column, ""))
            if element is not None and element.code is not None:
                found[element.code.crosswalk] = None
    return [entry for name in found for entry in agency.crosswalks[name].entries]


def quality(con: duckdb.DuckDBPyConnection, told: Told, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """How good the links are: the snapshot's figures by pair of sources, and the persons who go out by group.

    Args:
        con: The connection with the record's tables.
        told: What goes out.
        manifest: The snapshot's.
    """
    figures = manifest["quality"]
    pairs = figures.get("decisions", [])
    kept = [pair for pair in pairs if all(not 0 < n < told.min_cell for n in pair.values() if isinstance(n, int))]
    return {
        "snapshot_id": manifest["snapshot_id"], "model": figures.get("model"), "min_cell": told.min_cell,
        "estimates": figures.get("estimates"), "pairs_by_source": kept, "pairs_left_out": len(pairs) - len(kept),
        "persons_by_group": _by_group(con, told),
    }  # fmt: skip


def _by_group(con: duckdb.DuckDBPyConnection, told: Told) -> list[dict[str, Any]]:
    """Persons who go out by sex, race and age, where the agreement names demographic facts: how they were linked."""
    people = " UNION ".join(f"SELECT _person FROM {t.given}" for t in told.tables)
    if Sensitivity.DEMOGRAPHIC not in told.agreement.classes or not people:
        return []
    groups = " UNION ALL ".join(
        f'SELECT {literal(by)} AS "by", coalesce({sql}, \'not known\') AS "group", * FROM released'
        for by, sql in (("all", "'all'"), ("sex", "sex"), ("race", "race"), ("age", "age_band"))
    )
    found = con.sql(f"""
        WITH described AS (SELECT person_id, mode(sex) AS sex, mode(race) AS race FROM person_demographic GROUP BY 1),
        released AS (
            SELECT p.mentions, p.agencies, p.lowest_weight, d.sex, d.race, s.age_band
            FROM person p SEMI JOIN ({people}) g ON g._person = p.person_id
            JOIN subject s USING (person_id) LEFT JOIN described d USING (person_id))
        SELECT "by", "group", count(*) AS persons, avg((mentions > 1)::INTEGER) AS linked,
            avg((agencies > 1)::INTEGER) AS several_agencies, median(lowest_weight) AS weakest_link_median,
            quantile_cont(lowest_weight, 0.1) AS weakest_link_tenth
        FROM ({groups}) GROUP BY ALL ORDER BY ALL
    """).to_arrow_table().to_pylist()  # fmt: skip
    return _without_small(found, told.min_cell)


def _without_small(rows: list[dict[str, Any]], min_cell: int) -> list[dict[str, Any]]:
    """Groups without the figures of small ones; where these make a small sum, the next smallest goes with them."""
    hidden = {(row["by"], row["group"]) for row in rows if row["persons"] < min_cell}
    for by in {row["by"] for row in rows}:
        mine = sorted((row for row in rows if row["by"] == by), key=lambda row: int(row["persons"]))
        small = [row for row in mine if (by, row["group"]) in hidden]
        if 0 < sum(int(row["persons"]) for row in small) < min_cell:
            hidden |= {(by, row["group"]) for row in mine[: len(small) + 1]}
    return [
        {**row, "suppressed": False} if (row["by"], row["group"]) not in hidden
        else {"by": row["by"], "group": row["group"], "suppressed": True}
        for row in rows
    ]  # fmt: skip


def notice(told: Told, governance: Governance, *, destroy_by: date) -> str:
    """What the recipient must keep to, in words."""
    agreement = told.agreement
    assert agreement.redisclosure is not None and agreement.destruction is not None  # a DUL says both
    passing = "is allowed within the agreement" if agreement.redisclosure.allowed else "is not allowed"
    lines = [
        f"# Notice to {governance.parties.parties[told.policy.recipient].name}", "",
        f"This release is given under {agreement.id} ({agreement.title}) for {told.policy.purpose} and nothing else.",
        f"Passing it on {passing}." + "".join(f" {name} applies." for name in agreement.redisclosure.notice),
        "Nobody may try to find out whom a row is about.",
        f"Counts below {told.min_cell} may not be shown, nor what would let them be worked out.",
        f"Use ends on {agreement.expires}. By {destroy_by} it is to be destroyed ({agreement.destruction.method})"
        + (", with a certificate." if agreement.destruction.certificate else "."),
        "A row that a later release retracts (retractions.csv) is to be taken out of all that was made of it.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
