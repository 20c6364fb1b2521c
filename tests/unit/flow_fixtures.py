"""What the tests of flows and commands share: moments, a small home."""

from __future__ import annotations

from datetime import UTC, datetime

NOON = datetime(2026, 9, 7, 12, tzinfo=UTC)
