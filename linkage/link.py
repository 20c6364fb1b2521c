"""The stage: people in, scored edges, guarded clusters and lasting person ids out."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from linkage.blocking import SkippedBlocks, block
from linkage.clusters import cluster_table, component_table
from linkage.guard import Guard, judge, read_guard
from linkage.identity import Cause, assign_ids, note_changes
from linkage.judgements import apply_judgements, note_judgements, place_judgements
from linkage.people import ColumnMap, read_people
from linkage.splink_model import Scorer, prior_weight, read_model, score, scorer_of
from linkage.standardise import standardise
from standard.declarations import Declared
from store.home import connect

DEFAULT_MODEL = "2026-2"
log = logging.getLogger(__name__)


class LinkageSettings(Declared):
    """The one setting of the stage; weights are log2 odds that a pair is one person."""

    model: str = DEFAULT_MODEL
    link_weight: float = 3.0
    review_weight: float = 0.0
    block_cap: int = 200
    most_records: int = 200
    threads: int = 2
    memory: str = "450MB"

    def decide(self, weight: float, *, stated: bool, held: bool) -> str:
        """What a pair comes to: link, review or no; `held` says that the guard named a veto or a doubt."""
        if (weight >= self.link_weight or stated) and not held:
            return "link"
        return "review" if weight >= self.review_weight or stated else "no"

    @property
    def decide_sql(self) -> str:
        """The same over the columns weight, stated, veto and doubt."""
        return (
            f"CASE WHEN (weight >= {self.link_weight} OR stated) AND veto IS NULL AND doubt IS NULL THEN 'link' "
            f"WHEN weight >= {self.review_weight} OR stated THEN 'review' ELSE 'no' END"
        )


@dataclass(frozen=True)
class Links:
    """What linking came to; the tables stand in the folder `into`."""

    into: Path
    people: int
    pairs: int
    linked: int
    review: int
    vetoed: int
    persons: int
    missing_columns: list[str]
    skipped_blocks: list[SkippedBlocks]
    seconds: dict[str, float] = field(default_factory=dict)


def link_people(
    people: Path,
    into: Path,
    *,
    secret: bytes,
    settings: LinkageSettings | None = None,
    known: Path | None = None,
    spent: Iterable[str] = (),
    columns: ColumnMap | None = None,
    judgements: pa.Table | None = None,
) -> Links:
    """Links the mentions of a people table into persons.

    Args:
        people: Parquet or CSV in the common columns (linkage.people.COLUMNS), or in others with `columns`.
        into: Folder for edges.parquet, clusters.parquet, persons.parquet, events.parquet (what happened to person ids,
            and why), former.parquet, judgements.parquet and linkage.json; made if it is not there.
        secret: The home's identity secret, from which new person ids are minted.
        settings: Model, thresholds and bounds.
        known: persons.parquet of the snapshot before, whose ids last; what stands beside it in its folder of links
            (people, former ids, judgements, settings) tells why ids change.
        spent: Ids of the past that are not in `known`; they are never given again.
        columns: How the file's columns become the common ones.
        judgements: What persons said of pairs (linkage.judgements.SCHEMA); it outranks weights and rules.

    Raises:
        LinkageError: The people table or the model cannot be used, or judgements contradict each other.
    """
    chosen = settings or LinkageSettings()
    model, guard = read_model(chosen.model), read_guard()
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = _Clock()
    with tempfile.TemporaryDirectory(dir=into, prefix=".spill-") as spill, _connect(chosen, Path(spill)) as con:
        missing = read_people(con, people, columns)
        note_changes(con, _beside(known, "people.parquet"))
        standardise(con)
        con.execute("DROP TABLE people")
        clock.lap("standardise")
        skipped = block(con, cap=chosen.block_cap)
        clock.lap("block")
        how = _Rules(scorer_of(con, model), model, guard, chosen)
        _edges(con, "candidate", how, into="edge", least_weight=chosen.review_weight)
        place_judgements(con, judgements)
        _add_edges(con, "FROM judged_pair", how)
        apply_judgements(con)
        clock.lap("score")
        _complete_components(con, how)
        cluster_table(con, most=chosen.most_records, prior=prior_weight(con))
        clock.lap("cluster")
        _known(con, known)
        note_judgements(con, _beside(known, "judgements.parquet"))
        assign_ids(con, secret=secret, spent=spent, cause=_cause(known, chosen))
        clock.lap("ids")
        counts = _write(con, into)
        clock.lap("write")
    links = Links(into=into, missing_columns=missing, skipped_blocks=skipped, seconds=clock.laps, **counts)
    _write_facts(links, chosen)
    log.info("linked %d people: %d pairs, %d persons", links.people, links.pairs, links.persons)
    return links


def link_file(
    people: Path, into: Path, *, columns: ColumnMap | None = None, settings: LinkageSettings | None = None
) -> Links:
    """Links a table outside any home; its person ids mean nothing beside those of a home or of another table."""
    return link_people(people, into, secret=b"kith link", settings=settings, columns=columns)


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def _connect(settings: LinkageSettings, spill: Path) -> duckdb.DuckDBPyConnection:
    spill.chmod(0o700)
    con = connect(temp=spill, memory_limit=settings.memory, threads=settings.threads)
    con.execute("SET preserve_insertion_order = false")
    return con


@dataclass(frozen=True)
class _Rules:
    """All that decides about a pair."""

    scorer: Scorer
    model: dict[str, Any]
    guard: Guard
    settings: LinkageSettings


def _edges(
    con: duckdb.DuckDBPyConnection, pairs: str, how: _Rules, *, into: str, least_weight: float | None = None
) -> None:
    """Scores, judges and decides pairs."""
    score(con, pairs, how.scorer, into="scored", least_weight=least_weight)
    judge(con, "scored", how.model, how.guard, into="judged")
    con.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT *, {how.settings.decide_sql} AS decision FROM judged")
    con.execute("DROP TABLE scored; DROP TABLE judged")


def _complete_components(con: duckdb.DuckDBPyConnection, how: _Rules) -> None:
    """Compares within a component also the pairs that no key brought together: a veto between them must be known."""
    component_table(con)
    within = f"""SELECT l.id AS id_l, r.id AS id_r
        FROM component l JOIN component r ON l.component = r.component AND l.id < r.id
        WHERE l.size BETWEEN 3 AND {how.settings.most_records}"""
    _add_edges(con, within, how)


def _add_edges(con: duckdb.DuckDBPyConnection, pairs: str, how: _Rules) -> None:
    """Scores the pairs of a query that are no edges yet, whatever their weight."""
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE uncompared AS
        SELECT id_l, id_r FROM ({pairs}) ANTI JOIN edge USING (id_l, id_r)"""
    )
    _edges(con, "uncompared", how, into="inner_edge")
    con.execute("INSERT INTO edge BY NAME SELECT * FROM inner_edge")
    con.execute("DROP TABLE inner_edge; DROP TABLE uncompared")


def _beside(known: Path | None, name: str) -> Path | None:
    """A file of the folder of links before, or None where there is none."""
    path = known.with_name(name) if known else None
    return path if path and path.is_file() else None


def _cause(known: Path | None, settings: LinkageSettings) -> Cause | None:
    """Whether the links before were made by another model."""
    facts = _beside(known, "linkage.json")
    before = json.loads(facts.read_text(encoding="utf-8"))["settings"] if facts else {}
    return Cause.MODEL if before.get("model", settings.model) != settings.model else None


def _known(con: duckdb.DuckDBPyConnection, known: Path | None) -> None:
    source = "read_parquet(?)" if known else "(SELECT NULL::VARCHAR AS record_id, NULL::VARCHAR AS person_id LIMIT 0)"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE known AS SELECT record_id, person_id FROM {source}",
        [str(known)] if known else [],
    )
    if former := _beside(known, "former.parquet"):
        con.execute("CREATE OR REPLACE TEMP TABLE former AS FROM read_parquet(?)", [str(former)])


def _write(con: duckdb.DuckDBPyConnection, into: Path) -> dict[str, int]:
    con.execute(
        """CREATE OR REPLACE TEMP TABLE best AS
        SELECT id, max(weight) AS weight, bool_and(stated) AS stated, bool_or(judged) AS judged FROM (
            SELECT id_l AS id, weight, stated, judged FROM edge WHERE decision = 'link'
            UNION ALL SELECT id_r, weight, stated, judged FROM edge WHERE decision = 'link') GROUP BY id"""
    )
    _copy(
        con,
        """SELECT m.record_id, p.person_id, b.weight,
            CASE WHEN b.id IS NULL THEN 'single' WHEN b.judged THEN 'judged' WHEN b.stated THEN 'agency'
                ELSE 'scored' END AS how
        FROM mention m JOIN cluster c USING (id) JOIN person_of p USING (cluster) LEFT JOIN best b USING (id)
        ORDER BY m.record_id""",
        into / "persons.parquet",
    )
    _copy(
        con,
        """SELECT m.record_id, first.record_id AS cluster
        FROM mention m JOIN cluster c USING (id) JOIN mention first ON first.id = c.cluster ORDER BY m.record_id""",
        into / "clusters.parquet",
    )
    _copy(
        con,
        """SELECT l.record_id AS record_l, r.record_id AS record_r, e.* EXCLUDE (id_l, id_r)
        FROM edge e JOIN mention l ON l.id = e.id_l JOIN mention r ON r.id = e.id_r ORDER BY record_l, record_r""",
        into / "edges.parquet",
    )
    for table, name in (("person_event", "events"), ("former", "former"), ("judgement", "judgements")):
        _copy(con, f"FROM {table} ORDER BY ALL", into / f"{name}.parquet")
    names = ("people", "pairs", "linked", "review", "vetoed", "persons")
    row = con.sql(
        """SELECT (SELECT count(*) FROM mention), (SELECT count(*) FROM candidate), count(*) FILTER (decision = 'link'),
            count(*) FILTER (decision = 'review'), count(veto), (SELECT count(*) FROM person_of) FROM edge"""
    ).fetchall()[0]
    return dict(zip(names, row, strict=True))


def _copy(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    part = path.with_suffix(".part")
    con.execute(f"COPY ({query}) TO '{part}' (FORMAT parquet, COMPRESSION zstd)")
    part.chmod(0o600)
    part.replace(path)


def _write_facts(links: Links, settings: LinkageSettings) -> None:
    """What explains the folder later: settings and counts, never a value of a person."""
    facts = {
        "settings": settings.model_dump(),
        "missing_columns": links.missing_columns,
        "skipped_blocks": [vars(block) for block in links.skipped_blocks],
        "people": links.people,
        "pairs": links.pairs,
        "linked": links.linked,
        "review": links.review,
        "vetoed": links.vetoed,
        "persons": links.persons,
    }
    path = links.into / "linkage.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    path.chmod(0o600)
