"""Whatever an agency is told of a record or a file that could not be read says how to mend it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from expectations.quarantine import MENDS, mend_of

DESIGN = (Path(__file__).resolve().parents[2] / "docs" / "design.md").read_text(encoding="utf-8")
_UNREADABLE = re.search(r"for records that could not be split \((.*?)\)", DESIGN, re.DOTALL)
_PROBLEMS = re.search(r"Problem codes: (.*?)\.\n", DESIGN, re.DOTALL)
assert _UNREADABLE and _PROBLEMS
CODES = [*re.findall(r"`(\w+)`", _UNREADABLE[1]), *re.findall(r"\w+", _PROBLEMS[1])]


@pytest.mark.parametrize("code", CODES)
def test_every_documented_code_says_how_to_mend(code: str) -> None:
    assert MENDS[code]


@pytest.mark.parametrize("code", ["missing_column", "new_column", "repeated_column", "wrong_delimiter",
                                  "missing_header", "several_sheets", "no_sheet", "no_final_line_end"])  # fmt: skip
def test_what_is_found_of_a_whole_file_is_told_with_how_to_mend_it(code: str) -> None:
    assert mend_of(code)
