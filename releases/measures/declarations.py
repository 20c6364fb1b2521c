"""What a measure and the events it is made of are declared by; read from `catalogue/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from standard.declarations import Declared, read_declaration
from standard.errors import DeclarationError

CATALOGUE = Path(__file__).parent / "catalogue"
EVENTS_FILE = "_events.yaml"
Kind = Literal["follows", "rate", "sequence"]


class _InCatalogue(Declared):
    described_in = "docs/cookbook.md, A measure of your own"


class Rows(_InCatalogue):
    """Rows of one table that are such an event."""

    table: str
    on: str
    """SQL over the table's columns: the day."""
    until: str | None = None
    """SQL: the last day, where the event lasts; NULL is still going on."""
    where: str = "true"
    """SQL: which rows."""
    through: Literal["case", "report"] | None = None
    """The table names a case or report only: its participants of these roles are meant."""
    roles: tuple[str, ...] = ()
    beside: Literal["report"] | None = None
    """The row of the report that the table names, for SQL to name as `report.column`."""
    keeps: dict[str, str] = Field(default_factory=dict)
    """Name -> SQL of what else is needed of the row."""

    @model_validator(mode="after")
    def _roles_go_with_through(self) -> Self:
        if bool(self.through) != bool(self.roles):
            raise ValueError("through and roles go together")
        return self


class Event(_InCatalogue):
    """What happens to a person on a day, in whatever tables it stands."""

    meaning: str
    rows: tuple[Rows, ...] = Field(min_length=1)
    each_row: bool = False
    """Two rows that say the same are two; otherwise they tell of one event."""

    @model_validator(mode="after")
    def _all_rows_keep_the_same(self) -> Self:
        if len({tuple(sorted(rows.keeps)) for rows in self.rows}) > 1:
            raise ValueError("all rows of an event keep the same names")
        return self

    @property
    def keeps(self) -> tuple[str, ...]:
        """The names of what is kept beside person, days and agency, sorted."""
        return tuple(sorted(self.rows[0].keeps))


class Events(_InCatalogue):
    """All events that measures are made of."""

    events: dict[str, Event]


class Index(_InCatalogue):
    """The event from which days are counted."""

    event: str
    where: str = "true"
    """SQL over the event (person_id, on_day, until_day, agency_id, what it keeps) and, where named, `age` in years."""
    which: Literal["each", "first", "last"] = "each"
    """Each of a person's, or only the first or last that fits `where`."""


class Window(_InCatalogue):
    """Days after the index event, both included; negative ones lie before it. No `from`: ever before."""

    from_: int | None = Field(default=None, alias="from")
    to: int

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.from_ is not None and self.from_ > self.to:
            raise ValueError("from is not later than to")
        return self


class Outcome(_InCatalogue):
    """What is looked for in the window."""

    event: str
    where: str = "true"
    """SQL over the index event `i` and the outcome's event `o`."""
    same: tuple[str, ...] = ()
    """What both events keep and must agree in."""
    another_agency: bool = False
    """Only where another agency than that of the index event tells of it."""


class Definition(_InCatalogue):
    """Whose definition a measure follows."""

    name: str
    source: str
    ours: str
    """Where the measure departs from it, or what it leaves open that is settled here."""


class Measure(_InCatalogue):
    """One question, asked in one way."""

    measure: str
    title: str
    question: str
    kind: Kind
    definition: Definition
    population: str
    unit: str
    index: Index
    outcome: Outcome | None = None
    outcome_is: Literal["found", "missing"] = "found"
    """Whether the share is of units for which the outcome was found, or of those for which it was not."""
    window: Window | None = None
    before: Window | None = None
    amount: str | None = None
    """Event that keeps `days`: what a rate counts."""
    exposure: str | None = None
    """Event that lasts: a rate is per 100 weekdays of it."""
    also: tuple[str, ...] = ()
    """Other events that the SQL names as tables."""
    dimensions: dict[str, str] = Field(default_factory=dict)
    """Name -> SQL over the index event."""
    by: tuple[str, ...] = ()
    """The dimensions by which it may be asked: its own, and agency, year, age_band, sex, race."""
    missing: str
    """What is missing, and how it is treated."""
    notes: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        given = {name for name in ("outcome", "window", "before", "amount", "exposure") if getattr(self, name)}
        needed = {"follows": {"outcome", "window"}, "rate": {"window", "before", "amount", "exposure"}}
        if given != needed.get(self.kind, set()):
            raise ValueError(f"a measure of kind {self.kind} has {sorted(needed.get(self.kind, set())) or 'none'} of "
                             "outcome, window, before, amount, exposure")  # fmt: skip
        if self.before and self.before.from_ is None:
            raise ValueError("the window before has a first day")
        if unknown := set(self.by) - set(self.dimensions) - set(COMMON_DIMENSIONS):
            raise ValueError(f"no dimension is called {', '.join(sorted(unknown))}")
        return self

    @property
    def events(self) -> tuple[str, ...]:
        """Every event that it is made of, each once."""
        outcome = self.outcome.event if self.outcome else None
        named = (self.index.event, outcome, self.amount, self.exposure, *self.also)
        return tuple(dict.fromkeys(name for name in named if name))


COMMON_DIMENSIONS = ("agency", "year", "age_band", "sex", "race")
"""What every measure may be asked by, where it says so and the tables are there."""


class Catalogue:
    """All events and measures of a folder."""

    def __init__(self, folder: Path = CATALOGUE) -> None:
        self.folder = folder
        self.events = read_declaration(folder / EVENTS_FILE, Events).events
        paths = sorted(path for path in folder.glob("*.yaml") if path.name != EVENTS_FILE)
        self.measures = {path.stem: self._read(path) for path in paths}

    def measure(self, name: str) -> Measure:
        """One measure by its id.

        Raises:
            DeclarationError: There is none of that name.
        """
        if name not in self.measures:
            raise DeclarationError(
                f"there is no measure {name!r}", where=str(self.folder), mend="see them with: kith measure list"
            )
        return self.measures[name]

    def _read(self, path: Path) -> Measure:
        measure = read_declaration(path, Measure)
        unknown = [name for name in measure.events if name not in self.events]
        if unknown or measure.measure != path.stem:
            said = f"no event is called {unknown[0]}" if unknown else "the measure's id is not the file's name"
            raise DeclarationError(said, where=f"{path}, line 1", mend=f"the events stand in {EVENTS_FILE}")
        return measure


@cache
def catalogue() -> Catalogue:
    """The project's own catalogue.

    Raises:
        DeclarationError: A declaration is wrong; with file and line.
    """
    return Catalogue()
