"""Precision and recall by group of persons (race, sex, age), so that no group is linked worse unseen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from store.home import literal

AGES = ((6, "0 to 5"), (13, "6 to 12"), (18, "13 to 17"), (25, "18 to 24"), (65, "25 to 64"), (200, "65 and more"))
"""Below so many years -> the name of the group."""


class Shares:
    """What follows from counts of pairs: how many are true, how many were found, how many of these rightly."""

    true: int
    found: int
    right: int

    @property
    def precision(self) -> float:
        """Share of the pairs found that are right; 1 where none was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the true pairs that were found; 1 where there is none."""
        return self.right / self.true if self.true else 1.0


@dataclass(frozen=True)
class GroupScore(Shares):
    """Pairs of one group: how many are true, found, right; a false pair counts for the groups of both its persons."""

    by: str
    group: str
    true: int
    found: int
    right: int

    @property
    def false_per_1000(self) -> float:
        """False pairs for every thousand true ones."""
        return 1000 * (self.found - self.right) / self.true if self.true else 0.0


def evaluate_groups(con: duckdb.DuckDBPyConnection, people: Path, *, on: date) -> list[GroupScore]:
    """Pairs within persons by race, sex and age group.

    The group of a true person is what most of its mentions say; mentions that say nothing follow the others.

    Args:
        con: Holds `placed` (record_id, person_id, truth) of the mentions with a truth.
        people: Their people table in the common columns (Parquet).
        on: The day on which ages are counted.
    """
    ages = " ".join(f"WHEN years < {below} THEN {literal(name)}" for below, name in AGES)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE said AS
        WITH told AS (
            SELECT p.truth, upper(m.race) AS race, upper(m.sex) AS sex,
                date_diff('year', m.birth_date, DATE {literal(on.isoformat())}) AS years
            FROM placed p JOIN read_parquet({literal(people)}) m USING (record_id)
        )
        SELECT truth, mode(race ORDER BY race) AS race, mode(sex ORDER BY sex) AS sex,
            mode(CASE {ages} END ORDER BY years) AS age FROM told GROUP BY truth"""
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE joined AS
        SELECT l.truth AS a, r.truth AS b, count(*) AS pairs
        FROM placed l JOIN placed r ON l.person_id = r.person_id AND l.record_id < r.record_id GROUP BY ALL"""
    )
    return [score for by in ("race", "sex", "age") for score in _of(con, by)]


def _of(con: duckdb.DuckDBPyConnection, by: str) -> list[GroupScore]:
    rows = con.execute(
        f"""WITH grouped AS (SELECT truth, coalesce({by}::VARCHAR, 'not known') AS grp FROM said),
        true_pairs AS (
            SELECT grp, sum(n * (n - 1) // 2) AS n FROM (SELECT truth, count(*) AS n FROM placed GROUP BY truth)
            JOIN grouped USING (truth) GROUP BY grp),
        both_sides AS (
            SELECT unnest(list_distinct([l.grp, r.grp])) AS grp, pairs, a = b AS is_right
            FROM joined JOIN grouped l ON l.truth = a JOIN grouped r ON r.truth = b),
        found AS (SELECT grp, sum(pairs) AS n, sum(pairs) FILTER (is_right) AS right_ones FROM both_sides GROUP BY grp)
        SELECT grp, coalesce(t.n, 0), coalesce(f.n, 0), coalesce(f.right_ones, 0)
        FROM true_pairs t FULL JOIN found f USING (grp) ORDER BY grp"""
    ).fetchall()
    return [GroupScore(by, group, int(true), int(found), int(right)) for group, true, found, right in rows]
