"""Precision and recall of persons against a truth, overall and by pair of sources; nothing here decides anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from linkage.groups import GroupScore, Shares, evaluate_groups
from standard.errors import LinkageError
from store.home import connect, literal, sql_path


@dataclass(frozen=True)
class Score(Shares):
    """Pairs of records of one person: how many are true, how many were found, how many of these rightly."""

    sources: str
    true: int
    found: int
    right: int


@dataclass(frozen=True)
class Evaluation:
    """All that a truth tells of links.

    Attributes:
        linked: Pairs linked directly.
        joined: Pairs within persons: overall first, then by pair of sources.
        persons: Persons that are whole and alone (exactly the mentions of one true person), of true persons and found.
        groups: Pairs within persons by race, sex and age group; none without a people table.
        mentions: Mentions that have a truth.
    """

    linked: Score
    joined: list[Score]
    persons: Score
    groups: list[GroupScore]
    mentions: int


def evaluate_links(links: Path, truth: Path, *, people: Path | None = None, on: date) -> Evaluation:
    """Everything about a folder of links against a truth.

    Args:
        links: Folder of edges.parquet and persons.parquet.
        truth: Parquet or CSV with record_id, truth and optionally source; mentions without a truth do not count.
        people: Their people table in the common columns, for the groups.
        on: The day on which ages are counted.

    Raises:
        LinkageError: The truth cannot be read, lacks a column, or knows none of the mentions.
    """
    joined = evaluate(links / "persons.parquet", truth)
    with connect() as con:
        _tables(con, links / "persons.parquet", truth)
        mentions = int(con.sql("SELECT count(*) FROM placed").fetchall()[0][0])
        if not mentions:
            raise LinkageError(
                "the truth knows none of the mentions",
                where=str(truth),
                mend="its record_id must be those of the people",
            )
        groups = evaluate_groups(con, people, on=on) if people else []
        persons = _whole_persons(con)
    return Evaluation(evaluate_edges(links / "edges.parquet", truth), joined, persons, groups, mentions)


def _whole_persons(con: duckdb.DuckDBPyConnection) -> Score:
    true, found, right = con.sql(
        """WITH found AS (
            SELECT count(DISTINCT truth) AS truths, any_value(truth) AS truth, count(*) AS n
            FROM placed GROUP BY person_id
        ), true_ones AS (SELECT truth, count(*) AS n FROM placed GROUP BY truth)
        SELECT (SELECT count(*) FROM true_ones), (SELECT count(*) FROM found),
            (SELECT count(*) FROM found JOIN true_ones USING (truth, n) WHERE truths = 1)"""
    ).fetchall()[0]
    return Score("whole persons", int(true), int(found), int(right))


def evaluate(persons: Path, truth: Path) -> list[Score]:
    """Pairs in the closure of the clusters: first overall, then by pair of sources.

    Args:
        persons: Parquet with record_id, person_id.
        truth: Parquet or CSV with record_id, truth and, for pairs of sources, source; records without truth do
            not count.
    """
    with connect() as con:
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
    with connect() as con:
        con.execute("CREATE TEMP TABLE truth AS SELECT record_id::VARCHAR AS record_id, truth FROM " + _reader(truth))
        con.execute(
            "CREATE TEMP TABLE edge AS SELECT record_l, record_r FROM read_parquet(?) WHERE decision = 'link'",
            [sql_path(edges)],
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
    if path.suffix == ".parquet":
        return f"read_parquet({literal(path)})"
    return f"read_csv({literal(path)}, all_varchar = true, header = true)"


def _tables(con: duckdb.DuckDBPyConnection, persons: Path, truth: Path) -> None:
    """Makes `placed`: record_id, person_id, truth, source of every mention that has a truth."""
    try:
        con.execute(f"CREATE TEMP VIEW truth AS SELECT * FROM {_reader(truth)}")
    except duckdb.Error:
        raise LinkageError(
            "the truth cannot be read", where=str(truth), mend="give a Parquet file or a CSV with a header"
        ) from None
    columns = {name for (name,) in con.sql("SELECT column_name FROM (DESCRIBE truth)").fetchall()}
    if missing := sorted({"record_id", "truth"} - columns):
        raise LinkageError(
            f"the truth has no column {' and '.join(missing)}", where=str(truth),
            mend="give two columns: record_id (the mention; in a record agency/table/key), truth (who it really is)",
        )  # fmt: skip
    source = "t.source::VARCHAR" if "source" in columns else "'all'"
    con.execute(
        f"""CREATE TEMP TABLE placed AS
        SELECT p.record_id, p.person_id, t.truth::VARCHAR AS truth, {source} AS source
        FROM {_reader(persons)} p JOIN truth t ON t.record_id::VARCHAR = p.record_id WHERE t.truth IS NOT NULL"""
    )
