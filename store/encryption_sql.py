"""DuckDB's way to the files of an encrypted home: a file system of ours in Python, which it reads and writes through.

DuckDB 2 reads encrypted Parquet, but writes none without an extension that it would have to download. Here any file
that it opens by `kith://` is decrypted and encrypted on the way.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped]

from store.encryption import EncryptedReader
from store.encryption_home import SCHEME, open_to_read, open_to_write, size_of


class EncryptedFiles(AbstractFileSystem):  # type: ignore[misc]
    """The files of encrypted homes as DuckDB asks for them; names are paths of this machine."""

    protocol = SCHEME.removesuffix("://")
    cachable = False

    def open(self, path: str, mode: str = "rb", **_: Any) -> EncryptedReader | io.BufferedReader | BinaryIO:
        return open_to_read(_path(path)) if "r" in mode else open_to_write(_path(path))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": size_of(_path(path)), "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        return _path(path).exists()

    def glob(self, path: str, **_: Any) -> list[str]:
        """Just the file of this name: names are given whole, and may hold any character."""
        return [path] if self.exists(path) else []

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(_path(path).stat().st_mtime, UTC)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        _path(path1).replace(_path(path2))

    def rm(self, path: str, **_: Any) -> None:
        _path(path).unlink()


def _path(name: str) -> Path:
    return Path(name.removeprefix(SCHEME))


def reach_encrypted_files(con: duckdb.DuckDBPyConnection) -> None:
    """Lets a connection open the files of encrypted homes."""
    con.register_filesystem(EncryptedFiles())
