"""The guard over scored pairs: the rules of guard.yaml as one set-based statement that decides link, review or no."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb

from standard.declarations import Declared, read_declaration

RULES = Path(__file__).parent / "guard.yaml"
_OF_ONE_SIDE = re.compile(r"\b\w+_[lr]\b")


class Effect(StrEnum):
    """What a rule of the guard does to a pair."""

    APART = "apart"
    DOUBT = "doubt"


class Rule(Declared):
    """One rule: its name as it is shown, its effect, and when it applies (SQL)."""

    rule: str
    effect: Effect
    when: str


class Guard(Declared):
    """The facts rules are written in, and the rules in the order in which they are named."""

    facts: dict[str, str]
    rules: list[Rule]

    @property
    def columns(self) -> list[str]:
        """The columns of `mention` that are read."""
        text = " ".join([*self.facts.values(), *(rule.when for rule in self.rules)])
        return sorted({word[:-2] for word in _OF_ONE_SIDE.findall(text)})


def read_guard(path: Path = RULES) -> Guard:
    """Reads the guard's declaration."""
    return read_declaration(path, Guard)


def levels_of(model: dict[str, Any]) -> dict[str, list[str]]:
    """The words for the levels of every comparison, by gamma: the last word is gamma 0."""
    return {
        c["output_column_name"]: [
            level["label_for_charts"] for level in c["comparison_levels"] if not level.get("is_null_level")
        ]
        for c in model["comparisons"]
    }


def judge(
    con: duckdb.DuckDBPyConnection,
    scored: str,
    model: dict[str, Any],
    guard: Guard,
    *,
    into: str,
    no_families: float = 0.0,
) -> None:
    """Names the veto and the doubt of every scored pair.

    Args:
        con: Holds `mention`.
        scored: Table with id_l, id_r, weight and gamma_*.
        model: The model that scored it (for the words of its levels).
        guard: The rules.
        into: Table that is made: the columns of `scored`, stated (the agency itself says they are one) and veto, doubt
            (names of rules or NULL).
        no_families: Bits by which the table shows fewer relatives than one of families (linkage.families).
    """
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE {into} AS
        SELECT {_columns(con, scored)}, stated,
            {_first(guard, Effect.APART)} AS veto, {_first(guard, Effect.DOUBT)} AS doubt
        FROM ({with_facts(scored, model, guard, no_families=no_families)})"""
    )


def with_facts(scored: str, model: dict[str, Any], guard: Guard, *, no_families: float = 0.0) -> str:
    """SQL: scored pairs with the words of their levels, what the guard reads of both mentions, and its facts."""
    words = ", ".join(_word(name, levels) for name, levels in levels_of(model).items())
    facts = ", ".join(f"({sql}) AS {name}" for name, sql in guard.facts.items())  # a fact may use those above it
    sides = ", ".join(f"{side}.{name} AS {name}_{side}" for name in guard.columns for side in "lr")
    return (
        f"SELECT *, {facts} FROM (SELECT s.*, {words}, {sides}, {no_families!r}::DOUBLE AS no_families "
        f"FROM {scored} s JOIN mention l ON l.id = s.id_l JOIN mention r ON r.id = s.id_r)"
    )


def _word(name: str, levels: list[str]) -> str:
    cases = " ".join(f"WHEN {gamma} THEN '{label}'" for gamma, label in enumerate(reversed(levels)))
    return f"CASE s.gamma_{name} {cases} ELSE 'not known' END AS {name}"


def _first(guard: Guard, effect: Effect) -> str:
    cases = " ".join(f"WHEN ({r.when}) THEN '{r.rule}'" for r in guard.rules if r.effect == effect)
    return f"CASE {cases} END"


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> str:
    return ", ".join(str(column[0]) for column in con.execute(f"FROM {table} LIMIT 0").description or ())
