"""Precision and recall are estimated from judged pairs, each stratum by its size, with an interval that holds."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkage.link import Links
from linkage.quality import NOT_JUDGED, linkage_quality
from linkage.register import Verdict, read_judgements, record_judgement
from linkage.sampling import Estimate, SampledPair, draw_sample, estimate_from, read_sample
from standard.errors import LinkageError
from store.ledger import Ledger, open_ledger
from tests.linkage_tables import linked, person


def sampled(stratum: str, pairs: int, *same: bool, joined: bool) -> list[tuple[SampledPair, bool]]:
    """Judged pairs of one stratum."""
    return [
        (SampledPair("s", f"{stratum}/{n}", f"{stratum}/{n}'", stratum, pairs, joined), verdict)
        for n, verdict in enumerate(same)
    ]


def figures(*pairs: tuple[SampledPair, bool]) -> dict[str, Estimate]:
    said = {(pair.record_l, pair.record_r): verdict for pair, verdict in pairs}
    return {found.figure: found for found in estimate_from([pair for pair, _ in pairs], said)}


def test_a_large_stratum_weighs_more_than_a_small_one_judged_as_often() -> None:
    found = figures(
        *sampled("strong", 900, True, True, True, True, joined=True),
        *sampled("weak", 100, True, True, False, False, joined=True),
        *sampled("held", 50, True, False, False, False, False, joined=False),
    )
    assert found["precision"].value == pytest.approx(0.95)
    assert found["recall"].value == pytest.approx(950 / 960)
    assert found["precision"].low < 0.95 < found["precision"].high


def test_a_sample_without_an_error_still_leaves_room_for_one() -> None:
    found = figures(*sampled("strong", 1000, *[True] * 30, joined=True))
    assert found["precision"].value == found["precision"].high == 1 and 0.85 < found["precision"].low < 0.95


def test_a_stratum_judged_whole_is_known() -> None:
    found = figures(*sampled("all", 4, True, True, True, False, joined=True))["precision"]
    assert (found.low, found.value, found.high) == (0.75, 0.75, 0.75)


def test_what_is_not_judged_yet_widens_the_interval() -> None:
    some = sampled("strong", 500, *[True] * 20, joined=True)
    unknown = SampledPair("s", "a", "b", "weak", 500, True)
    said = {(pair.record_l, pair.record_r): verdict for pair, verdict in some}
    found = estimate_from([pair for pair, _ in some] + [unknown], said)[0]
    assert found.low < 0.6 and (found.judged, found.drawn) == (20, 21)


def test_nothing_judged_is_no_estimate() -> None:
    assert estimate_from([SampledPair("s", "a", "b", "weak", 5, True)], {}) == []


def test_the_interval_holds_the_truth_about_nineteen_times_in_twenty() -> None:
    rng, held = random.Random(7), 0
    shares = {"strong": (20_000, 0.998, True), "weak": (2_000, 0.93, True), "held": (1_500, 0.3, False)}
    truth = (20_000 * 0.998 + 2_000 * 0.93) / 22_000
    for _ in range(300):
        pairs = [
            pair
            for name, (size, share, joined) in shares.items()
            for pair in sampled(name, size, *(rng.random() < share for _ in range(60)), joined=joined)
        ]
        found = figures(*pairs)["precision"]
        held += found.low <= truth <= found.high
    assert held / 300 >= 0.93


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Links:
    names = ["Ottilie Brankovic", "Hollis Vandermolen", "Ansel Quist", "Della Orr", "Ivo Szabo", "Nell Achebe"]
    rows = [
        person(f"{agency}/{n}", name, f"2012-03-{n + 1:02}", home=f"{n + 1} Alder St")
        for n, name in enumerate(names)
        for agency in ("school", "court")
    ]
    return linked(rows, tmp_path_factory.mktemp("sampling"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


def test_the_same_links_and_seed_draw_the_same_pairs(ledger: Ledger, links: Links) -> None:
    drawn = draw_sample(ledger, links.into, 4)
    assert len(drawn) == 4 and draw_sample(ledger, links.into, 4) == drawn
    assert sorted(read_sample(ledger), key=str) == sorted(drawn, key=str)
    assert draw_sample(ledger, links.into, 4, seed=2)[0].sample_id != drawn[0].sample_id


def test_the_manifest_says_not_judged_yet_until_somebody_judged(ledger: Ledger, links: Links) -> None:
    shutil.copy(links.into.parent / "people.parquet", links.into)
    assert linkage_quality(links.into, ledger, [])["estimates"] == NOT_JUDGED
    pair = draw_sample(ledger, links.into, 6)[0]
    record_judgement(ledger, (pair.record_l, pair.record_r), Verdict.SAME, who="ada", why="compared")
    said = linkage_quality(links.into, ledger, read_judgements(ledger))
    assert [one["figure"] for one in said["estimates"]] == ["precision", "recall"]
    assert said["judgements"] == {"same": 1, "different": 0, "pending": 0}
    assert sum(pairs["link"] for pairs in said["decisions"]) == said["linked"] == 6
    assert {(p["source_l"], p["source_r"]) for p in said["decisions"]} == {("court", "school")}


def test_links_without_pairs_cannot_be_sampled(ledger: Ledger, tmp_path: Path) -> None:
    alone = linked([person("school/1", "Mia Orr", "2012-03-04")], tmp_path)
    with pytest.raises(LinkageError, match="no compared pairs"):
        draw_sample(ledger, alone.into, 5)
