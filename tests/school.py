"""A school whose files come night by night and whose declarations can be mended; all people are invented."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flows.fetching import fetch_agency
from flows.intake import load_extracts
from flows.night import run_night
from flows.remap import preview, remap_agency
from flows.remap_changes import Changes
from flows.run import open_night
from flows.settings import load_agency_of, load_settings
from mappings.load import Agency
from record.reader import Record, open_record
from store.accounts import require_sums_hold
from store.home import Home, connect, literal
from store.ledger import Ledger, account, extract, open_ledger, order_, row_move
from store.state import current_state
from tests.exchange import MONDAY, SmallExchange

PUPILS = """StudentNo,First,Last,DOB,Sex,Homeroom
004211,Amara,Osei,2013-04-02,1,12B
004212,Teodor,Quillfeather,2015-11-19,2,10A
004213,Ines,Valdrin,2014-02-20,3,11C
"""
FEED = """feed: visits
title: Visits to the school nurse, those that are new or changed
source: drop
arrives: {files: "visits_{as_of:%Y%m%d}.csv"}
format: {kind: delimited, encoding: utf-8, header: true}
holds: delta
key: [visit_no]
references: [{elements: [student_no], feed: students, to: [student_no]}]
withhold:
  - {reason: sealed, when: "sealed = 'Y'", covers: "students/{student_no}", lasting: true}
unused_columns: {}
elements:
  visit_no: {column: No, identifier: {}, required: true}
  student_no: {column: Student, identifier: {width: 6}, required: true}
  day: {column: Day, date: {formats: ["%Y-%m-%d"]}, required: true}
  sealed: {column: Sealed, text: {}}
entities:
  person: [{person_ref: "students/{student_no}"}]
"""
VISITS = "No,Student,Day,Sealed\n"


@dataclass
class School:
    """A school whose files come night by night, and whose declarations can be mended in between."""

    small: SmallExchange
    nights: int = 0
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "visits.yaml").write_text(FEED, "utf-8")
        self.edit("agency.yaml", "[students]", "[students, visits]")

    @property
    def home(self) -> Home:
        return self.small.home

    @property
    def folder(self) -> Path:
        return self.home.agencies / "hillside_schools"

    @property
    def agency(self) -> Agency:
        return load_agency_of(self.folder, self.home, load_settings(self.home))

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text("utf-8")
        assert old in text, (name, old)
        (self.folder / name).write_text(text.replace(old, new), "utf-8")

    def night(self, **files: str) -> None:
        """The intake of a night, after the school has put its files of the day."""
        day = MONDAY + timedelta(days=self.nights)
        self.nights += 1
        for feed, text in files.items():
            self.small.put(f"{feed}_{day:%Y%m%d}.csv", text)
        with open_night(self.home, now=day) as night:
            fetch_agency(night, "hillside_schools")
            load_extracts(night, "hillside_schools")
        self.ledger = open_ledger(self.home.ledger_file)

    def publish(self) -> Record:
        """The record after a whole night in which nothing new came."""
        result = run_night(self.home, now=MONDAY + timedelta(days=self.nights))
        assert not result.failures, result.failures
        return open_record(self.home)

    def remap(self, *anew: str, **more: Any) -> Changes:
        changes = remap_agency(
            self.home, load_settings(self.home), self.agency, ledger=self.ledger, anew=frozenset(anew),
            progress=lambda _: None, **more,
        )  # fmt: skip
        with self.ledger.reading() as connection:
            require_sums_hold(connection)
        return changes

    def preview(self) -> Changes:
        return preview(
            self.home, load_settings(self.home), self.agency, ledger=self.ledger, anew=frozenset(),
            progress=lambda _: None,
        )  # fmt: skip

    def state(self, feed: str, *columns: str) -> list[tuple[Any, ...]]:
        """The rows in force."""
        with self.ledger.reading() as connection:
            path = current_state(connection, self.home, "hillside_schools", feed)
        if path is None:
            return []
        with connect() as con:
            rows = f"read_parquet({literal(path)}) WHERE _deleted IS NULL"
            return list(con.execute(f"SELECT {', '.join(columns)} FROM {rows} ORDER BY _key").fetchall())

    def accounts(self) -> dict[tuple[str, str], int]:
        """(disposition, reason) -> rows, over all extracts."""
        query = sa.select(account.c.disposition, account.c.reason, sa.func.sum(account.c.rows))
        with self.ledger.reading() as connection:
            rows = connection.execute(query.group_by(account.c.disposition, account.c.reason)).all()
        return {(disposition, reason): int(count) for disposition, reason, count in rows}

    def ids(self, feed: str) -> list[str]:
        """The feed's extracts in order of arrival."""
        with self.ledger.reading() as connection:
            query = sa.select(extract.c.extract_id).where(extract.c.feed == feed).order_by(extract.c.seq)
            return list(connection.execute(query).scalars())

    def everything(self) -> str:
        """All that the ledger knows of extracts and rows, and the rows in force, but for when it was written."""
        told: dict[str, Any] = {"states": [self.state(f.feed, "*") for f in self.agency.feeds.values()]}
        with self.ledger.reading() as connection:
            for table in (account, row_move, order_, extract):
                rows = connection.execute(table.select().order_by(*table.primary_key.columns)).mappings()
                told[table.name] = [{k: v for k, v in row.items() if k not in _OF_THE_MOMENT} for row in rows]
        return json.dumps(told, default=str, sort_keys=True)


_OF_THE_MOMENT = {"at", "recorded_at", "received_at", "run_id", "state_path", "move_id"}
