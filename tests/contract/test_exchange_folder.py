"""What holds for an agency's own folders, whether they stand on its server or on this machine."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.doors import open_door
from connectors.exchange_folder import Expecting, Unexpected, tidy_inbox
from connectors.sources import FilesSource, Source
from connectors.wanted import FilesWanted
from standard.errors import SourceError
from store.extracts import Status
from store.landing import known_files, known_refusals, note_refusal
from store.ledger import file_finding, packed
from tests.contract.conftest import Exchange, FileAgency

ZIPPED = FilesWanted("students_{as_of:%Y%m%d}*.zip", packed=("zip",))
NOW = datetime(2026, 3, 2, tzinfo=UTC)
CONTENT = b"ID\n004211\n"


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def with_folders(agency: FileAgency, **more: str) -> Source:
    """The agency's source with folders beside its inbox."""
    declared = agency.source.declared
    assert isinstance(declared, FilesSource)
    inbox = declared.path if agency.source.folder else declared.folder  # type: ignore[attr-defined]
    changes: dict[str, object] = dict(more)
    for name in ("archive", "receipts", "outbox"):
        (agency.folder / name).mkdir(exist_ok=True)
        changes.setdefault(name, f"{inbox}/{name}")
    door = declared.model_copy(update=changes)
    return agency.source.model_copy(update={"folder" if agency.source.folder else "sftp": door})


def tidied(exchange: Exchange, source: Source, *wanted: FilesWanted, feed: str = "students") -> list[Unexpected]:
    expecting = [Expecting(each, known_files(exchange.ledger, agency="maple", feed=feed)) for each in wanted]
    seen = known_refusals(exchange.ledger, agency="maple", source="exchange")
    declared = source.declared
    assert isinstance(declared, FilesSource)
    with open_door(source, exchange.secrets) as door:
        found = tidy_inbox(door, declared, expecting, seen=seen)  # type: ignore[arg-type]
    for each in found:
        note_refusal(exchange.ledger, each.listed, agency="maple", source="exchange", reason=each.reason, at=NOW)
    return found


def inbox(agency: FileAgency) -> list[str]:
    return sorted(path.name for path in agency.folder.iterdir() if not path.is_dir())


def test_what_is_in_an_archive_lands(exchange: Exchange, file_agency: FileAgency) -> None:
    file_agency.put("students_20260301.zip", zipped(("whatever.csv", CONTENT)))
    (extract,) = exchange.poll(file_agency.source, ZIPPED).extracts
    assert (extract.status, extract.path.read_bytes(), extract.size) == (Status.LANDED, CONTENT, len(CONTENT))
    assert exchange.contents() == [extract.path]
    with exchange.ledger.reading() as connection:
        (row,) = connection.execute(packed.select()).all()
    assert row.size > len(CONTENT) and row.sha256 != extract.sha256


def test_what_was_zipped_again_is_a_duplicate(exchange: Exchange, file_agency: FileAgency) -> None:
    file_agency.put("students_20260301.zip", zipped(("a.csv", CONTENT)))
    file_agency.put("students_20260301b.zip", zipped(("b.csv", CONTENT), method=zipfile.ZIP_STORED))
    received = exchange.poll(file_agency.source, ZIPPED).extracts
    assert [extract.status for extract in received] == [Status.LANDED, Status.DUPLICATE]


def test_gzip_lands_as_what_is_in_it(exchange: Exchange, file_agency: FileAgency) -> None:
    file_agency.put("students_20260301.csv.gz", gzip.compress(CONTENT))
    (extract,) = exchange.poll(file_agency.source, FilesWanted("students_*.gz", packed=("gzip",))).extracts
    assert extract.path.read_bytes() == CONTENT


def test_each_feed_takes_its_own_member_of_a_set(exchange: Exchange, file_agency: FileAgency) -> None:
    file_agency.put("students_20260301.zip", zipped(("set/users.csv", b"users"), ("set/classes.csv", b"classes")))
    for member in ("users", "classes"):
        wanted = FilesWanted(ZIPPED.pattern, packed=("zip",), member=f"{member}.csv")
        (extract,) = exchange.poll(file_agency.source, wanted, feed=member).extracts
        assert extract.path.read_bytes() == member.encode()


def test_an_archive_that_cannot_be_taken_is_held_with_a_finding_and_the_next_file_goes_on(
    exchange: Exchange, file_agency: FileAgency
) -> None:
    file_agency.put("students_20260301.zip", zipped(("../a.csv", CONTENT)))
    file_agency.put("students_20260302.zip", zipped(("a.csv", CONTENT)))
    received = exchange.poll(file_agency.source, ZIPPED).extracts
    assert [(extract.status, extract.status_reason) for extract in received] == [
        (Status.HELD, "archive_name"), (Status.LANDED, None),
    ]  # fmt: skip
    with exchange.ledger.reading() as connection:
        assert [row.code for row in connection.execute(file_finding.select())] == ["archive_name"]
    assert exchange.poll(file_agency.source, ZIPPED).extracts == []


def test_the_same_bad_archive_again_is_a_duplicate_of_the_held_one(exchange: Exchange, file_agency: FileAgency) -> None:
    for name in ("students_20260301.zip", "students_20260302.zip"):
        file_agency.put(name, zipped(("../a.csv", CONTENT)))
    received = exchange.poll(file_agency.source, ZIPPED).extracts
    assert [extract.status for extract in received] == [Status.HELD, Status.DUPLICATE]


def test_a_file_leaves_the_inbox_once_it_has_landed(exchange: Exchange, file_agency: FileAgency) -> None:
    source = with_folders(file_agency)
    file_agency.put("students_20260301.csv", CONTENT)
    file_agency.put("students_20260302.csv", CONTENT, age=5)  # not settled
    exchange.poll(source, file_agency.wanted)
    assert tidied(exchange, source, file_agency.wanted) == []
    assert inbox(file_agency) == ["students_20260302.csv"]
    (moved,) = (file_agency.folder / "archive").iterdir()
    assert moved.name.endswith("_students_20260301.csv") and moved.read_bytes() == CONTENT


def test_a_file_is_moved_only_when_every_feed_that_wants_it_has_it(exchange: Exchange, file_agency: FileAgency) -> None:
    source = with_folders(file_agency)
    file_agency.put("students_20260301.csv", CONTENT)
    exchange.poll(source, file_agency.wanted)
    expecting = [
        Expecting(file_agency.wanted, known_files(exchange.ledger, agency="maple", feed=feed))
        for feed in ("students", "guardians")
    ]
    with open_door(source, exchange.secrets) as door:
        tidy_inbox(door, source.declared, expecting, seen=set())  # type: ignore[arg-type]
    assert inbox(file_agency) == ["students_20260301.csv"]


def test_a_later_file_of_the_same_name_does_not_replace_the_first(exchange: Exchange, file_agency: FileAgency) -> None:
    source = with_folders(file_agency)
    for age, content in ((7200, b"first"), (3600, b"second")):
        file_agency.put("students_20260301.csv", content, age=age)
        exchange.poll(source, file_agency.wanted)
        tidied(exchange, source, file_agency.wanted)
    kept = sorted(path.read_bytes() for path in (file_agency.folder / "archive").iterdir())
    assert kept == [b"first", b"second"]


@pytest.mark.parametrize("name", [b"-rf.csv", b"a\nb.csv", b"caf\xe9.csv", b"x" * 251 + b".csv"], ids=range(4))
def test_a_hostile_name_is_moved_as_it_is(exchange: Exchange, file_agency: FileAgency, name: bytes) -> None:
    source, wanted = with_folders(file_agency), FilesWanted("*.csv")
    file_agency.put(name, CONTENT)
    exchange.poll(source, wanted)
    tidied(exchange, source, wanted)
    assert inbox(file_agency) == []
    (moved,) = (file_agency.folder / "archive").iterdir()
    assert os.fsencode(moved.name).endswith(name[-200:])


def test_what_no_feed_expects_is_refused_once(exchange: Exchange, file_agency: FileAgency) -> None:
    source = with_folders(file_agency)
    file_agency.put("Students final (2).xlsx", CONTENT)
    file_agency.put("new.csv.filepart", CONTENT, age=5)  # still being written
    (file_agency.folder / "link.csv").symlink_to("/etc/passwd")
    os.utime(file_agency.folder / "link.csv", (1e9, 1e9), follow_symlinks=False)
    found = tidied(exchange, source, file_agency.wanted)
    assert sorted((each.listed.name, each.reason) for each in found) == [
        ("Students final (2).xlsx", "not_expected"), ("link.csv", "not_a_file"),
    ]  # fmt: skip
    assert tidied(exchange, source, file_agency.wanted) == []
    assert len(inbox(file_agency)) == 3


def test_a_folder_without_receipts_may_hold_what_it_likes(exchange: Exchange, file_agency: FileAgency) -> None:
    file_agency.put("notes.txt", CONTENT)
    assert tidied(exchange, file_agency.source, file_agency.wanted) == []


def test_a_file_put_into_another_folder_bears_its_name_only_when_whole(
    exchange: Exchange, file_agency: FileAgency
) -> None:
    source = with_folders(file_agency)
    (file_agency.folder / "receipts" / ".a.json.part").write_bytes(b"what a kill left" * 100)
    for content in (b"first", b"the second"):
        with open_door(source, exchange.secrets) as door:
            door.put(io.BytesIO(content), len(content), source.declared.receipts, "a.json")  # type: ignore[union-attr]
        (path,) = (file_agency.folder / "receipts").iterdir()
        assert (path.name, path.read_bytes()) == ("a.json", content)


def test_a_folder_that_is_not_there_is_told(exchange: Exchange, file_agency: FileAgency) -> None:
    with open_door(file_agency.source, exchange.secrets) as door, pytest.raises(SourceError, match="cannot be written"):
        door.put(io.BytesIO(b"x"), 1, str(Path("no") / "where"), "a.json")  # type: ignore[union-attr]
