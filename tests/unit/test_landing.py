"""How arrivals are kept, told apart and recorded."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.files import FileRefused, FileStore, fetch_files
from connectors.wanted import FilesWanted
from standard.errors import ExchangeError, SourceError
from store import ledger as tables
from store.extracts import Extract, Holds, Status
from store.landing import Arrival, Landing, Left, known_files, land, last_watermark, note_left, read_extract
from store.ledger import Ledger, open_ledger
from store.parts import Listed, Part

NOW = datetime(2026, 3, 30, 5, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    (tmp_path / "landing").mkdir()
    return Landing(tmp_path / "landing")


def arrive(ledger: Ledger, content: str, *, table: bool = False, feed: str = "students", at: int = 0) -> Extract:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    listed = None if table else Listed(f"{content}.csv", len(content), at)
    arrival = Arrival(f"{content}.csv", sha256, len(content), Path(sha256), date(2026, 3, 30), listed, content)
    return land(ledger, arrival, agency="maple", feed=feed, holds=Holds.FULL, run_id="r", received_at=NOW)


def loaded(ledger: Ledger, extract: Extract, status: Status = Status.LOADED) -> None:
    with ledger.writing() as connection:
        change = tables.extract.update().where(tables.extract.c.extract_id == extract.extract_id)
        connection.execute(change.values(status=str(status)))


def test_of_files_any_earlier_copy_makes_a_duplicate(ledger: Ledger) -> None:
    statuses = [arrive(ledger, content, at=n).status for n, content in enumerate("ABAB")]
    assert statuses == [Status.LANDED, Status.LANDED, Status.DUPLICATE, Status.DUPLICATE]


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ("A1 B2 A3", "LLL"),  # the third day says again what the first said: the second is over
        ("A1 B2 A1 A2", "LLDL"),  # of its own day a copy is a copy
        ("A1 A2 A3", "LDD"),  # nothing new
        ("A1 B2 B3 A4 B5 B6", "LLDLLD"),
        ("B2 A1 A3", "LLL"),
        ("A3 B2 A1", "LLD"),
    ],
)
def test_a_full_file_that_went_back_by_its_own_date_is_no_duplicate(ledger: Ledger, told: str, taken: str) -> None:
    words = told.split()
    assert "".join(arrive_dated(ledger, word).status[0].upper() for word in words) == taken
    assert all(arrive_dated(ledger, word, holds=Holds.DELTA, feed="changes").status[0].upper() == first
               for word, first in zip(words, _first_of_each(words), strict=True))  # fmt: skip


def arrive_dated(ledger: Ledger, word: str, *, holds: Holds = Holds.FULL, feed: str = "students") -> Extract:
    """A file whose name tells its day: `A3` is content A of the third."""
    content, day = word[0], int(word[1])
    listed = Listed(f"{word}.csv", 1, day)
    arrival = Arrival(f"{word}.csv", content * 64, 1, Path(content), date(2026, 3, day), listed, dated=True)
    return land(ledger, arrival, agency="maple", feed=feed, holds=holds, run_id="r", received_at=NOW)


def _first_of_each(words: list[str]) -> str:
    return "".join("L" if word[0] not in {w[0] for w in words[:n]} else "D" for n, word in enumerate(words))


def test_a_table_that_went_back_to_what_it_was_is_no_duplicate(ledger: Ledger) -> None:
    statuses = [arrive(ledger, content, table=True).status for content in "ABAAB"]
    assert statuses == [Status.LANDED, Status.LANDED, Status.LANDED, Status.DUPLICATE, Status.LANDED]


def test_extract_ids_are_the_same_on_every_machine(ledger: Ledger, tmp_path: Path) -> None:
    other = open_ledger(tmp_path / "other.db")
    ids = [[arrive(one, content, at=n).extract_id for n, content in enumerate("ABA")] for one in (ledger, other)]
    other.close()
    assert ids[0] == ids[1] and len(set(ids[0])) == 3


def test_arrivals_are_numbered_over_all_feeds(ledger: Ledger) -> None:
    assert [arrive(ledger, "A", feed=feed).seq for feed in ("students", "guardians", "manifest")] == [1, 2, 3]


def test_an_extract_is_found_again_in_the_ledger(ledger: Ledger, landing: Landing) -> None:
    extract = arrive(ledger, "A")
    again = read_extract(ledger, landing, extract.extract_id)
    assert (again.sha256, again.received_at, again.as_of, again.path) == (
        extract.sha256, NOW, extract.as_of, landing.path_of(extract.sha256)
    )  # fmt: skip


def test_only_what_was_loaded_moves_the_watermark(ledger: Ledger) -> None:
    assert last_watermark(ledger, agency="maple", feed="students") is None
    first, second = arrive(ledger, "A", table=True), arrive(ledger, "B", table=True)
    loaded(ledger, first)
    loaded(ledger, second, Status.HELD)
    assert last_watermark(ledger, agency="maple", feed="students") == ("A", first.sha256)


def test_a_file_that_is_left_is_remembered_from_when_it_last_changed(ledger: Ledger) -> None:
    def seen(size: int, at: datetime) -> None:
        note_left(ledger, Left(Listed("a.csv", size, 7), "just written"), agency="maple", feed="students", at=at)

    seen(1, NOW)
    seen(2, NOW.replace(minute=1))
    seen(2, NOW.replace(minute=2))
    known = known_files(ledger, agency="maple", feed="students")
    assert {key: sighting.first_seen_at for key, sighting in known.items()} == {("a.csv", 2, 7): NOW.replace(minute=1)}


def test_the_same_content_is_kept_once_and_private(landing: Landing) -> None:
    for _ in range(2):
        with landing.scratch() as part:
            part.write_text("content")
            sha256, path = landing.keep(part)
    assert path == landing.path_of(sha256)
    assert [stat.S_IMODE(p.stat().st_mode) for p in landing.folder.rglob("*") if p.is_file()] == [0o600]


def test_a_landed_file_that_was_cut_short_is_replaced(landing: Landing) -> None:
    for _ in range(2):
        with landing.scratch() as part:
            part.write_text("content")
            _, path = landing.keep(part)
        left = path.read_text()
        path.write_text("con")
    assert left == "content"


class Drawer:
    """A file store of ours: names and contents in memory, some of them locked."""

    place, settle = "drawer", 0.0

    def __init__(self, contents: dict[str, bytes], locked: frozenset[str] = frozenset()) -> None:
        self._contents, self._locked = contents, locked

    def listing(self) -> list[Listed]:
        return [Listed(name, len(content), 1, name.encode()) for name, content in self._contents.items()]

    def download(self, listed: Listed, part: Part) -> None:
        if listed.name in self._locked:
            raise FileRefused(f"the file {listed.name} may not be read", where=self.place, mend="unlock it")
        part.write(part.done, [self._contents[listed.name][part.done :]])
        part.advance(listed.size)

    def unchanged(self, listed: Listed) -> bool:
        return True


def fetch(store: FileStore, landing: Landing) -> Iterator[Arrival | Left]:
    return fetch_files(store, FilesWanted("*"), known={}, landing=landing, now=NOW)


def test_a_file_that_is_refused_does_not_keep_the_others_away(landing: Landing) -> None:
    came: list[Arrival | Left] = []
    with pytest.raises(SourceError, match="2 files are refused"):
        came.extend(fetch(Drawer({"a": b"1", "b": b"2", "c": b"3"}, frozenset("ac")), landing))
    assert [one.name for one in came if isinstance(one, Arrival)] == ["b"]


def test_a_full_disk_lands_nothing_and_is_said(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(ExchangeError, match="No space left") as raised:
            list(fetch(Drawer({"a": b"content"}), landing))
    assert "free space" in raised.value.mend and raised.value.exit_status != 0
    (arrival,) = fetch(Drawer({"a": b"content"}), landing)
    assert isinstance(arrival, Arrival) and arrival.path.read_bytes() == b"content"
