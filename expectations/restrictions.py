"""Which references a row in force restricts, as the agencies' withholding rules say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from expectations.dispositions import reference_sql
from expectations.relation import in_terms_sql
from mappings.compile import install_macros
from mappings.declarations import Feed
from mappings.load import Agency
from store.home import connect, literal
from store.state import rows_sql

_SCHEMA = pa.schema([("ref", pa.string()), ("reason", pa.string())])


def restricted_references(
    agencies: Mapping[str, Agency], states: Mapping[tuple[str, str], Path], *, as_of: date, temp: Path
) -> pa.Table:
    """The references that must not be passed on while the row in force says so.

    Args:
        agencies: The agencies by name.
        states: (agency, feed) -> the file of the feed's rows in force.
        as_of: The day for which the rules are asked.
        temp: Folder below the home in which work may spill.

    Returns:
        ref, reason; each once, sorted. References under a lasting order stand in the ledger instead.
    """
    selects = [
        select
        for agency in agencies.values()
        for feed in agency.feeds.values()
        for select in _of_feed(agency.agency, feed, states, as_of)
    ]
    if not selects:
        return _SCHEMA.empty_table()
    with connect(temp=temp) as con:
        install_macros(con)
        _let_read_only(con, states.values(), temp)
        found = con.sql(f"SELECT DISTINCT ref, reason FROM ({' UNION ALL '.join(selects)}) ORDER BY ALL")
        return found.to_arrow_table().cast(_SCHEMA)


def _let_read_only(con: duckdb.DuckDBPyConnection, paths: Iterable[Path], temp: Path) -> None:
    """The SQL of a declaration reaches the states and nothing else of this machine."""
    con.execute(f"SET allowed_paths = [{', '.join(literal(path.resolve()) for path in paths)}]")
    con.execute(f"SET allowed_directories = [{literal(f'{temp.resolve()}/')}]")
    con.execute("SET enable_external_access = false; SET lock_configuration = true")


def _of_feed(agency: str, feed: Feed, states: Mapping[tuple[str, str], Path], as_of: date) -> Iterator[str]:
    path = states.get((agency, feed.feed))
    rules = [rule for rule in feed.withhold if not rule.lasting]
    if path is None or not rules:
        return
    rows = in_terms_sql(
        feed, rows_sql(path.resolve()), as_of=as_of, state_of=lambda name: _resolved(states.get((agency, name)))
    )
    for rule in rules:
        ref = reference_sql(agency, rule)
        said = f"({rule.when}) AND {ref} IS NOT NULL"
        yield f"SELECT {ref} AS ref, {literal(rule.reason)} AS reason FROM {rows} WHERE {said}"


def _resolved(path: Path | None) -> Path | None:
    return path.resolve() if path is not None else None
