"""Files that an agency encrypts for us and signs, opened by GnuPG: only with one good signature of a pinned key."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.archives import Limits, PackageRefused
from standard.errors import DeclarationError, ExchangeError

_SECONDS = 1800
_BUFFER = 1 << 16
"""Bytes that GnuPG may still hold back when it stops at the most that may come out."""
_STATUS = "[GNUPG:] "
_PROGRAM = "gpg"
_FINGERPRINT = re.compile(r"[0-9A-F]{40}")

MENDS = {
    "pgp_not_encrypted": "encrypt the file for the exchange's key, and sign it",
    "pgp_wrong_key": "encrypt the file for the exchange's key of now: kith pgp key AGENCY prints it",
    "pgp_unsigned": "sign the file with your agreed key, once",
    "pgp_stranger": "sign the file with your agreed key; a new key is pinned by telephone or letter, never by mail",
    "pgp_bad_signature": "send the file again: its signature is not of what it holds",
    "pgp_expired": "sign with a key that holds; tell the exchange the fingerprint of your new one",
    "pgp_broken": "send the file again: it is cut or changed, or not protected against change (MDC or AEAD)",
    "pgp_bomb": "send the data in smaller files, or less compressed",
}
"""Why an encrypted file is refused -> what the agency can do."""


class PgpRefused(PackageRefused):
    """An encrypted or signed file that cannot be taken."""

    mends = MENDS


@dataclass(frozen=True)
class Keyring:
    """The keys for one agency: ours, for which it encrypts, and the fingerprints it may sign with."""

    home: Path
    """GnuPG's folder for this agency, mode 0700."""
    signers: tuple[str, ...]
    """Fingerprints (40 hexadecimal digits) of primary keys; several while one takes over from another."""


def decrypt(path: Path, into: Path, keyring: Keyring, *, limits: Limits = Limits()) -> str:
    """Decrypts a file and checks its signature; the fingerprint of who signed it.

    Args:
        path: The file as it came.
        into: Where its content goes: a file on a private disk, which is empty again where this fails.
        keyring: Whose keys count.
        limits: How much may come out.

    Raises:
        PackageRefused: It is not encrypted for us, changed, cut, unsigned, or signed by anyone but a pinned key.
        ExchangeError: GnuPG is not installed, or does not end.
    """
    most = min(limits.size, max(limits.free, limits.ratio * path.stat().st_size))
    try:
        ended, status = _run(
            keyring.home, ["--max-output", str(most), "--output", str(into), "--yes", "--decrypt", str(path)]
        )
        full = ended != 0 and into.exists() and into.stat().st_size + _BUFFER > most
        return _judged(status, ended, keyring, full=full)
    except BaseException:
        into.write_bytes(b"")  # GnuPG leaves what it had before it saw that it is wrong
        raise


def _judged(status: list[list[str]], ended: int, keyring: Keyring, *, full: bool) -> str:
    """The signer, where everything that must be said of a good file is said, and nothing else."""
    said = {words[0] for words in status}
    signed = [words for words in status if words[0] == "VALIDSIG"]
    for code, what, holds in (
        ("pgp_wrong_key", "the file is encrypted for a key that is not ours", "NO_SECKEY" in said
         and "DECRYPTION_OKAY" not in said),
        ("pgp_bomb", "the file unfolds to more than is allowed", full),
        ("pgp_bad_signature", "the signature is not of what the file holds", "BADSIG" in said),
        ("pgp_expired", "the signature or its key has expired or was revoked",
         bool(said & {"EXPSIG", "EXPKEYSIG", "REVKEYSIG", "KEYREVOKED"})),
        ("pgp_stranger", "the file is signed by a key that is not pinned",
         "ERRSIG" in said or any(_signer(words, keyring) is None for words in signed)),
        ("pgp_not_encrypted", "the file is not encrypted", "DECRYPTION_OKAY" not in said
         and not said & {"BEGIN_DECRYPTION", "DECRYPTION_FAILED", "ENC_TO"} and "PLAINTEXT" in said),
        ("pgp_broken", "the file cannot be decrypted whole, or is not protected against change",
         (ended != 0 and "NEWSIG" in said) or not _is_whole(status)),
        ("pgp_unsigned", "the file does not bear exactly one signature",
         [words[0] for words in status].count("NEWSIG") != 1 or len(signed) != 1 or "GOODSIG" not in said),
        ("pgp_broken", "the file cannot be decrypted", ended != 0),
    ):  # fmt: skip
        if holds:
            raise PgpRefused(code, what)
    return _signer(signed[0], keyring) or ""


def _is_whole(status: list[list[str]]) -> bool:
    """Decrypted to the end, as one message, and with a proof that nothing was changed."""
    said = [words[0] for words in status]
    aead = any(words[0] == "DECRYPTION_INFO" and words[3:4] not in ([], ["0"]) for words in status)
    protected = "GOODMDC" in said or aead
    return "DECRYPTION_OKAY" in said and protected and said.count("PLAINTEXT") == 1


def _signer(words: Sequence[str], keyring: Keyring) -> str | None:
    """The pinned fingerprint that a VALIDSIG line names: the primary key's stands last."""
    return words[-1] if words[-1] in keyring.signers else None


def own_key(home: Path, agency: str) -> str:
    """Our public key for one agency as it is sent to it (ASCII); made where there is none yet.

    Args:
        home: GnuPG's folder for the agency; made with mode 0700.
        agency: Named in the key.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _output(home, ["--list-secret-keys", "--with-colons"]).strip():
        _output(home, ["--quick-gen-key", f"kith exchange for {agency}", "future-default", "default", "never"])
    ours = [line.split(":")[9] for line in _output(home, ["--list-secret-keys", "--with-colons"]).splitlines()
            if line.startswith("fpr:")]  # fmt: skip
    return _output(home, ["--armor", "--export", ours[0]])


def pin(home: Path, key: Path) -> list[str]:
    """Takes an agency's public key into its keyring; the fingerprints to compare and to declare as `signers`.

    Raises:
        DeclarationError: The file holds no public key.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _, status = _run(home, ["--import", str(key)])
    found = [words[2] for words in status if words[0] == "IMPORT_OK"]
    if not found:
        raise DeclarationError("this is no public key", where=str(key), mend="export it with: gpg --armor --export KEY")
    return found


def normal_fingerprint(text: str) -> str:
    """A fingerprint without blanks, in capitals.

    Raises:
        ValueError: It is none.
    """
    plain = text.replace(" ", "").replace(":", "").upper()
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError("a fingerprint has 40 hexadecimal digits; a short key id proves nothing")
    return plain


def _output(home: Path, arguments: list[str]) -> str:
    with _command(home) as command:
        done = _ended([*command, *arguments], stdout=subprocess.PIPE)
    if done.returncode:
        raise ExchangeError("GnuPG refuses", where=str(home), mend="look at the folder's mode (0700) and owner")
    return str(done.stdout.decode("utf-8", "replace"))


def _run(home: Path, arguments: list[str]) -> tuple[int, list[list[str]]]:
    """GnuPG's exit status and what it says for machines, word by word."""
    if not home.is_dir():
        raise DeclarationError(
            "there is no keyring for this agency", where=str(home), mend="make it: kith pgp key AGENCY"
        )
    with _command(home) as command:
        # The status goes to stdout, for the content goes to a file; what GnuPG says to people may hold names.
        done = _ended([*command, "--status-fd", "1", *arguments], stdout=subprocess.PIPE)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return done.returncode, [line.removeprefix(_STATUS).split() for line in lines if line.startswith(_STATUS)]


def _ended(command: list[str], *, stdout: int) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise ExchangeError(
            f"GnuPG did not end in {_SECONDS} seconds", where=_PROGRAM, mend="try the file by hand"
        ) from None


@contextmanager
def _command(home: Path) -> Iterator[list[str]]:
    """GnuPG over one keyring alone, asking nobody and no network; its agent ends with the block."""
    program = shutil.which(_PROGRAM)
    if program is None:
        raise ExchangeError(
            "GnuPG is not installed, and without it no encrypted file can be opened",
            where=_PROGRAM, mend="install it: apt-get install gnupg",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="kith-") as short:
        # The name of a socket below the folder must be short, however long the path of the home is.
        near = Path(short) / "g"
        near.symlink_to(home.resolve())
        try:
            yield [
                program, "--homedir", str(near), "--batch", "--no-tty", "--no-options", "--no-auto-key-retrieve",
                "--no-auto-key-locate", "--trust-model", "always", "--pinentry-mode", "loopback", "--passphrase", "",
            ]  # fmt: skip
        finally:
            subprocess.run(
                ["gpgconf", "--homedir", str(near), "--kill", "gpg-agent"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
