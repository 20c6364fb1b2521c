"""The data dictionary is printed from the declarations and misses nothing they declare."""

from __future__ import annotations

import pytest

from mappings.load import Agency, load_agency
from record.dictionary import data_dictionary
from record.tables import MEANINGS, person_source_sql, table_names
from standard.code_sets import code_set
from standard.schema import entities


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Agency:
    folder = tmp_path_factory.mktemp("agencies") / "hill_school"
    (folder / "crosswalks").mkdir(parents=True)
    (folder / "agency.yaml").write_text(
        "agency: hill_school\nname: Hill School\nsector: education\nfeeds: [pupils]\n"
        "sources: {drop: {folder: {path: /srv}}}\n"
    )
    (folder / "crosswalks" / "sex.csv").write_text("value,common,match\n1,M,exact\n2,F,exact\n9,,\n")
    (folder / "pupils.yaml").write_text(
        """feed: pupils
title: Pupils
source: drop
arrives: {files: "pupils*.csv"}
format: {kind: delimited}
holds: full
key: [pupil]
elements:
  pupil: {column: PUPIL_NO, identifier: {}, required: true}
  surname: {column: LAST, name: {}}
  sex: {column: SEX, code: {crosswalk: sex}}
entities:
  person: [{person_ref: "pupils/{pupil}"}]
  person_name: [{person_ref: "pupils/{pupil}", use: =legal, surname: surname}]
  person_demographic: [{person_ref: "pupils/{pupil}", sex: sex}]
"""
    )
    return load_agency(folder)


def test_every_table_column_and_code_is_told_with_its_meaning() -> None:
    text = data_dictionary({})
    for name in table_names():
        assert f"\n## {name}\n" in text
    for name, entity in entities().items():
        for column, declared in entity.columns.items():
            assert name == "person" or f"| `{column}` | {declared.type} | {declared.meaning}" in text, (name, column)
            for code, meaning in code_set(declared.code_set).items() if declared.code_set else ():
                assert f"| `{code}` | {meaning} |" in text


def test_an_agency_s_columns_stand_beside_what_they_feed(agency: Agency) -> None:
    text = data_dictionary({"hill_school": agency})
    assert "| `surname` | hill_school | pupils | `LAST` |  |" in text
    assert "| `use` | hill_school | pupils | always `legal` |  |" in text
    assert "| `person_ref` | hill_school | pupils | `PUPIL_NO` |  |" in text
    assert "| `sex` | hill_school | pupils | `SEX` | exact 2, no common term 1 |" in text


def test_the_meanings_of_our_own_tables_cover_their_columns() -> None:
    for column in MEANINGS["person_source"]:
        assert column in person_source_sql()


def test_a_table_of_the_record_s_own_says_in_a_sentence_what_a_row_is(agency: Agency) -> None:
    text = data_dictionary({"hill_school": agency})
    assert "## person\n\nOne row for each person of the record.\n" in text
    assert "## timeline\n\nOne row for each event and each person who takes part in it" in text
