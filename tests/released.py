"""Releases of the small governed exchange, for tests: made, read, and named by the book."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from governed import CLASSES, DAY, POLICY, World
from record_rows import Row

from governance.load import governance_folder
from record.reader import open_record
from releases.reader import Format, Release
from releases.release import make_release
from standard.sensitivity import Sensitivity
from store.audit_log import segments
from store.home import Home
from store.ledger import open_ledger

AT = datetime(2026, 3, 30, 8, 0, tzinfo=UTC)
JOINED = """\
policy: study
recipient: university
purpose: research
agreement: DUL-1
columns:
  person: [person_id, agencies]
  enrollment: [person_id, school_id, entry_date, status, agency_id, row_id]
  allegation: [person_id, perpetrator_id, report_ref, type, received_on]
  cw_report: [report_ref, received_on]
  relationship: [person_id, related_id, type]
  timeline: [person_id, event_type, occurred_on, row_id]
treatments: {"*.person_id": pseudonym, "*.perpetrator_id": pseudonym, "*.related_id": pseudonym, "*.row_id": pseudonym,
             "*.report_ref": pseudonym, "*.received_on": shifted, "*.occurred_on": shifted, "*.entry_date": shifted}
rows: {age_bands: [minor, adult, unknown], need_to_know: none}
"""
EVERY = [*CLASSES, Sensitivity.HEALTH]


def copied(template: World, root: Path) -> World:
    """A small exchange that a test may change."""
    home = Home(root)
    shutil.copytree(template.home.root, home.root)
    ledger = open_ledger(home.ledger_file)
    small = replace(template.small, folder=governance_folder(home), keys=home.root / template.small.keys.name)
    return World(home, ledger, small, open_record(home))


def release(
    of: World, policy: str = POLICY, *, minute: int = 0, format_: Format = "parquet", into: Path | None = None,
    day: date = DAY,
) -> Release:  # fmt: skip
    name = policy.split("\n", 1)[0].removeprefix("policy: ")
    of.small.policy(policy, name)
    return make_release(of.home, of.ledger, of.small.load(), name, at=AT + timedelta(minutes=minute), day=day,
                        into=into, format_=format_)  # fmt: skip


def rows_of(given: Release, table: str) -> list[Row]:
    rows: list[Row] = given.table(table).to_arrow().to_pylist()
    return rows


def log_of(of: World) -> list[dict[str, Any]]:
    return [json.loads(line) for path in segments(of.home) for line in path.read_text("utf-8").splitlines()]


def in_folder(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def pseudonym(of: World, recipient: str, *identity: str) -> str:
    """A pseudonym by the book (RFC 2104, RFC 5869), apart from what makes them."""
    secret = bytes.fromhex((of.home.keys / "pseudonyms").read_text("ascii"))
    key = HKDF(SHA256(), 32, None, f"kith pseudonym 1\0{recipient}".encode()).derive(secret)
    return hmac.new(key, "\x1f".join(identity).encode(), hashlib.sha256).hexdigest()[:32]
