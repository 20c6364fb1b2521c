"""What a source may declare, and how its secrets are found and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sources import Secrets, Source
from standard.declarations import read_declaration
from standard.errors import DeclarationError

SFTP = "sftp: {host: '${SFTP_HOST}', port: 2222, user: kith, folder: inbox, key: secret:maple_key}\n"


def declared(path: Path, text: str) -> Source:
    path.write_text(text)
    return read_declaration(path, Source)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "folder: {path: /a}\ndatabase: {url: 'sqlite:///a'}",
        "folder: {path: /a, pasword: x}",
        "sftp: {host: h, user: u, key: -----BEGIN PRIVATE KEY-----}",
        "database: {url: 'postgresql://kith:Grey-Heron@host/db'}",
        "database: {url: 'postgresql://kith@host/db?password=Grey-Heron'}",
        "folder: {path: /a, settle: -1}",
    ],
)
def test_a_source_that_is_unclear_or_holds_a_secret_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        declared(tmp_path / "source.yaml", text)
    assert "source.yaml, line 1" in raised.value.where
    assert "Heron" not in str(raised.value)


def test_variables_are_taken_from_the_environment(tmp_path: Path) -> None:
    source = declared(tmp_path / "source.yaml", SFTP)
    assert source.sftp is not None
    assert Secrets(tmp_path, {"SFTP_HOST": "maple.example"}).expand(source.sftp.host) == "maple.example"
    with pytest.raises(DeclarationError, match="SFTP_HOST is not set"):
        Secrets(tmp_path, {}).expand(source.sftp.host)


def test_a_secret_comes_from_the_environment_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "maple_key").write_text("from the file\n")
    (tmp_path / "maple_key").chmod(0o600)
    assert Secrets(tmp_path, {}).reveal("secret:maple_key").get_secret_value() == "from the file\n"
    told = Secrets(tmp_path, {"MAPLE_KEY": "from the environment"}).reveal("secret:maple_key")
    assert told.get_secret_value() == "from the environment\n"
    assert "environment" not in repr(told)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_secret_that_others_could_touch_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "maple_key").write_text("Grey-Heron")
    (tmp_path / "maple_key").chmod(mode)
    with pytest.raises(DeclarationError, match="read by others") as raised:
        Secrets(tmp_path, {}).reveal("secret:maple_key")
    assert "chmod 600" in raised.value.mend and "Heron" not in str(raised.value)


def test_a_secret_that_is_nowhere_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as raised:
        Secrets(tmp_path, {}).reveal("secret:maple_key")
    assert str(tmp_path / "maple_key") == raised.value.where and "MAPLE_KEY" in raised.value.mend


def test_a_url_is_declared_plainly_or_as_a_secret(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"COURT_URL": "postgresql://kith:Grey-Heron@host/db", "HOST": "h"})
    assert secrets.url("postgresql://kith@${HOST}/db").get_secret_value() == "postgresql://kith@h/db"
    told = secrets.url("secret:court_url")
    assert told.get_secret_value() == "postgresql://kith:Grey-Heron@host/db"
    assert "Heron" not in repr(told) + str(told) + repr(secrets)
