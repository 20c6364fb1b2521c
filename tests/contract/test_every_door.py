"""What holds for whatever comes, through whichever door: SFTP, a folder, SQLite, PostgreSQL."""

from __future__ import annotations

import hashlib
import stat

import pytest

from connectors.doors import open_door, probe
from connectors.wanted import FilesWanted, TableWanted
from standard.errors import DeclarationError, SourceError
from store.extracts import Status
from tests.contract.conftest import Agency, Exchange

LINES = ["id,name", "0091530,Quill", "0091531,Ode"]


def test_what_is_new_arrives_once_and_whole(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    (extract,) = exchange.poll(agency.source, agency.wanted).extracts
    assert agency.lines(extract) == LINES
    assert (extract.status, extract.seq) == (Status.LANDED, 1)


def test_what_is_unchanged_changes_nothing(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    exchange.poll(agency.source, agency.wanted)
    before = exchange.contents()
    again = exchange.poll(agency.source, agency.wanted)
    assert [extract.status for extract in again.extracts if extract.status != Status.DUPLICATE] == []
    assert exchange.contents() == before


def test_the_same_content_sent_anew_is_a_duplicate(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    (first,) = exchange.poll(agency.source, agency.wanted).extracts
    agency.send(LINES, again=True)
    (second,) = exchange.poll(agency.source, agency.wanted).extracts
    assert second.status == Status.DUPLICATE
    assert (second.sha256, second.path) == (first.sha256, first.path)
    assert second.extract_id != first.extract_id


def test_changed_content_is_a_new_extract(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    exchange.poll(agency.source, agency.wanted)
    agency.send([*LINES, "0091532,Rook"])
    (second,) = exchange.poll(agency.source, agency.wanted).extracts
    assert second.status == Status.LANDED
    assert agency.lines(second)[-1] == "0091532,Rook"


def test_an_agency_that_sends_nothing_is_no_error(exchange: Exchange, agency: Agency) -> None:
    agency.send([])
    (extract,) = exchange.poll(agency.source, agency.wanted).extracts
    assert agency.lines(extract) == []


def test_what_lands_is_named_by_its_content_and_private(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    (extract,) = exchange.poll(agency.source, agency.wanted).extracts
    assert exchange.contents() == [extract.path]
    assert extract.path.name == extract.sha256 == hashlib.sha256(extract.path.read_bytes()).hexdigest()
    assert stat.S_IMODE(extract.path.stat().st_mode) == 0o600
    assert extract.size == extract.path.stat().st_size


def test_what_is_not_there_is_a_clear_error(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    source, wanted = agency.missing()
    with pytest.raises(SourceError) as raised:
        exchange.poll(source, wanted)
    assert raised.value.where and raised.value.mend
    assert exchange.contents() == []


def test_two_feeds_may_read_the_same_content(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    (one,) = exchange.poll(agency.source, agency.wanted, feed="students").extracts
    (other,) = exchange.poll(agency.source, agency.wanted, feed="pupils").extracts
    assert one.status == other.status == Status.LANDED
    assert one.extract_id != other.extract_id


def test_a_door_that_is_asked_for_what_it_has_not_says_so(exchange: Exchange, agency: Agency) -> None:
    other = TableWanted("STUDENT") if isinstance(agency.wanted, FilesWanted) else FilesWanted("*.csv")
    with pytest.raises(DeclarationError):
        exchange.poll(agency.source, other)


def test_a_probe_tells_what_is_there_and_no_secret(exchange: Exchange, agency: Agency) -> None:
    agency.send(LINES)
    told = probe(agency.source, exchange.secrets)
    assert "1 files" in told or "tables and views" in told
    for secret in exchange.secrets.keys.glob("maple_*"):
        assert secret.read_text() not in told
    with open_door(agency.source, exchange.secrets) as door:
        assert door.place in told
