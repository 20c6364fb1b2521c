"""The sensitivity class of every column of the record: declared, or that of the most restrictive column it tells of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from record.in_force import PERSON_PARTNERS
from record.tables import MEANINGS, SUBJECTS, main_code, published_columns, table_names
from standard.schema import TRACING, Entity, entities
from standard.sensitivity import Sensitivity, most_restrictive

Kind = Literal["id", "date", "other"]


@dataclass(frozen=True)
class ColumnClass:
    """What governs who may receive a column of the record.

    Attributes:
        sensitivity: Its class.
        kind: `id` names something and can be replaced by a pseudonym; `date` can be coarsened or shifted.
        locates: Tells where a person can be found.
        joins: Tells which mentions of several agencies are one person.
    """

    sensitivity: Sensitivity
    kind: Kind = "other"
    locates: bool = False
    joins: bool = False


def _event_sources(part: Literal["date", "end", "code"]) -> tuple[str, ...]:
    found = []
    for name, entity in entities().items():
        if entity.event is not None:
            column = {"date": entity.event.date, "end": entity.event.end, "code": main_code(entity)}[part]
            found += [f"{name}.{column}"] if column else []
    return tuple(found)


@cache
def lineage() -> dict[str, dict[str, tuple[str, ...]]]:
    """Derived table -> column -> the columns (`entity.column`) that it tells something of."""
    every_agency = tuple(f"{name}.agency_id" for name in entities())
    whose = ("person.person_ref", "person.same_as")
    weights = ("person_name.surname", "person_demographic.birth_date", "person_identifier.value", "address.line1")
    dates, ends, codes = (_event_sources(part) for part in ("date", "end", "code"))
    return {
        "person": {
            "person_id": whose, "agencies": every_agency, "agency_ids": every_agency, "mentions": every_agency,
            "lowest_weight": weights, "address_protected": ("address.confidential",),
        },
        "person_source": {
            "agency": every_agency, "table": every_agency, "source_key": whose, "feeds": every_agency,
            "person_ref": whose, "person_id": whose, "weight": weights, "how": every_agency,
        },
        "timeline": {
            "person_id": whose, "event_type": dates, "occurred_on": dates, "ended_on": ends, "code": codes,
            "role": tuple(f"{table}.role" for table, _ in SUBJECTS.values()), "code_element": codes,
            "agency_id": every_agency, "row_id": tuple(f"{source.split('.')[0]}.row_id" for source in dates),
        },
    }  # fmt: skip


@cache
def column_classes() -> dict[str, dict[str, ColumnClass]]:
    """Table of the record -> column, in its order -> what governs who may receive it."""
    return {name: _of_derived(name) if name in MEANINGS else _of_entity(entities()[name]) for name in table_names()}


def _of_entity(entity: Entity) -> dict[str, ColumnClass]:
    declared, classes = entity.columns, entity.classes()
    found = {}
    for name, kind in published_columns(entity).items():
        column = declared.get(name)
        if column is None and name in PERSON_PARTNERS.values():
            found[name] = ColumnClass(Sensitivity.DIRECT_IDENTIFIER, "id", joins=True)
            continue
        names_something = name in TRACING or (column is not None and column.type in ("reference", "identifier"))
        of_kind: Kind = "id" if names_something else "date" if kind in ("DATE", "TIMESTAMP") else "other"
        found[name] = ColumnClass(classes[name], of_kind, column is not None and column.locates)
    return found


def _of_derived(table: str) -> dict[str, ColumnClass]:
    ids = {"person_id", "person_ref", "source_key", "row_id"}
    dates = {"occurred_on", "ended_on"}
    sources = lineage()[table]
    return {
        column: ColumnClass(
            _most_restrictive_of(sources[column]),
            "id" if column in ids else "date" if column in dates else "other",
            joins=True,
        )
        for column in MEANINGS[table]
    }


def _most_restrictive_of(sources: tuple[str, ...]) -> Sensitivity:
    named = (source.split(".", 1) for source in sources)
    return most_restrictive(entities()[name].classes()[column] for name, column in named)
