"""A line of the comparison: what the truth expects, what was found, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One thing compared; it holds counts, file names and keys of the truth folder, never a person's value."""

    part: str
    delivery: int
    subject: str
    expected: str
    actual: str
    ok: bool


def compared(part: str, delivery: int, subject: str, expected: object, actual: object) -> Line:
    """A line that is right where both are equal."""
    return Line(part, delivery, subject, str(expected), str(actual), expected == actual)


def judged(part: str, delivery: int, subject: str, expected: str, faults: Iterable[str]) -> Line:
    """A line that is right where no fault was found."""
    found = sorted(set(faults))
    return Line(part, delivery, subject, expected, "; ".join(found) or "holds", not found)


def told(lines: Iterable[Line], *, width: int = 60) -> str:
    """The lines as a text table, one a line, what is off marked."""
    return "\n".join(
        f"{'ok ' if line.ok else 'OFF'} day {line.delivery} {line.part:<10} {line.subject:<{width}} "
        f"expected {line.expected} | found {line.actual}"
        for line in lines
    )
