"""The report to the court that an order was carried out: where was looked, how much was found; signed, no content."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from expectations.bearing import tokens_of
from expectations.relation import in_terms_sql
from expectations.retry import open_extract, states_of
from governance.retractions import notices
from governance.sealing import acts_of
from governance.sealing_forget import meant_by, named_in_registers
from mappings.compile import install_macros
from mappings.declarations import Feed
from mappings.load import Agency
from record.snapshot import WITHHELD, current_id, snapshot_folder
from standard.errors import DeclarationError, ExtractError
from store.audit_log import head
from store.home import Home, connect, literal, quoted
from store.landing import Landing
from store.ledger import Ledger, now, snapshot
from store.ledger import extract as extracts
from store.registers import seal_order
from store.seal_index import EXPUNGED, SealIndex, hmac_sql, matched_sql
from store.sign import sign

KEPT_UNSEEN = ("landing", "batches", "state", "release_index")
"""Where what is sealed is kept, seen by nobody; of what is expunged nothing is left there either."""
_STORES = ("links", "record", "outbound", "disclosures", "release_index", "work", "remap")
_TEXTS = ("receipts", "reports", "outbound", "audit", "prefect", "record", "links")
_READ_AS_TEXT = {".json", ".html", ".csv", ".jsonl", ".log", ".txt", ".md", ".yaml"}
_REFERENCE = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[^\s\"'<>,;&]+")
_AT_ONCE = 4 << 20


@dataclass(frozen=True)
class Proof:
    """The report as bytes, its signature, and whether nothing was found where nothing may be."""

    content: bytes
    signature: bytes
    clean: bool
    told: Mapping[str, Any]


def prove(
    home: Home, ledger: Ledger, agencies: Mapping[str, Agency], index: SealIndex | None, order_id: str, *,
    exchange: str, today: date,
) -> Proof:  # fmt: skip
    """Looks for what an order covers in every store of the home, by its marks, and reports what is found.

    Keys and references are looked for in all files of rows, row ids in the record, its links and the index of releases,
    references in all texts and registers. What was sent to others is told by the notices to them.

    Raises:
        DeclarationError: There is no such order in force.
    """
    own = None if index is None else index.of_order(order_id)
    with ledger.reading() as connection:
        row = connection.execute(sa.select(seal_order).where(seal_order.c.order_id == order_id)).mappings().first()
        acts = [act.act for act in acts_of(connection, order_id)]
    if row is None or own is None:
        raise DeclarationError(
            f"there is no order {order_id!r} in force", where="the register of orders", mend="see: kith seal status"
        )
    looked = _look(home, ledger, agencies, own)
    reason = own.marks["reason"][0].as_py()
    kept = () if reason == EXPUNGED else KEPT_UNSEEN
    found = sum(count for store, (_, count) in looked.items() if store not in kept)
    told = {
        "kith": "proof of an order 1", "exchange": exchange, "order_no": row["order_no"], "court": row["court"],
        "kind": row["kind"], "effective": row["effective"], "made_at": now(), "on": today.isoformat(),
        "carried_out": "applied" in acts or "restricted" in acts, "marks": own.marks.num_rows,
        "looked": [{"store": name, "files": files, "found": count, "kept_unseen": name in kept}
                   for name, (files, count) in sorted(looked.items())],
        "found_where_nothing_may_be": found,
        "snapshots": _snapshots(home, ledger),
        "recipients": [{name: each[name] for name in ("notice_id", "recipient", "releases", "sent", "stands")}
                       for each in notices(ledger, today=today, of=order_id)],
        "not_looked_into": "backups, which hold what they held when they were made: kith seal import comes before a "
                           "restored home is used; and what recipients keep, for which they answer",
        "audit": (end.told() if (end := head(home)) else None),
    }  # fmt: skip
    content = (json.dumps(told, indent=1, default=str) + "\n").encode()
    return Proof(content, sign(content, home.keys), found == 0, told)


def _snapshots(home: Home, ledger: Ledger) -> dict[str, Any]:
    with ledger.reading() as connection:
        ids = list(connection.execute(sa.select(snapshot.c.snapshot_id).order_by(snapshot.c.published_at)).scalars())
    there = [each for each in ids if any(snapshot_folder(home, each).glob("*.parquet"))]
    return {"in_force": current_id(home), "with_tables": there, "withdrawn": len(ids) - len(there)}


def _look(
    home: Home, ledger: Ledger, agencies: Mapping[str, Agency], index: SealIndex
) -> dict[str, tuple[int, int]]:  # fmt: skip
    """Store -> files looked into, and what was found in them."""
    files: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for store, count in _in_feeds(home, ledger, agencies, index):
        files[store] += 1
        found[store] += count
    for store in _STORES:
        for path in sorted(p for p in (home.root / store).rglob("*") if p.suffix in (".parquet", ".arrow")):
            if path.name != WITHHELD:  # row ids and why each is withheld: the exchange's own account
                files[store] += 1
                found[store] += _in_rows(path, index)
    for store in _TEXTS:
        paths = [p for p in (home.root / store).rglob("*") if p.is_file() and p.suffix in _READ_AS_TEXT]
        files[store] += len(paths)
        found[store] += len(meant_by(index, {text for path in paths for text in _references(path)}))
    with ledger.reading() as connection:
        by_hand = named_in_registers(connection, orders=False)
    files["ledger"], found["ledger"] = 1, len(meant_by(index, by_hand))
    return {store: (files[store], found[store]) for store in {*files, *KEPT_UNSEEN}}


def _in_feeds(
    home: Home, ledger: Ledger, agencies: Mapping[str, Agency], index: SealIndex
) -> Iterator[tuple[str, int]]:  # fmt: skip
    """Batches, rows in force and landed files, by all the names under which their rows may be meant."""
    of_state = states_of(home, ledger)
    query = sa.select(extracts.c.extract_id, extracts.c.agency, extracts.c.feed).order_by(extracts.c.seq)
    with ledger.reading() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        feed = agencies[row.agency].feeds.get(row.feed) if row.agency in agencies else None
        if feed is None or not (home.batches / row.extract_id / "mapped.parquet").is_file():
            continue
        batch = open_extract(home, ledger, row.extract_id)
        mapped = f"(SELECT * FROM read_parquet({literal(batch.mapped)}) WHERE _action <> '{EXPUNGED}')"
        count = _meant(home, ledger, agencies[row.agency], feed, index, mapped)
        yield "batches", count
        there = Landing(home.landing, row.agency).path_of(batch.extract.sha256).is_file()
        yield "landing", count if there else 0
    for name, agency in agencies.items():
        for feed in agency.feeds.values():
            if (path := of_state(name, feed.feed)) is not None:
                yield "state", _meant(home, ledger, agency, feed, index, f"read_parquet({literal(path)})")


def _meant(
    home: Home, ledger: Ledger, agency: Agency, feed: Feed, index: SealIndex, rows: str
) -> int:  # fmt: skip
    of_state = states_of(home, ledger)
    with connect() as con:
        install_macros(con)
        terms = in_terms_sql(feed, rows, as_of=date.max, state_of=lambda name: of_state(agency.agency, name))
        con.execute(f"CREATE TEMP VIEW in_terms AS SELECT * FROM {terms}")
        found = matched_sql(con, index, "in_terms", tokens_of(agency.agency, feed), row="_key")
        return int(con.execute(f"SELECT count(DISTINCT row) FROM {found}").fetchall()[0][0])


def _in_rows(path: Path, index: SealIndex) -> int:
    """How many cells of a file of rows an order means: references, keys beside their agency and table, row ids."""
    try:
        with connect() as con:
            source = _opened(con, path)
            kinds = {str(row[0]): str(row[1]) for row in con.execute(f"DESCRIBE FROM {source}").fetchall()}
            texts = [name for name, kind in kinds.items() if kind == "VARCHAR"]
            tokens = [("", f"CASE WHEN contains({quoted(name)}, '/') THEN {quoted(name)} END") for name in texts]
            tokens += [("", f"concat_ws('/', {', '.join(quoted(name) for name in names)})")
                       for names in _KEYS if set(names) <= set(texts)]  # fmt: skip
            count = 0
            for _, text in tokens:
                distinct = f"(SELECT DISTINCT {text} AS text FROM {source})"
                found = matched_sql(con, index, distinct, [("", "text")], row="text")
                count += int(con.execute(f"SELECT count(DISTINCT row) FROM {found}").fetchall()[0][0])
            ids = [name for name in texts if name in ("row_id", "row", "id")]
            return count + sum(_ids(con, index, source, name) for name in ids)
    except (duckdb.Error, pa.ArrowException) as error:
        raise ExtractError(
            f"a file cannot be looked into ({type(error).__name__})", where=str(path),
            mend="run the exchange, so that it is made anew, then prove again",
        ) from None  # fmt: skip


_KEYS = (("agency_id", "feed", "source_key"), ("agency", "table", "source_key"), ("agency", "table", "key"))


def _opened(con: duckdb.DuckDBPyConnection, path: Path) -> str:
    if path.suffix == ".parquet":
        return f"read_parquet({literal(path)})"
    with pa.memory_map(str(path)) as file:
        try:
            table = pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            table = pa.ipc.open_stream(file).read_all()
        con.register("kept_rows", table)
    return "kept_rows"


def _ids(con: duckdb.DuckDBPyConnection, index: SealIndex, source: str, name: str) -> int:
    con.register("row_marks", index.of("row"))
    for_each = f"(SELECT DISTINCT regexp_extract({quoted(name)}, '[0-9a-f]{{32}}') AS text FROM {source})"
    marked = f"SELECT {hmac_sql(index.secret, 'text')} AS mark FROM {for_each} WHERE text <> ''"
    return int(con.execute(f"SELECT count(*) FROM ({marked}) SEMI JOIN row_marks USING (mark)").fetchall()[0][0])


def _references(path: Path) -> Iterator[str]:
    """What looks like a reference in a text; read in pieces that overlap."""
    before = ""
    with path.open(encoding="utf-8", errors="replace") as file:
        while piece := file.read(_AT_ONCE):
            yield from _REFERENCE.findall(before + piece)
            before = piece[-200:]
