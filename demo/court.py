"""The juvenile court: cases that follow arrests, runaway reports and removals, and who is party to them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from demo.calendar import Calendar
from demo.formats import Frames, Tables, tables_as_of
from demo.noise import Quality, mention
from demo.population import Population, numbered

AGENCY = "demo_court"
QUALITY = Quality(
    typing_error=0.015,
    nickname=0.01,
    former_surname=0.15,
    no_birth=0.06,
    wrong_birth=0.01,
    false_birth=0.004,
    no_ssn=0.5,
    false_ssn=0.004,
    no_phone=0.5,
    no_suffix=0.2,
    late_with_moves=0.2,
)

KEYS: dict[str, tuple[str, ...]] = {
    "party": ("party_no",),
    "court_case": ("case_no",),
    "case_party": ("case_no", "party_no", "role"),
    "petition": ("petition_no",),
    "charge": ("charge_no",),
    "hearing": ("hearing_no",),
    "disposition": ("disposition_no",),
}


def make_court(
    population: Population, police: pd.DataFrame, removals: pd.DataFrame, calendar: Calendar, rng: np.random.Generator
) -> Frames:
    """The court's cases, who takes part in which, and how the clerks wrote them down.

    Returns:
        cases (n, case_no, kind, filed_on, decided_on, closed_on, sealed_on, ...), parts (n, who, role, party_no) and
        parties (party_no, who, since, same_person_as and the mention).
    """
    cases = _cases(police, removals, calendar, rng)
    parts = _parts(cases, population)
    parties = _parties(parts, population, rng)
    parts = parts.merge(parties[["who", "side", "entry", "party_no"]], on=["who", "side", "entry"])
    return {"cases": cases, "parts": parts[["n", "who", "role", "party_no"]], "parties": parties}


def tables_on(day: dt.date, frames: Frames) -> Tables:
    """The court's tables as they stand on a day (without the watermark)."""
    return tables_as_of(day, "court", frames)


def _cases(police: pd.DataFrame, removals: pd.DataFrame, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    part = rng.random(len(police))
    arrest, young = (police["involvement"] == "ARR").to_numpy(), (police["age"] < 18).to_numpy()
    kind = np.select(
        [
            arrest & young & (part < 0.7),
            (police["involvement"] == "RUN").to_numpy() & (part < 0.5),
            arrest & ~young & (part < 0.35),
        ],
        ["JD", "ST", "CR"],
        "",
    )
    caught = police.assign(kind=kind)[kind != ""]
    from_police = pd.DataFrame(
        {
            "who": caught["who"],
            "kind": caught["kind"],
            "on": caught["on"],
            "referred_by": "POLICE",
            "referral_no": caught["incident_no"],
            "nibrs": caught["nibrs"],
            "statute": caught["statute"],
            "class": caught["class"],
        }
    )
    taken = removals[removals["by_court"]]
    from_welfare = pd.DataFrame(
        {
            "who": taken["who"],
            "kind": "DP",
            "on": taken["removed_on"],
            "referred_by": "DCW",
            "referral_no": "",
            "nibrs": "",
            "statute": "",
            "class": "",
        }
    )
    cases = pd.concat([from_police, from_welfare], ignore_index=True)
    return _timed(cases, calendar, rng)


def _timed(cases: pd.DataFrame, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    size = len(cases)
    days = {
        name: pd.to_timedelta(rng.integers(low, high, size), unit="D")
        for name, low, high in (("filed", 3, 40), ("decided", 50, 150), ("closed", 60, 240))
    }
    filed_on = cases["on"] + days["filed"]
    cases = cases.assign(offence_on=cases["on"], filed_on=filed_on, decided_on=filed_on + days["decided"])
    cases = cases.assign(closed_on=cases["decided_on"] + days["closed"]).sort_values(
        ["filed_on", "who", "kind"], ignore_index=True
    )
    cases["n"] = np.arange(1, size + 1)
    cases["case_no"] = cases["kind"] + cases["filed_on"].dt.strftime("%y-") + cases["n"].astype("string").str.zfill(6)
    return cases.assign(sealed_on=_seals(cases, calendar, rng)).drop(columns=["on"])


def _seals(cases: pd.DataFrame, calendar: Calendar, rng: np.random.Generator) -> pd.Series[pd.Timestamp]:
    """A few closed juvenile cases were sealed long ago; one is sealed on the day of delivery 2."""
    closed = cases["kind"].isin(["JD", "ST"]) & (cases["closed_on"] < np.datetime64(calendar.date(1)))
    sealed_on = (cases["closed_on"] + pd.Timedelta(days=5)).where(closed & (rng.random(len(cases)) < 0.05))
    open_ = np.flatnonzero(closed & sealed_on.isna())
    if calendar.days > 1 and len(open_):
        sealed_on.iloc[open_[0]] = pd.Timestamp(calendar.date(2))
    return sealed_on


def _parts(cases: pd.DataFrame, population: Population) -> pd.DataFrame:
    """The youth or defendant, and in juvenile cases the adults of the household."""
    role = cases["kind"].map({"JD": "YOUTH", "ST": "YOUTH", "DP": "CHILD", "CR": "DEFENDANT"})
    side = np.where(cases["kind"] == "CR", "DISTRICT", "JUVENILE")
    main = pd.DataFrame({"n": cases["n"], "who": cases["who"], "role": role, "side": side, "since": cases["filed_on"]})
    parts = [main]
    juvenile = main[(cases["kind"] != "CR").to_numpy()]
    for adult in population.adults_of(juvenile["who"].to_numpy()):
        parent = juvenile.assign(who=adult)
        parent = parent[(adult >= 0) & (adult != juvenile["who"].to_numpy())]
        parts.append(
            parent.assign(role=np.where(population.column("sex", parent["who"].to_numpy()) == "F", "MOTHER", "FATHER"))
        )
    return pd.concat(parts, ignore_index=True).assign(entry=lambda rows: (rows["n"] % 33 == 0).astype(int))


def _parties(parts: pd.DataFrame, population: Population, rng: np.random.Generator) -> pd.DataFrame:
    """One entry per person and side of the court; now and then a clerk makes a second, and later notices."""
    parties = (
        parts.groupby(["who", "side", "entry"])["since"]
        .min()
        .reset_index()
        .sort_values(["since", "who", "side", "entry"], ignore_index=True)
    )
    parties["party_no"] = numbered("PY", 300_000 + 3 * np.arange(len(parties)), 7)
    first = parties[parties["entry"] == 0][["who", "side", "party_no"]].rename(columns={"party_no": "same_person_as"})
    parties = parties.merge(first, on=["who", "side"], how="left")
    noticed = (parties["entry"] == 1) & (parties.index % 2 == 0)
    parties["same_person_as"] = parties["same_person_as"].where(noticed)
    said = mention(
        population,
        parties["who"].to_numpy(),
        quality=QUALITY,
        on=parties["since"].to_numpy().astype("datetime64[D]"),
        rng=rng,
    )
    return parties.join(said)
