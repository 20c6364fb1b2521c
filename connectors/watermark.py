"""From where a table is read again, and up to where it has been read: never past what may still come late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

import sqlalchemy as sa

from connectors.database_text import as_sent, text_of
from connectors.wanted import TableWanted
from standard.errors import SourceError

_CLOCK_ERROR = timedelta(days=1)


@dataclass(frozen=True)
class Watermark:
    """What one read of a table by watermark covers."""

    given_whole: sa.ColumnElement[bool] | None = None
    """Which rows are given whole; None: all."""
    reached: str | None = None
    """The newest value seen, as text; None: the table is read without watermark, or is empty."""

    @classmethod
    def read(
        cls,
        connection: sa.Connection,
        column: sa.Column[object] | None,
        wanted: TableWanted,
        *,
        now: datetime,
        place: str,
    ) -> Watermark:
        """Looks how far the table has come since the last watermark.

        A table whose newest value is before the last watermark was restored or rebuilt: it is read whole. A row
        without a value is always given whole.

        Raises:
            SourceError: The values of the column cannot be ordered as times or numbers.
        """
        if column is None:
            return cls()
        where = f"{place}, table {wanted.table}, column {wanted.watermark}"
        newest = _newest(connection, column, now)
        if newest is None:
            late = _newest(connection, column, None)  # all of the future, or of no order at all
            if late is not None:
                _read_as_order(late, column, where)
            return cls()
        here = _read_as_order(newest, column, where)
        if wanted.since is None:
            return cls(None, newest)
        last = _read_as_order(wanted.since, column, where)
        if _before(here, last, where):
            return cls(None, newest)
        cut = _bound(_minus(last, wanted.overlap, where), column, connection.dialect.name, like=wanted.since)
        return cls(sa.or_(column >= cut, column.is_(None)), newest)


def _newest(connection: sa.Connection, column: sa.Column[object], now: datetime | None) -> str | None:
    """The greatest value; if a moment is given, none later than a day from it, for a later one is a clock's error and
    would hide all that comes before it."""
    dialect = connection.dialect.name
    query = sa.select(sa.func.max(column, type_=column.type).label("newest"))
    if now is not None and not _is_number(column):
        query = query.where(_not_later(column, now + _CLOCK_ERROR, dialect))
    newest = text_of(connection.execute(sa.select(as_sent(query.subquery().c.newest, dialect))).scalar())
    return newest.strip() if newest else None


def _not_later(column: sa.Column[object], latest: datetime, dialect: str) -> sa.ColumnElement[bool]:
    if _is_text(column, dialect):
        return sa.func.replace(column, "-", "") <= f"{latest:%Y%m%d}~"
    aware = bool(getattr(column.type, "timezone", False))
    return column <= _bound(latest if aware else latest.replace(tzinfo=None), column, dialect)


def _is_number(column: sa.Column[object]) -> bool:
    return isinstance(column.type, (sa.Integer, sa.Numeric))


def _is_text(column: sa.Column[object], dialect: str) -> bool:
    return not _is_number(column) and (dialect == "sqlite" or isinstance(column.type, sa.String))


def _read_as_order(text: str, column: sa.Column[object], where: str) -> datetime | Decimal:
    """A watermark as what it is ordered by: a time, or a number."""
    if not _is_number(column):
        try:
            return datetime.fromisoformat(text.strip())
        except ValueError:
            pass  # a number, or not to be ordered at all
    try:
        return Decimal(text)
    except InvalidOperation:
        raise SourceError(
            "the watermark's values are neither times (YYYY-MM-DD ...) nor numbers",
            where=where,
            mend="name another column, or none: the table is then read whole",
        ) from None


def _before(one: datetime | Decimal, other: datetime | Decimal, where: str) -> bool:
    try:
        return one < other  # type: ignore[operator]
    except TypeError:
        raise SourceError(
            "the watermark's values are of another kind than at the last read",
            where=where,
            mend="run once without the watermark, so that the table is read whole",
        ) from None


def _minus(last: datetime | Decimal, overlap: timedelta | int, where: str) -> datetime | Decimal:
    if isinstance(last, datetime) and isinstance(overlap, timedelta):
        return last - overlap
    if isinstance(last, Decimal) and (isinstance(overlap, int) or not overlap):
        return last - (overlap if isinstance(overlap, int) else 0)
    raise SourceError(
        "the overlap and the watermark are of different kinds",
        where=where,
        mend="give a span of time (1 day) for a time, a whole number for a number",
    )


def _bound(cut: datetime | Decimal, column: sa.Column[object], dialect: str, *, like: str = "") -> object:
    """A cut as the column's own kind. In a text column it is the day alone, which sorts before all times of that day
    however they are written."""
    if isinstance(cut, Decimal):
        return sa.literal(int(cut) if cut == int(cut) else cut)
    if _is_text(column, dialect):
        return sa.literal(f"{cut:%Y-%m-%d}" if "-" in like else f"{cut:%Y%m%d}", sa.Text())
    return cut.date() if isinstance(column.type, sa.Date) else cut
