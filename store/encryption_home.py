"""Which homes rest encrypted, and how a file below one is opened: by where it lies, whoever opens it.

A home is encrypted where its exchange.yaml says `encryption: required`. What DuckDB or Python writes below `landing`,
`batches`, `state`, `links`, `record`, `work`, `remap` and `release_index` is then encrypted as it is written: what
belongs to one agency by the agency's key, what is made of several by the record's. Older files are read as they are.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast
from uuid import uuid4

from pydantic import ValidationError, model_validator

from standard.declarations import Declared, read_document
from standard.errors import DeclarationError, EncryptionError
from store.encryption import EncryptedReader, EncryptedWriter, decrypt_file, is_encrypted
from store.home import ENCRYPTED, Home, written_whole
from store.keys import RECORD, DataKeys, agency_scope
from store.keys_provider import KeptKeys, open_provider

SCHEME = "kith://"
OWNER = "owner"
"""In a batch's folder: the agency whose batch it is."""
_OF_AGENCIES = ("landing", "state", "remap")
"""Areas whose next folder is an agency's."""
_OF_THE_RECORD = ("links", "record", "work", "release_index")


class Encryption(Declared):
    """What exchange.yaml says of encryption."""

    encryption: Literal["required", "off"] = "off"
    key_provider: KeptKeys | None = None

    @model_validator(mode="after")
    def _has_a_provider(self) -> Encryption:
        if self.encryption == "required" and self.key_provider is None:
            raise ValueError("encryption: required needs key_provider: where the master key is kept")
        return self


def unlock(home: Home) -> DataKeys | None:
    """Makes the files of a home readable in this process; its data keys, or None where it is not encrypted.

    The provider of the master key is asked when a key is first needed.

    Raises:
        DeclarationError: What exchange.yaml says of encryption is wrong.
    """
    said = _said(home)
    if said.encryption == "off" or said.key_provider is None:
        ENCRYPTED.pop(home.root, None)
        return None
    kept = said.key_provider
    if home.root not in ENCRYPTED:
        ENCRYPTED[home.root] = DataKeys(home, lambda: open_provider(kept, home=home.root))
    return ENCRYPTED[home.root]


def _said(home: Home) -> Encryption:
    document, value = read_document(home.settings_file)
    names = Encryption.model_fields
    try:
        return Encryption.model_validate({name: value[name] for name in names if name in (value or {})})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DeclarationError(
            ": ".join([".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")]),
            where=f"{home.settings_file}, line {document.line_of(tuple(first['loc']))}",
            mend=f"see {KeptKeys.described_in}",
        ) from None


def unlock_above(path: Path) -> None:
    """Unlocks the home below which something lies: for a process that is given only a path of it."""
    for folder in path.resolve().parents:
        if (folder / "exchange.yaml").is_file():
            unlock(Home(folder))
            return


def keys_of(path: Path) -> tuple[Path, DataKeys] | None:
    """The root and the data keys of the encrypted home below which a file lies."""
    return next(((root, keys) for root, keys in ENCRYPTED.items() if path.is_relative_to(root)), None)


def place_of(path: Path) -> str:
    """What DuckDB opens a file by: its path or, in an encrypted home, its name in the decrypting file system."""
    found = keys_of(path)
    return str(path) if found is None or _area(found[0], path) is None else f"{SCHEME}{path}"


def _area(root: Path, path: Path) -> str | None:
    parts = path.relative_to(root).parts
    return parts[0] if parts and parts[0] in (*_OF_AGENCIES, *_OF_THE_RECORD, "batches") else None


def scope_of(root: Path, path: Path) -> str | None:
    """Whose key encrypts what is written to a path; None: it is not encrypted.

    Raises:
        EncryptionError: It lies in a batch's folder that says not whose it is.
    """
    parts = path.relative_to(root).parts
    area = _area(root, path)
    if area is None or parts[1:2] == (".parts",):
        return None
    if area in _OF_THE_RECORD:
        return RECORD
    if area in _OF_AGENCIES:
        return agency_scope(parts[1])
    owner = root / area / parts[1] / OWNER
    if not owner.is_file():
        raise EncryptionError("a batch says not whose it is", where=str(owner), mend="take the extract in again")
    return agency_scope(owner.read_text(encoding="utf-8"))


def note_owner(folder: Path, agency: str) -> None:
    """Says of a batch's folder whose it is, where its home is encrypted."""
    if keys_of(folder) is not None:
        with written_whole(folder / OWNER) as part:
            part.write_text(agency, encoding="utf-8")


def _bound_to(root: Path, path: Path) -> str:
    """Landed content is bound to its hash, which is its name."""
    return path.name if path.relative_to(root).parts[0] == "landing" else ""


def open_to_read(path: Path) -> io.BufferedReader | EncryptedReader:
    """A file as it was before it was encrypted; any other as it is.

    Raises:
        OSError: As `open`.
        EncryptionError: It was changed, or its key is gone.
    """
    found = keys_of(path)
    if found is None or not is_encrypted(path):
        return path.open("rb")
    root, keys = found
    return EncryptedReader(path, keys, bound_to=_bound_to(root, path))


def open_to_write(path: Path, *, at: Path | None = None) -> BinaryIO:
    """A new file of mode 0600 that is encrypted if it lies where all is; `at` is its name while it is written."""
    found = keys_of(path)
    scope = None if found is None else scope_of(found[0], path)
    if found is None or scope is None:
        return os.fdopen(os.open(at or path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")
    return cast(BinaryIO, EncryptedWriter(at or path, found[1], scope=scope, bound_to=_bound_to(found[0], path)))


def size_of(path: Path) -> int:
    """The size of what a file holds."""
    with open_to_read(path) as file:
        return file.seek(0, io.SEEK_END)


@contextmanager
def in_clear(path: Path) -> Iterator[Path]:
    """A file of the landing area as it came, for readers that need a path; what is in clear goes at the end.

    It rests in `landing/.parts` meanwhile; what a kill leaves there the next run removes.
    """
    found = keys_of(path)
    if found is None or not is_encrypted(path):
        yield path
        return
    root, keys = found
    staged = root / "landing" / ".parts" / f"{uuid4().hex}.part"
    staged.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        decrypt_file(path, staged, keys, bound_to=_bound_to(root, path))
        yield staged
    finally:
        staged.unlink(missing_ok=True)
