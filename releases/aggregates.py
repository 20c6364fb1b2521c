"""Tables of counts for a recipient: by a policy, with every small cell hidden so that it cannot be worked out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from governance.agreements import Aggregates
from governance.decide import Terms, terms_of
from governance.load import Governance
from governance.policies import Policy, load_policy
from governance.rules import Reason
from record.classes import column_classes
from record.outbound import formula_safe
from record.reader import open_record
from releases.aggregates_count import (
    COARSENED,
    MISSING,
    SEVERAL,
    TOTAL,
    Counted,
    Request,
    attach_units,
    count_units,
    joint_dimensions,
)
from releases.aggregates_register import Dimension, Kept, keep, kept_tables, register_folder
from releases.suppression import Asked, Earlier, Key, NotProtectable, TooLarge, hide
from standard.errors import DeclarationError, PublishError
from standard.sensitivity import Sensitivity
from store.audit_log import Event, head, intent, operator
from store.home import Home, connect, held_alone, literal, quoted, sync
from store.ledger import Ledger

TABLE, MANIFEST = "table.csv", "manifest.json"


@dataclass(frozen=True)
class Aggregate:
    """A table that went out: its folder, its cells (totals have None) with counts, None where hidden."""

    folder: Path
    dims: tuple[str, ...]
    cells: Mapping[Key, int | None]
    manifest: Mapping[str, Any]


def make_aggregate(
    home: Home, ledger: Ledger, governance: Governance, request: Request, *, into: Path | None = None
) -> Aggregate:
    """Counts what a policy lets a recipient know, hides what must be hidden, and writes the table into a folder.

    Asks agreement, policy, consents and seals as a release does; a row counts where every column by which is counted
    may go out. What is hidden holds against totals, and against every table the recipient was given before.

    Args:
        home: The home.
        ledger: Its control plane.
        governance: What is agreed.
        request: What is asked for.
        into: Where the folder of the table comes to be; `releases/<recipient>/` of the home where nothing is said.

    Raises:
        DeclarationError: Policy or agreement do not stand, or it cannot be counted by these columns.
        PublishError: It cannot be protected (R12), there is no record, or the disk is full.
        AuditError: The log or the register cannot be written: nothing goes out.
    """
    policy = load_policy(governance, request.policy)
    if request.table not in policy.columns:
        raise _cannot_count(policy, "the policy has no such table", f"count one of: {', '.join(policy.columns)}")
    record, terms = open_record(home), terms_of(governance, policy)
    event = Event("aggregate", _id_of(request), operator(), reason=policy.purpose, agreement=policy.agreement,
                  snapshot=record.snapshot_id)  # fmt: skip
    with intent(home, event) as going, _one_at_a_time(home, policy.recipient):
        dims = _dimensions(governance, policy, request)
        before = _tables_before(home, policy, request)
        rules = policy.aggregates or terms.agreement.aggregates
        assert rules is not None  # a DUL says how counts are kept safe
        with record.to_duckdb() as con:
            refused = attach_units(
                con, ledger, governance, terms, request, joint_dimensions(dims, before), record.snapshot_id
            )
            going.counts.update(refused)
            counted = count_units(con, rules, dims, before)
        cells = _hide(request, rules, dims, before, counted, record.snapshot_id)
        going.counts[Reason.SMALL_CELL] = sum(told is None for told in cells.values())
        folder = (into or home.root / "releases" / policy.recipient).expanduser().resolve() / _id_of(request)
        kept = Kept(_id_of(request), policy.recipient, request.table, request.measure, dims, record.snapshot_id,
                    rules.rounding or 1, cells, counted.members[dims])  # fmt: skip
        manifest = _manifest(home, policy, terms, rules, request, kept)
        _write(home, folder, kept, manifest)
    return Aggregate(folder, tuple(d.name for d in dims), cells, manifest)


def _id_of(request: Request) -> str:
    return f"{request.policy}-{request.table}-{request.at:%Y%m%dT%H%M%SZ}"


@contextmanager
def _one_at_a_time(home: Home, recipient: str) -> Iterator[None]:
    """Two tables made side by side would not know of each other."""
    folder = register_folder(home, recipient)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held_alone(folder / ".lock"):
        yield


def _dimensions(governance: Governance, policy: Policy, request: Request) -> tuple[Dimension, ...]:
    """The columns by which is counted, each as the policy lets it out."""
    if why := governance.why_not(policy.agreement, request.day):
        raise DeclarationError(
            f"{policy.agreement} is not in force: {why}", where=str(governance.filed[policy.agreement].path),
            mend="nothing goes out without an agreement in force; see: kith agreement check",
        )  # fmt: skip
    chosen = policy.chosen().get(request.table, [])
    if not request.by or len(set(request.by)) < len(request.by):
        raise _cannot_count(policy, "nothing, or one column twice, is named to count by", "name each column once: --by")
    for column in request.by:
        if column not in chosen:
            raise _cannot_count(policy, f"{request.table}.{column} is not in the policy",
                                f"count by: {', '.join(chosen) or 'columns of another table'}")  # fmt: skip
    return tuple(_dimension(policy, request.table, column) for column in request.by)


def _dimension(policy: Policy, table: str, column: str) -> Dimension:
    treatment = policy.treatment_of(f"{table}.{column}")
    told = column_classes()[table][column]
    if treatment is None and (told.kind == "date" or told.sensitivity is Sensitivity.DIRECT_IDENTIFIER):
        raise _cannot_count(policy, f"{table}.{column} has a value for nearly every person or day",
                            "count by a code, or let the policy make a month or year of it")  # fmt: skip
    if treatment is not None and treatment not in COARSENED:
        raise _cannot_count(policy, f"{table}.{column} goes out as {treatment}: a value for each person",
                            "count by another column")  # fmt: skip
    return Dimension(column, treatment)


def _cannot_count(policy: Policy, what: str, mend: str) -> DeclarationError:
    return DeclarationError(what, where=f"policy {policy.policy}, columns", mend=mend)


def _tables_before(home: Home, policy: Policy, request: Request) -> list[Kept]:
    before = kept_tables(home, policy.recipient, request.table)
    if other := [kept for kept in before if kept.measure != request.measure]:
        raise _unsafe(
            f"{policy.recipient} has counts of {other[0].measure} of {request.table}; with counts of {request.measure} "
            "beside them hidden cells could be narrowed", f"count {other[0].measure}",
        )  # fmt: skip
    return before


def _unsafe(why: str, mend: str) -> PublishError:
    return PublishError(f"{Reason.SMALL_CELL}: the table cannot be protected: {why}", where="the table asked for",
                        mend=mend)  # fmt: skip


def _hide(
    request: Request, rules: Aggregates, dims: tuple[Dimension, ...], before: Sequence[Kept], counted: Counted,
    snapshot_id: str,
) -> dict[Key, int | None]:  # fmt: skip
    """What is published of every cell that is not zero: its count, rounded where that is agreed, or None."""
    asked = Asked(tuple(d.name for d in dims), tuple(d.name for d in joint_dimensions(dims, before)), counted.atoms)
    counts = asked.counts()
    if not counts:
        raise PublishError("nothing is left to count: no row may go out", where=f"table {request.table}",
                           mend="see why by: kith policy explain")  # fmt: skip
    small = counted.small | _near(counts, dims, before, snapshot_id, rules.min_cell)
    earlier = _distinct([kept.as_earlier(counted.members[kept.dims]) for kept in before])
    try:
        hidden = hide(asked, small, width=max(1, rules.min_cell - 1), before=earlier) if rules.complementary else small
    except NotProtectable:
        raise _unsafe("with its totals, or with what the recipient was given before, a hidden cell could be worked "
                      "out whatever else is hidden", "ask for fewer or coarser columns") from None  # fmt: skip
    except TooLarge:
        raise _unsafe("it has so many combinations that they cannot be audited", "ask for fewer columns") from None
    if len(hidden) == len(counts):
        raise _unsafe("nothing of it would be left to show", "ask for fewer or coarser columns")
    base = rules.rounding or 1
    return {key: None if key in hidden else _rounded(count, base) for key, count in counts.items()}


def _near(
    counts: Mapping[Key, int], dims: Sequence[Dimension], before: Sequence[Kept], snapshot_id: str, min_cell: int
) -> frozenset[Key]:
    """Cells that the recipient has of the same snapshot, of other persons (by another policy): the few by which they
    differ must not be told by subtracting."""
    found = set()
    for kept in (each for each in before if each.snapshot_id == snapshot_id):
        told = {_plain(kept.dims, key): value for key, value in kept.cells.items() if value is not None}
        for key, count in counts.items():
            apart = abs(count - told.get(_plain(dims, key), count))
            if 0 < apart < min_cell + kept.rounding - 1:
                found.add(key)
    return frozenset(found)


def _plain(dims: Sequence[Dimension], key: Key) -> frozenset[tuple[str, str]]:
    return frozenset((d.name, value) for d, value in zip(dims, key, strict=True) if value is not None)


def _distinct(before: Sequence[Earlier]) -> list[Earlier]:
    """The same table of the same persons tells nothing more, however often it went out."""
    kept: list[Earlier] = []
    for each in before:
        if each not in kept:
            kept.append(each)
    return kept


def _rounded(count: int, base: int) -> int:
    return (count + base // 2) // base * base


def _manifest(
    home: Home, policy: Policy, terms: Terms, rules: Aggregates, request: Request, kept: Kept
) -> dict[str, Any]:  # fmt: skip
    agreement, logged = terms.agreement, head(home)
    assert agreement.redisclosure is not None  # a DUL says what may be passed on
    return {
        "kith_aggregate": 1, "aggregate_id": kept.aggregate_id, "recipient": policy.recipient,
        "purpose": policy.purpose, "policy": policy.policy, "agreement": agreement.id,
        "released_at": request.at.isoformat(timespec="seconds"), "day": request.day.isoformat(),
        "expires": agreement.expires.isoformat(), "redisclosure": agreement.redisclosure.model_dump(),
        "snapshot_id": kept.snapshot_id, "table": request.table, "measure": request.measure,
        "by": [{"column": d.column, "as": d.treatment} for d in kept.dims],
        "cells": {"shown": sum(v is not None for v in kept.cells.values()),
                  "hidden": sum(v is None for v in kept.cells.values())},
        "rules": rules.model_dump(),
        "reading": f"{TOTAL}: all values; {MISSING}: none; {SEVERAL}: more than one, the person is counted once; an "
                   f"empty count is hidden ({Reason.SMALL_CELL}); combinations that are not listed count nobody",
        "audit": logged.told() if logged else None,
    }  # fmt: skip


def _write(home: Home, folder: Path, kept: Kept, manifest: dict[str, Any]) -> None:
    """Writes the folder under another name, the table into the register, and lets the folder appear as the last."""
    part = folder.with_name(f".{folder.name}.part")
    try:
        for above in (folder.parent, part):
            above.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_table(part / TABLE, kept)
        manifest["files"] = {TABLE: hashlib.sha256((part / TABLE).read_bytes()).hexdigest()}
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")
        for path in part.iterdir():
            path.chmod(0o600)
            sync(path)
        sync(part)
        if folder.exists():
            raise PublishError("this table is there already", where=str(folder), mend="wait a second, then again")
        keep(home, kept, agreement=manifest["agreement"])
        part.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise PublishError(f"the table cannot be written: {error.strerror}", where=str(folder.parent),
                           mend="check that the disk has room and the folder may be written to") from None  # fmt: skip
    finally:
        shutil.rmtree(part, ignore_errors=True)


def in_order(key: Key) -> list[tuple[bool, str]]:
    """By what the cells of a table of counts are sorted: their values, each total before what it is the total of."""
    return [(value is not None, value or "") for value in key]


def _write_table(path: Path, kept: Kept) -> None:
    """A line for each cell that is not zero; no spreadsheet takes a value for a formula."""
    ordered = sorted(kept.cells, key=in_order)
    names = [d.name for d in kept.dims]
    columns = {name: pa.array([key[n] or TOTAL for key in ordered], pa.string()) for n, name in enumerate(names)}
    counts = pa.array([kept.cells[key] for key in ordered], pa.int64())
    with connect() as con:
        con.register("cells", pa.table({**columns, kept.measure: counts}))
        shown = ", ".join(f"{formula_safe(quoted(name))} AS {quoted(name)}" for name in names)
        con.execute(f"COPY (SELECT {shown}, {kept.measure} FROM cells) TO {literal(path)} (FORMAT csv, HEADER true)")
