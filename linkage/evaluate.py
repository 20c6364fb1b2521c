"""Precision and recall of persons against a truth, overall and by pair of sources; nothing here decides anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class Score:
    """Pairs of records of one person: how many are true, how many were found, how many of these rightly."""

    sources: str
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


def evaluate(persons: Path, truth: Path) -> list[Score]:
    """Pairs in the closure of the clusters: first overall, then by pair of sources.

    Args:
        persons: Parquet with record_id, person_id.
        truth: Parquet or CSV with record_id, truth and, for pairs of sources, source; records without truth do
            not count.
    """
    with duckdb.connect() as con:
        _tables(con, persons, truth)
        overall = con.sql(
            """SELECT 'all', sum(n * (n - 1) // 2) FILTER (kind = 't'), sum(n * (n - 1) // 2) FILTER (kind = 'p'),
                sum(n * (n - 1) // 2) FILTER (kind = 'b')
            FROM (SELECT 't' AS kind, count(*) AS n FROM placed GROUP BY truth
                UNION ALL SELECT 'p', count(*) FROM placed GROUP BY person_id
                UNION ALL SELECT 'b', count(*) FROM placed GROUP BY truth, person_id)"""
        ).fetchall()
        by_source = con.sql(
            """WITH grouped AS (
                SELECT 't' AS kind, truth AS a, NULL AS b, source, count(*) AS n FROM placed GROUP BY ALL
                UNION ALL SELECT 'p', person_id, NULL, source, count(*) FROM placed GROUP BY ALL
                UNION ALL SELECT 'b', truth, person_id, source, count(*) FROM placed GROUP BY ALL
            ), pairs AS (
                SELECT l.kind, l.source || ' x ' || r.source AS sources,
                    CASE WHEN l.source = r.source THEN l.n * (l.n - 1) // 2 ELSE l.n * r.n END AS n
                FROM grouped l JOIN grouped r
                    ON l.kind = r.kind AND l.a = r.a AND l.b IS NOT DISTINCT FROM r.b AND l.source <= r.source
            )
            SELECT sources, sum(n) FILTER (kind = 't'), sum(n) FILTER (kind = 'p'), sum(n) FILTER (kind = 'b')
            FROM pairs GROUP BY sources ORDER BY sources"""
        ).fetchall()
    return [
        Score(name, int(true or 0), int(found or 0), int(right or 0))
        for name, true, found, right in overall + by_source
    ]


def evaluate_edges(edges: Path, truth: Path) -> Score:
    """Pairs linked directly, without what follows from the closure; every true pair counts, compared or not."""
    with duckdb.connect() as con:
        con.execute("CREATE TEMP TABLE truth AS SELECT record_id::VARCHAR AS record_id, truth FROM " + _reader(truth))
        con.execute(
            "CREATE TEMP TABLE edge AS SELECT record_l, record_r FROM read_parquet(?) WHERE decision = 'link'",
            [str(edges)],
        )
        found, right = con.sql(
            """SELECT count(*), count(*) FILTER (l.truth = r.truth)
            FROM edge JOIN truth l ON l.record_id = record_l JOIN truth r ON r.record_id = record_r"""
        ).fetchall()[0]
        true = con.sql("SELECT sum(n * (n - 1) // 2) FROM (SELECT count(*) AS n FROM truth GROUP BY truth)").fetchall()[
            0
        ][0]
    return Score("all", int(true or 0), int(found), int(right))


def _reader(path: Path) -> str:
    kind = "read_parquet" if path.suffix == ".parquet" else "read_csv"
    return f"{kind}('{str(path).replace(chr(39), chr(39) * 2)}')"


def _tables(con: duckdb.DuckDBPyConnection, persons: Path, truth: Path) -> None:
    con.execute(f"CREATE TEMP VIEW truth AS SELECT * FROM {_reader(truth)}")
    columns = {name for (name,) in con.sql("SELECT column_name FROM (DESCRIBE truth)").fetchall()}
    source = "t.source::VARCHAR" if "source" in columns else "'all'"
    con.execute(
        f"""CREATE TEMP TABLE placed AS
        SELECT p.person_id, t.truth::VARCHAR AS truth, {source} AS source
        FROM {_reader(persons)} p JOIN truth t ON t.record_id::VARCHAR = p.record_id WHERE t.truth IS NOT NULL"""
    )
