"""Which column of a file is which declared column, and what to say where they differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from mappings.compile import needs
from mappings.declarations import Feed
from mappings.reading import new_columns, shown_name
from store.extracts import FileFinding, Severity

_LINE_END = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What ends a line elsewhere, and no name of a column holds."""


@dataclass(frozen=True)
class Matched:
    """Declared column -> its name in the file; findings, and whether the file must be held for its layout."""

    names: dict[str, str]
    findings: tuple[FileFinding, ...] = ()
    hold: bool = False
    share: float = 1.0
    """Share of the declared columns that are there."""


def column_key(name: str) -> str:
    """A column's name as it is compared: without regard to case and punctuation."""
    return name if "\ufffd" in name else re.sub(r"[\W_]+", "", name).casefold() or name


def hold_line_ends(names: Iterable[str]) -> bool:
    """Whether names hold what ends a line elsewhere: then they are no names but the records of the file."""
    return any(_LINE_END.search(name) for name in names)


def match_columns(feed: Feed, present: Sequence[str], *, are_names: bool = True) -> Matched:
    """Matches the columns a file has to those the feed declares: by name, whatever their order.

    Args:
        feed: The declaration.
        present: The names in the file, in order, as sent.
        are_names: Whether undeclared ones are surely names, and may be shown.
    """
    repeated = {key for key, count in Counter(column_key(name) for name in present).items() if count > 1}
    by_key = {column_key(name): name for name in reversed(present)}
    exact = set(present)
    names: dict[str, str] = {}
    findings: list[FileFinding] = []
    for column in feed.columns:
        found = column if column in exact else by_key.get(column_key(column))
        if found is None:
            others = [column_key(other) for other in feed.format.aliases.get(column, ())]
            found = next((by_key[other] for other in others if other in by_key), None)
            if found is not None:
                findings.append(_finding("renamed_column", Severity.WARNING, f"{column} came as {shown_name(found)}"))
        elif found != column and not (feed.format.kind == "table" and found.casefold() == column.casefold()):
            findings.append(_finding("recased_column", Severity.NOTE, f"{column} came as {shown_name(found)}"))
        if found is not None:
            names[column] = found
    missing = tuple(column for column in feed.columns if column not in names)
    vital = vital_columns(feed)
    findings += [
        _finding("missing_column", Severity.ERROR if column in vital else Severity.WARNING, column)
        for column in missing
    ]
    taken = set(names.values())
    findings += new_columns([name for name in present if name not in taken], are_names=are_names)
    doubled = sorted(column for column in names if column_key(names[column]) in repeated)
    findings += [_finding("repeated_column", Severity.ERROR, column) for column in doubled]
    share = len(names) / len(feed.columns)
    return Matched(names, tuple(findings), bool(doubled or vital & set(missing)), share)


def vital_columns(feed: Feed) -> set[str]:
    """Columns without which a file is held: of the key, version, actions, sender, and of what is required."""
    elements = set(feed.key) | {name for name, element in feed.elements.items() if element.required}
    elements |= {feed.version} if feed.version else set()
    elements |= {feed.actions.element} if feed.actions else set()
    waiting = list(elements)
    while waiting:
        waiting += [other for other in needs(feed.elements[waiting.pop()]) if other not in elements]
        elements |= set(waiting)
    columns = {column for name in elements for column in feed.elements[name].sent}
    return columns | ({feed.sender.column} if feed.sender else set())


def key_places(feed: Feed) -> list[int]:
    """The places, among the feed's columns, of those that its key is read from."""
    return sorted({feed.columns.index(column) for name in feed.key for column in feed.elements[name].sent})


def firm_columns(feed: Feed) -> set[str]:
    """Columns whose values have such a form that a value of another column would not be taken for one of theirs."""
    firm = [e for e in feed.elements.values() if e.date or e.timestamp or (e.identifier and e.identifier.width)]
    return {column for element in firm for column in element.sent}


def key_forms(feed: Feed) -> dict[str, Callable[[str], bool]]:
    """Key columns whose values have a form, with what tells whether a text has it."""
    forms: dict[str, Callable[[str], bool]] = {}
    for name in feed.key:
        element = feed.elements[name]
        if element.identifier is not None and element.identifier.width is not None:
            forms[element.sent[0]] = partial(_has_width, width=element.identifier.width)
        elif element.date is not None or element.timestamp is not None:
            forms[element.sent[0]] = _may_be_date
    return forms


def _has_width(text: str, *, width: int) -> bool:
    return len(text) == width or (text.isdecimal() and len(text) < width)


def _may_be_date(text: str) -> bool:
    return len(text) <= 30 and any(character.isdecimal() for character in text)


def _finding(code: str, severity: Severity, detail: str) -> FileFinding:
    return FileFinding(code, severity, detail)
