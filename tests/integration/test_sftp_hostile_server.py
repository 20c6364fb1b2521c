"""SFTP servers unlike OpenSSH's: one that lies about names, and one that gives little at once."""

from __future__ import annotations

import random
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_FAILURE

import connectors.sftp
from connectors.doors import fetch_new, open_door
from connectors.sources import Secrets, Source
from connectors.wanted import FilesWanted
from store.landing import Arrival, Landing
from tests.servers import make_key

NAMES = ["../x.csv", "/etc/passwd.csv", "..", ".", "a/b.csv", "../../../home/kith/.ssh/authorized_keys.csv"]


class Lies(paramiko.SFTPServerInterface):
    """Lists names that lead out of the folder, and remembers what it is asked to open."""

    opened: list[str] = []  # noqa: RUF012 - paramiko makes the instance

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes]:
        return [_entry(name) for name in NAMES]

    def lstat(self, path: str) -> paramiko.SFTPAttributes:
        return _entry(path)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> int:
        self.opened.append(path)
        return SFTP_FAILURE


def _entry(name: str, size: int = 3) -> paramiko.SFTPAttributes:
    entry = paramiko.SFTPAttributes()
    entry.filename, entry.st_size, entry.st_mtime, entry.st_atime = name, size, 1_700_000_000, 1_700_000_000
    entry.st_mode = stat.S_IFREG | 0o644
    return entry


class Welcome(paramiko.ServerInterface):
    """Lets anyone in: the lie is the server's, not the login's."""

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


class Sparing(paramiko.SFTPServerInterface):
    """Gives one file, and never more than 32 kB of it at once, as some servers do."""

    content = random.Random(8).randbytes(3_000_001)
    asked: list[int] = []  # noqa: RUF012 - paramiko makes the instance

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes]:
        return [_entry("x.csv", len(self.content))]

    def lstat(self, path: str) -> paramiko.SFTPAttributes:
        return _entry("x.csv", len(self.content))

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle:
        return SparingFile()


class SparingFile(paramiko.SFTPHandle):
    """The open file of the sparing server."""

    def read(self, offset: int, length: int) -> bytes:
        Sparing.asked.append(length)
        return Sparing.content[offset : offset + min(length, 32 << 10)]

    def stat(self) -> paramiko.SFTPAttributes:
        return _entry("x.csv", len(Sparing.content))


@contextmanager
def serving(folder: Path, interface: type[paramiko.SFTPServerInterface]) -> Iterator[tuple[Source, Secrets]]:
    """Runs a server until the end of the block, and gives the source that leads to it."""
    host_key, keys = make_key(folder / "host_key"), folder / "keys"
    listening = socket.create_server(("127.0.0.1", 0))
    port = int(listening.getsockname()[1])
    threading.Thread(target=_accept, args=(listening, host_key, interface), daemon=True).start()
    keys.mkdir()
    (keys / "known_hosts").write_text(
        f"[127.0.0.1]:{port} {' '.join(host_key.with_suffix('.pub').read_text().split()[:2])}\n"
    )
    (keys / "k").write_text(make_key(folder / "user_key").read_text())
    (keys / "k").chmod(0o600)
    sftp = {"host": "127.0.0.1", "port": port, "user": "kith", "folder": "inbox", "key": "secret:k", "timeout": 5}
    yield Source.model_validate({"sftp": sftp}), Secrets(keys)
    listening.close()


def _accept(listening: socket.socket, host_key: Path, interface: type[paramiko.SFTPServerInterface]) -> None:
    with suppress(OSError):  # until it is closed
        while True:
            connection, _ = listening.accept()
            transport = paramiko.Transport(connection)
            transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(host_key)))
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, interface)
            transport.start_server(server=Welcome())


def test_names_that_lead_elsewhere_are_neither_opened_nor_landed(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    with serving(tmp_path, Lies) as (source, secrets), open_door(source, secrets) as door:
        came = list(fetch_new(door, FilesWanted("*"), known={}, landing=landing, now=datetime.now(UTC)))
    assert came == [] and not landing.folder.exists()
    assert Lies.opened == []


def test_a_server_that_gives_little_at_once_is_asked_for_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors.sftp, "_TWO_CONNECTIONS_FROM", 1 << 20)
    landing = Landing(tmp_path / "landing")
    with serving(tmp_path, Sparing) as (source, secrets), open_door(source, secrets) as door:
        (came,) = fetch_new(door, FilesWanted("*"), known={}, landing=landing, now=datetime.now(UTC))
    assert isinstance(came, Arrival) and came.path.read_bytes() == Sparing.content
    assert sum(length > 32 << 10 for length in Sparing.asked) <= 2  # once over each connection
