"""Hostile and broken archives and workbooks, and bombs of all kinds."""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.hostile.cases import COLUMNS, Bytes, Case, Verdict, of_bytes
from tests.hostile.other_forms import GOOD, ROWS

BLOCK = b"0" * (1 << 20)
"""A megabyte of what packs well."""


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def _with_attributes(mode: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("pupils.csv")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    return packed.getvalue()


def _twice() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in (GOOD, b"x"):
            archive.writestr("pupils.csv", content)
    return packed.getvalue()


def _locked(archive: bytes) -> bytes:
    """An archive whose only member says that it needs a password."""
    data = bytearray(archive)
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def archive_cases() -> Iterator[Case]:
    one, two = {"pupils.csv": GOOD}, {"pupils.csv": GOOD, "b.csv": GOOD}
    blank = zipped(one)
    told: list[tuple[str, Bytes, Verdict, str | None]] = [
        ("as declared", zipped(one), "accepted", None),
        ("stored", zipped(one, zipfile.ZIP_STORED), "accepted", None),
        ("in a folder", zipped({"export/pupils.csv": GOOD}), "accepted", None),
        ("with what a Mac adds", zipped({"pupils.csv": GOOD, "__MACOSX/._pupils.csv": b"x"}), "accepted", None),
        ("two members", zipped(two), "refused", "archive_members"),
        ("no member", zipped({}), "refused", "archive_members"),
        ("a path above", zipped({"../../pupils.csv": GOOD}), "refused", "archive_name"),
        ("an absolute path", zipped({"/etc/cron.d/pupils.csv": GOOD}), "refused", "archive_name"),
        ("a drive", zipped({"C:pupils.csv": GOOD}), "refused", "archive_name"),
        ("a backslash", zipped({"..\\pupils.csv": GOOD}), "refused", "archive_name"),
        ("a line end in a name", zipped({"pup\nils.csv": GOOD}), "refused", "archive_name"),
        ("a link", _with_attributes(0o120777), "refused", "archive_name"),
        ("a device", _with_attributes(0o020666), "refused", "archive_name"),
        ("within an archive", zipped({"pupils.csv": blank}), "refused", "archive_nested"),
        ("by lzma", zipped(one, zipfile.ZIP_LZMA), "refused", "archive_broken"),
        ("by bzip2", zipped(one, zipfile.ZIP_BZIP2), "refused", "archive_broken"),
        ("cut", blank[:-40], "refused", "archive_broken"),
        ("a byte changed", blank[:60] + b"\xff\xff" + blank[62:], "refused", "archive_broken"),
        ("no archive", GOOD, "refused", "archive_broken"),
        ("nothing", b"", "refused", "archive_broken"),
        ("a name twice", _twice(), "refused", "archive_name"),
        ("a password", _locked(blank), "refused", "archive_encrypted"),
        ("a share of a network", zipped({"\\\\host\\share\\pupils.csv": GOOD}), "refused", "archive_name"),
        ("of two thousand members", zipped({f"{n}.csv": b"" for n in range(2000)}), "refused", "archive_bomb"),
    ]
    for name, data, verdict, code in told:
        yield of_bytes(f"zip: {name}", "zip", data, verdict, code)
    packed = gzip.compress(GOOD, mtime=0)
    for name, data, verdict, code in (
        ("as declared", packed, "accepted", None),
        ("in two parts", gzip.compress(GOOD[:100], mtime=0) + gzip.compress(GOOD[100:], mtime=0), "accepted", None),
        ("cut", packed[:-20], "refused", "archive_broken"),
        ("with another sum", packed[:-8] + b"\0" * 8, "refused", "archive_broken"),
        ("not packed", GOOD, "refused", "archive_broken"),
        ("packed twice", gzip.compress(packed, mtime=0), "refused", "archive_nested"),
        ("nothing", b"", "held", "empty"),
    ):
        yield of_bytes(f"gzip: {name}", "gzip", data, verdict, code)  # type: ignore[arg-type]


def bombs() -> Iterator[Case]:
    yield Case("zip: a bomb", "zip", lambda path: _zip_bomb(path, "pupils.csv"), "refused", "archive_bomb")
    yield Case("gzip: a bomb", "gzip", _gzip_bomb, "refused", "archive_bomb")
    yield Case("excel: a bomb", "excel", lambda path: _zip_bomb(path, "xl/workbook.xml"), "held", "too_large")


def _zip_bomb(path: Path, member: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<a/>") if "/" in member else None
        with archive.open(member, "w") as out:
            for _ in range(320):
                out.write(BLOCK)


def _gzip_bomb(path: Path) -> None:
    with gzip.open(path, "wb") as out:
        for _ in range(320):
            out.write(BLOCK)


def _workbook(path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    for row in [COLUMNS, *ROWS]:
        book.active.append(row)
    book.save(path)


def excel_cases() -> Iterator[Case]:
    yield Case("excel: as declared", "excel", _workbook, "accepted")
    for name, data, code in (
        ("CSV under its name", GOOD, None),
        ("a zip that is none", zipped({"a.txt": b"x"}), None),
        ("nothing", b"", None),
        ("an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 4096, None),
        ("HTML under its name", b"<html><table></table></html>", None),
    ):
        yield of_bytes(f"excel: {name}", "excel", data, "held", code)


def packed_cases() -> Iterator[Case]:
    for family in (archive_cases, bombs, excel_cases):
        yield from family()
