"""Reading large and hostile files of every kind: `python -m benchmarks.formats [MEGABYTES]` (default 1024).

Each file is mapped whole, by its template, in a process of its own; peak memory is that of the process. The figures to
keep: under 1 GiB for a gigabyte of fixed-width records and of XML; a hostile file is held within 5 s and 512 MiB.
"""

from __future__ import annotations

import datetime as dt
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

from mappings.load import load_agency
from mappings.map_extract import map_extract
from store.extracts import Extract, Status

TEMPLATES = Path(__file__).resolve().parents[1] / "mappings" / "templates"
MEBIBYTE = 1 << 20

EVENT = """<StudentSchoolAttendanceEvent>
  <AttendanceEvent><EventDate>2021-08-{day:02d}</EventDate>
    <AttendanceEventCategory>uri://ed-fi.org/AttendanceEventCategoryDescriptor#Excused Absence</AttendanceEventCategory>
    <AttendanceEventReason>Absent excused</AttendanceEventReason><EventDuration>1</EventDuration></AttendanceEvent>
  <StudentReference><StudentIdentity><StudentUniqueId>{number}</StudentUniqueId></StudentIdentity></StudentReference>
  <SchoolReference><SchoolIdentity><SchoolId>255901001</SchoolId></SchoolIdentity></SchoolReference>
  <SessionReference><SessionIdentity><SessionName>2021-2022 Fall Semester</SessionName>
    <SchoolYear>2021-2022</SchoolYear></SessionIdentity></SessionReference>
</StudentSchoolAttendanceEvent>
"""
OPEN = '<InterchangeStudentAttendance xmlns="http://ed-fi.org/5.2.0">\n'
CLOSE = "</InterchangeStudentAttendance>\n"


def _xml() -> Iterator[str]:
    return (EVENT.format(day=number % 28 + 1, number=number) for number in count(600_000))


def _fixed_width() -> Iterator[str]:
    for number in count():
        case, child = f"202010{number:011d}", f"1201{number % 10}0127{number % 10**9:09d}1222212000419 8000000000"[:41]
        yield f"T1{case}2230034033611102".ljust(156) + "\n"
        yield f"T2{case}1219740114{number % 10**9:09d}1222221222222".ljust(156) + "\n"
        yield f"T3{case}{child:<41}{child:<41}".ljust(156) + "\n"


def _write(path: Path, head: str, lines: Iterator[str], tail: Callable[[int], str], size: int) -> None:
    """Writes lines up to a size between a head and a tail that is told their number."""
    with path.open("w", encoding="ascii") as file:
        file.write(head)
        number = 0
        while file.tell() < size:
            number += sum(1 for line in islice(lines, 30_000) if file.write(line))
        file.write(tail(number))


def _hostile() -> dict[str, tuple[str, str, bytes, bytes, int]]:
    """Name -> template, feed, and a file made to take all memory or time: its head, and what follows how many times."""
    xml, tanf, head = ("edfi_xml", "attendance"), ("tanf", "children"), OPEN.encode()
    doctype = b'<!DOCTYPE a [<!ENTITY a "' + b"ha" * 50 + b'"><!ENTITY b "'
    record, million = b"<StudentSchoolAttendanceEvent", 1_000_000
    return {
        "entities": (*xml, doctype, b"&a;", million),
        "deep nesting": (*xml, head, b"<a>", 5 * million),
        "one endless record": (*xml, head + record + b">", b"<a>x</a>", 12 * million),
        "one endless value": (*xml, head + record + b"><a>", b"x", 100 * million),
        "one endless attribute": (*xml, head + record + b' a="', b"x", 100 * million),
        "one endless comment": (*xml, b"<!--", b"x", 100 * million),
        "nothing but NUL": (*xml, b"", b"\0", 100 * million),
        "one endless line": (*tanf, b"T3", b"1", 1_000 * million),
        "another layout": (*tanf, b"HEADER20204A06   TAN1 N\n", b"X9 something else\n", 5 * million),
    }


def _run(template: str, feed_name: str, path: Path, folder: Path) -> None:
    """Maps one file in this process and prints what it took."""
    agency = load_agency(TEMPLATES / template)
    feed = agency.feeds[feed_name]
    extract = Extract(
        "BENCH", agency.agency, feed_name, path.name, "0" * 64, path.stat().st_size, dt.datetime(2026, 3, 23),
        dt.date(2026, 3, 23), 1, feed.holds, Status.LANDED, path,
    )  # fmt: skip
    began = time.perf_counter()
    batch = map_extract(extract, agency, feed, into=folder)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{path.stat().st_size / MEBIBYTE:7.0f} MiB {batch.received:10,} records {seconds:7.1f} s"
        f" {used.ru_utime + used.ru_stime:7.1f} s of CPU {used.ru_maxrss / 1024:6.0f} MiB peak  {batch.hold or 'taken'}"
    )


def _measure(name: str, template: str, feed: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "benchmarks.formats",
            "--one",
            template,
            feed,
            str(path),
            folder,
        ]
        print(f"{name:22}", end="", flush=True)
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    path.unlink()


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        _run(sys.argv[2], sys.argv[3], Path(sys.argv[4]), Path(sys.argv[5]))
        return
    size = int(sys.argv[1] if len(sys.argv) > 1 else 1024) * MEBIBYTE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "extract"
        _write(path, OPEN, _xml(), lambda _: CLOSE, size)
        _measure("XML", "edfi_xml", "attendance", path)
        _write(path, "HEADER20204A06   TAN1 N\n", _fixed_width(), lambda number: f"TRAILER{number}", size)
        _measure("fixed width", "tanf", "children", path)
        for name, (template, feed, head, unit, times) in _hostile().items():
            with path.open("wb") as file:
                file.write(head)
                for _ in range(times // 100_000):
                    file.write(unit * 100_000)
            _measure(name, template, feed, path)


if __name__ == "__main__":
    main()
