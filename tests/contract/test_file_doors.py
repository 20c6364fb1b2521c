"""What holds for files, whether they come by SFTP or from a folder."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from connectors.sources import Source
from connectors.wanted import FilesWanted
from store.extracts import Status
from store.landing import Landing
from store.parts import Listed, Part
from tests.contract.conftest import Exchange, FileAgency

HOSTILE = [
    b"-rf.csv", b"..csv", b"...csv", b"~.csv", b"a b.csv", b"a\nb.csv", b"\x1b[31mred.csv", b"$(touch x).csv",
    b"'; DROP TABLE extract; --.csv", b"a\\b.csv", b"%2e%2e%2fx.csv", b"con.csv", b"CON.csv", b"caf\xe9.csv",
    "ÅÅ‮vsc.csv".encode(), "child\u200b.csv".encode(), b"x" * 251 + b".csv",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_data_and_never_a_path(exchange: Exchange, file_agency: FileAgency, name: bytes) -> None:
    file_agency.put(name, b"content")
    (extract,) = exchange.poll(file_agency.source, FilesWanted("*.csv")).extracts
    assert exchange.contents() == [exchange.landing.path_of(extract.sha256)]
    assert extract.name == name.decode("utf-8", "backslashreplace")
    assert exchange.poll(file_agency.source, FilesWanted("*.csv")).extracts == []


def test_links_folders_and_pipes_are_never_read(exchange: Exchange, file_agency: FileAgency) -> None:
    secret = exchange.root / "secret"
    secret.write_text("not for the exchange")
    (file_agency.folder / "link.csv").symlink_to(secret)
    (file_agency.folder / "folder.csv").mkdir()
    os.mkfifo(file_agency.folder / "pipe.csv")
    received = exchange.poll(file_agency.source, FilesWanted("*.csv"))
    assert (received.extracts, received.left, exchange.contents()) == ([], [], [])


def test_only_names_that_fit_the_pattern_are_fetched(exchange: Exchange, file_agency: FileAgency) -> None:
    for name in ("students_20260301.csv", "students_20260301.csv.part", "xstudents_20260301.csv", "students_2026.csv"):
        file_agency.put(name, name.encode())
    (extract,) = exchange.poll(file_agency.source, file_agency.wanted).extracts
    assert (extract.name, extract.as_of) == ("students_20260301.csv", date(2026, 3, 1))


def test_files_arrive_in_the_order_they_speak_of(exchange: Exchange, file_agency: FileAgency) -> None:
    days = list(range(1, 8))
    random.Random(4).shuffle(days)
    for age, day in enumerate(days):
        file_agency.put(f"students_202603{day:02}.csv", b"%d" % day, age=3600 + age)
    extracts = exchange.poll(file_agency.source, file_agency.wanted).extracts
    assert [extract.as_of.day for extract in extracts] == [1, 2, 3, 4, 5, 6, 7]
    assert [extract.seq for extract in extracts] == [1, 2, 3, 4, 5, 6, 7]


def test_a_file_that_was_just_written_is_left_until_it_has_settled(exchange: Exchange, file_agency: FileAgency) -> None:
    path = file_agency.put("students_20260301.csv", b"half", age=5)
    received = exchange.poll(file_agency.source, file_agency.wanted)
    assert received.extracts == [] and [left.reason for left in received.left] == [
        "it has not stood still for 60 seconds"
    ]
    path.write_bytes(b"half and whole")
    os.utime(path, (time.time() - 61, time.time() - 61))
    (extract,) = exchange.poll(file_agency.source, file_agency.wanted).extracts
    assert extract.path.read_bytes() == b"half and whole"


def test_where_the_senders_clock_is_ahead_a_file_is_taken_when_it_stood_still_between_polls(
    exchange: Exchange, file_agency: FileAgency
) -> None:
    source = with_settle(file_agency.source, 1)
    file_agency.put("students_20260301.csv", b"whole", age=-7200)
    assert exchange.poll(source, file_agency.wanted).extracts == []
    file_agency.put("students_20260301.csv", b"whole now", age=-7300)
    time.sleep(1.1)
    assert exchange.poll(source, file_agency.wanted).extracts == []  # it has changed since the poll before
    time.sleep(1.1)
    (extract,) = exchange.poll(source, file_agency.wanted).extracts
    assert extract.path.read_bytes() == b"whole now"


def with_settle(source: Source, seconds: float) -> Source:
    """The same source with another waiting time."""
    door = source.declared.model_copy(update={"settle": seconds})
    return source.model_copy(update={"folder" if source.folder else "sftp": door})


@dataclass(frozen=True)
class Meddled(Landing):
    """A landing area that lets the agency go on writing while a file is fetched."""

    path: Path = Path()
    when: str = ""

    def part(self, source: str, listed: Listed) -> Part:
        part = super().part(source, listed)
        if self.when == "before":
            self._meddle()
        write = part.write

        def meddled(offset: int, blocks: list[bytes]) -> None:
            write(offset, blocks)
            self._meddle()

        if self.when == "during":
            part.write = meddled  # type: ignore[method-assign,assignment]
        return part

    def _meddle(self) -> None:
        with self.path.open("ab") as stream:
            stream.write(b"more")


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_file_that_grows_while_it_is_fetched_is_left(exchange: Exchange, file_agency: FileAgency, when: str) -> None:
    source = with_settle(file_agency.source, 0)
    path = file_agency.put("students_20260301.csv", b"x" * 300_000)
    landing = Meddled(exchange.landing.folder, path=path, when=when)
    received = exchange.poll(source, file_agency.wanted, landing=landing)
    assert received.extracts == [] and [left.reason for left in received.left] == ["changed while it was read"]
    assert exchange.contents() == []
    (extract,) = exchange.poll(source, file_agency.wanted).extracts
    assert extract.path.read_bytes() == path.read_bytes()


def test_a_file_replaced_under_its_name_is_new(exchange: Exchange, file_agency: FileAgency) -> None:
    file_agency.put("students_20260301.csv", b"first", age=7200)
    exchange.poll(file_agency.source, file_agency.wanted)
    file_agency.put("students_20260301.csv", b"other", age=3600)
    (extract,) = exchange.poll(file_agency.source, file_agency.wanted).extracts
    assert (extract.status, extract.path.read_bytes()) == (Status.LANDED, b"other")


def test_a_file_touched_but_not_changed_is_a_duplicate(exchange: Exchange, file_agency: FileAgency) -> None:
    file_agency.put("students_20260301.csv", b"first", age=7200)
    exchange.poll(file_agency.source, file_agency.wanted)
    file_agency.put("students_20260301.csv", b"first", age=3600)
    (extract,) = exchange.poll(file_agency.source, file_agency.wanted).extracts
    assert extract.status == Status.DUPLICATE
    assert exchange.poll(file_agency.source, file_agency.wanted).extracts == []


@pytest.mark.parametrize("size", [0, 1, 32 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_001])
def test_every_size_arrives_whole(exchange: Exchange, file_agency: FileAgency, size: int) -> None:
    content = random.Random(size).randbytes(size)
    file_agency.put("students_20260301.csv", content)
    (extract,) = exchange.poll(file_agency.source, file_agency.wanted).extracts
    assert extract.path.read_bytes() == content
