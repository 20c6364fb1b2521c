"""A snapshot on disk: an immutable folder of Parquet tables with its manifest, and the pointer to the current one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standard.errors import PublishError
from store.encryption_home import open_to_read
from store.home import Home, held_alone, sync, written_whole

MANIFEST = "manifest.json"
WITHHELD = "withheld.parquet"
"""Beside the tables, for the exchange itself: which rows are not published, and why."""


@dataclass(frozen=True)
class Snapshot:
    """One published state of the record.

    Attributes:
        folder: Where its Parquet tables and `manifest.json` lie.
        manifest: tables (rows, sha256, columns), withheld (entity -> reason -> rows), parent, extracts, versions,
            changes against the parent, quality of the linkage.
        is_new: False where a publishing found nothing changed and this one stays current.
    """

    folder: Path
    manifest: Mapping[str, Any]
    is_new: bool = False

    @property
    def snapshot_id(self) -> str:
        return str(self.manifest["snapshot_id"])

    def table(self, name: str) -> Path:
        """The Parquet file of one table."""
        return self.folder / f"{name}.parquet"


def snapshot_folder(home: Home, snapshot_id: str) -> Path:
    """Where a snapshot lies, or would lie."""
    return home.record / "snapshots" / snapshot_id


def current_id(home: Home) -> str | None:
    """The id of the current snapshot, or None where nothing was published yet."""
    try:
        return (home.record / "CURRENT").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def load_snapshot(home: Home, snapshot_id: str) -> Snapshot:
    """A snapshot by its id.

    Raises:
        PublishError: It was never published here.
    """
    folder = snapshot_folder(home, snapshot_id)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PublishError(
            f"there is no snapshot {snapshot_id!r}", where=str(folder.parent), mend="list them with: kith status"
        ) from error
    return Snapshot(folder=folder, manifest=manifest)


def current_snapshot(home: Home) -> Snapshot | None:
    """The current snapshot, or None where nothing was published yet."""
    snapshot_id = current_id(home)
    return None if snapshot_id is None else load_snapshot(home, snapshot_id)


def pointer_lock(home: Home) -> AbstractContextManager[None]:
    """Held while the pointer moves, so that a slow publisher cannot set it back."""
    return held_alone(home.record / ".pointer.lock")


def point_at(home: Home, snapshot_id: str) -> None:
    """Makes a snapshot current, in one step."""
    with written_whole(home.record / "CURRENT") as part:
        part.write_text(f"{snapshot_id}\n", encoding="ascii")


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Writes the manifest of a snapshot and gives its sha256."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    with written_whole(folder / MANIFEST) as part:
        part.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of what a file holds, read in pieces."""
    with open_to_read(path) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def fingerprint(*folders: Path, suffixes: Iterable[str] = (".py", ".sql", ".yaml", ".csv", ".json", ".jinja")) -> str:
    """A version of what stands below some folders: a short hash over the names and contents of the files that count."""
    digest, wanted = hashlib.sha256(), set(suffixes)
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix in wanted and p.is_file()):
            digest.update(f"{path.relative_to(folder)}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()[:16]


def damaged_tables(snapshot: Snapshot) -> list[str]:
    """The tables that are missing or are not what was published; every table is read."""
    return [
        name
        for name, entry in snapshot.manifest["tables"].items()
        if not snapshot.table(name).is_file() or file_sha256(snapshot.table(name)) != entry["sha256"]
    ]


def verify(snapshot: Snapshot) -> None:
    """Reads every table again and compares it with the manifest.

    Raises:
        PublishError: A table is missing or is not what was published.
    """
    for name in damaged_tables(snapshot):
        raise PublishError(
            f"the table {name} is not as it was published",
            where=str(snapshot.table(name)),
            mend="publish again: kith run",
        )


def seal_folder(folder: Path) -> None:
    """Makes a finished folder private (0600) and safe on disk, file by file, then itself."""
    for path in sorted(folder.iterdir()):
        path.chmod(0o600)
        sync(path)
    sync(folder)
