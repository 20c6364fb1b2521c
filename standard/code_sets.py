"""The closed sets of words the common schema uses, one CSV each: code, meaning."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from standard.errors import DeclarationError

FOLDER = Path(__file__).parent / "code_sets"
_FEW = 20
"""A set of no more codes is told whole where a code is not in it."""


@cache
def code_set(name: str) -> dict[str, str]:
    """The codes of one set with their meanings.

    Raises:
        DeclarationError: There is no such set, or a code stands in it twice.
    """
    path = FOLDER / f"{name}.csv"
    if not path.is_file():
        raise DeclarationError(
            f"there is no code set {name!r}", where=str(FOLDER), mend=f"add {name}.csv with the columns code,meaning"
        )
    codes: dict[str, str] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            if row["code"] in codes:
                raise DeclarationError(
                    f"the code {row['code']!r} stands twice", where=f"{path}, line {number}", mend="keep one"
                )
            codes[row["code"]] = row["meaning"]
    return codes


def choice_of(name: str) -> str:
    """What a person may choose from, in words: the codes of a small set, the file of a large one."""
    codes = code_set(name)
    return f"one of {', '.join(codes)}" if len(codes) <= _FEW else f"a code of standard/code_sets/{name}.csv"


def code_set_names() -> list[str]:
    """The names of all code sets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))
