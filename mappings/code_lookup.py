"""SQL that looks a code up in its crosswalk: never more than one line for a value, a scope and a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from mappings.conversions import cases
from mappings.crosswalks import APPLIED, Crosswalk, Entry
from store.home import literal

_COLUMNS = "(value, scope, since, until, undated, common, match)"


@dataclass(frozen=True)
class CodeNames:
    """SQL identifiers: the code as sent, the values of the elements that give its scope and its day, if any."""

    text: str
    scope: str | None
    day: str | None


@dataclass(frozen=True)
class CodeLookup:
    """Joins to make, and the common code, its match, the problem and the missing reason that they give."""

    joins: list[str]
    common: str
    match: str
    problem: str
    missing: str


def look_up(alias: str, crosswalk: Crosswalk, names: CodeNames, *, element: str, blank: str) -> CodeLookup:
    """The SQL of one code element.

    Args:
        alias: A name no other lookup of the statement has.
        crosswalk: Its lines; a line of the row's own scope goes before a line for any scope.
        names: Where the code, its scope and its day stand.
        element: Its name, for problem and reason.
        blank: The missing reason of a blank for which the crosswalk has no line.
    """
    scoped = [entry for entry in crosswalk.entries if entry.scope]
    general = [entry for entry in crosswalk.entries if not entry.scope]
    parts = [(f"{alias}s", scoped, names.scope), (f"{alias}g", general, None)]
    found = [(name, entries, scope) for name, entries, scope in parts if entries]
    joins = [_join(name, crosswalk, entries, scope, names) for name, entries, scope in found]
    first = [name for name, _, _ in found]
    common = _first_found(first, "common")
    match = _first_found(first, "match")
    known = " OR ".join(f"{name}.value IS NOT NULL" for name in first) or "false"
    applied = f"{match} IN ({', '.join(literal(word) for word in sorted(APPLIED))})"
    return CodeLookup(
        joins,
        f"CASE WHEN {applied} THEN {common} END",
        f"CASE WHEN {known} THEN {match} WHEN {names.text} IS NOT NULL THEN 'unmapped' END",
        cases((
            (f"{names.text} IS NULL OR ({known}) AND {applied}", ""),
            (f"{known}", f"{element}:not_applied_code"),
            ("true", f"{element}:unmapped_code"),
        )),
        cases((
            (f"{applied} AND {common} IS NOT NULL", ""),
            (f"{names.text} IS NULL", f"{element}:{blank}"),
            (f"({known}) AND {applied}", f"{element}:not_applicable"),
            ("true", f"{element}:unknown"),
        )),
    )  # fmt: skip


def _first_found(aliases: list[str], column: str) -> str:
    if not aliases:
        return "CAST(NULL AS VARCHAR)"
    return cases_of([(f"{name}.value IS NOT NULL", f"{name}.{column}") for name in aliases])


def cases_of(choices: Iterable[tuple[str, str]]) -> str:
    """An SQL CASE giving the first expression whose condition holds."""
    return f"CASE {' '.join(f'WHEN {condition} THEN {value}' for condition, value in choices)} END"


def _join(alias: str, crosswalk: Crosswalk, entries: list[Entry], scope: str | None, names: CodeNames) -> str:
    same_always = [entry for entry in crosswalk.undated() if entry in entries]
    lines = [_line(entry, undated=True) for entry in same_always]
    conditions = [f"{alias}.value = coalesce({names.text}, '')"]
    if scope is not None:
        conditions.append(f"{alias}.scope = CAST({scope} AS VARCHAR)")
    if names.day is not None:
        day = f"CAST({names.day} AS DATE)"
        lines += [_line(entry, undated=False) for entry in entries]
        conditions.append(
            f"CASE WHEN {day} IS NULL THEN {alias}.undated"
            f" ELSE NOT {alias}.undated AND {day} BETWEEN {alias}.since AND {alias}.until END"
        )
    return f"LEFT JOIN (VALUES {', '.join(lines)}) AS {alias}{_COLUMNS} ON {' AND '.join(conditions)}"


def _line(entry: Entry, *, undated: bool) -> str:
    common = literal(entry.common) if entry.common is not None else "CAST(NULL AS VARCHAR)"
    return (
        f"({literal(entry.value)}, {literal(entry.scope)}, {day_sql(entry.valid_from)}, {day_sql(entry.valid_to)}, "
        f"{str(undated).lower()}, {common}, {literal(entry.match)})"
    )


def day_sql(day: dt.date) -> str:
    """A day as SQL."""
    return f"DATE {literal(day.isoformat())}"
