"""Where everything rests below one home folder: private to its owner, and never seen half written."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from standard.errors import DeclarationError

if TYPE_CHECKING:
    from store.keys import DataKeys

ENCRYPTED: dict[Path, DataKeys] = {}
"""The encrypted homes that this process has opened (store.encryption_home.unlock): root -> data keys."""


@dataclass(frozen=True)
class Home:
    """The folders of one exchange."""

    root: Path

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def batches(self) -> Path:
        return self.root / "batches"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def links(self) -> Path:
        return self.root / "links"

    @property
    def record(self) -> Path:
        return self.root / "record"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def receipts(self) -> Path:
        return self.root / "receipts"

    @property
    def outbound(self) -> Path:
        return self.root / "outbound"

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def disclosures(self) -> Path:
        return self.root / "disclosures"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def agencies(self) -> Path:
        return self.root / "agencies"

    @property
    def settings_file(self) -> Path:
        return self.root / "exchange.yaml"

    @property
    def ledger_file(self) -> Path:
        return self.root / "ledger.db"

    def create(self) -> Home:
        """Makes the folders, private to their owner (0700); what is there stays."""
        for folder in (
            self.root,
            self.landing,
            self.batches,
            self.state,
            self.links,
            self.record,
            self.reports,
            self.keys,
            self.agencies,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self


def open_home(root: Path) -> Home:
    """The home in a folder.

    Raises:
        DeclarationError: The folder was not laid out by `kith init`.
    """
    home = Home(root.expanduser().resolve())
    if not home.settings_file.is_file():
        raise DeclarationError(
            "this folder is not the home of an exchange",
            where=str(home.root),
            mend="name its folder by --home or KITH_HOME, or lay one out with: kith init DIR",
        )
    unlock_home(home)
    return home


def unlock_home(home: Home) -> None:
    """Makes the files of a home readable in this process, where it is encrypted.

    Raises:
        DeclarationError: What exchange.yaml says of encryption is wrong.
    """
    if b"encryption" not in home.settings_file.read_bytes() and home.root not in ENCRYPTED:
        return
    from store.encryption_home import unlock  # it stands on this module, and most homes need it not

    unlock(home)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a name beside `path` to write to; on success it is synced, made 0600 and renamed into place at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.chmod(0o600)
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


_LEFTOVERS = (f"landing/.parts/{'?' * 32}.part", "batches/*/.*.part", "batches/*/.spill", "state/*/*/.*.part",
              "state/*/*/.spill", "receipts/*/.*.part", "outbound/*/.*.part")  # fmt: skip
"""There only while it is written; the part of a fetched file, which a later poll takes up, has a longer name."""
_PART_WAITS = 7 * 24 * 3600
"""Seconds: the part of a file that no poll has gone on with for so long is of a file that is gone from its source.
In an encrypted home none waits."""


@contextmanager
def held_alone(lock: Path) -> Iterator[None]:
    """Holds a lock file against every other process and thread, waiting for whoever has it."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def clear_leftovers(home: Home) -> None:
    """Removes what a killed process was writing, for it holds rows; to be called only by who holds the home."""
    waits = 0 if home.root in ENCRYPTED else _PART_WAITS  # what is on its way lies in clear
    for part in home.landing.glob(".parts/*"):
        if part.stat().st_mtime < time.time() - waits:
            part.unlink()
    for left in (path for pattern in _LEFTOVERS for path in home.root.glob(pattern)):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def sync(path: Path) -> None:
    """Asks the disk to keep what was written to a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def connect(*, temp: Path | None = None, memory_limit: str = "1GB", threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection for one piece of work: bounded memory, spilling below `temp`, never using the network."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False, "autoload_known_extensions": False,
        "memory_limit": memory_limit, "threads": threads,
    }  # fmt: skip
    if temp is not None:
        config["temp_directory"] = str(temp)
    con = duckdb.connect(config=config)
    if ENCRYPTED:
        from store.encryption_sql import reach_encrypted_files

        reach_encrypted_files(con)
    return con


def peek() -> duckdb.DuckDBPyConnection:
    """A connection for a quick look into small files. To open a database costs more than such a look: one is kept."""
    return _kept(os.getpid(), bool(ENCRYPTED)).cursor()


@cache
def _kept(process: int, encrypted: bool) -> duckdb.DuckDBPyConnection:  # noqa: ARG001
    # One made before an encrypted home was opened does not reach its files. A forked process has the connection of its
    # parent, but not the threads that do its work: it gets its own.
    atexit.register(_kept.cache_clear)
    return connect()


def sql_path(path: Path) -> str:
    """What DuckDB opens a file by: its path or, in an encrypted home, its name in the decrypting file system."""
    if not ENCRYPTED:
        return str(path)
    from store.encryption_home import place_of

    return place_of(path)


def literal(value: str | Path) -> str:
    """A text as an SQL literal; of a path, what DuckDB opens the file by."""
    text = sql_path(value) if isinstance(value, Path) else value
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
