"""Give every received row exactly one disposition, and set failing rows apart with their findings."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Protocol

import duckdb

from expectations import dispositions
from expectations.codes import pending_codes_sql
from expectations.compile import Outcome, disagreements, run_checks
from expectations.dispositions import Standing, States
from expectations.history import HELD, damage_by_history
from expectations.relation import make_relation
from expectations.suites import Check
from mappings.declarations import Feed
from standard.errors import AccountError, ExtractError
from store.extracts import Batch, Checked, Disposition, FileFinding, Holds, Severity
from store.home import connect, literal, written_whole
from store.ledger import Ledger
from store.parquet import COMPACT
from store.seal_index import SealIndex
from store.state import Rules, read_missing, withdraws_too_much

log = logging.getLogger(__name__)

LEAST_ERRORS = 5
"""Fewer rows in error than this never hold a file whole: one bad row of four says nothing about the file."""

Verdicts = Callable[[], Sequence[Outcome]]
"""Waits for what came of a batch's checks, in their order, and gives it."""


class Judge(Protocol):
    """Lets Great Expectations judge a relation: passes it on and comes back, at once or when it is judged.

    `beside` is a folder below the home that may hold the rows meanwhile.
    """

    def __call__(
        self, con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str, *, beside: Path
    ) -> Verdicts: ...


_one_at_a_time = Lock()


def judge_here(
    con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str, *, beside: Path  # noqa: ARG001
) -> Verdicts:  # fmt: skip
    """A `Judge` in this process: nothing to start and nothing to pass on, the best for little work."""
    with _one_at_a_time:
        from expectations.great_expectations_engine import validate

        outcomes = validate(con, checks, relation)
    return lambda: outcomes


@dataclass(frozen=True)
class _Judged:
    """What the suites say of a batch."""

    checks: Sequence[Check]
    outcomes: Sequence[Outcome]
    theirs: Verdicts
    """What Great Expectations says."""

    def broken(self) -> list[tuple[Check, Outcome]]:
        """Expectations on whole columns that do not hold."""
        pairs = zip(self.checks, self.outcomes, strict=True)
        return [(check, outcome) for check, outcome in pairs if not outcome.holds and not check.kind.judges_rows]


def rules_of(feed: Feed) -> Rules:
    """What a feed declares about the fold of its extracts."""
    return Rules(holds=feed.holds, key=feed.key, window=feed.window, max_withdrawn=feed.max_withdrawn)


def check_batch(
    batch: Batch, feed: Feed, *, states: States, ledger: Ledger, overrule: frozenset[str] = frozenset(),
    judge: Judge = judge_here, seals: SealIndex | None = None,
) -> Checked:  # fmt: skip
    """Checks a mapped batch and writes `rows.parquet`, `findings.parquet` and `validation.json` beside it.

    Also written for the ledger: `orders.parquet` (`ref, reason, arrived`) and `pending.parquet`
    (`element, scope, value, rows`: codes no crosswalk knows). `store.accounts.write_accounts` takes all of them up.

    Args:
        batch: The mapped rows.
        feed: What the agency declares of the feed.
        states: The state in force of any feed of the agency, this one's included.
        ledger: For the orders that stand and for newer extracts of the feed.
        overrule: Reasons for holding the file (`mass_withdrawal`, `error_limit`, ...) that a person has set aside.
        judge: Where Great Expectations works; its verdicts are waited for before this ends.
        seals: What orders on record mean; rows that are meant are withheld.

    Returns:
        The dispositions counted; accepted + quarantined + duplicate + withheld = received.

    Raises:
        AccountError: The rows do not add up, or Great Expectations and the compiled suite disagree.
        ExtractError: An SQL of the declaration or of a suite fails on these rows.
    """
    extract = batch.extract
    before = states(extract.agency, extract.feed)
    standing = dispositions.read_standing(ledger, extract, batch.folder.parent)
    with _told_without_values(batch), connect(temp=batch.folder / ".spill") as con:
        dispositions.open_batch(con, batch, feed, states)
        dispositions.withhold_sealed(con, extract, feed, seals)
        batch = _compared(con, batch, feed, before)
        held = batch.hold if batch.hold not in overrule else None
        if held == "unlisted":
            # No manifest has to prove whole what a later file has already replaced.
            dispositions.withhold_superseded(con, batch, feed, before, standing)
            held = held if _one(con, "SELECT count(*) FROM open_rows") else None
        judged = _Judged([], [], lambda: [])
        if held is None:
            judged = _judge(con, batch, feed, judge, states=states, before=before, standing=standing)
            held = _hold(con, batch, feed, judged, before, overrule=overrule)
        if held:
            dispositions.hold_all(con, held)
        checked = _finish(con, batch, feed, judged, held, standing)
        _agree(batch, judged)
        _write_validation(batch, judged, held)
        return checked


@contextmanager
def _told_without_values(batch: Batch) -> Iterator[None]:
    """DuckDB's own words may hold a value; its kind of error does not."""
    try:
        yield
    except duckdb.Error as error:
        raise ExtractError(
            f"the extract cannot be checked ({type(error).__name__})",
            where=f"extract {batch.extract.extract_id} of {batch.extract.agency}/{batch.extract.feed}",
            mend="look at the SQL of the feed's scope, withhold and entities, and at disk space and memory",
        ) from None


def _judge(
    con: duckdb.DuckDBPyConnection, batch: Batch, feed: Feed, judge: Judge, *, states: States, before: Path | None,
    standing: Standing,
) -> _Judged:  # fmt: skip
    """Applies the rules of disposition in their order; an expectation is asked of the rows that are left."""
    dispositions.withhold_superseded(con, batch, feed, before, standing)
    dispositions.drop_out_of_scope(con, feed)
    dispositions.set_duplicates_apart(con, feed)
    dispositions.quarantine_bad_keys(con, feed)
    dispositions.withhold_orders(con, batch.extract, feed, standing)
    con.execute(
        "CREATE TEMP VIEW candidates AS SELECT * FROM in_terms SEMI JOIN open_rows USING (_record)"
        " WHERE _action <> 'delete'"
    )
    checks = make_relation(con, feed, source="candidates", as_of=batch.extract.as_of)
    asked = bool(checks) and _one(con, "SELECT count(*) FROM checked") > 0
    theirs = judge(con, checks, "checked", beside=batch.folder) if asked else None
    outcomes = run_checks(con, checks, "checked")
    dispositions.quarantine_orphans(con, batch.extract, feed, states)
    dispositions.quarantine_failures(con, checks, outcomes)
    dispositions.accept_rest(con)
    return _Judged(checks, outcomes, theirs or (lambda: outcomes))


def _agree(batch: Batch, judged: _Judged) -> None:
    """Waits for Great Expectations: its verdicts must be ours."""
    if differ := disagreements(judged.outcomes, judged.theirs()):
        raise AccountError(
            f"Great Expectations and the compiled suite disagree on {', '.join(differ)}",
            where=f"extract {batch.extract.extract_id}",
            mend="report it; nothing of this extract is used",
        )


def _compared(con: duckdb.DuckDBPyConnection, batch: Batch, feed: Feed, before: Path | None) -> Batch:
    """The batch with what the rows in force prove about the file, held where that is an error."""
    found = damage_by_history(con, batch, feed, before) if batch.hold is None else []
    worst = any(finding.severity is Severity.ERROR for finding in found)
    return replace(batch, findings=(*batch.findings, *found), hold=HELD if worst else batch.hold)


def _hold(
    con: duckdb.DuckDBPyConnection,
    batch: Batch,
    feed: Feed,
    judged: _Judged,
    before: Path | None,
    *,
    overrule: frozenset[str],
) -> str | None:
    """Why the whole file must be held, if it must."""
    for check, _ in judged.broken():
        if check.severity is Severity.ERROR and check.id not in overrule:
            return check.id
    errors = dispositions.content_errors(con)
    if errors >= LEAST_ERRORS and errors > feed.error_limit * batch.received and "error_limit" not in overrule:
        return "error_limit"
    if feed.holds is Holds.DELTA or "mass_withdrawal" in overrule:
        return None
    if _one(con, "SELECT count(*) FROM fate WHERE reason = 'superseded_by_newer'"):
        return None
    rules = rules_of(feed)
    in_force = read_missing(con, batch, rules, before)
    missing = _one(con, "SELECT count(*) FROM missing")
    return "mass_withdrawal" if withdraws_too_much(missing, in_force, rules) else None


def _finish(
    con: duckdb.DuckDBPyConnection, batch: Batch, feed: Feed, judged: _Judged, held: str | None, standing: Standing
) -> Checked:
    broken = [
        FileFinding(check.id, check.severity, f"{check.expect} does not hold for {', '.join(check.columns)}")
        for check, _ in judged.broken()
    ]
    checked = Checked(
        replace(batch, findings=(*batch.findings, *broken)),
        rows=batch.folder / "rows.parquet",
        findings=batch.folder / "findings.parquet",
        counts=_counts(con, batch),
        held=held,
    )
    dispositions.find(con, feed, judged.checks, judged.outcomes)
    _copy(con, "SELECT _record, _line, _key, disposition, reason FROM fate ORDER BY _record", checked.rows)
    _copy(con, "SELECT * FROM findings ORDER BY _record, element, rule, code", checked.findings)
    _copy(con, "SELECT DISTINCT ref, reason, arrived FROM orders", batch.folder / "orders.parquet")
    _copy(con, pending_codes_sql(con, feed, standing.pending), batch.folder / "pending.parquet")
    total = {kind: sum(n for (d, _), n in checked.counts.items() if d is kind) for kind in Disposition}
    log.info(
        "checked %s: %d received, %d accepted, %d quarantined, %d duplicate, %d withheld%s",
        batch.extract.extract_id, batch.received, *(total[kind] for kind in Disposition),
        f", held: {held}" if held else "",
    )  # fmt: skip
    return checked


def _counts(con: duckdb.DuckDBPyConnection, batch: Batch) -> dict[tuple[Disposition, str], int]:
    rows = con.execute("SELECT disposition, reason, count(*) FROM fate GROUP BY ALL ORDER BY ALL").fetchall()
    counts = {(Disposition(disposition), str(reason)): int(count) for disposition, reason, count in rows}
    if sum(counts.values()) != batch.received:
        raise AccountError(
            f"{batch.received} rows were received and {sum(counts.values())} have a disposition",
            where=f"extract {batch.extract.extract_id}",
            mend="report it; nothing of this extract is used",
        )
    return counts


def _write_validation(batch: Batch, judged: _Judged, held: str | None) -> None:
    """Keeps what Great Expectations found: verdicts and counts, no value of any row."""
    results = [
        {"expectation": check.expect, "columns": check.columns, "severity": check.severity, "mostly": check.mostly}
        | asdict(outcome)
        for check, outcome in zip(judged.checks, judged.outcomes, strict=True)
    ]
    said = {
        "extract_id": batch.extract.extract_id,
        "engine": _engine_version(),
        "held": held,
        "validated": batch.hold is None or held != batch.hold,
        "success": all(outcome.holds for outcome in judged.outcomes),
        "results": results,
    }
    with written_whole(batch.folder / "validation.json") as part:
        part.write_text(json.dumps(said, indent=1), encoding="utf-8")


@cache
def _engine_version() -> str:
    """Who judged; to look it up costs as much as to check a small batch."""
    return f"great-expectations {version('great-expectations')}"


def _copy(con: duckdb.DuckDBPyConnection, query: str, into: Path) -> None:
    with written_whole(into) as part:
        con.execute(f"COPY ({query}) TO {literal(part)} ({COMPACT})")


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])
