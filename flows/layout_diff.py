"""How the layout of a file differs from what its feed declares, in the agency's own column names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows.try_sample import try_sample
from mappings.declarations import Feed
from mappings.load import Agency
from store.home import Home
from store.ledger import Ledger

_SAYS = {
    "new_column": "new: nobody has declared it; the file is loaded without it",
    "missing_column": "missing",
    "renamed_column": "renamed: read under its alias",
    "recased_column": "written otherwise: read all the same",
    "repeated_column": "stands twice",
    "wrong_delimiter": "none of the columns is there: another delimiter?",
    "missing_header": "none of the columns is there: no header?",
}
_OF_A_TYPE = {"unparsable_date", "unparsable_number", "unparsable_boolean", "bad_identifier", "unmapped_code"}
_MOST = 0.5
"""Share of the rows from which on values of another form mean that the column has another type."""


@dataclass(frozen=True)
class Change:
    """One column that is not as declared."""

    column: str
    is_: str
    rows: int | None = None
    """Rows that show it; None: the header does."""


@dataclass(frozen=True)
class LayoutDiff:
    """How a file differs from its declaration."""

    changes: list[Change]
    held: str | None
    """Why the file would be held, if it would."""


def layout_diff(home: Home, ledger: Ledger, agency: Agency, feed: Feed, file: Path, *, now: datetime) -> LayoutDiff:
    """Compares a file with its declaration, keeping nothing.

    Raises:
        ExtractError: The file is not there, or cannot be mapped.
    """
    tried = try_sample(home, ledger, agency, feed, file, now=now)
    changes = [
        Change(each["detail"] if "column" in each["code"] else "", _SAYS.get(each["code"], str(each["detail"])))
        for each in tried.of_the_file if each["code"] in _SAYS or each["severity"] == "error"
    ]  # fmt: skip
    retyped = [
        Change(", ".join(feed.elements[each["element"]].sent), f"of another form: {each['code']}", each["rows"])
        for each in tried.findings
        if each["code"] in _OF_A_TYPE and each["element"] in feed.elements and each["rows"] > _MOST * tried.received
    ]
    # XML and JSON have no header: that a column is gone shows only in that no record gives it.
    absent = [
        Change(", ".join(feed.elements[name].sent), "missing: no record of the file gives it")
        for name in tried.never_given if feed.format.columns_are_paths
    ]  # fmt: skip
    return LayoutDiff([*changes, *absent, *retyped], tried.held)
