"""No hidden cell can be worked out: of one table, of linked tables, of tables that went out one after the other."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.suppression import measure, narrow, only_small, publish, random_case
from releases.suppression import Asked, Earlier, Key, NotProtectable, TooLarge, hide

Grid = dict[tuple[str, ...], int]


def hidden(grid: Grid, dims: str = "ab", *, before: tuple[Earlier, ...] = ()) -> frozenset[Key]:
    asked = Asked(tuple(dims), tuple(dims), grid)
    return hide(asked, [key for key, count in asked.counts().items() if count < 11], width=10, before=before)


def test_an_independent_auditor_works_out_no_hidden_cell_of_random_tables() -> None:
    told = measure(14, seed=42)
    assert told["determinable"] == 0
    assert told["small"] > 50 and told["hidden"] < told["cells"] and told["refused"] < told["sheets"]


def test_the_auditor_finds_what_is_worked_out_where_only_small_cells_are_hidden() -> None:
    random, leaky = Random(3), 0
    for _ in range(8):
        case = random_case(random)
        only_small(case)
        leaky += bool(narrow(case))
    assert leaky >= 4


def test_a_table_without_small_cells_is_shown_whole() -> None:
    assert hidden({("x", "1"): 20, ("x", "2"): 30, ("y", "1"): 40, ("y", "2"): 50}) == frozenset()


def test_a_small_cell_takes_one_of_its_line_one_of_its_column_and_their_crossing_along() -> None:
    grid = {(a, b): 40 for a in "xyz" for b in "123"} | {("x", "1"): 4, ("y", "2"): 20, ("x", "2"): 21, ("y", "1"): 22}
    found = hidden(grid)
    assert ("x", "1") in found
    assert sum(None not in key for key in found) == 4 and len(found) == 4


def test_a_single_value_beside_its_total_hides_the_total_too() -> None:
    assert hidden({("x",): 4, ("y",): 50}, "a") >= {("x",), ("y",)}


def test_a_small_total_leaves_nothing_to_show() -> None:
    grid = {("x",): 3, ("y",): 4}
    assert hidden(grid, "a") == {("x",), ("y",), (None,)}


def test_what_was_shown_before_is_not_hidden_now_in_vain() -> None:
    grid = {("x", "1"): 4, ("x", "2"): 30, ("y", "1"): 30, ("y", "2"): 30}
    before = Earlier(("a", "b"), {("y", "1"): 30, ("x", "2"): 30, ("y", "2"): 30, (None, None): 94})
    with pytest.raises(NotProtectable):
        hidden(grid, before=(before,))


def test_two_cells_of_a_total_that_is_known_are_refused_where_it_leaves_them_too_little_room() -> None:
    by_a = Earlier(("a",), {("x",): 11, ("y",): 60, (None,): 71})
    with pytest.raises(NotProtectable):
        hidden({("x", "1"): 7, ("x", "2"): 4, ("y", "1"): 30, ("y", "2"): 30}, before=(by_a,))


def test_what_changed_since_tells_nothing_of_today() -> None:
    grid = {("x", "1"): 4, ("x", "2"): 30, ("y", "1"): 30, ("y", "2"): 30}
    everything = frozenset(grid)
    before = Earlier(("a", "b"), {("x", "1"): 12, ("x", "2"): 30, ("y", "1"): 30, ("y", "2"): 30}, everything)
    assert ("x", "1") in hidden(grid, before=(before,))


def test_a_total_that_another_table_shows_is_held_against_this_one() -> None:
    grid = {(a, b): 30 for a in "xyz" for b in "12"} | {("x", "1"): 4}
    by_a = Earlier(("a",), {("x",): 34, ("y",): 60, ("z",): 60, (None,): 154})
    found = hidden(grid, before=(by_a,))
    assert {("x", "1"), ("x", "2")} <= found
    for line in "xyz":
        assert sum((line, b) in found for b in "12") != 1


def test_more_combinations_than_can_be_audited_are_refused() -> None:
    grid = {(str(n), str(n), str(n)): 4 for n in range(40)}
    with pytest.raises(TooLarge):
        hidden(grid, "abc")


def test_the_same_table_hides_the_same_cells() -> None:
    case = random_case(Random(8))
    again = random_case(Random(8))
    publish(case)
    publish(again)
    assert [sheet.cells for sheet in case.sheets] == [sheet.cells for sheet in again.sheets]
