"""Precision and recall on person records with known truth, at the one default setting."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from linkage.evaluate import Score, evaluate, evaluate_edges
from linkage.link import link_file
from linkage.people import read_column_map

MAPS = Path(__file__).resolve().parents[2] / "benchmarks" / "linkage_sets"


def scored(shared: Path, name: str, folder: Path) -> tuple[Score, Score]:
    """Edges and persons of one set against its truth."""
    data = shared / "linkage" / f"{name}.parquet"
    if not data.is_file():
        pytest.skip(f"needs ../shared/linkage/{name}.parquet, which is not here")
    links = link_file(data, folder / "links", columns=read_column_map(MAPS / f"{name}.yaml"))
    truth = folder / "truth.parquet"
    duckdb.read_parquet(str(data)).project("unique_id::VARCHAR AS record_id, source, truth").write_parquet(str(truth))
    return evaluate_edges(links.into / "edges.parquet", truth), evaluate(links.into / "persons.parquet", truth)[0]


@pytest.mark.parametrize(
    ("name", "pair_recall", "person_recall"),
    [("psp4_default", 0.955, 0.97), ("febrl3", 0.90, 0.92), ("febrl4", 0.96, 0.96)],
)
def test_what_is_linked_is_right_and_most_is_found(
    shared: Path, tmp_path: Path, name: str, pair_recall: float, person_recall: float
) -> None:
    pairs, persons = scored(shared, name, tmp_path)
    assert pairs.precision >= 0.995 and persons.precision >= 0.995
    assert pairs.recall >= pair_recall and persons.recall >= person_recall


def test_no_group_is_linked_much_worse_than_another(shared: Path, tmp_path: Path) -> None:
    pairs = shared / "linkage" / "psp4_default.parquet"
    if not pairs.is_file():
        pytest.skip("needs ../shared/linkage/psp4_default.parquet, which is not here")
    links = link_file(pairs, tmp_path / "links", columns=read_column_map(MAPS / "psp4_default.yaml"))
    with duckdb.connect() as con:
        con.read_parquet(str(links.into / "persons.parquet")).create_view("person")
        con.read_parquet(str(pairs)).create_view("mention")
        con.execute(
            """CREATE TABLE placed AS
            SELECT p.person_id, m.truth, max(m.race_ethnicity) OVER (PARTITION BY m.truth) AS race
            FROM person p JOIN mention m ON m.unique_id = p.record_id"""
        )
        rows = con.sql(
            """SELECT l.race, count(*) FILTER (l.person_id = r.person_id) / count(*)
            FROM placed l JOIN placed r ON l.race = r.race AND l.truth = r.truth AND l.rowid < r.rowid
            GROUP BY l.race HAVING count(*) > 1000"""
        ).fetchall()
    recall = dict(rows)
    assert len(recall) >= 4 and min(recall.values()) >= max(recall.values()) - 0.05
