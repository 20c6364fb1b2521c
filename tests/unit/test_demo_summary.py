"""What the demo says at its end, on tables small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.summary import Summary, as_text, score_persons
from linkage.evaluate import Score

# agency, table, key, person as linked, true person
MENTIONS = [
    ("schools", "students", "1", "P1", "ada"),
    ("police", "names", "1", "P1", "ada"),
    ("police", "names", "2", "P1", "bo"),  # linked wrongly
    ("court", "party", "1", "P2", "ada"),  # missed
    ("court", "party", "2", "P3", "cy"),
]


def scores_of(tmp_path: Path, *, unpublished: int = 0) -> tuple[dict[str, Score], int]:
    persons = {"person_ref": ["/".join(row[:3]) for row in MENTIONS], "person_id": [row[3] for row in MENTIONS]}
    pq.write_table(pa.table(persons), tmp_path / "person_source.parquet")
    lines = [",".join((*row[:3], row[4])) for row in MENTIONS]
    lines += [f"court,party,9{n},dee" for n in range(unpublished)]
    header = "agency,table_or_file,source_person_key,true_person_id"
    (tmp_path / "truth.csv").write_text("\n".join([header, *lines]) + "\n")
    scores, missing = score_persons(tmp_path / "person_source.parquet", tmp_path / "truth.csv")
    return {score.sources: score for score in scores}, missing


@pytest.mark.parametrize(
    ("agencies", "true", "linked", "right"),
    [("all", 3, 3, 1), ("police x schools", 1, 2, 1), ("police x police", 0, 1, 0), ("court x schools", 1, 0, 0)],
)
def test_pairs_are_counted_overall_and_by_two_agencies(
    tmp_path: Path, agencies: str, true: int, linked: int, right: int
) -> None:
    score = scores_of(tmp_path)[0][agencies]
    assert (score.true, score.found, score.right) == (true, linked, right)


def test_mentions_of_the_truth_that_the_record_does_not_show_are_counted_and_not_scored(tmp_path: Path) -> None:
    scores, missing = scores_of(tmp_path, unpublished=2)
    assert missing == 2
    assert scores["all"].true == 3


def test_nothing_is_left_beside_the_truth(tmp_path: Path) -> None:
    scores_of(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["person_source.parquet", "truth.csv"]


def test_the_text_says_what_arrived_what_was_set_apart_and_how_right_the_links_are(tmp_path: Path) -> None:
    summary = Summary(
        intake=[{"agency": "schools", "feed": "students", "received": 7, "accepted": 6, "quarantined": 1}],
        reasons=[{"agency": "schools", "disposition": "quarantined", "reason": "orphan", "rows": 1}],
        files=[{"agency": "police", "file": "NIGHT_2.txt", "status": "held", "reason": "truncated"}],
        codes=[],
        persons=[{"agencies": 2, "persons": 1, "mentions": 3}],
        shared=[{"agency": "police", "other_agency": "schools", "persons": 1}],
        scores=list(scores_of(tmp_path)[0].values()),
        missing=4,
    )
    text = as_text(summary, {"record": Path("home/record")})
    for told in (
        "students",
        "orphan",
        "NIGHT_2.txt",
        "truncated",
        "police x schools",
        "0.3333",
        "4 mentions",
        "home/record",
    ):
        assert told in text
