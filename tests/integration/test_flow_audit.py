"""A night tells the audit log what it does, and gives its head to whoever receives something of it."""

from __future__ import annotations

import json
from pathlib import Path

from flows.night import run_night
from record.snapshot import current_snapshot
from store.audit_check import check_log, read_entries
from tests.exchange import MONDAY, small_exchange


def test_a_night_leaves_a_whole_log_whose_head_stands_in_receipts_and_the_snapshot(tmp_path: Path) -> None:
    exchange = small_exchange(tmp_path)
    exchange.put_students()
    result = run_night(exchange.home, now=MONDAY)
    assert result.published
    told = [(entry.event.action, entry.event.decision) for entry in read_entries(exchange.home)]
    assert ("publish", "intent") in told and ("publish", "published") in told
    snapshot = current_snapshot(exchange.home)
    assert snapshot is not None and snapshot.manifest["audit"]["seq"] >= 1
    receipts = [json.loads(path.read_bytes()) for path in exchange.home.receipts.glob("*/*.json")]
    assert receipts and all("audit" in receipt for receipt in receipts)
    found = check_log(exchange.home)
    assert (found.faults, found.open_intents) == ([], {}) and found.witnesses >= 1
