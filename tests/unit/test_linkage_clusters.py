"""Clusters: judgements first, then the strongest links, never two records that must stay apart, never a mere chain."""

from __future__ import annotations

import random

import numpy as np
import pytest

from linkage.clusters import OVERSIZED, PARTED, STRETCHED, UNSUPPORTED, ComparedPair, components, settle
from standard.errors import LinkageError


def pair(left: int, right: int, speaks: float | None = 12.0, **more: bool) -> ComparedPair:
    """A link, unless it is kept apart or says little."""
    linked = not more.get("apart", False) and speaks is not None and speaks > 10
    return ComparedPair((left, right), speaks, **{"linked": linked, **more})


def clusters(*pairs: ComparedPair, most: int = 10) -> dict[int, int]:
    return settle(pairs, most=most).cluster


def test_linked_records_are_one_component() -> None:
    nodes, labels = components(np.array([(2, 3), (9, 8), (1, 2)]))
    assert dict(zip(nodes.tolist(), labels.tolist(), strict=True)) == {1: 1, 2: 1, 3: 1, 8: 8, 9: 8}


def test_a_long_chain_is_one_component_whatever_its_order() -> None:
    chain = [(n, n + 1) for n in range(500)]
    random.Random(1).shuffle(chain)
    nodes, labels = components(np.array(chain))
    assert len(nodes) == 501 and set(labels.tolist()) == {0}


def test_no_link_makes_no_component() -> None:
    nodes, labels = components(np.empty((0, 2), np.int32))
    assert len(nodes) == len(labels) == 0


def test_the_stronger_of_two_links_that_exclude_each_other_wins() -> None:
    # 2 fits 1 better than 3, and 1 and 3 are twins.
    found = settle([pair(1, 2), pair(2, 3), pair(1, 3, apart=True)], most=10)
    assert found.cluster == {1: 1, 2: 1, 3: 3} and found.held == {(2, 3): PARTED}


def test_a_pair_to_be_kept_apart_between_any_two_members_refuses_the_merge() -> None:
    assert clusters(pair(1, 2), pair(3, 4), pair(2, 3), pair(1, 4, apart=True)) == {1: 1, 2: 1, 3: 3, 4: 3}


def test_a_cluster_never_grows_past_its_bound() -> None:
    found = settle([pair(1, 2), pair(3, 4), pair(2, 3)], most=3)
    assert found.cluster == {1: 1, 2: 1, 3: 3, 4: 3} and found.held == {(2, 3): OVERSIZED}


def test_one_link_does_not_join_two_clusters_that_otherwise_disagree() -> None:
    against = [pair(1, 3, -9.0), pair(1, 4, -9.0), pair(2, 4, -9.0)]
    found = settle([pair(1, 2), pair(3, 4), pair(2, 3), *against], most=10)
    assert found.cluster == {1: 1, 2: 1, 3: 3, 4: 3} and found.held == {(2, 3): UNSUPPORTED}


def test_one_link_beside_a_single_pair_that_speaks_against_it_is_not_enough() -> None:
    found = settle([pair(1, 2), pair(3, 4), pair(2, 3), pair(1, 4, -1.0), pair(1, 3, 2.0), pair(2, 4, 2.0)], most=10)
    assert found.held == {(2, 3): UNSUPPORTED}


def test_pairs_that_say_nothing_do_not_hinder_a_link() -> None:
    assert set(clusters(pair(1, 2), pair(3, 4), pair(2, 3), pair(1, 4, 0.0)).values()) == {1}


def test_a_chain_whose_ends_hardly_touch_is_not_one_cluster() -> None:
    found = settle([pair(n, n + 1) for n in range(5)], most=10)
    assert found.cluster == {0: 0, 1: 0, 2: 0, 3: 0, 4: 4, 5: 4} and found.held == {(3, 4): STRETCHED}


def test_what_an_agency_states_needs_no_support_but_overrules_nothing_that_keeps_apart() -> None:
    assert clusters(pair(1, 2, stated=True), pair(2, 3), pair(1, 3, -20.0))[1] == 1
    assert clusters(pair(1, 2), pair(2, 3, stated=True), pair(1, 3, apart=True)) == {1: 1, 2: 1, 3: 3}


def test_a_judgement_joins_what_the_guard_would_keep_apart() -> None:
    pairs = [pair(2, 3, -5.0, linked=True, judged=True), pair(1, 2), pair(3, 4), pair(1, 4, apart=True)]
    assert clusters(*pairs) == {1: 1, 2: 1, 3: 1, 4: 4}  # 4 would bring 1 and 4 together


def test_a_judgement_is_not_bound_by_the_size_of_a_cluster() -> None:
    pairs = [pair(1, 2, linked=True, judged=True), pair(2, 3, linked=True, judged=True)]
    assert set(clusters(*pairs, most=2).values()) == {1}


def test_records_judged_to_be_different_share_no_cluster() -> None:
    assert clusters(pair(1, 2), pair(2, 3), pair(1, 3, apart=True, judged=False)) == {1: 1, 2: 1, 3: 3}


def test_judgements_that_contradict_each_other_are_an_error() -> None:
    same = [pair(1, 2, linked=True, judged=True), pair(2, 3, linked=True, judged=True)]
    with pytest.raises(LinkageError, match="contradict"):
        settle([*same, pair(1, 3, apart=True, judged=False)], most=10)
