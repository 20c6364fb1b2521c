"""What a competent engineer would write instead of Kith for one load: pandas, Great Expectations, Splink, Parquet.

No ledger, no dispositions, no deliveries over time, no guard, no lasting ids, nothing withheld: the yardstick for
`benchmarks.whole_way`, on the first delivery day of a demo county.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

SECONDS: dict[str, float] = {}
PEOPLE = ["source", "key", "first", "middle", "last", "birth_date", "sex", "ssn", "street", "city", "zip", "phone"]
SEX = {"Male": "M", "Female": "F", "Nonbinary": "X", "M": "M", "F": "F", "X": "X"}


@contextmanager
def stage(name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    SECONDS[name] = SECONDS.get(name, 0.0) + time.perf_counter() - start


def read_files(day: Path) -> dict[str, pd.DataFrame]:
    """Every extract of the day as text."""
    frames: dict[str, pd.DataFrame] = {}
    for path in sorted((day / "demo_schools").glob("*.csv")):
        name = path.name.rsplit("_", 1)[0]
        frames[name] = pd.read_csv(path, dtype=str, encoding="cp1252", encoding_errors="replace", on_bad_lines="skip")
    for path in sorted((day / "demo_police").glob("*.txt")):
        frame = pd.read_csv(path, dtype=str, sep="|", quoting=3, on_bad_lines="skip")
        frames["police"] = frame[frame["ACT"].isin(["A", "C", "D"])]
    for agency in ("demo_court", "demo_child_welfare"):
        with sqlite3.connect(day / agency / "database.sqlite") as database:
            tables = pd.read_sql("select name from sqlite_master where type = 'table'", database)["name"]
            frames |= {str(table): pd.read_sql(f'select * from "{table}"', database).astype("str") for table in tables}
    return frames


def _people(frame: pd.DataFrame, source: str, columns: dict[str, str], date_format: str | None) -> pd.DataFrame:
    people = (
        pd.DataFrame({ours: frame[theirs] for ours, theirs in columns.items()})
        .astype("str")
        .replace({"None": None, "": None})
    )
    people["source"] = source
    people = people.reindex(columns=PEOPLE).astype("str")
    for name in ("first", "middle", "last", "street", "city"):
        people[name] = people[name].str.upper().str.strip().str.replace(r"\s+", " ", regex=True)
    for digits in ("ssn", "phone"):
        people[digits] = people[digits].str.replace(r"\D", "", regex=True)
    people["ssn"] = people["ssn"].where(people["ssn"].str.len() == 9)
    people["sex"] = people["sex"].map(SEX)
    if date_format:
        people["birth_date"] = pd.to_datetime(people["birth_date"], format=date_format, errors="coerce").dt.strftime(
            "%Y-%m-%d"
        )
    return people


def map_people(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per mention in common columns."""
    contacts = frames["contacts"].copy()
    contacts[["last", "first"]] = contacts["full_name"].str.split(", ", n=1, expand=True).reindex(columns=[0, 1])
    home = frames["residence"].drop_duplicates("client_id", keep="last")[["client_id", "street", "city", "zip"]]
    client = frames["client"].merge(home, on="client_id", how="left")
    place = {"street": "street", "city": "city", "zip": "zip", "phone": "phone"}
    name = {
        "first": "first_name",
        "middle": "middle_name",
        "last": "last_name",
        "birth_date": "birth_date",
        "sex": "sex",
    }
    police = {
        "key": "row",
        "first": "FIRST",
        "middle": "MIDDLE",
        "last": "LAST",
        "birth_date": "DOB",
        "sex": "SEX",
        "ssn": "SSN",
        "street": "ADDR",
        "city": "CITY",
        "zip": "ZIP",
        "phone": "PHONE",
    }
    rms = frames["police"].assign(row=frames["police"]["INC_NO"] + "|" + frames["police"]["PERS_NO"])
    return pd.concat(
        [
            _people(frames["students"], "school", {"key": "student_no", **name, **place}, "%d-%b-%Y"),
            _people(contacts, "contact", {"key": "contact_id", "first": "first", "last": "last", **place}, None),
            _people(rms, "police", police, "%m/%d/%Y"),
            _people(frames["party"], "court", {"key": "party_no", **name, **place, "ssn": "ssn"}, "%Y-%m-%d"),
            _people(client, "child_welfare", {"key": "client_id", **name, **place, "ssn": "ssn"}, "%Y-%m-%d"),
        ],
        ignore_index=True,
    ).drop_duplicates(["source", "key"])


def validate(frame: pd.DataFrame, name: str, expectations: list[Any]) -> pd.DataFrame:
    """The rows that pass, as Great Expectations' own pandas engine finds the others."""
    frame = frame.reset_index(drop=True)
    frame["row"] = frame.index
    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name=name, expectations=expectations)
    result = batch.get_batch({"dataframe": frame}).validate(
        suite,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["row"],
            "exclude_unexpected_values": True,
        },
    )
    lists = (
        item["row"] for r in result.results if not r.success for item in r.result.get("unexpected_index_list") or []
    )
    bad = {row for rows in lists for row in (rows if isinstance(rows, list) else [rows])}
    return frame[~frame["row"].isin(bad)].drop(columns="row")


def person_expectations() -> list[Any]:
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="key"),
        gxe.ExpectColumnValuesToNotBeNull(column="last", mostly=0.9),
        gxe.ExpectColumnValuesToBeBetween(column="birth_date", min_value="1900-01-02", max_value="2026-12-31"),
        gxe.ExpectColumnValuesToBeInSet(column="sex", value_set=["F", "M", "X"]),
        gxe.ExpectColumnValuesToMatchRegex(column="ssn", regex=r"^\d{9}$"),
        gxe.ExpectColumnValuesToMatchRegex(column="zip", regex=r"^\d{5}$", mostly=0.9),
        gxe.ExpectColumnValueLengthsToBeBetween(column="last", min_value=1, max_value=60),
        gxe.ExpectColumnValueLengthsToBeBetween(column="first", min_value=1, max_value=60),
    ]


def link(people: pd.DataFrame) -> pd.DataFrame:
    """Splink as its guide has it: u by sampling, m by EM over two blocks, clusters by connected components."""
    people = people.assign(unique_id=people["source"] + "/" + people["key"])
    settings = SettingsCreator(
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=[
            block_on("ssn"),
            block_on("birth_date", "last"),
            block_on("birth_date", "first"),
            block_on("first", "last", "zip"),
            block_on("phone", "first"),
        ],
        comparisons=[
            cl.NameComparison("first"),
            cl.NameComparison("last"),
            cl.ExactMatch("middle"),
            cl.DateOfBirthComparison("birth_date", input_is_string=True),
            cl.ExactMatch("sex"),
            cl.ExactMatch("ssn"),
            cl.JaroWinklerAtThresholds("street", [0.9]),
            cl.ExactMatch("zip"),
            cl.ExactMatch("phone"),
        ],
    )
    api = DuckDBAPI()
    linker = Linker(api.register(people), settings)
    linker.training.estimate_probability_two_random_records_match([block_on("ssn")], recall=0.5)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("birth_date", "last"))
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("first", "last", "zip"))
    pairs = linker.inference.predict(threshold_match_probability=0.99)
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(pairs, threshold_match_probability=0.99)
    persons: pd.DataFrame = clusters.as_pandas_dataframe()[["unique_id", "cluster_id", "source", "key"]]
    return persons


def publish(frames: dict[str, pd.DataFrame], people: pd.DataFrame, persons: pd.DataFrame, into: Path) -> None:
    """Every table as Parquet with the person's id beside the agency's key."""
    into.mkdir(parents=True, exist_ok=True)
    keys = {
        "absences": ("school", "student_no"),
        "incidents": ("school", "student_no"),
        "students": ("school", "student_no"),
        "charge": ("court", "party_no"),
        "case_party": ("court", "party_no"),
        "allegation": ("child_welfare", "victim_id"),
        "removal": ("child_welfare", "client_id"),
        "placement": ("child_welfare", "client_id"),
        "consent": ("child_welfare", "client_id"),
    }
    persons.to_parquet(into / "person_source.parquet")
    people.to_parquet(into / "person.parquet")
    for name, frame in frames.items():
        if name in keys:
            source, key = keys[name]
            ids = persons[persons["source"] == source][["key", "cluster_id"]].rename(columns={"key": key})
            frame = frame.merge(ids, on=key, how="left")
        frame.to_parquet(into / f"{name}.parquet")


def run(day: Path, into: Path) -> None:
    with stage("read"):
        frames = read_files(day)
    with stage("map"):
        people = map_people(frames)
    with stage("validate"):
        people = pd.concat(
            [validate(part, str(source), person_expectations()) for source, part in people.groupby("source")]
        )
        absences = [
            gxe.ExpectColumnValuesToNotBeNull(column="student_no"),
            gxe.ExpectColumnValuesToMatchRegex(column="day", regex=r"^\d{2}-[A-Z][a-z]{2}-\d{4}$"),
            gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=["UNX", "EXC", "TDU", "TDE", "EARLY", "SUSP"]),
        ]
        frames["absences"] = validate(frames["absences"], "absences", absences)
    with stage("link"):
        persons = link(people)
    with stage("publish"):
        publish(frames, people, persons, into)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
    for name, seconds in SECONDS.items():
        print(f"{name}\t{seconds:.2f}")
