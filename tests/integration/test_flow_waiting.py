"""Several files of one feed that wait together: the newest good one speaks, a bad one puts out nothing."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from flows.night import run_night
from flows.settings import load_agencies_of, load_settings
from flows.status import read_status
from record.reader import open_record
from store.ledger import extract, open_ledger
from tests.exchange import STUDENTS, TUESDAY, SmallExchange, small_exchange


def test_a_newer_bad_file_does_not_put_out_the_older_good_one_that_waits_beside_it(tmp_path: Path) -> None:
    small = small_exchange(tmp_path, agencies=("hillside_schools",))
    small.put_students(day="20260907")
    small.put_students("A;B\n1;2\n", day="20260908")
    run_night(small.home, now=TUESDAY)
    assert statuses(small) == {"students_20260907.csv": "loaded", "students_20260908.csv": "held"}
    assert mentions(small) == 3


def test_a_newer_good_file_puts_out_the_older_one_that_waits_beside_it(tmp_path: Path) -> None:
    small = small_exchange(tmp_path, agencies=("hillside_schools",))
    small.put_students(day="20260907")
    small.put_students(STUDENTS.replace("004214,Bo,,", "004214,Bo,Hargreen,"), day="20260908")
    run_night(small.home, now=TUESDAY)
    assert statuses(small) == {"students_20260907.csv": "superseded", "students_20260908.csv": "loaded"}
    assert mentions(small) == 4


def left(small: SmallExchange) -> list[str]:
    """The files that status says were left at the source."""
    ledger = open_ledger(small.home.ledger_file)
    agencies = load_agencies_of(small.home, load_settings(small.home))
    found = read_status(small.home, ledger, agencies, now=TUESDAY).left
    ledger.close()
    return [f"{row['agency']}/{row['feed']} {row['name']}" for row in found]


def test_a_file_that_was_just_written_is_told_by_status_until_it_is_taken_or_gone(tmp_path: Path) -> None:
    small = small_exchange(tmp_path, agencies=("hillside_schools",))
    settings = small.home.settings_file
    settings.write_text(settings.read_text("utf-8").replace("settle: 0", "settle: 60"), "utf-8")
    young = small.drop / "students_20260907.csv"
    young.write_text(STUDENTS, encoding="utf-8")
    run_night(small.home, now=TUESDAY)
    assert left(small) == ["hillside_schools/students students_20260907.csv"]
    young.unlink()
    run_night(small.home, now=TUESDAY)
    assert left(small) == []


def statuses(small: SmallExchange) -> dict[str, str]:
    """File -> where its extract stands."""
    ledger = open_ledger(small.home.ledger_file)
    with ledger.reading() as connection:
        found = connection.execute(sa.select(extract.c.name, extract.c.status)).all()
    ledger.close()
    return {row.name: row.status for row in found}


def mentions(small: SmallExchange) -> int:
    """How many mentions of persons the record has."""
    return int(open_record(small.home).table("person_source").to_arrow().num_rows)
