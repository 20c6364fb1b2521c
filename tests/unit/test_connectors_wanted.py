"""Which file names a pattern wants, and what date they speak of."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.wanted import FilesWanted, parse_overlap
from standard.errors import DeclarationError

TODAY = date(2026, 3, 30)

CASES = """
students_{as_of:%Y%m%d}*.csv   students_20260323.csv          2026-03-23
students_{as_of:%Y%m%d}*.csv   students_20260323_RESEND.csv   2026-03-23
students_{as_of:%Y%m%d}*.csv   students_20260323.csv.part     -
students_{as_of:%Y%m%d}*.csv   xstudents_20260323.csv         -
students_{as_of:%Y%m%d}*.csv   students_20261323.csv          -
students_{as_of:%Y%m%d}*.csv   Students_20260323.csv          -
NCANDS_{as_of:%Y%m}.dat        NCANDS_202602.dat              2026-02-28
NCANDS_{as_of:%Y%m}.dat        NCANDS_202402.dat              2024-02-29
NCANDS_{as_of:%Y%m}.dat        NCANDS_layout.csv              -
annual_{as_of:%Y}.csv          annual_2025.csv                2025-12-31
x_{as_of:%m-%d-%y}.txt         x_03-23-26.txt                 2026-03-23
x_{as_of:%Y%m%d_%H%M%S}.txt    x_20260323_235959.txt          2026-03-23
x_{as_of:%Y.%j}.txt            x_2026.032.txt                 2026-02-01
x_{as_of:%Y.%j}.txt            x_2026x032.txt                 -
roster?.csv                    roster1.csv                    2026-03-30
roster?.csv                    roster12.csv                   -
*.csv                          a/b.csv                        -
a+(b).csv                      a+(b).csv                      2026-03-30
a.csv                          axcsv                          -
"""


@pytest.mark.parametrize("case", [line for line in CASES.splitlines() if line])
def test_a_name_is_wanted_and_dated_by_its_pattern(case: str) -> None:
    pattern, name, expected = case.split()
    as_of = FilesWanted(pattern).as_of(name, read_on=TODAY)
    assert ("-" if as_of is None else as_of.isoformat()) == expected


@pytest.mark.parametrize(
    "pattern", ["a/{as_of:%Y}.csv", "{as_of:%Y}{as_of:%m}.csv", "{as_of:%B %Y}", "{date}.csv", "{as_of:%m%d}.csv"]
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str) -> None:
    with pytest.raises(DeclarationError):
        FilesWanted(pattern)


def test_a_name_may_hold_line_ends() -> None:
    assert FilesWanted("*.csv").as_of("a\nb.csv", read_on=TODAY) == TODAY
    assert FilesWanted("a.csv").as_of("a.csv\n", read_on=TODAY) is None


@given(st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)), st.sampled_from(["%Y%m%d", "%y-%m-%d", "%Y.%j"]))
def test_every_date_that_is_written_is_read(moment: datetime, form: str) -> None:
    wanted = FilesWanted(f"x_{{as_of:{form}}}_*.csv")
    assert wanted.as_of(f"x_{moment:{form}}_1.csv", read_on=TODAY) == moment.date()


SHOWN = """
students_{as_of:%Y%m%d}*.csv     students_20260323_Ode.csv   students_20260323*.csv
students_{as_of:%Y%m%d}*.csv     students_20260323.csv       students_20260323*.csv
*_{sequence}_{as_of:%Y%m%d}.csv  Ode_017_20260323.csv        *_017_20260323.csv
?roster*b*.csv                   xroster_Ode_b_Ana.csv       *roster*b*.csv
roster.csv                       roster.csv                  roster.csv
roster.csv                       Ode.csv                     *
"""


@pytest.mark.parametrize("case", [line for line in SHOWN.splitlines() if line])
def test_of_a_name_operators_see_what_the_pattern_fixes(case: str) -> None:
    pattern, name, expected = case.split()
    assert FilesWanted(pattern).shown(name) == expected


@given(st.text(max_size=30))
def test_no_name_breaks_a_pattern(name: str) -> None:
    wanted = FilesWanted("x_{as_of:%Y%m%d}*.csv")
    assert wanted.as_of(name, read_on=TODAY) is None or name.startswith("x_")


def test_an_overlap_is_a_span_or_a_number() -> None:
    assert parse_overlap("1 day") == timedelta(days=1)
    assert parse_overlap("90 minutes") == timedelta(minutes=90)
    assert parse_overlap("1000") == 1000
    for wrong in ("", "1 month", "-1 day", "day"):
        with pytest.raises(DeclarationError):
            parse_overlap(wrong)
