"""Publish the record: withhold, join person ids, write an immutable snapshot, and make it current in one step."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from record.changes import changes_between, no_changes
from record.in_force import attach_in_force, only_row, working_database
from record.reader import write_views
from record.snapshot import (
    MANIFEST,
    WITHHELD,
    Snapshot,
    current_id,
    damaged_tables,
    file_sha256,
    load_snapshot,
    point_at,
    pointer_lock,
    seal_folder,
    snapshot_folder,
    write_manifest,
)
from record.tables import (
    attach_persons,
    entity_sql,
    entity_tables,
    person_source_sql,
    person_sql,
    timeline_sql,
)
from record.withhold import Withholding, hidden_columns, orders_in_force, withhold
from standard.errors import AccountError, PublishError
from standard.schema import entities as all_entities
from store import ledger as tables
from store.audit_log import head
from store.home import Home, literal, quoted, sync
from store.ledger import Ledger, now
from store.parquet import COMPACT, opened
from store.registers import seal_act

log = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Inputs:
    """What a snapshot is made of.

    Attributes:
        entities: Entity -> Parquet of all rows in force (docs/design.md, step 5).
        persons: Parquet record_id (a person_ref), person_id, weight, how.
        restricted: References that a row in force restricts: ref, reason.
        as_of: The day on which consents are judged.
        versions: What made it: code, mappings, model and so on -> hash or name.
        quality: Figures of the linkage for the manifest; never about one person.
        person_events: Parquet of what happened to person ids since the snapshot before: person_id, kind, other_id
            and, where it is told, cause.
        cause: The cause of events that tell none.
    """

    entities: Mapping[str, Path]
    persons: Path
    restricted: pa.Table
    as_of: date
    versions: Mapping[str, str] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    person_events: Path | None = None
    cause: str = ""


def publish(home: Home, ledger: Ledger, inputs: Inputs, *, run_id: str, fence: int) -> Snapshot:
    """Publishes the record, or keeps the current snapshot where its tables would come out the same.

    A crash at any moment leaves the last snapshot whole; the next publishing clears what was left and goes on.

    Args:
        home: The home.
        ledger: Its control plane.
        inputs: What the snapshot is made of.
        run_id: The run that publishes.
        fence: The run's fence.

    Raises:
        PublishError: A younger run holds the fence, or the tables cannot be made.
        AccountError: The accounts of an extract, or rows in force = published + withheld, do not hold.
    """
    _require_fence(ledger, fence)
    require_accounts_hold(ledger)
    parent = _settle(home, ledger, fence)
    with _building(home, fence) as building:
        content = _build(ledger, inputs, building)
        if parent is not None and parent.manifest["tables"] == content["tables"]:
            log.info("nothing changed: snapshot %s stays current", parent.snapshot_id)
            _mend(parent, building)
            return _finish(home, ledger, parent)
        log_ends = head(home)
        manifest = _manifest(ledger, inputs, content, parent, building)
        manifest["audit"] = log_ends.told() if log_ends else None
        digest = write_manifest(building, manifest)
        seal_folder(building)
        target = snapshot_folder(home, manifest["snapshot_id"])
        building.replace(target)
        sync(target.parent)
    _commit(ledger, manifest, digest, inputs, run_id=run_id, fence=fence)
    _point_at_newest(home, ledger)
    log.info("published snapshot %s: %d rows", target.name, sum(t["rows"] for t in content["tables"].values()))
    return _finish(home, ledger, Snapshot(folder=target, manifest=manifest, is_new=True))


def _finish(home: Home, ledger: Ledger, snapshot: Snapshot) -> Snapshot:
    """What follows from the ledger's commit; done again by every publishing, since a crash may have come between."""
    write_views(home, snapshot)
    withdraw_sealed(home, ledger)
    return snapshot


def _mend(snapshot: Snapshot, building: Path) -> None:
    """Puts tables that were damaged since they were published back as they were."""
    for name in damaged_tables(snapshot):
        log.warning("the table %s of snapshot %s was damaged and is put back", name, snapshot.snapshot_id)
        path = building / f"{name}.parquet"
        path.chmod(0o600)
        sync(path)
        path.replace(snapshot.table(name))
    sync(snapshot.folder)


@contextmanager
def _building(home: Home, fence: int) -> Iterator[Path]:
    """A private folder to build in; what goes wrong there is told without a value, and the folder is gone after."""
    folder = home.record / f".building.{fence}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    except (OSError, duckdb.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise PublishError(
            f"the tables of the record cannot be made: {reason}",
            where=str(folder.parent),
            mend="check that the disk has room and the inputs are whole, then: kith run",
        ) from None  # the engine's own message may hold a value
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def require_accounts_hold(ledger: Ledger) -> None:
    """Refuses to go on where received is not accepted + quarantined + duplicate + withheld for every checked extract.

    Raises:
        AccountError: With the first extract whose sum is off.
    """
    e, r, a = tables.extract, tables.received, tables.account
    sums = sa.select(a.c.extract_id, sa.func.sum(a.c.rows).label("rows")).group_by(a.c.extract_id).subquery()
    query = (
        sa.select(e.c.extract_id, e.c.agency, e.c.feed, e.c.name)
        .outerjoin(r, r.c.extract_id == e.c.extract_id)
        .outerjoin(sums, sums.c.extract_id == e.c.extract_id)
        .where(e.c.status.in_(["checked", "loaded", "loaded_late", "held", "superseded"]))
        .where(sa.func.coalesce(e.c.status_reason, "") != "no_agreement")  # nothing of it was read
        .where(sa.func.coalesce(r.c.rows, -1) != sa.func.coalesce(sums.c.rows, 0))
        .order_by(e.c.seq)
    )
    with ledger.reading() as connection:
        wrong = connection.execute(query).all()
    if wrong:
        raise AccountError(
            f"the accounts of {len(wrong)} extracts do not add up; nothing is published",
            where=f"{wrong[0].agency}/{wrong[0].feed}, {wrong[0].name}, extract {wrong[0].extract_id}",
            mend="see where its rows went with: kith trace; check the extract again with: kith run",
        )


def _require_fence(ledger: Ledger, fence: int) -> None:
    with ledger.reading() as connection:
        youngest = connection.execute(sa.select(sa.func.max(tables.run.c.fence))).scalar()
    if youngest is not None and youngest > fence:
        raise _younger_run()


def _younger_run() -> PublishError:
    return PublishError(
        "a younger run holds the fence, or has published since this one began; this one may not publish",
        where="the ledger's run and snapshot tables",
        mend="let the younger run finish; start this one again if it is still needed",
    )


def newest_published(ledger: Ledger) -> str | None:
    """The id of the newest snapshot in the ledger: the one that is no other's parent."""
    s = tables.snapshot
    parents = sa.select(s.c.parent).where(s.c.parent.is_not(None))
    with ledger.reading() as connection:
        return connection.execute(sa.select(s.c.snapshot_id).where(s.c.snapshot_id.not_in(parents))).scalar()


def _settle(home: Home, ledger: Ledger, fence: int) -> Snapshot | None:
    """Ends what a crash may have left half done, and gives the current snapshot."""
    for left in home.record.glob(".building.*"):
        if int(left.suffix[1:]) <= fence:
            shutil.rmtree(left)
    folder = home.record / "snapshots"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ledger.reading() as connection:
        known = set(connection.execute(sa.select(tables.snapshot.c.snapshot_id)).scalars())
    for left in folder.iterdir():
        if left.name not in known:
            shutil.rmtree(left)
    newest = _point_at_newest(home, ledger)
    return None if newest is None else load_snapshot(home, newest)


def _point_at_newest(home: Home, ledger: Ledger) -> str | None:
    """Sets the pointer to what the ledger says: the ledger's commit is the moment of publishing."""
    with pointer_lock(home):
        newest = newest_published(ledger)
        if newest is not None and newest != current_id(home):
            point_at(home, newest)
    return newest


def _build(ledger: Ledger, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Writes all tables and gives their entries for the manifest with the counts of what was withheld."""
    with working_database(folder) as con:
        attach_in_force(con, inputs.entities)
        withholding = Withholding(orders_in_force(ledger), inputs.restricted, inputs.as_of)
        persons = f"SELECT record_id AS person_ref, person_id FROM read_parquet({literal(inputs.persons)})"
        withhold(con, withholding, persons=persons)
        divided = attach_persons(con, inputs.persons)
        queries = {name: entity_sql(name) for name in entity_tables()}
        queries |= {"person_source": person_source_sql(), "person": person_sql(), "timeline": timeline_sql(folder)}
        written = {name: _write_table(con, query, folder / f"{name}.parquet") for name, query in queries.items()}
        _write_withheld(con, folder / WITHHELD)
        return {"tables": written, "divided_index_numbers": divided, **_count_withheld(con, written)}


def _write_table(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> dict[str, Any]:
    con.execute(f"COPY ({query}) TO {literal(path)} ({COMPACT})")
    described = con.execute(f"DESCRIBE FROM read_parquet({literal(path)})").fetchall()
    rows = only_row(con, f"SELECT count(*) FROM read_parquet({literal(path)})")[0]
    return {"rows": rows, "sha256": file_sha256(path), "columns": {line[0]: line[1] for line in described}}


def _write_withheld(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Writes which rows are withheld and why (the table `withheld_row`): opaque ids, a mention as a hash."""
    rows = [
        f'SELECT {literal(name)} AS entity, {"md5(person_ref)" if name == "person" else "row_id"} AS "row",'
        f" withheld AS reason FROM judged.{quoted(name)} WHERE withheld IS NOT NULL"
        for name in all_entities()
    ]
    con.execute(f"CREATE TEMP TABLE withheld_row AS {' UNION ALL '.join(rows)}")
    con.execute(f'COPY (SELECT "row", reason FROM withheld_row ORDER BY ALL) TO {literal(path)} ({COMPACT})')


def _count_withheld(con: duckdb.DuckDBPyConnection, written: Mapping[str, Any]) -> dict[str, Any]:
    """Counts per entity and reason; rows in force = published + withheld is checked against the written tables."""
    withheld: dict[str, dict[str, int]] = {}
    in_force: dict[str, int] = {}
    values: dict[str, int] = {}
    by_reason = con.execute("SELECT entity, reason, count(*) FROM withheld_row GROUP BY ALL ORDER BY ALL").fetchall()
    for name, reason, rows in by_reason:
        withheld.setdefault(name, {})[reason] = rows
    for name, entity in all_entities().items():
        here = quoted(name)
        visible = f"SELECT count(*) FROM judged.{here} WHERE withheld IS NULL"
        published = written[name]["rows"] if name in entity_tables() else only_row(con, visible)[0]
        query = f"SELECT count(*), count(DISTINCT row_id) FROM in_force.{here}"
        in_force[name], distinct = only_row(con, query)
        _require_rows(name, in_force[name], distinct, published + sum(withheld.get(name, {}).values()))
        for column in hidden_columns(entity):
            query = f"SELECT count({quoted(column)}) FROM judged.{here} WHERE withheld IS NULL"
            values[f"{name}.{column}"] = only_row(con, query)[0]
    return {"in_force": in_force, "withheld": withheld, "withheld_values": values}


def _require_rows(name: str, expected: int, distinct: int, found: int) -> None:
    if not expected == distinct == found:
        raise AccountError(
            f"{name}: {expected} rows, {distinct} row ids and {found} published or withheld; nothing is published",
            where=f"entity {name}",
            mend="a row id stands twice or a table is not whole: project the entities again with kith run",
        )


def _manifest(
    ledger: Ledger, inputs: Inputs, content: dict[str, Any], parent: Snapshot | None, building: Path
) -> dict[str, Any]:
    with ledger.reading() as connection:
        e = tables.extract
        query = sa.select(e.c.extract_id, e.c.agency, e.c.feed, e.c.sha256, e.c.as_of).order_by(e.c.seq)
        loaded = connection.execute(query.where(e.c.status.in_(["loaded", "loaded_late"]))).mappings().all()
        known = set(connection.execute(sa.select(tables.snapshot.c.snapshot_id)).scalars())
    parent_id = None if parent is None else parent.snapshot_id
    snapshot_id = _id_of(content["tables"])
    if snapshot_id in known:  # the record came back to an earlier state, which keeps its own place in the history
        snapshot_id = _id_of(content["tables"], after=parent_id)
    built = Snapshot(folder=building, manifest=content)
    return {
        "snapshot_id": snapshot_id, "parent": parent_id, **content,
        "as_of": inputs.as_of.isoformat(),
        "changes": no_changes(built) if parent is None else changes_between(parent, built),
        "extracts": [dict(row) for row in loaded],
        "versions": dict(inputs.versions), "quality": dict(inputs.quality),
    }  # fmt: skip


def _id_of(written: Mapping[str, Any], *, after: str | None = None) -> str:
    """The id of a snapshot: a hash of what its tables hold."""
    lines = [f"{name} {entry['sha256']}" for name, entry in sorted(written.items())]
    return hashlib.sha256("\n".join([*lines, after or ""]).encode()).hexdigest()[:20]


def _commit(
    ledger: Ledger, manifest: Mapping[str, Any], digest: str, inputs: Inputs, *, run_id: str, fence: int
) -> None:
    """Writes the snapshot to the ledger if no younger run is there and the parent is still the newest."""
    s, at = tables.snapshot, now()
    row = {
        "snapshot_id": manifest["snapshot_id"], "parent": manifest["parent"], "run_id": run_id, "published_at": at,
        "manifest_sha256": digest, "fence": fence,
    }  # fmt: skip
    siblings = sa.select(sa.literal(1)).select_from(s).where(s.c.parent.is_not_distinct_from(manifest["parent"]))
    younger = sa.select(sa.literal(1)).select_from(tables.run).where(tables.run.c.fence > fence)
    values = sa.select(*(sa.literal(value, s.c[name].type) for name, value in row.items()))
    insert = s.insert().from_select(list(row), values.where(~sa.exists(siblings), ~sa.exists(younger)))
    with ledger.writing() as connection:
        # Without the option psycopg says -1 of an INSERT.
        if connection.execute(insert.execution_options(preserve_rowcount=True)).rowcount != 1:
            raise _younger_run()
        if inputs.person_events:
            common = {"snapshot_id": manifest["snapshot_id"], "at": at}
            _write_events(connection, inputs.person_events, common, cause=inputs.cause)


def _write_events(connection: sa.Connection, path: Path, common: Mapping[str, str], *, cause: str) -> None:
    """Writes what happened to person ids; the rows go to the driver as they are, without being made into models."""
    with opened(path) as file:
        names = list({"cause": cause, **dict.fromkeys(file.schema_arrow.names), **common})
        insert = tables.person_event.insert().compile(dialect=connection.dialect, column_keys=names)
        for batch in file.iter_batches(_EVENTS_AT_ONCE):
            same = {name: [value] * batch.num_rows for name, value in common.items()}
            columns = {"cause": [cause] * batch.num_rows, **batch.to_pydict(), **same}
            rows: list[Any] = list(zip(*(columns[name] for name in insert.positiontup or names), strict=True))
            if not insert.positiontup:
                rows = [dict(zip(names, row, strict=True)) for row in rows]
            if rows:
                connection.exec_driver_sql(str(insert), rows)


def _last_order(connection: sa.Connection) -> str:
    """When an order now in force arrived last; before all times where none did."""
    o, a = tables.order_, seal_act
    last = connection.execute(sa.select(sa.func.max(o.c.recorded_at)).where(o.c.arrived, o.c.lifted_at.is_(None)))
    by_hand = connection.execute(sa.select(sa.func.max(a.c.at)).where(a.c.act == "applied"))
    return max(last.scalar() or "", by_hand.scalar() or "")


def order_arrived_since(ledger: Ledger, snapshot_id: str | None) -> bool:
    """Whether an order arrived after a snapshot was published."""
    s = tables.snapshot
    with ledger.reading() as connection:
        at = connection.execute(sa.select(s.c.published_at).where(s.c.snapshot_id == snapshot_id)).scalar()
        return at is not None and _last_order(connection) >= str(at)


def withdraw_sealed(home: Home, ledger: Ledger) -> list[str]:
    """Removes the tables of earlier snapshots that were published before an order now in force arrived.

    What an order seals must also disappear from what was passed on before. The manifests stay: they hold counts only.

    Returns:
        The ids of the snapshots whose tables are gone.
    """
    s = tables.snapshot
    newest = newest_published(ledger)
    with ledger.reading() as connection:
        order_at = _last_order(connection)
        earlier = sa.select(s.c.snapshot_id).where(s.c.published_at <= order_at, s.c.snapshot_id != newest)
        withdrawn = list(connection.execute(earlier.order_by(s.c.snapshot_id)).scalars())
    for snapshot_id in withdrawn:
        for path in snapshot_folder(home, snapshot_id).iterdir():
            if path.name != MANIFEST:
                path.unlink()
    return withdrawn
