"""Every delivery is answered once by a signed receipt in the agency's own words, whatever became of it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from flows.night import run_night
from flows.remap import remap_agency
from flows.settings import load_agencies_of, load_settings
from standard.errors import ExtractError
from store.ledger import extract, open_ledger, receipt
from store.runs import hold_home
from store.sign import public_key, verify
from tests.exchange import MONDAY, STUDENTS, TUESDAY, SmallExchange, small_exchange

HEADER = STUDENTS.splitlines()[0]


@pytest.fixture
def exchange(tmp_path: Path) -> SmallExchange:
    """The small exchange, its schools with a folder for receipts and an archive."""
    made = small_exchange(tmp_path)
    with_folders(made)
    return made


def with_folders(exchange: SmallExchange, **more: object) -> None:
    settings = yaml.safe_load(exchange.home.settings_file.read_text())
    folder: dict[str, object] = {"path": str(exchange.drop), "settle": "0", **more}
    for name in ("receipts", "archive", "outbox"):
        (exchange.drop.parent / name).mkdir(exist_ok=True)
        folder[name] = str(exchange.drop.parent / name)
    settings["sources"] = {"hillside_schools": {"drop": {"folder": folder}}}
    exchange.home.settings_file.write_text(yaml.safe_dump(settings))


def sent(exchange: SmallExchange) -> list[dict[str, Any]]:
    """The receipts that the schools found, in the order of their names; each is checked to be what was signed."""
    found = []
    for path in sorted((exchange.drop.parent / "receipts").glob("*.json")):
        verify(path.read_bytes(), path.with_name(f"{path.name}.sig").read_bytes(), public_key(exchange.home.keys))
        assert path.with_suffix(".html").read_text().startswith("<!doctype html>")
        found.append(json.loads(path.read_text()))
    return found


def of(receipts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(receipt for receipt in receipts if receipt["delivery"]["name"] == name)


def test_a_receipt_tells_by_line_and_column_what_was_not_taken(exchange: SmallExchange) -> None:
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    (told,) = sent(exchange)
    assert (told["verdict"], told["feed"], told["delivery"]["as_of"]) == ("accepted", "students", "2026-09-07")
    rows = told["rows"]
    assert rows["received"] == 4 == rows["accepted"] + rows["quarantined"] + rows["duplicate"] + rows["withheld"]
    (finding,) = [each for each in told["findings"] if each["severity"] == "error"]
    assert (finding["columns"], finding["counted_in"], finding["first"], finding["more"]) == (["Last"], "lines", [5], 0)
    assert finding["mend"]
    assert told["asked_for"]["elements"] == [{"element": "surname", "columns": ["Last"], "rows": 1}]


def test_a_receipt_holds_no_value_of_a_person(exchange: SmallExchange) -> None:
    exchange.put_students(STUDENTS + "004219,Zebulon,Farquhar,1313-13-13,Q,99Z\n")
    run_night(exchange.home, now=MONDAY)
    told = [path.read_text() for path in (exchange.drop.parent / "receipts").glob("*.[jh]*") if path.suffix != ".sig"]
    assert len(told) == 2
    for value in ("Amara", "Osei", "Zebulon", "Farquhar", "004219", "1313", "99Z", "2013-04-02"):
        assert not any(value in text for text in told), value


def test_every_delivery_is_answered_once(exchange: SmallExchange) -> None:
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    run_night(exchange.home, now=MONDAY)
    assert len(sent(exchange)) == 1


def test_what_was_sent_again_is_told_to_be_a_duplicate(exchange: SmallExchange) -> None:
    exchange.put_students()
    exchange.put_students(day="20260908")
    run_night(exchange.home, now=MONDAY)
    again = of(sent(exchange), "students_20260908.csv")
    assert (again["verdict"], again["duplicate_of"]["name"]) == ("duplicate", "students_20260907.csv")
    assert again["rows"]["received"] is None


def test_a_held_file_is_told_to_be_held_and_why(exchange: SmallExchange) -> None:
    exchange.put_students("Wrong,Header\n1,2\n")
    run_night(exchange.home, now=MONDAY)
    (told,) = sent(exchange)
    assert (told["verdict"], told["reason"], told["rows"]["quarantined"]) == (
        "held",
        "layout",
        told["rows"]["received"],
    )
    assert told["mend"] and told["of_the_file"]


def test_what_no_feed_expects_is_refused_with_a_receipt_and_once(exchange: SmallExchange) -> None:
    exchange.put("Copy of students (final).xlsx", "anything")
    exchange.put("<script>alert(1)</script>.csv".replace("/", "_"), "anything")
    run_night(exchange.home, now=MONDAY)
    run_night(exchange.home, now=MONDAY)
    told = sent(exchange)
    assert [(each["verdict"], each["reason"], each["feed"]) for each in told] == [("refused", "not_expected", None)] * 2
    pages = [path.read_text() for path in (exchange.drop.parent / "receipts").glob("*.html")]
    assert not any("<script>" in page for page in pages)


def test_a_delivery_is_compared_with_those_before(exchange: SmallExchange) -> None:
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    exchange.put_students(STUDENTS + "004215,Pia,Lindqvist,2012-05-06,X,12B\n", day="20260908")
    run_night(exchange.home, now=TUESDAY)
    compared = of(sent(exchange), "students_20260908.csv")["compared"]
    assert (compared["deliveries_before"], compared["rows"], compared["rows_last"], compared["rows_usual"]) == (
        1,
        5,
        4,
        4,
    )
    assert (compared["quarantined_share"], compared["quarantined_share_last"]) == (0.2, 0.25)
    assert compared["new_codes"] == 1


def test_a_feed_that_has_not_come_is_asked_for(exchange: SmallExchange) -> None:
    run_night(exchange.home, now=MONDAY)
    exchange.put("unknown.txt", "x")
    run_night(exchange.home, now=TUESDAY.replace(day=29))
    (told,) = sent(exchange)
    assert [each["feed"] for each in told["asked_for"]["feeds"]] == ["students"]


def test_a_table_that_brought_rows_is_answered_in_the_home(exchange: SmallExchange) -> None:
    exchange.record(("P1", "AMARA", "OSEI", "2013-04-02", "2026-09-01 10:00:00"))
    run_night(exchange.home, now=MONDAY)
    run_night(exchange.home, now=TUESDAY)
    (path,) = (exchange.home.receipts / "valley_court").glob("*.json")
    assert json.loads(path.read_text())["verdict"] == "accepted"
    assert path.stat().st_mode & 0o777 == 0o600


def test_where_the_folder_cannot_be_written_the_next_run_sends(exchange: SmallExchange) -> None:
    exchange.put_students()
    receipts = exchange.drop.parent / "receipts"
    receipts.rename(receipts.with_name("away"))
    result = run_night(exchange.home, now=MONDAY)
    assert [failure.stage for failure in result.failures] == ["answer"] and result.exit_status == 4
    receipts.with_name("away").rename(receipts)
    assert run_night(exchange.home, now=MONDAY).failures == ()
    assert len(sent(exchange)) == 1


def test_a_receipt_that_is_lost_before_it_is_sent_is_written_again(exchange: SmallExchange) -> None:
    exchange.put_students()
    receipts = exchange.drop.parent / "receipts"
    receipts.rename(receipts.with_name("away"))
    run_night(exchange.home, now=MONDAY)
    receipts.with_name("away").rename(receipts)
    rmtree(exchange.home.receipts)
    assert run_night(exchange.home, now=MONDAY).failures == ()
    assert [each["verdict"] for each in sent(exchange)] == ["accepted"]


def test_a_receipt_that_a_kill_left_half_is_whole_after_the_next_run(exchange: SmallExchange) -> None:
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    for path in [
        *(exchange.drop.parent / "receipts").iterdir(),
        *(exchange.home.receipts / "hillside_schools").glob("*.sig"),
    ]:
        path.unlink()  # the files were not all written, nor the line of the ledger
    ledger = open_ledger(exchange.home.ledger_file)
    with ledger.writing() as connection:
        connection.execute(receipt.delete())
    ledger.close()
    run_night(exchange.home, now=MONDAY)
    assert len(sent(exchange)) == 1


def test_a_file_that_waited_for_more_is_answered_anew_when_it_is_taken(exchange: SmallExchange) -> None:
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    ledger = open_ledger(exchange.home.ledger_file)
    with ledger.writing() as connection:
        connection.execute(receipt.update().values(verdict="held unlisted"))
    ledger.close()
    run_night(exchange.home, now=MONDAY)
    assert [each["receipt"][-2:] for each in sent(exchange)] == ["-1", "-2"]


def test_one_byte_changed_is_no_receipt_of_ours(exchange: SmallExchange) -> None:
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    (path,) = (exchange.drop.parent / "receipts").glob("*.json")
    signature = path.with_name(f"{path.name}.sig").read_bytes()
    with pytest.raises(ExtractError, match="not what the exchange signed") as told:
        changed = path.read_bytes().replace(b"accepted", b"Accepted", 1)
        verify(changed, signature, public_key(exchange.home.keys), where=path.name)
    assert told.value.where == path.name


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs OpenSSL's program")
def test_openssl_verifies_a_receipt(exchange: SmallExchange, tmp_path: Path) -> None:
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    (path,) = (exchange.drop.parent / "receipts").glob("*.json")
    (tmp_path / "key.pem").write_text(public_key(exchange.home.keys))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key.pem", "-rawin", "-in", path,
               "-sigfile", f"{path}.sig"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def packed(exchange: SmallExchange) -> Iterator[SmallExchange]:
    """The schools send gzip files."""
    feed = exchange.home.agencies / "hillside_schools" / "students.yaml"
    declared = feed.read_text().replace("arrives: {", "arrives: {packed: [gzip], ", 1)
    assert "packed" in declared
    feed.write_text(declared)
    yield exchange


def test_a_receipt_tells_the_hash_of_what_was_sent_and_of_what_was_in_it(packed: SmallExchange) -> None:
    (packed.drop / "students_20260907.csv").write_bytes(gzip.compress(STUDENTS.encode()))
    run_night(packed.home, now=MONDAY)
    (told,) = sent(packed)
    assert told["verdict"] == "accepted" and told["rows"]["received"] == 4
    assert told["delivery"]["size"] != len(STUDENTS) and told["delivery"]["content_sha256"] is not None


def test_a_bomb_is_refused_with_a_receipt_and_its_feed_goes_on(packed: SmallExchange) -> None:
    (packed.drop / "students_20260906.csv").write_bytes(gzip.compress(bytes(80 << 20)))
    (packed.drop / "students_20260907.csv").write_bytes(gzip.compress(STUDENTS.encode()))
    result = run_night(packed.home, now=MONDAY)
    assert result.exit_status == 5 and len(result.held) == 1
    told = sent(packed)
    assert of(told, "students_20260907.csv")["verdict"] == "accepted"
    refused = of(told, "students_20260906.csv")
    assert (refused["verdict"], refused["reason"], refused["rows"]["received"]) == ("refused", "archive_bomb", None)
    assert refused["mend"]
    assert os.listdir(packed.drop) == []  # noqa: PTH208 - both were moved to the archive


def test_an_older_ledger_owes_no_receipt_of_what_it_knew(tmp_path: Path) -> None:
    exchange = small_exchange(tmp_path)
    exchange.put_students()
    run_night(exchange.home, now=MONDAY)
    ledger = open_ledger(exchange.home.ledger_file)
    with ledger.writing() as connection:
        steps = connection.execute(sa.text("SELECT max(version) FROM ledger_version")).scalar_one()
        for table in ("receipt", "refusal", "packed"):
            connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("DELETE FROM ledger_version WHERE version >= 5"))
        assert steps >= 5
    ledger.close()
    shutil.rmtree(exchange.home.receipts)
    with_folders(exchange)
    run_night(exchange.home, now=MONDAY)
    assert sent(exchange) == []


def test_what_was_never_opened_is_not_mapped_again(packed: SmallExchange) -> None:
    (packed.drop / "students_20260906.csv").write_bytes(b"no gzip")
    (packed.drop / "students_20260907.csv").write_bytes(gzip.compress(STUDENTS.encode()))
    run_night(packed.home, now=MONDAY)
    crosswalk = packed.home.agencies / "hillside_schools" / "crosswalks" / "sex.csv"
    crosswalk.write_text(crosswalk.read_text() + "Q,X,exact\n")
    ledger = open_ledger(packed.home.ledger_file)
    settings = load_settings(packed.home)
    agency = load_agencies_of(packed.home, settings)["hillside_schools"]
    with hold_home(packed.home):
        remap_agency(
            packed.home, settings, agency, ledger=ledger, anew=frozenset({"students"}), progress=lambda _: None
        )
    with ledger.reading() as connection:
        held = connection.execute(sa.select(extract.c.status_reason).where(extract.c.status == "held")).scalars().all()
    ledger.close()
    assert held == ["archive_broken"]
