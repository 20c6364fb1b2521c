"""A release for analysts, made of invented lives: it gives just what the measures of the catalogue need."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from governed import EVIDENCE, PURPOSES, Small, agency, sharing
from lives import lives, rows_of
from record_rows import AS_OF, inputs_of, new_home

from demo.governed import sign_all, write, write_parties
from governance import draft
from record.publish import publish
from record.reader import Record, open_record
from releases.measures.compile import needs
from releases.measures.declarations import catalogue
from releases.reader import Release
from releases.release import make_release
from standard.sensitivity import Sensitivity

SECTORS = {"school": "education", "court": "court", "care": "child_welfare", "police": "law_enforcement",
           "clinic": "health"}  # fmt: skip
START, END = date(2026, 1, 1), date(2035, 12, 31)
CLASSES = [Sensitivity(name) for name in ("administrative", "demographic", "education", "criminal_justice",
           "juvenile_court", "child_protection", "health", "direct_identifier")]  # fmt: skip

_SHIFTED = ', "*.*_on": shifted, "*.date": shifted, "*_date": shifted'


def policy_text(*, shifted: bool = False) -> str:
    """A policy that gives what every measure needs, and the day each row speaks of; days as they are or shifted."""
    given: dict[str, set[str]] = {}
    for measure in catalogue().measures.values():
        for table, columns in needs(measure, catalogue().events, measure.by).items():
            given.setdefault(table, set()).update(columns)
    for table in set(given) - {"timeline"}:
        given[table] |= set() if shifted else {"as_of"}  # whose day everybody knows
    lines = [f"  {table}: [{', '.join(sorted(columns))}]" for table, columns in sorted(given.items())]
    return "\n".join([
        "policy: evaluation", "recipient: county_evaluation", "purpose: research", "agreement: DUL-1", "columns:",
        *lines, f'treatments: {{"*.person_id": pseudonym, "*_ref": pseudonym{_SHIFTED if shifted else ""}}}',
        "rows: {age_bands: [minor, adult, unknown], need_to_know: none}", "",
    ])  # fmt: skip


def released(root: Path, *, shifted: bool = False) -> tuple[Record, Release]:
    """The record of the lives, and what the policy gives of it."""
    home, ledger = new_home(root / "home")
    rows, persons = rows_of(lives())
    publish(home, ledger, inputs_of(root / "in", rows, persons), run_id="run-1", fence=1)
    small = Small(home.root / "governance", root / "officers", {name: agency(name, s) for name, s in SECTORS.items()})
    _agree(small)
    small.policy(policy_text(shifted=shifted), "evaluation")
    at = datetime.combine(AS_OF, datetime.min.time(), UTC)
    given = make_release(home, ledger, small.load(), "evaluation", at=at, day=AS_OF)
    ledger.close()
    return open_record(home), given


def _agree(small: Small) -> None:
    parties = {"hub": None, "county_evaluation": None, **SECTORS}
    write_parties(small.folder, parties, keys=small.keys)
    time = {"effective": START, "expires": END}
    texts = {"MOU-1": draft.memorandum("MOU-1", members=list(parties), purposes=PURPOSES, **time)}
    texts |= {f"DSA-{n}": sharing(f"DSA-{n}", small.agencies[name]) for n, name in enumerate(SECTORS, start=1)}
    texts["DUL-1"] = draft.use(
        "DUL-1", disclosers=["hub", *SECTORS], recipient="county_evaluation", parent="MOU-1", purposes=PURPOSES,
        fields=["*.*"], sensitivities=CLASSES, need_to_know="none", evidence=EVIDENCE, **time,
    )  # fmt: skip
    assert "min_cell: 11" in texts["DUL-1"]
    texts["DUL-1"] = texts["DUL-1"].replace("min_cell: 11", "min_cell: 5")  # the county is small
    for name, text in texts.items():
        write(small.folder / "agreements" / f"{name}.yaml", text)
    sign_all(small.folder, keys=small.keys, today=START)
