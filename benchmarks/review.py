"""What 200 answers of a reviewer are worth: `python -m benchmarks.review FOLDER [SET ...]` over sets with known truth.

The truth answers the first pairs of the review queue, in rounds of 50 as a week of nights would; every round the set is
linked again with all judgements. FOLDER and SETs are those of benchmarks.linkage.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa

from linkage.evaluate import evaluate
from linkage.link import Links, link_people
from linkage.people import COLUMNS, read_column_map, read_people
from linkage.register import Judgement, Verdict, judgements_in_force
from linkage.review import OpenPair, queue
from store.home import connect, literal

MAPS = Path(__file__).parent / "linkage_sets"
ROUNDS, PER_ROUND = 4, 50
SETS = ("psp4_default",)
HEAD = ("set", "answers", "same", "different", "violated", "person P", "person R")


def simulate(folder: Path, name: str) -> list[str]:
    """The lines of one set, one for each round."""
    lines: list[str] = []
    said: list[Judgement] = []
    with tempfile.TemporaryDirectory() as work:
        truth = _prepare(folder / f"{name}.parquet", name, Path(work))
        links = _link(Path(work), said)
        lines.append(_line(name, links, said, Path(work)))
        for _ in range(ROUNDS):
            for pair in queue(links.into, said, limit=PER_ROUND):
                same = truth[pair.record_l] == truth[pair.record_r]
                said.append(_answer(len(said) + 1, pair, same=same))
            links = _link(Path(work), said)
            lines.append(_line(name, links, said, Path(work)))
    return lines


def _prepare(data: Path, name: str, work: Path) -> dict[str, str]:
    """Writes the people in the common columns and the truth; gives record_id -> truth."""
    with connect() as con:
        read_people(con, data, read_column_map(MAPS / f"{name}.yaml"))
        con.execute(f"COPY (SELECT {', '.join(COLUMNS)} FROM people) TO {literal(work / 'people.parquet')}")
        con.execute(
            f"""COPY (SELECT unique_id::VARCHAR AS record_id, source, truth::VARCHAR AS truth
            FROM read_parquet({literal(data)})) TO {literal(work / "truth.parquet")}"""
        )
        return dict(con.sql(f"SELECT record_id, truth FROM read_parquet({literal(work / 'truth.parquet')})").fetchall())


def _answer(number: int, asked: OpenPair, *, same: bool) -> Judgement:
    left, right = sorted((asked.record_l, asked.record_r))
    verdict = Verdict.SAME if same else Verdict.DIFFERENT
    return Judgement(number, left, right, verdict, "truth", "", "truth", None, 1, None, asked.reason)


def _link(work: Path, said: list[Judgement]) -> Links:
    links = link_people(work / "people.parquet", work / "links", secret=b"review", judgements=judgements_in_force(said))
    (links.into / "people.parquet").write_bytes((work / "people.parquet").read_bytes())
    return links


def _line(name: str, links: Links, said: list[Judgement], work: Path) -> str:
    persons = evaluate(links.into / "persons.parquet", work / "truth.parquet")[0]
    same = sum(j.verdict is Verdict.SAME for j in said)
    cells = (name, len(said), same, len(said) - same, _violated(links, judgements_in_force(said)),
             f"{persons.precision:.4f}", f"{persons.recall:.4f}")  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _violated(links: Links, judgements: pa.Table) -> int:
    """Judgements that the persons do not follow."""
    with duckdb.connect() as con:
        con.register("said", judgements)
        persons = f"read_parquet({literal(links.into / 'persons.parquet')})"
        found = con.sql(
            f"""SELECT count(*) FROM said JOIN {persons} l ON l.record_id = record_l
            JOIN {persons} r ON r.record_id = record_r WHERE same <> (l.person_id = r.person_id)"""
        )
        return int(found.fetchall()[0][0])


def main(folder: Path, names: list[str]) -> None:
    """Prints the table."""
    print("| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD))
    for name in names or SETS:
        print("\n".join(simulate(folder, name)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
