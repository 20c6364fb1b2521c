"""Releases are made whole or not at all, refused with what, where and how to mend, and taken back where need be."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from governed import DAY, END, POLICY, ROWS, START, WHO, World, world
from record_rows import ANA, add_order, inputs_of
from released import AT, EVERY, JOINED, copied, in_folder, log_of, pseudonym, release, rows_of

import releases.release
from governance.consent_records import Grantor, Scope, record_consent, withdraw_consent
from governance.disclosures import disclosures_of
from record.publish import publish
from record.reader import open_record
from releases.index import kept_releases
from releases.reader import open_release
from releases.release import make_release
from standard.errors import BusyError, DeclarationError, ExchangeError, PublishError
from standard.sensitivity import Sensitivity
from store.sign import public_key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"), sensitivities=EVERY)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("template"), sensitivities=EVERY)


@pytest.fixture
def own(template: World, tmp_path: Path) -> Iterator[World]:
    """A small exchange that a test may change."""
    own = copied(template, tmp_path / "own")
    yield own
    own.ledger.close()


def _unsigned(of: World) -> None:
    of.small.edit("DUL-1", "Use of the record", "Any use of the record", signed=False)


def _expired(of: World) -> None:
    of.small.edit("DUL-1", f"expires: {END}", f"expires: {DAY - timedelta(1)}")


def _unknown_field(of: World) -> None:
    path = of.small.folder / "policies" / "study.yaml"
    path.write_text(path.read_text("utf-8").replace("school_id", "schol_id"), "utf-8")


def _wider(of: World) -> None:
    of.small.edit("DUL-1", "- '*.*'", "- enrollment.*")


def _unknown_recipient(of: World) -> None:
    path = of.small.folder / "policies" / "study.yaml"
    path.write_text(path.read_text("utf-8").replace("university", "nobody"), "utf-8")


def _in_breach(of: World) -> None:
    path = of.small.folder / "parties.yaml"
    path.write_text(
        path.read_text("utf-8").replace("name: University", "name: University\n    in_breach: true"), "utf-8"
    )


def _tampered(of: World) -> None:
    path = of.small.folder / "parties.yaml"
    path.write_text(path.read_text("utf-8") + "surplus: 1\n", "utf-8")


def _no_key(of: World) -> None:
    (of.home.keys / "pseudonyms").unlink()


def _no_key_and_no_index(of: World) -> None:
    _no_key(of)
    shutil.rmtree(of.home.root / "release_index")


def _open_key(of: World) -> None:
    (of.home.keys / "pseudonyms").chmod(0o644)


@pytest.mark.parametrize(
    ("spoil", "what", "where"),
    [
        (_unsigned, "DUL-1 is not in force: .*altered since", "DUL-1.yaml"),
        (_expired, "DUL-1 is not in force: expired", "DUL-1.yaml"),
        (_unknown_field, "enrollment has no column 'schol_id'", "study.yaml, line"),
        (_wider, "DUL-1 does not allow allegation", "study.yaml, line"),
        (_unknown_recipient, "no party is called 'nobody'", "study.yaml, line"),
        (_in_breach, "university is in breach", "parties.yaml"),
        (_tampered, "surplus", "parties.yaml, line"),
        (_no_key, "the secret for pseudonyms is not there", "keys/pseudonyms"),
        (_no_key_and_no_index, "the secret for pseudonyms is not there", "keys/pseudonyms"),
        (_open_key, "can be read by others", "keys/pseudonyms"),
    ],
)
def test_what_may_not_go_out_is_refused_with_what_where_and_how_to_mend(
    own: World, tmp_path: Path, spoil: Any, what: str, where: str
) -> None:
    release(own, into=tmp_path / "first")
    spoil(own)
    with pytest.raises(ExchangeError, match=what) as refused:
        make_release(
            own.home, own.ledger, own.small.load(), "study", at=AT + timedelta(1), day=DAY, into=tmp_path / "b"
        )
    assert where in refused.value.where and refused.value.mend
    assert in_folder(tmp_path / "b") == [] and len(kept_releases(own.home)) <= 1
    if spoil is not _tampered:  # that is refused already where the governance folder is read
        assert log_of(own)[-1]["decision"] == "refused" and log_of(own)[-1]["action"] == "release"


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path) -> None:
    names = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(20_000)]
    many = [{"person_ref": ANA, "school_id": name, "entry_date": date(2025, 9, 1)} for name in names]
    of = world(tmp_path / "home", {"enrollment": many})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    try:
        with pytest.raises(PublishError, match="cannot be written") as refused:
            release(of, into=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.__cause__ is None and names[0] not in str(refused.value)
    assert in_folder(tmp_path / "out") == [] and kept_releases(of.home) == []
    assert (log_of(of)[-1]["action"], log_of(of)[-1]["decision"]) == ("release", "failed")
    assert len(rows_of(release(of, into=tmp_path / "out", minute=1), "enrollment")) == 20_000


_KILLED = """
import os, sys
sys.path[:0] = {path!r}
from datetime import UTC, date, datetime
from pathlib import Path
import releases.release as r
from governed import SECTORS, Small, agency
from store.home import Home
from store.ledger import open_ledger

setattr(r, {step!r}, lambda *a, **k: os._exit(9))
home = Home(Path({home!r}))
small = Small(home.root / "governance", home.root / "officers", {{n: agency(n, s) for n, s in SECTORS.items()}})
r.make_release(home, open_ledger(home.ledger_file), small.load(), "study", at=datetime(2026, 3, 30, 9, tzinfo=UTC),
               day=date(2026, 3, 30), into=Path({into!r}))
"""


@pytest.mark.parametrize("step", ["write_index", "record_disclosures", "note_given"])
def test_a_kill_leaves_a_release_whole_or_not_at_all(own: World, tmp_path: Path, step: str) -> None:
    own.small.policy(POLICY)
    into = tmp_path / "out"
    code = _KILLED.format(step=step, home=str(own.home.root), into=str(into), path=sys.path)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    seen = [name for name in in_folder(into) if not name.startswith(".")]
    assert len(seen) == (step == "note_given")
    for name in seen:
        open_release(into / name, today=DAY).verify()
    given = release(own, into=into, minute=90)
    assert given.manifest["parent"] == (seen[0] if seen else None)
    assert in_folder(into) == sorted([*seen, given.release_id]), "what the kill left is gone"


def test_one_release_is_made_at_a_time(own: World) -> None:
    with releases.release._one_at_a_time(own.home), pytest.raises(BusyError):
        release(own)


def test_an_order_that_comes_meanwhile_stops_the_release(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write = releases.release.write_index  # type: ignore[attr-defined]

    def order_comes(*given: Any) -> Any:
        add_order(own.ledger, ANA)
        return write(*given)

    monkeypatch.setattr(releases.release, "write_index", order_comes)
    with pytest.raises(PublishError, match="an order of a court came"):
        release(own)
    assert in_folder(own.home.root / "releases" / "university") == []


def test_a_consent_taken_back_meanwhile_stops_the_release(
    own: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paper = tmp_path / "form.pdf"
    paper.write_bytes(b"signed")
    parties, write = own.small.load().parties, releases.release.write_index  # type: ignore[attr-defined]
    consent = record_consent(
        own.ledger, parties, Scope(ANA, ("university",), ("research",), (Sensitivity.EDUCATION,)), granted=True,
        grantor=Grantor.PARENT, authority="form", document=paper, since=START, until=END, by="school_officer",
    )  # fmt: skip

    def withdrawn(*given: Any) -> Any:
        withdraw_consent(own.ledger, parties, consent, on=DAY, by="school_officer")
        return write(*given)

    monkeypatch.setattr(releases.release, "write_index", withdrawn)
    with pytest.raises(PublishError, match="a consent came while"):
        release(own)
    assert in_folder(own.home.root / "releases" / "university") == []


def test_a_release_can_be_read_until_its_agreement_ends(made: World, tmp_path: Path) -> None:
    given = release(made, into=tmp_path, minute=6)
    assert open_release(given.folder, today=END).release_id == given.release_id
    with pytest.raises(PublishError, match="ended on 2026-12-31") as refused:
        open_release(given.folder, today=END + timedelta(1))
    assert "destroy it by 2027-02-14" in refused.value.mend


def test_a_changed_release_is_not_opened_or_does_not_verify(made: World, tmp_path: Path) -> None:
    given = release(made, into=tmp_path, minute=7, format_="csv")
    path = given.folder / "tables" / "enrollment.csv"
    was = path.read_text("utf-8")
    path.write_text(was.replace('"7"', '"8"'), "utf-8")
    with pytest.raises(PublishError, match=r"enrollment\.csv is not as it was released"):
        open_release(given.folder, today=DAY).verify()
    path.write_text(was + "x", "utf-8")
    with pytest.raises(PublishError, match="missing or is not as it was"):
        open_release(given.folder, today=DAY)
    path.write_text(was, "utf-8")
    manifest = given.folder / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace("2026-12-31", "2036-12-31"), "utf-8")
    with pytest.raises(PublishError, match="not what the exchange signed"):
        open_release(given.folder, today=DAY).verify(public_key=public_key(made.home.keys))


def test_a_manifest_cannot_point_out_of_its_folder(made: World, tmp_path: Path) -> None:
    given = release(made, into=tmp_path, minute=8)
    manifest = given.folder / "manifest.json"
    told = json.loads(manifest.read_text("utf-8"))
    told["files"]["../../other"] = {"sha256": "", "size": 0}
    (given.folder.parent.parent / "other").touch()
    manifest.write_text(json.dumps(told), "utf-8")
    with pytest.raises(PublishError, match="missing or is not as it was"):
        open_release(given.folder, today=DAY)


def test_who_took_back_a_consent_is_gone_and_the_recipient_is_told(own: World, tmp_path: Path) -> None:
    form = tmp_path / "form.pdf"
    form.write_bytes(b"signed")
    scope = Scope(ANA, ("university",), ("research",), (Sensitivity.EDUCATION,))
    parties = own.small.load().parties
    consent = record_consent(own.ledger, parties, scope, granted=True, grantor=Grantor.PARENT, authority="form",
                             document=form, since=START, until=END, by="school_officer")  # fmt: skip
    assert rows_of(release(own), "enrollment").__len__() == 2
    withdraw_consent(own.ledger, parties, consent, on=DAY, by="school_officer")
    given = release(own, minute=1)
    ana, ben = (pseudonym(own, "university", "person", name) for name in ("ANA", "BEN"))
    assert [row["person_id"] for row in rows_of(given, "enrollment")] == [ben]
    told = given.retractions[["table", "person", "rows", "cause"]].values.tolist()
    assert told == [["enrollment", ana, 1, "consent"]]
    assert len(release(own, minute=2).retractions) == 0, "it is told once"


def test_who_is_sealed_is_told_as_if_the_agency_had_deleted_it(own: World) -> None:
    release(own, JOINED)
    add_order(own.ledger, ANA)
    given = release(own, JOINED, minute=1)
    assert set(given.retractions["cause"]) == {"deleted"}
    publish(own.home, own.ledger, inputs_of(own.home.root / "again", ROWS, WHO), run_id="run-1", fence=1)
    assert "sealed" not in (given.folder / "retractions.csv").read_text("utf-8")


def test_involvement_is_told_in_full_or_that_there_is_one_or_not_at_all(tmp_path: Path) -> None:
    twice = [
        *ROWS["involvement"],
        {"person_ref": ANA, "role": "other", "status": "open", "opened_on": date(2024, 1, 1)},
    ]
    of = world(tmp_path, {"involvement": twice})
    full = POLICY.replace("  enrollment: [person_id, school_id, entry_date, agency_id]\n",
                          "  involvement: [person_id, agency_id, role]\n")  # fmt: skip
    assert len(rows_of(release(of, full), "involvement")) == 4
    bare = full.replace(", role]", "]") + "involvement: existence\n"
    known = rows_of(release(of, bare, minute=1), "involvement")
    assert len(known) == 3 and set(known[0]) == {"person_id", "agency_id"}
    with pytest.raises(DeclarationError, match=r"involvement is existence, and involvement\.role tells more"):
        release(of, full + "involvement: existence\n", minute=2)
    with pytest.raises(DeclarationError, match=r"involvement is hidden, and involvement\.person_id tells more"):
        release(of, bare.replace("existence", "hidden"), minute=3)


def test_a_disclosure_of_everybody_whom_a_row_names_is_on_record(own: World) -> None:
    given = release(own, JOINED)
    told = disclosures_of(own.home, own.ledger, ["MOM"]).to_pylist()
    assert {(row["release_id"], row["table_name"]) for row in told} >= {(given.release_id, "relationship")}


def test_the_record_is_opened_once_and_a_newer_snapshot_does_not_mix_in(own: World) -> None:
    first = release(own)
    publish(own.home, own.ledger, inputs_of(own.home.root / "b", {**ROWS, "enrollment": ROWS["enrollment"][:1]}, WHO),
            run_id="run-1", fence=1)  # fmt: skip
    second = release(own, minute=1)
    assert second.manifest["snapshot_id"] == open_record(own.home).snapshot_id != first.manifest["snapshot_id"]
    assert second.manifest["parent"] == first.release_id and len(rows_of(second, "enrollment")) == 1
