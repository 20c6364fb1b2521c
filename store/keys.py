"""Data keys: one for each agency and one for what is made of all; they rest in the home wrapped by the master key.

To destroy a key is to destroy every copy of what it encrypted: its wrapped form is removed, all others are wrapped by
a new master key, and the old master key is destroyed: the wrapped keys of an older copy of the home open no more.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from standard.errors import EncryptionError
from store.audit_entry import Event
from store.audit_log import append
from store.home import Home, held_alone, sync, written_whole
from store.keys_provider import KeyProvider

RECORD = "record"
"""The scope of what is made of several agencies' rows: entity tables, links, snapshots."""
KEY_BYTES = 32
_MASTERS = "masters.json"


def agency_scope(agency: str) -> str:
    """The scope of all that is one agency's alone."""
    return f"agency/{agency}"


@dataclass(frozen=True)
class WrappedKey:
    """A data key as it rests: `keys/data/<key_id>.json`."""

    key_id: str
    scope: str
    master: str
    wrapped: str
    """Base64."""
    created_at: str
    retired: bool = False
    """Whether it only reads; the next thing written in its scope gets another key."""


@dataclass(frozen=True)
class DestroyedKey:
    """What stays of a data key: `keys/data/<key_id>.destroyed`."""

    key_id: str
    scope: str
    created_at: str
    destroyed_at: str


class DataKeys:
    """The data keys of one home.

    Args:
        home: The home; the wrapped keys lie in its keys/data.
        provider: Opens the provider of the master key; asked when a key is first needed.
    """

    def __init__(self, home: Home, provider: Callable[[], KeyProvider]) -> None:
        self.home = home
        self.folder = home.keys / "data"
        self._open = provider
        self._provider: KeyProvider | None = None
        self._known: dict[str, bytes] = {}
        self._newest: dict[str, str] = {}

    @property
    def provider(self) -> KeyProvider:
        if self._provider is None:
            self._provider = self._open()
        return self._provider

    def for_writing(self, scope: str) -> tuple[str, bytes]:
        """Id and key for what is written in a scope; made where there is none.

        Raises:
            EncryptionError: The master key is not there.
        """
        key_id = self._newest.get(scope)
        if key_id is None or not self._path(key_id).is_file():
            key_id = self._newest[scope] = self._newest_or_made(scope)
        return key_id, self.key(key_id)

    def key(self, key_id: str) -> bytes:
        """The key of an id.

        Raises:
            EncryptionError: It was destroyed, is not there, or does not open.
        """
        if key_id not in self._known:
            at_rest = self.at_rest(key_id)
            wrapped = base64.b64decode(at_rest.wrapped)
            self._known[key_id] = self.provider.unwrap(at_rest.master, wrapped, _bound(key_id, at_rest.scope))
        return self._known[key_id]

    def at_rest(self, key_id: str) -> WrappedKey:
        """A key as it rests.

        Raises:
            EncryptionError: It was destroyed, or is not there.
        """
        try:
            return WrappedKey(**json.loads(self._path(key_id).read_text(encoding="ascii")))
        except FileNotFoundError:
            gone = self._path(key_id).with_suffix(".destroyed").is_file()
            raise EncryptionError(
                f"the data key {key_id} was destroyed: what it encrypted can be read by nobody" if gone
                else f"the data key {key_id} is not there",
                where=str(self._path(key_id)),
                mend="nothing mends it; it was decided so" if gone else "lay back keys/data from the newest copy",
            ) from None  # fmt: skip

    def all(self) -> list[WrappedKey]:
        """All keys that are there, the oldest first."""
        found = [self.at_rest(path.stem) for path in self.folder.glob("*.json") if path.name != _MASTERS]
        return sorted(found, key=lambda key: (key.created_at, key.key_id))

    def destroyed(self) -> list[DestroyedKey]:
        """All keys that were destroyed, the oldest first."""
        found = [DestroyedKey(**json.loads(path.read_text("ascii"))) for path in self.folder.glob("*.destroyed")]
        return sorted(found, key=lambda key: (key.destroyed_at, key.key_id))

    def retire(self, scope: str) -> list[str]:
        """Lets the keys of a scope only read from now on; their ids."""
        with self._locked():
            mine = [key for key in self.all() if key.scope == scope]
            for key in mine:
                self._write(WrappedKey(**{**asdict(key), "retired": True}))
        self._newest.pop(scope, None)
        return [key.key_id for key in mine]

    def destroy(self, key_ids: Collection[str]) -> None:
        """Destroys data keys for good, also in every copy of the home made before. A kill between is taken up again
        by the next call.

        Raises:
            EncryptionError: There is no new master key to go on with; nothing was destroyed.
        """
        self._renew_master(without=set(key_ids))

    def renew_master(self) -> None:
        """Wraps every data key by a new master key and destroys those before.

        Raises:
            EncryptionError: There is no new master key to go on with.
        """
        self._renew_master(without=set())

    def _renew_master(self, *, without: set[str]) -> None:
        with self._locked():
            current, before = self._masters()
            fresh = self.provider.create()
            if fresh == current:
                raise EncryptionError(
                    "no new master key is laid ready: by this one older copies of the data keys can still be opened",
                    where=f"master key {current}",
                    mend="lay the next one ready (for `environment`: VARIABLE_NEXT), then do it again",
                )
            before = [*before, *([current] if current else [])]
            self._write_masters(fresh, before)
            for key_id in without:
                self._remove(key_id)
            for at_rest in self.all():
                self._write(self._wrapped(at_rest, self.key(at_rest.key_id), fresh))
            for master in before:
                self.provider.destroy(master)
                became = "left to its keeper" if self.provider.has(master) else "destroyed"
                self._log("key.master", master, became)
            self._write_masters(fresh, [master for master in before if self.provider.has(master)])
        self._known = {key_id: key for key_id, key in self._known.items() if key_id not in without}
        self._newest.clear()

    def masters_left(self) -> list[str]:
        """Master keys of before that are still there, because their provider does not destroy keys itself."""
        return [master for master in self._masters()[1] if self.provider.has(master)]

    def _newest_or_made(self, scope: str) -> str:
        with self._locked():
            if newest := self._newest_of(scope):
                return newest
            current, before = self._masters()
            if current is None:
                current = self.provider.create()
                self._write_masters(current, before)
            key_id, key = secrets.token_hex(16), secrets.token_bytes(KEY_BYTES)
            made = WrappedKey(key_id, scope, current, "", datetime.now(UTC).isoformat(timespec="microseconds"))
            self._write(self._wrapped(made, key, current))
            self._log("key.make", key_id, scope)
        return key_id

    def _wrapped(self, at_rest: WrappedKey, key: bytes, master: str) -> WrappedKey:
        wrapped = self.provider.wrap(master, key, _bound(at_rest.key_id, at_rest.scope))
        return WrappedKey(**{**asdict(at_rest), "master": master, "wrapped": base64.b64encode(wrapped).decode("ascii")})

    def _newest_of(self, scope: str) -> str | None:
        mine = [key.key_id for key in self.all() if key.scope == scope and not key.retired]
        return mine[-1] if mine else None

    def _remove(self, key_id: str) -> None:
        path = self._path(key_id)
        if not path.is_file():
            return
        gone, at = self.at_rest(key_id), datetime.now(UTC).isoformat(timespec="seconds")
        with written_whole(path.with_suffix(".destroyed")) as part:
            part.write_text(json.dumps(asdict(DestroyedKey(key_id, gone.scope, gone.created_at, at))), "ascii")
        path.unlink()
        sync(self.folder)
        self._log("key.destroy", key_id, gone.scope)

    def _log(self, action: str, about: str, reason: str) -> None:
        append(self.home, Event(action, about, "exchange", role="exchange", reason=reason))

    def _masters(self) -> tuple[str | None, list[str]]:
        path = self.folder / _MASTERS
        if not path.is_file():
            return None, []
        told = json.loads(path.read_text(encoding="ascii"))
        return told["current"], told["before"]

    def _write_masters(self, current: str, before: list[str]) -> None:
        with written_whole(self.folder / _MASTERS) as part:
            part.write_text(json.dumps({"current": current, "before": before}), encoding="ascii")

    def _write(self, key: WrappedKey) -> None:
        with written_whole(self._path(key.key_id)) as part:
            part.write_text(json.dumps(asdict(key)), encoding="ascii")

    def _path(self, key_id: str) -> Path:
        return self.folder / f"{key_id}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Processes make and destroy keys one after the other."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held_alone(self.folder / ".lock"):
            yield


def _bound(key_id: str, scope: str) -> bytes:
    return f"kith data key\0{key_id}\0{scope}".encode()
