"""The control plane: one SQL database that is the truth about arrivals, runs, accounts, orders and person ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import sqlalchemy as sa

from store.registers import make_registers

METADATA = sa.MetaData()
_TEXT, _INT = sa.Text(), sa.BigInteger()


def _table(name: str, *columns: sa.Column[Any] | sa.Index) -> sa.Table:
    return sa.Table(name, METADATA, *columns)


def _when(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    """A moment as ISO 8601 text in UTC: sorts by time and reads the same in every database."""
    return sa.Column(name, _TEXT, nullable=nullable)


run = _table(
    "run",
    sa.Column("run_id", _TEXT, primary_key=True),
    _when("started_at"),
    _when("finished_at", nullable=True),
    sa.Column("state", _TEXT, nullable=False),  # running | finished | failed | dead
    sa.Column("pid", _INT, nullable=False),
    sa.Column("host", _TEXT, nullable=False),
    sa.Column("fence", _INT, nullable=False, unique=True),
    sa.Column("error", _TEXT),
)
stage = _table(
    "stage",
    sa.Column("stage_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_id", _TEXT, nullable=False, index=True),
    sa.Column("agency", _TEXT),
    sa.Column("feed", _TEXT),
    sa.Column("extract_id", _TEXT),
    sa.Column("name", _TEXT, nullable=False),
    sa.Column("state", _TEXT, nullable=False),  # running | finished | failed
    _when("started_at"),
    _when("finished_at", nullable=True),
    sa.Column("rows", _INT),
    sa.Column("error_code", _TEXT),
)
extract = _table(
    "extract",
    sa.Column("extract_id", _TEXT, primary_key=True),
    sa.Column("agency", _TEXT, nullable=False),
    sa.Column("feed", _TEXT, nullable=False),
    sa.Column("name", _TEXT, nullable=False),
    sa.Column("sha256", _TEXT, nullable=False),
    sa.Column("size", _INT, nullable=False),
    _when("received_at"),
    sa.Column("as_of", _TEXT, nullable=False),
    sa.Column("seq", _INT, nullable=False),  # order of arrival over all feeds
    sa.Column("holds", _TEXT, nullable=False),
    sa.Column("status", _TEXT, nullable=False),
    sa.Column("status_reason", _TEXT),
    sa.Column("run_id", _TEXT, nullable=False),
    sa.Column("watermark", _TEXT),
    sa.Column("state_path", _TEXT),  # within the home
    sa.Column("duplicate_of", _TEXT),
    sa.Column("declarations", _TEXT),  # fingerprint of those it was mapped and checked by
    sa.Index("extract_by_feed", "agency", "feed"),
    sa.Index("extract_by_content", "agency", "feed", "sha256"),
)
account = _table(
    "account",
    sa.Column("extract_id", _TEXT, primary_key=True),
    sa.Column("disposition", _TEXT, primary_key=True),
    sa.Column("reason", _TEXT, primary_key=True),
    sa.Column("rows", _INT, nullable=False),
)
received = _table(
    "received",
    sa.Column("extract_id", _TEXT, primary_key=True),
    sa.Column("rows", _INT, nullable=False),
    sa.Column("declared", _INT),
)
file_finding = _table(
    "file_finding",
    sa.Column("finding_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("extract_id", _TEXT, nullable=False, index=True),
    sa.Column("code", _TEXT, nullable=False),
    sa.Column("severity", _TEXT, nullable=False),
    sa.Column("detail", _TEXT, nullable=False),
    sa.Column("rows", _INT),
)
row_move = _table(
    "row_move",
    sa.Column("move_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("extract_id", _TEXT, nullable=False, index=True),
    sa.Column("record", _INT, nullable=False),
    sa.Column("from_disposition", _TEXT, nullable=False),
    sa.Column("to_disposition", _TEXT, nullable=False),
    sa.Column("reason", _TEXT, nullable=False),
    _when("at"),
    sa.Column("who", _TEXT, nullable=False),
)
code_pending = _table(
    "code_pending",
    sa.Column("agency", _TEXT, primary_key=True),
    sa.Column("feed", _TEXT, primary_key=True),
    sa.Column("element", _TEXT, primary_key=True),
    sa.Column("scope", _TEXT, primary_key=True, server_default=""),  # as sent; empty: the code has none
    sa.Column("value", _TEXT, primary_key=True),
    sa.Column("first_extract", _TEXT, nullable=False),
    sa.Column("last_extract", _TEXT, nullable=False),
    sa.Column("rows", _INT, nullable=False),
)
order_ = _table(
    "order_",
    sa.Column("ref", _TEXT, primary_key=True),
    sa.Column("reason", _TEXT, primary_key=True),
    sa.Column("since_extract", _TEXT, nullable=False),
    sa.Column("arrived", sa.Boolean, nullable=False),  # False: was so at first sight, no order arrived
    _when("recorded_at"),
    _when("lifted_at", nullable=True),
)
snapshot = _table(
    "snapshot",
    sa.Column("snapshot_id", _TEXT, primary_key=True),
    sa.Column("parent", _TEXT),
    sa.Column("run_id", _TEXT, nullable=False),
    _when("published_at"),
    sa.Column("manifest_sha256", _TEXT, nullable=False),
    sa.Column("fence", _INT, nullable=False),
)
person_event = _table(
    "person_event",
    sa.Column("event_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("person_id", _TEXT, nullable=False, index=True),
    sa.Column("kind", _TEXT, nullable=False),  # linkage.identity.EventKind
    sa.Column("other_id", _TEXT),
    sa.Column("snapshot_id", _TEXT, nullable=False),
    _when("at"),
    sa.Column("cause", _TEXT, nullable=False),
)
sighting = _table(
    "sighting",  # a file as a source's listing showed it; with an extract once it was fetched
    sa.Column("agency", _TEXT, primary_key=True),
    sa.Column("feed", _TEXT, primary_key=True),
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("size", _INT, primary_key=True),
    sa.Column("changed_ns", _INT, primary_key=True),
    _when("first_seen_at"),
    sa.Column("extract_id", _TEXT),
)
remap = _table(
    "remap",  # an agency's extracts mapped again from the landing area, once for all
    sa.Column("remap_id", _TEXT, primary_key=True),
    sa.Column("agency", _TEXT, nullable=False),
    _when("at"),
)
judgement = _table(
    "judgement",  # what a person said of two mentions; rows are never changed
    sa.Column("judgement_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("record_l", _TEXT, nullable=False, index=True),
    sa.Column("record_r", _TEXT, nullable=False, index=True),
    sa.Column("verdict", _TEXT, nullable=False),  # same | different | unsure
    sa.Column("who", _TEXT, nullable=False),
    _when("at"),
    sa.Column("why", _TEXT, nullable=False),
    sa.Column("authority", _TEXT),
    sa.Column("needs", _INT, nullable=False),  # persons who must say so before it holds, or before it is taken back
    sa.Column("needs_because", _TEXT),
    sa.Column("reason", _TEXT),  # why it was asked
)
judgement_act = _table(
    "judgement_act",  # what became of it; rows are never changed
    sa.Column("act_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("judgement_id", _INT, nullable=False, index=True),
    sa.Column("act", _TEXT, nullable=False),  # confirmed | withdrawn
    sa.Column("who", _TEXT, nullable=False),
    _when("at"),
    sa.Column("why", _TEXT, nullable=False),
)
sampled_pair = _table(
    "sampled_pair",  # drawn for judging, so that precision and recall can be estimated without a truth
    sa.Column("sample_id", _TEXT, primary_key=True),
    sa.Column("record_l", _TEXT, primary_key=True),
    sa.Column("record_r", _TEXT, primary_key=True),
    sa.Column("stratum", _TEXT, nullable=False),
    sa.Column("pairs", _INT, nullable=False),  # of the stratum
    sa.Column("joined", sa.Boolean, nullable=False),  # both stood in one person when it was drawn
    sa.Column("links", _TEXT, nullable=False),
    _when("drawn_at"),
)
adopted_model = _table(
    "adopted_model",  # the linkage model of the home, the newest row; before the first that of the release
    sa.Column("adoption_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("model", _TEXT, nullable=False),
    sa.Column("who", _TEXT, nullable=False),
    _when("at"),
    sa.Column("why", _TEXT, nullable=False),
    sa.Column("merges", _INT, nullable=False),
    sa.Column("splits", _INT, nullable=False),
)

notice = _table(
    "notice",  # what the operators are told of: open until over_at
    sa.Column("notice_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("agency", _TEXT, nullable=False),
    sa.Column("feed", _TEXT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),  # late | silent | early | short | held | failed
    sa.Column("about", _TEXT, nullable=False),  # what makes it another one
    sa.Column("says", _TEXT, nullable=False),
    _when("since"),
    sa.Column("told_at", _TEXT),
    sa.Column("over_at", _TEXT),
    sa.Column("over_told_at", _TEXT),
)
packed = _table(
    "packed",  # a file that came packed or encrypted, as it came; the extract's own sha256 is of what was in it
    sa.Column("extract_id", _TEXT, primary_key=True),
    sa.Column("sha256", _TEXT, nullable=False),
    sa.Column("size", _INT, nullable=False),
    sa.Column("signer", _TEXT),
)
refusal = _table(
    "refusal",  # what an agency put into its inbox and no feed takes: never read
    sa.Column("refusal_id", _TEXT, primary_key=True),
    sa.Column("agency", _TEXT, nullable=False),
    sa.Column("source", _TEXT, nullable=False),
    sa.Column("name", _TEXT, nullable=False),
    sa.Column("size", _INT, nullable=False),
    sa.Column("changed_ns", _INT, nullable=False),
    sa.Column("reason", _TEXT, nullable=False),
    _when("at"),
)
receipt = _table(
    "receipt",  # written to the home, then sent to the agency
    sa.Column("receipt_id", _TEXT, primary_key=True),
    sa.Column("of", _TEXT, nullable=False, index=True),  # extract_id or refusal_id
    sa.Column("verdict", _TEXT, nullable=False),
    sa.Column("agency", _TEXT, nullable=False),
    sa.Column("name", _TEXT, nullable=False),  # of the file, without its ending
    sa.Column("sha256", _TEXT, nullable=False),
    _when("written_at"),
    _when("sent_at", nullable=True),
)


def _making(*tables: sa.Table) -> Callable[[sa.Connection], None]:
    return lambda connection: METADATA.create_all(connection, tables=tables)


def _for_remapping(connection: sa.Connection) -> None:
    """State paths within the home, so that it can be moved; the declarations an extract was mapped by."""
    METADATA.create_all(connection, tables=[remap])
    if "declarations" not in {column["name"] for column in sa.inspect(connection).get_columns("extract")}:
        connection.execute(sa.text("ALTER TABLE extract ADD COLUMN declarations TEXT"))
    for row in connection.execute(sa.select(extract).where(extract.c.state_path.is_not(None))).all():
        within = f"state/{row.agency}/{row.feed}/{PurePath(row.state_path).name}"
        of_extract = extract.update().where(extract.c.extract_id == row.extract_id)
        connection.execute(of_extract.values(state_path=within))


def _for_receipts(connection: sa.Connection) -> None:
    """Of what came before there were receipts, none is owed."""
    METADATA.create_all(connection, tables=[packed, refusal, receipt])
    for row in connection.execute(sa.select(extract.c.extract_id, extract.c.agency, extract.c.status,
                                            extract.c.status_reason)).all():  # fmt: skip
        connection.execute(receipt.insert().values(
            receipt_id=f"{row.extract_id}-0", of=row.extract_id, verdict=verdict_of(row.status, row.status_reason),
            agency=row.agency, name="", sha256="", written_at=now(), sent_at=now(),
        ))  # fmt: skip


def _for_scopes(connection: sa.Connection) -> None:
    """Codes that wait, each in its scope; those noted before have none."""
    waiting = []
    if sa.inspect(connection).has_table(code_pending.name):
        before = sa.Table(code_pending.name, sa.MetaData(), autoload_with=connection)
        if "scope" in before.columns:
            return
        waiting = [dict(row) for row in connection.execute(before.select()).mappings()]
        before.drop(connection)
    METADATA.create_all(connection, tables=[code_pending])
    if waiting:
        connection.execute(code_pending.insert(), waiting)


def verdict_of(status: str, reason: str | None) -> str:
    """Where an extract stands, as a receipt tells it: when this changes, another receipt is owed."""
    return f"{status} {reason}" if reason else str(status)


MIGRATIONS: list[Callable[[sa.Connection], None]] = [
    _making(run, stage, extract, account, received, file_finding, row_move, code_pending, order_, snapshot,
            person_event),
    _making(sighting),
    _for_remapping,
    _making(judgement, judgement_act, sampled_pair, adopted_model),
    _for_receipts,
    make_registers,
    _making(notice),
    make_registers,  # seals and retractions
    _for_scopes,
]  # fmt: skip
"""Step n brings a ledger of version n-1 to version n; in a new ledger a step meets the tables in their newest form."""

_version = sa.Table("ledger_version", sa.MetaData(), sa.Column("version", sa.Integer, primary_key=True))


class Ledger:
    """An open control plane."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)  # errors show no values
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _harden_sqlite)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: all of it or nothing."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One consistent view."""
        with self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def _harden_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def open_ledger(where: Path | str) -> Ledger:
    """Opens the control plane and brings it to the newest version.

    Args:
        where: A file (SQLite, made with mode 0600) or a database URL.
    """
    if isinstance(where, Path):
        where.touch(mode=0o600)
        where.chmod(0o600)
    ledger = Ledger(f"sqlite:///{where}" if isinstance(where, Path) else where)
    with ledger.writing() as connection:
        _version.metadata.create_all(connection)
        done = connection.execute(sa.select(sa.func.max(_version.c.version))).scalar() or 0
        for number, step in enumerate(MIGRATIONS[done:], start=done + 1):
            step(connection)
            connection.execute(_version.insert().values(version=number))
    return ledger


def now() -> str:
    """This moment as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
