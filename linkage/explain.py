"""Why two records are one person or not: each comparison's level and weight, and the guard's word; never a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from linkage.guard import judge, levels_of, read_guard
from linkage.link import LinkageSettings
from linkage.model import prior_weight, read_model
from linkage.people import ColumnMap, count_people, read_people
from linkage.score import score, scorer_of
from linkage.standardise import standardise
from standard.errors import LinkageError


@dataclass(frozen=True)
class ComparisonWeight:
    """One comparison: the level the pair reached and what it adds to the weight, the rarity of a name apart."""

    comparison: str
    level: str
    weight: float
    rarity: float = 0.0


@dataclass(frozen=True)
class Explanation:
    """All that led to a decision; `prior` and the comparisons add up to `weight` (log2 odds)."""

    record_l: str
    record_r: str
    prior: float
    comparisons: tuple[ComparisonWeight, ...]
    weight: float
    probability: float
    stated: bool
    veto: str | None
    doubt: str | None
    decision: str


def explain_pair(
    people: Path,
    record_l: str,
    record_r: str,
    *,
    settings: LinkageSettings | None = None,
    columns: ColumnMap | None = None,
) -> Explanation:
    """Explains any pair of a people table, also one that was never compared because no key brought it together.

    Args:
        people: The people table that was linked (people.parquet beside the edges).
        record_l: One record_id.
        record_r: The other.
        settings: Those of the run.
        columns: The column map of the run, if it had one.

    Raises:
        LinkageError: One of the records is not in the table, or both are the same.
    """
    chosen = settings or LinkageSettings()
    model = read_model(chosen.model)
    with duckdb.connect(config={"threads": chosen.threads, "memory_limit": chosen.memory}) as con:
        read_people(con, people, columns, only=(record_l, record_r))
        standardise(con)
        _one_pair(con, record_l, record_r, people)
        prior = prior_weight(count_people(people))
        score(con, "asked", scorer_of(model, prior=prior), into="scored")
        judge(con, "scored", model, read_guard(), into="judged", no_families=chosen.no_families or 0.0)
        found = con.sql("FROM judged")
        row = dict(zip(found.columns, found.fetchall()[0], strict=True))
    compared = tuple(
        ComparisonWeight(
            name, _level(levels, row[f"gamma_{name}"]), row[f"mw_{name}"] or 0.0, row.get(f"mw_tf_adj_{name}") or 0.0
        )
        for name, levels in levels_of(model).items()
    )
    return Explanation(
        record_l=record_l,
        record_r=record_r,
        prior=prior,
        comparisons=compared,
        weight=row["weight"],
        probability=row["probability"],
        stated=row["stated"],
        veto=row["veto"],
        doubt=row["doubt"],
        decision=chosen.decide(row["weight"], stated=row["stated"], held=bool(row["veto"] or row["doubt"])),
    )


def _one_pair(con: duckdb.DuckDBPyConnection, record_l: str, record_r: str, people: Path) -> None:
    con.execute(
        """CREATE OR REPLACE TEMP TABLE asked AS
        SELECT min(id) AS id_l, max(id) AS id_r FROM mention WHERE record_id IN (?, ?) HAVING count(*) = 2""",
        [record_l, record_r],
    )
    if con.sql("SELECT count(*) FROM asked").fetchall()[0][0] != 1:
        raise LinkageError(
            "a pair needs two mentions of the people table",
            where=str(people),
            mend="name two different ones by record_id; of the record: agency/table/key",
        )


def _level(levels: list[str], gamma: int) -> str:
    return "not known" if gamma < 0 else levels[len(levels) - 1 - gamma]
