"""How fast a file comes by SFTP over loopback, against the OpenSSH client on the same sshd.

Ours is the whole receipt: listing, fetch, SHA-256, sync to disk, landing. OpenSSH's client only copies.
Run: python -m benchmarks.sftp [--megabytes 500] [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from connectors.doors import fetch_new, open_door
from connectors.sources import Secrets, Source
from connectors.wanted import FilesWanted
from store.landing import Arrival, Landing
from tests.servers import SftpServer, sftp_server

_MEGABYTE = 1 << 20


def main() -> None:
    """Measures both in turn and prints the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kith-sftp-") as folder, sftp_server(Path(folder) / "sshd") as server:
        _write(server.root / "file.bin", given.megabytes)
        source, secrets = _ours(server, Path(folder) / "keys")
        theirs, ours = [], []
        for _ in range(given.runs):
            theirs.append(given.megabytes / _seconds(lambda: _by_openssh(server, Path(folder))))
            ours.append(given.megabytes / _seconds(lambda: _by_the_exchange(source, secrets, Path(folder))))
    print(f"{given.megabytes} MB over loopback, MB/s, {given.runs} runs in turn")
    for name, speeds in (("OpenSSH client", theirs), ("the exchange", ours)):
        print(f"  {name:15} median {statistics.median(speeds):6.0f}   {' '.join(f'{s:.0f}' for s in speeds)}")
    print(f"  ratio           {statistics.median(ours) / statistics.median(theirs):.2f}")


def _write(path: Path, megabytes: int) -> None:
    with path.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(os.urandom(_MEGABYTE))


def _seconds(work: object) -> float:
    begun = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - begun


def _by_openssh(server: SftpServer, folder: Path) -> None:
    known_hosts = folder / "keys" / "known_hosts"
    subprocess.run(
        ["sftp", "-q", "-P", str(server.port), "-i", server.key, "-o", f"UserKnownHostsFile={known_hosts}",
         "-o", "IdentitiesOnly=yes", f"{server.user}@{server.host}:file.bin", folder / "copy.bin"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (folder / "copy.bin").unlink()


def _ours(server: SftpServer, keys: Path) -> tuple[Source, Secrets]:
    keys.mkdir()
    (keys / "known_hosts").write_text(server.known_hosts)
    (keys / "user").write_text(server.key.read_text())
    (keys / "user").chmod(0o600)
    sftp = {"host": server.host, "port": server.port, "user": server.user, "key": "secret:user", "settle": 0}
    return Source.model_validate({"sftp": sftp}), Secrets(keys)


def _by_the_exchange(source: Source, secrets: Secrets, folder: Path) -> None:
    landing = Landing(folder / "landing")
    with open_door(source, secrets) as door:
        (arrival,) = fetch_new(door, FilesWanted("*.bin"), known={}, landing=landing, now=datetime.now(UTC))
    assert isinstance(arrival, Arrival)
    arrival.path.unlink()


if __name__ == "__main__":
    main()
