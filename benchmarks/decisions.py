"""Decisions: ten million cells of a release, and 100,000 random requests held against the second engine (Cedar)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

import duckdb
import pyarrow as pa

from benchmarks.cedar_engine import CedarEngine
from benchmarks.random_requests import random_governance, random_requests
from demo.governed import EVIDENCE, sign_all, write, write_parties
from governance import draft
from governance.apply import decision_table
from governance.decide import decide, terms_of
from governance.load import Governance, load_governance
from governance.policies import Policy, read_policy
from governance.subjects import Registers, attach_subjects
from mappings.load import Agency, load_agency
from record.tables import MEANINGS, published_columns, table_names
from standard.schema import entities
from standard.sensitivity import Sensitivity
from store.home import connect, quoted

DAY = date(2026, 6, 15)
AGENCY = "riverbend_schools"
POLICY = """\
policy: cells
recipient: university
purpose: research
agreement: DUL-1
columns:
  enrollment: [person_id, school_id, grade, entry_date, entry_type, exit_date, exit_type, school_year, status, homeless]
treatments: {"*.person_id": pseudonym}
rows: {age_bands: [minor], need_to_know: none}
"""


def compare(requests: int, *, seed: int, worlds: int = 100) -> tuple[Counter[str], int]:
    """Decides on random requests by both engines: (reason or `allowed` -> requests, disagreements)."""
    random, reasons, apart = Random(seed), Counter[str](), 0
    for number in range(worlds):
        governance, policy = random_governance(random)
        wanted = requests // worlds + (number < requests % worlds)
        asked = random_requests(random, governance, policy, wanted)
        terms = terms_of(governance, policy)
        own = [decide(terms, request) for request in asked]
        second = CedarEngine(governance, policy).allowed(asked)
        reasons.update(str(decision.reason or "allowed") for decision in own)
        apart += sum(mine.allowed != theirs for mine, theirs in zip(own, second, strict=True))
    return reasons, apart


def governed(folder: Path) -> tuple[Governance, Policy]:
    """One agency's sharing agreement and one use by a university, all signed."""
    agencies: dict[str, Agency] = {AGENCY: load_agency(Path(__file__).parents[1] / "mappings" / "agencies" / AGENCY)}
    term = {"effective": date(2026, 1, 1), "expires": date(2026, 12, 31)}
    purposes = ["research"]
    write_parties(folder, {"hub": None, "university": None, AGENCY: "education"}, keys=folder / "keys")
    members = ["hub", "university", AGENCY]
    texts = {
        "MOU-1": draft.memorandum("MOU-1", members=members, purposes=purposes, **term),
        "DSA-1": draft.sharing("DSA-1", agencies[AGENCY], parent="MOU-1", hub="hub", purposes=purposes,
                               evidence=EVIDENCE, **term),
        "DUL-1": draft.use(
            "DUL-1", disclosers=[AGENCY], recipient="university", parent="MOU-1", purposes=purposes,
            fields=["enrollment.*"], need_to_know="none", evidence=EVIDENCE, **term,
            sensitivities=[Sensitivity.ADMINISTRATIVE, Sensitivity.EDUCATION],
        ),
    }  # fmt: skip
    for name, text in texts.items():
        write(folder / "agreements" / f"{name}.yaml", text)
    sign_all(folder, keys=folder / "keys", today=DAY)
    write(folder / "policies" / "cells.yaml", POLICY)
    governance = load_governance(folder, agencies)
    return governance, read_policy(folder / "policies" / "cells.yaml", governance)


def a_record(rows: int, *, persons: int) -> duckdb.DuckDBPyConnection:
    """A record in memory: enrolments of many persons, some protected, some without consent; invented throughout."""
    con = connect(memory_limit="2GB")
    con.execute("SELECT setseed(0.42)")
    for table in table_names():
        kinds = dict.fromkeys(MEANINGS[table], "VARCHAR") if table in MEANINGS else published_columns(entities()[table])
        con.execute(f"CREATE TABLE {quoted(table)} ({', '.join(f'{quoted(c)} {k}' for c, k in kinds.items())})")
    con.execute(f"""
        CREATE OR REPLACE TABLE person AS SELECT 'P' || i AS person_id, 1 AS agencies, '{AGENCY}' AS agency_ids,
            1 AS mentions, NULL::DOUBLE AS lowest_weight, i % 97 = 0 AS address_protected FROM range({persons}) t(i);
        CREATE OR REPLACE TABLE person_source AS SELECT '{AGENCY}' AS agency, '{AGENCY}/students/' || i AS person_ref,
            'P' || i AS person_id FROM range({persons}) t(i);
        INSERT INTO person_demographic (person_id, birth_date)
        SELECT 'P' || i, DATE '2004-01-01' + (i % 5000)::INTEGER FROM range({persons}) t(i);
        INSERT INTO relationship (person_id, related_id, type) SELECT 'P' || i, 'P' || (i + 1), 'mother'
        FROM range({persons}) t(i);
        INSERT INTO consent (person_id, grantor_id, decision, purpose, scope, recipient, effective_on)
        SELECT 'P' || i, 'P' || (i + 1), CASE WHEN i % 3 = 0 THEN 'withheld' ELSE 'granted' END, 'research',
            'EDU', 'all', DATE '2026-02-01' FROM range(0, {persons}, 2) t(i);
        INSERT INTO enrollment (person_ref, person_id, school_id, grade, entry_date, entry_type, exit_date, school_year,
            status, homeless, agency_id, row_id)
        SELECT '{AGENCY}/students/' || (i % {persons}), 'P' || (i % {persons}), (i % 40)::VARCHAR, (i % 12)::VARCHAR,
            DATE '2025-09-01' + (i % 200)::INTEGER, 'new', NULL, '2025-26', 'open', 'no', '{AGENCY}', i::VARCHAR
        FROM range({rows}) t(i);
    """)
    return con


def measure_cells(rows: int, *, persons: int) -> tuple[int, int, float]:
    """(cells decided on, cells that went out, seconds) of one table by a policy of ten columns."""
    with tempfile.TemporaryDirectory(prefix="kith-decisions-") as folder, a_record(rows, persons=persons) as con:
        governance, policy = governed(Path(folder))
        terms, none = terms_of(governance, policy), con.sql("SELECT '' AS ref WHERE false").to_arrow_table()
        began = time.perf_counter()
        attach_subjects(con, terms, governance.parties, _no_registers(none), day=DAY)
        treat = {"pseudonym": lambda _, column: f"md5({column})"}
        decided = decision_table(con, governance, terms, "enrollment", day=DAY, treat=treat)
        con.execute(f"COPY ({decided.sql}) TO '{folder}/out.parquet' (FORMAT parquet)")
        seconds = time.perf_counter() - began
    return rows * len(decided.columns), decided.allowed_cells, seconds


def _no_registers(seals: pa.Table) -> Registers:
    texts = ("subject", "recipients", "purposes", "classes", "decision", "grantor", "authority", "since", "until")
    empty = pa.table({name: pa.array([], pa.string()) for name in texts})
    return Registers(empty, empty, seals)


def main(arguments: list[str] | None = None) -> int:
    """Prints both figures; 1 where the engines disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    cells, out, seconds = measure_cells(given.rows, persons=given.rows // 5)
    print(f"{cells:,} cells decided and written in {seconds:.1f} s; {out:,} went out")
    began = time.perf_counter()
    reasons, apart = compare(given.requests, seed=given.seed)
    told = ", ".join(f"{reason} {times:,}" for reason, times in sorted(reasons.items()))
    print(f"{given.requests:,} random requests in {time.perf_counter() - began:.0f} s: {apart} disagreements ({told})")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
