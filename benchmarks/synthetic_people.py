"""People tables of any size with families, twins, moves and mistakes, and the truth: `make_people(rows, into)`.

The recipe is that of ../shared/linkage/syn_200000: households of one to five share surname, address and telephone; four
agencies know a part of the people each, some more than once; names come from the reference lists of linkage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

import linkage

Column = npt.NDArray[Any]
SOURCES = ("school", "child_welfare", "court", "police")
REPEATS = (0.02, 0.10, 0.15, 0.25)
SSN = (0.0, 0.4, 0.6, 0.5)
STUDENT_ID = (0.98, 0.3, 0.02, 0.0)
STREETS = 4_000


def make_people(rows: int, into: Path, *, seed: int = 1) -> Path:
    """Writes a table of so many rows: unique_id, source, truth and identity columns as text."""
    rng = np.random.default_rng(seed)
    persons = _persons(rng, int(rows * 0.75))
    person, source = _mentions(rng, len(persons["surname"]), rows)
    table = {name: column[person] for name, column in persons.items()}
    columns = _as_recorded(rng, table, source)
    columns["unique_id"] = rng.permutation(rows).astype(str)
    columns["source"] = np.array(SOURCES)[source]
    columns["truth"] = person.astype(str)
    pq.write_table(pa.table({name: _nulled(column) for name, column in columns.items()}), into, compression="zstd")
    return into


def _names(rng: np.random.Generator, file: str, count: int) -> Column:
    listed = pacsv.read_csv(Path(linkage.__path__[0]) / file)
    often = np.asarray(listed["per_million"], dtype=float)
    names: Column = np.char.lower(np.array(listed["name"].to_pylist()))
    return names[rng.choice(len(often), count, p=often / often.sum())]


def _persons(rng: np.random.Generator, count: int) -> dict[str, Column]:
    home = np.repeat(np.arange(count), rng.integers(1, 6, count))[:count]
    homes = int(home[-1]) + 1
    number = np.char.add(rng.integers(1, 9_999, homes).astype(str), " ")
    street = np.char.add(number, _streets(rng)[rng.integers(0, STREETS, homes)])
    child = rng.random(count) < 0.6
    days = np.where(child, rng.integers(0, 18 * 365, count), rng.integers(18 * 365, 70 * 365, count))
    born = np.datetime64("2026-01-01") - days
    twin = np.flatnonzero((rng.random(count) < 0.006) & (np.roll(home, 1) == home) & (np.arange(count) > 0))
    born[twin] = born[twin - 1]
    of_home, own = _names(rng, "surnames.csv", homes)[home], _names(rng, "surnames.csv", count)
    surname = np.where(rng.random(count) < 0.88, of_home, own)
    surname[twin] = surname[twin - 1]
    return {
        "first_name": _names(rng, "given_names.csv", count),
        "middle_name": np.where(rng.random(count) < 0.7, _names(rng, "given_names.csv", count), ""),
        "surname": surname,
        "born": born,
        "sex": np.where(rng.random(count) < 0.5, "F", "M"),
        "ssn": rng.integers(100_010_001, 899_999_999, count).astype(str),
        "student_id": rng.integers(10_000_000, 99_999_999, count).astype(str),
        "address": street[home],
        "zip": rng.integers(10_001, 10_026, homes).astype(str)[home],
        "phone": rng.integers(2_010_000_000, 9_899_999_999, homes).astype(str)[home],
    }


def _streets(rng: np.random.Generator) -> Column:
    kinds = np.array(["st", "ave", "rd", "ln", "dr", "ct"])[rng.integers(0, 6, STREETS)]
    return np.char.add(np.char.add(_names(rng, "surnames.csv", STREETS), " "), kinds)


def _mentions(rng: np.random.Generator, persons: int, rows: int) -> tuple[Column, Column]:
    """Which person each row is about, and the agency it comes from."""
    person, source = np.arange(persons), rng.integers(0, 4, persons)
    people, sources = [person], [source]
    while sum(map(len, people)) < rows:
        other = person[rng.random(persons) < 0.3]
        people.append(other)
        sources.append(rng.integers(0, 4, len(other)))
        again = rng.random(persons) < np.array(REPEATS)[source]
        people.append(person[again])
        sources.append(source[again])
    return np.concatenate(people)[:rows], np.concatenate(sources)[:rows]


def _as_recorded(rng: np.random.Generator, table: dict[str, Column], source: Column) -> dict[str, Column]:
    """What clerks make of it."""
    count = len(source)

    def some(share: float) -> npt.NDArray[np.bool_]:
        return rng.random(count) < share

    surname = np.where(some(0.04), _names(rng, "surnames.csv", count), _mistyped(rng, table["surname"], some(0.03)))
    first = _mistyped(rng, table["first_name"], some(0.03))
    swapped = some(0.005)
    born = np.where(some(0.015), table["born"] + rng.integers(1, 28, count), table["born"])
    moved, unknown = some(0.25), some(0.10)
    street = np.where(moved, rng.permutation(table["address"]), table["address"])
    middle = np.where(some(0.5), table["middle_name"].astype("U1"), table["middle_name"])
    has_ssn = rng.random(count) < np.array(SSN)[source]
    phone = np.where(moved & some(0.5), rng.permutation(table["phone"]), table["phone"])
    return {
        "first_name": np.where(swapped, surname, first),
        "last_name": np.where(swapped, first, surname),
        "middle_name": middle,
        "dob": born.astype("datetime64[D]").astype(str),
        "sex": np.where(some(0.03), "", table["sex"]),
        "ssn": np.where(has_ssn, _mistyped(rng, table["ssn"], some(0.01)), ""),
        "student_id": np.where(rng.random(count) < np.array(STUDENT_ID)[source], table["student_id"], ""),
        "address": np.where(unknown, "", street),
        "zip": np.where(unknown, "", table["zip"]),
        "phone": np.where(some(0.25), "", phone),
    }


def _mistyped(rng: np.random.Generator, text: Column, wrong: npt.NDArray[np.bool_]) -> Column:
    """One letter or digit of those is replaced by the one before it."""
    made = text.copy()
    for row in np.flatnonzero(wrong):
        word = str(made[row])
        if len(word) > 1:
            at = int(rng.integers(1, len(word)))
            made[row] = word[:at] + word[at - 1] + word[at + 1 :]
    return made


def _nulled(column: Column) -> pa.Array:
    return pa.array(column, mask=column == "")
