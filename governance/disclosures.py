"""The register of disclosures: what went out about whom, to whom, when and why; a Parquet file a release, for good."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from governance.former_ids import ids_of
from record.snapshot import file_sha256
from standard.errors import AuditError, DeclarationError
from store.audit_check import Fault
from store.audit_entry import Entry
from store.audit_log import Event, append, operator
from store.home import Home, connect, literal, written_whole
from store.ledger import Ledger

ACTION = "disclosure"
"""The action under which the audit log tells of a file of the register, with its SHA-256."""
Part = tuple[str, Sequence[str], str]
"""(table, the columns of it that went out, SQL giving the person_id of everybody whose row of it went out)."""
SCHEMA = pa.schema([(n, pa.string()) for n in ("person_id", "table_name", "columns")])
_HEAD = "disclosure"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FEW = 100
_ROW_GROUP = 20_480


@dataclass(frozen=True)
class DisclosureHead:
    """What holds for a whole release.

    Attributes:
        release_id: Names the release, and the file in the register.
        recipient: Party id of who received.
        purpose: Code of the set `purpose`.
        agreement: The data use agreement under which it went out.
        policy: The policy by which it was decided.
        snapshot_id: The snapshot it was made of.
        on: The day.
        notice: The redisclosure notices that went along.
    """

    release_id: str
    recipient: str
    purpose: str
    agreement: str
    policy: str
    snapshot_id: str
    on: date
    notice: tuple[str, ...] = ()


def record_disclosures(
    home: Home, head: DisclosureHead, con: duckdb.DuckDBPyConnection, parts: Iterable[Part], *, actor: str | None = None
) -> Entry:
    """Writes who is in a release into the register and its hash into the audit log; before the release is visible.

    Args:
        home: The home.
        head: What holds for the whole release.
        con: The connection on which the SQL of the parts can be run.
        parts: Which persons' rows of which tables went out; rows of nobody (person_id NULL) are left out.
        actor: Who releases; the account that runs this where nothing is said.

    Raises:
        AuditError: The release is in the register already, or neither register nor log can be written: release nothing.
        DeclarationError: The release's id is no name of a file.
    """
    path = _file_of(home, head.release_id)
    if path.exists():
        raise AuditError(
            f"the disclosures of release {head.release_id} are on record already", where=str(path),
            mend="give the release an id of its own; what is on record is never written again",
        )  # fmt: skip
    queries = [
        f"SELECT person_id::VARCHAR AS person_id, {literal(table)} AS table_name,"
        f" {literal(' '.join(columns))} AS columns FROM ({sql})"
        for table, columns, sql in parts
    ] or ["SELECT NULL::VARCHAR AS person_id, NULL::VARCHAR AS table_name, NULL::VARCHAR AS columns WHERE false"]
    rows = f"""SELECT DISTINCT person_id, table_name, columns FROM ({" UNION ALL ".join(queries)})
        WHERE person_id IS NOT NULL ORDER BY person_id, table_name, columns"""
    for left in home.disclosures.glob(".*.part"):  # of a release that was killed: one is made at a time
        left.unlink()
    try:
        with written_whole(path) as part:
            _write(con, rows, head, part)
            counts = _counts(con, part)
    except OSError as error:
        raise _unwritable(path, str(error.strerror)) from None
    event = Event(
        ACTION, head.release_id, actor or operator(), decision="disclosed", reason=head.purpose,
        agreement=head.agreement, snapshot=head.snapshot_id, counts=counts, sha256=file_sha256(path),
    )  # fmt: skip
    try:
        return append(home, event)
    except AuditError:
        path.unlink()  # what the log cannot tell of does not go out
        raise


def _write(con: duckdb.DuckDBPyConnection, rows: str, head: DisclosureHead, path: Path) -> None:
    told = json.dumps({**asdict(head), "on": head.on.isoformat()}, sort_keys=True)
    path.touch(mode=0o600)
    try:
        con.execute(f"""COPY ({rows}) TO {literal(path)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1,
            ROW_GROUP_SIZE {_ROW_GROUP}, KV_METADATA {{{_HEAD}: {literal(told)}}})""")
    except duckdb.IOException:
        raise _unwritable(path, os.strerror(28)) from None


def _counts(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, int]:
    query = f"SELECT count(*), count(DISTINCT person_id) FROM read_parquet({literal(path)})"
    rows, persons = con.execute(query).fetchall()[0]
    return {"rows": rows, "persons": persons}


def _file_of(home: Home, release_id: str) -> Path:
    if not _NAME.fullmatch(release_id):
        raise DeclarationError("the id of a release is a name of letters, digits, dots and dashes", where="the release",
                               mend="name it so")  # fmt: skip
    return home.disclosures / f"{release_id}.parquet"


def _unwritable(path: Path, why: str) -> AuditError:
    return AuditError(
        f"the register of disclosures cannot be written: {why}; nothing is released", where=str(path.parent),
        mend="make room on the disk, or let the exchange's account write there; then release again",
    )  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """One release as the register has it."""

    head: DisclosureHead
    path: Path
    rows: int


def recorded(home: Home, *, agreement: str | None = None, recipient: str | None = None) -> list[Recorded]:
    """The releases on record, the oldest first; all of them, or those of an agreement or to a recipient.

    Raises:
        AuditError: A file of the register is none.
    """
    found = [_read_head(path) for path in sorted(home.disclosures.glob("*.parquet"))]
    wanted = (
        each for each in found
        if agreement in (None, each.head.agreement) and recipient in (None, each.head.recipient)
    )  # fmt: skip
    return sorted(wanted, key=lambda each: (each.head.on, each.head.release_id))


def _read_head(path: Path) -> Recorded:
    try:
        footer = pq.read_metadata(path)
        told = json.loads(footer.metadata[_HEAD.encode()])
        head = DisclosureHead(**{**told, "on": date.fromisoformat(told["on"]), "notice": tuple(told["notice"])})
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        raise AuditError("this is no file of the register of disclosures", where=str(path),
                         mend="see what is wrong with: kith audit verify") from None  # fmt: skip
    return Recorded(head, path, footer.num_rows)


def disclosures_of(home: Home, ledger: Ledger, person_ids: Sequence[str]) -> pa.Table:
    """What went out about persons, the oldest first: a row for each release and table.

    Columns: asked (the id asked for), person_id (as it was then: ids that were merged or split are followed),
    release_id, on, recipient, purpose, agreement, policy, snapshot_id, notice, table_name, columns.

    Raises:
        AuditError: A file of the register is none.
    """
    ids = ids_of(ledger, person_ids)
    with connect() as con:
        con.register("known_as", ids)
        con.execute(f"CREATE TEMP TABLE hit AS {_hits_sql(home, ids['person_id'].unique().to_pylist())}")
        files = [Path(row[0]) for row in con.execute("SELECT DISTINCT filename FROM hit").fetchall()]
        con.register("head", _heads([_read_head(path) for path in files]))
        return con.sql("""
            SELECT DISTINCT k.asked, h.person_id, r.* EXCLUDE (path), h.table_name, h.columns
            FROM hit h JOIN known_as k USING (person_id) JOIN head r ON r.path = h.filename
            WHERE r."on" <= k.until::DATE ORDER BY k.asked, r."on", r.release_id, h.table_name, h.columns
        """).to_arrow_table()


def recipients_of(home: Home, ledger: Ledger, person_ids: Sequence[str]) -> pa.Table:
    """Who received rows of persons: asked, recipient, agreement, policy, release_id, on, person_id (as it was then)."""
    found = disclosures_of(home, ledger, person_ids)
    columns = ["asked", "recipient", "agreement", "policy", "release_id", "on", "person_id"]
    return found.select(columns).group_by(columns, use_threads=False).aggregate([])


def disclosed_tables(home: Home, *, agreement: str | None = None, recipient: str | None = None) -> pa.Table:
    """What went out under an agreement or to a recipient, the oldest first: release_id, on, recipient, purpose,
    agreement, policy, snapshot_id, notice, table_name, columns, persons (how many of whom rows went out)."""
    found = recorded(home, agreement=agreement, recipient=recipient)
    with connect() as con:
        con.register("head", _heads(found))
        rows = _rows_sql([each.path for each in found])
        return con.sql(f"""
            SELECT r.* EXCLUDE (path), h.table_name, h.columns, h.persons FROM head r LEFT JOIN (
                SELECT filename, table_name, columns, count(*) AS persons FROM ({rows}) GROUP BY ALL
            ) h ON h.filename = r.path ORDER BY r."on", r.release_id, h.table_name, h.columns
        """).to_arrow_table()


def _hits_sql(home: Home, ids: Sequence[str]) -> str:
    """The register's rows of some ids: few of them are looked up by the order of each file, many are joined."""
    rows = _rows_sql(sorted(home.disclosures.glob("*.parquet")))
    if len(ids) > _FEW:
        return f"SELECT * FROM ({rows}) SEMI JOIN known_as USING (person_id)"
    return f"SELECT * FROM ({rows}) WHERE person_id IN ({', '.join(literal(each) for each in ids) or 'NULL'})"


def _rows_sql(paths: Sequence[Path]) -> str:
    if not paths:
        return "SELECT ''::VARCHAR AS person_id, '' AS table_name, '' AS columns, '' AS filename WHERE false"
    files = ", ".join(literal(path) for path in paths)
    return f"SELECT person_id, table_name, columns, filename FROM read_parquet([{files}], filename = true)"


def _heads(found: Iterable[Recorded]) -> pa.Table:
    texts = ("path", "release_id", "recipient", "purpose", "agreement", "policy", "snapshot_id", "notice")
    schema = pa.schema([*((name, pa.string()) for name in texts), ("on", pa.date32())])
    rows = [{**asdict(each.head), "notice": " ".join(each.head.notice), "path": str(each.path)} for each in found]
    table = pa.Table.from_pylist(rows, schema=schema)
    return table.select(["path", "release_id", "on", *texts[2:]])


def check_disclosures(home: Home, entries: Iterable[Entry]) -> list[Fault]:
    """What of the register is not as the audit log tells: files that are gone, altered, or that nothing tells of."""
    return check_register(ACTION, sorted(home.disclosures.glob("*.parquet")), entries)


def check_register(action: str, files: Iterable[Path], entries: Iterable[Entry]) -> list[Fault]:
    """Holds the files of a register, each named as what it is about, against what the audit log tells of them."""
    told = {entry.event.object: entry.event.sha256 for entry in entries if entry.event.action == action}
    there = {path.stem: path for path in files}
    faults = [
        Fault("missing", f"the register of {action}", f"the log tells of {name}; its file is gone")
        for name in told
        if name not in there
    ]
    for name, path in there.items():
        if name not in told:
            faults.append(Fault("untold", str(path), "the log does not tell of it; where it was being written when its "
                                "process was killed, nothing went out, and the file is to be removed"))  # fmt: skip
        elif file_sha256(path) != told[name]:
            faults.append(Fault("altered", str(path), "it is not what the log tells that was written"))
    return faults
