"""Data keys are wrapped by a master key that lies elsewhere; destroying one closes every copy made before."""

from __future__ import annotations

import atexit
import base64
import json
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from standard.errors import DeclarationError, EncryptionError
from store.home import Home
from store.keys import RECORD, DataKeys, agency_scope
from store.keys_provider import EnvironmentKeys, FileKeys, KeptKeys, KeyProvider, open_provider

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711"


class Place:
    """One provider and, where its keeper has to do something for a new master key, that."""

    def __init__(self, provider: KeyProvider, lay_ready: Callable[[], None], take_old_away: Callable[[], None]) -> None:
        self.provider, self.lay_ready, self.take_old_away = provider, lay_ready, take_old_away


def _nothing() -> None:
    return None


def _in_files(folder: Path) -> Place:
    return Place(FileKeys(folder / "elsewhere"), _nothing, _nothing)


def _in_environment(_: Path) -> Place:
    variables = {"M": base64.b64encode(secrets.token_bytes(32)).decode()}

    def lay_ready() -> None:
        variables["M_NEXT"] = base64.b64encode(secrets.token_bytes(32)).decode()

    def take_old_away() -> None:
        variables["M"] = variables.pop("M_NEXT")

    return Place(EnvironmentKeys("M", variables), lay_ready, take_old_away)


def _on_token(folder: Path) -> Place:
    if not os.environ.get("KITH_SERVERS_REQUIRED"):
        if not SOFTHSM.is_file():
            pytest.skip("SoftHSM2 is not installed")
        pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    from store.keys_pkcs11 import open_device

    pin = folder / "pin"
    pin.write_text(PIN)
    pin.chmod(0o600)
    return Place(
        open_device(KeptKeys(provider="pkcs11", module=str(SOFTHSM), token=_token(), pin_file=str(pin))),
        _nothing, _nothing,
    )  # fmt: skip


@cache
def _token() -> str:
    """An empty token in a folder of its own; the library looks for tokens once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="kith-tokens-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "kith test", "--pin", PIN, "--so-pin", "8888"],
        check=True, capture_output=True,
    )  # fmt: skip
    return "kith test"


@pytest.fixture(params=[_in_files, _in_environment, _on_token], ids=["file", "environment", "pkcs11"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made: Place = request.param(tmp_path)
    return made


def _keys(home: Path, place: Place) -> DataKeys:
    return DataKeys(Home(home).create(), lambda: place.provider)


def test_a_scope_keeps_its_key_from_one_process_to_the_next(tmp_path: Path, place: Place) -> None:
    first = _keys(tmp_path / "home", place).for_writing(RECORD)
    assert _keys(tmp_path / "home", place).for_writing(RECORD) == first
    assert _keys(tmp_path / "home", place).for_writing(agency_scope("hillside"))[0] != first[0]


def test_a_key_at_rest_is_wrapped_and_private(tmp_path: Path, place: Place) -> None:
    keys = _keys(tmp_path / "home", place)
    key_id, key = keys.for_writing(RECORD)
    for path in (tmp_path / "home" / "keys").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
        if path.is_file():
            assert key not in path.read_bytes()
            assert base64.b64encode(key) not in path.read_bytes()
    assert keys.at_rest(key_id).scope == RECORD


def test_destroying_a_key_closes_copies_made_before_and_leaves_the_others_open(tmp_path: Path, place: Place) -> None:
    keys = _keys(tmp_path / "home", place)
    gone, _ = keys.for_writing(agency_scope("hillside"))
    stays = keys.for_writing(agency_scope("cedar"))
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    place.lay_ready()
    keys.destroy([gone])
    place.take_old_away()
    assert _keys(tmp_path / "home", place).for_writing(agency_scope("cedar")) == stays
    with pytest.raises(EncryptionError, match="was destroyed"):
        keys.key(gone)
    assert keys.masters_left() == []
    restored = _keys(tmp_path / "copy", place)
    for key_id in (gone, stays[0]):
        with pytest.raises(EncryptionError):
            restored.key(key_id)
    # The others' data of the copy are opened by the keys of now.
    shutil.copytree(tmp_path / "home" / "keys", tmp_path / "copy" / "keys", dirs_exist_ok=True)
    assert _keys(tmp_path / "copy", place).key(stays[0]) == stays[1]


def test_a_destroyed_scope_begins_anew_with_another_key(tmp_path: Path, place: Place) -> None:
    keys = _keys(tmp_path / "home", place)
    gone, _ = keys.for_writing(RECORD)
    place.lay_ready()
    keys.destroy([gone])
    assert keys.for_writing(RECORD)[0] != gone
    assert [key.key_id for key in keys.destroyed()] == [gone]


def test_a_retired_key_still_reads(tmp_path: Path, place: Place) -> None:
    keys = _keys(tmp_path / "home", place)
    key_id, key = keys.for_writing(RECORD)
    assert keys.retire(RECORD) == [key_id]
    assert keys.for_writing(RECORD)[0] != key_id
    assert _keys(tmp_path / "home", place).key(key_id) == key


def test_a_wrapped_key_cannot_be_put_in_anothers_place(tmp_path: Path, place: Place) -> None:
    keys = _keys(tmp_path / "home", place)
    (one, _), (other, _) = keys.for_writing("agency/a"), keys.for_writing("agency/b")
    folder = keys.folder
    taken, put = (json.loads((folder / f"{key}.json").read_text()) for key in (one, other))
    (folder / f"{other}.json").write_text(json.dumps({**put, "wrapped": taken["wrapped"]}))
    with pytest.raises(EncryptionError, match="does not open"):
        _keys(tmp_path / "home", place).key(other)


def test_what_a_kill_left_of_a_new_master_key_is_ended_by_the_next(tmp_path: Path, place: Place) -> None:
    keys = _keys(tmp_path / "home", place)
    known = {scope: keys.for_writing(scope) for scope in ("agency/a", "agency/b", RECORD)}
    writes = 0

    def dies(self: object, key: object) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise KeyboardInterrupt
        kept(key)  # type: ignore[arg-type]

    kept = keys._write
    place.lay_ready()
    keys._write = dies.__get__(keys)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        keys.renew_master()
    again = _keys(tmp_path / "home", place)
    assert {scope: again.for_writing(scope) for scope in known} == known
    if isinstance(place.provider, EnvironmentKeys):
        place.take_old_away()  # too early: a key is still wrapped by the old one
        with pytest.raises(EncryptionError, match="is not there"):
            {scope: _keys(tmp_path / "home", place).for_writing(scope) for scope in known}
        return
    again.renew_master()
    assert {scope: _keys(tmp_path / "home", place).for_writing(scope) for scope in known} == known
    assert again.masters_left() == []


def test_without_a_next_master_key_nothing_is_destroyed(tmp_path: Path) -> None:
    place = _in_environment(tmp_path)
    keys = _keys(tmp_path / "home", place)
    key_id, key = keys.for_writing(RECORD)
    with pytest.raises(EncryptionError, match="no new master key is laid ready"):
        keys.destroy([key_id])
    assert _keys(tmp_path / "home", place).key(key_id) == key


def test_the_master_key_may_not_lie_within_the_home(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="must not lie within the home"):
        open_provider(KeptKeys(provider="file", folder=str(tmp_path / "home" / "keys")), home=tmp_path / "home")


def test_a_missing_or_open_master_key_is_told_with_how_to_mend_it(tmp_path: Path) -> None:
    place = _in_files(tmp_path)
    key_id, _ = _keys(tmp_path / "home", place).for_writing(RECORD)
    (path,) = (tmp_path / "elsewhere").iterdir()
    path.chmod(0o640)
    with pytest.raises(EncryptionError, match="others can read the master key"):
        _keys(tmp_path / "home", place).key(key_id)
    path.unlink()
    with pytest.raises(EncryptionError, match="lay it back"):
        _keys(tmp_path / "home", place).key(key_id)
