"""Files whose connection breaks, stalls or lies on the way, between a real sshd and the landing area."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

import connectors.sftp
from connectors.doors import fetch_new, open_door
from connectors.sources import Secrets, Source
from connectors.wanted import FilesWanted
from standard.errors import SourceError
from store.landing import Arrival, Landing
from tests.servers import SftpServer

SIZE = 6_000_000


class Wire:
    """A loopback wire to a server, which breaks or falls silent after so many bytes from the server."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.left: int | None = None
        self.silent = False
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._upstream))
                threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, origin: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := origin.recv(16 << 10):
                if counted:
                    data = self._allowed(data)
                with nullcontext() if counted else suppress(OSError):  # what is sent after the cut is lost
                    target.sendall(data)
                if counted and self.left == 0:
                    break
        if not self.silent:
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)  # so that what was carried is not taken back
            with suppress(OSError):
                origin.shutdown(socket.SHUT_RD)

    def _allowed(self, data: bytes) -> bytes:
        data = data if self.left is None else data[: self.left]
        self.left = None if self.left is None else self.left - len(data)
        self.carried += len(data)
        return data

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def wire(sshd: SftpServer) -> Iterator[Wire]:
    made = Wire(sshd.port)
    yield made
    made.close()


class Receiver:
    """The exchange at the end of the wire."""

    def __init__(self, root: Path, sshd: SftpServer, wire: Wire) -> None:
        self.folder = sshd.root / root.name
        self.folder.mkdir()
        self._keys, self.landing = root / "keys", Landing(root / "landing")
        self._keys.mkdir()
        self._source = {"host": sshd.host, "user": sshd.user, "key": "secret:k", "folder": self.folder.name}
        self._source |= {"port": str(wire.port), "settle": "0", "timeout": "2"}
        (self._keys / "k").write_text(sshd.key.read_text())
        (self._keys / "k").chmod(0o600)
        (self._keys / "known_hosts").write_text(sshd.known_hosts.replace(str(sshd.port), str(wire.port)))

    def send(self, content: bytes, *, changed: int = 1_700_000_000) -> None:
        (self.folder / "f.csv").write_bytes(content)
        os.utime(self.folder / "f.csv", (changed, changed))

    def fetch(self) -> Arrival:
        with open_door(Source.model_validate({"sftp": self._source}), Secrets(self._keys)) as door:
            (came,) = fetch_new(
                door, FilesWanted("*.csv"), known={}, landing=self.landing, now=datetime.now(UTC)
            )  # fmt: skip
        assert isinstance(came, Arrival)
        return came

    def landed(self) -> list[Path]:
        return [path for path in self.landing.folder.rglob("*") if path.is_file() and ".parts" not in path.parts]

    def part(self) -> Path:
        (part,) = (self.landing.folder / ".parts").glob("*.part")
        return part


@pytest.fixture
def receiver(tmp_path: Path, sshd: SftpServer, wire: Wire) -> Receiver:
    return Receiver(tmp_path, sshd, wire)


@contextmanager
def cut_after(wire: Wire, size: int) -> Iterator[None]:
    wire.left, wire.carried = size, 0
    yield
    wire.left, wire.carried = None, 0


OFFSETS = [0, 1, 1500, *random.Random(20261121).sample(range(3_000, SIZE), 7)]


@pytest.mark.parametrize("connections", [1, 2])
@pytest.mark.parametrize("offset", OFFSETS)
def test_a_file_cut_anywhere_arrives_whole_at_the_next_poll(
    receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch, offset: int, connections: int
) -> None:
    monkeypatch.setattr(connectors.sftp, "_TWO_CONNECTIONS_FROM", 2 << 20 if connections == 2 else 1 << 40)
    content = random.Random(offset).randbytes(SIZE)
    receiver.send(content)
    with cut_after(wire, offset), pytest.raises(SourceError):
        receiver.fetch()
    assert receiver.landed() == []
    arrival = receiver.fetch()
    assert arrival.path.read_bytes() == content
    assert receiver.landed() == [arrival.path]
    assert list((receiver.landing.folder / ".parts").iterdir()) == []


def test_after_a_cut_only_the_rest_is_fetched(receiver: Receiver, wire: Wire) -> None:
    content = random.Random(1).randbytes(SIZE)
    receiver.send(content)
    with cut_after(wire, SIZE // 2), pytest.raises(SourceError):
        receiver.fetch()
    kept = json.loads(receiver.part().with_suffix(".json").read_text())["offset"]
    assert kept > 0  # of the half that was carried, what had been read when the line was cut
    assert receiver.fetch().path.read_bytes() == content
    assert wire.carried < (SIZE - kept) * 1.05


def test_a_file_cut_again_and_again_arrives_in_the_end(receiver: Receiver, wire: Wire) -> None:
    content = random.Random(2).randbytes(SIZE)
    receiver.send(content)
    for _ in range(10):
        try:
            with cut_after(wire, 2_500_000):
                arrival = receiver.fetch()
            break
        except SourceError:
            continue
    assert arrival.path.read_bytes() == content


def test_a_file_that_changed_after_the_cut_is_fetched_anew(receiver: Receiver, wire: Wire) -> None:
    receiver.send(random.Random(3).randbytes(SIZE))
    with cut_after(wire, SIZE // 2), pytest.raises(SourceError):
        receiver.fetch()
    content = random.Random(4).randbytes(SIZE)
    receiver.send(content, changed=1_700_000_060)
    assert receiver.fetch().path.read_bytes() == content


@pytest.mark.parametrize("harm", ["flipped", "shortened", "emptied", "journal lost", "journal broken"])
def test_a_part_that_is_not_what_was_recorded_is_not_taken_up(receiver: Receiver, wire: Wire, harm: str) -> None:
    content = random.Random(5).randbytes(SIZE)
    receiver.send(content)
    with cut_after(wire, SIZE // 2), pytest.raises(SourceError):
        receiver.fetch()
    do_harm(receiver.part(), harm)
    assert receiver.fetch().path.read_bytes() == content


def do_harm(part: Path, harm: str) -> None:
    journal = part.with_suffix(".json")
    if harm == "flipped":
        data = bytearray(part.read_bytes())
        data[1000] ^= 1
        part.write_bytes(data)
    if harm == "shortened":
        os.truncate(part, part.stat().st_size // 2)
    if harm == "emptied":
        os.truncate(part, 0)
    if harm == "journal lost":
        journal.unlink()
    if harm == "journal broken":
        journal.write_text('{"size": ')


@pytest.mark.parametrize("connections", [1, 2])
def test_a_server_that_falls_silent_is_given_up(
    receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    monkeypatch.setattr(connectors.sftp, "_TWO_CONNECTIONS_FROM", 2 << 20 if connections == 2 else 1 << 40)
    content = random.Random(6).randbytes(SIZE)
    receiver.send(content)
    wire.silent = True
    begun = time.monotonic()
    with cut_after(wire, SIZE // 2), pytest.raises(SourceError):
        receiver.fetch()
    assert time.monotonic() - begun < 15
    wire.silent = False
    assert receiver.fetch().path.read_bytes() == content


def test_a_large_file_comes_whole_over_two_connections(receiver: Receiver) -> None:
    content = random.Random(7).randbytes((33 << 20) + 4097)
    receiver.send(content)
    assert receiver.fetch().path.read_bytes() == content


def test_an_error_of_the_way_names_the_file_and_no_content(receiver: Receiver, wire: Wire) -> None:
    receiver.send(b"0091530,Quill,999-12-3456\n" * 200_000)
    with cut_after(wire, SIZE // 2), pytest.raises(SourceError) as raised:
        receiver.fetch()
    assert "f.csv" in str(raised.value) and raised.value.mend
    assert "Quill" not in repr(raised.value) and "3456" not in repr(raised.value)
