"""The police department: a row for each person in each incident, sent nightly as a delta."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.calendar import Calendar
from demo.formats import Arrival, lay_out, piped_text, read_queries, write_file
from demo.noise import Quality, mention
from demo.population import Ints, Population

AGENCY = "demo_police"
ORI = "XD0770100"
TRAILER = "END"
QUALITY = Quality(
    typing_error=0.02,
    nickname=0.05,
    former_surname=0.1,
    no_middle=0.35,
    no_birth=0.07,
    wrong_birth=0.015,
    no_ssn=0.55,
    false_ssn=0.004,
    no_phone=0.45,
    no_address=0.03,
)

# involvement -> offences seen there: NIBRS code, statute, class
_OFFENCES = {
    "ARR": [
        ("13B", "708.2", "M"),
        ("23C", "714.2", "M"),
        ("290", "716.6", "M"),
        ("35A", "124.401", "F"),
        ("220", "713.5", "F"),
        ("240", "714.7", "F"),
        ("90C", "723.4", "I"),
    ],
    "CIT": [("90Z", "321.285", "I"), ("90J", "716.8", "I"), ("90C", "723.4", "I")],
    "FI": [("90Z", "", "")],
    "RUN": [("90I", "232.2", "S")],
    "VIC": [("13B", "708.2", "M"), ("290", "716.6", "M"), ("220", "713.5", "F")],
}


def police_rows(population: Population, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    """Every person's part in every incident.

    Returns:
        who (position in the population), incident, incident_no, pers_no, involvement, nibrs, statute, class, on (day of
        the incident), minute, age, name_no (the department's own name index), and the mention (see noise.mention).
    """
    who = _known(population, calendar, rng)
    on = calendar.moments(len(who), rng)
    order = np.argsort(on, kind="stable")
    rows = pd.DataFrame({"who": who[order], "on": on[order], "pers_no": 1, "incident": np.arange(len(who))})
    rows["age"] = np.floor(population.age(who[order], on[order])).astype(int)
    rows["involvement"] = _involvement(rows["age"].to_numpy(), rng)
    rows = pd.concat([rows, _victims(rows, population, rng)], ignore_index=True).sort_values(
        ["incident", "pers_no"], ignore_index=True
    )
    rows["minute"] = rng.integers(0, 24 * 60, int(rows["incident"].max()) + 1)[rows["incident"]]
    return _written(_with_offence(rows, rng), population, rng)


def _known(population: Population, calendar: Calendar, rng: np.random.Generator) -> Ints:
    """Who comes to the notice of the police, once for each time."""
    people = np.arange(len(population.people))
    age, risk = population.age(people, calendar.last), population.column("risk")
    rate = np.where(age >= 18, 0.12, np.where(age >= 11, 0.18, 0.0))
    return np.repeat(people, rng.poisson(rate * risk))


def _involvement(age: Ints, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    part = rng.random(len(age))
    grown = np.select([part < 0.35, part < 0.75], ["ARR", "CIT"], "FI")
    young = np.select([part < 0.40, part < 0.55, part < 0.80], ["ARR", "CIT", "FI"], "RUN")
    return np.where(age < 18, young, grown).astype(object)


def _victims(rows: pd.DataFrame, population: Population, rng: np.random.Generator) -> pd.DataFrame:
    """A third of the arrests have a victim: someone of the household, or anyone."""
    hurt = rows[(rows["involvement"] == "ARR").to_numpy() & (rng.random(len(rows)) < 0.35)].copy()
    first, second = population.adults_of(hurt["who"].to_numpy())
    other = np.where(second >= 0, np.where(second == hurt["who"], first, second), -1)
    anyone = rng.integers(0, len(population.people), len(hurt))
    at_home = (rng.random(len(hurt)) < 0.4) & (other >= 0)
    hurt["who"] = np.where(at_home, other, anyone)
    hurt["age"] = np.floor(
        population.age(hurt["who"].to_numpy(), hurt["on"].to_numpy().astype("datetime64[D]"))
    ).astype(int)
    return hurt[hurt["age"] >= 0].assign(involvement="VIC", pers_no=2)


def _with_offence(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    pick = rng.random(len(rows))
    for column, n in (("nibrs", 0), ("statute", 1), ("class", 2)):
        value = np.full(len(rows), "", dtype=object)
        for involvement, offences in _OFFENCES.items():
            at = np.flatnonzero(rows["involvement"] == involvement)
            value[at] = np.array([o[n] for o in offences], dtype=object)[(pick[at] * len(offences)).astype(int)]
        rows[column] = value
    return rows


def _written(rows: pd.DataFrame, population: Population, rng: np.random.Generator) -> pd.DataFrame:
    on = rows["on"].to_numpy().astype("datetime64[D]")
    said = mention(population, rows["who"].to_numpy(), quality=QUALITY, on=on, rng=rng)
    year = pd.Series(rows["on"]).dt.strftime("%y")
    number = pd.Series(rows["incident"] * 3 + 11).astype("string").str.zfill(7)
    # An officer now and then opens a second entry for a known person.
    second = (rng.random(len(rows)) < 0.03).astype(int)
    # The numbers are scattered so that they do not give the order of the population away.
    name_no = 1_000_000 + ((rows["who"] * 2 + second) * 7_368_787) % 89_999_999
    return pd.concat(
        [
            rows.assign(
                incident_no=(year + "-" + number).to_numpy(dtype=object),
                name_no=name_no.astype(str),
                officer=rng.integers(100, 160, len(rows)),
            ),
            said,
        ],
        axis=1,
    )


def write_police(rows: pd.DataFrame, calendar: Calendar, into: Path, rng: np.random.Generator) -> list[Arrival]:
    """The nightly files of every delivery; the first holds all that happened before.

    Returns:
        What arrives, file by file.
    """
    sent = _with_changes(rows, calendar, rng)
    arrivals: list[Arrival] = []
    for delivery in calendar.deliveries:
        for night in calendar.nights(delivery):
            first = delivery == 1
            table = _layout(sent, night, history=first)
            arrivals += _send(table, delivery, night, into / f"day{delivery:02d}" / AGENCY)
    return arrivals


def _with_changes(rows: pd.DataFrame, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    """Each row as first sent (A), a few again with a change (C), a few taken back (X), on the night of entry."""
    first = rows.assign(action="A", entered=rows["on"])
    later = (
        calendar.moments(len(rows), rng, since=np.datetime64(calendar.date(1)) + 1)
        if calendar.days > 1
        else calendar.moments(len(rows), rng)
    )
    part = rng.random(len(rows))
    due = (rows["on"].to_numpy() < later) & (calendar.days > 1)
    changed = first[due & (part < 0.01)].assign(action="C", entered=later[due & (part < 0.01)])
    changed["officer"] = changed["officer"] + 1
    dropped = first[due & (part > 0.999)].assign(action="X", entered=later[due & (part > 0.999)])
    return pd.concat([first, changed, dropped], ignore_index=True)


def _layout(sent: pd.DataFrame, night: dt.date, *, history: bool) -> pa.Table:
    entered, day = sent["entered"].to_numpy().astype("datetime64[D]"), np.datetime64(night)
    due = sent[(entered <= day) if history else (entered == day)]
    return lay_out(read_queries("police")["night"].replace("{ori}", ORI), due=due)


def _send(table: pa.Table, delivery: int, night: dt.date, folder: Path) -> list[Arrival]:
    """Writes one night, with what goes wrong on it; in delivery 2 one file comes again under another name."""
    extra, accidents = _accidents(delivery, night, table.num_columns)
    content = piped_text(table, trailer=TRAILER, extra=extra)
    names = [f"RMS_NAMES_{night:%Y%m%d}.txt"]
    if delivery == 2 and night.strftime("%a") == "Wed":
        names.append(f"RMS_NAMES_{night:%Y%m%d}_AGAIN.txt")
    for name in names:
        write_file(folder / name, content)
    rows = table.num_rows + len(extra)
    return [Arrival(delivery, AGENCY, name, rows, accidents=accidents) for name in names]


def _accidents(delivery: int, night: dt.date, columns: int) -> tuple[list[str], dict[str, int]]:
    """Records planted after the rows: with a field too many and too few; the delete of a row that never was."""
    if delivery == 1:
        # A pipe typed into a name makes one field too many; a line break cut the other short.
        many = f"A|{ORI}|24-9999991|01|4000001|FI|O|HARE|DEMO" + "|" * (columns - 8)
        return [many, f"A|{ORI}|24-9999992|01|4000002"], {"ragged": 2}
    if delivery == 2 and night.strftime("%a") == "Tue":
        delete = f"X|{ORI}|24-9999993|01" + "|" * (columns - 4) + f"{night} 23:00:00"
        return [delete], {"delete_unknown_key": 1}
    return [], {}
