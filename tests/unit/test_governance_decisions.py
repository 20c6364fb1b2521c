"""Decisions over tables: what nobody agreed on does not go out, cell by cell, and every refusal has a reason."""

from __future__ import annotations

from pathlib import Path

from governed import world


def test_what_the_policy_asks_and_the_agreement_allows_goes_out(tmp_path: Path) -> None:
    rows, decided = world(tmp_path).decide("enrollment")
    assert sorted(row["person_id"] for row in rows) == ["p-ANA", "p-BEN"]
    assert {row["school_id"] for row in rows} == {"7"}
    assert decided.refusals == () and decided.allowed_cells == 8
