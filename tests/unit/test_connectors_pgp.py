"""An encrypted file is taken with one good signature of a pinned key, and no plaintext is left of any other."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from connectors.archives import Limits, PackageRefused
from connectors.pgp import Keyring, decrypt, normal_fingerprint, own_key, pin

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs GnuPG; install it: apt-get install gnupg")
CONTENT = b"StudentNo,First\n004211,Amara\n" * 5000


@dataclass(frozen=True)
class Sender:
    """An agency with a GnuPG of its own."""

    home: Path

    def gpg(self, *arguments: str | Path) -> bytes:
        command = ["gpg", "--homedir", self.home, "--batch", "--no-tty", "--yes", "--trust-model", "always",
                   "--pinentry-mode", "loopback", "--passphrase", "", *arguments]  # fmt: skip
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def make_key(self, name: str, expires: str = "never") -> str:
        before = set(self.fingerprints())
        self.gpg("--quick-gen-key", name, "future-default", "default", expires)
        return next(found for found in self.fingerprints() if found not in before)

    def fingerprints(self) -> list[str]:
        """Of primary keys."""
        lines = self.gpg("--list-secret-keys", "--with-colons").decode().splitlines()
        return [after.split(":")[9] for line, after in pairwise(lines) if line.startswith("sec:")]


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    yield Sender(home)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)


@pytest.fixture(scope="module")
def keyring(sender: Sender, tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Ours, with the agency's key pinned; the agency has our key."""
    home = tmp_path_factory.mktemp("a folder of which the path is longer than the name of any socket may ever be" * 2)
    signer = sender.make_key("Maple Schools <it@maple.invalid>")
    (sender.home / "maple.asc").write_bytes(sender.gpg("--armor", "--export", signer))
    assert pin(home / "maple.gnupg", sender.home / "maple.asc") == [signer]
    (sender.home / "ours.asc").write_text(own_key(home / "maple.gnupg", "maple"))
    sender.gpg("--import", sender.home / "ours.asc")
    return Keyring(home / "maple.gnupg", (signer,))


@pytest.fixture
def sent(sender: Sender, keyring: Keyring, tmp_path: Path) -> Callable[..., Path]:
    (tmp_path / "plain").write_bytes(CONTENT)

    def send(*arguments: str, content: bytes = CONTENT) -> Path:
        (tmp_path / "plain").write_bytes(content)
        sender.gpg(*arguments, "--output", tmp_path / "sent.pgp", tmp_path / "plain")
        return tmp_path / "sent.pgp"

    return send


TO_US = ("-r", "kith exchange for maple", "-e")


def refusal(path: Path, keyring: Keyring, limits: Limits = Limits()) -> str:
    into = path.with_name("into")
    with pytest.raises(PackageRefused) as refused:
        decrypt(path, into, keyring, limits=limits)
    assert into.read_bytes() == b""  # nothing of a file that is not taken stays
    assert refused.value.mend
    return refused.value.code


def test_a_signed_and_encrypted_file_is_opened(keyring: Keyring, sent: Callable[..., Path], tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.touch(mode=0o600)
    assert decrypt(sent("-s", "-u", keyring.signers[0], *TO_US), into, keyring) == keyring.signers[0]
    assert into.read_bytes() == CONTENT and into.stat().st_mode & 0o777 == 0o600


def test_armour_and_other_ways_to_compress_are_read(
    keyring: Keyring, sent: Callable[..., Path], tmp_path: Path
) -> None:
    for way in (["--armor"], ["--compress-algo", "none"], ["--compress-algo", "bzip2"]):
        decrypt(sent(*way, "-s", "-u", keyring.signers[0], *TO_US), tmp_path / "into", keyring)
        assert (tmp_path / "into").read_bytes() == CONTENT


def test_a_file_without_signature_is_refused(keyring: Keyring, sent: Callable[..., Path]) -> None:
    assert refusal(sent(*TO_US), keyring) == "pgp_unsigned"


def test_a_file_signed_by_a_stranger_is_refused(
    keyring: Keyring, sender: Sender, sent: Callable[..., Path], tmp_path: Path
) -> None:
    stranger = sender.make_key("Stranger")
    path = sent("-s", "-u", stranger, *TO_US)
    assert refusal(path, keyring) == "pgp_stranger"
    (tmp_path / "stranger.asc").write_bytes(sender.gpg("--armor", "--export", stranger))
    pin(keyring.home, tmp_path / "stranger.asc")  # even where its key lies in the keyring: it is not declared
    assert refusal(path, keyring) == "pgp_stranger"


def test_a_file_of_two_signatures_is_refused(keyring: Keyring, sender: Sender, sent: Callable[..., Path]) -> None:
    second = sender.make_key("Second")
    (sender.home / "second.asc").write_bytes(sender.gpg("--armor", "--export", second))
    pin(keyring.home, sender.home / "second.asc")
    path = sent("-s", "-u", keyring.signers[0], "-u", second, *TO_US)
    assert refusal(path, keyring) == "pgp_stranger"
    assert refusal(path, Keyring(keyring.home, (*keyring.signers, second))) == "pgp_unsigned"


def test_a_file_that_is_signed_and_not_encrypted_is_refused(keyring: Keyring, sent: Callable[..., Path]) -> None:
    assert refusal(sent("-s", "-u", keyring.signers[0]), keyring) == "pgp_not_encrypted"


def test_a_file_for_another_key_is_refused(keyring: Keyring, sender: Sender, sent: Callable[..., Path]) -> None:
    other = sender.make_key("Other exchange")
    path = sent("-s", "-u", keyring.signers[0], "-r", other, "-e")
    assert refusal(path, keyring) == "pgp_wrong_key"


def test_a_file_signed_by_an_expired_key_is_refused(
    keyring: Keyring, sender: Sender, sent: Callable[..., Path], tmp_path: Path
) -> None:
    old = sender.make_key("Old", "seconds=4")
    path = sent("-s", "-u", old, *TO_US)
    made = tmp_path / "old.asc"
    made.write_bytes(sender.gpg("--armor", "--export", old))
    pin(keyring.home, made)
    time.sleep(5)
    assert refusal(path, Keyring(keyring.home, (old,))) == "pgp_expired"


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "rubbish", "plain"])
def test_a_broken_file_is_refused(keyring: Keyring, sent: Callable[..., Path], harm: str) -> None:
    path = sent("--compress-algo", "none", "-s", "-u", keyring.signers[0], *TO_US)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    path.write_bytes({"cut": whole[: len(whole) // 2], "changed": bytes(changed), "empty": b"", "plain": CONTENT,
                      "rubbish": b"\x85" + bytes(500)}[harm])  # fmt: skip
    assert refusal(path, keyring) in ("pgp_broken", "pgp_bad_signature")


def test_a_file_that_is_not_protected_against_change_is_refused(keyring: Keyring, sent: Callable[..., Path]) -> None:
    path = sent("--rfc2440", "--disable-mdc", "-s", "-u", keyring.signers[0], *TO_US)
    assert refusal(path, keyring) == "pgp_broken"


def test_a_bomb_is_stopped(keyring: Keyring, sent: Callable[..., Path]) -> None:
    path = sent("-s", "-u", keyring.signers[0], *TO_US, content=bytes(20_000_000))
    assert refusal(path, keyring, Limits(free=1_000_000)) == "pgp_bomb"


def test_a_fingerprint_is_whole() -> None:
    assert normal_fingerprint("ee6d 4023 6bdc ba3f fe09  3c7e 41b8 f366 b5e5 d412") == (
        "EE6D40236BDCBA3FFE093C7E41B8F366B5E5D412"
    )
    with pytest.raises(ValueError, match="short key id"):
        normal_fingerprint("B5E5D412")
