"""Zip and gzip, opened with limits: no member's name is ever a path, and no archive grows without end."""

from __future__ import annotations

import gzip
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from standard.errors import ExtractError

_BLOCK = 1 << 20
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Other methods (lzma, bzip2) may ask for gigabytes of memory by a few bytes of their header."""
_HOSTILE_NAME = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\\|[\x00-\x1f\x7f]")
_MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gzip"}
_FLAG_ENCRYPTED = 0x1
_DIRECTORY_BYTES_A_MEMBER = 1024


MENDS = {
    "archive_bomb": "send the data as plain files, or in smaller archives; a person may raise the limits of the feed",
    "archive_broken": "make the archive anew (zip by deflate, or gzip) and send it again",
    "archive_encrypted": "send the archive without a password; encrypt it by PGP, as agreed, where it must be secret",
    "archive_name": "name the members of the archive plainly: no folder above, no absolute path, no name twice",
    "archive_nested": "send one archive: no archive within it is opened",
    "archive_states": "send what was agreed, all there is or changes only, or tell the exchange what comes from now on",
    "archive_members": "send an archive that holds the file of this feed, and only one of it",
}  # fmt: skip
"""Why an archive is refused -> what the agency can do."""


class PackageRefused(ExtractError):
    """A file as packed, encrypted or signed that cannot be taken; `code` says why in one word of `mends`."""

    mends: ClassVar[Mapping[str, str]] = MENDS

    def __init__(self, code: str, what: str, *, where: str = "") -> None:
        self.code = code
        super().__init__(what, where=where, mend=self.mends[code])


@dataclass(frozen=True)
class Limits:
    """How far an archive may unfold."""

    members: int = 1000
    size: int = 8 << 30
    """Bytes of all members together."""
    ratio: int = 100
    """Bytes that come of one byte; only counted beyond `free`."""
    free: int = 64 << 20
    """Bytes that may come of any archive, however small: blanks of a fixed width shrink very much."""


@dataclass(frozen=True)
class Member:
    """One file of a zip archive. Its name is data; the member is reached by its number."""

    name: str
    size: int
    number: int


def packing_of(start: bytes) -> str | None:
    """`zip` or `gzip`, by the first bytes of a file; None: neither. A spreadsheet (.xlsx) is a zip, too."""
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def zip_members(path: Path, *, limits: Limits = Limits()) -> list[Member]:
    """The files of a zip archive in their order; folders and what a Mac adds are left out.

    Raises:
        PackageRefused: It is none, is encrypted, has hostile or repeated names, links, or unfolds beyond the limits.
    """
    with _opened(path, limits) as archive:
        return _members(archive, path, limits)


@contextmanager
def open_member(path: Path, member: Member, *, limits: Limits = Limits()) -> Iterator[IO[bytes]]:
    """The content of one member as a stream that ends in `PackageRefused` where it passes a limit or is broken.

    Raises:
        PackageRefused: As said; also from `read`.
    """
    with _opened(path, limits) as archive:
        info = archive.infolist()[member.number]
        with archive.open(info) as raw, _buffered(raw.read, path.stat().st_size, limits) as stream:
            yield stream


@contextmanager
def open_gzip(path: Path, *, limits: Limits = Limits()) -> Iterator[IO[bytes]]:
    """The content of a gzip file as a stream; see `open_member`."""
    with gzip.open(path) as raw, _buffered(raw.read, path.stat().st_size, limits) as stream:
        yield stream


def unpack(packed: IO[bytes], into: Path, *, holds_zip: bool = False) -> int:
    """Writes the content of an opened member to a file; how many bytes there were.

    Args:
        packed: What `open_member` or `open_gzip` gives.
        into: A file of mode 0600 that stands already, on a private disk.
        holds_zip: Whether what is in it is itself a zip by right (a spreadsheet).

    Raises:
        PackageRefused: It passes a limit, is broken, or is itself an archive.
    """
    start = packed.read(_BLOCK)
    if packing_of(start) is not None and not holds_zip:
        raise PackageRefused("archive_nested", "an archive stands within the archive")
    size = len(start)
    with into.open("wb") as out:
        out.write(start)
        while block := packed.read(_BLOCK):
            out.write(block)
            size += len(block)
    return size


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    with _broken_told():
        _require_small_directory(path, limits)
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


def _require_small_directory(path: Path, limits: Limits) -> None:
    """The directory of an archive is read into memory whole, so its size is looked at first."""
    with path.open("rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    if not end:
        raise PackageRefused("archive_broken", "the file is no whole zip archive")
    if end[5] > limits.members * _DIRECTORY_BYTES_A_MEMBER:
        raise PackageRefused("archive_bomb", f"the archive has a directory of {end[5]:,} bytes")


def _members(archive: zipfile.ZipFile, path: Path, limits: Limits) -> list[Member]:
    infos = archive.infolist()
    if len(infos) > limits.members:
        raise PackageRefused(
            "archive_bomb", f"the archive has {len(infos):,} members, more than the {limits.members:,} allowed"
        )
    for info in infos:
        _require_plain(info)
    names = [info.filename.casefold() for info in infos]
    if len(set(names)) < len(names):
        raise PackageRefused("archive_name", "a name stands twice in the archive")
    _require_within(sum(info.file_size for info in infos), path.stat().st_size, limits)
    return [
        Member(info.filename, info.file_size, number)
        for number, info in enumerate(infos)
        if not info.is_dir() and not _of_a_mac(info.filename)
    ]


def _require_plain(info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16
    if info.flag_bits & _FLAG_ENCRYPTED:
        raise PackageRefused("archive_encrypted", "a member of the archive is locked by a password")
    if _HOSTILE_NAME.search(info.orig_filename):
        raise PackageRefused("archive_name", "a member's name leads out of the archive, or holds control characters")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise PackageRefused("archive_name", "a member of the archive is a link or a device, not a file")
    if info.compress_type not in _READ:
        raise PackageRefused("archive_broken", "a member is packed by a method that is not read")


def _of_a_mac(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _require_within(size: int, packed: int, limits: Limits) -> None:
    if size > limits.size or (size > limits.free and size > limits.ratio * packed):
        raise PackageRefused("archive_bomb", f"{packed:,} bytes unfold to more than is allowed")


@contextmanager
def _broken_told() -> Iterator[None]:
    """Says of an archive that it is broken; the words of a library may hold a name or a value."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
            UnicodeError, ValueError) as error:  # fmt: skip
        raise PackageRefused("archive_broken", f"the archive is broken ({type(error).__name__})") from None


class _Limited(io.RawIOBase):
    """Bytes of an archive, counted while they come."""

    def __init__(self, read: Callable[[int], bytes], packed: int, limits: Limits) -> None:
        self._read, self._packed, self._limits, self._size = read, packed, limits, 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        with _broken_told():
            block = self._read(len(into))
        self._size += len(block)
        _require_within(self._size, self._packed, self._limits)
        into[: len(block)] = block
        return len(block)


@contextmanager
def _buffered(read: Callable[[int], bytes], packed: int, limits: Limits) -> Iterator[IO[bytes]]:
    with io.BufferedReader(_Limited(read, packed, limits), _BLOCK) as stream:
        yield stream
