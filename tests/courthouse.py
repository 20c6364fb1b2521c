"""A court and two police agencies that send files, beside a school; a case of one child is sealed. All are invented."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flows.lay_out_home import write_settings
from flows.night import run_night
from flows.run import NightResult
from flows.settings import load_agencies_of, load_settings
from governance.sealing import Added, Kind, NewOrder, add_order
from mappings.load import Agency
from record.reader import Record, open_record
from store.encryption_home import open_to_read
from store.home import Home, connect, literal
from store.ledger import Ledger, account, open_ledger
from tests.exchange import MONDAY, STUDENTS, SmallExchange, small_exchange

AGENCY = """agency: {name}
name: {title}
sector: {sector}
state: MA
timezone: America/New_York
sources:
  drop: {{folder: {{path: "{drop}", settle: 0, outbox: "{outbox}"}}}}
outbound: {{format: csv}}
feeds: [{feeds}]
"""
FEED = """feed: {feed}
title: {feed} of the agency
source: drop
arrives: {{files: "{file}_{{as_of:%Y%m%d}}*.csv"}}
format: {{kind: delimited, encoding: utf-8, header: true}}
holds: {holds}
"""
COURT = {
    "cases": """key: [case_no]
elements:
  case_no: {column: CaseNo, identifier: {}, required: true}
  docket: {column: Docket, identifier: {}}
  filed: {column: Filed, date: {formats: ["%Y-%m-%d"]}}
entities:
  case: [{case_ref: "cases/{case_no}", case_no: docket, type: =delinquency, filed_on: filed}]
""",
    "parties": """key: [party_no]
elements:
  party_no: {column: PartyNo, identifier: {}, required: true}
  given: {column: First, name: {}}
  surname: {column: Last, name: {}, required: true}
  birth_date: {column: DOB, date: {formats: ["%Y-%m-%d"]}}
entities:
  person: [{person_ref: "parties/{party_no}"}]
  person_name: [{person_ref: "parties/{party_no}", use: =legal, given: given, surname: surname}]
  person_demographic: [{person_ref: "parties/{party_no}", birth_date: birth_date}]
""",
    "parts": """key: [part_no]
references:
  - {elements: [case_no], feed: cases, to: [case_no]}
  - {elements: [party_no], feed: parties, to: [party_no]}
elements:
  part_no: {column: PartNo, identifier: {}, required: true}
  case_no: {column: CaseNo, identifier: {}, required: true}
  party_no: {column: PartyNo, identifier: {}, required: true}
entities:
  case_participant: [{case_ref: "cases/{case_no}", person_ref: "parties/{party_no}", role: =youth}]
""",
    "charges": """key: [charge_no]
elements:
  charge_no: {column: ChargeNo, identifier: {}, required: true}
  case_no: {column: CaseNo, identifier: {}, required: true}
  party_no: {column: PartyNo, identifier: {}, required: true}
  day: {column: Day, date: {formats: ["%Y-%m-%d"]}, required: true}
  statute: {column: Statute, text: {}}
entities:
  charge: [{case_ref: "cases/{case_no}", charge_ref: "charges/{charge_no}", person_ref: "parties/{party_no}",
            offense_on: day, statute: statute}]
""",
}
POLICE = {
    "contacts": """key: [contact_no]
elements:
  contact_no: {column: No, identifier: {}, required: true}
  given: {column: First, name: {}}
  surname: {column: Last, name: {}, required: true}
  birth_date: {column: DOB, date: {formats: ["%Y-%m-%d"]}}
  day: {column: Day, date: {formats: ["%Y-%m-%d"]}, required: true}
  incident: {column: Incident, identifier: {}, required: true}
entities:
  person: [{person_ref: "contacts/{contact_no}"}]
  person_name: [{person_ref: "contacts/{contact_no}", use: =legal, given: given, surname: surname}]
  person_demographic: [{person_ref: "contacts/{contact_no}", birth_date: birth_date}]
  police_contact: [{person_ref: "contacts/{contact_no}", incident_no: incident, kind: =arrest, occurred_on: day}]
"""
}
CASES = "CaseNo,Docket,Filed\nC1,24-JV-118,2026-03-02\nC2,24-JV-119,2026-03-02\n"
PARTIES = "PartyNo,First,Last,DOB\nP1,Zorabel,Quenniston,2010-01-30\nP2,Teodor,Quillfeather,2009-11-19\n"
PARTS = "PartNo,CaseNo,PartyNo\n1,C1,P1\n2,C2,P2\n"
CHARGES = "ChargeNo,CaseNo,PartyNo,Day,Statute\n71,C1,P1,2026-02-14,Ch. 266 s. 30\n72,C2,P2,2026-02-14,Ch. 266 s. 30\n"
CONTACTS = (
    "No,First,Last,DOB,Day,Incident\n501,Zorabel,Quenniston,2010-01-30,2026-02-14,26-9901\n"
    "502,Teodor,Quillfeather,2009-11-19,2026-02-14,26-9901\n"
)
SECRET = ("ZORABEL", "QUENNISTON", "24JV118", "24-JV-118", "Zorabel", "Quenniston")
"""By these the sealed child and case are told from all others."""
CASE, CONTACT = "valley_court/cases/C1", "town_police/contacts/501"


@dataclass
class Courthouse:
    """A home whose agencies send files night by night."""

    small: SmallExchange
    nights: int = 0
    folders: dict[str, Path] = field(default_factory=dict)

    @property
    def home(self) -> Home:
        return self.small.home

    @property
    def ledger(self) -> Ledger:
        return open_ledger(self.home.ledger_file)

    @property
    def agencies(self) -> dict[str, Agency]:
        return load_agencies_of(self.home, load_settings(self.home))

    @property
    def today(self) -> date:
        return (MONDAY + timedelta(days=self.nights)).date()

    def put(self, feed: str, text: str, *, day: date | None = None, more: str = "") -> None:
        self.small.put(f"{feed}_{day or self.today:%Y%m%d}{more}.csv", text)

    def night(self, **files: str) -> Record:
        """A night after the agencies have put their files of the day."""
        for feed, text in files.items():
            self.put(feed, text)
        result = self.run()
        assert not result.failures, result.failures
        return open_record(self.home)

    def run(self) -> NightResult:
        result = run_night(self.home, now=MONDAY + timedelta(days=self.nights))
        self.nights += 1
        return result

    def order(self, *match: str, kind: Kind = Kind.SEAL, effective: date | None = None) -> Added:
        """An order of the court that is in force at once."""
        order = NewOrder("27-SO-1", "Valley Juvenile Court", kind, match, effective or MONDAY.date())
        return add_order(self.home, self.ledger, self.agencies, order, by="clerk", parties=None)

    def accounts(self) -> dict[tuple[str, str], int]:
        """(disposition, reason) -> rows, over all extracts."""
        query = sa.select(account.c.disposition, account.c.reason, sa.func.sum(account.c.rows))
        with self.ledger.reading() as connection:
            rows = connection.execute(query.group_by(account.c.disposition, account.c.reason)).all()
        return {(disposition, reason): int(count) for disposition, reason, count in rows}


def courthouse(folder: Path) -> Courthouse:
    """The home after the first night."""
    small = small_exchange(folder, agencies=("hillside_schools",))
    house = Courthouse(small)
    _declare(house, "valley_court", "court", COURT)
    _declare(house, "town_police", "law_enforcement", POLICE)
    _declare(house, "state_police", "law_enforcement", POLICE, prefix="state_")
    names = "hillside_schools, valley_court, town_police, state_police"
    write_settings(
        house.home,
        f"exchange: Courthouse\nagencies: [{names}]\n"
        f"sources: {{hillside_schools: {{drop: {{folder: {{path: {small.drop}, settle: 0}}}}}}}}\n",
    )
    house.night(
        students=STUDENTS, cases=CASES, parties=PARTIES, parts=PARTS, charges=CHARGES, contacts=CONTACTS,
        state_contacts="No,First,Last,DOB,Day,Incident\n9,Teodor,Quillfeather,2009-11-19,2026-02-14,A1\n",
    )  # fmt: skip
    return house


def _declare(house: Courthouse, name: str, sector: str, feeds: dict[str, str], *, prefix: str = "") -> None:
    folder = house.home.agencies / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    house.folders[name] = house.small.drop.with_name(f"outbox_{name}")
    house.folders[name].mkdir()
    told: dict[str, Any] = {"name": name, "title": name.replace("_", " ").title(), "sector": sector,
                            "drop": house.small.drop, "outbox": house.folders[name],
                            "feeds": ", ".join(feeds)}  # fmt: skip
    (folder / "agency.yaml").write_text(AGENCY.format(**told), "utf-8")
    for feed, text in feeds.items():
        holds = "delta"
        (folder / f"{feed}.yaml").write_text(FEED.format(feed=feed, file=prefix + feed, holds=holds) + text, "utf-8")


def copied(house: Courthouse, to: Path) -> Courthouse:
    """The same home with all that agencies left, elsewhere."""
    before = house.home.root.parent
    shutil.copytree(before, to)
    for path in [*to.glob("home/*.yaml"), *to.glob("home/agencies/*/*.yaml")]:
        path.write_text(path.read_text("utf-8").replace(str(before), str(to)), "utf-8")
    small = SmallExchange(Home(to / "home"), to / "drop", to / "court.sqlite")
    return Courthouse(small, house.nights, {name: to / path.name for name, path in house.folders.items()})


def bytes_with(root: Path, words: tuple[str, ...] = SECRET) -> list[str]:
    """The files below a folder that hold one of the words, Parquet and encrypted files read as what they say."""
    found = []
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.name != "ledger.db-shm"):
        text = _content(path)
        if any(word in text for word in words):
            found.append(str(path.relative_to(root)))
    return found


def _content(path: Path) -> str:
    if not path.is_file():
        return ""
    if path.suffix == ".parquet":
        with connect() as con:
            return "\n".join(map(str, con.execute(f"SELECT * FROM read_parquet({literal(path)})").fetchall()))
    with open_to_read(path) as file:
        return file.read().decode("utf-8", "replace")


def published(record: Record) -> list[str]:
    """The tables in which anything of the sealed child, case or contact stands."""
    told = ("Zorabel", "Quenniston", "24-JV-118", "24 JV 118")
    keys = ("/C1", "/c1", "/0c1", "/C-1", "/C9", "/P1", "/71", "/78", "/79", "/501", "/777", "state_police/contacts/55")
    found = []
    with connect() as con:
        for path in sorted(record.snapshot.folder.glob("*.parquet")):
            rows = con.execute(f"SELECT * FROM read_parquet({literal(path)})").fetchall()
            cells = [cell for row in rows for cell in row if isinstance(cell, str)]
            if any(word in cell for cell in cells for word in told) or any(c.endswith(k) for c in cells for k in keys):
                found.append(path.stem)
    return found
