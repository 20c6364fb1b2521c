"""The seal index: marks are HMACs of what an order names, however it is written; a lifted order means nothing."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from governance.sealing import lift_order
from standard.errors import DeclarationError
from store.home import Home, connect
from store.ledger import now, open_ledger, order_
from store.registers import seal_mark
from store.seal_index import OF_FEEDS, add_marks, hmac_sql, marks_of, read_index, seal_secret

REF, DAY = "court/cases/C1", date(2026, 9, 7)


def test_a_mark_is_the_hmac_of_the_text_and_the_same_for_every_way_to_write_the_key() -> None:
    secret = bytes(range(32))
    with connect() as con:
        [(mark,)] = con.execute(f"SELECT {hmac_sql(secret, 'x')} FROM (SELECT 'zoé/1' AS x)").fetchall()
    assert mark == hmac.new(secret, "zoé/1".encode(), hashlib.sha256).hexdigest()
    told = marks_of(secret, ["a/t/007-x|01", "a/t/7X|1", "A/T/ 007 x|1", "a/t/7x|10", "a/u/7x|1"])
    assert len({mark for mark, _ in list(told.values())[:3]}) == 1
    assert len({mark for mark, _ in told.values()}) == 3
    assert len({exact for _, exact in told.values()}) == 5


def test_without_its_secret_no_index_is_read_and_none_is_made_in_its_place(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    ledger = open_ledger(home.ledger_file)
    assert read_index(ledger, home.keys, on=DAY) is None
    mark, exact = marks_of(seal_secret(home.keys, make=True), [REF])[REF]
    with ledger.writing() as connection:
        add_marks(connection, [{"mark": mark, "exact": exact, "place": "court/cases", "what": "key",
                                "reason": "sealed", "order_id": OF_FEEDS}])  # fmt: skip
    (home.keys / "seal").chmod(0o640)
    with pytest.raises(DeclarationError, match="can be read by others"):
        read_index(ledger, home.keys, on=DAY)
    (home.keys / "seal").unlink()
    with pytest.raises(DeclarationError, match="is not there"):
        read_index(ledger, home.keys, on=DAY)


def test_the_order_of_a_feed_that_came_with_a_backup_stays_lifted(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    ledger = open_ledger(home.ledger_file)
    mark, exact = marks_of(seal_secret(home.keys, make=True), [REF])[REF]
    with ledger.writing() as connection:
        add_marks(connection, [{"mark": mark, "exact": exact, "place": "court/cases", "what": "key",
                                "reason": "sealed", "order_id": OF_FEEDS}])  # fmt: skip
        connection.execute(order_.insert().values(ref=REF, reason="sealed", since_extract="order:feeds", arrived=True,
                                                  recorded_at=now()))  # fmt: skip
    assert read_index(ledger, home.keys, on=DAY) is not None
    assert lift_order(home, ledger, REF, why="28-JV-1", by="clerk", parties=None)
    assert read_index(ledger, home.keys, on=DAY) is None
    with ledger.reading() as connection:
        assert connection.execute(sa.select(seal_mark)).first() is not None  # what was once an order is not unsaid
