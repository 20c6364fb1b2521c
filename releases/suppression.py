"""Which cells of a table of counts stay hidden so that none of the small ones can be worked out.

A recipient adds and subtracts: totals, other tables, tables of before. What it can find out about a hidden cell is the
range of values that fit everything it was given. Cells are hidden, beside the small ones, until each of these ranges is
wide enough; a range counts only by whole numbers of persons that fit (integer programs, HiGHS).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp  # type: ignore[import-untyped]
from scipy.sparse import csr_matrix, hstack, identity, vstack  # type: ignore[import-untyped]

Key = tuple[str | None, ...]
"""The value of each dimension; None is the total over it."""
MOST_COMBINATIONS = 20_000
_WHOLE = 1e-6
_LONGEST = 120
"""Seconds for one program; most take some milliseconds."""
_OUT_OF_TIME = 1


class NotProtectable(Exception):
    """A cell that can be worked out whatever else is hidden; its dimensions are told, never its count."""


class TooLarge(Exception):
    """So many combinations of values that the table cannot be audited."""


@dataclass(frozen=True)
class Earlier:
    """A table that the recipient has.

    Attributes:
        dims: Its dimensions.
        cells: Every cell that was not zero -> what was published, None where it was hidden.
        changed: The finest cells, of then or of now, whose persons are other ones today.
        rounding: The base to which it was rounded; 1 where it was not.
    """

    dims: tuple[str, ...]
    cells: Mapping[Key, int | None]
    changed: frozenset[Key] = frozenset()
    rounding: int = 1


@dataclass(frozen=True)
class Asked:
    """A table that is to be released.

    Attributes:
        dims: Its dimensions.
        joint: Every dimension of it and of the tables before, in a fixed order.
        atoms: Values of all of `joint` -> how many are counted there today; those that are not zero.
    """

    dims: tuple[str, ...]
    joint: tuple[str, ...]
    atoms: Mapping[tuple[str, ...], int]

    def counts(self) -> dict[Key, int]:
        """Every cell that is not zero, totals among them, with its count."""
        return _cube(self.joint, self.dims, self.atoms)


def _cube(joint: Sequence[str], dims: Sequence[str], atoms: Mapping[tuple[str, ...], int]) -> dict[Key, int]:
    places = [joint.index(name) for name in dims]
    counts: dict[Key, int] = {}
    for values, count in atoms.items():
        for key in keys_above([values[place] for place in places]):
            counts[key] = counts.get(key, 0) + count
    return counts


def keys_above(values: Sequence[str]) -> Iterable[Key]:
    """A finest cell and every total that counts it."""
    return product(*((value, None) for value in values))


def hide(asked: Asked, small: Collection[Key], *, width: int, before: Sequence[Earlier] = ()) -> frozenset[Key]:
    """The cells to hide: the small ones and as few others as are found, so that each has a range of `width` at least.

    Args:
        asked: The table.
        small: Cells that must not be told.
        width: How far apart the smallest and the largest possible count of a hidden cell are at least.
        before: What the recipient has; what was hidden there must stay so.

    Raises:
        NotProtectable: Even with all of the table hidden a hidden cell could be worked out.
        TooLarge: There are more than MOST_COMBINATIONS combinations of values.
    """
    if not small and not before:
        return frozenset()
    search = _Search(_Problem(asked, before), width, set(small))
    while (cell := search.narrowest()) is not None:
        search.widen(cell)
    return frozenset(search.hidden)


@dataclass(frozen=True)
class _Row:
    """One cell as a sum of unknowns: of the table asked for (`key` of its own), or of one before."""

    key: Key
    earlier: int | None
    low: float
    high: float


class _Problem:
    """Everything the recipient knows as rows of a matrix: each cell is a sum of unknowns, known or hidden."""

    def __init__(self, asked: Asked, before: Sequence[Earlier]) -> None:
        self.counts = asked.counts()
        self.rows: list[_Row] = []
        self._entries: list[list[int]] = []
        atoms = _combinations(asked, before)
        self._known = len(atoms)
        places = [asked.joint.index(name) for name in asked.dims]
        self._add_cells(self.counts, _by_cell(atoms, places), None, 1)
        for number, each in enumerate(before):
            self._add_earlier(number, each, atoms, asked.joint)
        self.matrix = csr_matrix(
            (np.ones(sum(map(len, self._entries))), [i for e in self._entries for i in e],
             np.cumsum([0, *map(len, self._entries)])), shape=(len(self.rows), self._known),
        )  # fmt: skip
        self.row_of = {(row.key, row.earlier): number for number, row in enumerate(self.rows)}

    def _add_earlier(self, number: int, each: Earlier, atoms: Sequence[tuple[str, ...]], joint: Sequence[str]) -> None:
        places = [joint.index(name) for name in each.dims]
        finest: dict[Key, list[int]] = {}
        for index, values in enumerate(atoms):
            key: Key = tuple(values[place] for place in places)
            if key not in each.changed:
                finest.setdefault(key, []).append(index)
        for key in each.cells:
            if None not in key and key in each.changed:  # who was counted there then is an unknown of its own
                finest[key] = [self._known]
                self._known += 1
        sums: dict[Key, list[int]] = {}
        for key, indexes in finest.items():
            for above in keys_above([str(value) for value in key]):
                sums.setdefault(above, []).extend(indexes)
        self._add_cells(each.cells, sums, number, each.rounding)

    def _add_cells(
        self, cells: Mapping[Key, int | None], sums: Mapping[Key, list[int]], earlier: int | None, base: int
    ) -> None:
        slack = 0 if base == 1 else base / 2
        for key, told in cells.items():
            low, high = (1.0, math.inf) if told is None else (told - slack, told + slack)
            self.rows.append(_Row(key, earlier, low, high))
            self._entries.append(sums.get(key, []))


def _combinations(asked: Asked, before: Sequence[Earlier]) -> list[tuple[str, ...]]:
    """Every combination of values that somebody may have: all but those that a table shows to be empty."""
    shown = [([asked.joint.index(n) for n in asked.dims], set(_cube(asked.joint, asked.dims, asked.atoms)))]
    shown += [([asked.joint.index(n) for n in e.dims], {*e.cells, *e.changed}) for e in before]
    domains = [sorted({values[place] for values in asked.atoms}) for place in range(len(asked.joint))]
    if math.prod(map(len, domains)) > MOST_COMBINATIONS:
        raise TooLarge
    return [
        values
        for values in product(*domains)
        if all(tuple(values[place] for place in places) in there for places, there in shown)
    ]


def _by_cell(atoms: Sequence[tuple[str, ...]], places: Sequence[int]) -> dict[Key, list[int]]:
    sums: dict[Key, list[int]] = {}
    for index, values in enumerate(atoms):
        for key in keys_above([values[place] for place in places]):
            sums.setdefault(key, []).append(index)
    return sums


@dataclass
class _Search:
    """What is hidden so far, and how wide each hidden cell's range was shown to be by counts that fit."""

    problem: _Problem
    width: int
    hidden: set[Key]
    ranges: dict[int, tuple[float, float]] = field(default_factory=dict)

    def narrowest(self) -> int | None:
        """A hidden cell (row) whose range is not known to be wide enough; the smallest counts first."""
        waiting = [n for n in self._hidden_rows() if self._width(n) < self.width]
        return min(waiting, key=lambda n: (self._width(n), self._size(n)), default=None)

    def _hidden_rows(self) -> list[int]:
        before = [n for n, row in enumerate(self.problem.rows) if row.earlier is not None and row.high == math.inf]
        return [*(self.problem.row_of[key, None] for key in sorted(self.hidden, key=str)), *before]

    def _width(self, row: int) -> float:
        low, high = self.ranges.get(row, (0, -1))
        return high - low

    def _size(self, row: int) -> int:
        told = self.problem.rows[row]
        return self.problem.counts.get(told.key, 0) if told.earlier is None else 0

    def widen(self, row: int) -> None:
        """Finds how far a cell can go as things are hidden now; where that is not far enough, hides more."""
        low = self._solve(row, -1)
        high = self._solve(row, +1, most=low + self.width)
        if high - low >= self.width or self._move(row, low + self.width) or self._move(row, high - self.width):
            return
        least = self._solve(row, -1, all_hidden=True)
        if not (self._move(row, least) and self._move(row, least + self.width)):
            raise NotProtectable

    def _solve(self, row: int, sign: int, *, most: float = math.inf, all_hidden: bool = False) -> float:
        """The smallest (-1) or largest (+1) count a cell can have, as things are hidden now, or with all hidden."""
        low, high = self._bounds(all_hidden=all_hidden)
        high[row] = min(high[row], most)
        found = _fit(self.problem.matrix, -sign * self.problem.matrix[row].toarray()[0], low, high)
        if found is None:
            raise NotProtectable
        if not all_hidden:
            self._note(found)
        return float(np.round(self.problem.matrix[row] @ found)[0])

    def _bounds(self, *, all_hidden: bool = False) -> tuple[np.ndarray, np.ndarray]:
        low = np.array([row.low for row in self.problem.rows], float)
        high = np.array([row.high for row in self.problem.rows], float)
        for number, row in enumerate(self.problem.rows):
            if row.earlier is None and (all_hidden or row.key in self.hidden):
                low[number], high[number] = 1, math.inf
        return low, high

    def _move(self, row: int, to: float) -> bool:
        """Hides the cells that must move along so that a cell could have this count, at the least cost; or says no."""
        if to < 1:  # zeros are shown, so a hidden cell is none
            return False
        problem = self.problem
        shown = [n for n, r in enumerate(problem.rows) if r.earlier is None and r.key not in self.hidden]
        low, high = self._bounds()
        low[row] = high[row] = to
        # A shown cell may move up or down at its cost; below 1 it cannot go, because zeros are shown.
        pick = identity(len(problem.rows), format="csr")[:, shown]
        rows = vstack([hstack([problem.matrix, pick, -pick]),
                       hstack([problem.matrix[shown], csr_matrix((len(shown), 2 * len(shown)))])])  # fmt: skip
        costs = np.array([self._cost(problem.rows[n].key) for n in shown])
        cost = np.concatenate([np.zeros(problem.matrix.shape[1]), costs, costs])
        low, high = np.append(low, np.ones(len(shown))), np.append(high, np.full(len(shown), np.inf))
        found = _fit(rows, cost, low, high, gap=0.1)
        if found is None:
            return False
        unknowns = found[: problem.matrix.shape[1]]
        counts = problem.matrix @ unknowns
        self.hidden |= {r.key for n in shown if abs(counts[n] - problem.counts[(r := problem.rows[n]).key]) > _WHOLE}
        self._note(unknowns)
        return True

    def _cost(self, key: Key) -> float:
        """Large counts and totals are wanted most."""
        return (1 + math.log2(1 + self.problem.counts[key])) * (1 + key.count(None))

    def _note(self, unknowns: np.ndarray) -> None:
        """What fits all that is known widens the range of every cell; it still fits when more is hidden."""
        low, high = self._bounds()
        counts = self.problem.matrix @ unknowns
        assert (unknowns >= 0).all() and (counts > low - _WHOLE).all() and (counts < high + _WHOLE).all()
        for number, told in enumerate(counts):
            least, most = self.ranges.get(number, (told, told))
            self.ranges[number] = (min(least, told), max(most, told))


def _fit(
    matrix: csr_matrix, cost: np.ndarray, low: np.ndarray, high: np.ndarray, *, gap: float = 0.0
) -> np.ndarray | None:
    """Whole numbers, none below zero, within the bounds of every row, at the least cost; None where there are none.

    Raises:
        TooLarge: They are not found in time.
    """
    found = milp(
        cost, constraints=LinearConstraint(matrix, low, high), bounds=Bounds(0, np.inf),
        integrality=np.ones(len(cost)), options={"time_limit": _LONGEST, "mip_rel_gap": gap},
    )  # fmt: skip
    if found.x is None and found.status == _OUT_OF_TIME:
        raise TooLarge
    return None if found.x is None else np.asarray(np.round(found.x))
