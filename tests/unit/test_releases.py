"""Releases: a recipient is given what was agreed, under names of its own, and reads it from its folder alone."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from governed import END, POLICY, PURPOSES, ROWS, START, World, world
from record_rows import ANA, ANA_CLIENT, BEN
from released import EVERY, JOINED, copied, in_folder, pseudonym, release, rows_of

from demo.governed import EVIDENCE
from governance import draft
from record.classes import column_classes
from releases.reader import Format
from standard.errors import DeclarationError
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


@pytest.mark.parametrize(
    ("enrollment", "treatments"),
    [
        ("entry_date", '"*.entry_date": shifted'),
        ("entry_date", '"*.entry_date": shifted, "*.received_on": month'),
        ("entry_date", '"*.entry_date": shifted, "*.received_on": year'),
        ("entry_date, as_of", '"*.entry_date": shifted, "*.received_on": shifted, "*.as_of": shifted'),
        ("entry_date, as_of", '"*.entry_date": shifted, "*.received_on": shifted, "*.as_of": month'),
    ],
)
def test_where_days_are_shifted_nothing_that_tells_by_how_much_goes_out(
    own: World, enrollment: str, treatments: str
) -> None:
    with pytest.raises(DeclarationError, match=r"other dates are shifted|is the day of a delivery") as refused:
        release(own, POLICY.replace("entry_date", enrollment).replace("pseudonym}", f"pseudonym, {treatments}}}"))
    assert "study.yaml, line" in refused.value.where
    assert in_folder(own.home.root / "releases") == []


def test_the_year_of_a_birth_stands_beside_shifted_days(tmp_path: Path) -> None:
    rows = {"person_demographic": [{"person_ref": ANA, "birth_date": date(2010, 6, 1)}]}
    born = "person_demographic: [person_id, birth_date]\n  enrollment:"
    treated = 'pseudonym, "*.birth_date": year, "*.entry_date": shifted, "*.received_on": shifted}'
    given = release(world(tmp_path, rows), POLICY.replace("enrollment:", born).replace("pseudonym}", treated))
    assert {row["birth_date"] for row in rows_of(given, "person_demographic")} == {date(2010, 1, 1)}


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
    treated = {f"{t}.{c}": "year" if c == "as_of" else how[classes[t][c].kind]
               for t, cs in may.items() for c in cs if classes[t][c].kind in how}  # fmt: skip
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
