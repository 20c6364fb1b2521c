"""Codes whose list stands in the row of another feed: what they mean in each scope, and which scope a row is in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from mappings.code_lookup import CodeNames, day_sql
from mappings.conversions import cases
from mappings.crosswalks import APPLIED, Crosswalk, Entry
from mappings.declarations import Feed
from store.home import literal, quoted
from store.parquet import read_schema

SCOPES_TYPE = "MAP(VARCHAR, STRUCT(common VARCHAR, match VARCHAR))"
"""Of the column `x_scopes`: scope ('' = any) -> what the row's code means there."""

StateOf = Callable[[str], Path | None]
"""A feed of the agency -> its rows in force, or None before its first extract."""


@dataclass(frozen=True)
class ScopesLookup:
    """A join to make, and the SQL of what a code means in every scope (`SCOPES_TYPE`; NULL: in none)."""

    join: str
    scopes: str


def look_up_scopes(alias: str, crosswalk: Crosswalk, names: CodeNames) -> ScopesLookup:
    """The meanings of a code on its day by scope; which of them holds is chosen by `resolved_sql`."""
    lines: dict[str, list[str]] = {}
    undated = crosswalk.undated()
    for entry in crosswalk.entries:
        kept = [_line(entry, undated=True)] if entry in undated else []
        kept += [_line(entry, undated=False)] if names.day is not None else []
        lines.setdefault(entry.value, []).extend(kept)
    rows = ", ".join(f"({literal(value)}, [{', '.join(kept)}])" for value, kept in lines.items() if kept)
    told = f"VALUES {rows}" if rows else f"SELECT NULL::VARCHAR, NULL::{_LINE_TYPE}[] WHERE false"
    day = f"CAST({names.day} AS DATE)" if names.day is not None else "CAST(NULL AS DATE)"
    holds = (
        f"list_filter({alias}.lines, lambda line: CASE WHEN {day} IS NULL THEN line.undated"
        f" ELSE NOT line.undated AND {day} BETWEEN line.since AND line.until END)"
    )
    meaning = "struct_pack(common := line.common, match := line.match)"
    entries = f"lambda line: struct_pack(key := line.scope, value := {meaning})"
    return ScopesLookup(
        f"LEFT JOIN ({told}) AS {alias}(value, lines) ON {alias}.value = coalesce({names.text}, '')",
        f"CAST(map_from_entries(list_transform({holds}, {entries})) AS {SCOPES_TYPE})",
    )


_LINE_TYPE = "STRUCT(scope VARCHAR, since DATE, until DATE, undated BOOLEAN, common VARCHAR, match VARCHAR)"


def _line(entry: Entry, *, undated: bool) -> str:
    common = literal(entry.common) if entry.common is not None else "NULL"
    return (
        f"CAST(struct_pack(scope := {literal(entry.scope)}, since := {day_sql(entry.valid_from)},"
        f" until := {day_sql(entry.valid_to)}, undated := {str(undated).lower()}, common := {common},"
        f" match := {literal(entry.match)}) AS {_LINE_TYPE})"
    )


def resolved_sql(feed: Feed, source: str, *, columns: Collection[str], state_of: StateOf) -> str:
    """A relation of a feed's mapped rows in which each code of another row's scope has its meaning.

    Args:
        feed: The feed.
        source: The relation, as SQL that can follow FROM; with `_problems` and `_missing`.
        columns: The columns it has: of rows that were mapped before a code had such a scope nothing is changed.
        state_of: Where the rows stand that give the scopes.

    Returns:
        The relation with x, `x_match`, `_problems` and `_missing` put right, and `x_scope` added, the scope as the
        agency writes it. While the row that gives the scope is not in force, an unseen code is no problem yet.
    """
    codes = [name for name in feed.scoped_by_lookup if f"{name}_scopes" in columns]
    if not codes:
        return source
    joins, replaced, added = [], [], []
    problems, missing = ["own._problems"], ["own._missing"]
    for number, name in enumerate(codes):
        parent = f"scope{number}"
        scope, join = _scope(feed, name, parent, state_of)
        if join:
            joins.append(join)
        lookup = feed.lookups[feed.scoped_by_lookup[name][0]]
        named = " AND ".join(f"own.{quoted(own)} IS NOT NULL" for own in lookup.on)
        found = _Found(feed, name, scope, f"{named} AND {parent}._key IS NULL" if join else named)
        replaced += [f"{found.common} AS {quoted(name)}", f"{found.match} AS {quoted(f'{name}_match')}"]
        added.append(f"{scope} AS {quoted(f'{name}_scope')}")
        problems.append(found.problem)
        missing.append(found.missing)
    replaced += [
        f"nullif(concat_ws(' ', {', '.join(told)}), '') AS {column}"
        for column, told in (("_problems", problems), ("_missing", missing))
    ]
    return f"(SELECT own.* REPLACE ({', '.join(replaced)}), {', '.join(added)} FROM {source} own {' '.join(joins)})"


def _scope(feed: Feed, name: str, parent: str, state_of: StateOf) -> tuple[str, str]:
    """SQL of a code's scope, and the join that gives it; without a join there is no such row yet."""
    alias, element = feed.scoped_by_lookup[name]
    lookup = feed.lookups[alias]
    path = state_of(lookup.feed)
    there = set(read_schema(path).names) if path is not None else set()
    told = f"{element}_source" if f"{element}_source" in there else element
    if path is None or not {told, *lookup.on.values()} <= there:
        return "CAST(NULL AS VARCHAR)", ""
    on = " AND ".join(f"own.{quoted(own)} = {parent}.{quoted(theirs)}" for own, theirs in lookup.on.items())
    rows = f"(SELECT * FROM read_parquet({literal(path.resolve())}) WHERE _deleted IS NULL)"
    return f"CAST({parent}.{quoted(told)} AS VARCHAR)", f"LEFT JOIN {rows} AS {parent} ON {on}"


class _Found:
    """SQL of what a code of a row means, as `mappings.code_lookup` gives it where the scope is the row's own."""

    def __init__(self, feed: Feed, name: str, scope: str, absent: str) -> None:
        scopes, text = f"own.{quoted(f'{name}_scopes')}", f"own.{quoted(f'{name}_source')}"
        line = f"coalesce({scopes}[{scope}], {scopes}[''])"
        applied = f"coalesce({line}.match IN ({', '.join(literal(word) for word in sorted(APPLIED))}), false)"
        self.common = f"CASE WHEN {applied} THEN {line}.common END"
        self.match = f"CASE WHEN {line} IS NOT NULL THEN {line}.match WHEN {text} IS NOT NULL THEN 'unmapped' END"
        # A blank that means something in some scope is found to be none only here.
        blank = f"{text} IS NULL AND {line} IS NULL AND {scopes} IS NOT NULL AND NOT ({absent})"
        self.problem = cases((
            (blank if feed.elements[name].required else "false", f"{name}:blank_required"),
            (f"{text} IS NULL OR {applied}", ""),
            (f"{line} IS NOT NULL", f"{name}:not_applied_code"),
            (absent, ""),
            ("true", f"{name}:unmapped_code"),
        ))  # fmt: skip
        self.missing = cases((
            (f"{self.common} IS NOT NULL", ""),
            (f"{text} IS NULL AND {line} IS NULL", f"{name}:{feed.elements[name].blank}"),
            (applied, f"{name}:not_applicable"),
            ("true", f"{name}:unknown"),
        ))  # fmt: skip
