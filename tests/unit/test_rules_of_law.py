"""Rules of law by state and date: who is a juvenile, what is truancy, which school year a day is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from mappings.compile import install_macros
from standard import rules
from standard.errors import DeclarationError
from standard.rules import COLUMNS, read_rule


def ask(expression: str) -> Any:
    with duckdb.connect() as con:
        install_macros(con, called_in=expression)
        return con.execute(f"SELECT {expression}").fetchall()[0][0]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("is_juvenile('MA', DATE '1996-03-01', DATE '2013-09-17')", False),  # 17, the day before the law changed
        ("is_juvenile('MA', DATE '1996-03-01', DATE '2013-09-18')", True),
        ("is_juvenile('MA', DATE '2007-01-01', DATE '2018-07-12')", False),  # 11, too young from then on
        ("is_juvenile('NY', DATE '2002-10-02', DATE '2019-09-30')", True),  # 16
        ("is_juvenile('NY', DATE '2002-10-01', DATE '2019-09-30')", True),
        ("is_juvenile('NY', DATE '2002-09-30', DATE '2019-09-30')", False),  # 17, a day before
        ("is_juvenile('NY', DATE '2002-09-30', DATE '2019-10-01')", True),
        ("is_juvenile('TX', DATE '2009-05-05', DATE '2026-05-05')", False),  # seventeen today
        ("is_juvenile('ZZ', DATE '2009-05-05', DATE '2026-05-05')", None),
        ("is_juvenile('TX', NULL, DATE '2026-05-05')", None),
        ("school_year_of('NY', DATE '2026-06-30')", "2025-2026"),
        ("school_year_of('NY', DATE '2026-07-01')", "2026-2027"),
        ("school_year_of('WA', DATE '2026-07-01')", "2025-2026"),
        ("school_year_of('MA', DATE '2026-07-01')", None),
        ("truant_days('CT', DATE '2026-01-05', 'month')", 4),
        ("truant_days('CT', DATE '2026-01-05', 'school_year')", 10),
        ("truant_days('TX', DATE '2015-08-31', '6_months')", None),  # the law began the day after
    ],
)
def test_the_rule_of_the_state_and_day_answers(asked: str, answer: object) -> None:
    assert ask(asked) == answer


@pytest.mark.parametrize("name", COLUMNS)
def test_every_line_names_a_statute_and_holds_alone(name: str) -> None:
    assert all(rule["statute"] for rule in read_rule(name))


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("MA,,,07-01,\n", "statute"), ("ma,,,07-01,s\n", "state"), ("MA,,,13-01,s\n", "begins"),
        ("MA,,2020-01-01,07-01,s\nMA,2020-01-01,,08-01,s\n", "same days"),
        ("MA,,,07-01,s\nMA,2020-01-01,,08-01,s\n", "same days"),
        ("MA,2020,,07-01,s\n", "valid_from"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, lines: str, what: str) -> None:
    (tmp_path / "school_year.csv").write_text(f"state,valid_from,valid_to,begins,statute\n{lines}")
    with pytest.raises(DeclarationError, match=what):
        rules.read_rule("school_year", tmp_path)
