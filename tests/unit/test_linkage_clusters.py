"""Clusters: the strongest links first, and never two records that must stay apart."""

from __future__ import annotations

from linkage.clusters import components, merge_in_order


def test_linked_records_are_one_component() -> None:
    assert components([(1, 2), (2, 3), (8, 9)]) == {1: 1, 2: 1, 3: 1, 8: 8, 9: 8}


def test_the_stronger_of_two_links_that_exclude_each_other_wins() -> None:
    # 2 fits 1 better than 3, and 1 and 3 are twins.
    assert merge_in_order([(1, 2), (2, 3)], [(1, 3)], most=10) == {1: 1, 2: 1, 3: 3}


def test_a_veto_between_any_two_members_refuses_the_merge() -> None:
    links = [(1, 2), (3, 4), (2, 3)]
    assert merge_in_order(links, [(1, 4)], most=10) == {1: 1, 2: 1, 3: 3, 4: 3}


def test_without_a_veto_all_links_are_merged() -> None:
    assert set(merge_in_order([(1, 2), (3, 4), (2, 3)], [], most=10).values()) == {1}


def test_a_cluster_never_grows_past_its_bound() -> None:
    assert merge_in_order([(1, 2), (3, 4), (2, 3)], [], most=3) == {1: 1, 2: 1, 3: 3, 4: 3}
