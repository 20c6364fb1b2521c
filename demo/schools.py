"""The school district: students and their enrolments, absences, incidents and contacts, whole files each week."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.calendar import SCHOOL_START, Calendar, school_days
from demo.formats import Arrival, Frames, lay_out, quoted_text, read_queries, sha256, write_file
from demo.noise import Quality, mention
from demo.population import Population, numbered

AGENCY = "demo_schools"
QUALITY = Quality(
    typing_error=0.006, nickname=0.01, former_surname=0.0, wrong_birth=0.006, no_phone=0.1, late_with_moves=0.05
)
CONTACT_QUALITY = Quality(
    typing_error=0.01,
    nickname=0.08,
    former_surname=0.06,
    no_phone=0.05,
    late_with_moves=0.05,
    no_middle=1.0,
    no_suffix=0.5,
)
UNKNOWN_STUDENT = "999999"


def make_schools(population: Population, calendar: Calendar, rng: np.random.Generator) -> Frames:
    """What the student information system knows.

    Returns:
        spells, absences, incidents, contacts as sql/schools.sql reads them, each with who (position in the population),
        and homes as they are now.
    """
    spells = _spells(population, calendar, rng)
    students = spells.drop_duplicates("student_no")
    homes = population.homes.reset_index(names="household")
    return {
        "spells": spells,
        "absences": _absences(students, calendar, rng),
        "incidents": _incidents(students, calendar, rng),
        "contacts": _contacts(students, population, rng),
        "homes": homes[["household", "line1", "unit", "city", "zip", "phone", "moved_on"]],
    }


def _spells(population: Population, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    """One row per student and enrolment; a few children are registered twice, some change the school."""
    start = np.datetime64(SCHOOL_START)
    everyone = np.arange(len(population.people))
    age = population.age(everyone, start)
    who = np.flatnonzero(~population.column("adult") & (age >= 5) & (age < 18.5) & (rng.random(len(age)) < 0.93))
    who = np.sort(np.r_[who, who[rng.random(len(who)) < 0.004]])
    size, part = len(who), rng.random(len(who))
    entered = np.where(part < 0.06, calendar.moments(size, rng, since=start), start)
    leaves = (part > 0.93) & (calendar.moments(size, rng, since=start) > entered)
    left = np.where(leaves, entered + rng.integers(5, 150, size).astype("timedelta64[D]"), np.datetime64("NaT"))
    grade = np.floor(age[who]).astype(int).clip(5, 17) - 5
    spells = pd.DataFrame(
        {
            "who": who,
            "student_no": numbered("", 100_000 + 3 * rng.permutation(size), 6),
            "entered": entered,
            "left": left,
            "entry_reason": np.where(part < 0.04, "DISTRICT", np.where(part < 0.06, "NEWSTATE", "START")),
            "leave_reason": np.select([~leaves, part > 0.97, part > 0.95], ["", "WITHIN", "MOVEDOUT"], "MOVEDIN"),
            "grade": np.where(grade == 0, "K", grade.astype(str)),
            "school": _schools(grade, who),
            **_circumstances(size, rng),
            "state_id": population.column("state_id", who),
        }
    )
    said = mention(population, who, quality=QUALITY, on=np.datetime64(calendar.date(1)), rng=rng)
    said["goes_by"] = np.where(rng.random(size) < 0.15, population.column("nickname", who), "")
    return _with_transfers(pd.concat([spells, said], axis=1))


def _with_transfers(spells: pd.DataFrame) -> pd.DataFrame:
    again = spells[spells["leave_reason"] == "WITHIN"].copy()
    again["entered"], again["left"] = again["left"] + pd.Timedelta(days=1), pd.NaT
    again["school"], again["entry_reason"], again["leave_reason"] = again["school"].str[:2] + "90", "WITHIN", ""
    return pd.concat([spells, again], ignore_index=True)


def _schools(
    grade: np.ndarray[tuple[int], np.dtype[np.int64]], who: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    level = np.select([grade <= 5, grade <= 8], ["01", "03"], "05").astype(object)
    return np.asarray(level + numbered("", who // 997 % 12, 2))


def _circumstances(size: int, rng: np.random.Generator) -> dict[str, np.ndarray[tuple[int], np.dtype[np.object_]]]:
    housing = np.array(["", "SHARED", "SHELTER", "MOTEL", "UNSHELTERED"], dtype=object)
    return {
        "housing": housing[rng.choice(5, size, p=[0.96, 0.025, 0.008, 0.005, 0.002])],
        "special_ed": np.where(rng.random(size) < 0.14, "1", "0").astype(object),
        "foster": np.where(rng.random(size) < 0.008, "1", "0").astype(object),
    }


def _absences(students: pd.DataFrame, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    """Exceptions only; a few students miss many days. From delivery 2 on an unseen code stands in some."""
    days = school_days(calendar.date(calendar.days))
    at = np.repeat(np.arange(len(students)), rng.poisson(rng.gamma(0.7, 8.0, len(students))))
    size = len(at)
    kinds = np.array(["UNX", "EXC", "TDU", "TDX", "EARLY", "SUSP"], dtype=object)[
        rng.choice(6, size, p=[0.3, 0.38, 0.16, 0.08, 0.06, 0.02])
    ]
    chosen = students[["who", "student_no", "school", "entered"]].iloc[at].reset_index(drop=True)
    absences = chosen.assign(
        on=days[rng.integers(0, len(days), size)],
        kind=kinds,
        periods=np.where(np.isin(kinds, ["UNX", "EXC", "SUSP"]), 7, rng.integers(0, 4, size)),
    )
    absences = (
        absences[absences["on"] >= absences["entered"]].drop_duplicates(["student_no", "on"]).reset_index(drop=True)
    )
    last = absences["on"] >= np.datetime64(calendar.date(1))
    return absences.assign(unseen=last & (last.cumsum() <= 5))


def _incidents(students: pd.DataFrame, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    days = school_days(calendar.date(calendar.days))
    at = np.flatnonzero(rng.random(len(students)) < 0.06)
    size = len(at)
    what = np.array(["FIGHT", "THREAT", "DISRUPT", "VAPE", "BULLY", "SKIP", "DAMAGE"], dtype=object)[
        rng.integers(0, 7, size)
    ]
    sanction = np.array(["DETENTION", "INSCHOOL", "HOME", "TALK", "NONE"], dtype=object)[rng.integers(0, 5, size)]
    served = np.where(np.isin(sanction, ["INSCHOOL", "HOME"]), rng.integers(1, 6, size).astype(str), "")
    chosen = (
        students[["who", "student_no", "school"]]
        .iloc[at]
        .reset_index(drop=True)
        .assign(on=days[rng.integers(0, len(days), size)])
    )
    incidents = chosen.sort_values(["on", "student_no"], ignore_index=True)
    # Free text holds what clerks type: quotes and line breaks.
    detail = np.where(np.arange(size) % 9 == 0, 'Said "no",\nthen left', "See the file")
    return incidents.assign(
        incident_no=numbered("I26", np.arange(size), 6),
        what=what,
        detail=detail,
        sanction=sanction,
        sanction_days=served,
        police_called=np.where(rng.random(size) < 0.08, "Y", "N"),
    )


def _contacts(students: pd.DataFrame, population: Population, rng: np.random.Generator) -> pd.DataFrame:
    """The adults at home, entered once for all their children, now and then again for the next child."""
    rows = []
    for number, adult in enumerate(population.adults_of(students["who"].to_numpy()), start=1):
        rows.append(
            pd.DataFrame(
                {
                    "student_no": students["student_no"].to_numpy(),
                    "who": adult,
                    "contact_no": number,
                    "since": students["entered"].to_numpy(),
                }
            )
        )
    contacts = pd.concat(rows)
    contacts = contacts[contacts["who"] >= 0].reset_index(drop=True)
    contacts["entry"] = (rng.random(len(contacts)) < 0.03).astype(int)
    people = contacts[["who", "entry"]].drop_duplicates().sort_values(["who", "entry"], ignore_index=True)
    people["contact_id"] = numbered("", 7_000_000 + 11 * rng.permutation(len(people)), 8)
    said = mention(
        population, people["who"].to_numpy(), quality=CONTACT_QUALITY, on=np.datetime64(SCHOOL_START), rng=rng
    )
    contacts = contacts.merge(pd.concat([people, said], axis=1), on=["who", "entry"])
    part = rng.random(len(contacts))
    return contacts.assign(
        relation=np.where(part < 0.04, "GUARDIAN", np.where(contacts["sex"] == "F", "MOTHER", "FATHER")),
        lives_with=np.where(part > 0.08, "Y", "N"),
        note=np.where(part > 0.995, "Not to pick up without a call to the office", ""),
    )


def write_schools(frames: Frames, calendar: Calendar, into: Path) -> list[Arrival]:
    """The files of every delivery with their manifest; on delivery 3 the absences break off in the middle.

    Returns:
        What arrives, file by file.
    """
    arrivals = []
    for delivery in calendar.deliveries:
        folder = into / f"day{delivery:02d}" / AGENCY
        listed = [
            _send(name, delivery, calendar, frames, folder)
            for name in ("students", "absences", "incidents", "contacts")
        ]
        arrivals += [arrival for arrival, _ in listed] + [
            _send_manifest(listed, calendar.date(delivery), delivery, folder)
        ]
    return arrivals


def _send(name: str, delivery: int, calendar: Calendar, frames: Frames, folder: Path) -> tuple[Arrival, str]:
    day = calendar.date(delivery)
    table = lay_out(read_queries("schools", day=day, first=calendar.date(1))[name], **frames)
    extra, accidents = _accidents(name, table)
    content = quoted_text(table, extra=extra)
    cut = delivery == 3 and name == "absences"
    file = f"{name}_{day:%Y-%m-%d}.csv"
    write_file(folder / file, content[: content.rfind(b"\r\n", 0, int(len(content) * 0.6)) + 2] if cut else content)
    rows = table.num_rows + len(extra)
    return Arrival(delivery, AGENCY, file, rows, fate="held" if cut else "loaded", accidents=accidents), sha256(content)


def _accidents(name: str, table: pa.Table) -> tuple[list[str], dict[str, int]]:
    """Lines planted after the rows: cut short, of a student nobody knows, sent twice."""
    if not table.num_rows:
        return [], {}
    student = table["student_no"][0].as_py()
    if name == "absences":
        unseen = sum(count["counts"] for count in table["kind"].value_counts().to_pylist() if count["values"] == "REM")
        return [f'"{student}","0100"', f'"{student}"'], {"ragged": 2} | ({"unseen_code": unseen} if unseen else {})
    if name == "contacts":
        blank = ",".join(['""'] * (table.num_columns - 5))
        return [f'"{UNKNOWN_STUDENT}","1","00000001","Nobody, Demo","MOTHER",{blank}'], {"orphan": 1}
    if name == "students":
        return [",".join(f'"{value}"' for value in table.slice(0, 1).to_pylist()[0].values())], {"exact_copy": 1}
    return [], {}


def _send_manifest(listed: list[tuple[Arrival, str]], day: dt.date, delivery: int, folder: Path) -> Arrival:
    rows = [{"file_name": arrival.name, "row_count": str(arrival.rows), "sha256": digest} for arrival, digest in listed]
    name = f"manifest_{day:%Y-%m-%d}.csv"
    write_file(folder / name, quoted_text(pa.Table.from_pylist(rows)))
    return Arrival(delivery, AGENCY, name, len(rows))
