"""How good the links of a folder are, in counts and estimates for the manifest and the report; never about a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linkage.register import Judgement, State, Verdict
from linkage.sampling import Estimate, estimate
from store.home import literal, peek
from store.ledger import Ledger

NOT_JUDGED = "not judged yet"


def linkage_quality(links: Path, ledger: Ledger, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """The figures of the links: counts, compared pairs by decision and by pair of sources, judgements, estimates.

    Args:
        links: Folder of the links.
        ledger: The control plane, for the samples drawn.
        judgements: All judgements as they stand.
    """
    facts = json.loads((links / "linkage.json").read_text(encoding="utf-8"))
    found = estimate(ledger, judgements)
    return {
        **{name: count for name, count in facts.items() if isinstance(count, int)},
        "model": facts["settings"]["model"],
        "decisions": decisions(links),
        "judgements": _counted(judgements),
        "estimates": [_as_said(one) for one in found] or NOT_JUDGED,
    }


def decisions(links: Path) -> list[dict[str, Any]]:
    """Pairs by the two sources: linked, in review, of these vetoed or held by what stands around them, not linked."""
    rows = peek().sql(
        f"""SELECT least(l.source, r.source) AS source_l, greatest(l.source, r.source) AS source_r,
            count(*) FILTER (decision = 'link') AS link, count(*) FILTER (decision = 'review') AS review,
            count(*) FILTER (decision = 'review' AND veto IS NOT NULL) AS vetoed,
            count(*) FILTER (decision = 'review' AND held IS NOT NULL) AS held,
            count(*) FILTER (decision = 'no') AS no
        FROM read_parquet({literal(links / "edges.parquet")}) e
        JOIN (FROM {_sources(links)}) l ON l.record_id = e.record_l
        JOIN (FROM {_sources(links)}) r ON r.record_id = e.record_r
        GROUP BY ALL ORDER BY ALL"""
    )
    return rows.to_arrow_table().to_pylist()  # type: ignore[no-any-return]


def _sources(links: Path) -> str:
    return f"(SELECT record_id, source FROM read_parquet({literal(links / 'people.parquet')}))"


def _counted(judgements: Sequence[Judgement]) -> dict[str, int]:
    in_force = [j for j in judgements if j.state is State.IN_FORCE]
    return {
        "same": sum(j.verdict is Verdict.SAME for j in in_force),
        "different": sum(j.verdict is Verdict.DIFFERENT for j in in_force),
        "pending": sum(j.state is State.PENDING for j in judgements),
    }


def _as_said(one: Estimate) -> dict[str, Any]:
    return {
        "figure": one.figure, "value": round(one.value, 4), "low": round(one.low, 4), "high": round(one.high, 4),
        "judged": one.judged, "drawn": one.drawn, "sample": one.sample_id,
    }  # fmt: skip
