"""What a feed wants of its source: files whose names fit a pattern, or the rows of a table."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from standard.errors import DeclarationError

Packing = Literal["pgp", "zip", "gzip"]
PACKINGS: tuple[tuple[Packing, ...], ...] = ((), ("pgp",), ("zip",), ("gzip",), ("pgp", "zip"), ("pgp", "gzip"))

SEQUENCE = "{sequence}"
"""In a pattern of names: the number by which the sender counts its files."""
_AS_OF = re.compile(r"\{as_of:([^{}]*)\}")
_DIGITS = {"Y": 4, "m": 2, "d": 2, "y": 2, "j": 3, "H": 2, "M": 2, "S": 2}
_SPAN = re.compile(r"(\d+)\s*(minute|hour|day|week)s?")


@dataclass(frozen=True)
class Stated:
    """A property in a member of an archive that lists them as CSV (property, value), and the value it must have."""

    member: str
    name: str
    value: str


@dataclass(frozen=True)
class FilesWanted:
    """Files by name. `{as_of:%Y%m%d}` stands for the date the file speaks of, `*` for any text, `?` for one character,
    `{sequence}` for the number the sender counts its files by.

    The pattern holds for the whole name; upper and lower case differ.
    """

    pattern: str
    packed: tuple[Packing, ...] = ()
    """How the file is packed, the outermost first: what lands is what is in it."""
    member: str | None = None
    """Which file of a zip archive is wanted (a pattern for its name without folders); None: it holds one file alone."""
    holds_zip: bool = False
    """Whether what is within is a zip by right: a spreadsheet."""
    states: Stated | None = None
    """What another member of the archive must say; None: nothing is asked."""

    def __post_init__(self) -> None:
        _compiled(self.pattern)
        if self.packed not in PACKINGS:
            raise DeclarationError(
                f"a file cannot be packed like {', '.join(self.packed)}",
                where=f"packed, of files: {self.pattern!r}",
                mend="say pgp, zip or gzip, or pgp and then one of the two",
            )
        if (self.member or self.states) and "zip" not in self.packed:
            raise DeclarationError(
                "a member is wanted of a file that is no zip archive",
                where=f"member, of files: {self.pattern!r}",
                mend="say packed: [zip], or take member and states away",
            )

    def moment(self, name: str) -> datetime | None:
        """The moment a file of this name speaks of, `datetime.min` where the pattern has none; None: not wanted."""
        expression, form = _compiled(self.pattern)
        found = expression.fullmatch(name)
        if found is None:
            return None
        if form is None:
            return datetime.min
        try:
            return _end_of_period(datetime.strptime(found.group("as_of"), form), form)
        except ValueError:
            return None

    def sequence(self, name: str) -> int | None:
        """The number of a file in its sender's count; None where the pattern has none, or the file is not wanted."""
        found = _compiled(self.pattern)[0].fullmatch(name)
        return int(found.group("sequence")) if found and "sequence" in found.groupdict() else None

    def shown(self, name: str) -> str:
        """A name as operators see it: what the pattern leaves to the sender (`*`, `?`) is `*`, since it may tell of
        a person; a name that does not fit is `*` as a whole."""
        expression = _compiled(self.pattern)[0]
        found = expression.fullmatch(name)
        if found is None:
            return "*"
        fixed = expression.groupindex.values()
        for start, end in (found.span(n) for n in range(expression.groups, 0, -1) if n not in fixed):
            name = f"{name[:start]}*{name[end:]}"
        return name

    def as_of(self, name: str, *, read_on: date) -> date | None:
        """The date a file of this name speaks of, the day it is read where the pattern has none; None: not wanted."""
        moment = self.moment(name)
        if moment is None:
            return None
        return read_on if moment == datetime.min else moment.date()


def _end_of_period(start: datetime, form: str) -> datetime:
    """A file of a month or a year speaks of the time up to its last day."""
    if "%d" in form or "%j" in form:
        return start
    month = start.month if "%m" in form else 12
    return start.replace(month=month, day=monthrange(start.year, month)[1])


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> tuple[re.Pattern[str], str | None]:
    parts = _AS_OF.split(pattern)
    plain = "".join(parts[::2])
    if len(parts) > 3 or "/" in pattern or plain.count(SEQUENCE) > 1 or "{" in plain.replace(SEQUENCE, ""):
        raise DeclarationError(
            "a pattern of file names holds at most one {as_of:...}, at most one {sequence} and no folder",
            where=f"files: {pattern!r}",
            mend='write it like "students_{as_of:%Y%m%d}*.csv"',
        )
    form = parts[1] if len(parts) == 3 else None
    middle = f"(?P<as_of>{_date_expression(form, pattern)})" if form is not None else ""
    around = [_glob_expression(part) for part in parts[::2]]
    return re.compile(middle.join(around), re.DOTALL), form


def _glob_expression(text: str) -> str:
    glob = re.escape(text).replace(r"\*", "([^/]*)").replace(r"\?", "([^/])")
    return glob.replace(re.escape(SEQUENCE), r"(?P<sequence>\d{1,18})")


def _date_expression(form: str, pattern: str) -> str:
    def digits(found: re.Match[str]) -> str:
        if found.group(1) not in _DIGITS:
            raise DeclarationError(
                f"%{found.group(1)} cannot stand in the date of a file name",
                where=f"files: {pattern!r}",
                mend="use " + " ".join(f"%{letter}" for letter in _DIGITS),
            )
        return rf"\d{{{_DIGITS[found.group(1)]}}}"

    if "%Y" not in form and "%y" not in form:
        raise DeclarationError(
            "the date of a file name needs a year", where=f"files: {pattern!r}", mend="add %Y to {as_of:...}"
        )
    return re.sub(r"%(.)", digits, re.escape(form).replace(r"\%", "%"))


@dataclass(frozen=True)
class TableWanted:
    """The rows of a table or view. Names are matched to the database's without regard to case."""

    table: str
    columns: tuple[str, ...] = ()
    """Every column the feed declares, under its declared name; () reads all. A column of the table that is not among
    them is not read: it stands empty in what lands, so that the mapping reports it as new."""
    key: tuple[str, ...] = ()
    """Columns that tell the rows apart; needed for a census."""
    watermark: str | None = None
    """A column that only grows when a row changes; None reads the table whole each time."""
    overlap: timedelta | int = timedelta(0)
    """How far before the last watermark reading starts again, for rows that became visible late."""
    census: bool = False
    """Whether the keys of all other rows are given too, so that a purged row is seen."""
    never_read: tuple[str, ...] = ()
    """Columns that never leave the source."""
    since: str | None = None
    """The last watermark; None reads the table whole."""
    before: Path | None = None
    """What landed from the reading of the last watermark. A key of the census that is not in it is of a row that came
    in with an old watermark; such a row is given whole."""

    def __post_init__(self) -> None:
        forbidden = {name.casefold() for name in self.never_read}
        needed = [name for name in (*self.key, self.watermark or "") if name.casefold() in forbidden]
        if needed:
            raise DeclarationError(
                f"{', '.join(needed)} must be read: it is the key or the watermark",
                where=f"never_read of table {self.table}",
                mend="take it from never_read",
            )
        if self.census and not self.key:
            raise DeclarationError(
                "a census needs the key columns", where=f"table {self.table}", mend="declare the feed's key"
            )


def parse_overlap(text: str) -> timedelta | int:
    """`1 day`, `12 hours`, `30 minutes`, or a whole number for a watermark that is a number.

    Raises:
        DeclarationError: Neither.
    """
    if text.strip().isdigit():
        return int(text)
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise DeclarationError(
            "the overlap is neither a span of time nor a number",
            where=f"overlap: {text!r}",
            mend="write it like '1 day', '12 hours' or '1000'",
        )
    return timedelta(**{f"{found.group(2)}s": int(found.group(1))})
