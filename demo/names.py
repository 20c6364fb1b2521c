"""The names people of the synthetic county bear: everyday given names and their short forms, surnames of syllables."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Text = NDArray[np.object_]

_WORDS = Path(__file__).parent / "words"
_STREET_KINDS = np.array(["St", "Ave", "Rd", "Ln", "Dr", "Ct"], dtype=object)


@cache
def given_names(sex: str) -> tuple[Text, Text]:
    """The given names of a sex (F or M), most frequent first, and the short form of each ('' where it has none)."""
    names = pd.read_csv(_WORDS / "given_names.csv", dtype=str, keep_default_na=False)
    chosen = names[names["sex"] == sex]
    order = np.random.default_rng(len(chosen)).permutation(len(chosen))
    return chosen["name"].to_numpy(dtype=object)[order], chosen["short"].to_numpy(dtype=object)[order]


@cache
def surnames(count: int = 20_000) -> Text:
    """Made-up surnames, most frequent first."""
    syllables = (
        pd.read_csv(_WORDS / "syllables.csv", dtype=str, keep_default_na=False).groupby("place")["syllable"].agg(list)
    )
    made = {
        (start + middle + end).capitalize()
        for start in syllables["start"]
        for middle in syllables["middle"]
        for end in syllables["end"]
    }
    return np.random.default_rng(1).permutation(np.array(sorted(made), dtype=object))[:count]


@cache
def streets(count: int = 3_000) -> Text:
    """Made-up street names."""
    kinds = _STREET_KINDS[np.random.default_rng(2).integers(0, len(_STREET_KINDS), count)]
    return np.array([f"{name} {kind}" for name, kind in zip(surnames(count), kinds, strict=True)], dtype=object)


def draw(pool: Text, size: int, rng: np.random.Generator, *, slope: float = 0.6) -> NDArray[np.int64]:
    """Positions drawn from a pool in which the n-th name is as frequent as 1/n**slope."""
    weights = 1.0 / np.arange(1, len(pool) + 1) ** slope
    return np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(size)).clip(0, len(pool) - 1)
