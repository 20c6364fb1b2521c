"""Makes the synthetic county: its people, what each agency delivers on each day, and the truth to measure against."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from demo import child_welfare, child_welfare_extracts, court, police, schools
from demo.calendar import HISTORY_DAYS, Calendar
from demo.formats import (
    Arrival,
    Frames,
    Tables,
    changed_rows,
    fixed_text,
    gone_keys,
    lay_out,
    sha256,
    write_database,
    write_file,
)
from demo.population import Population, make_population

AGENCIES = (schools.AGENCY, police.AGENCY, court.AGENCY, child_welfare.AGENCY)
DEFAULT_PERSONS, DEFAULT_DAYS = 20_000, 3
DECLARATIONS = Path(__file__).parent / "agencies"
KEYS: Mapping[str, Mapping[str, Sequence[str]]] = {
    court.AGENCY: court.KEYS,
    child_welfare.AGENCY: child_welfare_extracts.KEYS,
}


@dataclass(frozen=True)
class County:
    """A county that was made.

    Args:
        folder: Holds deliveries/dayNN/<agency>/ and truth/.
        persons: Its people.
        days: Its delivery days.
        seed: What it was drawn from.
        arrivals: Every file and table that arrives.
    """

    folder: Path
    persons: int
    days: int
    seed: int
    arrivals: tuple[Arrival, ...]

    def delivery(self, day: int, agency: str) -> Path:
        """What an agency delivers on a day (1 is the first)."""
        return self.folder / "deliveries" / f"day{day:02d}" / agency

    def date(self, day: int) -> dt.date:
        """The day of a delivery."""
        return Calendar(self.days).date(day)

    @property
    def person_truth(self) -> Path:
        """CSV of agency, table_or_file, source_person_key, true_person_id."""
        return self.folder / "truth" / "person_truth.csv"


def make_county(*, persons: int = DEFAULT_PERSONS, days: int = DEFAULT_DAYS, seed: int = 1, into: Path) -> County:
    """Makes a county, the same for the same arguments.

    Args:
        persons: People who live there (at least 100).
        days: Weekly deliveries (at least 1).
        seed: Another seed, another county.
        into: A new folder.

    Raises:
        ValueError: Too few persons or days.
        FileExistsError: The folder holds something.
    """
    if persons < 100 or days < 1:
        raise ValueError("a county has at least 100 persons and one delivery day")
    if into.exists() and any(into.iterdir()):
        raise FileExistsError(f"{into} is not empty")
    rng = np.random.default_rng([seed, persons])
    calendar = Calendar(days)
    population = make_population(persons, calendar=calendar, rng=rng)
    deliveries = into / "deliveries"

    classes = schools.make_schools(population, calendar, rng)
    incidents = police.police_rows(population, calendar, rng)
    welfare = child_welfare.make_welfare(population, calendar, rng)
    hearings = court.make_court(population, incidents, welfare.removals, calendar, rng)

    arrivals = schools.write_schools(classes, calendar, deliveries)
    arrivals += police.write_police(incidents, calendar, deliveries, rng)
    arrivals += _write_database(court.AGENCY, lambda day: court.tables_on(day, hearings), calendar, deliveries)
    from_welfare, federal = _write_welfare(welfare, population, calendar, deliveries)
    arrivals += from_welfare
    mentions = _mentions(classes, incidents, hearings, welfare, federal)
    _write_truth(mentions, calendar, into / "truth")
    return _finish(County(into, persons, days, seed, tuple(_with_copies(arrivals, deliveries))))


def _write_welfare(
    welfare: child_welfare.Welfare, population: Population, calendar: Calendar, deliveries: Path
) -> tuple[list[Arrival], pa.Table]:
    """The case database, and the federal file with the first delivery of each month; gives its last rows too."""
    agency, frames = child_welfare.AGENCY, child_welfare_extracts.frames_of(welfare, population)
    arrivals = _write_database(agency, lambda day: child_welfare_extracts.tables_on(day, frames), calendar, deliveries)
    months = {calendar.date(delivery).replace(day=1): delivery for delivery in reversed(calendar.deliveries)}
    for month_end, delivery in sorted(months.items()):
        rows = child_welfare_extracts.federal_rows(month_end, frames)
        if not rows.num_rows:  # nothing to report: no file
            continue
        name = f"FEDCHILD_{month_end - dt.timedelta(days=1):%Y%m}.txt"
        content = fixed_text(rows, child_welfare_extracts.LAYOUT)
        write_file(deliveries / f"day{delivery:02d}" / agency / name, content)
        arrivals.append(Arrival(delivery, agency, name, rows.num_rows))
    return arrivals, rows


def _write_database(
    agency: str, tables_on: Callable[[dt.date], Tables], calendar: Calendar, deliveries: Path
) -> list[Arrival]:
    """The whole database for delivery 1, then only what the application changed in it."""
    before: Tables = {}
    arrivals = []
    for delivery in calendar.deliveries:
        now = _with_accidents(agency, tables_on(calendar.date(delivery)), delivery)
        changed = {
            name: _stamped(changed_rows(before.get(name), table), calendar, delivery) for name, table in now.items()
        }
        gone = {
            f"{name}__purged": gone_keys(before.get(name), table, KEYS[agency][name]) for name, table in now.items()
        }
        name = "database.sqlite" if delivery == 1 else "changes.sqlite"
        purged = {name: table for name, table in gone.items() if table.num_rows}
        write_database(deliveries / f"day{delivery:02d}" / agency / name, changed | purged, KEYS[agency])
        for table_name, table in changed.items():
            arrivals.append(
                Arrival(
                    delivery, agency, table_name, table.num_rows, accidents=_planted(agency, table_name, delivery, gone)
                )
            )
        before = now
    return arrivals


def _stamped(table: pa.Table, calendar: Calendar, delivery: int) -> pa.Table:
    """The rows with their watermark: the night before the delivery, on the first one any night of the years before."""
    before = np.datetime64(calendar.date(delivery)) - 1
    ago = np.arange(table.num_rows) * 7919 % HISTORY_DAYS if delivery == 1 else np.zeros(table.num_rows, dtype=int)
    nights = np.datetime_as_string(before - ago.astype("timedelta64[D]"))
    return table.append_column("updated_at", pa.array([f"{night} 22:15:00" for night in nights], pa.string()))


def _with_accidents(agency: str, tables: Tables, delivery: int) -> Tables:
    """A charge in a case nobody entered; from delivery 2 on a hearing deleted softly and a name purged."""
    if agency == court.AGENCY:
        orphan = lay_out(
            "SELECT * REPLACE ('CH0' AS charge_no, 'JD00-000000' AS case_no) FROM charge LIMIT 1",
            charge=tables["charge"],
        )
        softly = lay_out(
            "SELECT * REPLACE ((hearing_no = 'H2-1')::INTEGER AS deleted) FROM hearing ORDER BY ALL",
            hearing=tables["hearing"],
        )
        return (
            tables
            | {"charge": pa.concat_tables([tables["charge"], orphan])}
            | ({"hearing": softly} if delivery > 1 else {})
        )
    if delivery > 1 and tables["client_name"].num_rows > 1:
        return tables | {"client_name": tables["client_name"].slice(1)}
    return tables


def _planted(agency: str, table: str, delivery: int, gone: Tables) -> dict[str, int]:
    purged = gone[f"{table}__purged"].num_rows
    if purged:
        return {"purged": purged}
    if agency == court.AGENCY:
        return {("charge", 1): {"orphan": 1}, ("court_case", 2): {"sealed": 1}, ("hearing", 2): {"soft_delete": 1}}.get(
            (table, delivery), {}
        )
    return {}


def _mentions(
    classes: Frames, incidents: pd.DataFrame, hearings: Frames, welfare: child_welfare.Welfare, federal: pa.Table
) -> pd.DataFrame:
    """Every source key under which somebody is known: agency, table_or_file, source_person_key, since,
    true_person_id."""
    incidents = incidents.assign(
        key=incidents["incident_no"] + "|" + incidents["pers_no"].astype("string").str.zfill(2)
    )
    clients = welfare.clients
    numbers = clients.assign(key="F" + (clients["client"].astype("int64") * 3 + 17).astype("string"))
    named = [
        (schools.AGENCY, "students", classes["spells"], "student_no", "entered"),
        (schools.AGENCY, "contacts", classes["contacts"], "contact_id", "since"),
        (police.AGENCY, "RMS_NAMES", incidents, "key", "on"),
        (court.AGENCY, "party", hearings["parties"], "party_no", "since"),
        (child_welfare.AGENCY, "client", clients, "client", "opened_on"),
        (
            child_welfare.AGENCY,
            "federal_child",
            numbers[numbers["key"].isin(federal["CHILD"].to_pylist())],
            "key",
            "opened_on",
        ),
    ]
    return pd.concat(
        rows[[key, since, "person_id"]]
        .set_axis(["source_person_key", "since", "true_person_id"], axis=1)
        .assign(agency=agency, table_or_file=table)
        for agency, table, rows, key, since in named
    )


def _write_truth(mentions: pd.DataFrame, calendar: Calendar, into: Path) -> None:
    """Which source keys are one person. Before an adoption a child is another person: no score may join the two."""
    sent = mentions[mentions["since"] <= calendar.last]
    columns = ["agency", "table_or_file", "source_person_key", "true_person_id"]
    into.mkdir(parents=True)
    sent[columns].drop_duplicates().sort_values(columns).to_csv(into / "person_truth.csv", index=False)


def _with_copies(arrivals: Sequence[Arrival], deliveries: Path) -> Iterator[Arrival]:
    """The arrivals, a file marked whose very content came before: sent twice, or a week without news."""
    seen: set[tuple[str, str]] = set()
    for arrival in arrivals:
        path = deliveries / f"day{arrival.delivery:02d}" / arrival.agency / arrival.name
        content = (arrival.agency, sha256(path.read_bytes()) if path.is_file() else "")
        yield replace(arrival, fate="duplicate") if content in seen and path.is_file() else arrival
        seen.add(content)


def _finish(county: County) -> County:
    expected = {
        "persons": county.persons,
        "days": county.days,
        "seed": county.seed,
        "arrivals": [a.as_dict() for a in county.arrivals],
    }
    (county.folder / "truth" / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    return county


def copy_declarations(home: Path) -> list[str]:
    """Puts the mapping declarations of the four agencies into a home's agencies folder.

    Returns:
        The agencies.
    """
    for agency in AGENCIES:
        shutil.copytree(DECLARATIONS / agency, home / "agencies" / agency, dirs_exist_ok=True)
    return list(AGENCIES)
