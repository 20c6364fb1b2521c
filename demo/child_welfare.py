"""The child welfare agency: what its case system knows of reports, findings, removals and placements, day by day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demo.calendar import FIRST_DELIVERY, Calendar
from demo.names import draw, surnames
from demo.noise import Quality, mention
from demo.population import Ints, Population, numbered

AGENCY = "demo_child_welfare"
QUALITY = Quality(
    typing_error=0.015,
    nickname=0.03,
    former_surname=0.15,
    no_birth=0.04,
    wrong_birth=0.01,
    no_ssn=0.4,
    false_ssn=0.003,
    no_phone=0.3,
    late_with_moves=0.15,
)

_KINDS = ["NEG", "PHY", "SEX", "EMO", "MED"]
_SOURCES = ["POL", "SCH", "MED", "REL", "NBR", "ANON"]


@dataclass(frozen=True)
class Welfare:
    """What the agency knows; dates that lie ahead of a delivery are shown from that delivery on.

    Args:
        reports: report (number), household, received_on, screened_in, source, first adult as alleged perpetrator (who).
        victims: One row per report and child: report, who, kind, finding ('' where screened out), finding_on.
        clients: One row per client: client (number), who, opened_on, fate ('', second, adopted,
            before_adoption), and the mention.
        removals: removal (number), who, removed_on, ended_on, end, reason, by_court.
        placements: removal, seq, setting, started_on, ended_on.
    """

    reports: pd.DataFrame
    victims: pd.DataFrame
    clients: pd.DataFrame
    removals: pd.DataFrame
    placements: pd.DataFrame


def make_welfare(population: Population, calendar: Calendar, rng: np.random.Generator) -> Welfare:
    """Reports on households, what was found, who was removed and where the children lived."""
    reports = _reports(population, calendar, rng)
    victims = _victims(population, reports, rng)
    removals = _removals(victims, rng)
    clients = _clients(population, reports, victims, removals, rng)
    return Welfare(reports, victims, clients, removals, _placements(removals, rng))


def _reports(population: Population, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    people = population.people
    with_children = np.unique(people["household"][~people["adult"]])
    risk = people.groupby("household")["risk"].first().to_numpy()[with_children]
    household = np.repeat(with_children, rng.poisson(0.09 * risk))
    on = np.sort(calendar.moments(len(household), rng))
    household = rng.permutation(household)
    first = np.flatnonzero(population.column("adult") & (population.column("place") == 0))
    perpetrator = first[household]
    partner = perpetrator + 1
    has_partner = population.column("adult")[np.minimum(partner, len(people) - 1)] & (partner < len(people))
    second = has_partner & (population.column("household")[np.minimum(partner, len(people) - 1)] == household)
    return pd.DataFrame(
        {
            "report": np.arange(len(household)),
            "household": household,
            "received_on": on,
            "screened_in": rng.random(len(household)) < 0.65,
            "source": np.array(_SOURCES, dtype=object)[rng.integers(0, len(_SOURCES), len(household))],
            "who": np.where(second & (rng.random(len(household)) < 0.4), partner, perpetrator),
        }
    )


def _victims(population: Population, reports: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Most reports concern every child of the household who is under 18 on that day."""
    people = population.people
    children = pd.DataFrame(
        {"who": np.flatnonzero(~people["adult"]), "household": people["household"][~people["adult"]].to_numpy()}
    )
    pairs = (
        reports[["report", "household", "received_on", "screened_in"]]
        .merge(children, on="household")
        .sort_values(["report", "who"], ignore_index=True)
    )
    age = population.age(pairs["who"].to_numpy(), pairs["received_on"].to_numpy().astype("datetime64[D]"))
    pairs = pairs[
        (age >= 0) & (age < 18) & ((rng.random(len(pairs)) < 0.85) | ~pairs["report"].duplicated())
    ].reset_index(drop=True)
    size = len(pairs)
    finding = np.select([rng.random(size) < 0.30, rng.random(size) < 0.15], ["SUB", "ALT"], "UNS")
    finding_on = pairs["received_on"] + pd.to_timedelta(rng.integers(10, 60, len(reports))[pairs["report"]], unit="D")
    kinds = np.array(_KINDS, dtype=object)[np.minimum(rng.geometric(0.55, size), len(_KINDS)) - 1]
    return pairs.assign(
        kind=kinds,
        finding=np.where(pairs["screened_in"], finding, ""),
        finding_on=finding_on.where(pairs["screened_in"]),
    ).drop(columns=["household", "screened_in"])


def _removals(victims: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A quarter of the substantiated reports end in a removal, of all children concerned on one day."""
    found = victims[victims["finding"] == "SUB"].drop_duplicates("who")
    reports = np.unique(found["report"])
    taken = found[found["report"].isin(reports[rng.random(len(reports)) < 0.25])].reset_index(drop=True)
    size = len(taken)
    ended_on = taken["finding_on"] + pd.to_timedelta(rng.integers(40, 500, size), unit="D")
    end = rng.choice(["HOME", "ADOPT", "GUARD", "AGED"], size, p=[0.6, 0.2, 0.15, 0.05]).astype(object)
    # Every adoption was before the first delivery: the other agencies know the child by the new name only.
    end = np.where((end == "ADOPT") & (ended_on >= pd.Timestamp(FIRST_DELIVERY)), "HOME", end)
    return pd.DataFrame(
        {
            "removal": np.arange(size),
            "who": taken["who"],
            "removed_on": taken["finding_on"],
            "ended_on": ended_on,
            "end": end,
            "reason": taken["kind"],
            "by_court": rng.random(size) < 0.85,
            "report": taken["report"],
        }
    )


def _placements(removals: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One or two placements an episode; the second begins where the first ends."""
    size = len(removals)
    length = (removals["ended_on"] - removals["removed_on"]).dt.days.to_numpy()
    change = removals["removed_on"] + pd.to_timedelta((length * rng.uniform(0.1, 0.9, size)).astype(int), unit="D")
    two = rng.random(size) < 0.4
    setting = np.array(["FOSTER", "KIN", "SHELTER", "GROUP", "TRIALHOME"], dtype=object)
    first = pd.DataFrame(
        {
            "removal": removals["removal"],
            "who": removals["who"],
            "seq": 1,
            "setting": setting[rng.integers(0, 4, size)],
            "started_on": removals["removed_on"],
            "ended_on": change.where(two, removals["ended_on"]),
        }
    )
    second = first[two].assign(
        seq=2,
        setting=setting[rng.integers(0, 5, int(two.sum()))],
        started_on=change[two],
        ended_on=removals["ended_on"][two],
    )
    return pd.concat([first, second]).sort_values(["removal", "seq"], ignore_index=True)


def _clients(
    population: Population,
    reports: pd.DataFrame,
    victims: pd.DataFrame,
    removals: pd.DataFrame,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Everyone in a report, opened on the day of the first one; hotline workers now and then open a second record."""
    named = pd.concat([victims[["who", "received_on"]], reports[["who", "received_on"]]]).rename(
        columns={"received_on": "opened_on"}
    )
    known = named.groupby("who")["opened_on"].min().reset_index().assign(fate="")
    twice = known[rng.random(len(known)) < 0.02].assign(fate="second")
    adopted = (
        removals[removals["end"] == "ADOPT"][["who", "ended_on"]]
        .rename(columns={"ended_on": "opened_on"})
        .assign(fate="adopted")
    )
    known.loc[known["who"].isin(adopted["who"]), "fate"] = "before_adoption"
    rows = pd.concat([known, twice[~twice["who"].isin(adopted["who"])], adopted]).sort_values(
        ["opened_on", "who", "fate"], ignore_index=True
    )
    who, on = rows["who"].to_numpy(), rows["opened_on"].to_numpy().astype("datetime64[D]")
    said = mention(population, who, quality=QUALITY, on=on, rng=rng)
    said["state_id"] = np.where(
        ~population.column("adult", who) & (rng.random(len(who)) < 0.3), population.column("state_id", who), ""
    )
    said["placeholder"] = _newborns(said, population.age(who, on), rng)
    _before_adoption(said, rows["fate"] == "before_adoption", population, rng)
    return rows.assign(client=numbered("", 200_000_000 + 7 * np.arange(len(rows)), 9)).join(said)


def _newborns(said: pd.DataFrame, age: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator) -> Ints:
    """A newborn without a name yet stands as BABY BOY or BABY GIRL."""
    unnamed = (age < 0.1) & (rng.random(len(said)) < 0.5)
    said.loc[unnamed, "given"] = np.where(said["sex"][unnamed] == "M", "BABY BOY", "BABY GIRL")
    said.loc[unnamed, ["middle", "ssn"]] = ""
    return unnamed.astype(int)


def _before_adoption(
    said: pd.DataFrame, which: pd.Series[bool], population: Population, rng: np.random.Generator
) -> None:
    """The record of before an adoption bears the name and home of birth; no other agency knows the child by it."""
    pool = surnames()
    said.loc[which, "surname"] = pool[draw(pool, int(which.sum()), rng)]
    said.loc[which, "person_id"] = said.loc[which, "person_id"] + "-before-adoption"
    said.loc[which, ["ssn", "state_id", "phone"]] = ""
    elsewhere = population.homes.sample(int(which.sum()), replace=True, random_state=rng)
    for name in ("line1", "unit", "city", "zip"):
        said.loc[which, name] = elsewhere[name].to_numpy()
