"""How long an agency waits for its answer, over a real sshd: from the poll to the receipt in its folder.

One file of 100 MB of 20 columns (first delivery, then the next week's with every hundredth row changed), and twelve
agencies that send at once, with and without one poisoned file among them. CPU seconds stand beside those on the clock,
because other work on the machine does not change them.
Run: python -m benchmarks.receipt [--megabytes 100] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
import yaml

from benchmarks.mapping import AGENCY, CROSSWALKS, FEED, STUDENTS
from flows.lay_out_home import lay_out_home
from flows.night import take_in
from flows.run import open_night
from store.home import Home, literal
from tests.servers import SftpServer, sftp_server

_MONDAY = datetime(2026, 9, 7, 12, tzinfo=UTC)
_AGENCIES = 12
_ROWS_A_MEGABYTE = 6_750
_ENTITIES = """
entities:
  person:      [{person_ref: "students/{lasid}"}]
  person_name: [{person_ref: "students/{lasid}", use: =legal, given: given, middle: middle, surname: surname}]
  person_demographic: [{person_ref: "students/{lasid}", birth_date: birth_date, sex: sex}]
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = [_one_file(given.megabytes) for _ in range(given.rounds)]
    for n, what in enumerate(("first delivery", "next week's, 1 % changed")):
        clock, cpu = [each[n][0] for each in rounds], [each[n][1] for each in rounds]
        told = f"{given.megabytes} MB, {what:26} median {statistics.median(clock):5.1f} s to the receipt"
        print(f"{told} ({statistics.median(cpu):.1f} s of CPU)  {' '.join(f'{each:.1f}' for each in clock)}")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    for poison in (None, "quote", "endless", "lost"):
        last, verdicts = _twelve(poison)
        others = [verdict for name, verdict in verdicts.items() if name != "agency_05"]
        assert others == ["accepted"] * (_AGENCIES - 1), verdicts
        print(f"{_AGENCIES} agencies of 4 MB, {'none poisoned' if poison is None else f'one poisoned ({poison})':22}"
              f" {last:5.1f} s to the last receipt; the others: {len(others)} accepted;"
              f" that one: {verdicts.get('agency_05', 'no receipt')}")  # fmt: skip


Seconds = tuple[float, float]
"""On the clock, of CPU."""


def _one_file(megabytes: int) -> tuple[Seconds, Seconds]:
    """To the receipt of a first delivery and of the next."""
    with tempfile.TemporaryDirectory(prefix="kith-receipt-") as folder, sftp_server(Path(folder) / "sshd") as server:
        home = _exchange(Path(folder) / "home", server, ["agency_00"])
        found = []
        for day in (7, 14):
            _send(server, "agency_00", day, megabytes)
            found.append(_poll(home, server, ["agency_00"], day=day))
    return found[0], found[1]


def _twelve(poison: str | None) -> tuple[float, dict[str, str]]:
    """Seconds to the last receipt of twelve agencies that send at once, and each one's verdict."""
    names = [f"agency_{n:02}" for n in range(_AGENCIES)]
    with tempfile.TemporaryDirectory(prefix="kith-receipt-") as folder, sftp_server(Path(folder) / "sshd") as server:
        home = _exchange(Path(folder) / "home", server, names)
        for name in names:
            _send(server, name, 7, 4)
        path = server.root / "agency_05" / "inbox" / "students_20260907.csv"
        if poison == "quote":
            path.write_bytes(path.read_bytes().replace(b",Smith,", b',"Smith,', 1))
        elif poison == "endless":
            path.write_bytes(b"\0" * (64 << 20))  # one line without end
        elif poison == "lost":
            path.parent.rename(path.parent.with_name("gone"))
        seconds, _ = _poll(home, server, names, day=7)
        return seconds, _verdicts(server, names)


def _send(server: SftpServer, name: str, day: int, megabytes: int) -> None:
    """Puts a file into an inbox; after the first week every hundredth row has changed."""
    path = server.root / name / "inbox" / f"students_202609{day:02}.csv"
    changed = "hash(i)" if day == 7 else "hash(CASE WHEN i % 100 = 0 THEN -i ELSE i END)"
    query = STUDENTS.replace("hash(i)", changed).format(rows=megabytes * _ROWS_A_MEGABYTE)
    duckdb.sql(f"COPY ({query}) TO {literal(path)} (FORMAT csv, HEADER)")
    os.utime(path, (time.time() - 3600, time.time() - 3600))


def _poll(home: Home, server: SftpServer, names: list[str], *, day: int) -> Seconds:
    """From the beginning of a run to its last receipt; linking and publishing come after and are not waited for."""
    begun, cpu = time.time(), _cpu()
    with open_night(home, now=_MONDAY.replace(day=day), progress=lambda _: None) as night:
        night.each_agency(partial(take_in, night))
    written = [path.stat().st_mtime for name in names for path in (server.root / name / "receipts").glob("*.json")]
    return max(written) - begun, _cpu() - cpu


def _cpu() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _verdicts(server: SftpServer, names: list[str]) -> dict[str, str]:
    found = {}
    for name in names:
        for path in (server.root / name / "receipts").glob("*.json"):
            found[name] = yaml.safe_load(path.read_text())["verdict"]
    return found


def _exchange(folder: Path, server: SftpServer, names: list[str]) -> Home:
    home = lay_out_home(folder, name="Receipts")
    (home.keys / "known_hosts").write_text(server.known_hosts)
    (home.keys / "bench_key").touch(mode=0o600)
    (home.keys / "bench_key").write_text(server.key.read_text())
    settings = yaml.safe_load(home.settings_file.read_text())
    settings |= {"agencies": names, "sources": {name: {"drop": {"sftp": _source(server, name)}} for name in names}}
    settings["governance"] = "off"
    home.settings_file.write_text(yaml.safe_dump(settings))
    for name in names:
        _declare(home.agencies / name, name)
        for place in ("inbox", "archive", "receipts"):
            (server.root / name / place).mkdir(parents=True)
    return home


def _source(server: SftpServer, name: str) -> dict[str, object]:
    folders = {kind: f"{name}/{kind}" for kind in ("archive", "receipts")}
    return {"host": server.host, "port": server.port, "user": server.user, "key": "secret:bench_key", "settle": "0",
            "folder": f"{name}/inbox", **folders}  # fmt: skip


def _declare(folder: Path, name: str) -> None:
    (folder / "crosswalks").mkdir(parents=True)
    (folder / "agency.yaml").write_text(AGENCY.replace("bench_schools", name))
    (folder / "students.yaml").write_text(FEED + _ENTITIES)
    for crosswalk, text in CROSSWALKS.items():
        (folder / "crosswalks" / f"{crosswalk}.csv").write_text(text)


if __name__ == "__main__":
    main()
