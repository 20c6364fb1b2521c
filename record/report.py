"""The report of a run: one HTML page that holds all it needs, for the exchange's own operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from record import charts, figures
from record.contradictions import count_contradictions
from record.figures import DISPOSITIONS, Late, ShownName, Stands
from record.snapshot import Snapshot, current_snapshot
from store.home import Home, written_whole
from store.ledger import Ledger

TEMPLATE = "report.html"
_DECISIONS = ("link", "review", "no")
_MOST_GROUPS = 12


def write_report(
    home: Home,
    ledger: Ledger,
    *,
    run_id: str,
    late: Late,
    stands: Stands | None = None,
    names: Mapping[str, str],
    links: Path | None = None,
    failures: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    shown: ShownName,
) -> Path:
    """Writes `reports/<run_id>.html` from the ledger, the current snapshot and the links it shows.

    Args:
        home: The home.
        ledger: Its control plane.
        run_id: The run the report is about.
        late: Feeds that have a schedule -> whether they are late.
        stands: Feeds -> which of silent, early, short and gap they are.
        names: Agency -> its name in words.
        links: Folder of the links of the current snapshot (edges.parquet, linkage.json).
        failures: Stage or agency -> class and code of what failed; no message that could hold a value.
        notes: What the operators are to do, in words.
        shown: Agency, feed and name of a file -> the name without what its sender was free to choose.

    Returns:
        The page (mode 0600).
    """
    page = _page(_context(home, ledger, run_id, late, stands or {}, names, links, failures or {}, notes, shown))
    path = home.reports / f"{run_id}.html"
    with written_whole(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def environment() -> Environment:
    """What pages of the record are made with: templates of this folder, every value escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters["count"] = lambda number: "" if number is None else f"{number:,}"
    made.filters["change"] = lambda number: f"{number:+,}" if number else "±0"
    made.filters["moment"] = lambda text: (text or "")[:16].replace("T", " ")
    made.filters["percent"] = lambda share: f"{100 * share:.2f} %"
    return made


def _page(context: Mapping[str, Any]) -> str:
    return environment().get_template(TEMPLATE).render(**context)


def _context(
    home: Home, ledger: Ledger, run_id: str, late: Late, stands: Stands, names: Mapping[str, str], links: Path | None,
    failures: Mapping[str, str], notes: Sequence[str], shown: ShownName,
) -> dict[str, Any]:  # fmt: skip
    snapshot, fed = current_snapshot(home), figures.rows_of_feeds(ledger, run_id)
    run, told = figures.read_run(ledger, run_id), figures.reasons(ledger, run_id)
    return {
        "run": run, "names": names, "failures": failures, "notes": notes,
        "dispositions": DISPOSITIONS, "colours": charts.COLOURS,
        "arrivals": figures.arrivals(ledger, run_id, late, stands, shown),
        "fed": fed, "totals": _totals(fed), "bars": _bars(fed, names),
        "quarantined": [reason for reason in told if reason.disposition == "quarantined"],
        "kept_back": [reason for reason in told if reason.disposition != "quarantined"],
        "unseen": figures.unseen_codes(ledger, run_id),
        "snapshot": snapshot, "published_now": snapshot is not None and _published_by(ledger, snapshot, run_id),
        **_of_snapshot(home, snapshot),
        **_of_links(home, links),
    }  # fmt: skip


def _totals(fed: list[figures.RowsOfFeed]) -> dict[str, int]:
    parts = {name: sum(feed.went.get(name, 0) for feed in fed) for name in DISPOSITIONS}
    return {"received": sum(feed.received for feed in fed), **parts}


def _bars(fed: list[figures.RowsOfFeed], names: Mapping[str, str]) -> list[tuple[str, int, Any]]:
    """Agency -> its rows and a bar of where they went; all bars on one scale."""
    agencies = sorted({feed.agency for feed in fed})
    sums = {a: {n: sum(f.went.get(n, 0) for f in fed if f.agency == a) for n in DISPOSITIONS} for a in agencies}
    whole = max((sum(parts.values()) for parts in sums.values()), default=0)
    bars = []
    for agency, parts in sums.items():
        label = f"{names.get(agency, agency)}: " + ", ".join(f"{rows:,} {name}" for name, rows in parts.items())
        bars.append((agency, sum(parts.values()), charts.stacked_bar(parts, whole=whole, label=label)))
    return bars


def _published_by(ledger: Ledger, snapshot: Snapshot, run_id: str) -> bool:
    return figures.publisher_of(ledger, snapshot.snapshot_id) == run_id


def _of_snapshot(home: Home, snapshot: Snapshot | None) -> dict[str, Any]:
    if snapshot is None:
        return {"overlap": None, "groups": [], "withheld": [], "withheld_reasons": [], "shared": 0, "contradicted": []}
    overlap = figures.overlap(snapshot, temp=home.record)
    most = max((persons for _, persons in overlap.groups), default=0)
    groups = [
        (
            charts.dots(overlap.agencies, group, label=", ".join(group)),
            persons,
            charts.stacked_bar({"persons": persons}, whole=most, label=f"{persons:,} persons", width=260),
        )
        for group, persons in overlap.groups[:_MOST_GROUPS]
    ]
    by_entity = snapshot.manifest["withheld"]
    return {
        "overlap": overlap, "groups": groups,
        "shared": sum(persons for group, persons in overlap.groups if len(group) > 1),
        "withheld_reasons": sorted({reason for reasons in by_entity.values() for reason in reasons}),
        "withheld": sorted(by_entity.items()),
        "contradicted": count_contradictions(snapshot, temp=home.record),
    }  # fmt: skip


def _of_links(home: Home, links: Path | None) -> dict[str, Any]:
    if links is None:
        return {"weights": None, "histogram": ""}
    weights = figures.weights(links, temp=home.record)
    marks = [("review from", weights.review_from), ("link from", weights.link_from)]
    label = f"Pairs by weight; pairs from {weights.link_from:g} are linked, from {weights.review_from:g} reviewed"
    return {"weights": weights, "histogram": charts.histogram(weights.bins, marks, order=_DECISIONS, label=label)}
