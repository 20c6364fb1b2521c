"""Log in to an SFTP server: its key is pinned before anything of ours is shown, ours is the only way in."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import paramiko

from connectors.sources import Secrets, SftpSource
from standard.errors import DeclarationError, SourceError

_DRAIN = 4 << 20
_FASTEST_CIPHER = "aes128-gcm@openssh.com"  # encrypts and authenticates in one pass
GONE = (EOFError, OSError, paramiko.SSHException, paramiko.SFTPError)


class Client:
    """One SSH connection and its SFTP channel."""

    request: int | None = None
    """How much may be asked for at once, once it is known."""

    def __init__(self, ssh: paramiko.SSHClient, timeout: float) -> None:
        self._ssh = ssh
        transport = ssh.get_transport()
        assert transport is not None
        channel = transport.open_session(timeout=timeout)
        channel.settimeout(timeout)
        channel.invoke_subsystem("sftp")
        self.sftp = paramiko.SFTPClient(_Drained(channel))  # type: ignore[arg-type]

    @property
    def alive(self) -> bool:
        """Whether the connection still stands."""
        transport = self._ssh.get_transport()
        return transport is not None and transport.is_active()

    def close(self) -> None:
        """Ends the connection."""
        self._ssh.close()


class _Drained:
    """A channel whose waiting data is taken over at once.

    paramiko moves all that waits in a channel at every read, and SFTP reads each packet in small pieces.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._waiting = memoryview(b"")

    def recv(self, size: int) -> bytes:
        """At least one byte, as a socket gives it; none at the end."""
        if not self._waiting:
            self._waiting = memoryview(self._channel.recv(_DRAIN))
        data, self._waiting = bytes(self._waiting[:size]), self._waiting[size:]
        return data

    def send(self, data: bytes) -> int:
        """Sends as a socket does. A broken connection is told where the reply is read: paramiko sends from threads
        of its own, whose errors nobody takes up."""
        try:
            return self._channel.send(data)
        except (OSError, EOFError):
            self._channel.close()
            return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class Login:
    """Whom we trust as the server, and as whom we log in."""

    def __init__(self, source: SftpSource, secrets: Secrets) -> None:
        self._host, self.user = secrets.expand(source.host), secrets.expand(source.user)
        self._port = _port(secrets.expand(str(source.port)))
        self.server = f"{self.user}@{self._host}:{self._port}"
        self._known_hosts = (
            Path(secrets.expand(source.known_hosts)) if source.known_hosts else secrets.keys / "known_hosts"
        )
        self._key = _read_key(secrets.reveal(source.key).get_secret_value(), source.key)
        self._timeout = source.timeout

    def connect(self) -> Client:
        """Connects, checks the server's key before anything of ours is shown, and logs in by key alone."""
        ssh = paramiko.SSHClient()
        try:
            _load_known_hosts(ssh, self._known_hosts)
            ssh.set_missing_host_key_policy(_RefuseUnknown(self._known_hosts, self.server))
            ssh.connect(
                self._host, self._port, self.user, pkey=self._key, allow_agent=False, look_for_keys=False,
                sock=self._socket(), transport_factory=_Transport,
                timeout=self._timeout, banner_timeout=self._timeout, auth_timeout=self._timeout,
                channel_timeout=self._timeout,
            )  # fmt: skip
            return Client(ssh, self._timeout)
        except BaseException as error:
            ssh.close()
            if isinstance(error, GONE):
                raise self._told(error) from error
            raise

    def _socket(self) -> socket.socket:
        connected = socket.create_connection((self._host, self._port), timeout=self._timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # requests are small and must not wait
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connected

    def _told(self, error: BaseException) -> SourceError:
        if isinstance(error, paramiko.BadHostKeyException):
            return _changed_key(error.key, self._known_hosts, self._name, self.server)
        if isinstance(error, paramiko.AuthenticationException):
            return SourceError(
                "the server refuses our key",
                where=self.server,
                mend=f"ask the agency to allow this public key for {self.user}: "
                f"{self._key.get_name()} {self._key.get_base64()}  ({self._key.fingerprint})",
            )
        return SourceError(
            f"the server cannot be reached ({type(error).__name__}: {_reason(error)})",
            where=self.server,
            mend="check host and port, that the server runs, and that no firewall stands between",
        )

    @property
    def _name(self) -> str:
        return self._host if self._port == 22 else f"[{self._host}]:{self._port}"


class _Transport(paramiko.Transport):
    """A connection that offers the fastest cipher first."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        options = self.get_security_options()
        options.ciphers = [_FASTEST_CIPHER, *(name for name in options.ciphers if name != _FASTEST_CIPHER)]


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error) or "no answer"


def _port(text: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise DeclarationError("the port is not a number from 1 to 65535", where="port of an SFTP source", mend="mend it")


def _read_key(text: str, name: str) -> paramiko.PKey:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            raise DeclarationError(
                "the private key is locked with a passphrase",
                where=name,
                mend="store it without (mode 0600), or make one for the exchange: ssh-keygen -t ed25519 -N '' -f FILE",
            ) from None
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise DeclarationError(
        "this is not a private key of kind ed25519, ecdsa or rsa",
        where=name,
        mend="make one: ssh-keygen -t ed25519 -N '' -f FILE, and give the agency FILE.pub",
    ) from None


def _load_known_hosts(ssh: paramiko.SSHClient, path: Path) -> None:
    if not path.is_file():
        return  # every server is unknown, and refused with the line to add
    try:
        ssh.load_host_keys(str(path))
    except (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError, OSError) as error:
        raise DeclarationError(
            "the file of pinned server keys cannot be read", where=str(path), mend="mend or remove the broken line"
        ) from error


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    """No key is trusted because it came first."""

    def __init__(self, known_hosts: Path, server: str) -> None:
        self._known_hosts, self._server = known_hosts, server

    def missing_host_key(self, _client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise SourceError(
            f"the server's key is not pinned; it offers {key.fingerprint}",
            where=self._server,
            mend=_how_to_pin(key, self._known_hosts, hostname),
        )


def _changed_key(offered: paramiko.PKey, known_hosts: Path, hostname: str, server: str) -> SourceError:
    line = _line_of(known_hosts, hostname)
    return SourceError(
        f"the server's key is not the pinned one; it offers {offered.fingerprint}. Someone may stand between",
        where=f"{server}; pinned in {known_hosts}{f', line {line}' if line else ''}",
        mend="ask the agency whether it changed its key; if so, remove that line and "
        + _how_to_pin(offered, known_hosts, hostname),
    )


def _how_to_pin(key: paramiko.PKey, known_hosts: Path, hostname: str) -> str:
    return (
        f"compare this fingerprint with the agency's by telephone or letter, and only then add to {known_hosts} the "
        f"line: {hostname} {key.get_name()} {key.get_base64()}"
    )


def _line_of(known_hosts: Path, hostname: str) -> int | None:
    """The line on which a host is pinned first."""
    for number, line in enumerate(known_hosts.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip().startswith("#"):
            continue
        entry = paramiko.hostkeys.HostKeyEntry.from_line(line.strip(), number)
        one = paramiko.HostKeys()
        if entry is not None and entry.hostnames and entry.key is not None:
            one._entries.append(entry)  # type: ignore[attr-defined]
            if one.lookup(hostname) is not None:
                return number
    return None
