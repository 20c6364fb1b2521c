"""A small governed exchange for tests: a school, a court, a child welfare agency, a university; people are invented."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from record_rows import ANA, ANA_CLIENT, ANA_COURT, ANA_MOTHER, BEN, COUNTY, Row, inputs_of, new_home

from demo.governed import EVIDENCE, sign_all, write, write_parties
from governance import draft
from governance.apply import Decisions, decision_table
from governance.decide import Terms, terms_of
from governance.load import Governance, load_governance
from governance.policies import Policy, read_policy
from governance.subjects import attach_subjects, read_registers
from mappings.declarations import Feed
from mappings.load import Agency
from record.publish import publish
from record.reader import Record, open_record
from standard.sensitivity import Sensitivity
from store.home import Home
from store.ledger import Ledger

DAY = date(2026, 3, 30)
START, END = date(2026, 1, 1), date(2026, 12, 31)
SECTORS = {"school": "education", "court": "court", "care": "child_welfare"}
PARTIES = {"hub": None, "university": None, **SECTORS}
PURPOSES = ["individual_case_planning", "research"]
CLASSES = [Sensitivity(name) for name in ("administrative", "demographic", "education", "juvenile_court",
                                          "child_protection")]  # fmt: skip

MOTHER_OF_ANA = "care/CLIENT_T/m1"
ROWS: dict[str, list[Row]] = {
    **COUNTY,
    "person": [*COUNTY["person"], {"person_ref": MOTHER_OF_ANA}],
    "person_demographic": [
        {"person_ref": ANA, "birth_date": date(2012, 5, 6), "sex": "F"},
        {"person_ref": BEN, "birth_date": date(2013, 7, 8), "sex": "M"},
    ],
    "relationship": [{"person_ref": ANA_CLIENT, "related_ref": MOTHER_OF_ANA, "type": "mother"}],
    "involvement": [
        {"person_ref": ANA_CLIENT, "role": "client", "status": "open", "opened_on": date(2025, 3, 3)},
        {"person_ref": ANA, "role": "student", "status": "open", "opened_on": date(2025, 9, 1)},
        {"person_ref": BEN, "role": "student", "status": "open", "opened_on": date(2025, 9, 1)},
    ],
}
WHO = {ANA: "ANA", ANA_COURT: "ANA", ANA_CLIENT: "ANA", BEN: "BEN", "court/party/P2": "BEN", "care/CLIENT_T/c2": "BEN",
       ANA_MOTHER: "MOM", MOTHER_OF_ANA: "MOM"}  # fmt: skip

POLICY = """\
policy: study
recipient: university
purpose: research
agreement: DUL-1
columns:
  enrollment: [person_id, school_id, entry_date, agency_id]
  allegation: [person_id, type, received_on]
treatments: {"*.person_id": pseudonym}
rows: {age_bands: [minor], need_to_know: none}
"""


AGENCY = """\
agency: {name}
name: {name}
sector: {sector}
sources: {{drop: {{folder: {{path: /srv}}}}}}
feeds: [people]
"""
FEED = """\
feed: people
title: People
source: drop
arrives: {files: "people*.csv"}
format: {kind: delimited}
holds: full
key: [no]
elements: {no: {column: NO, identifier: {}, required: true}, born: {column: DOB, date: {formats: ["%Y-%m-%d"]}}}
entities:
  person: [{person_ref: "people/{no}"}]
  person_demographic: [{person_ref: "people/{no}", birth_date: born}]
"""


def agency(name: str, sector: str) -> Agency:
    """An agency with one feed of persons."""
    feed = Feed.model_validate({
        "feed": "people", "title": "People", "source": "drop", "arrives": {"files": "people*.csv"},
        "format": {"kind": "delimited"}, "holds": "full", "key": ["no"],
        "elements": {"no": {"column": "NO", "identifier": {}}, "born": {"column": "DOB", "date": {}}},
        "entities": {"person": [{"person_ref": "people/{no}"}],
                     "person_demographic": [{"person_ref": "people/{no}", "birth_date": "born"}]},
    })  # fmt: skip
    return Agency(name, name.title(), sector, None, None, "UTC", Path(), {}, {"people": feed}, {}, {})


@dataclass(frozen=True)
class Small:
    """Where a small exchange's agreements lie and who signs them."""

    folder: Path
    keys: Path
    agencies: dict[str, Agency]

    def load(self) -> Governance:
        return load_governance(self.folder, self.agencies)

    def write(self, name: str, text: str, *, signed: bool = True) -> Path:
        """Writes an agreement and lets every party sign it."""
        path = self.folder / "agreements" / f"{name}.yaml"
        write(path, text)
        if signed:
            sign_all(self.folder, keys=self.keys, today=START, only=[name])
        return path

    def edit(self, name: str, old: str, new: str, *, signed: bool = True) -> Path:
        """Changes the text of an agreement and has it signed anew."""
        text = (self.folder / "agreements" / f"{name}.yaml").read_text("utf-8")
        assert old in text
        return self.write(name, text.replace(old, new), signed=signed)

    def policy(self, text: str = POLICY, name: str = "study") -> Policy:
        path = self.folder / "policies" / f"{name}.yaml"
        write(path, text)
        return read_policy(path, self.load())

    def terms(self, text: str = POLICY) -> Terms:
        return terms_of(self.load(), self.policy(text))


def small_governance(root: Path, **of_use: Any) -> Small:
    """Everything agreed and signed: a memorandum, three sharing agreements, one use by the university."""
    small = Small(root / "governance", root / "officers", {name: agency(name, s) for name, s in SECTORS.items()})
    write_parties(small.folder, PARTIES, keys=small.keys)
    time = {"effective": START, "expires": END}
    small.write("MOU-1", draft.memorandum("MOU-1", members=list(PARTIES), purposes=PURPOSES, **time))
    for number, name in enumerate(SECTORS, start=1):
        small.write(f"DSA-{number}", sharing(f"DSA-{number}", small.agencies[name]))
    given: dict[str, Any] = {
        "disclosers": ["hub", *SECTORS], "recipient": "university", "parent": "MOU-1", "purposes": PURPOSES,
        "fields": ["*.*"], "sensitivities": CLASSES, "need_to_know": "none", "evidence": EVIDENCE, **time,
    }  # fmt: skip
    small.write("DUL-1", draft.use("DUL-1", **given | of_use))
    return small


def sharing(name: str, of: Agency) -> str:
    """A sharing agreement of one agency."""
    return draft.sharing(name, of, parent="MOU-1", hub="hub", purposes=PURPOSES, effective=START, expires=END,
                         evidence=EVIDENCE)  # fmt: skip


@dataclass(frozen=True)
class World:
    """A small exchange with a published record."""

    home: Home
    ledger: Ledger
    small: Small
    record: Record

    def connection(self, terms: Terms, day: date = DAY) -> duckdb.DuckDBPyConnection:
        con = self.record.to_duckdb()
        attach_subjects(con, terms, self.small.load().parties, read_registers(self.ledger), day=day)
        return con

    def decide(self, table: str, policy: str = POLICY, day: date = DAY) -> tuple[list[Row], Decisions]:
        """The rows of a table that go out by a policy, and what was decided."""
        terms = self.small.terms(policy)
        with self.connection(terms, day) as con:
            treat = {"pseudonym": lambda _, column: f"'p-' || {column}"}
            decided = decision_table(con, self.small.load(), terms, table, day=day, treat=treat)
            return con.sql(decided.sql).to_arrow_table().to_pylist(), decided


def world(
    root: Path, rows: dict[str, list[Row]] | None = None, who: dict[str, str] | None = None, **of_use: Any
) -> World:
    """Publishes the rows (of the small county where none are given) and agrees on everything."""
    home, ledger = new_home(root / "home")
    inputs = inputs_of(root / "in", ROWS if rows is None else {**ROWS, **rows}, WHO | (who or {}))
    publish(home, ledger, inputs, run_id="run-1", fence=1)
    return World(home, ledger, small_governance(home.root, **of_use), open_record(home))


def declare(home: Home) -> None:
    """Lays the small exchange's settings and agencies into its home, for the command line."""
    write(home.settings_file, "exchange: Small\nagencies: [school, court, care]\ngovernance: required\n")
    for name, sector in SECTORS.items():
        write(home.agencies / name / "agency.yaml", AGENCY.format(name=name, sector=sector))
        write(home.agencies / name / "people.yaml", FEED)
