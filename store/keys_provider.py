"""Where the master key is kept by which data keys are wrapped: a file, the environment, or a device behind PKCS#11."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import model_validator

from standard.declarations import Declared
from standard.errors import DeclarationError, EncryptionError
from store.home import sync, written_whole

MASTER_BYTES = 32
NONCE_BYTES = 12


class KeyProvider(Protocol):
    """Keeps master keys. A data key is given to it to be wrapped and unwrapped; a master key never leaves it."""

    def create(self) -> str:
        """Makes a new master key, or takes the one laid ready; its id.

        Raises:
            EncryptionError: There is none to take, or the provider cannot be reached.
        """

    def wrap(self, master: str, key: bytes, bound_to: bytes) -> bytes:
        """A data key encrypted and bound to what it is for.

        Raises:
            EncryptionError: The master key is not there.
        """

    def unwrap(self, master: str, wrapped: bytes, bound_to: bytes) -> bytes:
        """The data key again.

        Raises:
            EncryptionError: The master key is not there, or what was wrapped is not what it was.
        """

    def has(self, master: str) -> bool:
        """Whether a master key is there."""

    def destroy(self, master: str) -> None:
        """Destroys a master key, where that is the provider's to do; `has` tells whether it is gone."""


class KeptKeys(Declared):
    """`key_provider` of exchange.yaml: where the master key is kept."""

    described_in = "Keys, retention and destruction in docs/governance.md"

    provider: Literal["file", "environment", "pkcs11"]
    folder: str | None = None
    """Of `file`: a folder outside the home, so that no copy of the home has both."""
    variable: str = "KITH_MASTER_KEY"
    """Of `environment`: its name; the one with `_NEXT` behind it holds the key that is to come after it."""
    module: str | None = None
    """Of `pkcs11`: the library of the device."""
    token: str | None = None
    """Of `pkcs11`: the token's label."""
    pin_file: str | None = None
    """Of `pkcs11`: a file of mode 0600 with the PIN; else it stands in the environment as KITH_PKCS11_PIN."""

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> KeptKeys:
        needed = {"file": ("folder",), "environment": (), "pkcs11": ("module", "token")}[self.provider]
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"the provider {self.provider} needs {', '.join(missing)}")
        return self


def open_provider(kept: KeptKeys, *, home: Path) -> KeyProvider:
    """The provider that a home's settings name.

    Raises:
        DeclarationError: The folder of the master key lies within the home, or the device cannot be opened.
    """
    if kept.provider == "environment":
        return EnvironmentKeys(kept.variable)
    if kept.provider == "file":
        folder = Path(kept.folder or "").expanduser().resolve()
        if folder.is_relative_to(home.resolve()):
            raise DeclarationError(
                "the master key must not lie within the home: a copy of the home would hold the data and its key",
                where=f"{home / 'exchange.yaml'}, key_provider.folder",
                mend="name a folder on another disk or of another account that no backup of the home takes along",
            )
        return FileKeys(folder)
    from store.keys_pkcs11 import open_device  # the library is there only where a device is used

    return open_device(kept)


@dataclass(frozen=True)
class FileKeys:
    """Master keys in files of mode 0600 in a folder outside the home."""

    folder: Path

    def create(self) -> str:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        master = secrets.token_hex(8)
        with written_whole(self._path(master)) as part:
            part.touch(mode=0o600)
            part.write_bytes(base64.b64encode(secrets.token_bytes(MASTER_BYTES)))
        return master

    def wrap(self, master: str, key: bytes, bound_to: bytes) -> bytes:
        return _wrap(self._read(master), key, bound_to)

    def unwrap(self, master: str, wrapped: bytes, bound_to: bytes) -> bytes:
        return _unwrap(self._read(master), wrapped, bound_to, where=str(self._path(master)))

    def has(self, master: str) -> bool:
        return self._path(master).is_file()

    def destroy(self, master: str) -> None:
        path = self._path(master)
        if not path.is_file():
            return
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        sync(self.folder)

    def _path(self, master: str) -> Path:
        return self.folder / f"{Path(master).name}.key"

    def _read(self, master: str) -> bytes:
        path = self._path(master)
        if not path.is_file():
            raise _no_master(master, str(path), "lay it back from where it was kept safe; without it nothing is read")
        if path.stat().st_mode & 0o077:
            raise EncryptionError("others can read the master key", where=str(path), mend=f"chmod 600 {path}")
        return _master_of(path.read_text(encoding="ascii"), where=str(path))


@dataclass(frozen=True)
class EnvironmentKeys:
    """The master key in a variable of the environment, in Base64; its id is a hash of it."""

    variable: str
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def create(self) -> str:
        for name in (f"{self.variable}_NEXT", self.variable):
            if self.environment.get(name, "").strip():
                return _id_of(self._read(name))
        raise _no_master("", self.variable, "set it: openssl rand -base64 32")

    def wrap(self, master: str, key: bytes, bound_to: bytes) -> bytes:
        return _wrap(self._find(master), key, bound_to)

    def unwrap(self, master: str, wrapped: bytes, bound_to: bytes) -> bytes:
        return _unwrap(self._find(master), wrapped, bound_to, where=self.variable)

    def has(self, master: str) -> bool:
        return master in self._all()

    def destroy(self, master: str) -> None:
        """Nothing: whoever sets the variable takes the old key away, and `has` then tells that it is gone."""

    def _all(self) -> dict[str, bytes]:
        names = (self.variable, f"{self.variable}_NEXT")
        keys = [self._read(name) for name in names if self.environment.get(name, "").strip()]
        return {_id_of(key): key for key in keys}

    def _find(self, master: str) -> bytes:
        try:
            return self._all()[master]
        except KeyError:
            raise _no_master(
                master, self.variable, "set the variable to the key this home was encrypted with"
            ) from None

    def _read(self, name: str) -> bytes:
        return _master_of(self.environment[name], where=f"the variable {name}")


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"kith master key\0" + key).hexdigest()[:16]


def _master_of(text: str, *, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != MASTER_BYTES:
        raise EncryptionError(f"this is no master key of {MASTER_BYTES} bytes", where=where, mend="write it anew")
    return key


def _wrap(master: bytes, key: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(master).encrypt(nonce, key, bound_to)


def _unwrap(master: bytes, wrapped: bytes, bound_to: bytes, *, where: str) -> bytes:
    try:
        return AESGCM(master).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise changed_key(where) from None


def changed_key(where: str) -> EncryptionError:
    """What is said of a wrapped key that does not open."""
    return EncryptionError(
        "a data key does not open: it was changed, or wrapped by another master key",
        where=where,
        mend="lay back keys/data of the home as it was after the last destruction",
    )


def _no_master(master: str, where: str, mend: str) -> EncryptionError:
    return EncryptionError(f"the master key {master} is not there".replace("  ", " "), where=where, mend=mend)
