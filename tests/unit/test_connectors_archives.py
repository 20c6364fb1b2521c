"""Archives are opened within limits, and what is hostile in them is refused by name."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from connectors.archives import Limits, Member, PackageRefused, open_gzip, open_member, unpack, zip_members
from connectors.packages import open_package
from connectors.wanted import FilesWanted, Stated
from store.landing import Landing

SMALL = Limits(members=10, size=200_000, ratio=100, free=50_000)


def make_zip(path: Path, members: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def refusal(path: Path, limits: Limits = Limits()) -> str:
    """The code for which an archive is refused, be it at its directory or while it is unpacked."""
    with pytest.raises(PackageRefused) as refused:
        for member in zip_members(path, limits=limits):
            unpacked(path, member, limits)
    return refused.value.code


def unpacked(path: Path, member: Member, limits: Limits = Limits()) -> bytes:
    out = path.with_name("out")
    with open_member(path, member, limits=limits) as stream:
        assert unpack(stream, out) == member.size
    return out.read_bytes()


def test_a_member_comes_out_as_it_went_in(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("folder/", b""), ("folder/a.csv", b"ID\n1\n"), ("b.csv", b"ID\n2\n")])
    first, second = zip_members(path)
    assert (first.name, first.size, second.name) == ("folder/a.csv", 5, "b.csv")
    assert (unpacked(path, first), unpacked(path, second)) == (b"ID\n1\n", b"ID\n2\n")


def test_what_a_mac_adds_is_no_member(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.csv", b"x"), ("__MACOSX/._a.csv", b"y"), (".DS_Store", b"z")])
    assert [member.name for member in zip_members(path)] == ["a.csv"]


@pytest.mark.parametrize("name", ["../a.csv", "/etc/passwd", "a/../../b", "..\\a.csv", "C:\\a.csv", "a\nb.csv", "c:x"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(make_zip(tmp_path / "a.zip", [(name, b"x")])) == "archive_name"


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning):
        path = make_zip(tmp_path / "a.zip", [("a.csv", b"x"), ("a.csv", b"y")])
    assert refusal(path) == "archive_name"


def test_a_link_within_an_archive_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert refusal(tmp_path / "a.zip") == "archive_name"


def test_a_member_locked_by_a_password_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.csv", b"x")])
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + at] |= 1
    path.write_bytes(content)
    assert refusal(path) == "archive_encrypted"


def test_an_archive_within_an_archive_is_refused(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", [("a.csv", b"x")]).read_bytes()
    assert refusal(make_zip(tmp_path / "a.zip", [("inner.dat", inner)])) == "archive_nested"
    assert refusal(make_zip(tmp_path / "b.zip", [("inner.dat", gzip.compress(b"x"))])) == "archive_nested"


def test_a_spreadsheet_in_an_archive_is_no_archive_within(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", [("[Content_Types].xml", b"x")]).read_bytes()
    path = make_zip(tmp_path / "a.zip", [("a.xlsx", inner)])
    with open_member(path, zip_members(path)[0]) as stream:
        assert unpack(stream, tmp_path / "out", holds_zip=True) == len(inner)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    assert refusal(make_zip(tmp_path / "a.zip", [(f"{n}.csv", b"") for n in range(11)]), SMALL) == "archive_bomb"


def test_a_directory_too_large_for_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [(f"{n:060000}", b"") for n in range(2)])
    assert refusal(path, SMALL) == "archive_bomb"


def test_what_unfolds_too_far_is_refused(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "a.zip", [("a.csv", bytes(100_000))])
    assert refusal(bomb, SMALL) == "archive_bomb"  # 100 KB of a few hundred bytes
    large = make_zip(tmp_path / "b.zip", [("a.csv", bytes(300_000))], zipfile.ZIP_STORED)
    assert refusal(large, SMALL) == "archive_bomb"


def test_a_bomb_that_lies_about_its_size_is_stopped_while_it_unfolds(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.csv", bytes(100_000))])
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(magic) + at, 10)
    path.write_bytes(content)
    assert refusal(path, SMALL) == "archive_broken"  # it ends at the size it told, and its checksum is wrong


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "a.zip", [("a.csv", b"ID\n1\n" * 1000)]).read_bytes()
    for cut in (0, 3, 40, len(whole) // 2, len(whole) - 5):
        (tmp_path / "b.zip").write_bytes(whole[:cut])
        assert refusal(tmp_path / "b.zip") == "archive_broken"
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    (tmp_path / "b.zip").write_bytes(flipped)
    assert refusal(tmp_path / "b.zip") == "archive_broken"


def test_a_method_that_may_ask_for_much_memory_is_refused(tmp_path: Path) -> None:
    assert refusal(make_zip(tmp_path / "a.zip", [("a.csv", b"x")], zipfile.ZIP_LZMA)) == "archive_broken"


def test_gzip_comes_out_as_it_went_in_also_in_several_parts(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"ID\n1\n") + gzip.compress(b"2\n"))
    with open_gzip(path) as stream:
        assert unpack(stream, tmp_path / "out") == 7
    assert (tmp_path / "out").read_bytes() == b"ID\n1\n2\n"


@pytest.mark.parametrize("harm", ["cut", "rubbish", "bomb", "nested"])
def test_a_hostile_gzip_is_refused(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "a.gz"
    whole = gzip.compress(b"ID\n1\n" * 1000)
    path.write_bytes(
        {"cut": whole[:-9], "rubbish": b"ID,NAME\n", "bomb": gzip.compress(bytes(100_000)),
         "nested": gzip.compress(gzip.compress(b"x"))}[harm]
    )  # fmt: skip
    with pytest.raises(PackageRefused) as refused, open_gzip(path, limits=SMALL) as stream:
        unpack(stream, tmp_path / "out")
    assert refused.value.code == {"bomb": "archive_bomb", "nested": "archive_nested"}.get(harm, "archive_broken")


def test_a_bomb_of_gigabytes_is_stopped_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(300):
            stream.write(bytes(1 << 20))
    begun = time.monotonic()
    with pytest.raises(PackageRefused) as refused, open_gzip(path) as packed:
        unpack(packed, tmp_path / "out")
    assert refused.value.code == "archive_bomb" and time.monotonic() - begun < 5
    assert (tmp_path / "out").stat().st_size < 200 << 20


def test_no_member_is_written_where_its_name_says(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("deep/er/a.csv", b"x")])
    unpacked(path, zip_members(path)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


def test_a_stream_can_be_read_line_by_line(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.csv", b"ID\n1\n")])
    with open_member(path, zip_members(path)[0]) as stream:
        assert list(io.TextIOWrapper(stream)) == ["ID\n", "1\n"]


BULK = b'propertyName,value\nmanifest.version,1.0\nfile.users,bulk\nfile.demographics,"absent"\n'


@pytest.mark.parametrize(
    ("manifest", "refused"),
    [
        (BULK, None),
        (b"\xef\xbb\xbf" + BULK.replace(b"\n", b"\r\n"), None),
        (BULK.replace(b"bulk", b"delta"), "archive_states"),
        (BULK.replace(b"file.users,bulk\n", b""), "archive_states"),
        (b"\xff\0" * 100, "archive_states"),
        (None, "archive_members"),
    ],
)
def test_an_archive_that_says_it_holds_changes_is_not_taken_for_the_whole(
    tmp_path: Path, manifest: bytes | None, refused: str | None
) -> None:
    members = [("users.csv", b"sourcedId\n1\n"), *([("manifest.csv", manifest)] if manifest is not None else [])]
    path, into = make_zip(tmp_path / "roster.zip", members), tmp_path / "into"
    into.touch()
    wanted = FilesWanted("*.zip", ("zip",), "users.csv", states=Stated("manifest.csv", "file.users", "bulk"))
    if refused is None:
        open_package(path, into, wanted, keyring=None, landing=Landing(tmp_path))
        assert into.read_bytes() == members[0][1]
        return
    with pytest.raises(PackageRefused) as told:
        open_package(path, into, wanted, keyring=None, landing=Landing(tmp_path))
    assert (told.value.code, into.read_bytes()) == (refused, b"")
