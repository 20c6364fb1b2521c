"""Names and days that only one recipient's releases share: pseudonyms and shifts, keyed over the whole identity."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from governance.apply import Treat
from governance.subjects import people_of
from record.in_force import PERSON_PARTNERS
from standard.errors import DeclarationError
from store.home import Home, literal, quoted, written_whole

SECRET = "pseudonyms"
"""The file of the keys folder from which every recipient's keys are derived (64 hexadecimal digits)."""
LENGTH = 32
"""Hexadecimal digits of a pseudonym: 128 bits. That two of ten billion identities are alike has odds below 1e-18."""
FURTHEST = 182
"""Days: no date is shifted further than half a year, and none is left where it is."""
_BLOCK = 64
"""Bytes of a block of SHA-256, to which RFC 2104 fills up the key."""
_WHOSE = {
    "record": "r.extract_id", "line": "r.extract_id",
    "source_key": "r.agency_id || chr(31) || r.feed",
}  # fmt: skip
"""Columns that tell where a row comes from -> SQL of what their values are told apart by."""


@dataclass(frozen=True)
class RecipientKeys:
    """What a recipient's pseudonyms and shifts are made with; nothing can be told of one recipient's by another's."""

    names: bytes
    days: bytes


def recipient_keys(home: Home, recipient: str, *, may_make: bool) -> RecipientKeys:
    """The keys of a recipient, derived from the home's secret (HKDF-SHA256).

    Args:
        home: The home.
        recipient: A party.
        may_make: No release was ever made: then the secret is made where there is none.

    Raises:
        DeclarationError: The secret is not there, is none, or others can read it. No other one is made then, because
            every pseudonym would be another.
    """
    secret = _read_secret(home, may_make=may_make)
    return RecipientKeys(*(_derived(secret, f"kith {use} 1\0{recipient}") for use in ("pseudonym", "shift")))


def _derived(secret: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode()).derive(secret)


def _read_secret(home: Home, *, may_make: bool) -> bytes:
    path = home.keys / SECRET
    if not path.exists() and may_make:
        with written_whole(path) as part:
            part.touch(mode=0o600)
            part.write_text(secrets.token_hex(32), encoding="ascii")
    if not path.is_file():
        raise DeclarationError(
            "the secret for pseudonyms is not there", where=str(path),
            mend="put it back from your copy: with another one no recipient could follow a person any more",
        )  # fmt: skip
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise DeclarationError(
            "the secret for pseudonyms can be read by others", where=str(path), mend=f"chmod 600 {path}"
        )
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise DeclarationError("this is no secret for pseudonyms", where=str(path), mend="put it back from your copy")
    return secret


def attach_keys(con: duckdb.DuckDBPyConnection, keys: RecipientKeys) -> None:
    """Gives a connection the keys, and the table `person_pseudonym`: person_id, pseudonym, days of the shift."""
    for use, key in (("names", keys.names), ("days", keys.days)):
        for part, pad in (("inner", 0x36), ("outer", 0x5C)):
            padded = bytes(byte ^ pad for byte in key.ljust(_BLOCK, b"\0"))
            con.execute(f"SET VARIABLE kith_{use}_{part} = $1", [padded])
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE person_pseudonym AS
        SELECT person_id, {pseudonym_sql("'person'", "person_id")} AS pseudonym, {_days_of("person_id")} AS days
        FROM person
    """)


def _hmac(text: str, use: str) -> str:
    """SQL of the HMAC-SHA256 (RFC 2104) of a text, in hexadecimal digits."""
    inner = f"sha256(getvariable('kith_{use}_inner') || encode({text}))"
    return f"sha256(getvariable('kith_{use}_outer') || unhex({inner}))"


def pseudonym_sql(*identity: str) -> str:
    """SQL of the pseudonym of an identity: what kind of thing, whose, last its own name (SQL each); NULL of NULL."""
    *whose, name = identity
    text = " || chr(31) || ".join([*whose, f"CAST({name} AS VARCHAR)"])
    return f"substr({_hmac(text, 'names')}, 1, {LENGTH})"


def _days_of(identity: str) -> str:
    drawn = f"(('0x' || substr({_hmac(identity, 'days')}, 1, 12))::BIGINT % {2 * FURTHEST})::INTEGER - {FURTHEST}"
    return f"({drawn} + CASE WHEN {drawn} >= 0 THEN 1 ELSE 0 END)"


def treatments(table: str, kinds: Mapping[str, str]) -> Mapping[str, Treat]:
    """How the values of a table are treated, after `attach_keys`.

    Args:
        table: A table of the record.
        kinds: Its columns -> their SQL types.
    """
    days = _shift_of(table)

    def pseudonym(column: str, own: str) -> str:
        if column == "person_id" or column in PERSON_PARTNERS.values():
            return f"(SELECT k.pseudonym FROM person_pseudonym k WHERE k.person_id = {own})"
        return pseudonym_sql(*_identity_of(table, column), own)

    def shifted(column: str, own: str) -> str:
        return f"{own} + {days}" if kinds[column] == "DATE" else f"{own} + to_days({days})"

    return {"pseudonym": pseudonym, "shifted": shifted}


def _identity_of(table: str, column: str) -> tuple[str, ...]:
    """SQL of what kind of thing a column names, and whose; a reference says the latter of itself (agency/table/key)."""
    if column.endswith("_ref"):
        return ("'reference'",)
    if column == "row_id":
        return ("'row'",)
    if column == "extract_id":
        return ("'extract'",)
    if table == "person_source":
        return (literal(column), "r.agency", 'r."table"')
    return (literal(column), _WHOSE.get(column, "r.agency_id"))


def _shift_of(table: str) -> str:
    """SQL of the days by which a row is shifted: those of whom it is about, else of its case or report."""
    named, container = people_of(table)
    if named:
        return f"(SELECT k.days FROM person_pseudonym k WHERE k.person_id = r.{quoted(named[0])})"
    return _days_of(f"r.{quoted(container)}" if container else "'nobody'")
