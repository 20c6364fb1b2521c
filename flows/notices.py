"""Tell the operators, once each, what needs one of them: late, silent, short, early feeds, held files, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from connectors.sources import Secrets
from flows.run import Night
from flows.standing import GAP, LATE, SHORT, SILENT, Standing, read_standings
from flows.status import read_held
from standard.errors import SourceError
from store.home import Home
from store.ledger import notice as notices
from store.ledger import now as moment

FAILED, HELD = "failed", "held"
Emit = Callable[["Notice", bool], None]
"""Given a notice and whether it is over."""


@dataclass(frozen=True)
class Notice:
    """Something a person should look at; ids, counts and moments only."""

    agency: str
    feed: str
    """Empty where it is about the whole agency; the agency is empty where it is about the exchange."""
    kind: str
    about: str
    """What makes it another one: an extract, an arrival, a failure."""
    says: str

    @property
    def place(self) -> str:
        """agency/feed, as people name it."""
        return f"{self.agency or 'exchange'}{f'/{self.feed}' if self.feed else ''}"


def find_notices(night: Night) -> list[Notice]:
    """What needs a person at the end of a night."""
    with night.ledger.reading() as connection:
        standings = read_standings(connection, night.agencies, night.now)
        held = read_held(connection)
    found = [notice for standing in standings for notice in _of_standing(standing)]
    found += [
        Notice(row["agency"], row["feed"], HELD, row["extract_id"], f"extract {row['extract_id']} is held"
               f" ({row['status_reason']}): kith status") for row in held
    ]  # fmt: skip
    found += [
        Notice(each.agency or "", "", FAILED, f"{each.stage} {each.error}", f"{each.stage} failed ({each.error}):"
               " kith status") for each in night.failures
    ]  # fmt: skip
    return list(dict.fromkeys(found))


def _of_standing(standing: Standing) -> Iterator[Notice]:
    came = standing.last_arrival
    since = f"; the last came {_minute(came)}" if came else "; none ever came"
    for kind in standing.kinds:
        about, says = str(came or ""), f"came {_minute(came)}, when nothing was due" if came else ""
        if kind == SILENT:
            says = f"is silent: nothing came where several deliveries were to be expected{since}"
        elif kind == LATE:
            says = f"is late: it was due {_minute(standing.due)}{since}"
        elif kind == GAP:
            about = numbers = ", ".join(map(str, standing.missing))
            says = f"has gaps: number {numbers} of its count never came"
        elif kind == SHORT:
            says = f"is short: {standing.rows:,} rows, usually {standing.rows_usual:,}"
        yield Notice(standing.agency, standing.feed, kind, about, says)


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M %Z}" if at else "never"


def tell_notices(night: Night, *, emit: Emit | None = None) -> None:
    """Tells what is new and what is over since the operators were told last, to everybody whom exchange.yaml names.

    What could not be told is told by the next night.

    Args:
        night: The night, its other stages done.
        emit: Told of each as well, e.g. to make an event of it.

    Raises:
        SourceError: One of those to be told cannot be reached.
    """
    _write_down(night, find_notices(night))
    new, over = _untold(night)
    if not new and not over:
        return
    for ended, told in ((False, new), (True, over)):
        for _, notice in told:
            if emit is not None:
                emit(notice, ended)
    _send(night.home, night.settings.exchange, night.settings.notify, _text(new, over))
    with night.ledger.writing() as connection:
        for column, told in (("told_at", new), ("over_told_at", over)):
            ids = [notice_id for notice_id, _ in told]
            connection.execute(notices.update().where(notices.c.notice_id.in_(ids)).values({column: moment()}))
    night.progress(f"told the operators: {len(new)} new, {len(over)} over")


def _write_down(night: Night, found: Sequence[Notice]) -> None:
    """Opens in the ledger what was not open, and ends what is no longer so."""
    now = {(n.agency, n.feed, n.kind, n.about): n for n in found}
    with night.ledger.writing() as connection:
        rows = connection.execute(notices.select().where(notices.c.over_at.is_(None))).all()
        opened = {(row.agency, row.feed, row.kind, row.about): row for row in rows}
        for key in now.keys() - opened.keys():
            agency, feed, kind, about = key
            connection.execute(notices.insert().values(
                agency=agency, feed=feed, kind=kind, about=about, says=now[key].says, since=moment()
            ))  # fmt: skip
        for key in opened.keys() - now.keys():
            # Of an agency that was not asked nobody knows whether it can be asked again.
            if key[2] == FAILED and key[0] and key[0] not in night.wanted:
                continue
            ended = notices.update().where(notices.c.notice_id == opened[key].notice_id)
            connection.execute(ended.values(over_at=moment()))


def _untold(night: Night) -> tuple[list[tuple[int, Notice]], list[tuple[int, Notice]]]:
    """What is open and was not told; what was told and is over. What came and went unseen is told to nobody."""
    query = notices.select().order_by(notices.c.agency, notices.c.feed, notices.c.notice_id)
    new = query.where(notices.c.told_at.is_(None), notices.c.over_at.is_(None))
    over = query.where(notices.c.told_at.is_not(None), notices.c.over_at.is_not(None), notices.c.over_told_at.is_(None))
    with night.ledger.reading() as connection:
        return _read(connection, new), _read(connection, over)


def _read(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> list[tuple[int, Notice]]:
    rows = connection.execute(query).all()
    return [(row.notice_id, Notice(row.agency, row.feed, row.kind, row.about, row.says)) for row in rows]


def _text(new: list[tuple[int, Notice]], over: list[tuple[int, Notice]]) -> str:
    lines = [f"{notice.place}: {notice.says}" for _, notice in new]
    return "\n".join([*lines, *(f"{notice.place}: no longer {notice.kind}" for _, notice in over)])


def _send(home: Home, exchange: str, to: Sequence[str], text: str) -> None:
    if not to:
        return
    from apprise import Apprise, NotifyFormat

    secrets = Secrets(home.keys)
    for number, declared in enumerate(to, start=1):
        way = Apprise()
        known = way.add(secrets.url(declared).get_secret_value())
        if not known or not way.notify(title=f"Kith, {exchange}", body=text, body_format=NotifyFormat.TEXT):
            # The address may hold a password: only its number is told.
            raise SourceError(
                "the operators could not be told" if known else "nothing can be told this way",
                where=f"{home.settings_file}, notify, number {number}",
                mend="look whether it can be reached and how it is written: docs/command_line.md; the next run tells it"
                if known
                else "write it as docs/command_line.md shows",
            )
