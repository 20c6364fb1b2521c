"""The conversions of the mapping language, case by case: text as sent, value, problem, reason why it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.load import load_agency
from tests.mapping_cases import HEAD, convert, table, write_agency

# One line a case. In a cell, ~ stands for a blank that matters, \\n for a line break, SENT for the column.
# The day of the extract is 2026-03-23.
CASES = table((Path(__file__).parent / "mapping_conversions.txt").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Value, problem and missing reason of every case, from one feed that has one element a case."""
    elements = [f"  e{n}: {{columns: [C{n}], {case[0].replace('SENT', f'C{n}')}}}" for n, case in enumerate(CASES)]
    feed = "\n".join([HEAD.replace("key: [id]", "key: [e0]"), "elements:", *elements])
    agency = load_agency(write_agency(tmp_path_factory.mktemp("spec"), {"students": feed}))
    sent = {f"C{n}": case[1].replace("~", " ").replace("\\n", "\n") for n, case in enumerate(CASES)}
    row = convert(agency, [sent])[0]
    problems = dict(text.split(":") for text in (row["_problems"] or "").split())
    missing = dict(text.split(":") for text in (row["_missing"] or "").split())
    return [[_shown(row[e]), problems.get(e, ""), missing.get(e, "")] for e in (f"e{n}" for n in range(len(CASES)))]


def _shown(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: " / ".join(CASES[n][:2]))
def test_a_text_becomes_the_value_the_language_says(results: list[list[str]], number: int) -> None:
    assert results[number] == (CASES[number] + ["", ""])[2:5]
