"""From the states in force to the published record: project, link, publish, report."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

import expectations
import linkage
import mappings
import record
import standard
from connectors.sources import Secrets
from expectations.restrictions import restricted_references
from flows.governed import governance_lines, versions_of
from flows.lay_out_home import IDENTITY_SECRET
from flows.run import Night
from flows.sealing import INDEX, enforce_seals
from flows.standing import LATE, read_standings, shown_name
from flows.status import all_outdated, older_declarations
from linkage.entities import people_from_entities
from linkage.link import LinkageSettings, link_people
from linkage.quality import linkage_quality
from linkage.register import judgements_in_force, read_judgements
from linkage.relink import adopted_model
from mappings.entities import project_entities
from record.publish import Inputs
from record.publish import publish as publish_record
from record.report import write_report
from record.snapshot import Snapshot, current_snapshot, file_sha256, fingerprint
from record.withhold import entities_to_link, orders_in_force, protected_sql
from standard.errors import DeclarationError
from store.audit_log import Event, checkpoint, intent
from store.home import ENCRYPTED, Home, connect, sql_path, written_whole
from store.ledger import Ledger, person_event
from store.runs import stage_of
from store.state import clear_old_states, states_in_force

PROTECTED = "protected.parquet"
"""Beside the people: the mentions of which two persons must judge (record_id, reason)."""
LINKS_VERSION = "links"
"""The manifest's name for the folder below links/ whose persons a snapshot shows."""
_DONE = "done.json"
"""Written last into a folder of links: with it the folder is whole, and is taken again where nothing changed."""


@dataclass(frozen=True)
class Linked:
    """What a night has to publish."""

    entities: Mapping[str, Path]
    """Entity -> Parquet of all rows in force, nothing withheld."""
    restricted: pa.Table
    """References that a row in force restricts: ref, reason."""
    links: Path
    """Folder of edges, clusters and persons."""


def link(night: Night) -> None:
    """Projects what is in force and links its persons; the same people are not linked twice.

    Raises:
        LinkageError: The people cannot be linked.
    """
    states = _states_in_force(night)
    if not states:
        night.progress("nothing is loaded yet: nothing to link or publish")
        return
    work = clear_work(night.home)
    with stage_of(night.ledger, night.run.run_id, "project") as going:
        entities = project_entities(night.agencies, states, work / "entities")
        if enforce_seals(night, entities, temp=work):
            states = _states_in_force(night)
            entities = project_entities(night.agencies, states, work / "entities")
        restricted = restricted_references(night.agencies, states, as_of=_today(night), temp=work)
        going.rows = len(states)
    with stage_of(night.ledger, night.run.run_id, "link") as going:
        links = _links(night, _people(night, entities, restricted, work))
        facts = _facts(links)
        going.rows = facts["people"]
    night.progress(f"linked {facts['people']:,} mentions into {facts['persons']:,} persons")
    night.linked = Linked(entities, restricted, links)


def _states_in_force(night: Night) -> dict[tuple[str, str], Path]:
    with night.ledger.reading() as connection:
        return states_in_force(connection, night.home)


def _today(night: Night) -> date:
    """The day on which consents and restrictions are judged."""
    return night.now.astimezone(ZoneInfo(night.settings.night.timezone)).date()


def clear_work(home: Home) -> Path:
    """The folder for what is made anew every night, emptied of what a run before left there."""
    work = home.root / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    return work


def _people(night: Night, entities: Mapping[str, Path], restricted: pa.Table, work: Path) -> Path:
    """The people table without anybody who is withheld wholly: linkage must not see them either."""
    orders = orders_in_force(night.ledger)
    with connect(temp=work / ".spill", memory_limit="450MB") as con:
        visible = entities_to_link(con, entities, orders=orders, restricted=restricted)
        people = people_from_entities(con, visible, work / "people.parquet")
        con.sql(protected_sql(people)).write_parquet(sql_path(work / PROTECTED), compression="zstd")
    (work / PROTECTED).chmod(0o600)
    return people


def _links(night: Night, people: Path) -> Path:
    """The folder of links of these people: made before, or made now.

    Its name is derived from all that decides the outcome: the people, judgements, model and code of linkage, and the
    ids known before. Where all but these are those of the record's own links, they stand as they are.
    """
    known = links_of_the_record(night.home)
    settings = LinkageSettings(model=model_of_home(night.home, night.ledger, known))
    judgements = judgements_in_force(read_judgements(night.ledger))
    decides = (
        file_sha256(people), file_sha256(people.with_name(PROTECTED)), fingerprint(Path(linkage.__path__[0])),
        settings.model_dump_json(), json.dumps(judgements.to_pylist()),
    )  # fmt: skip
    made_of = hashlib.sha256(" ".join(decides).encode()).hexdigest()[:20]
    if known and _read(known / _DONE)["made_of"] == made_of:
        return known
    links = night.home.links / (f"{made_of}-{known.name[:20]}" if known else made_of)
    if not (links / _DONE).exists():
        _link(night, people, links, known=known, made_of=made_of, settings=settings, judgements=judgements)
    return links


def links_of_the_record(home: Home) -> Path | None:
    """The folder of the links (people, edges, clusters, persons) that the snapshot in force shows."""
    snapshot = current_snapshot(home)
    return home.links / snapshot.manifest["versions"][LINKS_VERSION] if snapshot else None


def _link(
    night: Night, people: Path, links: Path, *, known: Path | None, made_of: str, settings: LinkageSettings,
    judgements: pa.Table,
) -> None:  # fmt: skip
    with night.ledger.reading() as connection:
        spent = set(connection.execute(sa.select(person_event.c.person_id)).scalars())
    shutil.rmtree(links, ignore_errors=True)
    link_people(
        people, links, secret=read_identity_secret(night.home), settings=settings,
        known=known / "persons.parquet" if known else None, spent=spent, judgements=judgements,
        # What is kept between runs is looked into by memory maps, which an encrypted file cannot give.
        index=None if night.home.root in ENCRYPTED else night.home.links / INDEX,
    )  # fmt: skip
    for name in (people.name, PROTECTED):
        people.with_name(name).replace(links / name)
    with written_whole(links / _DONE) as part:
        part.write_text(json.dumps({"made_of": made_of}), "utf-8")


def settings_of(links: Path) -> LinkageSettings:
    """The settings by which a folder of links was made."""
    said = _facts(links)["settings"]
    return LinkageSettings(**{name: value for name, value in said.items() if name in LinkageSettings.model_fields})


def model_of_home(home: Home, ledger: Ledger, known: Path | None) -> str:
    """The linkage model of a home: the one adopted last, else that of the record's links, else the release's own.

    A release with another model changes no person by itself; `kith relink` does, when somebody has seen what changes.
    """
    adopted = adopted_model(ledger)
    if adopted is None:
        return (settings_of(known) if known else LinkageSettings()).model
    return str(home.root / adopted) if adopted.endswith(".json") else adopted


def read_identity_secret(home: Home) -> bytes:
    """The home's secret for person ids.

    Raises:
        DeclarationError: It is not there; no other is made, because every person would get another id.
    """
    path = home.keys / IDENTITY_SECRET
    if not path.is_file():
        raise DeclarationError(
            "the secret for person ids is not there", where=str(path), mend="put it back from your copy: kith doctor"
        )
    return path.read_bytes().strip()


def _read(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return said


def _facts(links: Path) -> dict[str, Any]:
    return _read(links / "linkage.json")


def publish(night: Night) -> None:
    """Publishes the snapshot.

    Raises:
        PublishError: A younger run holds the fence, or the tables cannot be made.
        AccountError: The accounts of an extract do not hold.
    """
    linked = night.linked
    if linked is None:
        return
    event = Event("publish", night.run.run_id, "exchange", role="exchange")
    with stage_of(night.ledger, night.run.run_id, "publish") as going, intent(night.home, event) as told:
        snapshot = publish_record(
            night.home, night.ledger, _inputs(night, linked), run_id=night.run.run_id, fence=night.run.fence
        )
        going.rows = sum(table["rows"] for table in snapshot.manifest["tables"].values())
        told.object, told.counts["rows"] = snapshot.snapshot_id, going.rows
        told.decision = "published" if snapshot.is_new else "unchanged"
    checkpoint(night.home)
    night.snapshot_id, night.published = snapshot.snapshot_id, snapshot.is_new
    verb = "published" if snapshot.is_new else "nothing changed; in force is"
    night.progress(f"{verb} snapshot {snapshot.snapshot_id}: {going.rows:,} rows")
    _keep_links_of_the_record(night.home)
    with night.ledger.reading() as connection:
        clear_old_states(connection, night.home)
    _pass_on(night, snapshot)
    shutil.rmtree(night.home.root / "work")


def report(night: Night) -> None:
    """Writes the page of the run, whether it published or not."""
    known = links_of_the_record(night.home)
    with night.ledger.reading() as connection:
        standings = read_standings(connection, night.agencies, night.now)
    with stage_of(night.ledger, night.run.run_id, "report"):
        night.report = write_report(
            night.home, night.ledger, run_id=night.run.run_id,
            late={(each.agency, each.feed): each.late for each in standings},
            stands={(each.agency, each.feed): [kind for kind in each.kinds if kind != LATE] for each in standings},
            names={name: agency.name for name, agency in night.agencies.items()},
            links=known if known and known.is_dir() else None,
            failures={failure.agency or failure.stage: failure.error for failure in night.failures},
            notes=_to_do(night), shown=partial(shown_name, night.agencies),
        )  # fmt: skip


def _to_do(night: Night) -> list[str]:
    """What the operators are told besides."""
    older = all_outdated(night.ledger, night.agencies)
    for said in (notes := [older_declarations(older)] if older else []):
        night.progress(said)
    governed = governance_lines(night.home, night.settings, night.agencies, now=night.now)
    return [*notes, f"Governance is {'; '.join(governed)}"]


def _pass_on(night: Night, snapshot: Snapshot) -> None:
    """Brings the snapshot to the database of exchange.yaml, too; what a failure kept from it before is made up for."""
    target = night.settings.publish_to
    if target is None:
        return
    from record.postgres import SCHEMA, publish_to_postgres

    url = Secrets(night.home.keys).url(target.url).get_secret_value()
    with stage_of(night.ledger, night.run.run_id, "pass on"):
        publish_to_postgres(snapshot, url, schema=target.schema_name or SCHEMA)


def _inputs(night: Night, linked: Linked) -> Inputs:
    # What stands in the record already has told its events.
    told = linked.links == links_of_the_record(night.home)
    return Inputs(
        entities=linked.entities,
        persons=linked.links / "persons.parquet",
        restricted=linked.restricted,
        as_of=_today(night),
        versions=_versions(night, linked),
        quality=linkage_quality(linked.links, night.ledger, read_judgements(night.ledger)),
        person_events=None if told else linked.links / "events.parquet",
        cause=f"links {linked.links.name}",
    )


def _versions(night: Night, linked: Linked) -> dict[str, str]:
    code = [Path(package.__path__[0]) for package in (standard, mappings, expectations, linkage, record)]
    declared = {f"agency {name}": fingerprint(agency.folder) for name, agency in night.agencies.items()}
    model = _facts(linked.links)["settings"]["model"]
    return {
        "code": fingerprint(*code),
        "model": model,
        LINKS_VERSION: linked.links.name,
        **declared,
        **versions_of(night),
    }


def _keep_links_of_the_record(home: Home) -> None:
    """Removes the links of earlier snapshots: they hold names, and nobody reads them any more."""
    kept = links_of_the_record(home)
    for folder in home.links.iterdir():
        if folder != kept and folder.name != INDEX:
            shutil.rmtree(folder)
