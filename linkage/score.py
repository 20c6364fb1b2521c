"""A model file and the guard compiled to SQL: the weight of a pair, and what each comparison adds to it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

AT_ONCE = 50_000
SLACK = 1e-6  # sums in another order differ in the last digits
_COSTLY = re.compile(r"levenshtein|jaro|list_")

# An edit distance with transpositions costs five times one without, which bounds it from both sides.
_DISTANCE = re.compile(
    r"(?<![-+*/] )((?:\d+ \* )?)damerau_levenshtein\(([\w\[\]]+), ([\w\[\]]+)\) (<=|<|=) (\d+)"
    r"((?: \* greatest\(len\(\w+\), len\(\w+\)\))?)(?!\s*[-+*/.\d])"
)


@dataclass(frozen=True)
class Compared:
    """The SQL of one comparison over rows with the columns of both mentions (`_l` and `_r`)."""

    name: str
    level: str
    """Which level a pair reaches: its gamma."""
    plain_level: str
    """The same as the model has it: longer to work out, shorter to plan."""
    weights: dict[str, str]
    """What `gamma_<name>` adds to the weight, by column."""
    most: str
    """What it may add at most."""
    cost: int
    """How many texts or lists it compares."""

    @property
    def total(self) -> str:
        """What it adds."""
        return " + ".join(f"({sql})" for sql in self.weights.values())


@dataclass(frozen=True)
class Scorer:
    """The SQL of one model."""

    prior: float
    """Weight (log2 odds) of a pair before anything is compared."""
    columns: tuple[str, ...]
    """The columns of `mention` that are read."""
    comparisons: tuple[Compared, ...]

    def sql(self, both: str, *, least_weight: float | None = None, staged: bool = True) -> str:
        """Scores of the rows of `both` (id_l, id_r, stated and the columns of both mentions).

        Gives id_l, id_r, weight (log2 odds), probability, and of every comparison its level gamma_* (-1 not known) and
        weight mw_*; mw_tf_adj_* is what the frequency of a name adds. Pairs below `least_weight` are left out, unless
        the agency itself states them; if `staged`, these are not compared to the end, which pays for many pairs. Of few
        the query is shorter: to plan it takes longer than to run it.
        """
        columns = {name: sql for compared in self.comparisons for name, sql in compared.weights.items()}
        weights = ", ".join(
            ", ".join([f"gamma_{c.name}", *(f"{sql} AS {name}" for name, sql in c.weights.items())])
            for c in self.comparisons
        )
        if not staged:
            levels = self._levels(both, {c.name: c.plain_level for c in self.comparisons})
        elif least_weight is None:
            levels = self._levels(both, {c.name: c.level for c in self.comparisons})
        else:
            levels = self._levels_within_reach(both, least_weight)
        enough = "" if least_weight is None else f"WHERE stated OR weight >= {least_weight!r}"
        return (
            "SELECT * EXCLUDE (stated), 1 / (1 + pow(2::DOUBLE, -weight)) AS probability FROM ("
            f"SELECT *, {self.prior!r}::DOUBLE + {' + '.join(columns)} AS weight FROM ("
            f"SELECT id_l, id_r, stated, {weights} FROM ({levels}))) {enough}"
        )

    def _levels(self, both: str, levels: Mapping[str, str]) -> str:
        return f"SELECT *, {', '.join(f'{sql} AS gamma_{name}' for name, sql in levels.items())} FROM {both}"

    def _levels_within_reach(self, both: str, least_weight: float) -> str:
        """The levels, the cheap ones first; the rest is not looked at where even the best could not lift a pair to the
        least weight. Nothing is lost above it."""
        most = " + ".join(f"({c.most})" for c in self.comparisons)
        query = f"SELECT *, {self.prior!r}::DOUBLE + {most} AS reach FROM {both}"
        for c in sorted(self.comparisons, key=lambda c: c.cost):
            hopeless = f"reach < {least_weight - SLACK!r} AND NOT stated"
            query = f"SELECT *, CASE WHEN {hopeless} THEN NULL ELSE {c.level} END AS gamma_{c.name} FROM ({query})"
            query = f"SELECT * REPLACE (coalesce(reach - ({c.most}) + {c.total}, reach) AS reach) FROM ({query})"
        return f"SELECT * FROM ({query}) WHERE stated OR reach >= {least_weight - SLACK!r}"


def scorer_of(model: dict[str, Any], *, prior: float) -> Scorer:
    """Compiles a trained model (Splink's JSON); `prior` is the weight of a pair before anything is compared."""
    comparisons = model["comparisons"]
    text = " ".join(level["sql_condition"] for comparison in comparisons for level in comparison["comparison_levels"])
    read = {word[:-2] for word in re.findall(r"\b\w+_[lr]\b", text)}
    frequencies = {f"tf_{column}" for comparison in comparisons for column in _frequencies(comparison)}
    return Scorer(prior, tuple(sorted(read | frequencies)), tuple(_compared(comparison) for comparison in comparisons))


def _compared(comparison: dict[str, Any]) -> Compared:
    name, levels = comparison["output_column_name"], _levels(comparison)
    plain = _level_of([(gamma, level["sql_condition"]) for gamma, level in levels])
    bounded = _level_of([(gamma, cheaper(level["sql_condition"])) for gamma, level in levels])
    adds = {f"mw_{name}": {gamma: f"{_log_ratio(level)!r}" for gamma, level in levels}}
    if _frequencies(comparison):
        adds[f"mw_tf_adj_{name}"] = _rarity(comparison)
    each = [" + ".join(column[gamma] for column in adds.values()) for gamma, _ in levels]
    return Compared(
        name=name,
        level=bounded,
        plain_level=plain,
        weights={column: _case(name, weights) for column, weights in adds.items()},
        most=f"greatest({', '.join(sorted(set(each)))})" if len(adds) > 1 else repr(max(map(float, each))),
        cost=len(_COSTLY.findall(bounded)),
    )


def _level_of(conditions: list[tuple[int, str]]) -> str:
    cases = [f"ELSE {gamma}" if sql == "ELSE" else f"WHEN {sql} THEN {gamma}" for gamma, sql in conditions]
    return f"(CASE {' '.join(cases)} END)::INTEGER"


def both_sides(left: pa.Table, right: pa.Table, **ids: npt.NDArray[np.int32]) -> pa.Table:
    """The rows of two tables side by side, their columns marked `_l` and `_r`, in parts that threads can share."""
    columns = {f"{name}_l": left[name] for name in left.schema.names}
    columns |= {f"{name}_r": right[name] for name in right.schema.names}
    columns |= {name: pa.array(values) for name, values in ids.items()}
    table = pa.table(columns).combine_chunks()
    return pa.Table.from_batches(table.to_batches(max_chunksize=AT_ONCE), table.schema)


def joined(pairs: str, columns: tuple[str, ...]) -> str:
    """The same as a query over the table `mention` and a table of pairs (id_l, id_r, stated)."""
    both = ", ".join(f"{side}.{name} AS {name}_{side}" for side in "lr" for name in columns)
    return (
        f"(SELECT p.id_l, p.id_r, p.stated, {both} FROM {pairs} p "
        "JOIN mention l ON l.id = p.id_l JOIN mention r ON r.id = p.id_r)"
    )


def score(
    con: duckdb.DuckDBPyConnection, pairs: str, scorer: Scorer, *, into: str, least_weight: float | None = None
) -> None:
    """Makes the table `into` (Scorer.sql) of pairs of mentions.

    Args:
        con: Holds `mention`.
        pairs: Table with id_l, id_r.
        scorer: The compiled model.
        into: Table that is made.
        least_weight: Pairs below it are left out.
    """
    both = joined(f"(SELECT id_l, id_r, false AS stated FROM {pairs})", scorer.columns)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS {scorer.sql(both, least_weight=least_weight)}")


def _levels(comparison: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The levels with their gamma; -1 says that there is nothing to compare, 0 is the last."""
    levels = comparison["comparison_levels"]
    told = [level for level in levels if not level.get("is_null_level")]
    nothing = [(-1, level) for level in levels if level.get("is_null_level")]
    return nothing + list(zip(range(len(told) - 1, -1, -1), told, strict=True))


def _case(name: str, weights: dict[int, str]) -> str:
    cases = " ".join(f"WHEN {gamma} THEN {weight}::DOUBLE" for gamma, weight in weights.items())
    return f"CASE gamma_{name} {cases} END"


def _log_ratio(level: dict[str, Any]) -> float:
    if level.get("is_null_level"):
        return 0.0
    return math.log2(level["m_probability"] / level["u_probability"])


def _frequencies(comparison: dict[str, Any]) -> set[str]:
    return {c for level in comparison["comparison_levels"] if (c := level.get("tf_adjustment_column"))}


def _rarity(comparison: dict[str, Any]) -> dict[int, str]:
    """For each gamma what the frequency of the value adds: log2 of u over the greater of the two frequencies."""
    adds = {gamma: "0.0" for gamma, _ in _levels(comparison)}
    for gamma, level in _levels(comparison):
        column, weight = level.get("tf_adjustment_column"), level.get("tf_adjustment_weight", 1.0)
        if not column or not weight:
            continue
        exact = level if level.get("disable_tf_exact_match_detection") else _exact(comparison, column)
        least = float(level.get("tf_minimum_u_value", 0.0))
        common = f"greatest(tf_{column}_l, tf_{column}_r, {least!r})"
        adds[gamma] = (
            f"(CASE WHEN coalesce(tf_{column}_l, tf_{column}_r) IS NULL THEN 0.0 ELSE "
            f"{float(weight)!r} * ({math.log2(exact['u_probability'])!r} - log2({common})) END)"
        )
    return adds


def _exact(comparison: dict[str, Any], column: str) -> dict[str, Any]:
    """The level on which the column is the same on both sides: its u is what frequencies are measured against."""
    wanted = f"{column}_l={column}_r"
    return next(
        level
        for level in comparison["comparison_levels"]
        if level["sql_condition"].replace('"', "").replace(" ", "").lower() == wanted
    )


def cheaper(condition: str) -> str:
    """The same condition, with the costly edit distance only where cheaper ones leave doubt."""

    def bounded(found: re.Match[str]) -> str:
        times, one, other, compares, number, of = found.groups()
        plain, costly, twice = f"{times}levenshtein({one}, {other})", found.group(), f"{2 * int(number)}{of}"
        if compares == "=":
            return f"({plain} BETWEEN {number}{of} AND {twice} AND {costly})"
        longer = f"{times}abs(strlen({one}) - strlen({other})) {compares} {number}{of}"
        return f"({longer} AND ({plain} {compares} {number}{of} OR ({plain} {compares} {twice} AND {costly})))"

    return _DISTANCE.sub(bounded, condition)
