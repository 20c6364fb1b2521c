"""An SFTP server for machines without OpenSSH: one read-only folder for each agency's user, login by key alone."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HOST = "127.0.0.1"
_LOGIN_SECONDS = 30

log = logging.getLogger(__name__)


def make_key(path: Path) -> paramiko.Ed25519Key:
    """The ed25519 key in a file, made there (mode 0600) where there is none."""
    if not path.exists():
        text = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text)
    return paramiko.Ed25519Key.from_private_key_file(str(path))


class SftpServer:
    """An SFTP server on a free loopback port while the `with` block lasts.

    Args:
        roots: User -> the folder that is the user's whole world.
        host_key: The server's own key.
        user_key: The one key that may log in, as any of the users; only its public half is used.
    """

    def __init__(self, roots: Mapping[str, Path], *, host_key: paramiko.PKey, user_key: paramiko.PKey) -> None:
        self._roots = {user: root.resolve() for user, root in roots.items()}
        self._host_key, self._user_key = host_key, user_key
        self._socket = socket.create_server((HOST, 0))
        self._open: list[paramiko.Transport] = []
        self._accepting = threading.Thread(target=self._accept, name="demo-sftp", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    @property
    def known_hosts_line(self) -> str:
        """The line that pins this server in a known_hosts file."""
        return f"[{HOST}]:{self.port} {self._host_key.get_name()} {self._host_key.get_base64()}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server and every connection."""
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread; close alone would not
        self._socket.close()
        self._accepting.join()
        for transport in self._open:
            transport.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # stopped
                return
            self._open = [transport for transport in self._open if transport.is_active()]
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transport.auth_timeout = _LOGIN_SECONDS
        transport.add_server_key(self._host_key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, sftp_si=_Folder)
        self._open.append(transport)
        try:
            transport.start_server(server=_Gate(self._roots, self._user_key))
        except (paramiko.SSHException, EOFError, OSError) as error:
            log.debug("a client went away before it logged in: %s", type(error).__name__)
            transport.close()


class _Gate(paramiko.ServerInterface):
    """Who may come in: the users we know, by the one key."""

    def __init__(self, roots: Mapping[str, Path], user_key: paramiko.PKey) -> None:
        self._roots, self._user_key = roots, user_key
        self.root = Path(os.devnull)  # nobody's world, until somebody is in

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if username not in self._roots or key.asbytes() != self._user_key.asbytes():
            return paramiko.common.AUTH_FAILED
        self.root = self._roots[username]
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, _channel: int) -> int:
        if kind == "session":
            return paramiko.common.OPEN_SUCCEEDED
        return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


class _Folder(paramiko.SFTPServerInterface):
    """One user's world, to be looked at only; no path leads out of it, not even a link."""

    def __init__(self, server: paramiko.ServerInterface, *_args: object, **_more: object) -> None:
        assert isinstance(server, _Gate)
        self._root = server.root
        super().__init__(server)

    def _real(self, path: str) -> Path:
        real = (self._root / self.canonicalize(path).lstrip("/")).resolve()
        if not real.is_relative_to(self._root):
            raise PermissionError(1, "outside")
        return real

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        try:
            return [
                paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name)
                for entry in os.scandir(self._real(path))
            ]
        except OSError as error:
            return _refused(error)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._real(path).stat())
        except OSError as error:
            return _refused(error)

    lstat = stat  # a link is followed, inside the world only

    def open(self, path: str, flags: int, _attributes: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            return paramiko.sftp.SFTP_PERMISSION_DENIED
        try:
            return _ReadHandle(self._real(path))
        except OSError as error:
            return _refused(error)


class _ReadHandle(paramiko.SFTPHandle):
    """An open file to be read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.readfile = path.open("rb")

    def stat(self) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


def _refused(error: OSError) -> int:
    return paramiko.SFTPServer.convert_errno(error.errno or 0)
