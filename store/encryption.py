"""What rests in a home, encrypted: AES-256-GCM in pieces bound to their places, so that any part can be read alone.

A file is a head (magic, key id, salt) and pieces of 64 KiB with a tag of 16 bytes each. Its key is made by HKDF from
the data key that its head names, the head itself and what the file is bound to. A piece's nonce is its number and
whether it is the last, so that none can be moved, left out or cut off unseen (the STREAM construction).
"""

from __future__ import annotations

import io
import os
import secrets
import struct
import threading
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from standard.errors import EncryptionError
from store.keys import DataKeys

MAGIC = b"KITHENC1"
_HEAD = struct.Struct(">8s16s16s")
_TAG = 16
PIECE = 64 * 1024
"""Bytes of plain text in each piece but the last."""


def is_encrypted(path: Path) -> bool:
    """Whether a file begins as an encrypted one does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def key_id_of(path: Path) -> str:
    """The data key by which an encrypted file was written."""
    with path.open("rb") as file:
        return _HEAD.unpack(file.read(_HEAD.size))[1].hex()  # type: ignore[no-any-return]


def _cipher(key: bytes, head: bytes, bound_to: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=head, info=b"kith file\0" + bound_to).derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return struct.pack(">7xI?", number, last)


class EncryptedWriter(io.RawIOBase):
    """Writes a file from its beginning to its end; it is whole when it was closed.

    Args:
        path: The file; made anew with mode 0600.
        keys: The data keys of the home.
        scope: Whose key encrypts it.
        bound_to: What else must be known to read it (the SHA-256 of landed content).
    """

    def __init__(self, path: Path, keys: DataKeys, *, scope: str, bound_to: str = "") -> None:
        super().__init__()
        key_id, key = keys.for_writing(scope)
        head = _HEAD.pack(MAGIC, bytes.fromhex(key_id), secrets.token_bytes(16))
        self._cipher = _cipher(key, head, f"{scope}\0{bound_to}".encode())
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(handle, "wb")
        self._file.write(head)
        self._waiting = bytearray()
        self._number = 0
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        self._waiting += data
        self._written += len(data)
        while len(self._waiting) > PIECE:  # what is left is never nothing: the last piece is known only at the end
            self._put(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Nothing: a piece is written when it is full, or the last."""

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._put(bytes(self._waiting), last=True)
        finally:
            self._file.close()
            super().close()

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1


class EncryptedReader(io.RawIOBase):
    """Reads any part of an encrypted file; that it was not cut is seen when it is opened.

    Threads may share it: DuckDB reads one file by several, each of which seeks and then reads. So each has its place.

    Raises:
        EncryptionError: It was changed or cut, or its key is gone.
    """

    def __init__(self, path: Path, keys: DataKeys, *, bound_to: str = "") -> None:
        super().__init__()
        self._path = path
        self._file = path.open("rb", buffering=0)
        try:
            self._begin(keys, bound_to)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, keys: DataKeys, bound_to: str) -> None:
        head = self._file.read(_HEAD.size)
        stored = os.fstat(self._file.fileno()).st_size - _HEAD.size
        if len(head) < _HEAD.size or stored < _TAG:
            raise self._changed()
        key_id = _HEAD.unpack(head)[1].hex()
        scope = keys.at_rest(key_id).scope
        self._cipher = _cipher(keys.key(key_id), head, f"{scope}\0{bound_to}".encode())
        self._last = (stored - 1) // (PIECE + _TAG)
        self.size = stored - (self._last + 1) * _TAG
        self._places: dict[int, int] = {}
        self._newest = (self._last, self._pieces(self._last, self._last))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._places.get(threading.get_ident(), 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}[whence]
        self._places[threading.get_ident()] = origin + offset
        return origin + offset

    def read(self, size: int | None = -1) -> bytes:
        here = self.tell()
        end = self.size if size is None or size < 0 else min(self.size, here + size)
        if here >= end:
            return b""
        first, last = here // PIECE, (end - 1) // PIECE
        number, piece = self._newest
        if not first == last == number:
            piece = self._pieces(first, last)
            self._newest = (last, piece[(last - first) * PIECE :])
        self._places[threading.get_ident()] = end
        return piece[here - first * PIECE : end - first * PIECE]

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self.read(len(into))
        into[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read(-1)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _pieces(self, first: int, last: int) -> bytes:
        step = PIECE + _TAG
        stored = memoryview(os.pread(self._file.fileno(), (last - first + 1) * step, _HEAD.size + first * step))
        parts = [stored[at : at + step] for at in range(0, len(stored), step)]
        try:
            return b"".join(
                self._cipher.decrypt(_nonce(n, last=n == self._last), part, None) for n, part in enumerate(parts, first)
            )
        except (InvalidTag, ValueError):
            raise self._changed() from None

    def _changed(self) -> EncryptionError:
        return EncryptionError(
            "the encrypted file was changed, cut or put in another's place",
            where=str(self._path),
            mend="lay it back from a copy",
        )


def encrypt_file(path: Path, into: Path, keys: DataKeys, *, scope: str, bound_to: str = "") -> None:
    """Writes a plain file encrypted into another."""
    with path.open("rb") as plain, EncryptedWriter(into, keys, scope=scope, bound_to=bound_to) as sealed:
        _pour(plain, sealed)


def decrypt_file(path: Path, into: Path, keys: DataKeys, *, bound_to: str = "") -> None:
    """Writes what an encrypted file holds into another, of mode 0600."""
    handle = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with EncryptedReader(path, keys, bound_to=bound_to) as sealed, os.fdopen(handle, "wb") as plain:
        _pour(sealed, plain)


def _pour(source: BinaryIO | io.RawIOBase, into: BinaryIO | io.RawIOBase) -> None:
    while block := source.read(16 * PIECE):
        into.write(block)
