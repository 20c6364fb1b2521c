"""What the demo says at its end: what arrived, where each row went, who is shared, and how right the linkage was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import sqlalchemy as sa

from demo.formats import OFFLINE
from flows.terminal import table
from linkage.evaluate import Score, evaluate
from store.ledger import Ledger, account, code_pending, extract

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Summary:
    """The figures of a demo.

    Args:
        intake: One row per agency and feed: agency, feed, extracts, received and the four dispositions, in rows.
        reasons: One row per agency, feed, disposition and reason other than accepted: rows.
        files: Extracts not taken as they were: agency, file, status, reason.
        codes: Codes not seen before: agency, feed, element, value, rows.
        persons: agencies (how many know the person) -> persons, mentions.
        shared: One row per two agencies: persons both know.
        scores: Of all, then of each two agencies.
        missing: Mentions of the truth that the record does not show (withheld, quarantined, held).
    """

    intake: Sequence[Row]
    reasons: Sequence[Row]
    files: Sequence[Row]
    codes: Sequence[Row]
    persons: Sequence[Row]
    shared: Sequence[Row]
    scores: Sequence[Score]
    missing: int


def summarise(ledger: Ledger, *, person_source: Path, truth: Path) -> Summary:
    """The figures of an exchange whose true persons are known.

    Args:
        ledger: The exchange's control plane.
        person_source: Parquet of the record: person_ref, agency, person_id, one row per mention.
        truth: CSV: agency, table_or_file, source_person_key, true_person_id.
    """
    scores, missing = score_persons(person_source, truth)
    return Summary(
        *_from_ledger(ledger),
        persons=_persons(person_source),
        shared=_shared(person_source),
        scores=scores,
        missing=missing,
    )


def _from_ledger(ledger: Ledger) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    of_extract = account.join(extract, account.c.extract_id == extract.c.extract_id)

    def rows_of(disposition: str) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((account.c.disposition == disposition, account.c.rows), else_=0)).label(disposition)

    feed = (extract.c.agency, extract.c.feed)
    four = [rows_of(name) for name in ("accepted", "quarantined", "duplicate", "withheld")]
    extracts = sa.func.count(sa.distinct(extract.c.extract_id)).label("extracts")
    received = sa.func.sum(account.c.rows).label("received")
    intake = sa.select(*feed, extracts, received, *four).select_from(of_extract).group_by(*feed).order_by(*feed)
    why = (*feed, account.c.disposition, account.c.reason)
    reasons = (
        sa.select(*why, sa.func.sum(account.c.rows).label("rows"))
        .select_from(of_extract)
        .where(account.c.disposition != "accepted")
        .group_by(*why)
        .order_by(*why)
    )
    files = (
        sa.select(
            extract.c.agency, extract.c.name.label("file"), extract.c.status, extract.c.status_reason.label("reason")
        )
        .where(extract.c.status.in_(["held", "duplicate", "superseded", "loaded_late"]))
        # A table in which nothing changed is no file sent twice.
        .where((extract.c.status != "duplicate") | (extract.c.name != extract.c.feed))
        .order_by(extract.c.seq)
    )
    codes = sa.select(*(code_pending.c[n] for n in ("agency", "feed", "element", "value", "rows"))).order_by(
        "agency", "feed"
    )
    with ledger.reading() as connection:

        def found(query: sa.Select[Any]) -> list[Row]:
            return [dict(row._mapping) for row in connection.execute(query)]

        return found(intake), found(reasons), found(files), found(codes)


def _persons(person_source: Path) -> list[Row]:
    return _ask(
        """
        SELECT agencies, count(*) AS persons, sum(mentions)::BIGINT AS mentions
        FROM (SELECT count(DISTINCT agency) AS agencies, count(*) AS mentions FROM mention GROUP BY person_id)
        GROUP BY agencies ORDER BY agencies
        """,
        person_source,
    )


def _shared(person_source: Path) -> list[Row]:
    return _ask(
        """
        WITH known AS (SELECT DISTINCT person_id, agency FROM mention)
        SELECT l.agency AS agency, r.agency AS other_agency, count(*) AS persons
        FROM known l JOIN known r ON l.person_id = r.person_id AND l.agency < r.agency
        GROUP BY ALL ORDER BY persons DESC, agency, other_agency
        """,
        person_source,
    )


def score_persons(person_source: Path, truth: Path) -> tuple[list[Score], int]:
    """How right the persons are, over all pairs of mentions that stand in the record and in the truth.

    Args:
        person_source: Parquet with person_ref and person_id, one row per mention.
        truth: CSV: agency, table_or_file, source_person_key, true_person_id.

    Returns:
        The scores of all and of each two agencies, and how many mentions of the truth the record does not show.
    """
    with TemporaryDirectory(dir=truth.parent) as folder, duckdb.connect(config=OFFLINE) as connection:
        persons, named = Path(folder) / "persons.parquet", Path(folder) / "truth.parquet"
        source = connection.read_parquet(str(person_source))
        source.project("person_ref AS record_id, person_id").write_parquet(str(persons))
        told = connection.read_csv(str(truth), header=True, all_varchar=True)
        reference = "concat_ws('/', agency, table_or_file, source_person_key) AS record_id"
        told.project(f"{reference}, true_person_id AS truth, agency AS source").write_parquet(str(named))
        absent = f"SELECT record_id FROM '{named}' EXCEPT SELECT record_id FROM '{persons}'"
        missing = connection.sql(absent).to_arrow_table().num_rows
        return evaluate(persons, named), missing


def _score_row(score: Score) -> Row:
    return {
        "agencies": score.sources,
        "true_pairs": score.true,
        "linked_pairs": score.found,
        "right_pairs": score.right,
        "precision": f"{score.precision:.4f}" if score.found else None,
        "recall": f"{score.recall:.4f}" if score.true else None,
    }


def _ask(query: str, person_source: Path) -> list[Row]:
    with duckdb.connect(config=OFFLINE) as connection:
        connection.read_parquet(str(person_source)).create_view("mention")
        found: list[Row] = connection.sql(query).to_arrow_table().to_pylist()
        return found


def as_text(summary: Summary, places: Mapping[str, Path | str]) -> str:
    """The summary as a person reads it.

    Args:
        summary: The figures.
        places: What lies where: its name -> the path or command to open it.
    """
    sections = {
        "What arrived, and where each row went": table(summary.intake),
        "Why rows were not accepted": table(summary.reasons),
        "Files that were not taken as they came": table(summary.files),
        "Codes not seen before (kept, counted, waiting for a line in a crosswalk)": table(summary.codes),
        "Persons, by how many agencies know them": table(summary.persons),
        "Persons two agencies share": table(summary.shared),
        "Links against the truth, in pairs of mentions": table([_score_row(score) for score in summary.scores])
        + f"\n{summary.missing} mentions of the truth are not in the record: withheld, quarantined or held",
        "Where it lies": "\n".join(f"{name:<8} {place}" for name, place in places.items()),
    }
    return "\n\n".join(f"{title}\n{body}" for title, body in sections.items())
