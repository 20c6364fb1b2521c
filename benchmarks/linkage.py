"""How good and how fast linkage is: `python -m benchmarks.linkage FOLDER [SET ...]` over sets with known truth.

FOLDER holds <set>.parquet with unique_id, source, truth and identity columns; benchmarks/linkage_sets/<set>.yaml says
how these become the common columns. Every set runs in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from linkage.evaluate import evaluate, evaluate_edges
from linkage.link import link_file
from linkage.people import read_column_map

MAPS = Path(__file__).parent / "linkage_sets"
HEAD = ("set", "rows", "pairs", "seconds", "peak MiB", "pair P", "pair R", "person P", "person R", "pair R at P .995")


def measure(folder: Path, name: str) -> str:
    """One line of the table."""
    data = folder / f"{name}.parquet"
    with tempfile.TemporaryDirectory() as work:
        truth = Path(work) / "truth.parquet"
        began = time.perf_counter()
        links = link_file(data, Path(work) / "links", columns=read_column_map(MAPS / f"{name}.yaml"))
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        duckdb.read_parquet(str(data)).project("unique_id::VARCHAR AS record_id, source, truth").write_parquet(
            str(truth)
        )
        pairs = evaluate_edges(links.into / "edges.parquet", truth)
        persons = evaluate(links.into / "persons.parquet", truth)[0]
        swept = recall_at(links.into / "edges.parquet", truth, pairs.true)
    figures = (pairs.precision, pairs.recall, persons.precision, persons.recall, swept)
    cells = (name, links.people, links.pairs, f"{seconds:.1f}", peak, *(f"{figure:.4f}" for figure in figures))
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def recall_at(edges: Path, truth: Path, true: int, *, precision: float = 0.995) -> float:
    """The highest recall of pairs that no rule holds, over all link weights at which they are so precise."""
    found = duckdb.execute(
        """SELECT coalesce(max(right_ones), 0) FROM (
            SELECT count(*) FILTER (l.truth = r.truth) OVER heavier AS right_ones, count(*) OVER heavier AS found
            FROM read_parquet(?) JOIN read_parquet(?) l ON l.record_id = record_l
                JOIN read_parquet(?) r ON r.record_id = record_r
            WHERE veto IS NULL AND doubt IS NULL WINDOW heavier AS (ORDER BY weight DESC))
        WHERE right_ones >= ? * found""",
        [str(edges), str(truth), str(truth), precision],
    ).fetchall()
    return float(found[0][0]) / true


def main(folder: Path, names: list[str]) -> None:
    """Prints the table; sets that are not in the folder are named and left out."""
    print("| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD))
    for name in names or sorted(path.stem for path in MAPS.glob("*.yaml")):
        if not (folder / f"{name}.parquet").is_file():
            print(f"{name}: not in {folder}", file=sys.stderr)
            continue
        subprocess.run([sys.executable, "-m", "benchmarks.linkage", "--one", str(folder), name], check=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--one":
        print(measure(Path(sys.argv[2]), sys.argv[3]), flush=True)
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
