"""A table that shows no relatives asks for less of a link; one that shows some, or is small, does not."""

from __future__ import annotations

import numpy as np
import pytest

from linkage.families import EXPECTED, MOST, bits_without_families


@pytest.mark.parametrize(
    ("persons", "relatives", "shows_none"),
    [
        (6_000, 0, True),
        (6_000, 200, False),  # one pair in thirty is a twin or a sibling
        (60_000, 1_500, False),
        (30, 0, False),  # too few pairs to say so
        (0, 0, False),
        (100, 3_000, False),
    ],
)
def test_only_a_table_without_relatives_asks_for_less(persons: int, relatives: int, shows_none: bool) -> None:
    own = np.concatenate([np.full(persons, 12.0), np.full(relatives, -7.5)])
    assert (bits_without_families(own) > 0) is shows_none


def test_misspelt_names_are_no_relatives() -> None:
    own = np.concatenate([np.full(6_000, 12.0), np.full(500, 2.0), np.full(60, -2.0)])
    assert 0 < bits_without_families(own) <= MOST


def test_more_pairs_say_it_more_surely_up_to_a_bound() -> None:
    told = [bits_without_families(np.full(pairs, 12.0)) for pairs in (100, 1_000, 10_000, 1_000_000)]
    assert told == sorted(told)
    assert told[-1] == MOST
    assert told[0] < EXPECTED
