"""Take the keys of what was expunged out of the ledger's own registers; their marks stay in the seal index."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import sqlalchemy as sa

from store.home import literal, peek
from store.ledger import Ledger, judgement, judgement_act, order_, sampled_pair
from store.registers import consent_record, keep_as_written, override_record
from store.seal_index import EXPUNGED, SealIndex, marks_of, matched_sql, place_of

_PAIRS = (judgement, sampled_pair)
_SUBJECTS = (consent_record, override_record)


def forget_expunged(ledger: Ledger, index: SealIndex, doomed: frozenset[str]) -> int:
    """Takes references to what was expunged out of the registers of orders, judgements and consents.

    A register whose lines are never changed is opened for this alone, in one transaction: of a consent stays all but
    whose it was, for whom it was the basis of a disclosure.

    Args:
        ledger: The control plane.
        index: The orders in force.
        doomed: `agency/table/key` of what goes along with what is expunged.

    Returns:
        How many lines were taken away or changed.
    """
    if EXPUNGED not in index.marks["reason"].to_pylist():
        return 0
    with ledger.writing() as connection:
        gone = meant_by(index, named_in_registers(connection), reason=EXPUNGED) | doomed
        changed = _delete(connection, order_, (order_.c.ref,), gone)
        pairs = sa.select(judgement.c.judgement_id).where(
            sa.or_(judgement.c.record_l.in_(gone), judgement.c.record_r.in_(gone))
        )
        ids = list(connection.execute(pairs).scalars())
        connection.execute(judgement_act.delete().where(judgement_act.c.judgement_id.in_(ids)))
        changed += sum(_delete(connection, table, (table.c.record_l, table.c.record_r), gone) for table in _PAIRS)
        return changed + sum(_unname(connection, index, table, gone) for table in _SUBJECTS)


def named_in_registers(connection: sa.Connection, *, orders: bool = True) -> set[str]:
    """Every reference the registers name; those of orders in force where it is said."""
    columns = [c for table in _PAIRS for c in (table.c.record_l, table.c.record_r)]
    columns += [table.c.subject for table in _SUBJECTS]
    columns += [order_.c.ref] if orders else []
    return {text for column in columns for text in connection.execute(sa.select(column).distinct()).scalars()}


def meant_by(index: SealIndex, texts: Iterable[str], *, reason: str | None = None) -> set[str]:
    """Which of some references the orders of an index mean; for one reason, or for any."""
    chosen = "true" if reason is None else f"reason = {literal(reason)}"
    with peek() as con:
        con.register("named", pa.table({"text": pa.array(sorted(texts), pa.string())}))
        found = matched_sql(con, index, "named", [("", "text")], row="text")
        return {text for (text,) in con.execute(f"SELECT row FROM {found} WHERE {chosen}").fetchall()}


def _delete(
    connection: sa.Connection, table: sa.Table, columns: Iterable[sa.Column[str]], gone: set[str] | frozenset[str]
) -> int:  # fmt: skip
    chosen = sa.or_(*(column.in_(gone) for column in columns))
    return connection.execute(table.delete().where(chosen)).rowcount


def _unname(connection: sa.Connection, index: SealIndex, table: sa.Table, gone: set[str] | frozenset[str]) -> int:
    """Puts a mark in the place of the subject."""
    chosen = table.c.subject.in_(gone)
    subjects = list(connection.execute(sa.select(table.c.subject).where(chosen)).scalars())
    if not subjects:
        return 0
    sqlite = connection.dialect.name == "sqlite"
    drop = (
        f"DROP TRIGGER {table.name}_no_update" if sqlite else f"DROP TRIGGER {table.name}_never_changed ON {table.name}"
    )
    connection.execute(sa.text(drop))
    for text, (mark, _) in marks_of(index.secret, subjects).items():
        named = f"{place_of(text)}/#{mark}"
        connection.execute(table.update().where(table.c.subject == text).values(subject=named))
    keep_as_written(connection, table)
    return len(subjects)
