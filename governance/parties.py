"""Who takes part: agencies and recipients with their officers, whose keys are pinned in parties.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import Field, field_validator, model_validator

from governance.rules import RecipientCode, Sector
from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError
from standard.sensitivity import Sensitivity

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")


def public_key(text: str) -> Ed25519PublicKey:
    """An officer's public key as `ssh-keygen -t ed25519` writes it.

    Raises:
        ValueError: It is none.
    """
    try:
        key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("this is not an Ed25519 public key: paste the line of the .pub file of ssh-keygen -t ed25519")
    return key


class Officer(Declared):
    """Somebody who signs for a party."""

    name: str
    title: str
    key: str

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, text: str) -> str:
        public_key(text)
        return text


class Party(Declared):
    """An agency or a recipient.

    Attributes:
        name: In words.
        sector: Field of work; the hub and a university have none.
        agencies: The agencies of the exchange with which its open cases stand; its own id where nothing is said.
        consent_as: How agencies' consents name it as a recipient.
        cleared: Classes that need a clearance and for which it has one.
        in_breach: It broke an agreement: nothing goes out to it.
        officers: Officer id -> officer.
    """

    name: str
    contact: str
    sector: Sector | None = None
    agencies: tuple[str, ...] = ()
    consent_as: tuple[RecipientCode, ...] = ()
    cleared: tuple[Sensitivity, ...] = ()
    in_breach: bool = False
    officers: dict[str, Officer] = Field(min_length=1)


class Parties(Declared):
    """parties.yaml: who may appear in an agreement, and which of them keeps the exchange."""

    described_in: ClassVar[str] = "parties.yaml in docs/governance.md"

    hub: str
    parties: dict[str, Party]

    @field_validator("parties")
    @classmethod
    def _ids_can_name_folders(cls, parties: dict[str, Party]) -> dict[str, Party]:
        odd = sorted(name for name in parties if not _ID.fullmatch(name))
        if odd:
            raise ValueError(f"a party's id is up to 48 letters, digits, _ and -: not {odd[0]!r}")
        return parties

    @model_validator(mode="after")
    def _names_are_clear(self) -> Parties:
        if self.hub not in self.parties:
            raise ValueError(f"the hub {self.hub!r} is not among the parties")
        officers = [officer for party in self.parties.values() for officer in party.officers]
        keys = [officer.key.split()[1] for party in self.parties.values() for officer in party.officers.values()]
        if len(set(officers)) < len(officers) or len(set(keys)) < len(keys):
            raise ValueError("an officer's id or key stands twice: each is one person of one party")
        return self

    def party_of(self, officer: str) -> str | None:
        """The party for which an officer signs."""
        return next((name for name, party in self.parties.items() if officer in party.officers), None)


def read_parties(folder: Path) -> Parties:
    """Reads parties.yaml of a governance folder.

    Raises:
        DeclarationError: It is not there, or wrong; with file and line.
    """
    path = folder / "parties.yaml"
    if not path.is_file():
        raise DeclarationError(
            "nobody is named yet who could agree on anything",
            where=str(path),
            mend="write it as governance/README.md of the home says, or say governance: off in exchange.yaml",
        )
    return read_declaration(path, Parties)
