"""Master keys in a hardware security module behind PKCS#11: they are made in the device and never leave it."""

from __future__ import annotations

import importlib
import os
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from standard.errors import DeclarationError, EncryptionError
from store.keys_provider import MASTER_BYTES, NONCE_BYTES, KeptKeys, changed_key

PIN_VARIABLE = "KITH_PKCS11_PIN"
_TAG_BITS = 128


def open_device(kept: KeptKeys) -> DeviceKeys:
    """The device that the settings name.

    Raises:
        DeclarationError: The Python library or that of the device is missing, or there is no PIN.
    """
    try:
        pkcs11 = _pkcs11()
    except ImportError as error:
        raise DeclarationError(
            "the library for PKCS#11 is not installed", where="key_provider", mend="pip install 'kith[hsm]'"
        ) from error
    try:
        library = pkcs11.lib(kept.module)
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        raise DeclarationError(
            f"the library of the device cannot be loaded ({type(error).__name__})",
            where=f"key_provider.module: {kept.module}",
            mend="name the library that came with the device",
        ) from None
    return DeviceKeys(library, kept.token or "", _pin(kept))


def _pin(kept: KeptKeys) -> str:
    if kept.pin_file is None:
        if PIN_VARIABLE in os.environ:
            return os.environ[PIN_VARIABLE]
        raise DeclarationError(
            "there is no PIN for the device", where="key_provider", mend=f"set {PIN_VARIABLE}, or declare pin_file"
        )
    path = Path(kept.pin_file).expanduser()
    if not path.is_file() or path.stat().st_mode & 0o077:
        raise DeclarationError(
            "the file of the PIN is not there, or others can read it", where=str(path), mend=f"chmod 600 {path}"
        )
    return path.read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class DeviceKeys:
    """AES keys on a token, by label; wrapping is AES-GCM within the device."""

    library: Any
    token: str
    pin: str

    def __repr__(self) -> str:
        return f"DeviceKeys({self.token!r})"

    @property
    def _session(self) -> Any:
        pkcs11 = _pkcs11()
        try:
            return _logged_in(self.library, self.token, self.pin)
        except pkcs11.PKCS11Error as error:
            raise EncryptionError(
                f"the token {self.token} cannot be opened ({type(error).__name__})",
                where="key_provider",
                mend="look at the token's label, the PIN, and whether the device is plugged in",
            ) from None

    def create(self) -> str:
        pkcs11 = _pkcs11()
        master = secrets.token_hex(8)
        self._session.generate_key(
            pkcs11.KeyType.AES, MASTER_BYTES * 8, label=_label(master), store=True,
            capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
            template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
        )  # fmt: skip
        return master

    def wrap(self, master: str, key: bytes, bound_to: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._run(master, "encrypt", key, nonce, bound_to)

    def unwrap(self, master: str, wrapped: bytes, bound_to: bytes) -> bytes:
        return self._run(master, "decrypt", wrapped[NONCE_BYTES:], wrapped[:NONCE_BYTES], bound_to)

    def has(self, master: str) -> bool:
        return bool(self._keys(master))

    def destroy(self, master: str) -> None:
        for key in self._keys(master):
            key.destroy()

    def _keys(self, master: str) -> list[Any]:
        pkcs11 = _pkcs11()
        return list(self._session.get_objects({
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.LABEL: _label(master)
        }))  # fmt: skip

    def _run(self, master: str, verb: str, data: bytes, nonce: bytes, bound_to: bytes) -> bytes:
        pkcs11 = _pkcs11()
        found = self._keys(master)
        if not found:
            raise EncryptionError(
                f"the master key {master} is not on the token {self.token}",
                where="key_provider",
                mend="plug in the device that this home was encrypted with",
            )
        given = pkcs11.GCMParams(nonce, aad=bound_to, tag_bits=_TAG_BITS)
        try:
            done: bytes = getattr(found[0], verb)(data, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=given)
        except pkcs11.PKCS11Error:
            raise changed_key(f"token {self.token}") from None
        return done


def _label(master: str) -> str:
    return f"kith master key {master}"


@cache
def _logged_in(library: Any, token: str, pin: str) -> Any:
    """The session of this process: a device lets a process log in once."""
    return library.get_token(token_label=token).open(rw=True, user_pin=pin)


def _pkcs11() -> Any:
    """The library, which is there only where a device is used."""
    return importlib.import_module("pkcs11")
