"""Two engines that know nothing of each other decide alike: ours, and Cedar with the same agreements compiled."""

from __future__ import annotations

from random import Random

import pytest

pytest.importorskip("cedarpy", reason="the second engine is not installed: pip install cedarpy")

from benchmarks.cedar_engine import CedarEngine
from benchmarks.decisions import compare
from benchmarks.random_requests import random_governance, random_requests
from governance import decide as engine
from governance.decide import decide, terms_of

REQUESTS = 4_000


def test_both_engines_agree_on_random_requests_of_every_kind() -> None:
    reasons, apart = compare(REQUESTS, seed=11, worlds=20)
    assert apart == 0
    assert reasons["allowed"] > REQUESTS / 25
    wanted = {"R01", "R02", "R03", "R04", "R05", "R06", "R07", "R09", "R10", "R11", "R13", "R14", "R15", "R19"}
    assert wanted <= set(reasons)


@pytest.mark.parametrize("clause", range(len(engine._CLAUSES)))
def test_the_second_engine_notices_when_any_clause_of_ours_is_left_out(
    clause: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_CLAUSES", engine._CLAUSES[:clause] + engine._CLAUSES[clause + 1 :])
    random, apart = Random(5), 0
    for _ in range(400):
        governance, policy = random_governance(random)
        terms, second = terms_of(governance, policy), CedarEngine(governance, policy)
        asked = random_requests(random, governance, policy, 40)
        wrong = [request for request in asked if decide(terms, request).allowed]
        apart += second.allowed(wrong).count(False) if wrong else 0
        if apart:
            break
    assert apart


def test_the_second_engine_refuses_what_lacks_an_attribute() -> None:
    random = Random(3)
    governance, policy = random_governance(random)
    second = CedarEngine(governance, policy)
    asked = random_requests(random, governance, policy, 300)
    lacking = [request for request in asked if any(value is None for value in vars(request).values())]
    assert lacking and not any(second.allowed(lacking))
