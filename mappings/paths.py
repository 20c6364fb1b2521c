"""Where a value stands in a record of XML or JSON: steps from the record, parted by slashes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = r"[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?"
_STEP = re.compile(rf"(?P<name>@?{_NAME}|\*|\.\.?)(?:\[(?P<at>[^\[\]=']+)='(?P<value>[^']*)'\])?")
SEVERAL = "; "
"""What parts the values of a column that stands several times in its record."""


@dataclass(frozen=True)
class Step:
    """One step: into an element (`Name`), an attribute (`@id`), any element (`*`), to the parent (`..`), or nowhere
    (`.`); `where` narrows it to elements in which something has a certain value (`Address[AddressType='Home']`)."""

    name: str
    where: tuple[tuple[Step, ...], str] | None = None


def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path such as `Name/FirstName`, `../@id` or `Address[Type='Home']/City`.

    Raises:
        ValueError: It is no such path.
    """
    steps, at = [], 0
    while True:
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"{text!r} is no path; write it like Name/FirstName, ../@id or Address[Type='Home']/City")
        where = (parse_path(found["at"]), found["value"]) if found["at"] else None
        steps.append(Step(found["name"], where))
        at = found.end()
        if at == len(text):
            break
        if text[at] != "/":
            raise ValueError(f"{text!r} is no path: {text[at]!r} stands where a step ends")
        at += 1
    names = [step.name for step in steps]
    if ".." in names[names.count("..") :] or any(name.startswith("@") for name in names[:-1]):
        raise ValueError(f"{text!r} is no path: .. stands first, and @ last")
    return tuple(steps)


def parse_place(text: str) -> tuple[str, ...]:
    """The names from the root of a file to its records, such as `/InterchangeStudent/Student`; none for `/`.

    Raises:
        ValueError: It is no such place.
    """
    if not text.startswith("/"):
        raise ValueError(f"{text!r} does not begin at the root; write it like /InterchangeStudent/Student")
    steps = parse_path(text[1:]) if text != "/" else ()
    if any(step.where or step.name.startswith((".", "@")) for step in steps):
        raise ValueError(f"{text!r}: the place of records has names only")
    return tuple(step.name for step in steps)


def paths_of(columns: Iterable[str]) -> set[str]:
    """The leaves of a record that some columns name, in their steps or in what narrows these."""
    found = set()
    for column in columns:
        path = ""
        for step in parse_path(column):
            path = f"{path}/{step.name}" if path else step.name
            if step.where is not None:
                found.add(f"{path}/{'/'.join(within.name for within in step.where[0])}")
        found.add(path)
    return found


def is_spoken_for(path: str, columns: set[str]) -> bool:
    """Whether a leaf of a record is a declared column, or stands within one that is declared as unused."""
    steps = path.split("/")
    return any("/".join(steps[:count]) in columns for count in range(1, len(steps) + 1))
