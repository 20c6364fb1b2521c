"""Precision and recall without a truth: pairs drawn by weight for persons to judge, and what their words come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from linkage.register import Judgement, State, Verdict
from standard.errors import LinkageError
from store import ledger as tables
from store.home import literal, peek
from store.ledger import Ledger, now

BANDS = (0, 3, 6, 10, 15, 20)
"""Weights (log2 odds) between the strata."""
CERTAINTY = 1.96  # of the interval, in standard deviations: 95 %


@dataclass(frozen=True)
class SampledPair:
    """A pair drawn for judging, from a stratum of so many pairs."""

    sample_id: str
    record_l: str
    record_r: str
    stratum: str
    pairs: int
    joined: bool


@dataclass(frozen=True)
class Estimate:
    """A figure estimated from judged pairs with its 95 % interval.

    `precision` is the share of the pairs within persons that are right, `recall` the share of the true pairs within
    persons among those that were compared and kept (from the review weight on); what no key brought together is not
    in it.
    """

    figure: str
    value: float
    low: float
    high: float
    judged: int
    drawn: int
    sample_id: str


def draw_sample(ledger: Ledger, links: Path, number: int, *, seed: int = 1) -> list[SampledPair]:
    """Draws pairs of the links for judging and notes them in the ledger; the same links and seed draw the same pairs.

    Every stratum (joined or not, by weight) gives the same number as far as it has so many, so that the rare and the
    doubtful are judged, too; the sizes of the strata weigh them again in the estimate.

    Args:
        ledger: The control plane.
        links: Folder of the links (edges.parquet, persons.parquet).
        number: Pairs to draw.
        seed: Another seed, other pairs.

    Raises:
        LinkageError: There are no pairs.
    """
    sizes = dict(peek().execute(f"SELECT stratum, count(*) FROM ({_strata(links)}) GROUP BY 1 ORDER BY 1").fetchall())
    if not sizes:
        raise LinkageError("there are no compared pairs to draw from", where=str(links), mend="link first: kith run")
    shares = _shared_out(number, sizes)
    wanted = " OR ".join(f"(stratum = {literal(name)} AND place <= {share})" for name, share in shares.items())
    rows = (
        peek()
        .execute(
            f"""SELECT record_l, record_r, stratum, joined FROM (
            SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY md5(concat_ws('|', {seed}, record_l, record_r)))
            AS place FROM ({_strata(links)})) WHERE {wanted} ORDER BY md5(concat_ws('|', {seed}, record_l, record_r))"""
        )
        .fetchall()
    )
    sample_id = f"{links.name[:12]}-{number}-{seed}"
    drawn = [SampledPair(sample_id, left, right, name, sizes[name], joined) for left, right, name, joined in rows]
    _note(ledger, drawn, links)
    return drawn


def _strata(links: Path) -> str:
    """SQL of the pairs with their stratum: within a person or not, and between which weights."""
    bands = " ".join(f"WHEN e.weight < {to} THEN 'below {to}'" for to in BANDS)
    band = f"CASE {bands} ELSE 'from {BANDS[-1]}' END"
    persons = f"read_parquet({literal(links / 'persons.parquet')})"
    return f"""SELECT e.record_l, e.record_r, l.person_id = r.person_id AS joined,
        CASE WHEN l.person_id = r.person_id THEN 'joined, ' ELSE 'not joined, ' END || {band} AS stratum
        FROM read_parquet({literal(links / "edges.parquet")}) e
        JOIN {persons} l ON l.record_id = e.record_l JOIN {persons} r ON r.record_id = e.record_r
        WHERE e.weight IS NOT NULL"""


def _shared_out(number: int, sizes: dict[str, int]) -> dict[str, int]:
    """The same number to each stratum; what a small one cannot give, the others do."""
    left, shares = number, {}
    for place, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(size, left // (len(sizes) - place))
        left -= shares[name]
    return shares


def _note(ledger: Ledger, drawn: Sequence[SampledPair], links: Path) -> None:
    s = tables.sampled_pair
    with ledger.writing() as connection:
        if drawn and connection.execute(sa.select(s.c.stratum).where(s.c.sample_id == drawn[0].sample_id)).first():
            return
        connection.execute(s.insert(), [{**vars(pair), "links": links.name, "drawn_at": now()} for pair in drawn])


def read_sample(ledger: Ledger, sample_id: str | None = None) -> list[SampledPair]:
    """The pairs of a sample, the newest where none is named; empty where none was drawn."""
    s = tables.sampled_pair
    newest = sa.select(s.c.sample_id).order_by(s.c.drawn_at.desc(), s.c.sample_id.desc()).limit(1).scalar_subquery()
    columns = (s.c.sample_id, s.c.record_l, s.c.record_r, s.c.stratum, s.c.pairs, s.c.joined)
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(*columns).where(s.c.sample_id == (sample_id or newest))).mappings().all()
    return [SampledPair(**row) for row in rows]


def estimate(ledger: Ledger, judgements: Iterable[Judgement], sample_id: str | None = None) -> list[Estimate]:
    """The figures of a sample (the newest where none is named) by what is in force; [] where nothing is judged yet."""
    said = {j.pair: j.verdict is Verdict.SAME for j in judgements if j.state is State.IN_FORCE}
    return estimate_from(read_sample(ledger, sample_id), said)


def estimate_from(sample: Sequence[SampledPair], said: Mapping[tuple[str, str], bool]) -> list[Estimate]:
    """Precision and recall of the links a sample was drawn from; [] where none of its pairs was judged.

    The strata are weighed by their size (Horvitz-Thompson); the interval is Wilson's at the effective size of the
    sample, so that it has a width also where all judged pairs were right. A stratum of which nothing is judged yet
    counts as if half of it were right, at the width of one pair.

    Args:
        sample: The pairs drawn.
        said: Pair (record_l < record_r) -> whether it was judged to be the same person.
    """
    strata: dict[str, _Stratum] = {}
    for pair in sample:
        stratum = strata.setdefault(pair.stratum, _Stratum(pair.pairs, pair.joined))
        stratum.note(said.get((min(pair.record_l, pair.record_r), max(pair.record_l, pair.record_r))))
    judged = sum(s.judged for s in strata.values())
    if not judged:
        return []
    joined = [s for s in strata.values() if s.joined]
    missed = [s for s in strata.values() if not s.joined]
    figures = {"precision": _precision(joined), "recall": _recall(joined, missed)}
    return [Estimate(name, *figure, judged, len(sample), sample[0].sample_id) for name, figure in figures.items()]


@dataclass
class _Stratum:
    """So many pairs, of which some were judged and some of these to be the same."""

    pairs: int
    joined: bool
    judged: int = 0
    same: int = 0

    def note(self, same: bool | None) -> None:
        if same is not None:
            self.judged += 1
            self.same += same

    @property
    def true(self) -> float:
        """Estimated pairs that are the same person."""
        return self.pairs * (self.same / self.judged if self.judged else 0.5)

    @property
    def smoothed(self) -> float:
        """The same drawn towards the middle, so that no stratum counts as known from a few pairs."""
        return self.pairs * (self.same + 0.5) / (self.judged + 1)

    @property
    def variance(self) -> float:
        share = self.smoothed / self.pairs
        return self.pairs**2 * share * (1 - share) / max(self.judged, 1) * (1 - self.judged / self.pairs)


_Figure = tuple[float, float, float]


def _precision(joined: Sequence[_Stratum]) -> _Figure:
    pairs = sum(s.pairs for s in joined)
    if not pairs:
        return 1.0, 0.0, 1.0
    variance = sum(s.variance for s in joined) / pairs**2
    return _interval(sum(s.true for s in joined) / pairs, sum(s.smoothed for s in joined) / pairs, variance)


def _recall(joined: Sequence[_Stratum], missed: Sequence[_Stratum]) -> _Figure:
    found, lost = (sum(s.true for s in strata) for strata in (joined, missed))
    f, m = (sum(s.smoothed for s in strata) for strata in (joined, missed))
    # The share of a sum in two: its variance by the derivatives after either.
    variance = (m**2 * sum(s.variance for s in joined) + f**2 * sum(s.variance for s in missed)) / (f + m) ** 4
    return _interval(found / (found + lost) if found + lost else 1.0, f / (f + m), variance)


def _interval(value: float, smoothed: float, variance: float) -> _Figure:
    """A share with Wilson's interval at the size of the simple sample that would have this variance."""
    if variance <= 0:
        return value, value, value
    size = smoothed * (1 - smoothed) / variance
    square = CERTAINTY**2
    middle = (value + square / (2 * size)) / (1 + square / size)
    half = CERTAINTY / (1 + square / size) * math.sqrt(value * (1 - value) / size + square / (4 * size**2))
    return value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half))
