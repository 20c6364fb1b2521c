"""Destroy what came by an agreement that has ended: its agencies' keys and files, and all snapshots that show them."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flows.ended_releases import destroy_released, releases_with, remove_copies
from flows.governed import day_of
from flows.publishing import clear_work, link, publish
from flows.run import Night, open_night
from governance.load import governance_folder, load_governance
from governance.retention import Due, begun_file, require_due, write_certificate
from record.snapshot import MANIFEST, current_id, snapshot_folder
from releases.index import folder_in_home, forget_agencies, index_folder, kept_release
from standard.errors import ExchangeError
from store.audit_entry import Event
from store.audit_log import intent, operator
from store.encryption import is_encrypted, key_id_of
from store.encryption_home import open_to_read, open_to_write
from store.home import ENCRYPTED, Home, sync, written_whole
from store.keys import RECORD, DataKeys, agency_scope
from store.landing import Landing
from store.ledger import Ledger, code_pending, extract, received, sighting

log = logging.getLogger(__name__)


def destroy(home: Home, agreement: str, *, now: datetime, progress: Callable[[str], None] = log.info) -> dict[str, Any]:
    """Destroys what came by a sharing agreement; begun and killed, it goes on where it stood.

    By a DUL only what is here of its releases (`flows.ended_releases`). By a sharing agreement first the rows go out of
    the record: a snapshot without them is published, all earlier ones lose their tables. Then the files, and copies of
    releases in the home, are removed and the keys destroyed, that of each agency and those by which anything of several
    agencies was encrypted before. The ledger keeps counts and hashes.

    Args:
        home: The home.
        agreement: Its id.
        now: The moment at which it must have ended.
        progress: Told one line at every step.

    Returns:
        What was destroyed, as the certificate will tell it.

    Raises:
        DeclarationError: It has not ended, a legal hold keeps the data back, or the home is not encrypted although the
            agreement asks for the destruction of keys.
        ExchangeError: The record could not be published without the rows; no key was destroyed yet.
    """
    with open_night(home, now=now, agencies=(), progress=progress) as night:
        governance = load_governance(governance_folder(home), night.agencies)
        found = require_due(home, governance, agreement, day_of(night.settings, now))
        if found.kind == "DUL":
            return destroy_released(home, found)
        keys = _keys(home, found)
        event = Event("retention.destroy", agreement, operator(), agreement=agreement, reason=found.method)
        with intent(home, event) as going:
            begun = _begin(night, found, keys, governance.filed[agreement].signed.sha256)
            going.counts |= {"files": len(begun["files"]), "rows": begun["rows_received"]}
            _take_out_of_force(night.ledger, found.parties)
            begun["snapshot"] = _publish_without(night)
            _remove_files(home, night.ledger, found.parties)
            remove_copies(home, [kept_release(home, each) for each in begun["releases"]])
            forget_agencies(home, found.parties)
            _destroy_keys(home, keys, begun)
            _write(begun_file(home, agreement), begun)
    return begun


def _keys(home: Home, found: Due) -> DataKeys | None:
    keys = ENCRYPTED.get(home.root)
    if keys is None and found.method == "crypto_shred":
        raise ExchangeError(
            f"{found.agreement} asks for the destruction of keys, and this home is not encrypted: copies stay readable",
            where=str(home.settings_file),
            mend="encrypt it (encryption: required), or agree on `method: delete` and destroy every copy by hand",
        )
    return keys


def _begin(night: Night, found: Due, keys: DataKeys | None, sha256: str) -> dict[str, Any]:
    """Notes what is there, once, before anything is touched."""
    path = begun_file(night.home, found.agreement)
    if path.is_file():
        begun: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return begun
    home, ledger = night.home, night.ledger
    scopes = {agency_scope(agency) for agency in found.parties}
    retired = keys.retire(RECORD) if keys else []
    own = [key.key_id for key in keys.all() if key.scope in scopes] if keys else []
    released = {kept.release_id: folder_in_home(home, kept).is_dir() for kept in releases_with(home, found.parties)}
    files = [_listed(path, home) for path in files_of(home, ledger, found.parties)]
    began = {
        **asdict(found), "agreement_sha256": sha256, "began_at": night.now.isoformat(), "by": operator(),
        "keys": sorted(own), "record_keys": sorted(retired), "files": files, **_counts(ledger, found.parties),
        "snapshots": _withdrawable(home), "releases": [name for name, here in released.items() if here],
        "released_elsewhere": [name for name, here in released.items() if not here],
    }  # fmt: skip
    _write(path, began)
    return began


def _listed(path: Path, home: Home) -> dict[str, Any]:
    """A file as it is stored: what a copy of it can be known by."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "bytes": path.stat().st_size, "area": path.relative_to(home.root).parts[0]}


def _write(path: Path, content: dict[str, Any]) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(content, indent=1, default=str), "utf-8")


def _counts(ledger: Ledger, agencies: tuple[str, ...]) -> dict[str, int]:
    of_agencies = extract.c.agency.in_(agencies)
    with ledger.reading() as connection:
        extracts = connection.execute(sa.select(sa.func.count()).select_from(extract).where(of_agencies)).scalar_one()
        rows = connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(received.c.rows), 0))
            .join(extract, extract.c.extract_id == received.c.extract_id).where(of_agencies)
        ).scalar_one()  # fmt: skip
    return {"extracts": int(extracts), "rows_received": int(rows)}


def files_of(home: Home, ledger: Ledger, agencies: tuple[str, ...]) -> Iterator[Path]:
    """Every file that holds rows of some agencies alone."""
    with ledger.reading() as connection:
        found = connection.execute(sa.select(extract.c.extract_id, extract.c.agency, extract.c.sha256)).all()
    mine = [row for row in found if row.agency in agencies]
    shared = {row.sha256 for row in found} - {row.sha256 for row in mine}
    folders = [home.root / area / agency for area in ("landing", "state", "remap", "outbound") for agency in agencies]
    folders += [home.batches / row.extract_id for row in mine]
    common = {Landing(home.landing).path_of(row.sha256) for row in mine if row.sha256 not in shared}
    yield from sorted(path for path in common if path.is_file())
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _withdrawable(home: Home) -> list[str]:
    """The snapshots that still have tables."""
    return sorted({path.parent.name for path in (home.record / "snapshots").glob("*/*.parquet")})


def _take_out_of_force(ledger: Ledger, agencies: tuple[str, ...]) -> None:
    """From here on no row of the agencies is in force; what the ledger keeps of them is counts and hashes."""
    with ledger.writing() as connection:
        connection.execute(
            extract.update().where(extract.c.agency.in_(agencies)).values(state_path=None, watermark=None)
        )
        connection.execute(code_pending.delete().where(code_pending.c.agency.in_(agencies)))
        connection.execute(sighting.delete().where(sighting.c.agency.in_(agencies)))


def _publish_without(night: Night) -> str | None:
    """Publishes the record of what is left, takes the tables of all other snapshots away, and gives the id."""
    link(night)
    if night.linked is not None:
        publish(night)
    kept = current_id(night.home) if night.linked is not None else None
    for snapshot_id in _withdrawable(night.home):
        if snapshot_id != kept:
            for path in snapshot_folder(night.home, snapshot_id).iterdir():
                if path.name != MANIFEST:
                    path.unlink()
    if kept is None:
        shutil.rmtree(night.home.links, ignore_errors=True)
        night.home.links.mkdir(mode=0o700)
    clear_work(night.home).rmdir()
    return kept


def _remove_files(home: Home, ledger: Ledger, agencies: tuple[str, ...]) -> None:
    for path in files_of(home, ledger, agencies):
        path.unlink()
    for area in ("landing", "state", "remap", "outbound"):
        for agency in agencies:
            shutil.rmtree(home.root / area / agency, ignore_errors=True)
        if (home.root / area).is_dir():
            sync(home.root / area)


def _destroy_keys(home: Home, keys: DataKeys | None, begun: dict[str, Any]) -> None:
    if keys is None:
        return
    retired = set(begun["record_keys"])
    for path in (p for area in (home.links, home.record, index_folder(home)) for p in area.rglob("*") if p.is_file()):
        if is_encrypted(path) and key_id_of(path) in retired:
            _encrypt_anew(path)
    gone = {key.key_id for key in keys.destroyed()}
    keys.destroy((retired | set(begun["keys"])) - gone)


def _encrypt_anew(path: Path) -> None:
    """What stays of the record goes over to its new key."""
    with open_to_read(path) as plain, written_whole(path) as part, open_to_write(path, at=part) as sealed:
        shutil.copyfileobj(plain, sealed, 1 << 20)


def certify(home: Home, ledger: Ledger, agreement: str, *, today: date) -> Path:
    """Looks whether all is gone, and signs the certificate that says so.

    Raises:
        ExchangeError: Nothing was destroyed yet, or something is still there.
    """
    path = begun_file(home, agreement)
    if not path.is_file():
        raise ExchangeError(f"nothing of {agreement} was destroyed", where=str(path), mend="kith retention run")
    begun = json.loads(path.read_text("utf-8"))
    _require_gone(home, ledger, begun)
    listed = {name: begun[name] for name in _CERTIFIED}
    copies = "destroyed with their keys" if begun["keys"] else "not reached: the home was not encrypted"
    with intent(home, Event("retention.certify", agreement, operator(), agreement=agreement)) as going:
        going.counts["files"] = len(begun["files"])
        made = write_certificate(home, agreement, {**listed, "certified_on": today.isoformat(), "copies": copies})
        path.unlink()
    return made


_CERTIFIED = ("agreement", "agreement_sha256", "parties", "ended_on", "destroy_by", "method", "began_at", "by", "keys",
              "record_keys", "files", "extracts", "rows_received", "snapshots", "snapshot",
              "releases", "released_elsewhere")  # fmt: skip


def _require_gone(home: Home, ledger: Ledger, begun: dict[str, Any]) -> None:
    left = list(files_of(home, ledger, tuple(begun["parties"])))
    tables = [
        snapshot for snapshot in _withdrawable(home) if snapshot in begun["snapshots"] and snapshot != begun["snapshot"]
    ]
    releases = [path for each in begun["releases"] if (path := folder_in_home(home, kept_release(home, each))).is_dir()]
    keys = ENCRYPTED.get(home.root)
    there = {key.key_id for key in keys.all()} & {*begun["keys"], *begun["record_keys"]} if keys else set()
    masters = keys.masters_left() if keys else []
    for what, where, mend in (
        (left and f"{len(left)} files are still there", str(left[0]) if left else "", "kith retention run"),
        (tables and "snapshots made with the rows still have their tables", str(home.record), "kith retention run"),
        (releases and "releases of its rows are still there", str(home.root / "releases"), "kith retention run"),
        (there and "data keys are still there", str(home.keys / "data"), "kith retention run"),
        (masters and "the master key of before is still there", "key_provider", "take it away, and destroy its copies"),
    ):
        if what:
            raise ExchangeError(f"no certificate yet: {what}", where=where, mend=mend)
