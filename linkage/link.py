"""The stage: people in, scored edges, guarded clusters and lasting person ids out."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from linkage.blocking import SMALL, BlockIndex, SkippedBlocks, Slots, blocking_rules
from linkage.delivery import Clock, Delivered, Delivery, deliver
from linkage.families import no_families
from linkage.guard import read_guard
from linkage.identity import Cause, note_changes
from linkage.index import FORMER, LinkIndex
from linkage.judgements import SCHEMA, note_judgements
from linkage.kept import open_index, save
from linkage.model import population, prior_weight, read_model
from linkage.pairs import PairRules
from linkage.people import ColumnMap, read_people
from linkage.region import Past
from linkage.score import scorer_of
from standard.declarations import Declared
from store.home import connect, literal
from store.parquet import read_table

KNOWN = pa.schema([("record_id", pa.string()), ("person_id", pa.string())])
DEFAULT_MODEL = "2026-2"
log = logging.getLogger(__name__)


class LinkageSettings(Declared):
    """The one setting of the stage; weights are log2 odds that a pair is one person."""

    model: str = DEFAULT_MODEL
    link_weight: float = 3.0
    review_weight: float = 0.0
    block_cap: int = 200
    most_records: int = 200
    no_families: float | None = 0.0
    """Bits by which the table shows fewer relatives than one of families; None: found out (linkage.families)."""
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
    index: Path | None = None,
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
        index: Folder of what is kept between runs. If it fits the links of `known`, only what changed since is scored;
            else all is, and it is made anew.

    Raises:
        LinkageError: The people table or the model cannot be used, or judgements contradict each other.
    """
    chosen = settings or LinkageSettings()
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=into, prefix=".spill-") as spill, _connect(chosen, Path(spill)) as con:
        missing = read_people(con, people, columns)
        stamp = _stamp(con, chosen)
        kept = _kept(index, known, stamp, chosen)
        removed = _find_difference(con, kept, known, Path(spill))
        clock.lap("read")
        judged = _judgements(con, judgements, _beside(known, "judgements.parquet"))
        delivery = Delivery(removed, con.sql("FROM change").to_arrow_table(), judged)
        past = Past(secret, set(spent), _cause(known, chosen), *(() if kept.people else _known(known)))
        how = pair_rules(chosen, stamp["population"])
        done = deliver(kept, con, delivery, how=how, past=past, clock=clock)
        if chosen.no_families is None:
            bits = no_families(con, kept, how, least_weight=chosen.link_weight)
            chosen = chosen.model_copy(update={"no_families": bits})
            clock.lap("families")
            if bits:
                kept = LinkIndex(blocks=BlockIndex(kept.blocks.rules))
                done = deliver(kept, con, delivery, how=replace(how, no_families=bits), past=past, clock=clock)
        counts = _write(con, into, kept, done)
        clock.lap("write")
    if index is not None:
        kept.stamp = stamp | {"links": into.name}
        save(kept, index)
        clock.lap("keep")
    skipped = kept.blocks.skipped(kept.alive)
    links = Links(into=into, missing_columns=missing, skipped_blocks=skipped, seconds=clock.laps, **counts)
    _write_facts(links, chosen)
    log.info("linked %d people: %d pairs, %d persons", links.people, links.pairs, links.persons)
    return links


def link_file(
    people: Path, into: Path, *, columns: ColumnMap | None = None, settings: LinkageSettings | None = None
) -> Links:
    """Links a table outside any home; its person ids mean nothing beside those of a home or of another table.

    Whether it holds families, as a home does, is found out, unless the settings say it.
    """
    chosen = settings or LinkageSettings(no_families=None)
    return link_people(people, into, secret=b"kith link", settings=chosen, columns=columns)


def _connect(settings: LinkageSettings, spill: Path) -> duckdb.DuckDBPyConnection:
    spill.chmod(0o700)
    con = connect(temp=spill, memory_limit=settings.memory, threads=settings.threads)
    con.execute("SET preserve_insertion_order = false")
    return con


def _stamp(con: duckdb.DuckDBPyConnection, settings: LinkageSettings) -> dict[str, Any]:
    """What an index must fit; anything else than before, and all is scored anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in (".py", ".sql", ".yaml", ".csv", ".json"):
            digest.update(path.read_bytes())
    people = int(con.sql("SELECT count(*) FROM people").fetchall()[0][0])
    return {
        "code": digest.hexdigest(),
        "settings": settings.model_dump(),
        "population": population(people),
        "duckdb": duckdb.__version__,
    }


def _kept(folder: Path | None, known: Path | None, stamp: dict[str, Any], settings: LinkageSettings) -> LinkIndex:
    """The index kept in a folder, if it fits, or an empty one."""
    rules = blocking_rules(cap=settings.block_cap, small=stamp["population"] <= SMALL)
    if folder is not None and known is not None:
        found = open_index(folder, stamp | {"links": known.parent.name}, rules)
        if found is not None and 2 * found.people >= len(found.mentions):  # else more is dead than alive
            return found
    return LinkIndex(blocks=BlockIndex(rules))


def _find_difference(con: duckdb.DuckDBPyConnection, kept: LinkIndex, known: Path | None, spill: Path) -> Slots:
    """Makes `delivered`, what of `people` is new or other than kept, and `change`; returns what is not in force now."""
    hashes = con.sql("SELECT hash(record_id) AS _record, _content FROM people").fetchnumpy()
    is_new, removed = kept.difference(hashes["_record"], hashes["_content"])
    before = _beside(known, "people.parquet")
    if kept.people:
        con.register("is_new", pa.table({"_record": hashes["_record"][is_new]}))
        con.register("is_gone", pa.table({"_record": kept.record[removed]}))
        con.execute(
            "CREATE OR REPLACE TEMP TABLE people AS FROM people WHERE hash(record_id) IN (SELECT _record FROM is_new)"
        )
        before = before and _restricted(con, before, spill / "before.parquet")
    note_changes(con, before)
    if kept.people and before is None:
        _note_changes_of_index(con, kept.mentions.take(removed, ["record_id"]))
    for name in ("is_new", "is_gone") if kept.people else ():
        con.unregister(name)
    con.execute("ALTER TABLE people RENAME TO delivered")
    return removed


def _note_changes_of_index(con: duckdb.DuckDBPyConnection, gone: pa.Table) -> None:
    """Fills `change` where the people before are not there: a mention in another form counts as corrected."""
    con.register("gone", gone)
    con.execute(
        f"""INSERT INTO change
        SELECT coalesce(p.record_id, g.record_id), CASE WHEN p.record_id IS NULL THEN '{Cause.DELETION}'
            WHEN g.record_id IS NULL THEN '{Cause.NEW_EVIDENCE}' ELSE '{Cause.CORRECTION}' END
        FROM people p FULL JOIN gone g ON g.record_id = p.record_id"""
    )
    con.unregister("gone")


def _restricted(con: duckdb.DuckDBPyConnection, people: Path, into: Path) -> Path:
    """The rows of a people table whose mentions came again in another form, or are gone."""
    wanted = "SELECT _record FROM is_new UNION ALL FROM is_gone"
    _copy(con, f"FROM read_parquet({literal(people)}) WHERE hash(record_id) IN ({wanted})", into)
    return into


def _judgements(con: duckdb.DuckDBPyConnection, judgements: pa.Table | None, before: Path | None) -> pa.Table:
    """Judgements in force; those that are new or taken back are noted in `change`."""
    given = SCHEMA.empty_table() if judgements is None else judgements.cast(SCHEMA)
    con.register("given_judgements", given)
    con.execute("CREATE OR REPLACE TEMP TABLE judgement AS FROM given_judgements")
    con.unregister("given_judgements")
    note_judgements(con, before)
    return given


def pair_rules(settings: LinkageSettings, people: int) -> PairRules:
    """What scores and decides pairs of a table of so many people."""
    model = read_model(settings.model)
    return PairRules(
        scorer=scorer_of(model, prior=prior_weight(people)),
        model=model,
        guard=read_guard(),
        decide_sql=settings.decide_sql,
        review_weight=settings.review_weight,
        most_records=settings.most_records,
        no_families=settings.no_families or 0.0,
    )


def _beside(known: Path | None, name: str) -> Path | None:
    """A file of the folder of links before, or None where there is none."""
    path = known.with_name(name) if known else None
    return path if path and path.is_file() else None


def _cause(known: Path | None, settings: LinkageSettings) -> Cause | None:
    """Whether the links before were made by another model."""
    facts = _beside(known, "linkage.json")
    before = json.loads(facts.read_text(encoding="utf-8"))["settings"] if facts else {}
    return Cause.MODEL if before.get("model", settings.model) != settings.model else None


def _known(known: Path | None) -> tuple[pa.Table, pa.Table]:
    """The ids that records bear, and those they bore before."""
    persons = read_table(known, ["record_id", "person_id"]) if known else KNOWN.empty_table()
    former = _beside(known, "former.parquet")
    return persons, read_table(former) if former else FORMER.empty_table().drop_columns("_record")


def _write(con: duckdb.DuckDBPyConnection, into: Path, kept: LinkIndex, done: Delivered) -> dict[str, int]:
    """Writes all that is kept as tables by record_id."""
    slots = kept.slots()
    records = kept.mentions.take(slots, ["record_id"])["record_id"] if len(slots) else pa.array([], pa.string())
    con.register("placed", pa.table({"slot": slots, "record_id": records, "person_id": kept.person_ids(slots)}))
    con.register("kept_edge", pa.concat_tables(kept.edges.in_force(), promote_options="default"))
    con.register("happened", done.events)
    con.register("former_ids", kept.former)
    con.execute(
        """CREATE OR REPLACE TEMP TABLE best AS
        SELECT id, max(weight) AS weight, bool_and(stated) AS stated, bool_or(judged) AS judged FROM (
            SELECT id_l AS id, weight, stated, judged FROM kept_edge WHERE decision = 'link'
            UNION ALL SELECT id_r, weight, stated, judged FROM kept_edge WHERE decision = 'link') GROUP BY id"""
    )
    for name, query in _ARTEFACTS.items():
        _copy(con, query, into / f"{name}.parquet")
    linked, review, vetoed, persons = con.sql(
        """SELECT count(*) FILTER (decision = 'link'), count(*) FILTER (decision = 'review'), count(veto),
            (SELECT count(DISTINCT person_id) FROM placed) FROM kept_edge"""
    ).fetchall()[0]
    return {"people": len(slots), "pairs": done.compared, "linked": linked, "review": review, "vetoed": vetoed,
            "persons": persons}  # fmt: skip


_ARTEFACTS = {
    "persons": """SELECT p.record_id, p.person_id, b.weight,
            CASE WHEN b.id IS NULL THEN 'single' WHEN b.judged THEN 'judged' WHEN b.stated THEN 'agency'
                ELSE 'scored' END AS how
        FROM placed p LEFT JOIN best b ON b.id = p.slot ORDER BY p.record_id""",
    "clusters": """SELECT record_id, min(record_id) OVER (PARTITION BY person_id) AS cluster FROM placed
        ORDER BY record_id""",
    "edges": """SELECT l.record_id AS record_l, r.record_id AS record_r, e.* EXCLUDE (id_l, id_r, blocked)
        FROM kept_edge e JOIN placed l ON l.slot = e.id_l JOIN placed r ON r.slot = e.id_r
        ORDER BY record_l, record_r""",
    "events": "FROM happened ORDER BY ALL",
    "former": "SELECT * EXCLUDE (_record) FROM former_ids ORDER BY ALL",
    "judgements": "FROM judgement ORDER BY ALL",
}


def _copy(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    part = path.with_suffix(".part")
    con.execute(f"COPY ({query}) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd)")
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
