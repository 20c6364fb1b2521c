"""Hostile and broken encrypted files, and the keys with which they are made: all keys and people are invented."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from connectors.pgp import own_key, pin
from tests.hostile.archives import BLOCK, zipped
from tests.hostile.cases import Case, Verdict
from tests.hostile.other_forms import GOOD

KINDS = {"pgp": "pgp", "pgp-zip": "pgp, zip", "pgp-gzip": "pgp, gzip"}
"""Kind of case -> how its feed says that it comes packed."""
KEYRING = "hostile"
_TO_US = ("-r", "kith exchange for hostile", "-e")
_LONG_AGO = "20200101T000000"
Recipe = Callable[["Sender", Path], None]
"""Makes a file at a path with the sender's keys."""


@dataclass(frozen=True)
class Sender:
    """Who sends: a GnuPG folder with the keys of the agency, of strangers and of another exchange."""

    home: Path

    def gpg(self, *arguments: str | Path, content: bytes | None = None) -> bytes:
        command = ["gpg", "--homedir", self.home, "--batch", "--no-tty", "--yes", "--trust-model", "always",
                   "--ignore-time-conflict", "--ignore-valid-from",
                   "--pinentry-mode", "loopback", "--passphrase", "", *arguments]  # fmt: skip
        return subprocess.run(command, check=True, input=content, capture_output=True).stdout

    def make_key(self, name: str, *more: str, expires: str = "never") -> None:
        self.gpg(*more, "--quick-gen-key", name, "future-default", "default", expires)

    def fingerprint(self, name: str) -> str:
        lines = self.gpg("--list-secret-keys", "--with-colons", f"={name}").decode().splitlines()
        return next(after.split(":")[9] for line, after in pairwise(lines) if line.startswith("sec:"))

    def pack(self, content: bytes, *ways: str) -> bytes:
        """A content as the sender packs it: signed and encrypted as the arguments say."""
        return self.gpg(*ways, content=content)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "gpg-agent"], check=True)


def lay_out_keys(sender_home: Path, keys: Path) -> list[str]:
    """Makes all keys, ours in a home's `keys`; the fingerprints that are pinned: the agency's and its expired one."""
    sender_home.mkdir(mode=0o700)
    sender = Sender(sender_home)
    ours = keys / f"{KEYRING}.gnupg"
    sender.gpg("--import", content=own_key(ours, KEYRING).encode())
    for name in ("agency", "stranger", "unpinned", "another exchange"):
        sender.make_key(name)
    sender.make_key("expired", "--faked-system-time", _LONG_AGO, expires="1y")
    for name in ("agency", "expired", "unpinned"):
        key = sender_home / "key.asc"
        key.write_bytes(sender.gpg("--armor", "--export", f"={name}"))
        pin(ours, key)
    return [sender.fingerprint(name) for name in ("agency", "expired")]


def _signed(content: bytes, *ways: str, by: Sequence[str] = ("agency",)) -> Recipe:
    """Signed and encrypted for us."""
    users = [word for name in by for word in ("-u", f"={name}")]
    return lambda sender, path: _write(path, sender.pack(content, *ways, "-s", *users, *_TO_US))


def _harmed(harm: Callable[[bytes], bytes]) -> Recipe:
    def make(sender: Sender, path: Path) -> None:
        _write(path, harm(sender.pack(GOOD, "--compress-algo", "none", "-s", "-u", "=agency", *_TO_US)))

    return make


def _packed(content: bytes, *ways: str) -> Recipe:
    return lambda sender, path: _write(path, sender.pack(content, *ways))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _change(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    return bytes(changed)


def _within(sender: Sender, path: Path) -> None:
    inner = sender.pack(GOOD, "-s", "-u", "=agency", *_TO_US)
    _write(path, sender.pack(inner, "-s", "-u", "=agency", *_TO_US))


def _detached(sender: Sender, path: Path) -> None:
    _write(path, sender.pack(GOOD, "-b", "-u", "=agency"))


def _key_block(sender: Sender, path: Path) -> None:
    _write(path, sender.gpg("--armor", "--export", "=agency"))


def _bomb(pack: Callable[[bytes], bytes]) -> Recipe:
    return lambda sender, path: _signed(pack(BLOCK * 100))(sender, path)


def encrypted_cases() -> Iterator[Case]:
    """Every way in which an encrypted file is not what was agreed, and some in which it is."""
    one = {"pupils.csv": GOOD}
    told: list[tuple[str, str, Recipe, Verdict, str | None]] = [
        ("as declared", "pgp", _signed(GOOD), "accepted", None),
        ("armoured", "pgp", _signed(GOOD, "--armor"), "accepted", None),
        ("not compressed", "pgp", _signed(GOOD, "--compress-algo", "none"), "accepted", None),
        ("a zip in it", "pgp-zip", _signed(zipped(one)), "accepted", None),
        ("a gzip in it", "pgp-gzip", _signed(gzip.compress(GOOD, mtime=0)), "accepted", None),
        ("no signature", "pgp", _packed(GOOD, *_TO_US), "refused", "pgp_unsigned"),
        ("a stranger's signature", "pgp", _signed(GOOD, by=["stranger"]), "refused", "pgp_stranger"),
        ("a known key that is not pinned", "pgp", _signed(GOOD, by=["unpinned"]), "refused", "pgp_stranger"),
        ("two signatures", "pgp", _signed(GOOD, by=["agency", "unpinned"]), "refused", "pgp_stranger"),
        ("a signature twice", "pgp", _signed(GOOD, by=["agency", "agency"]), "accepted", None),
        ("an expired key", "pgp",
         _signed(GOOD, "--faked-system-time", "20200301T000000", by=["expired"]), "refused", "pgp_expired"),
        ("for another exchange", "pgp",
         _packed(GOOD, "-s", "-u", "=agency", "-r", "=another exchange", "-e"), "refused", "pgp_wrong_key"),
        ("signed, not encrypted", "pgp", _packed(GOOD, "-s", "-u", "=agency"), "refused", "pgp_not_encrypted"),
        ("signed as text", "pgp", _packed(GOOD, "--clear-sign", "-u", "=agency"), "refused", None),
        ("its signature alone", "pgp", _detached, "refused", None),
        ("a public key", "pgp", _key_block, "refused", None),
        ("a password", "pgp", _packed(GOOD, "--passphrase", "invented", "-c"), "refused", None),
        ("not protected against change", "pgp",
         _signed(GOOD, "--rfc2440", "--disable-mdc"), "refused", "pgp_broken"),
        ("a bit changed", "pgp", _harmed(_change), "refused", None),
        ("cut", "pgp", _harmed(lambda data: data[: len(data) // 2]), "refused", "pgp_broken"),
        ("its last byte cut", "pgp", _harmed(lambda data: data[:-1]), "refused", "pgp_broken"),
        ("something behind it", "pgp", _harmed(lambda data: data + GOOD), "refused", None),
        ("twice in one file", "pgp", _harmed(lambda data: data + data), "refused", None),
        ("nothing", "pgp", lambda _, path: _write(path, b""), "refused", "pgp_broken"),
        ("plain text", "pgp", lambda _, path: _write(path, GOOD), "refused", "pgp_broken"),
        ("rubbish", "pgp", lambda _, path: _write(path, b"\x85" + bytes(500)), "refused", "pgp_broken"),
        ("encrypted twice", "pgp", _within, "held", None),
        ("encrypted twice, a zip declared", "pgp-zip", _within, "refused", "archive_broken"),
        ("no zip in it", "pgp-zip", _signed(GOOD), "refused", "archive_broken"),
        ("a zip in its zip", "pgp-zip", _signed(zipped({"pupils.csv": zipped(one)})), "refused", "archive_nested"),
        ("a path above in its zip", "pgp-zip", _signed(zipped({"../pupils.csv": GOOD})), "refused", "archive_name"),
        ("a zip bomb in it", "pgp-zip", _bomb(lambda data: zipped({"pupils.csv": data})), "refused", "archive_bomb"),
        ("a gzip bomb in it", "pgp-gzip", _bomb(lambda data: gzip.compress(data, mtime=0)), "refused", "archive_bomb"),
        ("a bomb of its own", "pgp", _bomb(lambda data: data), "refused", "pgp_bomb"),
    ]  # fmt: skip
    for name, kind, recipe, verdict, code in told:
        yield Case(f"pgp: {name}", kind, _made(recipe), verdict, code)


def _made(recipe: Recipe) -> Callable[[Path], None]:
    """The keys lie beside the folder in which the files are made."""
    return lambda path: recipe(Sender(path.parent.parent / SENDER), path)


SENDER = "sender"
