"""The days of the synthetic county: one delivery each Monday, police files each night, and what had happened before."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Dates = NDArray[np.datetime64]

FIRST_DELIVERY = dt.date(2026, 1, 26)
SCHOOL_START = dt.date(2025, 8, 25)
HISTORY_DAYS = 560


@dataclass(frozen=True)
class Calendar:
    """When the agencies deliver.

    Args:
        days: Number of deliveries; delivery i is the Monday FIRST_DELIVERY + 7 (i - 1).
    """

    days: int

    @property
    def deliveries(self) -> range:
        """The numbers of the deliveries, 1 first."""
        return range(1, self.days + 1)

    def date(self, delivery: int) -> dt.date:
        """The day of a delivery."""
        return FIRST_DELIVERY + dt.timedelta(days=7 * (delivery - 1))

    @property
    def first(self) -> np.datetime64:
        """The first day of which the agencies still tell."""
        return np.datetime64(FIRST_DELIVERY) - HISTORY_DAYS

    @property
    def last(self) -> np.datetime64:
        """The day of the last delivery."""
        return np.datetime64(self.date(self.days))

    def moments(self, size: int, rng: np.random.Generator, *, since: np.datetime64 | None = None) -> Dates:
        """Days drawn evenly between `since` (default: the first) and the day before the last delivery."""
        start = self.first if since is None else since
        span = int((self.last - start).astype(int))
        return start + rng.integers(0, span, size).astype("timedelta64[D]")

    def nights(self, delivery: int) -> list[dt.date]:
        """The nights whose files a delivery brings: seven, on the first delivery only its own."""
        day = self.date(delivery)
        return [day - dt.timedelta(days=n) for n in range(6 if delivery > 1 else 0, -1, -1)]


def school_days(until: dt.date) -> Dates:
    """The days of the school year up to a day (Monday to Friday, without the winter break)."""
    days = np.arange(np.datetime64(SCHOOL_START), np.datetime64(until))
    break_ = (days >= np.datetime64("2025-12-22")) & (days <= np.datetime64("2026-01-02"))
    return days[np.is_busday(days) & ~break_]
