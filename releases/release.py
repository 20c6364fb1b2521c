"""Make a release: what a policy gives a recipient, whole or not at all, told in the audit log before it is begun."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from governance.apply import log_refusals
from governance.decide import Terms, terms_of
from governance.disclosures import DisclosureHead, record_disclosures, recorded
from governance.load import Governance
from governance.policies import Policy, load_policy, policies_folder
from governance.subjects import Registers, attach_subjects, read_registers
from record.in_force import working_database
from record.reader import Record, attach_tables, open_record
from record.snapshot import file_sha256
from releases import documents
from releases.documents import Told
from releases.index import (
    Kept,
    clear_left,
    index_folder,
    kept_releases,
    note_given,
    published_at,
    release_before,
    write_facts,
    write_index,
)
from releases.pseudonyms import RecipientKeys, attach_keys, recipient_keys
from releases.reader import (
    AGREEMENT,
    CODEBOOK,
    DICTIONARY,
    LOSSES,
    MANIFEST,
    NOTICE,
    POLICY,
    QUALITY,
    RETRACTIONS,
    SIGNATURE,
    Format,
    Release,
    open_release,
)
from releases.retractions import write_retractions
from releases.tables import Decided, decide_table, disclosed, write_tables
from standard.errors import BusyError, DeclarationError, ExchangeError, PublishError
from store.audit_log import Event, append, head, intent, operator
from store.home import Home, sync
from store.ledger import Ledger
from store.sign import sign


@dataclass(frozen=True)
class Order:
    """A release that may be made.

    Attributes:
        home: The home.
        ledger: Its control plane.
        governance: What is agreed.
        terms: The policy with its agreement.
        record: The snapshot it is made of.
        keys: The recipient's.
        before: The release before to the same recipient by the same policy.
        into: The folder in which the release's own comes to be.
        format_: parquet, csv or duckdb.
        at: When it is made.
        day: The day of the decisions.
    """

    home: Home
    ledger: Ledger
    governance: Governance
    terms: Terms
    record: Record
    keys: RecipientKeys
    before: Kept | None
    into: Path
    format_: Format
    at: datetime
    day: date

    @property
    def policy(self) -> Policy:
        return self.terms.policy

    @property
    def release_id(self) -> str:
        return f"{self.policy.policy}-{self.at.astimezone(UTC):%Y%m%dT%H%M%SZ}"

    @property
    def destroy_by(self) -> date:
        destruction = self.terms.agreement.destruction
        assert destruction is not None  # a DUL says when
        return self.terms.agreement.expires + timedelta(destruction.within_days)


def make_release(
    home: Home, ledger: Ledger, governance: Governance, policy: str, *, at: datetime, day: date,
    into: Path | None = None, format_: Format = "parquet",
) -> Release:  # fmt: skip
    """Makes what a policy gives its recipient from the snapshot in force, in a folder of its own.

    Until the last step nothing of it can be seen; what fails or is killed leaves nothing half written. Before the
    folder appears, the audit log tells of it and the register of disclosures who is in it.

    Args:
        home: The home.
        ledger: Its control plane.
        governance: What is agreed.
        policy: Name of the policy.
        at: This moment; with the policy it names the release.
        day: The day on which agreements and consents are judged.
        into: Where the release's folder comes to be; `releases/<recipient>/` of the home where nothing is said.
        format_: parquet, csv or duckdb.

    Raises:
        DeclarationError: The policy, its agreement or a key does not stand; with what, where and how to mend.
        PublishError: There is no record, the disk is full, or an order of a court came meanwhile.
        AuditError: The log cannot be written: nothing goes out.
        BusyError: Another release is being made.
    """
    with _one_at_a_time(home):
        try:
            order = _order(home, ledger, governance, policy, at=at, day=day, into=into, format_=format_)
        except ExchangeError as error:
            known = {path.stem for path in policies_folder(governance).glob("*.yaml")}
            about = policy if policy in known else "unknown policy"
            append(home, Event("release", about, operator(), decision="refused", reason=type(error).__name__))
            raise
        event = Event(
            "release", order.release_id, operator(), agreement=order.policy.agreement,
            snapshot=order.record.snapshot_id, reason=order.policy.purpose,
        )  # fmt: skip
        with intent(home, event) as going:
            manifest = _make(order)
            going.counts.update({name: told["rows"] for name, told in manifest["tables"].items()})
    return open_release(order.into / order.release_id, today=day)


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    folder = index_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder / "LOCK", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = "another release is being made"
            raise BusyError(what, where=str(folder), mend="try again when it has ended") from None
        clear_left(home)
        yield
    finally:
        os.close(handle)


def _order(
    home: Home, ledger: Ledger, governance: Governance, name: str, *, at: datetime, day: date, into: Path | None,
    format_: Format,
) -> Order:  # fmt: skip
    policy = load_policy(governance, name)
    if why := governance.why_not(policy.agreement, day):
        raise DeclarationError(
            f"{policy.agreement} is not in force: {why}", where=str(governance.filed[policy.agreement].path),
            mend="nothing goes out without an agreement in force; see: kith agreement check",
        )  # fmt: skip
    if governance.parties.parties[policy.recipient].in_breach:
        raise DeclarationError(
            f"{policy.recipient} is in breach of what was agreed (R17)", where=str(governance.folder / "parties.yaml"),
            mend="nothing goes out to it until the breach is settled and in_breach is taken away",
        )  # fmt: skip
    order = Order(
        home, ledger, governance, terms_of(governance, policy), open_record(home),
        recipient_keys(home, policy.recipient, may_make=not (kept_releases(home) or recorded(home))),
        release_before(home, policy.recipient, policy.policy),
        (into or home.root / "releases" / policy.recipient).expanduser().resolve(), format_, at, day,
    )  # fmt: skip
    while _is_taken(order):  # of another release by this policy, in this very second
        order = replace(order, at=order.at + timedelta(seconds=1))
    return order


def _is_taken(order: Order) -> bool:
    places = (order.into, index_folder(order.home))
    told = order.home.disclosures / f"{order.release_id}.parquet"
    return told.exists() or any((place / order.release_id).exists() for place in places)


def _make(order: Order) -> Mapping[str, Any]:
    with _folders(order) as (given, kept), working_database(kept) as con:
        attach_tables(con, order.record.snapshot)
        registers = read_registers(order.ledger)
        attach_subjects(con, order.terms, order.governance.parties, registers, day=order.day)
        attach_keys(con, order.keys)
        tables = _decide(order, con, kept)
        manifest = _write(order, con, tables, given, kept)
        _require_same_orders(order, registers)
        agreement = order.terms.agreement
        assert agreement.redisclosure is not None  # a DUL says what may be passed on
        told = DisclosureHead(
            order.release_id, order.policy.recipient, order.policy.purpose, order.policy.agreement, order.policy.policy,
            order.record.snapshot_id, order.day, agreement.redisclosure.notice,
        )  # fmt: skip
        record_disclosures(order.home, told, con, disclosed(tables))
    return manifest


def _decide(order: Order, con: duckdb.DuckDBPyConnection, kept: Path) -> list[Decided]:
    (kept / ".rows").mkdir(mode=0o700)
    tables = []
    for name in sorted(order.policy.columns):
        decided = decide_table(con, order.governance, order.terms, name, day=order.day, folder=kept / ".rows")
        log_refusals(order.ledger, order.terms, decided.decisions, snapshot_id=order.record.snapshot_id, day=order.day)
        tables.append(decided)
    return tables


@contextmanager
def _folders(order: Order) -> Iterator[tuple[Path, Path]]:
    """The recipient's folder and the exchange's own, under other names until all is well; else they are gone after."""
    index = index_folder(order.home)
    given, kept = order.into / f".{order.release_id}.part", index / f".{order.release_id}.part"
    try:
        _make_private(order.into)
        for left in order.into.glob(f".{order.policy.policy}-*.part"):
            shutil.rmtree(left)
        for folder in (given, kept):
            folder.mkdir(mode=0o700)
        yield given, kept
        shutil.rmtree(kept / ".rows")
        for folder, name in ((kept, index / order.release_id), (given, order.into / order.release_id)):
            folder.rename(name)
            sync(name.parent)
        note_given(index / order.release_id)
    except (OSError, duckdb.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise PublishError(
            f"the release cannot be written: {reason}", where=str(order.into),
            mend="check that the disk has room and the folder may be written to, then: kith release again",
        ) from None  # the engine's own message may hold a value  # fmt: skip
    finally:
        for folder in (given, kept):
            shutil.rmtree(folder, ignore_errors=True)


def _write(
    order: Order, con: duckdb.DuckDBPyConnection, tables: list[Decided], given: Path, kept: Path
) -> Mapping[str, Any]:
    treated = {
        t.table: {c: done for c in t.columns if (done := order.policy.treatment_of(f"{t.table}.{c}"))} for t in tables
    }
    entries = write_tables(con, tables, given, order.format_, treated)
    counted = write_index(con, order.record, tables, kept)
    _write_documents(order, con, tables, given)
    facts = _facts(order, tables, counted)
    write_retractions(con, order.before, Kept(kept, facts), order.ledger, given / RETRACTIONS)
    manifest = _manifest(order, entries, given)
    _seal(order, given, manifest)
    write_facts(kept, facts | {"manifest_sha256": file_sha256(given / MANIFEST)})
    return manifest


def _write_documents(order: Order, con: duckdb.DuckDBPyConnection, tables: list[Decided], given: Path) -> None:
    aggregates = order.policy.aggregates or order.terms.agreement.aggregates
    assert aggregates is not None  # a DUL says how counts are kept safe
    told = Told(order.policy, order.terms.agreement, order.governance.agencies, tables, aggregates.min_cell)
    quality = documents.quality(con, told, order.record.manifest)
    notice = documents.notice(told, order.governance, destroy_by=order.destroy_by)
    for name, text in (
        (DICTIONARY, documents.dictionary(told)), (NOTICE, notice), (QUALITY, json.dumps(quality, indent=1) + "\n"),
    ):  # fmt: skip
        (given / name).write_text(text, encoding="utf-8")
    documents.write_codebook(con, told, given / CODEBOOK)
    documents.write_losses(con, told, given / LOSSES)
    shutil.copyfile(order.governance.filed[order.policy.agreement].path, given / AGREEMENT)
    shutil.copyfile(policies_folder(order.governance) / f"{order.policy.policy}.yaml", given / POLICY)


def _facts(order: Order, tables: list[Decided], counted: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "release_id": order.release_id, "recipient": order.policy.recipient, "policy": order.policy.policy,
        "policy_sha256": file_sha256(policies_folder(order.governance) / f"{order.policy.policy}.yaml"),
        "agreement": order.policy.agreement, "snapshot_id": order.record.snapshot_id,
        "published_at": published_at(order.ledger, order.record.snapshot_id), "at": order.at.isoformat(),
        "path": str(order.into / order.release_id), "extracts": order.record.manifest["extracts"],
        "chosen": {t.table: list(t.columns) for t in tables}, "counted": counted,
        "person_as_given": {t.table: _as_given(order, t.table, "person_id") for t in tables},
        "row_as_given": {t.table: _as_given(order, t.table, "row_id") for t in tables},
    }  # fmt: skip


def _as_given(order: Order, table: str, column: str) -> str | None:
    """How the recipient knows a person or row of a table: `pseudonym`, `plain`, or not at all."""
    if column not in order.policy.chosen()[table]:
        return None
    return order.policy.treatment_of(f"{table}.{column}") or "plain"


def _manifest(order: Order, entries: Mapping[str, Any], given: Path) -> Mapping[str, Any]:
    agreement, logged = order.terms.agreement, head(order.home)
    assert agreement.destruction is not None and agreement.redisclosure is not None  # a DUL says both
    files = sorted(path for path in given.rglob("*") if path.is_file())
    return {
        "kith_release": 1, "release_id": order.release_id, "recipient": order.policy.recipient,
        "purpose": order.policy.purpose,
        "policy": {"name": order.policy.policy, "sha256": file_sha256(given / POLICY)},
        "agreement": {"id": agreement.id, "title": agreement.title, "sha256": file_sha256(given / AGREEMENT)},
        "released_at": order.at.isoformat(timespec="seconds"), "day": order.day.isoformat(),
        "expires": agreement.expires.isoformat(), "destroy_by": order.destroy_by.isoformat(),
        "destruction": agreement.destruction.model_dump(), "redisclosure": agreement.redisclosure.model_dump(),
        "snapshot_id": order.record.snapshot_id, "snapshot_as_of": order.record.manifest["as_of"],
        "parent": order.before and order.before.release_id, "format": order.format_,
        "involvement": order.policy.involvement,
        "audit_head": logged and logged.told(),
        "tables": entries,
        "files": {
            str(path.relative_to(given)): {"sha256": file_sha256(path), "size": path.stat().st_size} for path in files
        },
    }  # fmt: skip


def _seal(order: Order, given: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest last, signs it, and makes all private and safe on disk."""
    content = (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()
    (given / MANIFEST).write_bytes(content)
    (given / SIGNATURE).write_bytes(sign(content, order.home.keys))
    for path in sorted(given.rglob("*"), reverse=True):
        path.chmod(0o700 if path.is_dir() else 0o600)
        sync(path)
    sync(given)


def _require_same_orders(order: Order, registers: Registers) -> None:
    """Nothing goes out that an order covers, or a consent refuses, that came while it was made."""
    now = read_registers(order.ledger)
    came = [
        what for what, before, after in (
            ("an order of a court", registers.seals, now.seals),
            ("a consent", registers.consents, now.consents),
            ("an override", registers.overrides, now.overrides),
        ) if not before.equals(after)
    ]  # fmt: skip
    if came:
        raise PublishError(f"{came[0]} came while the release was made", where=order.release_id, mend="make it again")


def _make_private(folder: Path) -> None:
    """Makes a folder and those above it that are not there, for their owner alone."""
    for above in [*reversed(folder.parents), folder]:
        above.mkdir(mode=0o700, exist_ok=True)
