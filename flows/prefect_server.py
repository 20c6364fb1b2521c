"""Prefect's own server for one home: local, private, without telemetry, started once and found again."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standard.errors import SourceError
from store.home import Home, written_whole

START_SECONDS = 180
"""How long the first start may take: it makes Prefect's database, 15 s on two idle cores and longer under load."""


def prefect_folder(home: Home) -> Path:
    """Where Prefect keeps its database and logs: below the home, private to its owner."""
    folder = home.root / "prefect"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def prefect_environment(home: Home) -> dict[str, str]:
    """What Prefect must be told by its environment before it is imported, in this process or another."""
    password = _password(home)
    return {
        "PREFECT_HOME": str(prefect_folder(home)),
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",  # seconds a run waits at its end until its log is sent
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the stages say for themselves what goes on
        **NO_TELEMETRY,
    }


NO_TELEMETRY = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "GX_ANALYTICS_ENABLED": "false"}


def _password(home: Home) -> str:
    path = home.keys / "prefect_api"
    if not path.exists():
        with written_whole(path) as part:
            part.write_text(f"kith:{secrets.token_urlsafe(24)}", encoding="ascii")
    return path.read_text(encoding="ascii").strip()


@contextmanager
def local_server(home: Home) -> Iterator[str]:
    """The address of the home's Prefect server: the one that is up, else one that lives as long as the body.

    Where PREFECT_API_URL is set, that server is taken.

    Raises:
        SourceError: It did not start.
    """
    url = os.environ.get("PREFECT_API_URL") or _server_that_is_up(home)
    if url:
        yield url
        return
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    server = _start(home, port)
    try:
        _wait_until_up(home, server, url)
        _write_address(home, server, url)
        yield url
    finally:
        _address_file(home).unlink(missing_ok=True)
        if os.environ.get("PREFECT_API_URL") == url:
            del os.environ["PREFECT_API_URL"]
        _stop(server)


def use_server(home: Home, url: str) -> None:
    """Points this process at the home's Prefect server; to be called before Prefect is imported."""
    os.environ.update(prefect_environment(home), PREFECT_API_URL=url)
    os.umask(0o077)  # Prefect makes its files readable by all


def _address_file(home: Home) -> Path:
    return prefect_folder(home) / "server.json"


def _write_address(home: Home, server: subprocess.Popen[bytes], url: str) -> None:
    with written_whole(_address_file(home)) as part:
        part.write_text(json.dumps({"url": url, "pid": server.pid}), encoding="ascii")


def _server_that_is_up(home: Home) -> str | None:
    try:
        url = str(json.loads(_address_file(home).read_text(encoding="ascii"))["url"])
    except FileNotFoundError:
        return None
    return url if _answers(home, url) else None


def _answers(home: Home, url: str) -> bool:
    # The version is behind the password, so another home's server on a port that was given anew does not answer.
    request = urllib.request.Request(f"{url}/admin/version")
    request.add_header("Authorization", "Basic " + base64.b64encode(_password(home).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(home: Home, port: int) -> subprocess.Popen[bytes]:
    log = prefect_folder(home) / "server.log"
    log.touch(mode=0o600)
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **prefect_environment(home)},
            stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            umask=0o077, start_new_session=True,
        )  # fmt: skip


def _wait_until_up(home: Home, server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        if _answers(home, url):
            return
        time.sleep(0.1)
    raise SourceError(
        "Prefect's local server did not start",
        where=str(prefect_folder(home) / "server.log"),
        mend="read the log; kith run --plain runs the same stages without Prefect",
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
