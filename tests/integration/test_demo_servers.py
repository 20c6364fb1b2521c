"""The demo's SFTP server: the given key only, each user in a world of its own, nothing can be changed."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from demo.servers import HOST, SftpServer, make_key


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("host", "user", "stranger"):
        make_key(folder / name)
    return folder


@pytest.fixture(scope="module")
def server(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    world = tmp_path_factory.mktemp("world")
    for user in ("schools", "police"):
        (world / user).mkdir()
        (world / user / "mine.txt").write_text(f"of {user}")
    (world / "outside.txt").write_text("outside")
    (world / "schools" / "way_out").symlink_to(world)
    (world / "schools" / "large.bin").write_bytes(bytes(range(256)) * 4096)
    roots = {user: world / user for user in ("schools", "police")}
    with SftpServer(roots, host_key=make_key(keys / "host"), user_key=make_key(keys / "user")) as running:
        yield running


@contextmanager
def logged_in(
    server: SftpServer, keys: Path, user: str = "schools", key: str = "user"
) -> Iterator[paramiko.SFTPClient]:
    with paramiko.SSHClient() as client:
        (keys / "known_hosts").write_text(server.known_hosts_line + "\n")
        client.load_host_keys(str(keys / "known_hosts"))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            HOST, server.port, user, pkey=make_key(keys / key), look_for_keys=False, allow_agent=False, timeout=20
        )
        yield client.open_sftp()


def test_each_user_sees_the_files_of_its_own_folder(server: SftpServer, keys: Path) -> None:
    for user in ("schools", "police"):
        with logged_in(server, keys, user) as sftp, sftp.open("mine.txt") as file:
            assert file.read() == f"of {user}".encode()
    with logged_in(server, keys, "police") as sftp:
        assert sftp.listdir(".") == ["mine.txt"]


def test_a_file_comes_whole_and_in_ranges(server: SftpServer, keys: Path, tmp_path: Path) -> None:
    with logged_in(server, keys) as sftp:
        sftp.get("large.bin", str(tmp_path / "large.bin"))
        with sftp.open("/large.bin") as file:
            file.seek(1_000_000)
            tail = file.read()
    assert (tmp_path / "large.bin").read_bytes() == bytes(range(256)) * 4096
    assert tail == (bytes(range(256)) * 4096)[1_000_000:]


@pytest.mark.parametrize(("user", "key"), [("schools", "stranger"), ("nobody", "user")])
def test_another_key_or_an_unknown_user_is_refused(server: SftpServer, keys: Path, user: str, key: str) -> None:
    with pytest.raises(paramiko.AuthenticationException), logged_in(server, keys, user, key):
        pass


def test_a_password_is_refused(server: SftpServer) -> None:
    transport = paramiko.Transport((HOST, server.port))
    try:
        transport.start_client(timeout=20)
        with pytest.raises(paramiko.BadAuthenticationType):
            transport.auth_password("schools", "schools")
    finally:
        transport.close()


@pytest.mark.parametrize("path", ["../outside.txt", "/../outside.txt", "way_out/outside.txt", "a/../../outside.txt"])
def test_no_path_leads_out_of_the_folder(server: SftpServer, keys: Path, path: str) -> None:
    with logged_in(server, keys) as sftp:
        for attempt in (sftp.open, sftp.stat, sftp.lstat, sftp.listdir):
            with pytest.raises(OSError):
                attempt(path)


def test_nothing_can_be_written_removed_or_renamed(server: SftpServer, keys: Path) -> None:
    with logged_in(server, keys) as sftp:
        for attempt in (
            lambda: sftp.open("mine.txt", "w"),
            lambda: sftp.open("new.txt", "x"),
            lambda: sftp.remove("mine.txt"),
            lambda: sftp.rename("mine.txt", "other.txt"),
            lambda: sftp.mkdir("folder"),
            lambda: sftp.symlink("/etc", "link"),
        ):
            with pytest.raises(OSError):
                attempt()
        with sftp.open("mine.txt") as file:
            assert file.read() == b"of schools"


def test_keys_are_private_files_and_are_kept(keys: Path) -> None:
    assert stat.S_IMODE((keys / "user").stat().st_mode) == 0o600
    assert make_key(keys / "user").get_base64() == make_key(keys / "user").get_base64()
    assert make_key(keys / "user").get_base64() != make_key(keys / "stranger").get_base64()


def test_openssh_gets_in_too(server: SftpServer, keys: Path, tmp_path: Path) -> None:
    if shutil.which("sftp") is None:
        pytest.skip("needs the OpenSSH client (apt-get install openssh-client)")
    (keys / "known_hosts").write_text(server.known_hosts_line + "\n")
    options = [
        "-o",
        f"UserKnownHostsFile={keys / 'known_hosts'}",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "BatchMode=yes",
    ]
    subprocess.run(
        ["sftp", "-q", "-P", str(server.port), "-i", str(keys / "user"), "-o", "IdentitiesOnly=yes", *options,
         f"schools@{HOST}:mine.txt", str(tmp_path / "mine.txt")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (tmp_path / "mine.txt").read_text() == "of schools"


def test_a_stopped_server_answers_no_more(keys: Path, tmp_path: Path) -> None:
    server = SftpServer({"schools": tmp_path}, host_key=make_key(keys / "host"), user_key=make_key(keys / "user"))
    with server, logged_in(server, keys):
        port = server.port
    with pytest.raises(OSError), paramiko.SSHClient() as client:
        client.connect(HOST, port, "schools", pkey=make_key(keys / "user"), timeout=5)
