"""An encrypted file gives back what was written, in whole and in parts, and nothing once it was changed."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standard.errors import EncryptionError
from store.encryption import PIECE, EncryptedReader, EncryptedWriter, decrypt_file, encrypt_file, key_id_of
from store.home import Home
from store.keys import DataKeys
from store.keys_provider import FileKeys

TEXT = b"Blomqvist,Linnea,2011-03-04\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DataKeys:
    folder = tmp_path_factory.mktemp("keys")
    return DataKeys(Home(folder / "home").create(), lambda: FileKeys(folder / "elsewhere"))


def _written(path: Path, content: bytes, keys: DataKeys, *, bound_to: str = "") -> Path:
    with EncryptedWriter(path, keys, scope="agency/hillside", bound_to=bound_to) as file:
        file.write(content)
    return path


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 17])
def test_a_file_of_any_size_comes_back_as_it_was(tmp_path: Path, keys: DataKeys, size: int) -> None:
    content = secrets.token_bytes(size)
    path = _written(tmp_path / "file", content, keys)
    with EncryptedReader(path, keys) as file:
        assert file.size == size
        assert file.read() == content
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_of_the_content_stands_in_the_file(tmp_path: Path, keys: DataKeys) -> None:
    path = _written(tmp_path / "file", TEXT * 9000, keys)
    assert b"Blomqvist" not in path.read_bytes()
    assert key_id_of(path) == keys.for_writing("agency/hillside")[0]
    assert _written(tmp_path / "again", TEXT * 9000, keys).read_bytes()[64:96] != path.read_bytes()[64:96]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3 * PIECE + 17), st.integers(0, PIECE + 40))
def test_any_part_is_read_alone(tmp_path_factory: pytest.TempPathFactory, keys: DataKeys, at: int, size: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    content = hashlib.shake_128(b"part").digest(3 * PIECE + 17)
    path = folder / "parts"
    if not path.exists():
        _written(path, content, keys)
    with EncryptedReader(path, keys) as file:
        file.seek(at)
        assert file.read(size) == content[at : at + size]
        file.seek(-5, io.SEEK_END)
        assert file.read() == content[-5:]


def test_threads_share_a_file_without_losing_their_places(tmp_path: Path, keys: DataKeys) -> None:
    content = secrets.token_bytes(5 * PIECE)
    wrong: list[int] = []

    def read(file: EncryptedReader, start: int) -> None:
        for at in range(start, len(content), 997):
            file.seek(at)
            if file.read(500) != content[at : at + 500]:
                wrong.append(at)

    with EncryptedReader(_written(tmp_path / "file", content, keys), keys) as file:
        threads = [threading.Thread(target=read, args=(file, n * 131)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_an_archive_is_read_as_from_a_plain_file(tmp_path: Path, keys: DataKeys) -> None:
    with EncryptedWriter(tmp_path / "zip", keys, scope="record") as sealed:
        plain = io.BytesIO()
        with zipfile.ZipFile(plain, "w") as archive:
            archive.writestr("a.csv", TEXT)
        sealed.write(plain.getvalue())
    with EncryptedReader(tmp_path / "zip", keys) as file, zipfile.ZipFile(io.BufferedReader(file)) as archive:
        assert archive.read("a.csv") == TEXT


STEP = PIECE + 16
HEAD = 40


def _cut(stored: bytes) -> bytes:
    return stored[:-1]


def _without_last_piece(stored: bytes) -> bytes:
    return stored[: HEAD + 2 * STEP]


def _without_middle_piece(stored: bytes) -> bytes:
    return stored[: HEAD + STEP] + stored[HEAD + 2 * STEP :]


def _pieces_changed_over(stored: bytes) -> bytes:
    one, two = stored[HEAD : HEAD + STEP], stored[HEAD + STEP : HEAD + 2 * STEP]
    return stored[:HEAD] + two + one + stored[HEAD + 2 * STEP :]


def _one_bit(stored: bytes) -> bytes:
    return stored[: HEAD + 9] + bytes([stored[HEAD + 9] ^ 1]) + stored[HEAD + 10 :]


def _other_salt(stored: bytes) -> bytes:
    return stored[: HEAD - 1] + bytes([stored[HEAD - 1] ^ 1]) + stored[HEAD:]


def _longer(stored: bytes) -> bytes:
    return stored + b"\0"


@pytest.mark.parametrize(
    "change",
    [_cut, _without_last_piece, _without_middle_piece, _pieces_changed_over, _one_bit, _other_salt, _longer],
)  # fmt: skip
def test_a_changed_file_gives_nothing(tmp_path: Path, keys: DataKeys, change: object) -> None:
    path = _written(tmp_path / "file", TEXT * 6000, keys)
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(EncryptionError, match="changed, cut"), EncryptedReader(path, keys) as file:
        file.read()


def test_a_file_in_anothers_place_gives_nothing(tmp_path: Path, keys: DataKeys) -> None:
    path = _written(tmp_path / "file", TEXT, keys, bound_to="one content")
    with pytest.raises(EncryptionError, match="another's place"):
        EncryptedReader(path, keys, bound_to="another content")


def test_files_are_encrypted_and_decrypted_whole(tmp_path: Path, keys: DataKeys) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(TEXT * 100_000)
    encrypt_file(plain, tmp_path / "sealed", keys, scope="record", bound_to="x")
    decrypt_file(tmp_path / "sealed", tmp_path / "again", keys, bound_to="x")
    assert (tmp_path / "again").read_bytes() == plain.read_bytes()
    assert (tmp_path / "again").stat().st_mode & 0o777 == 0o600
