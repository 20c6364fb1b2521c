"""Things in an inbox that are no files, names that no feed expects, and files with a gigabyte in one line."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.cases import Case, write
from tests.hostile.other_forms import GOOD, fixed_text


def _named(name: str) -> Callable[[Path], None]:
    return lambda path: write(path.with_name(name), GOOD)


def _socket(path: Path) -> None:
    # A socket's name must be short, however long the path of its folder is.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


GIGABYTE = 1 << 30


def _gigabyte(before: bytes, fill: bytes | None, after: bytes) -> Callable[[Path], None]:
    """A file with a gigabyte in one line: of a byte that is written out, or of NULs that take no room on the disk."""

    def make(path: Path) -> None:
        with path.open("wb") as out:
            out.write(before)
            if fill is None:
                out.seek(GIGABYTE, os.SEEK_CUR)
            else:
                for _ in range(GIGABYTE >> 20):
                    out.write(fill * (1 << 20))
            out.write(after)

    return make


def gigabytes() -> Iterator[Case]:
    """Lines, values and records of a gigabyte."""
    comma, quote = GOOD + b"004900,", b'004900,"'
    for name, kind, before, fill, after, code in (
        ("a line of a gigabyte", "comma", comma, b"Q", b"\n", "unreadable"),
        ("a line of a gigabyte of NULs", "comma", comma, None, b"\n" + GOOD[-40:], "unreadable"),
        ("a quoted value of a gigabyte", "comma", GOOD + quote, None, b'",,,\n', "unreadable"),
        ("a header of a gigabyte", "comma", b"", None, b"\n" + GOOD, None),
        ("fixed width: a line of a gigabyte", "fixed", fixed_text().encode(), None, b"\nTRL 21\n", None),
        ("xml: a value of a gigabyte", "xml", b"<Pupils><Pupil><No>", b"4", b"</No></Pupil></Pupils>", None),
        ("json: a value of a gigabyte", "json", b'[{"No": "', b"4", b'"}]', None),
        ("json lines: a line of a gigabyte", "lines", b'{"No": "', b"4", b'"}\n', None),
    ):
        yield Case(f"huge: {name}", kind, _gigabyte(before, fill, after), "held", code)


def things_that_are_no_files() -> Iterator[Case]:
    def to(target: str) -> Callable[[Path], None]:
        return lambda path: path.symlink_to(target)

    yield Case("a link to a secret", "comma", to("/etc/passwd"), "ignored")
    yield Case("a link to nothing", "comma", to("nowhere"), "ignored")
    yield Case("a link to itself", "comma", lambda path: path.symlink_to(path.name), "ignored")
    yield Case("a link to what never ends", "comma", to("/dev/zero"), "ignored")
    yield Case("a pipe", "comma", os.mkfifo, "ignored")
    yield Case("a socket", "comma", _socket, "ignored")
    if os.geteuid() == 0:  # nobody else may make one
        yield Case("a device", "comma", lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)), "ignored")
    yield Case("a folder", "comma", Path.mkdir, "ignored")
    for name, other in (
        ("a line end in its name", "f\n_20260914.dat"),
        ("a date that is none", "f_20261399.dat"),
        ("a part of a file", ".f_20260914.dat.part"),
        ("a name that is an option", "-rf_20260914.dat"),
        ("a name of markup", "<img src=x>_20260914.dat"),
        ("a name with an escape", "\x1b[2Jf_20260914.dat"),
        ("the longest name", "f" * 250 + ".dat"),
    ):
        yield Case(name, "comma", _named(other), "ignored")
    yield Case(
        "a name that is no text",
        "comma",
        lambda path: write(Path(os.fsdecode(os.fsencode(path) + b"\xff\xfe")), GOOD),
        "ignored",
    )
    yield Case("a folder full of files", "comma", lambda path: (path / "a" / "b").mkdir(parents=True), "ignored")
