"""A model is learnt without labels, and the same people give the same file."""

from __future__ import annotations

import random
from pathlib import Path

from linkage.link import LinkageSettings
from linkage.model import read_model
from linkage.train import train_model
from tests.linkage_tables import edge, linked, person, write_people

SYLLABLES = ["bra", "den", "fol", "gri", "hur", "kel", "lom", "mar", "nis", "ost", "pel", "quor", "ran", "sil", "tor"]


def people() -> list[dict[str, object]]:
    """Two mentions each of three hundred invented people, the second one now and then misspelt."""
    chance, rows = random.Random(7), []
    for number in range(300):
        given, middle, surname = ("".join(chance.choices(SYLLABLES, k=2)).title() for _ in range(3))
        born = f"{chance.randint(1950, 2020)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        ssn = str(chance.randint(100000000, 899999999))
        facts = {"ssn": ssn, "home": f"{number} Alder St", "sex": chance.choice("FM")}
        rows.append(person(f"a/{number}", f"{given} {middle} {surname}", born, **facts))
        spelt = given if chance.random() < 0.9 else given[:-1]
        rows.append(person(f"b/{number}", f"{spelt} {middle[0]} {surname}", born, **facts))
    return rows


def test_the_same_people_give_the_same_model_and_it_can_be_used(tmp_path: Path) -> None:
    table = write_people(people(), tmp_path / "people.parquet")
    for name in ("one.json", "two.json"):
        train_model({table: None}, tmp_path / name, pairs=100_000)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    comparisons = read_model(tmp_path / "one.json")["comparisons"]
    learnt = {comparison["output_column_name"]: comparison["comparison_levels"][1] for comparison in comparisons}
    assert learnt["surname"]["m_probability"] > 0.5 > learnt["surname"]["u_probability"]
    links = linked(people()[:40], tmp_path, settings=LinkageSettings(model=str(tmp_path / "one.json")))
    found = edge(links, "a/1", "b/1")
    assert found is not None and found["decision"] == "link"
