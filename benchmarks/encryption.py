"""What it costs that a home rests encrypted: a night in an encrypted home beside the same night in one in clear.

    python -m benchmarks.encryption [--persons 60000] [--rounds 3]

Both load the first delivery of a demo county from where it has landed, each in a process of its own, in turn. Processor
time is that of the process and its children; beside it what a core encrypts and decrypts of one large file.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.whole_way import land, prepare
from store.encryption import EncryptedReader, EncryptedWriter
from store.home import Home, open_home
from store.keys import DataKeys
from store.keys_provider import FileKeys

MIB = 1 << 20


def compare(persons: int, rounds: int) -> None:
    """Prints the medians of both, and their ratio."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder / "county", persons)
        taken: dict[str, list[dict[str, float]]] = {"clear": [], "encrypted": []}
        for number in range(rounds):
            for how, runs in taken.items():
                home = folder / f"{how}{number}"
                now = land(folder / "county", home).isoformat()
                if how == "encrypted":
                    _encrypt(home, folder / "masters")
                runs.append(_night(home, now) | {"MiB on disk": _size(home) / MIB})
                shutil.rmtree(home)
        for name in taken["clear"][0]:
            clear, encrypted = (statistics.median(run[name] for run in runs) for runs in taken.values())
            print(f"{name:<22}{clear:>10.1f}{encrypted:>10.1f}{encrypted / clear:>8.2f}")
        _one_file(folder)


def _encrypt(home: Path, masters: Path) -> None:
    """Says that the home rests encrypted, and encrypts what has landed."""
    with (home / "exchange.yaml").open("a") as settings:
        settings.write(f"\nencryption: required\nkey_provider: {{provider: file, folder: {masters}}}\n")
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "keys", "encrypt", "--home", home], check=True, stdout=subprocess.DEVNULL
    )


def _night(home: Path, now: str) -> dict[str, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.load_landed", home, now],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor seconds": used, "seconds": time.perf_counter() - start}


def _size(home: Path) -> int:
    areas = (open_home(home).root / area for area in ("landing", "batches", "state", "links", "record"))
    return sum(path.stat().st_size for area in areas for path in area.rglob("*") if path.is_file())


def _one_file(folder: Path, size: int = 256 * MIB) -> None:
    keys = DataKeys(Home(folder / "one").create(), lambda: FileKeys(folder / "masters"))
    block, path = secrets.token_bytes(MIB), folder / "file"
    start = os.times().user
    with EncryptedWriter(path, keys, scope="record") as file:
        for _ in range(size // MIB):
            file.write(block)
    written = os.times().user
    with EncryptedReader(path, keys) as sealed:
        while sealed.read(4 * MIB):
            pass
    read = os.times().user
    print(
        f"one core encrypts {size / MIB / (written - start):,.0f} MiB/s, decrypts {size / MIB / (read - written):,.0f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    compare(given.persons, given.rounds)
