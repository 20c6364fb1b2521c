"""Another linkage model as a planned migration: what would merge and split and why, before it is adopted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from linkage.guard import levels_of
from linkage.model import read_model
from store import ledger as tables
from store.home import connect, literal, sql_path
from store.ledger import Ledger, now

SQL = Path(__file__).parent / "relink.sql"


@dataclass(frozen=True)
class Reason:
    """Why pairs of mentions come together (`merge`) or apart (`split`): the rule or comparison that changed most."""

    kind: str
    reason: str
    pairs: int
    persons: int
    record_l: str
    record_r: str
    """One such pair, to be looked at with `kith explain`."""


@dataclass(frozen=True)
class Relinking:
    """What another model makes of the persons of now.

    Attributes:
        model_before, model_after: The two models.
        persons_before, persons_after: How many persons.
        merges: Persons then that hold mentions of several now.
        splits: Persons now whose mentions are several persons' then.
        moved: Mentions that change their person.
        reasons: Why, most pairs first.
    """

    model_before: str
    model_after: str
    persons_before: int
    persons_after: int
    merges: int
    splits: int
    moved: int
    reasons: list[Reason]


def compare_links(before: Path, after: Path) -> Relinking:
    """What became of the persons between two folders of links of the same people.

    Raises:
        LinkageError: The newer model is not there.
    """
    models = [str(_settings(links)["model"]) for links in (before, after)]
    with connect() as con:
        for name, links in (("before", before), ("after", after)):
            con.read_parquet(sql_path(links / "persons.parquet")).create_view(f"person_{name}")
            con.read_parquet(sql_path(links / "edges.parquet")).create_view(f"edge_{name}")
        con.execute(f"CREATE TEMP MACRO shifted(a, b) AS {_shifted(con, read_model(models[1]))}")
        con.execute(SQL.read_text(encoding="utf-8"))
        counts = con.sql("FROM counted").to_arrow_table().to_pylist()[0]
        reasons = con.sql("FROM reason ORDER BY pairs DESC, kind, reason").to_arrow_table().to_pylist()
    return Relinking(models[0], models[1], **counts, reasons=[Reason(**row) for row in reasons])


def _settings(links: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((links / "linkage.json").read_text(encoding="utf-8"))["settings"]
    return settings


def _shifted(con: duckdb.DuckDBPyConnection, model: Mapping[str, Any]) -> str:
    """SQL of the comparison whose weight differs most upwards between two edges, with the level of the first."""
    there = set.intersection(*(
        {str(name) for (name,) in con.sql(f"SELECT column_name FROM (DESCRIBE {edge})").fetchall()}
        for edge in ("edge_before", "edge_after")
    ))  # fmt: skip
    said = []
    for name, levels in levels_of(dict(model)).items():
        if f"mw_{name}" in there:
            words = " ".join(f"WHEN {gamma} THEN {literal(word)}" for gamma, word in enumerate(reversed(levels)))
            level = f"CASE a.gamma_{name} {words} ELSE 'not known' END"
            weight = f"coalesce(a.mw_{name}, 0) - coalesce(b.mw_{name}, 0)"
            said.append(f"{{d: {weight}, said: {literal(name)} || ': ' || {level}}}")
    return f"list_extract(list_reverse_sort([{', '.join(said)}]), 1).said" if said else "'weight'"


def adopted_model(ledger: Ledger) -> str | None:
    """The model the home has adopted last, or None where it adopted none."""
    a = tables.adopted_model
    with ledger.reading() as connection:
        return connection.execute(sa.select(a.c.model).order_by(a.c.adoption_id.desc()).limit(1)).scalar()


def adopt_model(ledger: Ledger, model: str, *, who: str, why: str, found: Relinking) -> None:
    """Notes that the home links by this model from the next run on, and who decided so on what grounds."""
    row = {"model": model, "who": who, "why": why, "at": now(), "merges": found.merges, "splits": found.splits}
    with ledger.writing() as connection:
        connection.execute(tables.adopted_model.insert().values(row))
