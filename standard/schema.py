"""The entities of the common schema: one declaration each is the source of Parquet, SQL, checks and dictionary."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from standard.code_sets import code_set
from standard.declarations import Declared, read_declaration
from standard.sensitivity import Sensitivity, most_restrictive

FOLDER = Path(__file__).parent / "entities"

ColumnType = Literal[
    "text", "name", "identifier", "reference", "code", "date", "timestamp", "integer", "decimal", "boolean"
]

_SQL_TYPES: dict[str, str] = {
    "text": "VARCHAR", "name": "VARCHAR", "identifier": "VARCHAR", "reference": "VARCHAR", "code": "VARCHAR",
    "date": "DATE", "timestamp": "TIMESTAMP", "integer": "INTEGER", "decimal": "DECIMAL(9,4)", "boolean": "BOOLEAN",
}  # fmt: skip
_ARROW_TYPES: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(), "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us"), "INTEGER": pa.int32(),
    "BIGINT": pa.int64(), "DECIMAL(9,4)": pa.decimal128(9, 4), "BOOLEAN": pa.bool_(),
}  # fmt: skip

PROVENANCE: dict[str, tuple[str, str]] = {
    "agency_id": ("VARCHAR", "Agency that sent the row."),
    "feed": ("VARCHAR", "Table or file of the agency, as the agency names it."),
    "source_key": ("VARCHAR", "The row's own key in that table or file."),
    "row_id": ("VARCHAR", "Stable, opaque id of this row of the record."),
    "extract_id": ("VARCHAR", "The extract whose version of the row is in force."),
    "record": ("BIGINT", "Record number in that extract (1 = first data record)."),
    "line": ("BIGINT", "Line of the file on which the record starts; empty for tables."),
    "as_of": ("DATE", "Day the extract speaks for."),
}
"""Columns every entity row carries so that each value can be followed back to the line it came from."""

TRACING = ("source_key", "row_id", "extract_id", "record", "line")
"""Of these, the columns by which a row, and so the person, is found again at the agency or in another table."""

DEFINED_BY = {
    "case_ref": "case",
    "report_ref": "cw_report",
    "charge_ref": "charge",
    "removal_ref": "removal",
    "plan_ref": "plan",
    "worker_ref": "worker",
}
"""Reference columns that name something other than a person, and the entity whose rows that something is."""


class Column(Declared):
    """One column of an entity: its type, meaning, sensitivity class and, for codes, the set its values come from."""

    type: ColumnType
    meaning: str
    code_set: str | None = None
    required: bool = False
    sensitivity: Sensitivity | None = Field(default=None, alias="class")
    """Where nothing is said: a reference tells who it is, all else has the class of its entity."""
    locates: bool = False
    """Tells where a person can be found: kept from everyone while an agency keeps the person's address confidential."""

    @model_validator(mode="after")
    def _a_code_names_its_set(self) -> Column:
        if (self.type == "code") != (self.code_set is not None):
            raise ValueError("a column of type code names its code_set, and only such a column does")
        if self.code_set is not None:
            code_set(self.code_set)
        return self


class EventSpine(Declared):
    """Which columns put an entity's rows on the timeline."""

    date: str
    end: str | None = None
    subjects: Literal["case", "report"] | None = None


class Entity(Declared):
    """One entity of the common schema."""

    entity: str
    meaning: str
    sensitivity: Sensitivity = Field(alias="class")
    """The class of its columns that have none of their own, and of the fact that there is such a row."""
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    event: EventSpine | None = None

    def stored_columns(self) -> dict[str, str]:
        """Column -> SQL type as stored: a code x also has x_source (as sent) and x_match (SKOS strength)."""
        stored: dict[str, str] = {}
        for name, column in self.columns.items():
            stored[name] = _SQL_TYPES[column.type]
            if column.type == "code":
                stored |= {f"{name}_source": "VARCHAR", f"{name}_match": "VARCHAR"}
        return stored | {"missing": "VARCHAR"} | {name: kind for name, (kind, _) in PROVENANCE.items()}

    def arrow_schema(self) -> pa.Schema:
        """The Parquet schema of the entity's rows."""
        return pa.schema([pa.field(name, _ARROW_TYPES[kind]) for name, kind in self.stored_columns().items()])

    def classes(self) -> dict[str, Sensitivity]:
        """Stored column -> its class. `missing` tells something of every column, a key or place in a file who it is."""
        given: dict[str, Sensitivity] = {}
        for name, column in self.columns.items():
            default = Sensitivity.DIRECT_IDENTIFIER if column.type == "reference" else self.sensitivity
            given[name] = column.sensitivity or default
            if column.type == "code":
                given |= {f"{name}_source": given[name], f"{name}_match": given[name]}
        given["missing"] = most_restrictive(given.values())
        source = dict.fromkeys(TRACING, Sensitivity.DIRECT_IDENTIFIER)
        return {name: given.get(name) or source.get(name) or self.sensitivity for name in self.stored_columns()}

    def references(self) -> list[str]:
        """The columns that name a person, case, report and so on."""
        return [name for name, column in self.columns.items() if column.type == "reference"]


@cache
def entities() -> dict[str, Entity]:
    """All entities of the common schema by name.

    Raises:
        DeclarationError: A declaration is wrong; with file and line.
    """
    found = (read_declaration(path, Entity) for path in sorted(FOLDER.glob("*.yaml")))
    return {entity.entity: entity for entity in found}
