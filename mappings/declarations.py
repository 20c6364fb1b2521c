"""What an agency's folder declares: where its feeds come from, their layout, and how each element is read."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, ClassVar, Literal

from croniter import croniter
from pydantic import AfterValidator, Field, model_validator

from connectors.sources import Source
from connectors.wanted import FilesWanted, Packing, Stated, parse_overlap
from mappings.formats import Format, Names
from mappings.problems import NULLING, PROBLEMS
from standard.code_sets import choice_of, code_set
from standard.declarations import Declared
from standard.errors import DeclarationError
from store.extracts import Holds, Severity

ElementType = Literal[
    "text", "name", "identifier", "code", "reference", "date", "timestamp", "integer", "decimal", "boolean"
]
"""Type of an `sql` element; name, identifier, code (in common terms) and reference are text to the engine."""

_ELEMENT_NAME = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = {"as_of", "extract", "record", "line", "feed", "agency_id", "row_id", "source_key", "extract_id", "missing"}
_TEMPLATE_PART = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)\}")


def _known_date(text: str) -> str:
    if text != "as_of":
        dt.date.fromisoformat(text)
    return text


def _in_set(name: str, code: str) -> str:
    if code not in code_set(name):
        raise ValueError(f"{code!r} is not in the code set {name}; take {choice_of(name)}")
    return code


MissingReason = Annotated[str, AfterValidator(lambda code: _in_set("missing_reason", code))]
Sector = Annotated[str, AfterValidator(lambda code: _in_set("sector", code))]
Bound = Annotated[str, AfterValidator(_known_date)]
"""A date (2011-01-31) or the word as_of."""


class Text(Declared):
    """Text as sent, trimmed."""

    max_length: int | None = None


class Plain(Declared):
    """A conversion without settings (name, ssn, phone, address, integer, decimal)."""


class Dated(Declared):
    """A date or a timestamp: formats are tried in order; sentinels and dates out of bounds stand for no date."""

    formats: Names = ()
    sentinels: Names = ()
    not_after: Bound | None = None
    not_before: Bound | None = None
    excel_serial: bool = False

    @model_validator(mode="after")
    def _formats_can_be_read(self) -> Dated:
        for form in self.formats:
            unknown = set(re.findall(r"%(.)", form)) - set("YymdHMSfbBjIp%")
            if unknown:
                raise ValueError(f"the format {form!r} uses %{sorted(unknown)[0]}, which is not known")
        return self


class Coded(Declared):
    """A code read through a crosswalk, by the scope and on the date that other elements give."""

    crosswalk: str
    scope: str | None = None
    """An element, or `lookup.element`: an element of the row that a lookup finds in another feed."""
    on: str | None = None


class Identified(Declared):
    """A number kept as text. With a width, digits that are too few have lost leading zeros and get them back."""

    width: int | None = Field(default=None, ge=1, le=60)
    pad: bool = True


class TrueFalse(Declared):
    """The texts that say yes and those that say no."""

    true: Names
    false: Names


CONVERSIONS = ("text", "name", "date", "timestamp", "code", "identifier", "ssn", "phone", "address", "boolean",
               "integer", "decimal")  # fmt: skip


class Element(Declared):
    """One element of a feed: the column or columns it is read from and its conversion."""

    column: str | None = None
    columns: Names = ()
    text: Text | None = None
    name: Plain | None = None
    date: Dated | None = None
    timestamp: Dated | None = None
    code: Coded | None = None
    identifier: Identified | None = None
    ssn: Plain | None = None
    phone: Plain | None = None
    address: Plain | None = None
    boolean: TrueFalse | None = None
    integer: Plain | None = None
    decimal: Plain | None = None
    sql: str | None = None
    type: ElementType | None = None
    required: bool = False
    blank: MissingReason = "not_collected"
    null_values: Names = ()
    severity: dict[str, Severity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_conversion(self) -> Element:
        given = [kind for kind in (*CONVERSIONS, "sql") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"an element has exactly one conversion of {', '.join(CONVERSIONS)}, sql")
        if (self.sql is None) != (self.type is None):
            raise ValueError("sql needs a type, and only sql has one")
        if (self.column is None) == (not self.columns):
            raise ValueError("name either column or columns")
        if len(self.columns) > 1 and self.sql is None and self.address is None:
            raise ValueError("several columns are read by address or sql only")
        unknown = sorted(set(self.severity) - set(PROBLEMS))
        if unknown:
            raise ValueError(f"severity: {unknown[0]!r} is not a problem mapping can meet")
        return self

    @property
    def kind(self) -> str:
        """The name of its conversion."""
        return next(kind for kind in (*CONVERSIONS, "sql") if getattr(self, kind) is not None)

    @property
    def sent(self) -> Names:
        """The columns it is read from."""
        return self.columns or ((self.column,) if self.column is not None else ())

    @property
    def common_type(self) -> str:
        """What it becomes: a type of the common schema's columns, `text` for everything textual."""
        if self.sql is not None:
            return self.type if self.type in ("date", "timestamp", "integer", "decimal", "boolean") else "text"
        return self.kind if self.kind in ("date", "timestamp", "integer", "decimal", "boolean", "code") else "text"

    def severity_of(self, problem: str) -> Severity:
        """How grave a problem of this element is."""
        if problem in self.severity:
            return self.severity[problem]
        nulls = problem in NULLING or (problem == "bad_identifier" and self.kind in ("ssn", "phone"))
        return Severity.ERROR if self.required and nulls else PROBLEMS[problem]


class StatedBy(Declared):
    """A property in another member of the archive (CSV: property, value) and what it must be."""

    member: str
    property: str
    must_be: str = Field(alias="is")


class Arrives(Declared):
    """By what name a feed is found at its source, and when it is expected."""

    files: str | None = None
    packed: tuple[Packing, ...] = ()
    """How a file is packed, the outermost first: pgp, zip, gzip."""
    member: str | None = None
    """Which file of a zip archive is this feed (a pattern for its name); None: the archive holds one file alone."""
    states: StatedBy | None = None
    """What the archive must say of this feed's file; None: nothing is asked."""
    table: str | None = None
    watermark: str | None = None
    overlap: str | None = None
    never_read: Names = ()
    census: bool = False
    schedule: str | None = None
    grace: str | None = None
    calendar: str | None = None
    """The calendar (calendars/NAME.csv) of the days on which the schedule does not hold."""

    @property
    def stated(self) -> Stated | None:
        """The same as the connectors ask for it."""
        return Stated(self.states.member, self.states.property, self.states.must_be) if self.states else None

    @model_validator(mode="after")
    def _is_files_or_table(self) -> Arrives:
        if (self.files is None) == (self.table is None):
            raise ValueError("name either files or table")
        if self.table is not None and not self.table.strip():
            raise ValueError("a table has a name: an empty one is none that can be read")
        if self.files is not None and (self.watermark or self.overlap or self.never_read or self.census):
            raise ValueError("watermark, overlap, never_read and census belong to a table")
        if self.table is not None and (self.packed or self.member or self.states):
            raise ValueError("packed, member and states belong to files")
        if self.schedule is not None and not croniter.is_valid(self.schedule):
            raise ValueError("the schedule is no cron line, such as 30 4 * * 1")
        if self.schedule is None and (self.grace is not None or self.calendar is not None):
            raise ValueError("grace and calendar belong to a schedule")
        try:
            if self.files is not None:
                FilesWanted(self.files, self.packed, self.member, states=self.stated)
            if self.overlap is not None:
                parse_overlap(self.overlap)
            if self.grace is not None and isinstance(parse_overlap(self.grace), int):
                raise ValueError("the grace is a number without a unit; write 24 hours")
        except DeclarationError as error:
            raise ValueError(f"{error.what}; {error.mend}") from error
        return self


class ManifestOf(Declared):
    """The feed whose rows tell which files are complete."""

    feed: str


class Actions(Declared):
    """The element that says what to do with a row, and which of its values delete; all others upsert."""

    element: str
    delete: Names


class Sender(Declared):
    """The one value a column must hold in every row; any other means that the file is somebody else's."""

    column: str
    must_be: str = Field(alias="is")


class OutOfScope(Declared):
    """Rows that are not for the exchange."""

    drop: str
    reason: str


class Reference(Declared):
    """Elements that must name a row in force of another feed."""

    elements: Names
    feed: str
    to: Names

    @model_validator(mode="after")
    def _pairs(self) -> Reference:
        if not self.elements or len(self.elements) != len(self.to):
            raise ValueError("elements and to name the same number of elements, at least one")
        return self


class Lookup(Declared):
    """A row of another feed whose elements an entity row may use: own element -> key element of that feed."""

    feed: str
    on: dict[str, str]


class Withhold(Declared):
    """Rows that must not be passed on, or references that a lasting order covers."""

    reason: str
    when: str
    covers: str
    lasting: bool = False


class Earlier(Declared):
    """How the files of a feed were laid out that speak for days up to one, that day included."""

    valid_to: dt.date
    format: Format


class Feed(Declared):
    """One feed of an agency: a table or a kind of file."""

    described_in: ClassVar[str] = "<feed>.yaml in docs/mapping.md"

    feed: str
    title: str
    source: str
    arrives: Arrives
    format: Format
    earlier: tuple[Earlier, ...] = ()
    """Layouts of before, the oldest first; a file has the first that is valid on the day it speaks for."""
    manifest: ManifestOf | None = None
    holds: Holds
    window: Names = ()
    key: Annotated[Names, Field(min_length=1)]
    version: str | None = None
    actions: Actions | None = None
    deleted_when: str | None = None
    sender: Sender | None = None
    scope: tuple[OutOfScope, ...] = ()
    references: tuple[Reference, ...] = ()
    lookups: dict[str, Lookup] = Field(default_factory=dict)
    error_limit: float = Field(default=0.2, ge=0, le=1)
    max_withdrawn: float = Field(default=0.2, ge=0, le=1)
    withhold: tuple[Withhold, ...] = ()
    unused_columns: dict[str, str] = Field(default_factory=dict)
    elements: dict[str, Element]
    entities: dict[str, tuple[dict[str, str], ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_plain(self) -> Feed:
        for name in (*self.elements, *self.lookups):
            if not _ELEMENT_NAME.fullmatch(name):
                raise ValueError(f"{name!r}: an element's name is lower case letters, digits and _")
            coded = self.elements.get(re.sub("_(source|match)$", "", name))
            scoped = re.sub("_scopes?$", "", name)
            taken = name in RESERVED or (scoped != name and scoped in self.scoped_by_lookup)
            if taken or (coded is not None and coded is not self.elements.get(name) and coded.code):
                raise ValueError(f"{name!r} is taken by the exchange; choose another name")
        for column in self.columns:
            if not column.strip() or "{" in column or column.lower() in ("_record", "_line", "_marks", "_hash"):
                raise ValueError(f"no column can be named {column!r}")
        if (self.format.kind == "table") != (self.arrives.table is not None):
            raise ValueError("format kind table goes with arrives: table, the others with arrives: files")
        if self.earlier and (self.arrives.table is not None or any(e.format.kind == "table" for e in self.earlier)):
            raise ValueError("earlier layouts are of files; a table has the columns it has")
        ends = [each.valid_to for each in self.earlier]
        if ends != sorted(set(ends)):
            raise ValueError("earlier layouts stand in the order of their valid_to, the oldest first")
        if self.holds is Holds.CHANGES and self.arrives.table is None:
            raise ValueError("holds: changes is for a table; a file is full or delta")
        return self

    def of_day(self, day: dt.date) -> Feed:
        """The feed with the layout of files that speak for a day."""
        form = next((each.format for each in self.earlier if day <= each.valid_to), self.format)
        return self if form is self.format else self.model_copy(update={"format": form})

    @property
    def columns(self) -> Names:
        """Every column spoken for, in the order of declaration: read by an element, watched, or unused."""
        named = [column for element in self.elements.values() for column in element.sent]
        watched = [self.sender.column] if self.sender else []
        return tuple(dict.fromkeys([*named, *watched, *self.unused_columns]))

    @property
    def scoped_by_lookup(self) -> dict[str, tuple[str, str]]:
        """The codes whose scope stands in a row of another feed: element -> lookup, and element of that row."""
        scopes = {name: e.code.scope for name, e in self.elements.items() if e.code is not None and e.code.scope}
        parts = {name: scope.partition(".") for name, scope in scopes.items() if "." in scope}
        return {name: (alias, element) for name, (alias, _, element) in parts.items()}

    def severity_of(self, element: str, problem: str) -> Severity:
        """How grave a problem of an element of this feed is."""
        return self.elements[element].severity_of(problem)


class Outbound(Declared):
    """What is written back to an agency after every publishing: changes about its own persons."""

    format: Literal["csv", "parquet"] = "csv"


class AgencyFile(Declared):
    """agency.yaml: who the agency is, where its feeds come from, and which they are."""

    described_in: ClassVar[str] = "agency.yaml in docs/mapping.md"

    agency: str
    name: str
    sector: Sector
    state: str | None = None
    ori: str | None = None
    timezone: str = "UTC"
    sources: dict[str, Source] = Field(default_factory=dict)
    outbound: Outbound | None = None
    feeds: Names


def template_parts(template: str) -> list[str]:
    """The elements (`element` or `lookup.element`) a template is made of, in order."""
    return _TEMPLATE_PART.findall(template)


def split_template(template: str) -> list[tuple[bool, str]]:
    """A template in its pieces: (True, element) or (False, fixed text)."""
    pieces = _TEMPLATE_PART.split(template)
    return [(n % 2 == 1, piece) for n, piece in enumerate(pieces) if piece]
