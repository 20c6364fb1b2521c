"""Files of an agency's SFTP server, through paramiko: the server's key is pinned, ours is the only way to log in."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import paramiko
from paramiko.sftp import CMD_CLOSE, CMD_HANDLE, CMD_NAME, CMD_OPENDIR, CMD_READDIR

from connectors.files import FileChanged, FileRefused
from connectors.ranges import LARGEST_REQUEST, SMALLEST_REQUEST, RangeReader, fetch_ranges
from connectors.sftp_login import GONE, Client, Login
from connectors.sources import Secrets, SftpSource
from standard.errors import SourceError
from store.parts import Listed, Part

# Neither the window nor the number of requests in flight is set: with paramiko, larger ones are up to 50 times slower.
_TWO_CONNECTIONS_FROM = 32 << 20

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what matters comes as an error of ours


class Sftp:
    """A logged-in opening of one folder of an SFTP server."""

    def __init__(self, source: SftpSource, secrets: Secrets) -> None:
        self._folder = (secrets.expand(source.folder).rstrip("/") or "/").encode()
        self._login, self._secrets = Login(source, secrets), secrets
        self.settle = source.settle
        self.keyring = secrets.keyring(source.pgp)
        self.place = f"{self._login.server}, folder {self._folder.decode()}"
        self._clients = [self._login.connect()]

    def close(self) -> None:
        """Ends the connections."""
        for client in self._clients:
            client.close()

    @property
    def _sftp(self) -> paramiko.SFTPClient:
        return self._clients[0].sftp

    def listing(self) -> list[Listed]:
        """The regular files of the folder."""
        return [listed for listed in self.entries() if listed.regular]

    def entries(self) -> list[Listed]:
        """All that stands in the folder but folders, be it a file or a link or a pipe."""
        with self._troubles_told():
            try:
                return _entries(self._sftp, self._folder)
            except FileNotFoundError:
                home = self._sftp.normalize(".")
        raise SourceError(
            f"the folder {self._folder.decode()} is not there",
            where=self._login.server,
            mend=f"correct the source's folder, or ask the agency to make it; the login stands in {home}",
        )

    def _path(self, listed: Listed) -> bytes:
        return self._folder.rstrip(b"/") + b"/" + listed.raw

    def download(self, listed: Listed, part: Part) -> None:
        """Fetches the file from `part.done` on; a large one in ranges over two connections."""
        with self._troubles_told(listed):
            large = listed.size - part.done >= _TWO_CONNECTIONS_FROM
            if large and len(self._clients) == 1:
                self._clients.append(self._login.connect())
            with ExitStack() as opened:
                readers = [self._reader(client, listed, opened) for client in self._clients[: 2 if large else 1]]
                try:
                    fetch_ranges(readers, listed.size, part)
                except TimeoutError:
                    self.close()  # or each file that is open would wait as long again for its closing
                    raise

    def _reader(self, client: Client, listed: Listed, opened: ExitStack) -> RangeReader:
        """A reader of the file over one connection, if it is still the one that was listed."""
        handles = [opened.enter_context(client.sftp.open(self._path(listed))) for _ in range(2)]
        if not all(_same(handle.stat(), listed) for handle in handles):
            raise FileChanged
        if client.request is None and listed.size >= _TWO_CONNECTIONS_FROM:
            client.request = _request_that_is_given_whole(handles[0])
        request = client.request or SMALLEST_REQUEST
        for handle in handles:
            handle.MAX_REQUEST_SIZE = request
        return RangeReader(handles, listed.size, request)

    def unchanged(self, listed: Listed) -> bool:
        """Whether the file is still the one that was listed."""
        with self._troubles_told():
            try:
                return _same(self._sftp.lstat(self._path(listed)), listed)
            except FileNotFoundError:
                return False

    def move(self, listed: Listed, folder: str, name: bytes) -> None:
        """Moves a file of the inbox into another folder, at once; what bears the name there is replaced."""
        with self._troubles_told(listed):
            self._sftp.posix_rename(self._path(listed), self._within(folder) + name)

    def put(self, content: BinaryIO, size: int, folder: str, name: str) -> None:
        """Writes a file into another folder: it bears its name only when it is whole."""
        to, part = (self._within(folder) + part.encode() for part in (name, f".{name}.part"))
        with self._writing_told(folder):
            self._sftp.putfo(content, part, file_size=size, confirm=True)
            self._sftp.posix_rename(part, to)

    def _within(self, folder: str) -> bytes:
        return self._secrets.expand(folder).rstrip("/").encode() + b"/"

    @contextmanager
    def _writing_told(self, folder: str) -> Iterator[None]:
        try:
            yield
        except GONE as error:
            told = os.strerror(number) if (number := getattr(error, "errno", None)) else type(error).__name__
            raise SourceError(
                f"the folder {folder} cannot be written: {told}",
                where=self._login.server,
                mend=f"ask the agency to make it and to let {self._login.user} write there; the next run tries again",
            ) from error

    def probe(self) -> str:
        """What the folder shows, in a sentence."""
        return f"{self.place}: {len(self.listing())} files"

    @contextmanager
    def _troubles_told(self, listed: Listed | None = None) -> Iterator[None]:
        """Says of a failure whether this file or the whole source is the matter."""
        try:
            yield
        except GONE as error:
            number = getattr(error, "errno", None)
            if listed is not None and number == errno.ENOENT:
                raise FileChanged from error
            what = f"the file {listed.name!r}" if listed is not None else "the folder"
            answered = isinstance(error, OSError) and not isinstance(error, (TimeoutError, ConnectionError))
            if answered and all(client.alive for client in self._clients):
                told = os.strerror(number) if number else str(error)
                raise FileRefused(
                    f"{what} may not be read: {told}",
                    where=self.place,
                    mend=f"ask the agency to let {self._login.user} read it",
                ) from error
            raise SourceError(
                f"the connection broke while {what} was read ({type(error).__name__})",
                where=self.place,
                mend="run again: what has come is kept, and the file is taken up where it was cut",
            ) from error


def _entries(sftp: paramiko.SFTPClient, folder: bytes) -> list[Listed]:
    """What stands in a folder, without the folders in it.

    Read here and not by `listdir_attr`, which fails for the whole folder at one name that is not UTF-8.
    """
    _, reply = _asked(sftp, CMD_OPENDIR, folder, expect=CMD_HANDLE)
    handle = reply.get_binary()
    listed: list[Listed] = []
    try:
        while True:
            _, reply = _asked(sftp, CMD_READDIR, handle, expect=CMD_NAME)
            for _ in range(reply.get_int()):
                raw, _long_form = reply.get_binary(), reply.get_binary()
                status = paramiko.SFTPAttributes._from_msg(reply)  # type: ignore[attr-defined]
                if not stat.S_ISDIR(status.st_mode or 0) and raw not in (b".", b"..") and not {47, 0} & set(raw):
                    listed.append(_as_listed(raw, status))
    except EOFError:  # so a folder ends
        sftp._request(CMD_CLOSE, handle)  # type: ignore[attr-defined]
        return listed


def _asked(sftp: paramiko.SFTPClient, *request: object, expect: int) -> tuple[int, paramiko.Message]:
    kind, reply = sftp._request(*request)  # type: ignore[attr-defined]
    if kind != expect:
        raise paramiko.SFTPError("unexpected reply")
    return kind, reply


def _as_listed(raw: bytes, status: paramiko.SFTPAttributes) -> Listed:
    changed_ns = int(status.st_mtime or 0) * 1_000_000_000
    name = raw.decode("utf-8", "backslashreplace")
    return Listed(name, int(status.st_size or 0), changed_ns, raw, stat.S_ISREG(status.st_mode or 0))


def _same(status: paramiko.SFTPAttributes, listed: Listed) -> bool:
    return listed.regular and _as_listed(listed.raw, status) == listed


def _request_that_is_given_whole(handle: paramiko.SFTPFile) -> int:
    """How much the server gives in one reply; some give less than is asked for."""
    handle.MAX_REQUEST_SIZE = LARGEST_REQUEST
    given = len(handle._read(LARGEST_REQUEST))  # type: ignore[attr-defined]
    return max(given, SMALLEST_REQUEST)
