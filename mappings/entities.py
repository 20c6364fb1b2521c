"""From the rows in force of all feeds to one Parquet file per entity of the common schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from mappings.check_entities import find_element
from mappings.compile import element_columns, install_macros, template_sql
from mappings.declarations import Feed
from mappings.load import Agency
from mappings.scoped_codes import resolved_sql
from standard.code_sets import code_set
from standard.errors import ExtractError
from standard.schema import Column, Entity, entities
from store.at_once import at_once
from store.home import connect, literal, quoted, sql_path, written_whole
from store.parquet import read_schema, write_table

_ROW_COLUMNS = {"_key": "VARCHAR", "_record": "BIGINT", "_line": "BIGINT", "_missing": "VARCHAR",
                "_extract": "VARCHAR", "_since": "DATE"}  # fmt: skip


def project_entities(
    agencies: Mapping[str, Agency], states: Mapping[tuple[str, str], Path], into: Path, *, memory_limit: str = "1GB"
) -> dict[str, Path]:
    """Writes every entity of the common schema, also those without rows.

    Args:
        agencies: The agencies by name.
        states: (agency, feed) -> the file of the feed's rows in force; a feed without one gives no rows.
        into: The folder that gets `<entity>.parquet`, each with the columns of `Entity.stored_columns`.
        memory_limit: What DuckDB may use; it spills below `into` beyond.

    Returns:
        Entity -> its file. Rows stand in the order of agencies, feeds and their states, so the same states give the
        same rows in the same order.
    """
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = {name: into / f"{name}.parquet" for name in entities()}
    with _connect(states, into, memory_limit) as connection:

        def write(name: str) -> None:
            entity = entities()[name]
            selects = [select for agency in agencies.values() for select in _of_agency(entity, agency, states)]
            with connection.cursor() as cursor:
                _write(cursor, entity, selects, written[name])

        at_once(write, written)
    return written


def _connect(states: Mapping[tuple[str, str], Path], into: Path, memory_limit: str) -> duckdb.DuckDBPyConnection:
    connection = connect(temp=into / ".spill", memory_limit=memory_limit)
    install_macros(connection)
    # The feed's own rows stay the side of a join that streams: in their order, and not gathered in memory.
    connection.execute("SET disabled_optimizers = 'build_side_probe_side,join_order'")
    paths = ", ".join(literal(path.resolve()) for path in states.values())
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute(f"SET allowed_directories = [{literal(f'{sql_path(into.resolve())}/')}]")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _write(connection: duckdb.DuckDBPyConnection, entity: Entity, selects: list[str], path: Path) -> None:
    with written_whole(path.resolve()) as part:
        if not selects:
            write_table(pa.Table.from_pylist([], schema=entity.arrow_schema()), part)
            return
        rows = " UNION ALL ".join(selects)
        try:
            connection.execute(
                f"COPY ({rows}) TO {literal(part)} (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 40960)"
            )
        except duckdb.Error as error:
            # DuckDB's words may hold a value; its kind of error does not.
            raise ExtractError(
                f"the entity {entity.entity} cannot be projected ({type(error).__name__})",
                where=", ".join(
                    sorted({match for select in selects for match in re.findall(r"/\* (.*?) \*/", select)})
                ),
                mend="make room on the disk, or mend the SQL of these declarations",
            ) from None


def _of_agency(entity: Entity, agency: Agency, states: Mapping[tuple[str, str], Path]) -> list[str]:
    if entity.entity == "agency":
        return [_agency_row(entity, agency)]
    return [
        _Projection(entity, agency, feed, number, row, states).select()
        for feed in agency.feeds.values()
        if (agency.agency, feed.feed) in states
        for number, row in enumerate(feed.entities.get(entity.entity, ()))
    ]


def _agency_row(entity: Entity, agency: Agency) -> str:
    given = {
        "agency_id": agency.agency, "name": agency.name, "sector": agency.sector, "sector_match": "exact",
        "state": agency.state, "ori": agency.ori, "feed": "agency", "source_key": agency.agency,
    }  # fmt: skip
    values = {name: literal(value) for name, value in given.items() if value is not None}
    values["row_id"] = f"md5({literal(f'{agency.agency}|agency')})"
    return f"SELECT {_typed(entity, values)}"


def _typed(entity: Entity, values: Mapping[str, str]) -> str:
    """Every stored column of an entity in order, NULL where no value is given."""
    return ", ".join(
        f"CAST({values.get(name, 'NULL')} AS {kind}) AS {quoted(name)}"
        for name, kind in entity.stored_columns().items()
    )


@dataclass(frozen=True)
class _Projection:
    """One entity row of one feed."""

    entity: Entity
    agency: Agency
    feed: Feed
    number: int
    row: Mapping[str, str]
    states: Mapping[tuple[str, str], Path]

    def select(self) -> str:
        """The entity's rows: of those in force the ones that make the row and have what it requires."""
        values = self._provenance() | {"missing": "told.missing"}
        for name, value in self.row.items():
            if name != "when":
                values |= self._filled(name, value)
        required = [values[name] for name, column in self.entity.columns.items() if column.required]
        conditions = [f"{value} IS NOT NULL" for value in required]
        if "when" in self.row:
            conditions.append(f"(\n{self.row['when']}\n)")
        place = f"/* {self.agency.agency}/{self.feed.feed}.yaml */"
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        # NULL equals NULL here, so that a row without missing reasons finds its line too.
        told = f"LEFT JOIN ({self._told()}) AS told ON told._missing IS NOT DISTINCT FROM own._missing"
        return f"SELECT {place} {_typed(self.entity, values)} FROM ({self._own()}) AS own {told}{where}"

    def _own(self) -> str:
        """The feed's rows in force, with what they look up in other feeds as structs."""
        columns = [f"own.{quoted(name)}" for name in _available(self.feed)] + ["own._since AS as_of"]
        joins = []
        for alias, lookup in self.feed.lookups.items():
            used = self._used(alias)
            if not used:
                continue
            other = self.agency.feeds[lookup.feed]
            packed = ", ".join(f"{quoted(name)} := {quoted(alias)}.{quoted(name)}" for name in used)
            columns.append(f"struct_pack({packed}) AS {quoted(alias)}")
            on = " AND ".join(
                f"own.{quoted(own)} = {quoted(alias)}.{quoted(theirs)}" for own, theirs in lookup.on.items()
            )
            joins.append(f"LEFT JOIN ({self._in_force(other)}) AS {quoted(alias)} ON {on}")
        return f"SELECT {', '.join(columns)} FROM ({self._in_force(self.feed)}) AS own {' '.join(joins)}"

    def _used(self, alias: str) -> list[str]:
        """The columns of a looked-up feed that this entity row names."""
        found = set(re.findall(rf"\b{re.escape(alias)}\.\"?([a-z][a-z0-9_]*)", " ".join(self.row.values())))
        columns = element_columns(self.agency.feeds[self.feed.lookups[alias].feed])
        return [
            name for name in columns if name in found or name.removesuffix("_source").removesuffix("_match") in found
        ]

    def _in_force(self, feed: Feed) -> str:
        """Rows in force of a feed; an element that its file does not have yet (a newer declaration) is NULL."""
        columns = _available(feed)
        path = self.states.get((self.agency.agency, feed.feed))
        if path is None:
            nothing = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
            return f"SELECT {nothing} WHERE false"
        there = set(read_schema(path).names)
        source = f"(SELECT * FROM read_parquet({literal(path.resolve())}) WHERE _deleted IS NULL)"
        rows = resolved_sql(feed, source, columns=there, state_of=self._state_of)
        selected = [
            quoted(name) if name in there else f"CAST(NULL AS {kind}) AS {quoted(name)}"
            for name, kind in columns.items()
        ]
        return f"SELECT {', '.join(selected)} FROM {rows}"

    def _state_of(self, feed: str) -> Path | None:
        return self.states.get((self.agency.agency, feed))

    def _told(self) -> str:
        """Each set of missing reasons there is, as reasons of the entity's columns: far fewer than rows."""
        reasons = [
            f"{literal(f'{name}:')} || nullif(regexp_extract(_missing, {literal(f'(?:^| ){value}:([a-z_]+)')}, 1), '')"
            for name, value in self.row.items()
            if name != "when" and value in self.feed.elements
        ]
        missing = f"nullif(concat_ws(' ', {', '.join(reasons)}), '')" if reasons else "CAST(NULL AS VARCHAR)"
        return (
            f"SELECT _missing, {missing} AS missing FROM (SELECT DISTINCT _missing FROM ({self._in_force(self.feed)}))"
        )

    def _filled(self, name: str, value: str) -> dict[str, str]:
        """A column of the entity and, for a code, its source and match."""
        column = self.entity.columns[name]
        if value.startswith("="):
            return {name: literal(value[1:])}
        text = template_sql(value, _named) if "{" in value else _named(value)
        if column.type == "reference":
            return {name: f"{literal(f'{self.agency.agency}/')} || CAST({text} AS VARCHAR)"}
        if column.type == "code" and "{" not in value:
            return self._code(name, column, value, text)
        return {name: text}

    def _code(self, name: str, column: Column, value: str, text: str) -> dict[str, str]:
        element, _ = find_element(self.feed, self.agency.feeds, value)
        assert element is not None
        assert column.code_set is not None
        if element.code is not None:
            source, match = _named(f"{value}_source"), _named(f"{value}_match")
            return {name: text, f"{name}_source": source, f"{name}_match": match}
        known = f"{text} IN ({', '.join(literal(code) for code in code_set(column.code_set))})"
        return {
            name: f"CASE WHEN {known} THEN {text} END",
            f"{name}_source": text,
            f"{name}_match": f"CASE WHEN {known} THEN 'exact' WHEN {text} IS NOT NULL THEN 'unmapped' END",
        }

    def _provenance(self) -> dict[str, str]:
        identity = f"{self.agency.agency}|{self.feed.feed}|{self.entity.entity}|{self.number}|"
        return {
            "agency_id": literal(self.agency.agency), "feed": literal(self.feed.feed), "source_key": "_key",
            "row_id": f"md5({literal(identity)} || _key)", "extract_id": "_extract", "record": "_record",
            "line": "_line", "as_of": "_since",
        }  # fmt: skip


def _available(feed: Feed) -> dict[str, str]:
    return _ROW_COLUMNS | element_columns(feed)


def _named(name: str) -> str:
    """`element` or `lookup.element` as SQL over the feed's own rows."""
    return ".".join(quoted(part) for part in name.split("."))
