"""Sign by Ed25519 what others keep: receipts and checkpoints of the audit log; any OpenSSL verifies them."""

from __future__ import annotations

import stat
from pathlib import Path
from threading import Lock

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from standard.errors import DeclarationError, ExtractError
from store.home import written_whole

KEY = "receipt_key"
"""The file of the keys folder that holds the private key (PEM)."""
_MAKING = Lock()
"""Two agencies may be answered side by side; they must not make a key each."""


def signing_key(keys: Path) -> Ed25519PrivateKey:
    """The key of the exchange; made where there is none yet.

    Raises:
        DeclarationError: Others can read it, or it is no such key.
    """
    path = keys / KEY
    with _MAKING:
        if not path.exists():
            _make_key(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise DeclarationError(
            "the key that signs receipts can be read by others", where=str(path), mend=f"chmod 600 {path}, and renew it"
        )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise DeclarationError(
            "this is no private key of kind Ed25519", where=str(path), mend="put it back from your copy; or move it "
            "away: another one is made, whose public half the agencies must be given",
        )  # fmt: skip
    return key


def _make_key(path: Path) -> None:
    made = Ed25519PrivateKey.generate()
    with written_whole(path) as part:
        part.touch(mode=0o600)
        part.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def public_key(keys: Path) -> str:
    """The public half as PEM text, to be given to the agencies."""
    spki = signing_key(keys).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return spki.decode("ascii")


def sign(content: bytes, keys: Path) -> bytes:
    """The detached signature of some bytes: 64 bytes."""
    return signing_key(keys).sign(content)


def is_signed(content: bytes, signature: bytes, public: str) -> bool:
    """Whether some bytes are, to the last one, what the holder of a public key (PEM) signed.

    Raises:
        DeclarationError: The public key is none.
    """
    try:
        key = load_pem_public_key(public.encode())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise DeclarationError(
            "this is no public key of kind Ed25519", where="the public key", mend="take what `kith receipt key` prints"
        )
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def verify(content: bytes, signature: bytes, public: str, *, where: str = "the receipt") -> None:
    """Goes on only where a receipt is, to the last byte, what the exchange signed; `where` names it in the error.

    Raises:
        ExtractError: It is not.
        DeclarationError: The public key is none.
    """
    if not is_signed(content, signature, public):
        raise ExtractError(
            "the receipt is not what the exchange signed",
            where=where,
            mend="take it from the receipts folder again, with the .sig beside it; ask the exchange which key holds",
        )
