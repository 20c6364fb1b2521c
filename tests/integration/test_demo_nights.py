"""A small demo county goes the whole way into a record, and every planted accident ends where it must."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.showing import Shown, show_county
from flows.night import run_night
from record.reader import open_record
from store.ledger import account, extract, open_ledger

REASONS = {
    "ragged": "ragged",
    "orphan": "orphan",
    "exact_copy": "exact_copy",
    "delete_unknown_key": "delete_unknown_key",
    "sealed": "sealed",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def shown(home: Path) -> Shown:
    return show_county(
        home, persons=600, days=2, seed=4, progress=lambda _line: None, run_night=lambda at, now: run_night(at, now=now)
    )


def rows_by_reason(home: Path) -> Counter[tuple[str, str, str]]:
    ledger = open_ledger(home / "ledger.db")
    query = sa.select(extract.c.agency, extract.c.name, account.c.reason, account.c.rows).join(
        account, account.c.extract_id == extract.c.extract_id
    )
    with ledger.reading() as connection:
        counted: Counter[tuple[str, str, str]] = Counter()
        for agency, name, reason, rows in connection.execute(query):
            counted[agency, name, reason] += rows
    ledger.close()
    return counted


def test_every_night_ends_well_and_publishes(shown: Shown) -> None:
    assert [(night.failures, night.held) for night in shown.nights] == [((), ()), ((), ())]
    assert shown.nights[-1].published


def test_every_planted_accident_ends_where_it_must(shown: Shown, home: Path) -> None:
    counted = rows_by_reason(home)
    planted: Counter[tuple[str, str, str]] = Counter()
    for sent in json.loads((home / "demo" / "county" / "truth" / "expected.json").read_text())["arrivals"]:
        for kind, rows in sent["accidents"].items():
            if kind in REASONS and sent["fate"] == "loaded":
                planted[sent["agency"], sent["name"], REASONS[kind]] += rows
    assert {place: counted[place] for place in planted} == dict(planted)
    ours = {place for place in counted if place[2] not in ("", "unchanged")}
    assert ours == set(planted)


def test_the_linked_persons_are_right(shown: Shown) -> None:
    assert shown.summary is not None
    overall = shown.summary.scores[0]
    assert overall.true > 100
    assert overall.precision >= 0.995
    assert overall.recall >= 0.8


def test_no_reporter_and_no_sealed_case_stands_in_the_record(shown: Shown, home: Path) -> None:
    record = open_record(home)
    cases = {row["case_ref"] for row in record.table("case").to_arrow().to_pylist()}
    ledger = open_ledger(home / "ledger.db")
    with ledger.reading() as connection:
        sealed = {ref for (ref,) in connection.execute(sa.text("SELECT ref FROM order_"))}
    ledger.close()
    assert sealed
    assert not sealed & cases
    for path in sorted((home / "record").rglob("*.parquet")):
        assert b"REPORTER " not in path.read_bytes(), path.name


def test_the_text_names_what_lies_where(shown: Shown, home: Path) -> None:
    for told in ("600 people", "demo_schools", "delete_unknown_key", str(home), "person_truth.csv"):
        assert told in shown.text
