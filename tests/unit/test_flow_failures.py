"""What an error becomes before anybody is told: errors of ours in full, any other only by class and place."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from flows.failures import Failure, failure_of, from_json, own_frames, scrubbed, to_json
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError, SourceError
from store.ledger import code_pending, open_ledger

CANARY = "Amara Osei 2013-04-02"


def fails_on_a_row() -> None:
    duckdb.connect().execute(f"SELECT CAST('{CANARY}' AS DATE)")


def test_an_error_of_ours_keeps_what_where_and_mend() -> None:
    failure = failure_of(SourceError("refused", where="sftp", mend="pin the key"), stage="fetch", agency="town")
    assert failure == Failure("fetch", "town", "SourceError", "refused", "sftp", "pin the key", 4)


def test_of_any_other_error_only_its_class_and_our_own_lines_are_told() -> None:
    with pytest.raises(duckdb.Error) as raised:
        fails_on_a_row()
    assert CANARY in str(raised.value)  # or this test could not fail
    failure = failure_of(raised.value, stage="map")
    assert (failure.what, failure.exit_status) == ("unexpected ConversionException", 1)
    assert CANARY not in str(failure) + repr(failure)


def test_the_places_in_our_own_code_are_told_innermost_first() -> None:
    with pytest.raises(DeclarationError) as raised:
        read_declaration(Path(__file__), Declared)
    assert own_frames(raised.value)[0].startswith("standard/declarations.py:")


def test_what_crosses_to_prefect_holds_no_text_of_the_error() -> None:
    failure = Failure("map", "town", "ConversionException", "unexpected", CANARY, CANARY, 1)
    assert str(scrubbed(failure)) == "map of town: ConversionException, exit status 1"
    assert CANARY.encode() not in pickle.dumps(scrubbed(failure))  # Prefect pickles it into a file


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_what_it_is(number: int) -> None:
    assert failure_of(OSError(number, "no room"), stage="map").what == "the disk is full"


def test_a_ledger_that_finds_the_disk_full_says_so_and_shows_no_value(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.db")
    row = {"agency": "town", "feed": "students", "element": "sex", "first_extract": "x", "last_extract": "x", "rows": 1}
    with pytest.raises(sa.exc.OperationalError) as raised, ledger.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        connection.execute(code_pending.insert(), [{**row, "value": f"{CANARY} {n}"} for n in range(5000)])
    ledger.close()
    assert failure_of(raised.value, stage="check").what == "the disk is full"
    assert CANARY not in str(raised.value)


def test_failures_come_back_from_the_ledger_as_they_went_in() -> None:
    failure = failure_of(SourceError("refused", where="sftp", mend="pin the key"), stage="fetch", agency="town")
    assert from_json(to_json([failure])) == [failure]
    assert from_json("killed") == from_json(None) == []
