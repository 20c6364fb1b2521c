"""What all tests share: where the reference material lies, and that no warning of ours passes unseen."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT))  # so that tests.servers is found from wherever the tests are started

from tests.servers import PostgresServer, ServerMissing, SftpServer, postgres_server, sftp_server  # noqa: E402


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the servers are said to be there (KITH_SERVERS_REQUIRED), a test that misses one fails."""
    report = yield
    if report.skipped and "apt-get install" in str(report.longrepr) and os.environ.get("KITH_SERVERS_REQUIRED"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the project; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference material in ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """A real sshd for the whole session; each test makes a folder of its own below `root`."""
    try:
        with sftp_server(tmp_path_factory.mktemp("sshd")) as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL for the whole session; each test makes a database of its own with `create`."""
    try:
        with postgres_server() as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))
