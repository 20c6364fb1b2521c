"""The tables of a release: what the decisions let out, treated, sorted so that their order tells nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from governance.apply import Decisions, decision_table
from governance.decide import Terms
from governance.disclosures import Part
from governance.load import Governance
from governance.policies import Policy
from governance.subjects import people_of
from record.outbound import formula_safe
from record.tables import MEANINGS, SUBJECTS, main_code
from releases.pseudonyms import treatments
from releases.reader import DATABASE, Format
from standard.schema import entities
from store.home import literal, quoted

ROWS = {"person": "r.person_id", "person_source": "md5(r.person_ref)",
        "timeline": "concat_ws('|', r.event_type, r.row_id, r.person_id)"}  # fmt: skip
"""Table -> SQL of what names a row for good, where that is not `row_id`."""
_TELL_OF_PERSONS = ["person_name", "person_demographic", "person_identifier", "address"]
MATCH = "_match_"
_ZSTD = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"


@dataclass(frozen=True)
class Decided:
    """One table of a release with all that the exchange itself must know of its rows.

    Attributes:
        table: Its name.
        columns: What goes out, in order.
        kinds: Their SQL types as they go out.
        rows: Parquet of every row of the record's table: `columns` as they go out, `_out` (whether the row does),
            `_kind`, `_row`, `_person`, `_agency`, `_extract`, other persons as `_also_<n>`, a case or report as
            `_container`, and for each code that goes out `_match_<code>`.
        decisions: What was decided.
    """

    table: str
    columns: tuple[str, ...]
    kinds: Mapping[str, str]
    rows: Path
    decisions: Decisions

    @property
    def source(self) -> str:
        """SQL of `rows`."""
        return f"read_parquet({literal(self.rows)})"

    @property
    def given(self) -> str:
        """SQL of the rows that go out."""
        return f"(FROM {self.source} WHERE _out)"


def decide_table(
    con: duckdb.DuckDBPyConnection, governance: Governance, terms: Terms, table: str, *, day: date, folder: Path
) -> Decided:
    """Decides on a table and writes all of its rows, as they would go out, into a private folder.

    Args:
        con: A connection after `attach_subjects` and `attach_keys`.
        governance: What is agreed.
        terms: By what is decided.
        table: A table that the policy names.
        day: The day of the decision.
        folder: Private to the exchange.
    """
    types = _types(con, table)
    decisions = decision_table(
        con, governance, terms, table, day=day, treat=treatments(table, types),
        beside=_beside(table, types, terms.policy),
    )  # fmt: skip
    path, query = folder / f"{table}.parquet", decisions.sql
    if _tells_existence(table, terms.policy):  # that there is one is told once
        query = f"SELECT * FROM ({query}) QUALIFY row_number() OVER (PARTITION BY _row ORDER BY _out DESC) = 1"
    con.execute(f"COPY ({_with_extracts(table, query)}) TO {literal(path)} ({_ZSTD})")
    path.chmod(0o600)
    written = _types(con, f"read_parquet({literal(path)})")
    return Decided(table, decisions.columns, {c: written[c] for c in decisions.columns}, path, decisions)


def _types(con: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    name = source if "(" in source else quoted(source)
    return {line[0]: line[1] for line in con.execute(f"DESCRIBE FROM {name}").fetchall()}


def _tells_existence(table: str, policy: Policy) -> bool:
    """Only that an agency knows a person goes out of the table, whatever the rows are that tell it."""
    return table == "involvement" and policy.involvement == "existence"


def _beside(table: str, types: Mapping[str, str], policy: Policy) -> dict[str, str]:
    """What the exchange itself must know of a row -> its SQL."""
    named, container = people_of(table)
    known = "concat_ws('|', r.person_id, r.agency_id)"
    row = known if _tells_existence(table, policy) else ROWS.get(table, "r.row_id")
    beside = {
        "_row": row, "_person": f"r.{named[0]}" if named else "NULL::VARCHAR", "_agency": "r._agency",
        "_extract": "r.extract_id" if "extract_id" in types else "NULL::VARCHAR",
    }  # fmt: skip
    beside |= {f"_also_{n}": f"r.{column}" for n, column in enumerate(named[1:])}
    if container:
        beside["_container"] = f"r.{container}"
    return beside | {
        f"{MATCH}{c}": f"r.{quoted(f'{c}_match')}" for c in policy.chosen()[table] if f"{c}_match" in types
    }


def _with_extracts(table: str, query: str) -> str:
    """The extract that brought a row, for the tables that are made of others': the newest of a person's."""
    if table not in MEANINGS:
        return query
    if table == "timeline":
        key, tables = "row_id", [name for name, entity in entities().items() if entity.event]
        own = "split_part(t._row, '|', 2)"
    else:
        key, tables = "person_id" if table == "person" else "md5(person_ref)", _TELL_OF_PERSONS
        own = "t._row"
    sources = [f"SELECT {key} AS own, extract_id, as_of FROM {quoted(name)}" for name in tables]
    return f"""SELECT t.* REPLACE (e.extract_id AS _extract) FROM ({query}) t LEFT JOIN (
        SELECT own, arg_max(extract_id, (as_of, extract_id)) AS extract_id FROM ({" UNION ALL ".join(sources)})
        GROUP BY own) e ON e.own = {own}"""


def write_tables(
    con: duckdb.DuckDBPyConnection, tables: list[Decided], folder: Path, format_: Format, treated: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes what goes out, and gives each table's entry for the manifest.

    Rows are sorted by what goes out of them: in the record's own order the releases of two recipients could be laid
    side by side.

    Args:
        con: A connection.
        tables: What was decided.
        folder: The recipient's.
        format_: parquet, csv or duckdb.
        treated: Table -> column -> treatment, for the manifest.
    """
    if format_ == "duckdb":
        con.execute(f"ATTACH {literal(folder / DATABASE)} AS given")
    else:
        (folder / "tables").mkdir(mode=0o700)
    entries = {t.table: _write_table(con, t, folder, format_) | {"treatments": treated[t.table]} for t in tables}
    if format_ == "duckdb":
        con.execute("DETACH given")
    return entries


def _write_table(con: duckdb.DuckDBPyConnection, table: Decided, folder: Path, format_: Format) -> dict[str, Any]:
    columns = ", ".join(map(quoted, table.columns))
    rows = f"SELECT {columns} FROM {table.source} WHERE _out ORDER BY ALL"
    told = {"rows": _count(con, table), "columns": dict(table.kinds)}
    if format_ == "duckdb":
        con.execute(f"CREATE TABLE given.main.{quoted(table.table)} AS {rows}")
        return {"file": DATABASE, **told}
    path = folder / "tables" / f"{table.table}.{format_}"
    if format_ == "csv":
        write_csv(con, f"({rows})", table.kinds, path)
    else:
        con.execute(f"COPY ({rows}) TO {literal(path)} ({_ZSTD})")
    return {"file": str(path.relative_to(folder)), **told}


def _count(con: duckdb.DuckDBPyConnection, table: Decided) -> int:
    return int(con.execute(f"SELECT count(*) FROM {table.given}").fetchall()[0][0])


def write_csv(con: duckdb.DuckDBPyConnection, source: str, kinds: Mapping[str, str], path: Path) -> None:
    """Writes rows as CSV that no spreadsheet runs and that reads back exactly (`releases.reader.csv_source`)."""
    texts = [name for name, kind in kinds.items() if kind == "VARCHAR"]
    cells = ", ".join(f"{formula_safe(quoted(c)) if c in texts else quoted(c)} AS {quoted(c)}" for c in kinds)
    quote = f", FORCE_QUOTE ({', '.join(map(quoted, texts))})" if texts else ""
    con.execute(f"COPY (SELECT {cells} FROM {source}) TO {literal(path)} (FORMAT csv, HEADER true{quote})")


def disclosed(tables: list[Decided]) -> Iterator[Part]:
    """For the register of disclosures: whose rows of which tables go out, everybody whom a row names among them."""
    for table in tables:
        named, container = people_of(table.table)
        whose = ["_person", *(f"_also_{n}" for n in range(len(named) - 1))]
        parts = [f"SELECT {column} AS person_id FROM {table.given}" for column in whose if named]
        if container:
            held_in, shared = next(each for each in SUBJECTS.values() if each[1] == container)
            parts.append(
                f"SELECT p.person_id FROM {table.given} g JOIN {quoted(held_in)} p ON p.{shared} = g._container"
            )
        if parts:
            yield table.table, table.columns, " UNION ".join(parts)


def counted_columns(table: Decided) -> dict[str, str | None]:
    """The columns of a table whose values the codebook counts -> the code set of their words, where they have one."""
    found: dict[str, str | None] = {}
    words = {"agency_id": "agency", "agency": "agency", "event_type": None, "how": None}
    for column in table.columns:
        declared = None if table.table in MEANINGS else entities()[table.table].columns.get(column)
        if declared is not None and declared.code_set:
            found[column] = declared.code_set
        elif table.kinds[column] == "BOOLEAN" or column.endswith("_match") or column in words:
            found[column] = words.get(column)
        elif (table.table, column) == ("timeline", "code"):
            found[column] = "event"
    return found


def event_code_sets() -> dict[str, str]:
    """The code sets from which the codes of the timeline come, by table."""
    found = {}
    for name, entity in entities().items():
        code = main_code(entity) if entity.event else None
        code_set = entity.columns[code].code_set if code else None
        if code_set:
            found[name] = code_set
    return found


def reasons_table(tables: list[Decided]) -> pa.Table:
    """Why values stay: table, kind, column, reason."""
    each = [
        t.decisions.reasons.add_column(0, "table", pa.array([t.table] * len(t.decisions.reasons), pa.string()))
        for t in tables
    ]
    return pa.concat_tables(each)
