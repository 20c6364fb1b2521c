"""Random tables of counts, alone, linked and one after the other: whether any hidden cell can be worked out.

The auditor here knows nothing of `releases.suppression`: it takes what was published, writes down what a recipient
knows as linear programs of its own, and asks for the smallest and largest count of every hidden cell.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from random import Random

import numpy as np
from scipy.optimize import linprog  # type: ignore[import-untyped]

from releases.suppression import Asked, Earlier, Key, NotProtectable, hide, keys_above

Atoms = dict[tuple[str, ...], int]
MIN_CELL = 11


@dataclass(frozen=True)
class Sheet:
    """What a recipient was given: a count of every cell that is not zero, or that it is hidden; and the truth."""

    dims: tuple[str, ...]
    cells: Mapping[Key, int | None]
    truth: Mapping[Key, int]
    at: int
    """Which state of the data it shows."""


@dataclass
class Case:
    """One random world: names of dimensions, states of the data, what is published of them in turn."""

    dims: tuple[str, ...]
    states: list[Atoms]
    asked: list[tuple[int, tuple[str, ...]]]
    sheets: list[Sheet] = field(default_factory=list)
    refused: int = 0


def random_case(random: Random) -> Case:
    """Two or three dimensions, or linked tables of three or four, or the same table of changing data."""
    kind = random.choice(["one", "one", "linked", "sequence", "both"])
    number = random.choice([2, 3]) if kind in ("one", "sequence") else random.choice([3, 3, 4])
    dims = tuple("abcd"[:number])
    sizes = [random.randint(2, 6 if number == 2 else 4 if number == 3 else 3) for _ in dims]
    scale = random.choice([4, 12, 30, 100])
    state = {values: count for values in product(*(map(str, range(size)) for size in sizes))
             if (count := _count(random, scale))}  # fmt: skip
    states = [state or {tuple("0" for _ in dims): 20}]
    if kind in ("sequence", "both"):
        states += [_changed(random, states[0]) for _ in range(random.randint(1, 2))]
    tables = [dims] if kind in ("one", "sequence") else _linked(random, dims)
    asked = [(at, table) for at in range(len(states)) for table in tables]
    return Case(dims, states, asked)


def _count(random: Random, scale: int) -> int:
    if random.random() < 0.15:
        return 0
    return min(int(random.expovariate(1 / scale)), 2_000)


def _changed(random: Random, state: Atoms) -> Atoms:
    """A few persons come and go, as between two nights."""
    after = dict(state)
    for values in random.sample(sorted(after), max(1, len(after) // 6)):
        after[values] = max(0, after[values] + random.choice([-3, -1, 1, 2, 5]))
    return {values: count for values, count in after.items() if count} or state


def _linked(random: Random, dims: Sequence[str]) -> list[tuple[str, ...]]:
    pairs = [(one, two) for n, one in enumerate(dims) for two in dims[n + 1 :]]
    chosen: list[tuple[str, ...]] = list(random.sample(pairs, random.randint(2, min(3, len(pairs)))))
    if random.random() < 0.3:
        chosen.append((random.choice(dims),))
    return chosen


def publish(case: Case) -> None:
    """Publishes what is asked for, one after the other, each with what the recipient has by then."""
    for at, dims in case.asked:
        try:
            case.sheets.append(_publish(case, at, dims))
        except NotProtectable:
            case.refused += 1


def _publish(case: Case, at: int, dims: tuple[str, ...]) -> Sheet:
    before = [Earlier(s.dims, s.cells, _changed_cells(case, s, at)) for s in case.sheets]
    names = sorted({*dims, *(name for each in before for name in each.dims)})
    atoms: Atoms = {}
    for values, count in case.states[at].items():
        key = tuple(value for name, value in zip(case.dims, values, strict=True) if name in names)
        atoms[key] = atoms.get(key, 0) + count
    asked = Asked(dims, tuple(names), atoms)
    counts = asked.counts()
    hidden = hide(asked, [k for k, n in counts.items() if n < MIN_CELL], width=MIN_CELL - 1, before=before)
    if len(hidden) == len(counts):
        raise NotProtectable
    return Sheet(dims, {key: None if key in hidden else count for key, count in counts.items()}, counts, at)


def _finest(case: Case, dims: Sequence[str], at: int) -> dict[Key, Atoms]:
    """Finest cell of a table -> what is counted in it."""
    found: dict[Key, Atoms] = {}
    for values, count in case.states[at].items():
        key: Key = tuple(value for name, value in zip(case.dims, values, strict=True) if name in dims)
        found.setdefault(key, {})[values] = count
    return found


def _changed_cells(case: Case, sheet: Sheet, at: int) -> frozenset[Key]:
    then, now = _finest(case, sheet.dims, sheet.at), _finest(case, sheet.dims, at)
    return frozenset(key for key in {*then, *now} if then.get(key) != now.get(key))


def narrow(case: Case) -> list[tuple[int, Key, float, float]]:
    """The hidden cells (number of the sheet, key, smallest, largest count) that can be worked out too closely.

    After every sheet the recipient is asked anew; it is assumed to know which finest cells of a sheet count other
    persons at a later time, though not how many.
    """
    found = []
    for last in range(1, len(case.sheets) + 1):
        program = _Program(case, case.sheets[:last])
        for number, sheet in enumerate(case.sheets[:last]):
            for key, told in sheet.cells.items():
                if told is None:
                    low, high = program.bounds(number, key)
                    if high - low < MIN_CELL - 1 or not low <= sheet.truth[key] <= high:
                        found.append((number, key, low, high))
    return found


class _Program:
    """What is known: every sheet's cells as sums of unknown counts, each of a combination of values and its time."""

    def __init__(self, case: Case, sheets: Sequence[Sheet]) -> None:
        self.case, self.sheets = case, sheets
        self.unknowns: dict[tuple[object, ...], int] = {}
        domains = [sorted({v[n] for state in case.states for v in state}) for n in range(len(case.dims))]
        self.all = list(product(*domains))
        self.terms = [self._terms(number) for number in range(len(sheets))]
        self.equal: list[tuple[list[int], float]] = []
        self.least: list[tuple[list[int], float]] = []
        for number, sheet in enumerate(sheets):
            for key in product(
                *([*sorted({str(k[n]) for k in sheet.cells if k[n]}), None] for n in range(len(sheet.dims)))
            ):
                told = sheet.cells.get(key, 0)
                if told is None:
                    self.least.append((self.terms[number].get(key, []), 1))
                else:
                    self.equal.append((self.terms[number].get(key, []), told))

    def _terms(self, number: int) -> dict[Key, list[int]]:
        """Cell -> its unknowns: those of today where its persons are the same today, else one of its own."""
        sheet, today = self.sheets[number], self.sheets[-1].at
        changed = _changed_cells(self.case, sheet, today)
        terms: dict[Key, list[int]] = {}
        for values in self.all:
            key = [v for name, v in zip(self.case.dims, values, strict=True) if name in sheet.dims]
            name: tuple[object, ...] = ("then", number, *key) if tuple(key) in changed else ("now", *values)
            index = self.unknowns.setdefault(name, len(self.unknowns))
            for above in keys_above(key):
                if index not in terms.setdefault(above, []):
                    terms[above].append(index)
        return terms

    def bounds(self, number: int, key: Key) -> tuple[float, float]:
        """The smallest and largest whole count that fit."""
        size = len(self.unknowns)
        objective = np.zeros(size)
        objective[self.terms[number][key]] = 1
        given = {
            "A_eq": _dense([e for e, _ in self.equal], size), "b_eq": [told for _, told in self.equal],
            "A_ub": -_dense([e for e, _ in self.least], size), "b_ub": [-least for _, least in self.least],
        }  # fmt: skip
        low, high = linprog(objective, **given), linprog(-objective, **given)
        largest = math.inf if high.status == 3 else -high.fun
        return math.ceil(low.fun - 1e-6), math.floor(largest + 1e-6) if largest < math.inf else largest


def _dense(entries: Sequence[Sequence[int]], size: int) -> np.ndarray:
    matrix = np.zeros((len(entries), size))
    for row, indexes in enumerate(entries):
        matrix[row, list(indexes)] = 1
    return matrix


def only_small(case: Case) -> None:
    """Publishes with nothing hidden but the small cells: what the auditor is there to find."""
    for at, dims in case.asked:
        asked = Asked(dims, case.dims, case.states[at])
        counts = asked.counts()
        cells = {key: count if count >= MIN_CELL else None for key, count in counts.items()}
        case.sheets.append(Sheet(dims, cells, counts, at))


def measure(cases: int, *, seed: int) -> Counter[str]:
    """Publishes random cases and audits each: sheets, cells, hidden, small, refused, determinable."""
    random, told = Random(seed), Counter[str]()
    for _ in range(cases):
        case = random_case(random)
        began = time.process_time()
        publish(case)
        told["milliseconds"] += int((time.process_time() - began) * 1_000)
        told["determinable"] += len(narrow(case))
        told["refused"] += case.refused
        for sheet in case.sheets:
            told["sheets"] += 1
            told["cells"] += len(sheet.cells)
            told["small"] += sum(count < MIN_CELL for count in sheet.truth.values())
            told["hidden"] += sum(count is None for count in sheet.cells.values())
            told["counted"] += sheet.truth[tuple(None for _ in sheet.dims)]
    return told


def main(arguments: list[str] | None = None) -> int:
    """Prints the figures; 1 where any hidden cell can be worked out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suppression", description=__doc__)
    parser.add_argument("--tables", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    told = measure(given.tables, seed=given.seed)
    print(f"{given.tables:,} random cases, {told['sheets']:,} tables published ({told['refused']} refused): "
          f"{told['determinable']} hidden cells determinable")  # fmt: skip
    print(f"{told['small']:,} small and {told['hidden'] - told['small']:,} other cells hidden of {told['cells']:,}; "
          f"{told['milliseconds'] / max(1, told['sheets']):.0f} ms a table, "
          f"{time.perf_counter() - began:.0f} s with the audit")  # fmt: skip
    random, leaky = Random(given.seed), 0
    for _ in range(min(50, given.tables)):
        case = random_case(random)
        only_small(case)
        leaky += bool(narrow(case))
    print(f"with nothing hidden but the small cells {leaky} of {min(50, given.tables)} would leak")
    return 1 if told["determinable"] else 0


if __name__ == "__main__":
    sys.exit(main())
