"""The rules by which a received row goes where it goes, in their order, each as SQL over the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from expectations.bearing import defined_by, tokens_of
from expectations.codes import columns_of
from expectations.compile import Outcome, number_sql
from expectations.relation import in_terms_sql, sql_of, value_sql
from expectations.suites import Check
from mappings.compile import install_macros
from mappings.declarations import Feed, Reference, Withhold
from mappings.scoped_codes import resolved_sql
from store.extracts import Batch, Extract, Holds, Severity, Status
from store.home import literal, quoted
from store.ledger import Ledger, code_pending, order_
from store.ledger import extract as extracts
from store.seal_index import EXPUNGED, SealIndex, matched_sql
from store.state import open_batch as open_mapped
from store.state import open_state

States = Callable[[str, str], Path | None]
"""(agency, feed) -> the state file in force, or None before the feed's first extract."""

_GRAVEST = "(SELECT _record, min(code) AS code FROM problems WHERE severity = 'error' GROUP BY _record)"
_KEY_REASONS = "'no_key', 'delete_unknown_key', 'conflicting_key'"
NOT_OF_CONTENT = ("orphan", "delete_unknown_key")
"""Reasons that lie in what other extracts hold: such rows are tried again, and they never hold a file."""


@dataclass(frozen=True)
class Standing:
    """What the ledger knows before a batch is checked."""

    orders: Sequence[str]
    """References of the agency under an order that stands."""
    reasons: Sequence[str]
    """The reason of each of them."""
    pending: Sequence[tuple[str, str]]
    """(element, value): codes of the feed that wait for a crosswalk line, in whatever scope."""
    newer: Sequence[Path]
    """mapped.parquet (there or not yet) of the feed's extracts of a later day that wait to be loaded."""


def read_standing(ledger: Ledger, extract: Extract, batches: Path) -> Standing:
    """Reads the orders that stand for an agency and what waits behind an extract.

    Args:
        ledger: The control plane.
        extract: The extract that is checked.
        batches: The folder in which each extract has its own.
    """
    waiting = (Status.LANDED, Status.MAPPED, Status.CHECKED)
    with ledger.reading() as connection:
        standing = connection.execute(
            sa.select(order_.c.ref, order_.c.reason)
            .where(order_.c.ref.startswith(f"{extract.agency}/", autoescape=True), order_.c.lifted_at.is_(None))
            .where(order_.c.since_extract != extract.extract_id)
        ).all()
        newer = connection.execute(
            sa.select(extracts.c.extract_id)
            .where(extracts.c.agency == extract.agency, extracts.c.feed == extract.feed)
            .where(extracts.c.as_of > extract.as_of.isoformat(), extracts.c.status.in_(waiting))
        ).scalars()
        pending = connection.execute(
            sa.select(code_pending.c.element, code_pending.c.value).where(
                code_pending.c.agency == extract.agency, code_pending.c.feed == extract.feed
            )
        ).all()
        return Standing(
            [ref for ref, _ in standing],
            [reason for _, reason in standing],
            sorted({(element, value) for element, value in pending}),
            [batches / extract_id / "mapped.parquet" for extract_id in newer],
        )


def open_batch(con: duckdb.DuckDBPyConnection, batch: Batch, feed: Feed, states: States) -> None:
    """Opens a batch.

    Makes the views `mapped` (codes of another row's scope resolved), `unreadable`, `state`, `in_terms` (mapped rows and
    all that SQL of the declaration may name), `state_in_terms` likewise, the table `fate` (a row for every received
    row, without a disposition but for unreadable ones), the view `open_rows` of those without one, and the empty table
    `orders`.
    """
    install_macros(con, called_in=sql_of(feed))
    extract = batch.extract
    open_mapped(con, batch)
    open_state(con, batch, states(extract.agency, extract.feed))
    state_of = partial(states, extract.agency)
    if feed.scoped_by_lookup:
        read = f"read_parquet({literal(batch.mapped)})"
        resolved = resolved_sql(feed, read, columns=columns_of(con, "mapped"), state_of=state_of)
        con.execute(f"CREATE OR REPLACE TEMP VIEW mapped AS SELECT * FROM {resolved}")
    state = resolved_sql(feed, "state", columns=columns_of(con, "state"), state_of=state_of)
    for view, source in (("in_terms", "mapped"), ("state_in_terms", state)):
        terms = in_terms_sql(feed, source, as_of=extract.as_of, state_of=state_of)
        con.execute(f"CREATE TEMP VIEW {view} AS SELECT * FROM {terms}")
    con.execute(
        """
        CREATE TEMP TABLE fate AS
        SELECT _record, _line, _key, _hash, _action, _version, NULL::VARCHAR AS disposition, NULL::VARCHAR AS reason
        FROM mapped
        UNION ALL
        SELECT _record, _line, raw_key, NULL, NULL, NULL, 'quarantined', code FROM unreadable
        """
    )
    con.execute("CREATE TEMP VIEW open_rows AS SELECT * FROM fate WHERE disposition IS NULL")
    con.execute("CREATE TEMP TABLE orders (ref VARCHAR, reason VARCHAR, arrived BOOLEAN)")
    con.execute("CREATE TEMP TABLE problems (_record BIGINT, element VARCHAR, code VARCHAR, severity VARCHAR)")
    con.execute("CREATE TEMP TABLE failing (_record BIGINT, number INTEGER)")


def _set(con: duckdb.DuckDBPyConnection, disposition: str, reason: str, records: str) -> None:
    """Gives rows that have none yet their disposition; `reason` is SQL over `found`, the relation of the records."""
    con.execute(
        f"UPDATE fate SET disposition = '{disposition}', reason = {reason} FROM ({records}) found"
        " WHERE fate._record = found._record AND fate.disposition IS NULL"
    )


def withhold_superseded(
    con: duckdb.DuckDBPyConnection, batch: Batch, feed: Feed, before: Path | None, standing: Standing
) -> None:
    """A full file speaks for nothing of which a later one has spoken, or waits to speak."""
    if feed.holds is not Holds.FULL:
        return
    window = ", ".join(quoted(name) for name in feed.window)
    newer = []
    if before is not None:
        newer.append(
            f"SELECT {window or 1} FROM state WHERE _as_of > DATE '{batch.extract.as_of}' AND _deleted IS NULL"
        )
    for waiting in standing.newer:
        # One that is not mapped yet is taken to speak for all this one speaks for.
        known = waiting.exists()
        source = f"read_parquet({literal(waiting)})" if known else "mapped"
        newer.append(f"SELECT {window or 1} FROM {source}")
    for spoken in newer:
        chosen = f"({window}) IN (SELECT DISTINCT {window} FROM ({spoken}))" if window else f"EXISTS ({spoken})"
        _set(con, "withheld", "'superseded_by_newer'", f"SELECT _record FROM mapped WHERE {chosen}")


def drop_out_of_scope(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Rows that are not for the exchange."""
    for scope in feed.scope:
        _set(con, "withheld", "'out_of_scope'", f"SELECT _record FROM in_terms WHERE {scope.drop}")


def set_duplicates_apart(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Copies within the extract and, where an extract holds changes only, rows already in force as they are."""
    same = "a._hash = b._hash AND a._key IS NOT DISTINCT FROM b._key"
    first = "SELECT _hash, _key, min(_record) AS first FROM open_rows GROUP BY ALL HAVING count(*) > 1"
    _set(
        con, "duplicate", "'exact_copy'",
        f"SELECT a._record FROM open_rows a JOIN ({first}) b ON {same} WHERE a._record > b.first",
    )  # fmt: skip
    if feed.holds is not Holds.FULL:
        _set(
            con, "duplicate", "'unchanged'",
            "SELECT a._record FROM open_rows a JOIN state b ON a._key = b._key AND a._hash = b._hash"
            " WHERE coalesce(b._deleted, '') = CASE WHEN a._action = 'delete' THEN 'deleted' ELSE '' END",
        )  # fmt: skip


def quarantine_bad_keys(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Rows whose key cannot be read, deletes of keys nobody knows, keys that come twice with nothing to choose by."""
    con.execute(f"INSERT INTO problems {_problems_sql(con, feed)}")
    _set(
        con, "quarantined", "coalesce(found.code, 'no_key')",
        f"SELECT r._record, p.code FROM open_rows r LEFT JOIN {_GRAVEST} p USING (_record) WHERE _key IS NULL",
    )  # fmt: skip
    quarantine_unknown_deletes(con)
    _set(
        con, "quarantined", "'conflicting_key'",
        "SELECT _record FROM open_rows QUALIFY"
        " row_number() OVER (PARTITION BY _key, coalesce(_version, '') ORDER BY _record) > 1",
    )  # fmt: skip


def quarantine_unknown_deletes(con: duckdb.DuckDBPyConnection) -> None:
    """Deletes of a key which is neither in the state nor set by another row of the extract."""
    _set(
        con, "quarantined", "'delete_unknown_key'",
        "SELECT _record FROM open_rows WHERE _action = 'delete' AND _key NOT IN (SELECT _key FROM state)"
        " AND _key NOT IN (SELECT _key FROM open_rows WHERE _action <> 'delete' AND _key IS NOT NULL)",
    )  # fmt: skip


def _problems_sql(con: duckdb.DuckDBPyConnection, feed: Feed) -> str:
    """`_record, element, code, severity`: what mapping met in each row, as grave as the feed declares."""
    listed = "SELECT _record, unnest(string_split(_problems, ' ')) AS problem FROM mapped WHERE _problems IS NOT NULL"
    met = con.execute(f"SELECT DISTINCT problem FROM ({listed}) ORDER BY problem").fetchall()
    rows = []
    for (problem,) in met:
        element, _, code = str(problem).partition(":")
        severity = feed.severity_of(element, code) if element in feed.elements else Severity.WARNING
        rows.append(f"({literal(str(problem))}, {literal(element)}, {literal(code)}, '{severity}')")
    grave = ", ".join(rows) or "('', '', '', '')"
    return (
        f"SELECT _record, element, code, severity FROM ({listed})"
        f" JOIN (VALUES {grave}) AS g(problem, element, code, severity) USING (problem)"
    )


def withhold_orders(con: duckdb.DuckDBPyConnection, extract: Extract, feed: Feed, standing: Standing) -> None:
    """An order that arrives, and every later row of what it covers, stays out of the rows in force.

    The order itself is noted whatever becomes of its row: a row with a fault still seals.
    """
    lasting = [rule for rule in feed.withhold if rule.lasting]
    if not lasting:
        return
    con.register("standing", pa.table({"ref": list(standing.orders), "reason": list(standing.reasons)},
                                      schema=pa.schema([("ref", pa.string()), ("reason", pa.string())])))  # fmt: skip
    for rule in lasting:
        ref = reference_sql(extract.agency, rule)
        before = f"(SELECT _key, coalesce({rule.when}, false) AS was FROM state_in_terms WHERE _deleted IS NULL)"
        con.execute(
            "CREATE OR REPLACE TEMP TABLE ordered AS"
            " SELECT r._record, r.ref, r.now, s._key IS NOT NULL AND NOT s.was AS before_without"
            f" FROM (SELECT _record, _key, {ref} AS ref, coalesce({rule.when}, false) AS now"
            f" FROM in_terms WHERE _action <> 'delete') r LEFT JOIN {before} s USING (_key)"
        )
        con.execute(
            f"INSERT INTO orders SELECT ref, {literal(rule.reason)}, bool_or(before_without) FROM ordered"
            " WHERE now AND ref IS NOT NULL AND _record NOT IN"
            " (SELECT _record FROM fate WHERE disposition = 'withheld') GROUP BY ref"
        )
        _set(
            con, "withheld", "found.reason",
            "SELECT _record, standing.reason FROM ordered JOIN standing USING (ref)"
            f" UNION ALL SELECT _record, {literal(rule.reason)} FROM ordered WHERE now AND before_without",
        )  # fmt: skip


def withhold_sealed(con: duckdb.DuckDBPyConnection, extract: Extract, feed: Feed, seals: SealIndex | None) -> None:
    """Rows that an order on record means are withheld before anything else is asked of them.

    They stand in the table `sealed` (`_record, reason`). The things whose own rows they are (a case, a charge) go into
    the register of orders, so that what hangs on them is withheld, too. Nothing of it was published: no order arrives.
    """
    con.execute(
        f"CREATE TEMP TABLE sealed AS SELECT _record, '{EXPUNGED}' AS reason FROM mapped WHERE _action = '{EXPUNGED}'"
    )
    if seals is not None:
        tokens = tokens_of(extract.agency, feed)
        unread = "(SELECT _record, raw_key AS _key FROM unreadable)"
        for rows, names in (("in_terms", tokens), (unread, tokens[:1])):
            meant = matched_sql(con, seals, rows, names, row="_record")
            con.execute(
                f"INSERT INTO sealed SELECT row, min(reason) FROM {meant}"
                " WHERE row NOT IN (SELECT _record FROM sealed) GROUP BY row"
            )
        for _, text in defined_by(extract.agency, feed):
            con.execute(
                f"INSERT INTO orders SELECT DISTINCT {text}, sealed.reason, false FROM in_terms JOIN sealed"
                f" USING (_record) WHERE {text} IS NOT NULL"
            )
    con.execute(
        "UPDATE fate SET disposition = 'withheld', reason = sealed.reason FROM sealed"
        " WHERE fate._record = sealed._record"
    )


def reference_sql(agency: str, rule: Withhold) -> str:
    """The reference a withholding rule covers, as SQL over elements."""
    return f"{literal(agency + '/')} || {value_sql(rule.covers)}"


def quarantine_orphans(con: duckdb.DuckDBPyConnection, extract: Extract, feed: Feed, states: States) -> None:
    """Rows that name a row of another feed which is not in force."""
    for reference in feed.references:
        orphans = orphans_sql(extract, feed, reference, states, rows="open_rows")
        _set(con, "quarantined", "'orphan'", orphans)


def orphans_sql(
    extract: Extract,
    feed: Feed,
    reference: Reference,
    states: States,
    *,
    rows: str,
) -> str:
    """The records of `rows` whose reference is to nothing in force; a row without the reference is no orphan."""
    own = ", ".join(f"{quoted(name)}::VARCHAR" for name in reference.elements)
    theirs = ", ".join(f"{quoted(name)}::VARCHAR AS k{n}" for n, name in enumerate(reference.to))
    path = states(extract.agency, reference.feed)
    known = []
    if path is not None:
        known.append(f"SELECT {theirs} FROM read_parquet({literal(path)}) WHERE _deleted IS NULL")
    if reference.feed == feed.feed:
        known.append(f"SELECT {theirs} FROM mapped WHERE _action <> 'delete'")
    given = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in reference.elements)
    of_rows = f"mapped SEMI JOIN {rows} USING (_record) WHERE _action <> 'delete' AND {given}"
    if not known:
        return f"SELECT _record FROM {of_rows}"
    keys = ", ".join(f"k{n}" for n in range(len(reference.to)))
    named = ", ".join(f"{part} AS k{n}" for n, part in enumerate(own.split(", ")))
    given_keys = f"SELECT _record, {named} FROM {of_rows}"
    return f"SELECT _record FROM ({given_keys}) ANTI JOIN ({' UNION ALL '.join(known)}) USING ({keys})"


def quarantine_failures(con: duckdb.DuckDBPyConnection, checks: Sequence[Check], outcomes: Sequence[Outcome]) -> None:
    """Rows with a problem or a failed expectation that is an error.

    An expectation that holds of enough rows (`mostly`) quarantines none of the others.
    """
    _quarantine_gravest(con)
    grave = [
        n for n, (c, o) in enumerate(zip(checks, outcomes, strict=True)) if c.severity is Severity.ERROR and not o.holds
    ]
    names = ", ".join(f"({n}, {literal(checks[n].id)})" for n in grave)
    if grave:
        _set(
            con, "quarantined", "found.id",
            "SELECT _record, min(id) AS id FROM failing"
            f" JOIN (VALUES {names}) AS g(number, id) USING (number) GROUP BY _record",
        )  # fmt: skip


def quarantine_problems(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Rows with a problem that is an error, as the rows of other feeds now in force show it."""
    con.execute(f"INSERT INTO problems {_problems_sql(con, feed)}")
    _quarantine_gravest(con)


def _quarantine_gravest(con: duckdb.DuckDBPyConnection) -> None:
    gravest = f"SELECT p.* FROM {_GRAVEST} p JOIN open_rows r USING (_record) WHERE r._action <> 'delete'"
    _set(con, "quarantined", "found.code", gravest)


def quarantine_found(con: duckdb.DuckDBPyConnection, findings: Path) -> None:
    """Rows of which an error was found before that lies in themselves."""
    listed = ", ".join(literal(reason) for reason in NOT_OF_CONTENT)
    _set(
        con, "quarantined", "found.code",
        f"SELECT _record, min(code) AS code FROM read_parquet({literal(findings)})"
        f" WHERE severity = 'error' AND code NOT IN ({listed}) GROUP BY _record",
    )  # fmt: skip


def accept_rest(con: duckdb.DuckDBPyConnection, reason: str = "") -> None:
    """Accepts every row that no rule has set apart."""
    con.execute(f"UPDATE fate SET disposition = 'accepted', reason = {literal(reason)} WHERE disposition IS NULL")


def content_errors(con: duckdb.DuckDBPyConnection) -> int:
    """How many rows are quarantined for what they hold themselves."""
    listed = ", ".join(literal(reason) for reason in NOT_OF_CONTENT)
    query = f"SELECT count(*) FROM fate WHERE disposition = 'quarantined' AND reason NOT IN ({listed})"
    return int(con.execute(query).fetchall()[0][0])


def hold_all(con: duckdb.DuckDBPyConnection, why: str) -> None:
    """Quarantines every row of a held file, whatever else was found of it; orders it brings are not taken up.

    A row that an order on record means stays withheld: quarantine shows rows, and people release them.
    """
    con.execute(
        f"UPDATE fate SET disposition = 'quarantined', reason = {literal(why)}"
        " WHERE _record NOT IN (SELECT _record FROM sealed)"
    )
    con.execute("DELETE FROM orders")


def find(con: duckdb.DuckDBPyConnection, feed: Feed, checks: Sequence[Check], outcomes: Sequence[Outcome]) -> None:
    """Makes the table `findings` (`_record, _line, element, rule, severity, code`): never a value."""
    key = literal(", ".join(feed.key))
    references = literal(", ".join(name for reference in feed.references for name in reference.elements))
    said = [replace(c, severity=Severity.NOTE) if o.holds else c for c, o in zip(checks, outcomes, strict=True)]
    con.execute(
        f"""
        CREATE TEMP TABLE findings AS
        WITH looked_at AS (SELECT _record, _line FROM fate WHERE disposition IN ('accepted', 'quarantined'))
        SELECT _record, _line, element, 'mapping' AS rule, severity, code FROM problems JOIN looked_at USING (_record)
        UNION ALL
        SELECT _record, _line, element, id, severity, id
        FROM failing JOIN {number_sql(said)} USING (number) JOIN looked_at USING (_record)
        UNION ALL
        SELECT _record, _line, CASE WHEN reason = 'orphan' THEN {references} ELSE {key} END,
            CASE WHEN reason = 'orphan' THEN 'reference' ELSE 'key' END, 'error', reason
        FROM fate WHERE disposition = 'quarantined' AND reason IN ('orphan', {_KEY_REASONS})
        UNION ALL
        SELECT _record, _line, {key}, 'readable', 'error', code FROM unreadable
        """
    )
