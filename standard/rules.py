"""Rules of law that figures depend on, by state and date: juvenile age, truancy, school year."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

from standard.errors import DeclarationError

FOLDER = Path(__file__).parent / "rules"
_DATED = ("state", "valid_from", "valid_to", "statute")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "juvenile_age": ("youngest", "oldest"),
    "truancy": ("youngest", "oldest", "unexcused_days", "within"),
    "school_year": ("begins",),
}
"""Rule -> what it says. Ages are in completed years, both included; empty: the law names none. `begins` is MM-DD.
`unexcused_days` are reached within a month, quarter, school_year, 90_days or 6_months."""
_WITHIN = ("month", "quarter", "school_year", "90_days", "6_months")
Rule = Mapping[str, str]
"""One line of a rule's table, as text; an empty valid_from or valid_to has no bound."""


@cache
def read_rule(name: str, folder: Path = FOLDER) -> tuple[Rule, ...]:
    """The lines of a rule's table (`standard/rules/<name>.csv`), by state and date.

    Raises:
        DeclarationError: A column is missing or unknown, a value is none, no statute is named, or two lines of a
            state hold on the same day.
    """
    path = folder / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        if set(rows.fieldnames or ()) != {*_DATED, *COLUMNS[name]}:
            raise _wrong(path, 1, f"the columns are {', '.join((*_DATED[:3], *COLUMNS[name], _DATED[3]))}")
        found = [(rows.line_num, row) for row in rows]
    for line, row in found:
        _check(path, line, row)
    ordered = sorted(found, key=lambda each: (each[1]["state"], each[1].get("within", ""), each[1]["valid_from"]))
    for (_, before), (line, after) in pairwise(ordered):
        same = (before["state"], before.get("within")) == (after["state"], after.get("within"))
        if same and (not before["valid_to"] or after["valid_from"] <= before["valid_to"]):
            raise _wrong(path, line, "another line of the state holds on the same days")
    return tuple(row for _, row in ordered)


def _check(path: Path, line: int, row: Rule) -> None:
    tests: Mapping[str, Callable[[str], object]] = {
        "state": lambda text: re.fullmatch("[A-Z]{2}", text),
        "statute": bool,
        "valid_from": lambda text: not text or dt.date.fromisoformat(text),
        "valid_to": lambda text: not text or dt.date.fromisoformat(text),
        "youngest": lambda text: not text or text.isdecimal(),
        "oldest": str.isdecimal,
        "unexcused_days": str.isdecimal,
        "begins": lambda text: dt.date.fromisoformat(f"2001-{text}"),
        "within": _WITHIN.__contains__,
    }
    for column, text in row.items():
        try:
            good = tests[column](text)
        except (ValueError, TypeError):
            good = False
        if not good:
            raise _wrong(path, line, f"{column} is not what it must be")


def rule_macros() -> dict[str, str]:
    """SQL macros by name that answer by state and date; NULL where no rule of that state and day is known.

    `juvenile_youngest(state, day)`, `juvenile_oldest(state, day)`: completed years of age, both included.
    `is_juvenile(state, born, day)`: whether somebody is of an age at which an act of that day is a juvenile court's.
    `truant_days(state, day, within)`: unexcused days from which on a child is truant.
    `school_year_of(state, day)`: `2025-2026`.
    """
    ages, years = read_rule("juvenile_age"), read_rule("school_year")
    month, day = "substr({0}, 1, 2)::INT", "substr({0}, 4, 2)::INT"
    begins = _case(years, "begins", text=True)
    first = f"make_date(year(day), {month.format(begins)}, {day.format(begins)})"
    return {
        "juvenile_youngest": f"CREATE MACRO juvenile_youngest(state, day) AS {_case(ages, 'youngest')};\n",
        "juvenile_oldest": f"CREATE MACRO juvenile_oldest(state, day) AS {_case(ages, 'oldest')};\n",
        "is_juvenile": "CREATE MACRO is_juvenile(state, born, day) AS date_sub('year', born, day)"
        " BETWEEN coalesce(juvenile_youngest(state, day), 0) AND juvenile_oldest(state, day);\n",
        "truant_days": 'CREATE MACRO truant_days(state, day, "within") AS'
        f" {_case(read_rule('truancy'), 'unexcused_days')};\n",
        "school_year_of": "CREATE MACRO school_year_of(state, day) AS"
        f" CASE WHEN day >= {first} THEN year(day) || '-' || (year(day) + 1)"
        f" WHEN day < {first} THEN (year(day) - 1) || '-' || year(day) END;\n",
    }


def _case(rules: tuple[Rule, ...], column: str, *, text: bool = False) -> str:
    """CASE over `state`, `day` and, where the rule has it, `within`."""
    lines = []
    for rule in rules:
        if not rule[column]:
            continue
        holds = [f"state = '{rule['state']}'"]
        holds += [f"\"within\" = '{rule['within']}'"] if "within" in rule else []
        holds += [f"day >= DATE '{rule['valid_from']}'"] if rule["valid_from"] else ["day IS NOT NULL"]
        holds += [f"day <= DATE '{rule['valid_to']}'"] if rule["valid_to"] else []
        lines.append(f"WHEN {' AND '.join(holds)} THEN {repr(rule[column]) if text else rule[column]}")
    return f"CASE {' '.join(lines)} END"


def _wrong(path: Path, line: int, what: str) -> DeclarationError:
    return DeclarationError(what, where=f"{path}, line {line}", mend="see rules of law in docs/mapping.md")
