"""The key that signs receipts is made once, however many agencies are answered at one time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from store.sign import public_key


def test_agencies_that_are_answered_side_by_side_are_signed_by_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = set(pool.map(public_key, [tmp_path / "keys"] * 32))
    assert len(told) == 1
