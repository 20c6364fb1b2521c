"""Where an agency's feeds come from, as declared: addresses and names of secrets, never a secret itself."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connectors.pgp import Keyring, normal_fingerprint
from standard.declarations import Declared
from standard.errors import DeclarationError

_SECRET = re.compile(r"secret:([A-Za-z0-9_]+)")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD_IN_URL = re.compile(r"://[^/@]*:[^/]*@|[?&](password|passwd|pwd)=", re.IGNORECASE)


def _secret_name(text: str) -> str:
    if not _SECRET.fullmatch(text):
        raise ValueError("a secret is named as secret:NAME; the secret itself never stands in a declaration")
    return text


def _url_without_password(text: str) -> str:
    if _PASSWORD_IN_URL.search(text):
        raise ValueError("a URL with a password never stands in a declaration; name the whole URL as secret:NAME")
    return text


class Pgp(Declared):
    """By whose keys an agency's files are encrypted and signed."""

    keyring: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
    """The folder keys/<keyring>.gnupg of the home; `kith pgp key` makes it."""
    signers: Annotated[tuple[Annotated[str, AfterValidator(normal_fingerprint)], ...], Field(min_length=1)]
    """Fingerprints of the agency's primary keys; two while one takes over from the other."""


class FilesSource(Declared):
    """What is said of an agency's files, be they on a server or in a folder of this machine.

    `folder` (or `path`) is the inbox; the folders beside it are named in the same way, from the login or the root.
    """

    settle: float = Field(default=60, ge=0)
    """Seconds for which a file must not have changed before it is taken; 0 takes what is there."""
    archive: str | None = None
    """Where a file is moved to once it has landed; it stays in the inbox where nothing is said."""
    receipts: str | None = None
    """Where a receipt of every delivery is written. The inbox is then this agency's alone: what no feed expects there
    is refused with a receipt."""
    outbox: str | None = None
    """Where feeds back to the agency are written."""
    pgp: Pgp | None = None


class SftpSource(FilesSource):
    """An agency's SFTP server. `${VAR}` in host, port, user and the folders is taken from the environment."""

    host: str
    port: int | str = 22
    user: str
    folder: str = "."
    key: Annotated[str, AfterValidator(_secret_name)]
    """The private key we log in with (OpenSSH or PEM text)."""
    known_hosts: str | None = None
    """The file in which the server's key is pinned; `keys/known_hosts` of the home where nothing is said."""
    timeout: float = Field(default=60, gt=0)
    """Seconds of silence after which the server counts as gone."""


class DatabaseSource(Declared):
    """An agency's database, read through SQLAlchemy. `${VAR}` in the URL is taken from the environment."""

    url: Annotated[str, AfterValidator(_url_without_password)]
    """`secret:NAME`, or a URL without a password."""
    schema_name: str | None = Field(default=None, alias="schema")


class FolderSource(FilesSource):
    """A folder of this machine into which an agency's files are put. `${VAR}` is taken from the environment."""

    path: str


class Source(Declared):
    """One of the three doors."""

    sftp: SftpSource | None = None
    database: DatabaseSource | None = None
    folder: FolderSource | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if sum(door is not None for door in (self.sftp, self.database, self.folder)) != 1:
            raise ValueError("a source is exactly one of sftp, database, folder")
        return self

    @property
    def declared(self) -> SftpSource | DatabaseSource | FolderSource:
        """The door that is declared."""
        declared = self.sftp or self.database or self.folder
        assert declared is not None
        return declared


@dataclass(frozen=True)
class Secrets:
    """What declarations name and do not hold: variables of the environment and secrets.

    A secret NAME is the environment variable NAME in upper case, or else the file NAME in the keys folder of the
    home, readable by its owner alone.
    """

    keys: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def expand(self, text: str) -> str:
        """A declared text with `${VAR}` replaced from the environment.

        Raises:
            DeclarationError: The variable is not set.
        """
        return _VARIABLE.sub(self._variable, text)

    def _variable(self, found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in self.environment:
            raise DeclarationError(
                f"the environment variable {name} is not set",
                where=f"${{{name}}} in a source's declaration",
                mend=f"set {name}, or override the source in exchange.yaml",
            )
        return self.environment[name]

    def reveal(self, declared: str) -> SecretStr:
        """The secret that `secret:NAME` names.

        Raises:
            DeclarationError: It is nowhere, or others could read it.
        """
        name = _secret_name(declared).removeprefix("secret:")
        if name.upper() in self.environment:
            return SecretStr(self.environment[name.upper()].strip() + "\n")
        path = self.keys / name
        if not path.is_file():
            raise DeclarationError(
                f"the secret {name} is not there",
                where=str(path),
                mend=f"write it to this file with mode 0600, or set the environment variable {name.upper()}",
            )
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise DeclarationError(
                f"the secret {name} can be read by others", where=str(path), mend=f"chmod 600 {path}, and renew it"
            )
        return SecretStr(path.read_text(encoding="utf-8"))

    def keyring(self, declared: Pgp | None) -> Keyring | None:
        """The keys of an agency that encrypts and signs its files."""
        return Keyring(keyring_folder(self.keys, declared.keyring), declared.signers) if declared else None

    def url(self, declared: str) -> SecretStr:
        """A database URL, declared plainly or as `secret:NAME`."""
        if declared.startswith("secret:"):
            return SecretStr(self.reveal(declared).get_secret_value().strip())
        return SecretStr(self.expand(declared))


def keyring_folder(keys: Path, name: str) -> Path:
    """Where GnuPG keeps the keys of one agency."""
    return keys / f"{name}.gnupg"
