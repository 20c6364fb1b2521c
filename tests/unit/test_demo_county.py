"""The synthetic county: the same for the same seed, true to its truth, with the accidents it says it has."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demo.calendar import Calendar
from demo.county import AGENCIES, DECLARATIONS, County, make_county
from demo.delivery import Outbox, deliver_day
from demo.noise import typed
from demo.population import Population, make_population
from mappings.load import load_agency


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> County:
    return make_county(persons=1500, days=3, seed=5, into=tmp_path_factory.mktemp("county") / "made")


@pytest.fixture(scope="module")
def population() -> Population:
    return make_population(5000, calendar=Calendar(2), rng=np.random.default_rng(3))


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def school_rows(county: County, day: int, name: str) -> list[list[str]]:
    (path,) = county.delivery(day, "demo_schools").glob(f"{name}_*.csv")
    with path.open(encoding="cp1252", newline="") as lines:
        return list(csv.reader(lines))


def arrival(county: County, day: int, name: str) -> dict[str, object]:
    arrivals = json.loads((county.folder / "truth" / "expected.json").read_text())["arrivals"]
    (found,) = [a for a in arrivals if a["delivery"] == day and a["name"].startswith(name)]
    return dict(found)


def query(county: County, outbox: Outbox, agency: str, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(outbox.database(agency))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_the_same_seed_makes_the_same_county_and_another_seed_another(tmp_path: Path) -> None:
    made = {
        name: tree(make_county(persons=200, days=2, seed=seed, into=tmp_path / name).folder)
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    }
    assert made["one"] == made["again"]
    assert made["one"] != made["other"]


def test_a_county_of_a_hundred_people_and_one_day_is_whole(tmp_path: Path) -> None:
    county = make_county(persons=100, days=1, seed=0, into=tmp_path / "small")
    assert {a.agency for a in county.arrivals} == set(AGENCIES)
    assert all(county.delivery(1, agency).is_dir() for agency in AGENCIES)


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        make_county(persons=100, days=1, seed=0, into=tmp_path)


def test_twins_are_born_on_one_day_in_one_household_with_two_names(population: Population) -> None:
    people = population.people
    second = people[people["twin"]]
    first = people.loc[second.index - 1]
    assert len(second) > 10
    for same in ("birth", "household"):
        assert (second[same].to_numpy() == first[same].to_numpy()).all()
    assert (second["given"].to_numpy() != first["given"].to_numpy()).all()


def test_no_two_people_share_an_ssn_or_a_state_student_number(population: Population) -> None:
    assert population.people["ssn"].is_unique
    assert population.people["state_id"].is_unique
    assert population.people["ssn"].str.fullmatch(r"\d{9}").all()


def test_parents_are_at_least_15_years_older_than_their_children(population: Population) -> None:
    people = population.people
    children = np.flatnonzero(~people["adult"])
    first, _ = population.adults_of(children)
    assert (
        population.age(first, np.datetime64("2026-01-01")) - population.age(children, np.datetime64("2026-01-01")) > 15
    ).all()


def test_a_typing_error_changes_one_or_two_letters_and_never_empties_a_name() -> None:
    words = np.array(["Rosalind", "Wei", "Bo", "", "Anna-Lena"] * 200, dtype=object)
    mistyped = typed(words, 1.0, np.random.default_rng(1))
    assert all(
        bool(new) == bool(old) and abs(len(new) - len(old)) <= 1 for new, old in zip(mistyped, words, strict=True)
    )
    changed = [new != old for new, old in zip(mistyped, words, strict=True) if old]
    assert sum(changed) > 0.8 * len(changed)
    assert (typed(words, 0.0, np.random.default_rng(1)) == words).all()


@pytest.mark.parametrize("agency", AGENCIES)
def test_the_declarations_of_an_agency_load_and_name_every_column_it_sends(county: County, agency: str) -> None:
    feeds = load_agency(DECLARATIONS / agency).feeds
    for name, feed in feeds.items():
        if feed.format.kind != "delimited":
            continue
        (path, *_) = sorted(county.delivery(1, agency).glob(f"{name}_*"))
        header = path.read_text(encoding=feed.format.encoding).splitlines()[0]
        sent = [column.strip('"') for column in header.split(feed.format.delimiter)]
        assert set(sent) == set(feed.columns), name


@pytest.mark.parametrize("agency", ["demo_court", "demo_child_welfare"])
def test_the_declarations_name_every_column_of_a_database(county: County, tmp_path: Path, agency: str) -> None:
    outbox = Outbox(tmp_path).create()
    deliver_day(county, 1, outbox)
    feeds = load_agency(DECLARATIONS / agency).feeds.values()
    for feed in (feed for feed in feeds if feed.arrives.table):
        table = feed.arrives.table
        columns = {str(row[1]) for row in query(county, outbox, agency, f"PRAGMA table_info({table})")}
        assert columns - set(feed.arrives.never_read) == set(feed.columns), table


def test_the_manifest_tells_rows_and_hash_of_every_file_and_the_truncated_one_disagrees(county: County) -> None:
    for day in (1, 2, 3):
        for name, rows, digest in school_rows(county, day, "manifest")[1:]:
            content = (county.delivery(day, "demo_schools") / name).read_bytes()
            truncated = day == 3 and name.startswith("absences")
            assert (hashlib.sha256(content).hexdigest() == digest) is not truncated
            assert (len(school_rows(county, day, name.split("_")[0])) - 1 == int(rows)) is not truncated
    assert arrival(county, 3, "absences")["fate"] == "held"


def test_a_police_file_ends_with_the_number_of_its_records(county: County) -> None:
    files = sorted(county.folder.glob("deliveries/*/demo_police/*.txt"))
    assert len(files) == 1 + 7 + 1 + 7
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[-1] == f"END|{len(lines) - 2}"


def test_one_police_file_is_sent_twice_under_another_name(county: County) -> None:
    (again,) = county.folder.glob("deliveries/*/demo_police/*_AGAIN.txt")
    assert again.read_bytes() == again.with_name(again.name.replace("_AGAIN", "")).read_bytes()
    assert arrival(county, 2, again.name)["fate"] == "duplicate"


def test_the_planted_accidents_are_there_as_often_as_expected_says(county: County) -> None:
    header, *absences = school_rows(county, 2, "absences")
    planted = arrival(county, 2, "absences")["accidents"]
    assert planted == {
        "ragged": sum(len(row) != len(header) for row in absences),
        "unseen_code": sum(row[3] == "REM" for row in absences if len(row) > 3),
    }
    students = Counter(map(tuple, school_rows(county, 1, "students")[1:]))
    assert sum(n - 1 for n in students.values()) == 1
    known = {row[0] for row in school_rows(county, 1, "students")[1:]}
    assert sum(row[0] not in known for row in school_rows(county, 1, "contacts")[1:]) == 1


def test_two_police_records_are_ragged_and_a_row_is_deleted_that_never_was(county: County) -> None:
    ragged, deletes, entered = 0, set(), set()
    for path in sorted(county.folder.glob("deliveries/*/demo_police/*.txt")):
        header, *records = [line.split("|") for line in path.read_text(encoding="utf-8").splitlines()[:-1]]
        ragged += sum(len(record) != len(header) for record in records)
        deletes |= {(record[2], record[3]) for record in records if record[0] == "X"}
        entered |= {(record[2], record[3]) for record in records if record[0] == "A"}
    assert ragged == 2
    assert deletes - entered == {("24-9999993", "01")}


def test_a_case_is_sealed_on_day_2_and_stays_so(county: County, tmp_path: Path) -> None:
    outbox, sealed = Outbox(tmp_path).create(), []
    for day in (1, 2, 3):
        deliver_day(county, day, outbox)
        rows = query(county, outbox, "demo_court", "SELECT case_no FROM court_case WHERE sealed = 1")
        sealed.append({row[0] for row in rows})
    assert len(sealed[1] - sealed[0]) == 1
    assert sealed[1] <= sealed[2]


def test_changed_rows_come_with_a_later_watermark_and_a_purged_row_is_gone(county: County, tmp_path: Path) -> None:
    outbox, marks, names = Outbox(tmp_path).create(), [], []
    for day in (1, 2):
        deliver_day(county, day, outbox)
        marks.append(query(county, outbox, "demo_court", "SELECT max(updated_at) FROM hearing")[0][0])
        names.append(set(query(county, outbox, "demo_child_welfare", "SELECT client_id, seq FROM client_name")))
    assert marks == ["2026-01-25 22:15:00", "2026-02-01 22:15:00"]
    assert len(names[0] - names[1]) == 1


def test_the_truth_names_exactly_the_mentions_that_arrive(county: County, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path).create()
    for day in (1, 2, 3):
        deliver_day(county, day, outbox)
    truth = pd.read_csv(county.person_truth, dtype=str)
    keys = truth.groupby("table_or_file")["source_person_key"].agg(set)
    assert keys["students"] == {row[0] for day in (1, 2, 3) for row in school_rows(county, day, "students")[1:]}
    assert keys["client"] == {
        row[0] for row in query(county, outbox, "demo_child_welfare", "SELECT client_id FROM client")
    }
    assert keys["party"] == {row[0] for row in query(county, outbox, "demo_court", "SELECT party_no FROM party")}
    rows = [
        line.split("|")
        for path in county.folder.glob("deliveries/*/demo_police/*.txt")
        for line in path.read_text(encoding="utf-8").splitlines()[1:-1]
    ]
    assert keys["RMS_NAMES"] == {f"{row[2]}|{row[3]}" for row in rows if "-9999" not in row[2]}
    assert not truth.duplicated(["agency", "table_or_file", "source_person_key"]).any()


def test_many_people_are_known_to_two_agencies_and_some_to_all_four(county: County) -> None:
    truth = pd.read_csv(county.person_truth, dtype=str)
    agencies = truth.groupby("true_person_id")["agency"].nunique()
    assert (agencies >= 2).mean() > 0.08
    assert (agencies == 4).any()
