"""Whom the exchange believes to be the agency's SFTP server, and what it says when it does not; on a real sshd."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.doors import probe
from connectors.sources import Secrets, Source
from standard.errors import DeclarationError, SourceError
from tests.servers import ServerMissing, SftpServer, free_port, make_key, sftp_server


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """A server whose log tells who tried to log in."""
    try:
        with sftp_server(tmp_path_factory.mktemp("talkative"), log_level="DEBUG1") as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def keys(tmp_path: Path, talkative: SftpServer) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    put_secret(folder / "maple_key", talkative.key.read_text())
    (folder / "known_hosts").write_text(talkative.known_hosts)
    return folder


def put_secret(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def source(server: SftpServer, **given: object) -> Source:
    sftp = {"host": server.host, "port": server.port, "user": server.user, "key": "secret:maple_key", "timeout": 5}
    return Source.model_validate({"sftp": {**sftp, **given}})


def logins(server: SftpServer) -> int:
    """How often someone began to log in."""
    return (server.root.parent / "sshd.log").read_text().count("userauth-request")


def fingerprint(key: Path) -> str:
    return subprocess.run(["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True).stdout.split()[1]


def test_a_pinned_server_is_believed(talkative: SftpServer, keys: Path) -> None:
    before = logins(talkative)
    assert "files" in probe(source(talkative), Secrets(keys))
    assert logins(talkative) > before


def test_an_unknown_server_is_refused_before_login_and_the_error_says_how_to_pin(
    talkative: SftpServer, keys: Path
) -> None:
    (keys / "known_hosts").unlink()
    before = logins(talkative)
    with pytest.raises(SourceError) as raised:
        probe(source(talkative), Secrets(keys))
    assert logins(talkative) == before
    told = str(raised.value)
    assert fingerprint(talkative.host_key.with_suffix(".pub")) in told
    assert talkative.known_hosts.strip() in told
    assert str(keys / "known_hosts") in told
    (keys / "known_hosts").write_text(told.split("the line: ")[1] + "\n")  # as the error says
    probe(source(talkative), Secrets(keys))


def test_a_changed_server_key_is_refused_before_login_and_the_error_names_the_line(
    talkative: SftpServer, keys: Path, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()
    name = talkative.known_hosts.split()[0]
    (keys / "known_hosts").write_text(
        f"# pinned in May\n\nelsewhere {' '.join(other[:2])}\n{name} {' '.join(other[:2])}\n"
    )
    before = logins(talkative)
    with pytest.raises(SourceError) as raised:
        probe(source(talkative), Secrets(keys))
    assert logins(talkative) == before
    assert fingerprint(talkative.host_key.with_suffix(".pub")) in str(raised.value)
    assert f"{keys / 'known_hosts'}, line 4" in raised.value.where


def test_a_key_pinned_for_another_port_does_not_count(talkative: SftpServer, keys: Path) -> None:
    (keys / "known_hosts").write_text(talkative.known_hosts.replace(str(talkative.port), "2222"))
    with pytest.raises(SourceError, match="not pinned"):
        probe(source(talkative), Secrets(keys))


def test_a_broken_file_of_pinned_keys_is_said(talkative: SftpServer, keys: Path) -> None:
    (keys / "known_hosts").write_text("[127.0.0.1]:2222 ssh-ed25519 AAA\n")
    with pytest.raises(DeclarationError, match="pinned"):
        probe(source(talkative), Secrets(keys))


def test_a_refused_login_says_which_public_key_to_allow(talkative: SftpServer, keys: Path, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger")
    put_secret(keys / "maple_key", stranger.read_text())
    with pytest.raises(SourceError) as raised:
        probe(source(talkative), Secrets(keys))
    assert " ".join(stranger.with_suffix(".pub").read_text().split()[:2]) in raised.value.mend
    assert "PRIVATE KEY" not in str(raised.value)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_of_every_modern_kind_log_in(talkative: SftpServer, keys: Path, tmp_path: Path, kind: str) -> None:
    key = tmp_path / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", key], check=True)
    allowed = talkative.root.parent / "authorized_keys"
    allowed.write_text(allowed.read_text() + key.with_suffix(".pub").read_text())
    put_secret(keys / "maple_key", key.read_text())
    assert "files" in probe(source(talkative), Secrets(keys))


def test_a_locked_or_broken_private_key_is_said_without_showing_it(
    talkative: SftpServer, keys: Path, tmp_path: Path
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "horse", "-f", tmp_path / "locked"], check=True)
    put_secret(keys / "maple_key", (tmp_path / "locked").read_text())
    with pytest.raises(DeclarationError, match="passphrase"):
        probe(source(talkative), Secrets(keys))
    put_secret(keys / "maple_key", talkative.key.read_text()[:80])
    with pytest.raises(DeclarationError, match="not a private key") as raised:
        probe(source(talkative), Secrets(keys))
    assert talkative.key.read_text()[40:80] not in str(raised.value)


def test_a_missing_folder_says_where_the_login_stands(talkative: SftpServer, keys: Path) -> None:
    with pytest.raises(SourceError) as raised:
        probe(source(talkative, folder="maple/inbox"), Secrets(keys))
    assert "maple/inbox" in raised.value.what and str(talkative.root) in raised.value.mend


def test_a_file_where_the_folder_should_be_is_said(talkative: SftpServer, keys: Path) -> None:
    (talkative.root / "inbox").write_text("")
    with pytest.raises(SourceError, match="is not there"):
        probe(source(talkative, folder="inbox"), Secrets(keys))


def test_a_server_that_does_not_answer_is_given_up_after_the_timeout(talkative: SftpServer, keys: Path) -> None:
    with pytest.raises(SourceError, match="cannot be reached"):
        probe(source(talkative, port=free_port()), Secrets(keys))
    with pytest.raises(SourceError, match="cannot be reached"):
        probe(source(talkative, host="no-such-host.invalid"), Secrets(keys))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SourceError, match="cannot be reached"):
        probe(source(talkative, port=silent.getsockname()[1], timeout=0.5), Secrets(keys))


def test_a_server_that_speaks_something_else_is_said(talkative: SftpServer, keys: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        threading.Thread(target=_answer_as_a_web_server, args=(web,), daemon=True).start()
        with pytest.raises(SourceError, match="cannot be reached"):
            probe(source(talkative, port=web.getsockname()[1], timeout=2), Secrets(keys))


def _answer_as_a_web_server(web: socket.socket) -> None:
    connection, _ = web.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
