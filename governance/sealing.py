"""Orders of a court written down by hand: to seal, expunge or restrict; by two officers; what they cover as marks."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

import pyarrow as pa
import sqlalchemy as sa

from expectations.bearing import places_of, tokens_of
from expectations.relation import in_terms_sql
from governance.parties import Parties
from mappings.compile import install_macros
from mappings.load import Agency
from standard.errors import DeclarationError
from store.audit_entry import Event
from store.audit_log import append
from store.home import Home, connect
from store.ledger import Ledger, now, order_
from store.registers import seal_act, seal_mark, seal_order
from store.seal_index import (
    REASONS,
    SealIndex,
    add_marks,
    lifted_as,
    marks_of,
    matched_sql,
    place_of,
    read_index,
    seal_secret,
)
from store.state import rows_sql, states_in_force

FROM_ORDER = "order:"
"""Before the id of an order written down by hand, where the register names the extract that brought it."""
AHEAD = ":ahead"
"""After it, until a run has carried the order out."""


class Kind(StrEnum):
    """What an order asks for."""

    SEAL = "seal"
    """Out of the record, earlier snapshots and what was released; the agency's own rows are kept unseen."""
    EXPUNGE = "expunge"
    """The same, and the content is destroyed."""
    RESTRICT = "restrict"
    """Out of the record from now on; what was published before stays."""


@dataclass(frozen=True)
class NewOrder:
    """An order as it is written down."""

    order_no: str
    court: str
    kind: Kind
    match: tuple[str, ...]
    """What it covers: a row (`agency/feed/key`) or all that bears a reference (`agency/table/key`)."""
    effective: date
    verify_by: date | None = None


@dataclass(frozen=True)
class Added:
    """An order on record.

    Attributes:
        order_id: Its id here.
        in_force: Whether it counts already; else it waits for a second officer.
        idle: How many of its matches mean nothing that is in force; they are watched for.
    """

    order_id: str
    in_force: bool
    idle: int


def add_order(
    home: Home, ledger: Ledger, agencies: Mapping[str, Agency], order: NewOrder, *, by: str, parties: Parties | None
) -> Added:  # fmt: skip
    """Writes an order down; it is in force once a second officer has approved it.

    Only marks of what it covers are kept. A match that means nothing yet is watched for in all that comes.

    Args:
        home: The home.
        ledger: Its control plane.
        agencies: The agencies by name.
        order: The order.
        by: Officer who writes it down.
        parties: Who takes part; None where the exchange asks nothing of agreements: then one person is enough.

    Raises:
        DeclarationError: The officer is unknown, or the order cannot mean anything: no agency or table of that name.
    """
    require_officer(by, parties)
    _require_order(order, agencies)
    with ledger.reading() as connection:
        first = connection.execute(sa.select(seal_mark.c.mark_id).limit(1)).first() is None
    secret = seal_secret(home.keys, make=first)
    order_id = secrets.token_hex(8)
    marks = [
        {"mark": mark, "exact": None, "place": place_of(text), "what": "key", "reason": REASONS[order.kind],
         "order_id": order_id}
        for text, (mark, _) in marks_of(secret, order.match).items()
    ]  # fmt: skip
    known = texts_in_force(home, ledger, agencies, SealIndex(secret, _table(marks)))
    marks = list(_told_apart(secret, order.match, marks, known))
    append(home, Event(f"seal.{order.kind}", order_id, by, role="officer", decision="added",
                       counts={"matches": len(marks), "idle": sum(m["mark"] not in known for m in marks)}))  # fmt: skip
    row = {
        "order_id": order_id, "order_no": order.order_no.strip(), "court": order.court.strip(), "kind": str(order.kind),
        "effective": order.effective.isoformat(), "added_by": by, "added_at": now(),
        "verify_by": order.verify_by.isoformat() if order.verify_by else None,
    }  # fmt: skip
    with ledger.writing() as connection:
        connection.execute(seal_order.insert().values(**row))
        add_marks(connection, marks)
        if parties is None:
            _act(connection, order_id, "approved", by)
    if parties is None:
        _withhold_at_once(home, ledger, agencies, order_id)
    return Added(order_id, parties is None, sum(mark["mark"] not in known for mark in marks))


def _require_order(order: NewOrder, agencies: Mapping[str, Agency]) -> None:
    for name, value in (("order number", order.order_no), ("court", order.court)):
        if not value.strip():
            raise _refused(f"the order has no {name}", "copy it from the order's paper")
    if not order.match:
        raise _refused("the order covers nothing", "name what it covers by --match agency/feed/key")
    if order.verify_by and order.verify_by < order.effective:
        raise _refused("it is to be proved before it takes effect", "give --verify-by a later day than --effective")
    for text in order.match:
        _require_match(text, agencies)


def _require_match(text: str, agencies: Mapping[str, Agency]) -> None:
    """The key is not said again: a message may be logged."""
    agency, _, rest = text.partition("/")
    if not rest.partition("/")[2].strip():
        raise _refused("a match is no agency/feed/key", "name the row as the agency does: agency/feed/key")
    if agency not in agencies:
        raise _refused(f"no agency is called {agency!r}", f"name one of: {', '.join(agencies) or '(none)'}")
    places = sorted(set().union(*(places_of(agency, feed) for feed in agencies[agency].feeds.values())))
    if place_of(text) not in places:
        raise _refused(
            f"the order matches nothing: no feed of {agency} has rows of {place_of(text)}",
            f"name one of: {', '.join(places)}",
        )


def _told_apart(
    secret: bytes, match: Sequence[str], marks: list[dict[str, str | None]], known: Mapping[str, set[str]]
) -> Iterator[dict[str, str | None]]:
    """Where keys in force differ only in how they are written, each mark means its very key alone."""
    by_text = marks_of(secret, match)
    for text, (mark, exact) in by_text.items():
        row = next(each for each in marks if each["mark"] == mark)
        yield {**row, "exact": exact if len(known.get(mark, {text}) | {text}) > 1 else None}


def texts_in_force(
    home: Home, ledger: Ledger, agencies: Mapping[str, Agency], index: SealIndex
) -> dict[str, set[str]]:  # fmt: skip
    """Mark -> the keys and references of rows in force that it means, however they are written."""
    found: dict[str, set[str]] = defaultdict(set)
    with ledger.reading() as connection:
        states = states_in_force(connection, home)
    loose = SealIndex(index.secret, index.marks.set_column(1, "exact", pa.nulls(index.marks.num_rows, pa.string())))
    for (name, feed_name), state in states.items():
        feed = agencies[name].feeds.get(feed_name) if name in agencies else None
        if feed is None or not places_of(name, feed) & index.places():
            continue
        with connect(temp=home.root / "work" / ".spill") as con:
            install_macros(con)
            of_agency = {other: path for (agency, other), path in states.items() if agency == name}
            rows = in_terms_sql(feed, rows_sql(state), as_of=datetime.now(UTC).date(), state_of=of_agency.get)
            con.execute(f"CREATE TEMP VIEW in_terms AS SELECT * FROM {rows}")
            meant = matched_sql(con, loose, "in_terms", tokens_of(name, feed), row="1")
            texts = [text for (text,) in con.execute(f"SELECT DISTINCT text FROM {meant}").fetchall()]
        for text, (mark, _) in marks_of(index.secret, texts).items():
            found[mark].add(text)
    return found


def approve_order(
    home: Home, ledger: Ledger, agencies: Mapping[str, Agency], order_id: str, *, agree: bool, by: str,
    parties: Parties | None,
) -> None:  # fmt: skip
    """A second officer's word; with it the order is in force, or it never will be.

    What it covers is refused to every release from this moment on; the next run takes it out of the record.

    Raises:
        DeclarationError: There is no such order waiting, or the officer is unknown or the one who wrote it down.
    """
    require_officer(by, parties)
    with ledger.writing() as connection:
        row = connection.execute(sa.select(seal_order).where(seal_order.c.order_id == order_id)).first()
        if row is None:
            raise _refused(f"there is no order {order_id!r}", "see: kith seal status")
        if acts_of(connection, order_id):
            raise _refused(f"{order_id} was reviewed before", "see: kith seal status")
        if row.added_by == by:
            raise _refused(f"{by} wrote it down and cannot be the second person", "let another officer review it")
        append(home, Event(f"seal.{row.kind}", order_id, by, role="officer", decision="agreed" if agree else "refused"))
        _act(connection, order_id, "approved" if agree else "refused", by)
    if agree:
        _withhold_at_once(home, ledger, agencies, order_id)


def _withhold_at_once(home: Home, ledger: Ledger, agencies: Mapping[str, Agency], order_id: str) -> None:
    """Puts what an order in effect means now into the register of orders, ahead of the run that carries it out."""
    index = read_index(ledger, home.keys, on=datetime.now(UTC).date())
    own = None if index is None else index.of_order(order_id)
    if own is None:
        return
    found = texts_in_force(home, ledger, agencies, own)
    exact = {(row["mark"], row["exact"]) for row in own.marks.to_pylist()}
    hashes = marks_of(own.secret, [text for texts in found.values() for text in texts])
    meant = [text for text, (mark, very) in hashes.items() if {(mark, None), (mark, very)} & exact]
    reason = own.marks["reason"][0].as_py()
    with ledger.writing() as connection:
        for text in meant:
            same = sa.select(order_.c.ref).where(order_.c.ref == text, order_.c.reason == reason)
            if connection.execute(same).first() is None:
                connection.execute(order_.insert().values(
                    ref=text, reason=reason, since_extract=f"{FROM_ORDER}{order_id}{AHEAD}", arrived=False,
                    recorded_at=now(),
                ))  # fmt: skip


def lift_order(home: Home, ledger: Ledger, what: str, *, why: str, by: str, parties: Parties | None) -> bool:
    """Lifts an order, on the order of a court; where two officers are asked for, the second one's word lifts it.

    An order that came with an agency's feed never falls by itself, not even where the rule that read it is gone:
    it is lifted here, by the reference it covers. Rows that were kept out come back with their next delivery, or by
    `kith remap`; what was expunged is gone.

    Args:
        home: The home.
        ledger: Its control plane.
        what: Id of the order; or the reference that an agency's own order covers.
        why: Number of the order that lifts it; no personal value.
        by: Officer.
        parties: Who takes part; None: one person is enough.

    Returns:
        Whether it is lifted now; else it waits for a second officer.

    Raises:
        DeclarationError: There is no such order in force, or the officer is unknown or the same again.
    """
    require_officer(by, parties)
    if not why.strip():
        raise _refused("nobody says by which order it is lifted", "give the number of that order by --order-no")
    with ledger.writing() as connection:
        order_id = _id_to_lift(connection, home, what)
        asked = [act.who for act in acts_of(connection, order_id) if act.act == "lift_asked"]
        if parties is not None and by in asked:
            raise _refused(f"{by} asked for it and cannot be the second person", "let another officer lift it")
        lifted = parties is None or bool(asked)
        append(home, Event("seal.lift", order_id, by, role="officer", decision="lifted" if lifted else "asked"))
        _act(connection, order_id, "lifted" if lifted else "lift_asked", by, why)
        if lifted:
            of_order = (
                order_.c.ref == what if "/" in what else order_.c.since_extract.startswith(f"{FROM_ORDER}{order_id}")
            )
            connection.execute(order_.update().where(of_order, order_.c.lifted_at.is_(None)).values(lifted_at=now()))
    return lifted


def _id_to_lift(connection: sa.Connection, home: Home, what: str) -> str:
    acts = {act.act for act in acts_of(connection, what)}
    if "approved" in acts and "lifted" not in acts:
        return what
    standing = sa.select(order_.c.ref).where(order_.c.ref == what, order_.c.lifted_at.is_(None))
    if connection.execute(standing).first() is None:
        raise _refused("there is no such order in force", "see: kith seal status")
    first = connection.execute(sa.select(seal_mark.c.mark_id).limit(1)).first() is None
    return lifted_as(marks_of(seal_secret(home.keys, make=first), [what])[what][1])


def acts_of(connection: sa.Connection, order_id: str) -> Sequence[sa.Row[tuple[object, ...]]]:
    """What became of an order, in its order: act, who, at, why."""
    return connection.execute(
        sa.select(seal_act).where(seal_act.c.order_id == order_id).order_by(seal_act.c.act_id)
    ).all()


def note_act(ledger: Ledger, order_id: str, act: str, *, who: str, why: str = "") -> None:
    """Writes down what became of an order."""
    with ledger.writing() as connection:
        _act(connection, order_id, act, who, why)


def _act(connection: sa.Connection, order_id: str, act: str, who: str, why: str = "") -> None:
    connection.execute(seal_act.insert().values(order_id=order_id, act=act, who=who, at=now(), why=why))


def _table(marks: Sequence[Mapping[str, str | None]]) -> pa.Table:
    names = ("mark", "exact", "place", "what", "reason", "order_id")
    return pa.table({name: pa.array([mark[name] for mark in marks], pa.string()) for name in names})


def require_officer(by: str, parties: Parties | None) -> None:
    """Goes on only where somebody answers for it: an officer, where the exchange has any.

    Raises:
        DeclarationError: The officer is unknown.
    """
    if not by.strip():
        raise _refused("nobody answers for it", "name yourself by --by")
    if parties is not None and parties.party_of(by) is None:
        raise _refused(f"no party has an officer {by!r}", "name the id of an officer in governance/parties.yaml")


def _refused(what: str, mend: str) -> DeclarationError:
    return DeclarationError(what, where="the register of orders", mend=mend)


def orders(ledger: Ledger, *, today: date) -> list[dict[str, object]]:
    """Every order written down by hand, with how it stands: waits, refused, ahead, in force, lifted."""
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(seal_order).order_by(seal_order.c.added_at)).mappings().all()
        counted = sa.select(seal_mark.c.order_id, sa.func.count()).group_by(seal_mark.c.order_id)
        marks = {row[0]: row[1] for row in connection.execute(counted)}
        acts = {row["order_id"]: {act.act: act.at for act in acts_of(connection, row["order_id"])} for row in rows}
    told = []
    for row in rows:
        did = acts[row["order_id"]]
        proof_due = bool(row["verify_by"]) and "proved" not in did and row["verify_by"] < today.isoformat()
        told.append({
            **row, "stands": _stands(did, row["effective"], today), "marks": marks.get(row["order_id"], 0),
            "proved": did.get("proved"), "proof_overdue": proof_due and "approved" in did,
        })  # fmt: skip
    return told


def _stands(acts: Mapping[str, str], effective: str, today: date) -> str:
    if "lifted" in acts or "refused" in acts:
        return "lifted" if "lifted" in acts else "refused"
    if "approved" not in acts:
        return "waits for a second officer"
    if effective > today.isoformat():
        return "ahead"
    return "in force" if "applied" in acts or "restricted" in acts else "in force, watching"
