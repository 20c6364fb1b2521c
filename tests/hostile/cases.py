"""What a hostile or broken file is: how it is made, and the verdict it must get."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["accepted", "findings", "quarantined", "held", "refused", "duplicate", "ignored"]
"""accepted: every row, nothing found; findings: no row in quarantine, but something is told; quarantined: some rows;
held, refused: no row (refused: it was not even read); duplicate: it holds what came before; ignored: it is no file of
the feed, and is left where it stands."""

Pupil = tuple[str, str, str, str, str]
COLUMNS = ("No", "Surname", "Born", "Sex", "Note")


@dataclass(frozen=True)
class Case:
    """One file, alone in its feed."""

    name: str
    kind: str
    """Which of `feeds.FORMS` its feed has."""
    make: Callable[[Path], None]
    verdict: Verdict
    code: str | None = None
    """What must be told: the reason it is held for, or a finding."""
    before: bytes | None = None
    """A file of a week before, which is in order."""


Bytes = bytes | Callable[[], bytes]
"""What is in a file; made only when it is written, where it is large."""


def of_bytes(name: str, kind: str, data: Bytes, verdict: Verdict, code: str | None = None, **more: bytes) -> Case:
    """A case whose file has these bytes."""
    return Case(name, kind, lambda path: write(path, data), verdict, code, **more)


def write(path: Path, data: Bytes) -> None:
    path.write_bytes(data if isinstance(data, bytes) else data())


def pupils(count: int = 20, *, seed: int = 7) -> list[Pupil]:
    """Invented pupils, none like another."""
    rng = random.Random(seed)
    names = ["Osei", "Quillfeather", "Valdrin", "Hargreen", "Ruiz", "Okafor", "Lind", "Fenwick", "Sato", "Moreau"]
    return [
        (
            f"{4000 + n:06}",
            f"{rng.choice(names)}{chr(97 + n % 26)}",
            f"201{n % 6}-0{1 + n % 9}-1{n % 10}",
            "12"[n % 2],
            "",
        )
        for n in range(count)
    ]


def changed(rows: Sequence[Pupil], at: int, **values: str) -> list[Pupil]:
    """The pupils with some values of one of them changed."""
    row = dict(zip(COLUMNS, rows[at], strict=True)) | values
    return [*rows[:at], tuple(row[column] for column in COLUMNS), *rows[at + 1 :]]  # type: ignore[list-item]
