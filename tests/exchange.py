"""A small exchange for tests: a school district that sends files, a court with a database; all people are invented."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.lay_out_home import TEMPLATES, lay_out_home, write_settings
from store.home import Home

MONDAY = datetime(2026, 9, 7, 12, tzinfo=UTC)
TUESDAY = datetime(2026, 9, 8, 12, tzinfo=UTC)

COURT = {
    "agency.yaml": """
        agency: valley_court
        name: Valley Juvenile Court
        sector: court
        state: MA
        timezone: America/New_York
        sources:
          replica: {database: {url: secret:valley_court_url}}
        feeds: [party]
    """,
    "party.yaml": """
        feed: party
        title: Everybody who takes part in a case
        source: replica
        arrives:
          {table: party, watermark: changed_at, overlap: 1 day, census: true, schedule: "0 2 * * *", grace: 6 hours}
        format: {kind: table}
        holds: changes
        key: [party_no]
        version: changed_at
        elements:
          party_no: {column: party_no, identifier: {}, required: true}
          given: {column: first_name, name: {}}
          surname: {column: last_name, name: {}, required: true}
          birth_date: {column: birth_date, date: {formats: ["%Y-%m-%d"]}}
          changed_at: {column: changed_at, timestamp: {formats: ["%Y-%m-%d %H:%M:%S"]}}
        entities:
          person: [{person_ref: "party/{party_no}"}]
          person_name: [{person_ref: "party/{party_no}", use: =legal, given: given, surname: surname}]
          person_demographic: [{person_ref: "party/{party_no}", birth_date: birth_date}]
    """,
}
STUDENTS = """StudentNo,First,Last,DOB,Sex,Homeroom
004211,Amara,Osei,2013-04-02,1,12B
004212,Teodor,Quillfeather,2015-11-19,2,10A
004213,Ines,Valdrin,2014-02-20,1,11C
004214,Bo,,2013-08-08,2,12B
"""
PARTIES = [
    ("P1", "AMARA", "OSEI", "2013-04-02", "2026-09-01 10:00:00"),
    ("P2", "TEODOR", "QUILLFEATHER", "2015-11-19", "2026-09-02 10:00:00"),
    ("P3", "MILO", "HARGREEN", "2010-01-30", "2026-09-03 10:00:00"),
]


@dataclass(frozen=True)
class SmallExchange:
    """A home whose two agencies can be told to send something."""

    home: Home
    drop: Path
    database: Path

    def put(self, name: str, text: str) -> None:
        """Puts a file where the schools put theirs, as if an hour ago."""
        path = self.drop / name
        path.write_text(text, encoding="utf-8")
        an_hour_ago = time.time() - 3600
        os.utime(path, (an_hour_ago, an_hour_ago))

    def put_students(self, text: str = STUDENTS, *, day: str = "20260907") -> None:
        """Puts a file of students."""
        self.put(f"students_{day}.csv", text)

    def record(self, *parties: tuple[str, str, str, str, str]) -> None:
        """Writes parties into the court's database."""
        with sqlite3.connect(self.database) as connection:
            connection.executemany("INSERT OR REPLACE INTO party VALUES (?, ?, ?, ?, ?)", parties)
        connection.close()


def small_exchange(folder: Path, *, agencies: tuple[str, ...] = ("hillside_schools", "valley_court")) -> SmallExchange:
    """Lays out the exchange in an empty folder; nothing has been sent yet."""
    home = lay_out_home(folder / "home", name="Small exchange")
    drop, database = folder / "drop", folder / "court.sqlite"
    drop.mkdir()
    _make_database(database)
    _copy_schools(home)
    _write_court(home, database)
    write_settings(home, _settings(drop, agencies))
    return SmallExchange(home, drop, database)


def _make_database(path: Path) -> None:
    columns = "party_no TEXT PRIMARY KEY, first_name TEXT, last_name TEXT, birth_date TEXT, changed_at TEXT"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE party ({columns})")
    connection.close()


def _copy_schools(home: Home) -> None:
    example = TEMPLATES / "example" / "hillside_schools"
    for path in (p for p in example.rglob("*") if p.is_file()):
        to = home.agencies / "hillside_schools" / path.relative_to(example)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())


def _write_court(home: Home, database: Path) -> None:
    folder = home.agencies / "valley_court"
    folder.mkdir()
    for name, text in COURT.items():
        (folder / name).write_text("\n".join(line[8:] for line in text.splitlines()), encoding="utf-8")
    secret = home.keys / "valley_court_url"
    secret.touch(mode=0o600)
    secret.write_text(f"sqlite:///{database}")


def _settings(drop: Path, agencies: tuple[str, ...]) -> str:
    return (
        f"exchange: Small exchange\nagencies: [{', '.join(agencies)}]\n"
        f"sources: {{hillside_schools: {{drop: {{folder: {{path: {drop}, settle: 0}}}}}}}}\n"
    )
