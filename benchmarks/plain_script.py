"""What a competent engineer would write instead of Kith for one load: pandas, Great Expectations, Splink, Parquet.

No ledger, no dispositions, no deliveries over time, no guard, no lasting ids, nothing withheld: the yardstick for
`benchmarks.whole_way`, on the first delivery day of a demo county.
"""

from __future__ import annotations

import json
import os
import resource
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
import yaml
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

SECONDS: dict[str, float] = {}
PEOPLE = ["source", "key", "first", "middle", "last", "birth_date", "sex", "ssn", "street", "city", "zip", "phone"]
CROSSWALKS = Path(__file__).resolve().parents[1] / "demo" / "agencies"
SCHOOL, POLICE, COURT, WELFARE = "demo_schools", "demo_police", "demo_court", "demo_child_welfare"
TABLES = yaml.safe_load((Path(__file__).parent / "plain_tables.yaml").read_text(encoding="utf-8"))
"""table -> agency, person (column of the person's key), key, dates (column -> format), codes (column -> crosswalk)."""
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
        frame["who"] = frame["INC_NO"] + "|" + frame["PERS_NO"]
        frames["police"] = frame[frame["ACT"] != "END"]
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
        "key": "who",
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
    return pd.concat(
        [
            _people(frames["students"], "school", {"key": "student_no", **name, **place}, "%d-%b-%Y"),
            _people(contacts, "contact", {"key": "contact_id", "first": "first", "last": "last", **place}, None),
            _people(frames["police"], "police", police, "%m/%d/%Y"),
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


def map_tables(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Every table with blanks as missing, dates as dates, and the common code beside each code as sent."""
    mapped = {}
    for name, table in TABLES.items():
        frame = frames[name].replace({"None": None, "": None})
        for column in frame.columns:
            frame[column] = frame[column].str.strip()
        for column, form in (table.get("dates") or {}).items():
            frame[column] = pd.to_datetime(frame[column], format=form, errors="coerce")
        for column, crosswalk in (table.get("codes") or {}).items():
            lines = pd.read_csv(CROSSWALKS / table["agency"] / "crosswalks" / f"{crosswalk}.csv", dtype=str)
            frame[f"{column}_common"] = frame[column].map(dict(zip(lines["value"], lines["common"], strict=True)))
        mapped[name] = frame
    return mapped


def table_expectations(name: str) -> list[Any]:
    """What must hold of a table: its key is there and has form, dates are plausible, codes are known."""
    table = TABLES[name]
    found: list[Any] = [gxe.ExpectColumnValuesToNotBeNull(column=column) for column in table["key"]]
    for column in table.get("dates") or {}:
        bounds = {"min_value": pd.Timestamp("1900-01-02"), "max_value": pd.Timestamp("2100-01-01")}
        found.append(gxe.ExpectColumnValuesToBeBetween(column=column, **bounds))
    for column, crosswalk in (table.get("codes") or {}).items():
        lines = pd.read_csv(CROSSWALKS / table["agency"] / "crosswalks" / f"{crosswalk}.csv", dtype=str)
        found.append(gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(lines["value"]), mostly=0.5))
    for column in (table["key"])[:1]:
        found.append(gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=1, max_value=40))
    return found


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
            block_on("street", "first"),
            block_on("substr(last,1,4)", "substr(first,1,3)", "substr(birth_date,1,4)"),
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
    linker.training.estimate_u_using_random_sampling(max_pairs=1e7, seed=1)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("birth_date", "last"))
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("first", "last", "zip"))
    pairs = linker.inference.predict(threshold_match_probability=0.99)
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(pairs, threshold_match_probability=0.99)
    persons: pd.DataFrame = clusters.as_pandas_dataframe()[["unique_id", "cluster_id", "source", "key"]]
    return persons


def publish(frames: dict[str, pd.DataFrame], people: pd.DataFrame, persons: pd.DataFrame, into: Path) -> None:
    """Every table as Parquet with the person's id beside the agency's key, and one timeline of the dated ones."""
    into.mkdir(parents=True, exist_ok=True)
    sources = {SCHOOL: "school", POLICE: "police", COURT: "court", WELFARE: "child_welfare"}
    persons.to_parquet(into / "person_source.parquet")
    people.merge(persons[["source", "key", "cluster_id"]], on=["source", "key"]).to_parquet(into / "person.parquet")
    timeline = []
    for name, frame in frames.items():
        table = TABLES[name]
        if key := table.get("person"):
            ids = persons[persons["source"] == sources[table["agency"]]][["key", "cluster_id"]].rename(
                columns={"key": key}
            )
            frame = frame.merge(ids, on=key, how="left")
            if dates := table.get("dates"):
                dated = frame[["cluster_id", next(iter(dates))]].set_axis(["person_id", "occurred_on"], axis=1)
                timeline.append(dated.assign(event_type=name))
        frame.to_parquet(into / f"{name}.parquet")
    pd.concat(timeline).sort_values(["person_id", "occurred_on"]).to_parquet(into / "timeline.parquet")


def run(day: Path, into: Path) -> None:
    with stage("read"):
        frames = read_files(day)
    with stage("map"):
        people = map_people(frames)
        tables = map_tables(frames)
    with stage("validate"):
        parts = people.groupby("source")
        people = pd.concat([validate(part, str(source), person_expectations()) for source, part in parts])
        tables = {name: validate(frame, name, table_expectations(name)) for name, frame in tables.items()}
    with stage("link"):
        persons = link(people)
    with stage("publish"):
        publish(tables, people, persons, into)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps(SECONDS | {"peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
