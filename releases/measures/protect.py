"""Which counts of a measure's answer may be shown: no small one, and none by which a small one could be worked out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from releases.suppression import Asked, Key, NotProtectable, TooLarge, hide
from standard.errors import PublishError
from store.home import quoted


def shown_counts(
    con: duckdb.DuckDBPyConnection, units: str, dims: Sequence[str], *, least: int
) -> Mapping[Key, int | None]:
    """Every count of units by some dimensions that is not zero, totals among them; None where it is hidden.

    This looks at one answer alone. What several answers give away together is for `kith aggregate`, which keeps a
    register of what each recipient has.

    Args:
        con: A connection.
        units: SELECT with person_id and the dimensions.
        dims: The dimensions.
        least: Counts of fewer units, or fewer persons, are small.

    Raises:
        PublishError: The small counts could be worked out whatever else is hidden.
    """
    names = ", ".join(map(quoted, dims))
    query = f"""SELECT {names}, count(*), count(DISTINCT person_id), grouping({names}) = 0
        FROM ({units}) GROUP BY CUBE ({names})"""
    cells = [(tuple(row[:-3]), *row[-3:]) for row in con.execute(query).fetchall()]
    counts: dict[Key, int] = {key: units_ for key, units_, _, _ in cells if units_}
    small = {key for key, units_, persons, _ in cells if 0 < min(units_, persons) < least}
    asked = Asked(tuple(dims), tuple(dims), {key: units_ for key, units_, _, finest in cells if finest})
    try:
        hidden = hide(asked, small, width=max(1, least - 1))
    except NotProtectable:
        raise _unsafe("a small count could be worked out whatever else is hidden") from None
    except TooLarge:
        raise _unsafe("it has so many combinations that they cannot be audited") from None
    return {key: None if key in hidden else count for key, count in counts.items()}


def _unsafe(why: str) -> PublishError:
    return PublishError(
        f"R12: the answer cannot be protected: {why}", where="the dimensions asked for",
        mend="ask by fewer or coarser dimensions",
    )  # fmt: skip
