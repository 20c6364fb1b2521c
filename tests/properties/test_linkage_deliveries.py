"""What always holds of deliveries: people come, are corrected and go, and links end as if all came at once."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkage.judgements import SCHEMA
from linkage.link import LinkageSettings, Links, link_people
from tests.linkage_tables import person, write_people

GIVEN = ["Mia", "Maya", "Robert", "Bob", "Jayden", "Jaylen", "B", ""]
SURNAME = ["Orr", "Orr-Quist", "Quist", "Brankovic", "Branković"]
BORN = ["2012-03-04", "2012-04-03", "2012-03-05", "1984-03-04", ""]
HOMES = ["12 Alder St", "12 ALDER STREET APT 3", "9 Fern Ct", None]
SSNS = ["521457731", "521457732", None, None]
FEW = settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
SMALL_BLOCKS = LinkageSettings(block_cap=4)
Row = dict[str, Any]


def a_person(number: int, rng: random.Random) -> Row:
    agency = ("school", "court", "police")[number % 3]
    return person(
        f"{agency}/{number}",
        born=rng.choice(BORN),
        given=rng.choice(GIVEN) or None,
        surname=rng.choice(SURNAME),
        home=rng.choice(HOMES),
        ssn=rng.choice(SSNS),
        sex=rng.choice(["F", "M", None]),
        same_as=rng.choice([f"court/{rng.randrange(40)}", "school/MNI/1", None, None, None]),
    )


class Nights:
    """One home's links, night after night."""

    def __init__(self, folder: Path, chosen: LinkageSettings = SMALL_BLOCKS) -> None:
        self.folder, self.chosen, self.number = folder, chosen, 0
        self.known: Path | None = None

    def link(self, rows: list[Row], judged: pa.Table | None = None, **more: Any) -> Links:
        self.number += 1
        into = self.folder / f"night{self.number}"
        into.mkdir()
        people = write_people(rows, into / "people.parquet")
        links = link_people(people, into, secret=b"test", settings=self.chosen, known=self.known, judgements=judged,
                            index=self.folder / "index", **more)  # fmt: skip
        self.known = into / "persons.parquet"
        return links


def at_once(rows: list[Row], folder: Path, judged: pa.Table | None = None) -> Links:
    folder.mkdir()
    people = write_people(rows, folder / "people.parquet")
    return link_people(people, folder, secret=b"test", settings=SMALL_BLOCKS, judgements=judged)


def edges(links: Links) -> list[tuple[Any, ...]]:
    columns = [c for c in duckdb.read_parquet(str(links.into / "edges.parquet")).columns if c != "stated"]
    rounded = ", ".join(f"round({c}, 9)" if c.startswith(("mw_", "weight", "prob")) else c for c in sorted(columns))
    return duckdb.read_parquet(str(links.into / "edges.parquet")).project(rounded).order("ALL").fetchall()


def clusters(links: Links) -> list[tuple[str, str]]:
    return duckdb.read_parquet(str(links.into / "clusters.parquet")).order("ALL").fetchall()


@given(seed=st.integers(0, 10_000))
@FEW
def test_links_after_many_deliveries_are_those_of_one_load(seed: int) -> None:
    rng = random.Random(seed)
    rows = {number: a_person(number, rng) for number in range(40)}
    there = {number: row for number, row in rows.items() if rng.random() < 0.4}
    with tempfile.TemporaryDirectory() as folder:
        nights = Nights(Path(folder))
        nights.link(list(there.values()))
        for night in range(4):
            for number in rng.sample(sorted(rows), 6):
                match rng.choice(["come", "go", "correct"]):
                    case "come":
                        there[number] = rows[number]
                    case "go" if len(there) > 2:
                        there.pop(number, None)
                    case "correct" if number in there:
                        there[number] = a_person(number, rng)
            judged = a_few_judgements(rng, sorted(row["record_id"] for row in there.values())) if night % 2 else None
            links = nights.link(rng.sample(list(there.values()), len(there)), judged)
            once = at_once(list(there.values()), Path(folder) / f"once{night}", judged)
            assert clusters(links) == clusters(once)
            assert edges(links) == edges(once)
            assert vars(links) | {"seconds": 0, "into": 0, "pairs": 0} == vars(once) | {
                "seconds": 0, "into": 0, "pairs": 0}  # fmt: skip


def a_few_judgements(rng: random.Random, ids: list[str]) -> pa.Table:
    pairs = {tuple(sorted(rng.sample(ids, 2))) for _ in range(2)}
    rows = [{"record_l": left, "record_r": right, "same": True} for left, right in pairs][:1]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
