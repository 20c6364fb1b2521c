"""What the documents of a release tell of small groups."""

import pytest

from releases.documents import _without_small


@pytest.mark.parametrize(
    ("persons", "hidden"),
    [
        ({"F": 40, "M": 30}, set()),
        ({"F": 40, "M": 30, "X": 3}, {"X", "M"}),
        ({"F": 40, "M": 30, "X": 1, "not known": 1}, {"X", "not known", "M"}),
        ({"F": 40, "M": 30, "X": 6, "not known": 7}, {"X", "not known"}),
    ],
)
def test_what_is_left_of_a_total_tells_no_small_group(persons: dict[str, int], hidden: set[str]) -> None:
    rows = [{"by": "sex", "group": group, "persons": n} for group, n in persons.items()]
    told = _without_small(rows, 11)
    assert {row["group"] for row in told if row["suppressed"]} == hidden
    assert all("persons" not in row for row in told if row["suppressed"])
