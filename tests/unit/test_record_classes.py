"""Every column of the record has a sensitivity class, and a derived one the most restrictive of what it tells of."""

from __future__ import annotations

from pathlib import Path

import pytest

from record.classes import column_classes, lineage
from record.tables import MEANINGS, published_columns, table_names
from standard.declarations import read_declaration
from standard.errors import DeclarationError
from standard.schema import Entity, entities
from standard.sensitivity import Sensitivity, most_restrictive


def test_no_column_of_the_record_lacks_a_class() -> None:
    classes = column_classes()
    assert sorted(classes) == table_names()
    for name in table_names():
        columns = MEANINGS[name] if name in MEANINGS else published_columns(entities()[name])
        assert list(classes[name]) == list(columns), name


def test_an_entity_without_a_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thing.yaml"
    path.write_text("entity: thing\nmeaning: A thing.\ncolumns: {a: {type: text, meaning: A.}}\n")
    with pytest.raises(DeclarationError, match="class: this key is missing"):
        read_declaration(path, Entity)


def test_a_class_that_is_not_in_the_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thing.yaml"
    path.write_text("entity: thing\nmeaning: A thing.\nclass: secret\ncolumns: {a: {type: text, meaning: A.}}\n")
    with pytest.raises(DeclarationError, match="line 3"):
        read_declaration(path, Entity)


def test_the_most_restrictive_of_several_classes_wins_in_any_order() -> None:
    both = [Sensitivity.EDUCATION, Sensitivity.CHILD_PROTECTION]
    assert most_restrictive(both) == most_restrictive(reversed(both)) == Sensitivity.CHILD_PROTECTION
    with pytest.raises(ValueError):
        most_restrictive([])


def test_a_derived_column_has_the_most_restrictive_class_of_the_columns_it_tells_of() -> None:
    for table, columns in lineage().items():
        assert set(columns) == set(MEANINGS[table])
        for column, sources in columns.items():
            of_sources = [entities()[s.split(".")[0]].classes()[s.split(".")[1]] for s in sources]
            assert column_classes()[table][column].sensitivity == most_restrictive(of_sources), (table, column)


def test_the_timeline_tells_of_every_event_table() -> None:
    events = {name for name, entity in entities().items() if entity.event}
    assert {source.split(".")[0] for source in lineage()["timeline"]["occurred_on"]} == events
    assert column_classes()["timeline"]["event_type"].sensitivity == Sensitivity.CHILD_PROTECTION


def test_what_finds_a_person_again_is_a_direct_identifier() -> None:
    for table, columns in column_classes().items():
        for column in ("person_id", "person_ref", "row_id", "source_key", "record", "line"):
            if column in columns:
                assert columns[column].sensitivity == Sensitivity.DIRECT_IDENTIFIER, (table, column)


def test_a_code_as_sent_is_of_the_class_of_its_common_term() -> None:
    discipline = entities()["discipline"].classes()
    assert discipline["behavior_source"] == discipline["behavior"] == Sensitivity.EDUCATION
    assert discipline["reported_to_police"] == Sensitivity.CRIMINAL_JUSTICE
