"""Real servers for `make county` and for tests: an OpenSSH sshd and a PostgreSQL on free loopback ports."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import sqlalchemy as sa

_SSHD_MISSING = "needs OpenSSH's server; install it with: apt-get install openssh-server"
_POSTGRESQL_MISSING = "needs PostgreSQL's server; install it with: apt-get install postgresql"
_START_SECONDS = 60


class ServerMissing(Exception):
    """A server's program is not installed; the message says how to install it."""


@dataclass(frozen=True)
class SftpServer:
    """A running sshd in which the current user logs in by key alone; its folders stand below `root`."""

    root: Path
    port: int
    user: str
    key: Path
    """The private key that is allowed."""
    host_key: Path
    """The server's private key; its public half stands beside it as .pub."""
    host: str = "127.0.0.1"

    @property
    def known_hosts(self) -> str:
        """The line that pins this server."""
        kind, text = self.host_key.with_suffix(".pub").read_text().split()[:2]
        return f"[{self.host}]:{self.port} {kind} {text}\n"


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL with one superuser."""

    port: int
    user: str
    password: str
    host: str = "127.0.0.1"

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases, with the password."""
        return f"postgresql+psycopg://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Makes an empty database and gives its URL."""
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{database}"')
        engine.dispose()
        return self.url(database)

    def run(self, database: str, sql: str | Path) -> None:
        """Runs a script of many statements as psql does, all of it or nothing being left to the script."""
        text = sql.read_text(encoding="utf-8") if isinstance(sql, Path) else sql
        engine = sa.create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        connection = engine.raw_connection()
        try:
            connection.cursor().execute(text.encode())  # without parameters: % and : are what they are
        finally:
            connection.close()
            engine.dispose()


def free_port() -> int:
    """A loopback port that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_key(path: Path) -> Path:
    """Makes an ed25519 key pair without passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


@contextmanager
def sftp_server(folder: Path, *, log_level: str = "ERROR") -> Iterator[SftpServer]:
    """Runs an sshd until the end of the block.

    Args:
        folder: An empty or missing folder; `root/` below it is what the login sees first, `sshd.log` its log.
        log_level: How much sshd writes there.

    Raises:
        ServerMissing: OpenSSH's server is not installed.
    """
    program = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
    if program is None or shutil.which("ssh-keygen") is None:
        raise ServerMissing(_SSHD_MISSING)
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    server = SftpServer(
        root, free_port(), getpass.getuser(), make_key(folder / "user_key"), make_key(folder / "host_key")
    )
    (folder / "authorized_keys").write_bytes((folder / "user_key.pub").read_bytes())
    settings = folder / "sshd_config"
    settings.write_text(_sshd_settings(server, folder, log_level))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd puts the unprivileged half of itself
    with _running([program, "-D", "-e", "-f", str(settings)], folder / "sshd.log", port=server.port):
        yield server


def _sshd_settings(server: SftpServer, folder: Path, log_level: str) -> str:
    return f"""ListenAddress {server.host}
Port {server.port}
HostKey {server.host_key}
PidFile none
AuthorizedKeysFile {folder / "authorized_keys"}
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
MaxStartups 100
LogLevel {log_level}
Subsystem sftp internal-sftp
ForceCommand internal-sftp -d {server.root}
"""


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Runs a PostgreSQL with a new, empty cluster until the end of the block.

    As root it runs as the user `postgres`, as PostgreSQL demands.

    Raises:
        ServerMissing: PostgreSQL's server is not installed.
    """
    programs = _postgresql_programs()
    user: str | None = "postgres" if os.geteuid() == 0 else None
    server = PostgresServer(free_port(), "kith", token_hex(16))
    folder = Path(tempfile.mkdtemp(prefix="kith-postgresql-"))
    try:
        (folder / "password").write_text(server.password)
        if user:
            shutil.chown(folder, user)
            shutil.chown(folder / "password", user)
        _make_cluster(programs, folder, server, user)
        command = [
            str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(server.port),
            "-c", f"listen_addresses={server.host}", "-c", f"unix_socket_directories={folder}",
            "-c", "fsync=off", "-c", "shared_buffers=64MB", "-c", "max_connections=100",
        ]  # fmt: skip
        with _running(command, folder / "log", port=server.port, user=user, stop=signal.SIGINT):
            _wait_for_postgresql(server)
            yield server
    finally:
        shutil.rmtree(folder)


def _postgresql_programs() -> Path:
    """The folder of the newest PostgreSQL's programs; Debian keeps them off the path."""
    found = [Path(path).parent for path in [shutil.which("initdb")] if path]
    found += [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found:
        raise ServerMissing(_POSTGRESQL_MISSING)
    return max(found, key=lambda folder: [int(part) for part in folder.parts if part.isdigit()])


def _make_cluster(programs: Path, folder: Path, server: PostgresServer, user: str | None) -> None:
    command = [
        programs / "initdb", "-D", folder / "data", "-U", server.user, "-A", "scram-sha-256",
        "--pwfile", folder / "password", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
    ]  # fmt: skip
    group = {"user": user, "group": user, "extra_groups": []} if user else {}
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **group)  # type: ignore[call-overload]


def _wait_for_postgresql(server: PostgresServer) -> None:
    engine = sa.create_engine(server.url(), poolclass=sa.NullPool)
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            engine.connect().close()
            return
        except sa.exc.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@contextmanager
def _running(
    command: list[str], log: Path, *, port: int, user: str | None = None, stop: signal.Signals = signal.SIGTERM
) -> Iterator[None]:
    """Runs a server until the end of the block; it is ready when its port answers."""
    group = {"user": user, "group": user, "extra_groups": []} if user else {}
    with log.open("wb") as stream:
        process = subprocess.Popen(  # type: ignore[call-overload]
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=log.parent, **group
        )
    try:
        _wait_for_port(process, port, log)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
