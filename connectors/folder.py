"""Files that an agency puts into a folder of this machine."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from connectors.files import FileChanged, FileRefused
from connectors.sources import FolderSource, Secrets
from standard.errors import SourceError
from store.parts import Listed, Part

_BLOCK = 8 << 20


class Folder:
    """An open folder; what is read is read through it, so that no name and no link leads elsewhere."""

    def __init__(self, source: FolderSource, secrets: Secrets) -> None:
        self._path = Path(secrets.expand(source.path))
        self.place = str(self._path)
        self.settle = source.settle
        self.keyring = secrets.keyring(source.pgp)
        self._secrets = secrets
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._not_readable(error) from error

    def close(self) -> None:
        """Lets go of the folder."""
        os.close(self._fd)

    def listing(self) -> list[Listed]:
        """The regular files of the folder."""
        return [listed for listed in self.entries() if listed.regular]

    def entries(self) -> list[Listed]:
        """All that stands in the folder but folders, be it a file or a link or a pipe."""
        try:
            names = [os.fsencode(name) for name in os.listdir(self._fd)]  # noqa: PTH208 - the folder that is open
            return [listed for name in names if (listed := self._listed(name)) is not None]
        except OSError as error:
            raise self._not_readable(error) from error

    def _listed(self, raw: bytes) -> Listed | None:
        try:
            status = os.lstat(raw, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        return None if stat.S_ISDIR(status.st_mode) else _as_listed(raw, status)

    def download(self, listed: Listed, part: Part) -> None:
        """Copies the file from `part.done` on."""
        try:
            # Without waiting: a pipe that took the file's name must not hold the run.
            fd = os.open(listed.raw, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._fd)
        except PermissionError as error:
            raise FileRefused(
                f"the file {listed.name!r} may not be read", where=self.place, mend="let the exchange's user read it"
            ) from error
        except OSError as error:
            raise FileChanged from error
        try:
            self._copy(fd, listed, part)
        finally:
            os.close(fd)

    def _copy(self, fd: int, listed: Listed, part: Part) -> None:
        if not _same(os.fstat(fd), listed):
            raise FileChanged
        while part.done < listed.size:
            try:
                block = os.pread(fd, min(_BLOCK, listed.size - part.done), part.done)
            except OSError as error:
                raise FileRefused(
                    f"the file {listed.name!r} cannot be read", where=self.place, mend="check the disk"
                ) from error
            if not block:
                raise FileChanged
            part.write(part.done, [block])
            part.advance(part.done + len(block))

    def unchanged(self, listed: Listed) -> bool:
        """Whether the file is still the one that was listed."""
        return self._listed(listed.raw) == listed

    def move(self, listed: Listed, folder: str, name: bytes) -> None:
        """Moves a file of the inbox into another folder, at once; what bears the name there is replaced."""
        with self._opened(folder) as to:
            os.rename(listed.raw, name, src_dir_fd=self._fd, dst_dir_fd=to)

    def put(self, content: BinaryIO, size: int, folder: str, name: str) -> None:  # noqa: ARG002 - as over SFTP
        """Writes a file into another folder: it bears its name only when it is whole."""
        part = f".{name}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._opened(folder) as to:
            with os.fdopen(os.open(part, flags, 0o640, dir_fd=to), "wb") as out:
                shutil.copyfileobj(content, out)
                out.flush()
                os.fsync(out.fileno())
            os.rename(part, name, src_dir_fd=to, dst_dir_fd=to)
            os.fsync(to)

    @contextmanager
    def _opened(self, folder: str) -> Iterator[int]:
        path = self._secrets.expand(folder)
        try:
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                yield opened
            finally:
                os.close(opened)
        except OSError as error:
            raise SourceError(
                f"the folder cannot be written: {os.strerror(error.errno or 0)}",
                where=path,
                mend="make the folder and let the exchange's user write there; the next run tries again",
            ) from error

    def probe(self) -> str:
        """What the folder shows, in a sentence."""
        return f"folder {self.place}: {len(self.listing())} files"

    def _not_readable(self, error: OSError) -> SourceError:
        return SourceError(
            f"the folder cannot be read: {os.strerror(error.errno or 0)}",
            where=str(self._path),
            mend="make the folder, let the exchange's user read it, or correct the source's path",
        )


def _as_listed(raw: bytes, status: os.stat_result) -> Listed:
    name = raw.decode("utf-8", "backslashreplace")
    return Listed(name, status.st_size, status.st_mtime_ns, raw, stat.S_ISREG(status.st_mode))


def _same(status: os.stat_result, listed: Listed) -> bool:
    return listed.regular and _as_listed(listed.raw, status) == listed
