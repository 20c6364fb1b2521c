"""Whether a table holds families at all: the guard expects twins, siblings and parents; a table without any, such as
a register of members, need not pay for them in links that are missed.

Of the pairs that are no strangers (their weight reaches a link) each is one person or two relatives. The guard's `own`
evidence tells how much likelier the first makes what is seen; the share of persons among them is the one that makes
all of it likeliest: expectation maximisation for a mixture of two known parts, one pair of each counted beforehand.
"""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from linkage.index import LinkIndex
from linkage.pairs import PairRules, own_evidence

EXPECTED = 6.0
"""Bits for one person that a table of families shows; sets with households and twins have 6 and less."""
RELEASED = 2.6
"""From here on a pair at the guard's threshold is one person with odds of 2^7.6, which is 0.995."""
MOST = 10.0
"""No table is believed to be without families by more."""
CLIP = 12.0
ROUNDS = 200


def bits_without_families(own: npt.NDArray[np.float64]) -> float:
    """Bits by which pairs with this evidence hold fewer relatives than a table of families; 0 where they do not.

    Args:
        own: log2 odds of one person against two relatives, by pair, before their shares are known.
    """
    ratio = 2.0 ** np.clip(own, -CLIP, CLIP)
    persons = 0.5
    for _ in range(ROUNDS):
        odds = persons * ratio
        persons = (float(np.sum(odds / (odds + 1 - persons))) + 1) / (len(own) + 2)
    bits = float(np.log2(persons / (1 - persons)))
    return max(0.0, min(2 * (bits - EXPECTED), bits - RELEASED, MOST))


def no_families(con: duckdb.DuckDBPyConnection, index: LinkIndex, how: PairRules, *, least_weight: float) -> float:
    """The same of all pairs of an index whose weight reaches a link."""
    found = [np.zeros(0)]
    for edges in index.edges.in_force():
        strong = pc.and_(edges["blocked"], pc.greater_equal(edges["weight"], least_weight))
        found.append(own_evidence(con, index.mentions, edges.filter(strong), how))
    return bits_without_families(np.concatenate(found))
