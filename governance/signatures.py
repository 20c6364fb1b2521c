"""Detached Ed25519 signatures of agreements: each party's officer signs the bytes of the file, in a file beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from governance.parties import Parties, public_key
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError
from store.home import written_whole

SUFFIX = ".signatures.yaml"


class Signature(Declared):
    """One officer's signature; `sha256` is that of the file as it was signed."""

    party: str
    officer: str
    signed_on: date
    sha256: str
    signature: str


class Signatures(Declared):
    """<agreement>.signatures.yaml."""

    signatures: tuple[Signature, ...] = ()


@dataclass(frozen=True)
class Signed:
    """Which parties have signed a file as it is now, and what is wrong with other signatures (party -> words)."""

    sha256: str
    by: Mapping[str, str]
    wrong: Mapping[str, str]


def signature_file(path: Path) -> Path:
    """Where the signatures of an agreement stand."""
    return path.with_name(path.stem + SUFFIX)


def _message(party: str, officer: str, signed_on: date, sha256: str) -> bytes:
    # The first words keep a signature from counting for anything but an agreement.
    return "\0".join(["kith agreement 1", party, officer, signed_on.isoformat(), sha256]).encode()


def read_signatures(path: Path, parties: Parties) -> Signed:
    """The signatures of an agreement, each verified under the officer's pinned key.

    Raises:
        DeclarationError: The file of signatures is not one; with file and line.
    """
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = signature_file(path)
    given = read_declaration(beside, Signatures).signatures if beside.is_file() else ()
    by: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for signature in given:
        fault = _fault(signature, sha256, parties)
        if fault is None:
            by[signature.party] = signature.officer
        else:
            wrong[signature.party] = fault
    return Signed(sha256, by, {party: fault for party, fault in wrong.items() if party not in by})


def _fault(signature: Signature, sha256: str, parties: Parties) -> str | None:
    """What is wrong with a signature; None where it holds."""
    party = parties.parties.get(signature.party)
    officer = party.officers.get(signature.officer) if party else None
    if officer is None:
        return f"{signature.officer} is no officer of {signature.party} in parties.yaml"
    if signature.sha256 != sha256:
        return "the agreement was altered since it was signed"
    message = _message(signature.party, signature.officer, signature.signed_on, signature.sha256)
    try:
        public_key(officer.key).verify(base64.b64decode(signature.signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return f"the signature is not that of {signature.officer}'s key"
    return None


def sign(path: Path, parties: Parties, *, officer: str, key: Path, passphrase: bytes | None, today: date) -> Signature:
    """Adds an officer's signature to those of an agreement.

    Args:
        path: The agreement.
        parties: Who may sign, with their pinned keys.
        officer: Id of the officer.
        key: The officer's private key as `ssh-keygen -t ed25519` writes it, of mode 0600.
        passphrase: That of the key, if it has one.
        today: The day that is signed along.

    Raises:
        DeclarationError: The officer is unknown, or the key cannot be read or is another than the pinned one.
    """
    party = parties.party_of(officer)
    if party is None:
        raise DeclarationError(
            f"no party has an officer {officer!r}", where="governance/parties.yaml", mend="add the officer and the key"
        )
    private = _private_key(key, passphrase)
    pinned = public_key(parties.parties[party].officers[officer].key)
    if _raw(private) != pinned.public_bytes(Encoding.Raw, PublicFormat.Raw):
        raise DeclarationError(
            f"this is not the key that is pinned for {officer}", where=str(key), mend="sign with the officer's own key"
        )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    signed = private.sign(_message(party, officer, today, sha256))
    signature = Signature(
        party=party, officer=officer, signed_on=today, sha256=sha256, signature=base64.b64encode(signed).decode()
    )
    _add(signature_file(path), signature)
    return signature


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _private_key(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    try:
        if path.stat().st_mode & 0o077:
            raise DeclarationError("others can read this key", where=str(path), mend=f"chmod 600 {path}")
        key = load_ssh_private_key(path.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise DeclarationError(
            "this is no Ed25519 private key, or its passphrase is another",
            where=str(path),
            mend="make one with: ssh-keygen -t ed25519",
        )
    return key


def _add(path: Path, signature: Signature) -> None:
    """A party's signature takes the place of one it gave before."""
    before = read_declaration(path, Signatures).signatures if path.is_file() else ()
    kept = [s for s in before if s.party != signature.party]
    lines = [s.model_dump(mode="json") for s in (*kept, signature)]
    with written_whole(path) as part:
        part.write_text(yaml.safe_dump({"signatures": lines}, sort_keys=False), encoding="utf-8")
