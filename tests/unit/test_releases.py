"""Releases: a recipient is given what was agreed, whole or not at all, and reads it from its folder alone."""

from __future__ import annotations

import hashlib
import hmac
import json
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from governed import CLASSES, DAY, END, POLICY, PURPOSES, ROWS, START, WHO, World, world
from record_rows import ANA, ANA_CLIENT, BEN, Row, add_order, inputs_of

import releases.release
from demo.governed import EVIDENCE
from governance import draft
from governance.consent_records import Grantor, Scope, record_consent, withdraw_consent
from governance.disclosures import disclosures_of
from governance.load import governance_folder
from record.classes import column_classes
from record.publish import publish
from record.reader import open_record
from releases.index import kept_releases
from releases.reader import Format, Release, open_release
from releases.release import make_release
from standard.errors import BusyError, DeclarationError, ExchangeError, PublishError
from standard.sensitivity import Sensitivity
from store.audit_log import segments
from store.home import Home
from store.ledger import open_ledger
from store.sign import public_key

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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"), sensitivities=EVERY)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("template"), sensitivities=EVERY)


@pytest.fixture
def own(template: World, tmp_path: Path) -> Iterator[World]:
    """A small exchange that a test may change."""
    home = Home(tmp_path / "own")
    shutil.copytree(template.home.root, home.root)
    ledger = open_ledger(home.ledger_file)
    small = replace(template.small, folder=governance_folder(home), keys=home.root / template.small.keys.name)
    yield World(home, ledger, small, open_record(home))
    ledger.close()


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


def test_a_release_holds_what_the_policy_allows_and_says_what_it_is(made: World, tmp_path: Path) -> None:
    given = release(made, into=tmp_path)
    enrolled = rows_of(given, "enrollment")
    assert {row["person_id"] for row in enrolled} == {
        pseudonym(made, "university", "person", p) for p in ("ANA", "BEN")
    }
    assert {row["school_id"] for row in enrolled} == {"7"}
    assert set(enrolled[0]) == {"person_id", "school_id", "entry_date", "agency_id"}
    told = given.manifest
    assert (told["recipient"], told["purpose"], told["agreement"]["id"]) == ("university", "research", "DUL-1")
    assert told["snapshot_id"] == made.record.snapshot_id and told["expires"] == END.isoformat()
    assert told["tables"]["enrollment"]["rows"] == 2 and told["audit_head"]["seq"] >= 1
    assert "| `school_id` | VARCHAR | School number." in given.dictionary
    assert "FERPA-99.33" in (given.folder / "NOTICE.md").read_text("utf-8")
    agreed = (made.small.folder / "agreements" / "DUL-1.yaml").read_text("utf-8")
    assert (given.folder / "agreement.yaml").read_text("utf-8") == agreed
    given.verify(public_key=public_key(made.home.keys))


def test_no_person_id_of_the_record_stands_anywhere_in_a_release(made: World, tmp_path: Path) -> None:
    given = release(made, JOINED, into=tmp_path, minute=1)
    for name in given.tables():
        for row in rows_of(given, name):
            assert not {"ANA", "BEN", "MOM", ANA, BEN} & {str(value) for value in row.values()}, name


def test_names_join_within_a_release_and_last_over_releases_to_the_same_recipient(made: World, tmp_path: Path) -> None:
    first, second = (release(made, JOINED, into=tmp_path / str(n), minute=n) for n in (2, 3))
    people = {row["person_id"] for row in rows_of(first, "person")}
    assert {row["person_id"] for row in rows_of(first, "timeline")} <= people
    assert {row["related_id"] for row in rows_of(first, "relationship")} <= people
    assert {row["perpetrator_id"] for row in rows_of(first, "allegation")} <= people
    reports = {row["report_ref"] for row in rows_of(first, "cw_report")}
    assert reports == {row["report_ref"] for row in rows_of(first, "allegation")}
    events = {row["row_id"] for row in rows_of(first, "timeline") if row["event_type"] == "enrollment"}
    assert events == {row["row_id"] for row in rows_of(first, "enrollment")}
    for name in first.tables():
        assert rows_of(first, name) == rows_of(second, name)


def test_another_recipient_gets_other_names_other_days_and_another_order(own: World, tmp_path: Path) -> None:
    own.small.write("DUL-2", draft.use(
        "DUL-2", disclosers=["hub", "school", "court", "care"], recipient="court", parent="MOU-1", purposes=PURPOSES,
        fields=["*.*"], sensitivities=EVERY, need_to_know="none", evidence=EVIDENCE, effective=START, expires=END,
    ))  # fmt: skip
    other = JOINED.replace("university", "court").replace("DUL-1", "DUL-2").replace("policy: study", "policy: other")
    mine, theirs = release(own, JOINED, into=tmp_path / "a"), release(own, other, into=tmp_path / "b")
    for table, column in (("person", "person_id"), ("cw_report", "report_ref"), ("timeline", "row_id")):
        assert not {r[column] for r in rows_of(mine, table)} & {r[column] for r in rows_of(theirs, table)}
    assert rows_of(mine, "cw_report")[0]["received_on"] != rows_of(theirs, "cw_report")[0]["received_on"]
    for given in (mine, theirs):
        names = [row["person_id"] for row in rows_of(given, "person")]
        assert names == sorted(names), "the record's own order would let two recipients lay their rows side by side"


def test_days_are_shifted_alike_for_all_of_a_person_and_never_left_as_they_were(made: World, tmp_path: Path) -> None:
    given = release(made, JOINED, into=tmp_path, minute=4)
    ana = pseudonym(made, "university", "person", "ANA")
    entered = next(r["entry_date"] for r in rows_of(given, "enrollment") if r["person_id"] == ana)
    alleged = next(r["received_on"] for r in rows_of(given, "allegation") if r["person_id"] == ana)
    assert entered - alleged == date(2025, 9, 1) - date(2025, 3, 3), "intervals hold"
    assert 0 < abs((entered - date(2025, 9, 1)).days) <= 182
    happened = {r["occurred_on"] for r in rows_of(given, "timeline") if r["person_id"] == ana}
    assert {entered, alleged} <= happened, "and hold from table to table"


def test_where_days_are_shifted_no_other_date_goes_out_as_it_is(own: World) -> None:
    with pytest.raises(DeclarationError, match="other dates are shifted") as refused:
        release(own, POLICY.replace("pseudonym}", 'pseudonym, "*.entry_date": shifted}'))
    assert "study.yaml, line" in refused.value.where
    assert in_folder(own.home.root / "releases") == []


def test_the_own_numbers_of_two_agencies_are_two_names(tmp_path: Path) -> None:
    rows = {"enrollment": [*ROWS["enrollment"], {
        "person_ref": ANA_CLIENT, "agency_id": "care", "school_id": "7", "entry_date": date(2025, 9, 3)}]}  # fmt: skip
    of = world(tmp_path, rows)
    given = release(
        of, POLICY.replace('{"*.person_id": pseudonym}', '{"*.person_id": pseudonym, "*.school_id": pseudonym}')
    )
    named = {row["agency_id"]: row["school_id"] for row in rows_of(given, "enrollment")}
    assert named["school"] == pseudonym(of, "university", "school_id", "school", "7")
    assert named["care"] == pseudonym(of, "university", "school_id", "care", "7") != named["school"]


def test_every_column_of_every_table_can_go_out_treated(own: World) -> None:
    classes = column_classes()
    never = {Sensitivity.CONFIDENTIAL_ADDRESS, Sensitivity.REPORTER_IDENTITY}
    direct = Sensitivity.DIRECT_IDENTIFIER
    may = {
        table: [c for c, told in columns.items() if told.sensitivity not in never
                and not (told.sensitivity is direct and told.kind == "other")]
        for table, columns in classes.items()
    }  # fmt: skip
    how = {"id": "pseudonym", "date": "shifted"}
    treated = {f"{t}.{c}": how[classes[t][c].kind] for t, cs in may.items() for c in cs if classes[t][c].kind in how}
    own.small.write("DUL-1", draft.use(
        "DUL-1", disclosers=["hub", "school", "court", "care"], recipient="university", parent="MOU-1",
        purposes=PURPOSES, fields=["*.*"], sensitivities=[s for s in Sensitivity if s not in {*never, direct}],
        need_to_know="none", evidence=EVIDENCE, effective=START, expires=END,
    ))  # fmt: skip
    policy = {**yaml.safe_load(JOINED), "columns": may, "treatments": treated}
    given = release(own, "policy: study\n" + yaml.safe_dump({k: v for k, v in policy.items() if k != "policy"}))
    assert given.tables() == sorted(classes)
    known = {str(value) for name in ("ANA", "BEN", "MOM", ANA, BEN) for value in (name, name.rsplit("/", 1)[-1])}
    for name in given.tables():
        assert given.manifest["tables"][name]["rows"] == given.table(name).to_arrow().num_rows
        for row in rows_of(given, name):
            assert not known & {str(value) for value in row.values()}, name


def test_every_form_holds_the_same_rows_and_no_cell_is_a_formula(tmp_path: Path) -> None:
    odd = ["=1+1", "'=x", "@a", "-7", "", 'a,"b"\nc', "+é", "\t=1"]
    rows = {"enrollment": [{"person_ref": ANA, "school_id": text, "entry_date": date(2025, 9, n + 1)}
                           for n, text in enumerate(odd)]}  # fmt: skip
    of = world(tmp_path, rows)
    forms: tuple[Format, ...] = ("parquet", "csv", "duckdb")
    given = [release(of, minute=n, format_=form) for n, form in enumerate(forms)]
    for name in given[0].tables():
        tables = [each.table(name).to_arrow() for each in given]
        assert tables[0].equals(tables[1]) and tables[0].equals(tables[2]), name
    assert sorted(row["school_id"] for row in rows_of(given[1], "enrollment")) == sorted(odd)
    text = (given[1].folder / "tables" / "enrollment.csv").read_text("utf-8")
    assert not any(f'"{sign}' in text for sign in "=+-@\t\r")
    with given[2].to_duckdb() as con:
        assert con.execute("SELECT count(*) FROM enrollment").fetchall() == [(len(odd),)]


def test_only_its_owner_can_read_any_file_of_a_release(made: World) -> None:
    release(made, minute=5)
    for top in ("releases", "release_index", "disclosures"):
        for path in (made.home.root / top, *(made.home.root / top).rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_small_count_is_left_out_and_never_alone(tmp_path: Path) -> None:
    status = ["open"] * 30 + ["closed"] * 12 + ["suspended"] * 2
    rows = {"enrollment": [{"person_ref": ANA, "school_id": "7", "entry_date": date(2025, 1, 1) + timedelta(n),
                            "status": word, "status_match": "broad"} for n, word in enumerate(status)]}  # fmt: skip
    given = release(world(tmp_path, rows), POLICY.replace("entry_date, agency_id", "entry_date, status, agency_id"))
    book = given.codebook[given.codebook["column"] == "status"].set_index("code")
    assert book.loc["open", "rows"] == 30 and not book.loc["open", "suppressed"]
    assert book.loc[["closed", "suspended"], "suppressed"].all(), "44 - 30 - 12 would tell the small one"
    assert book.loc[["closed", "suspended"], "rows"].isna().all()
    assert book.loc["screened_in", "rows"] == 0 and book.loc["open", "meaning"]
    lost = given.mapping_loss
    assert lost[["agency", "column", "match", "rows"]].values.tolist() == [["school", "status", "broad", 44]]


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
    assert in_folder(tmp_path / "b") == [] and len(kept_releases(own.home)) == 1
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
