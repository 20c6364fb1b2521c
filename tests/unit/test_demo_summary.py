"""Precision and recall against the truth, on tables small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.summary import score_persons

# agency, table, key, person as linked, true person
MENTIONS = [
    ("schools", "students", "1", "P1", "ada"),
    ("police", "names", "1", "P1", "ada"),
    ("police", "names", "2", "P1", "bo"),  # linked wrongly
    ("court", "party", "1", "P2", "ada"),  # missed
    ("court", "party", "2", "P3", "cy"),
]


def scores_of(tmp_path: Path, *, unpublished: int = 0) -> tuple[dict[tuple[str, str], dict[str, object]], int]:
    columns = ["agency", "table", "source_key", "person_id"]
    pq.write_table(
        pa.table({name: [row[n] for row in MENTIONS] for n, name in enumerate(columns)}),
        tmp_path / "person_source.parquet",
    )
    lines = [",".join((row[0], row[1], row[2], row[4])) for row in MENTIONS]
    lines += [f"court,party,9{n},dee" for n in range(unpublished)]
    (tmp_path / "truth.csv").write_text(
        "\n".join(["agency,table_or_file,source_person_key,true_person_id", *lines]) + "\n"
    )
    scores, missing = score_persons(tmp_path / "person_source.parquet", tmp_path / "truth.csv")
    return {(str(row["agency"]), str(row["other_agency"])): dict(row) for row in scores}, missing


@pytest.mark.parametrize(
    ("agencies", "true", "linked", "right", "precision", "recall"),
    [
        (("all", "all"), 3, 3, 1, 0.3333, 0.3333),
        (("police", "schools"), 1, 2, 1, 0.5, 1.0),
        (("police", "police"), 0, 1, 0, 0.0, None),
        (("court", "schools"), 1, 0, 0, None, 0.0),
        (("court", "police"), 1, 0, 0, None, 0.0),
    ],
)
def test_pairs_are_counted_overall_and_by_two_agencies(
    tmp_path: Path, agencies: tuple[str, str], true: int, linked: int, right: int, precision: float, recall: float
) -> None:
    row = scores_of(tmp_path)[0][agencies]
    assert [row[name] for name in ("true_pairs", "linked_pairs", "right_pairs")] == [true, linked, right]
    assert (row["precision"], row["recall"]) == (precision, recall)


def test_the_row_for_all_agencies_stands_first(tmp_path: Path) -> None:
    assert next(iter(scores_of(tmp_path)[0])) == ("all", "all")


def test_mentions_of_the_truth_that_the_record_does_not_show_are_counted_and_not_scored(tmp_path: Path) -> None:
    scores, missing = scores_of(tmp_path, unpublished=2)
    assert missing == 2
    assert scores["all", "all"]["true_pairs"] == 3
