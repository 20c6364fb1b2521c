"""An SFTP server that lies about names: what it lists never becomes a path, here or there."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_FAILURE

from connectors.doors import fetch_new, open_door
from connectors.sources import Secrets, Source
from connectors.wanted import FilesWanted
from store.landing import Landing
from tests.servers import make_key

NAMES = ["../x.csv", "/etc/passwd.csv", "..", ".", "a/b.csv", "../../../root/.ssh/authorized_keys.csv"]


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


def _entry(name: str) -> paramiko.SFTPAttributes:
    entry = paramiko.SFTPAttributes()
    entry.filename, entry.st_size, entry.st_mtime, entry.st_atime = name, 3, 1_700_000_000, 1_700_000_000
    entry.st_mode = stat.S_IFREG | 0o644
    return entry


class Welcome(paramiko.ServerInterface):
    """Lets anyone in: the lie is the server's, not the login's."""

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Port of the lying server and the line that pins it."""
    host_key = make_key(tmp_path / "host_key")
    listening = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        connection, _ = listening.accept()
        transport = paramiko.Transport(connection)
        transports.append(transport)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(host_key)))
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Lies)
        transport.start_server(server=Welcome())

    threading.Thread(target=serve, daemon=True).start()
    port = int(listening.getsockname()[1])
    yield port, f"[127.0.0.1]:{port} {' '.join(host_key.with_suffix('.pub').read_text().split()[:2])}\n"
    for transport in transports:
        transport.close()
    listening.close()


def test_names_that_lead_elsewhere_are_neither_opened_nor_landed(liar: tuple[int, str], tmp_path: Path) -> None:
    port, pinned = liar
    keys, landing = tmp_path / "keys", Landing(tmp_path / "landing")
    keys.mkdir()
    (keys / "known_hosts").write_text(pinned)
    (keys / "k").write_text(make_key(tmp_path / "user_key").read_text())
    (keys / "k").chmod(0o600)
    sftp = {"host": "127.0.0.1", "port": port, "user": "kith", "folder": "inbox", "key": "secret:k", "timeout": 5}
    with open_door(Source.model_validate({"sftp": sftp}), Secrets(keys)) as door:
        came = list(fetch_new(door, FilesWanted("*"), known={}, landing=landing, now=datetime.now(UTC)))
    assert came == [] and not landing.folder.exists()
    assert Lies.opened == []
