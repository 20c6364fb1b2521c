"""Another linkage model as a planned migration: what would merge and split and why, before it is adopted."""

from __future__ import annotations

import sqlalchemy as sa

from store import ledger as tables
from store.ledger import Ledger


def adopted_model(ledger: Ledger) -> str | None:
    """The model the home has adopted last, or None where it adopted none."""
    a = tables.adopted_model
    with ledger.reading() as connection:
        return connection.execute(sa.select(a.c.model).order_by(a.c.adoption_id.desc()).limit(1)).scalar()
