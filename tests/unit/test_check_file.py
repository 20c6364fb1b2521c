"""What is said of a file before it is sent is what its receipt says once it has come."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flows.check_file import check_file
from receipts.owed import describe_delivery
from store.ledger import extract
from tests.exchange import MONDAY, small_exchange
from tests.school import PUPILS, School

ONE_LESS = PUPILS.replace("004213,Ines,Valdrin,2014-02-20,3,11C\n", "")


def sent_and_checked(school: School, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The check of a file of students on the day it is sent, and its receipt of the night after."""
    day = MONDAY + timedelta(days=school.nights)
    name = f"students_{day:%Y%m%d}.csv"
    school.small.put(name, text)
    checked = check_file(school.home, school.small.drop / name, "hillside_schools/students", now=day)
    school.night(students=text)
    with school.ledger.reading() as connection:
        of = connection.execute(sa.select(extract.c.extract_id).where(extract.c.name == name)).scalar_one()
    return checked, describe_delivery(school.home, school.ledger, school.agency, of, overdue=[])


def test_the_check_of_a_file_is_its_receipt_also_where_it_says_again_what_an_earlier_one_said(tmp_path: Path) -> None:
    school = School(small_exchange(tmp_path, agencies=("hillside_schools",)))
    held = "Wrong,Header\n1,2\n"
    verdicts = []
    for text in (PUPILS, PUPILS, ONE_LESS, PUPILS, held, held):
        checked, receipt = sent_and_checked(school, text)
        for part in ("verdict", "reason", "rows", "duplicate_of"):
            assert checked[part] == receipt[part], (part, len(verdicts))
        verdicts.append(receipt["verdict"])
    assert verdicts == ["accepted", "duplicate", "accepted", "accepted", "held", "duplicate"]
