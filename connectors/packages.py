"""Take a file out of what it came in: decrypted, then unpacked, on a private disk and by no name of its own."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from connectors.archives import Limits, Member, PackageRefused, open_gzip, open_member, unpack, zip_members
from connectors.pgp import Keyring, decrypt
from connectors.wanted import FilesWanted, Stated
from standard.errors import DeclarationError
from store.landing import Landing
from store.parts import disk_trouble_told

_MOST_STATED = 1 << 18
"""Bytes read of a member that lists properties."""


def open_package(
    path: Path, into: Path, wanted: FilesWanted, *, keyring: Keyring | None, landing: Landing, limits: Limits = Limits()
) -> str | None:
    """Writes what is in a packed file into another; who signed it, where it came encrypted.

    Args:
        path: The file as it came.
        into: A file of mode 0600; with less than all in it where this fails.
        wanted: How the file is packed, and which member is wanted of an archive.
        keyring: The keys of the agency, if its files are encrypted.
        landing: Where what is only decrypted rests meanwhile; it is removed at the end, after a kill by the next run.
        limits: How far anything may unfold.

    Raises:
        PackageRefused: The file is not what was agreed.
        DeclarationError: It is encrypted, and no keys are declared.
    """
    with disk_trouble_told(into):
        if wanted.packed == ("pgp",):
            return _decrypted(path, into, keyring, limits)
        if wanted.packed[0] != "pgp":
            _unpack(path, into, wanted, limits)
            return None
        with landing.scratch() as archive:
            signer = _decrypted(path, archive, keyring, limits)
            _unpack(archive, into, wanted, limits)
            return signer


def _decrypted(path: Path, into: Path, keyring: Keyring | None, limits: Limits) -> str:
    if keyring is None:
        raise DeclarationError(
            "files come encrypted, and the source declares no keys",
            where="pgp of the feed's source in agency.yaml",
            mend="declare pgp: {keyring: NAME, signers: [FINGERPRINT]}, see docs/exchange_folder.md",
        )
    return decrypt(path, into, keyring, limits=limits)


def _unpack(path: Path, into: Path, wanted: FilesWanted, limits: Limits) -> None:
    if wanted.packed[-1] == "gzip":
        with open_gzip(path, limits=limits) as stream:
            unpack(stream, into, holds_zip=wanted.holds_zip)
        return
    if wanted.states is not None:
        _require_stated(path, wanted.states, limits)
    with open_member(path, _wanted_member(path, wanted, limits), limits=limits) as stream:
        unpack(stream, into, holds_zip=wanted.holds_zip)


def _require_stated(path: Path, stated: Stated, limits: Limits) -> None:
    """Asks whether the archive says of itself what was agreed: changes that are taken for the whole withdraw rows."""
    found = [member for member in zip_members(path, limits=limits) if member.name.rpartition("/")[2] == stated.member]
    if len(found) != 1:
        raise PackageRefused("archive_members", f"the archive has not exactly one {stated.member}")
    with open_member(path, found[0], limits=limits) as stream:
        text = stream.read(_MOST_STATED).decode("utf-8-sig", errors="replace")
    told = {row[0].strip(): row[1].strip() for row in csv.reader(io.StringIO(text)) if len(row) > 1}
    if told.get(stated.name) != stated.value:
        says = "otherwise" if stated.name in told else "nothing of it"
        what = f"{stated.name} must be {stated.value} in the archive's {stated.member}, which says {says}"
        raise PackageRefused("archive_states", what)


def _wanted_member(path: Path, wanted: FilesWanted, limits: Limits) -> Member:
    pattern = FilesWanted(wanted.member or "*")
    members = zip_members(path, limits=limits)
    found = [member for member in members if pattern.moment(member.name.rpartition("/")[2]) is not None]
    if len(found) != 1:
        raise PackageRefused(
            "archive_members", f"of {len(members)} files in the archive {len(found)} are of this feed, and not one"
        )
    return found[0]
