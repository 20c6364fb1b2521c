"""Manifests: what an agency says it exported, which proves that a file is whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from store.extracts import Extract
from store.home import connect, literal


@dataclass(frozen=True)
class ManifestEntry:
    """One line of a manifest: a file's name, its records without the header, and the SHA-256 of its content."""

    file: str
    rows: int
    sha256: str


def manifest_entries(paths: Iterable[Path]) -> list[ManifestEntry]:
    """The lines of a manifest feed.

    Args:
        paths: Files of its rows (mapped.parquet or a state) with the elements `file`, `rows` and `sha256`.
    """
    files = ", ".join(literal(path) for path in paths)
    if not files:
        return []
    with connect(memory_limit="200MB", threads=1) as connection:
        rows = connection.execute(
            f"SELECT DISTINCT file, rows, lower(sha256) FROM read_parquet([{files}], union_by_name = true)"
            " WHERE file IS NOT NULL AND rows IS NOT NULL AND sha256 IS NOT NULL ORDER BY ALL"
        ).fetchall()
    return [ManifestEntry(*row) for row in rows]


def entry_for(extract: Extract, entries: Iterable[ManifestEntry]) -> ManifestEntry | None:
    """The line that speaks of an extract: one with its content, else one with its name, else None."""
    found = list(entries)
    same_content = [entry for entry in found if entry.sha256 == extract.sha256.lower()]
    same_name = [entry for entry in found if entry.file == extract.name]
    return next(iter([*same_content, *same_name]), None)
