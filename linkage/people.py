"""People tables: one row per mention of a person in the common columns, read from any file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import duckdb

from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError, LinkageError
from store.home import connect, literal

COLUMNS = {
    "record_id": "VARCHAR",
    "source": "VARCHAR",
    "given": "VARCHAR",
    "middle": "VARCHAR",
    "surname": "VARCHAR",
    "suffix": "VARCHAR",
    "other_names": "STRUCT(given VARCHAR, middle VARCHAR, surname VARCHAR)[]",
    "birth_date": "DATE",
    "birth_precision": "VARCHAR",
    "birth_damaged": "VARCHAR",
    "sex": "VARCHAR",
    "race": "VARCHAR",
    "ssn": "VARCHAR",
    "student_id": "VARCHAR",
    "identifiers": "VARCHAR[]",
    "addresses": "STRUCT(line1 VARCHAR, line2 VARCHAR, city VARCHAR, zip VARCHAR)[]",
    "phones": "VARCHAR[]",
    "relatives": "VARCHAR[]",
    "same_as": "VARCHAR",
    "related": "VARCHAR[]",
    "born_before": "DATE",
    "adopted": "BOOLEAN",
    "placeholder": "BOOLEAN",
}
FLAT = ("address", "city", "zip", "phone")


class ColumnMap(Declared):
    """How a file's columns become the common ones; several columns are joined by a space.

    Keys of `columns` are common columns (or address, city, zip, phone), values one column or a list of columns.
    """

    described_in: ClassVar[str] = "kith link in docs/command_line.md"

    columns: dict[str, str | list[str]]
    birth_date_format: str | None = None


def read_column_map(path: Path) -> ColumnMap:
    """Reads a column map; an unknown common column is an error with file and line."""
    return read_declaration(path, ColumnMap)


def read_header(path: Path) -> list[str]:
    """The columns of a people table, in their order.

    Raises:
        LinkageError: The file cannot be read.
    """
    with connect() as con:
        return list(_read_file(con, path, rows=0))


def count_people(path: Path) -> int:
    """How many mentions a people table has.

    Raises:
        LinkageError: The file cannot be read.
    """
    with connect() as con:
        _read_file(con, path)
        return int(con.execute("SELECT count(*) FROM people_file").fetchall()[0][0])


def read_people(
    con: duckdb.DuckDBPyConnection, path: Path, columns: ColumnMap | None = None, *, only: Sequence[str] | None = None
) -> list[str]:
    """Makes the table `people` in the common columns from a Parquet or CSV file; returns the columns that were missing.

    Beside the common columns it has `_content`, a hash of all of them but record_id. Where `only` some records (by
    their record_id) are wanted, no other is read.

    Raises:
        LinkageError: The file cannot be read, or record_id is missing, empty or not unique.
        DeclarationError: The column map names columns that do not exist.
    """
    con.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    types = _read_file(con, path)
    chosen = columns or ColumnMap(columns={name: name for name in types if name in COLUMNS or name in FLAT})
    _check_map(chosen, types, path)
    given = {name: _joined(value) for name, value in chosen.columns.items()}
    select = [f"{_common(name, given, types, chosen)} AS {name}" for name in COLUMNS]
    content = ", ".join(name for name in COLUMNS if name != "record_id")
    try:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE people AS SELECT *, hash({content}) AS _content "
            f"FROM (SELECT {', '.join(select)} FROM people_file) "
            + ("" if only is None else f"WHERE record_id IN ({', '.join(map(literal, only))})")
        )
    except (duckdb.DataError, duckdb.BinderException, duckdb.NotSupportedError) as error:
        raise LinkageError(
            "a column of the people table has a type that the common columns cannot take",
            where=str(path),
            mend="send dates as YYYY-MM-DD (or give birth_date_format), lists as lists of text",
        ) from error
    except duckdb.Error as error:
        raise _unreadable(path) from error
    con.execute("DROP VIEW people_file")
    _check_records(con, path)
    return [
        name
        for name in COLUMNS
        if name not in given and not _from_flat(name, given) and not (name == "birth_damaged" and "birth_date" in given)
    ]


def _read_file(con: duckdb.DuckDBPyConnection, path: Path, *, rows: int | None = None) -> dict[str, str]:
    limit = "" if rows is None else f" LIMIT {rows}"
    read = "read_parquet({})" if path.suffix == ".parquet" else "read_csv({}, all_varchar = true, header = true)"
    try:
        con.execute(f"CREATE OR REPLACE TEMP VIEW people_file AS SELECT * FROM {read.format(literal(path))}{limit}")
        return dict(con.sql("SELECT column_name, column_type FROM (DESCRIBE people_file)").fetchall())
    except duckdb.Error as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> LinkageError:
    return LinkageError(
        "the people table cannot be read", where=str(path), mend="give a Parquet file or a CSV with a header"
    )


def _check_map(chosen: ColumnMap, types: Mapping[str, str], path: Path) -> None:
    unknown = sorted(set(chosen.columns) - set(COLUMNS) - set(FLAT))
    named = {c for value in chosen.columns.values() for c in ([value] if isinstance(value, str) else value)}
    absent = sorted(named - set(types))
    if unknown or absent:
        raise DeclarationError(
            f"the common columns have no {', '.join(unknown)}" if unknown else f"the file has no {', '.join(absent)}",
            where=str(path),
            mend=f"the column map names common columns ({', '.join([*COLUMNS, *FLAT])}) and columns of the file",
        )
    if "record_id" not in chosen.columns:
        raise LinkageError(
            "the people table has no record_id",
            where=str(path),
            mend="name so the column that tells rows apart, or say in a column map (--columns) which one it is",
        )


def _joined(value: str | list[str]) -> str:
    names = [value] if isinstance(value, str) else value
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"concat_ws(' ', {', '.join(quoted)})"


def _from_flat(name: str, given: Mapping[str, str]) -> bool:
    return (name == "addresses" and bool({"address", "city", "zip"} & set(given))) or (
        name == "phones" and "phone" in given
    )


def _common(name: str, given: Mapping[str, str], types: Mapping[str, str], chosen: ColumnMap) -> str:
    """The SQL of one common column."""
    if name == "birth_damaged" and name not in given:
        return _damaged(given.get("birth_date"), types, chosen.birth_date_format or "%Y-%m-%d")
    if name not in given:
        return _flat(name, given)
    column = given[name]
    kind = types.get(column.strip('"'), "VARCHAR")
    if name == "birth_date" and kind == "VARCHAR":
        formats = [chosen.birth_date_format] if chosen.birth_date_format else ["%Y-%m-%d", "%Y%m%d"]
        return f"try_strptime({column}, [{', '.join(repr(f) for f in formats)}])::DATE"
    if COLUMNS[name] == "VARCHAR[]" and not kind.endswith("[]"):
        return f"CASE WHEN {column} IS NOT NULL THEN [{column}::VARCHAR] END"
    if COLUMNS[name] == "VARCHAR":
        return f"nullif(trim({column}::VARCHAR), '')"
    return f"{column}::{COLUMNS[name]}"


def _damaged(column: str | None, types: Mapping[str, str], written: str) -> str:
    """The SQL of a birth date in which single characters cannot be read: YYYYMMDD with ? for these, else NULL."""
    widths = {"%Y": 4, "%m": 2, "%d": 2}
    if column is None or types.get(column.strip('"'), "VARCHAR") != "VARCHAR" or not all(p in written for p in widths):
        return "NULL::VARCHAR"
    spread = written.replace("%Y", "YYYY").replace("%m", "mm").replace("%d", "dd")
    places = [spread.index(sign) + 1 for sign in ("YYYY", "mm", "dd")]
    parts = [f"substr({column}, {at}, {width})" for at, width in zip(places, widths.values(), strict=True)]
    digits = f"regexp_replace({' || '.join(parts)}, '[^0-9]', '?', 'g')"
    unread = f"len({column}) = {len(spread)} AND len(replace({digits}, '?', '')) >= 6"
    return f"CASE WHEN try_strptime({column}, '{written}') IS NULL AND {unread} THEN {digits} END"


def _flat(name: str, given: Mapping[str, str]) -> str:
    if name == "addresses" and _from_flat(name, given):
        parts = {"line1": given.get("address"), "line2": None, "city": given.get("city"), "zip": given.get("zip")}
        fields = ", ".join(
            f"{part} := nullif(trim(({column or 'NULL'})::VARCHAR), '')" for part, column in parts.items()
        )
        return f"[struct_pack({fields})]"
    if name == "phones" and _from_flat(name, given):
        return f"CASE WHEN {given['phone']} IS NOT NULL THEN [{given['phone']}::VARCHAR] END"
    return "'people'" if name == "source" else f"NULL::{COLUMNS[name]}"


def _check_records(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    row = con.sql("SELECT count(*), count(record_id), count(DISTINCT record_id) FROM people").fetchall()[0]
    if not row[0] == row[1] == row[2]:
        raise LinkageError(
            f"record_id must name each row once: {row[0]} rows, {row[0] - row[1]} without, {row[2]} different",
            where=str(path),
            mend="give every mention of a person a key of its own",
        )
