"""Who lives in the synthetic county: households, twins, moves, changed names; the truth of every extract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demo.calendar import FIRST_DELIVERY, Calendar, Dates
from demo.names import Text, draw, given_names, streets, surnames

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

RACES = np.array(["WHITE", "HISP", "BLACK", "ASIAN", "MENA", "AIAN", "NHPI"], dtype=object)
_RACE_SHARES = [0.50, 0.21, 0.15, 0.07, 0.03, 0.03, 0.01]
_TOWNS = ["Tessera", "Calder Mills", "North Tessera", "Fennimore Bend", "Ostrand", "Little Quarry"]
_LANGUAGES = {"HISP": "spa", "ASIAN": "vie", "MENA": "ara"}


@dataclass(frozen=True)
class Population:
    """The people of the county and where they live.

    Args:
        people: One row per person: person_id, household, place (in the household), adult, sex, given, middle, nickname,
            surname, former_surname ('' where it never changed), suffix, birth, ssn, state_id, race, language, twin,
            risk.
        homes: One row per household: line1, unit, city, zip, phone, the same of before (was_...), and moved_on (NaT
            where never).
    """

    people: pd.DataFrame
    homes: pd.DataFrame

    def column(self, name: str, who: Ints | slice = slice(None)) -> NDArray[Any]:
        """A column of the people at the positions given."""
        values = self.people[name].to_numpy()
        return (values.astype("datetime64[D]") if values.dtype.kind == "M" else values)[who]

    def age(self, who: Ints, on: Dates | np.datetime64) -> NDArray[np.float64]:
        """Ages in years on a day."""
        return np.asarray((on - self.column("birth", who)).astype(np.float64) / 365.25)

    def adults_of(self, who: Ints) -> tuple[Ints, Ints]:
        """The first and second adult of each person's household; -1 where there is no second."""
        household, place, adult = (self.column(name) for name in ("household", "place", "adult"))
        found = np.full((len(self.homes), 2), -1)
        for n in (0, 1):
            at = np.flatnonzero(adult & (place == n))
            found[household[at], n] = at
        return found[household[who], 0], found[household[who], 1]


def make_population(persons: int, *, calendar: Calendar, rng: np.random.Generator) -> Population:
    """A county of that many persons, in households of one to six."""
    household, place, adult, eldest = _members(persons, rng)
    homes = _homes(int(household[-1]) + 1, calendar, rng)
    birth, twin = _births(household, place, adult, eldest, rng)
    sex = _sexes(adult, place, rng)
    surname, former = _surnames(household, place, adult, sex, rng)
    given, nickname, suffix = _given(household, adult, sex, rng)
    _name_sons_after_fathers(given, suffix, place, adult, sex, surname, rng)
    race = _races(household, adult, place, rng)
    people = pd.DataFrame(
        {
            "person_id": numbered("P", np.arange(persons), 7),
            "household": household,
            "place": place,
            "adult": adult,
            "sex": sex,
            "given": given,
            "middle": _middle(sex, rng),
            "nickname": nickname,
            "surname": surname,
            "former_surname": former,
            "suffix": suffix,
            "birth": birth,
            "ssn": _ssn(persons, rng),
            "state_id": numbered("", 4_000_000_000 + 7 * rng.permutation(persons), 10),
            "race": race,
            "language": _language(race, rng),
            "twin": twin,
            "risk": rng.gamma(0.5, 2.0, len(homes))[household],
        }
    )
    return Population(people.astype({name: object for name in people.columns if people[name].dtype == "str"}), homes)


def numbered(prefix: str, numbers: Ints, width: int) -> Text:
    """Keys such as P0000012."""
    text = pd.Series(numbers).astype("string").str.zfill(width)
    return np.asarray((prefix + text).to_numpy(dtype=object))


def _members(persons: int, rng: np.random.Generator) -> tuple[Ints, Ints, Flags, Ints]:
    count = int(persons / 2.8) + 10
    adults = 1 + (rng.random(count) < 0.65)
    children = rng.choice(5, count, p=[0.22, 0.28, 0.30, 0.14, 0.06])
    size = adults + children
    household = np.repeat(np.arange(count), size)[:persons]
    place = (np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size))[:persons]
    return (
        household,
        place,
        place < adults[household],
        np.where(place < adults[household], -1, place - adults[household]),
    )


def _births(household: Ints, place: Ints, adult: Flags, order: Ints, rng: np.random.Generator) -> tuple[Dates, Flags]:
    """Children follow each other by one to three years, twins on one day; parents were 19 to 38 at the first."""
    count = int(household[-1]) + 1
    children = np.bincount(household[~adult], minlength=count)
    youngest, gap = rng.uniform(0, 13, count), rng.uniform(1.0, 2.6, count)
    age = (
        youngest[household]
        + gap[household] * (children[household] - 1 - order)
        + rng.uniform(-0.4, 0.4, len(household))
    )
    oldest = youngest + gap * (children - 1)
    first = np.where(children > 0, oldest + rng.uniform(19, 38, count), rng.uniform(20, 78, count))
    grown = np.maximum(first[household] + np.where(place == 1, rng.normal(0, 4, len(household)), 0), 19.0)
    birth = np.datetime64(FIRST_DELIVERY) - (np.where(adult, grown, np.maximum(age, 0.05)) * 365.25).astype(
        "timedelta64[D]"
    )
    twin = (order > 0) & (rng.random(len(household)) < 0.025)
    birth[twin] = birth[np.flatnonzero(twin) - 1]
    return birth, twin


def _sexes(adult: Flags, place: Ints, rng: np.random.Generator) -> Text:
    female = rng.random(len(adult)) < np.where(adult, 0.55, 0.5)
    second = np.flatnonzero(adult & (place == 1))
    same = rng.random(len(second)) < 0.06
    female[second] = np.where(same, female[second - 1], ~female[second - 1])
    return np.where(female, "F", "M").astype(object)


def _surnames(household: Ints, place: Ints, adult: Flags, sex: Text, rng: np.random.Generator) -> tuple[Text, Text]:
    """Most couples share a name since they married; some children bear the other parent's name, or both."""
    pool, count = surnames(), int(household[-1]) + 1
    family, other = pool[draw(pool, count, rng)][household], pool[draw(pool, count, rng)][household]
    married = (rng.random(count) < 0.72)[household]
    second = adult & (place == 1)
    part = rng.random(len(household))
    surname = np.where(second & ~married, other, family)
    surname = np.where(~adult & (part < 0.05), other, surname)
    surname = np.where(~adult & (part > 0.96), family + "-" + other, surname)
    changed = (second & married) | (adult & (place == 0) & (sex == "F") & (part < 0.2))
    return surname.astype(object), np.where(changed & (surname != other), other, "").astype(object)


def _given(household: Ints, adult: Flags, sex: Text, rng: np.random.Generator) -> tuple[Text, Text, Text]:
    """No two children of a household bear one given name."""
    given, nickname = np.empty(len(sex), dtype=object), np.empty(len(sex), dtype=object)
    again = np.ones(len(sex), dtype=bool)
    for _ in range(4):
        for letter in ("F", "M"):
            at = np.flatnonzero(again & (sex == letter))
            names, shorts = given_names(letter)
            chosen = draw(names, len(at), rng, slope=0.5)
            given[at], nickname[at] = names[chosen], shorts[chosen]
        again = pd.DataFrame({"h": household, "g": given}).duplicated().to_numpy() & ~adult
    return given, nickname, np.full(len(sex), "", dtype=object)


def _name_sons_after_fathers(
    given: Text,
    suffix: Text,
    place: Ints,
    adult: Flags,
    sex: Text,
    surname: Text,
    rng: np.random.Generator,
) -> None:
    first_child = np.flatnonzero(~adult & np.r_[False, adult[:-1]])
    father = first_child - place[first_child]
    named = (sex[father] == "M") & (sex[first_child] == "M") & (surname[father] == surname[first_child])
    named &= rng.random(len(first_child)) < 0.05
    given[first_child[named]] = given[father[named]]
    suffix[first_child[named]], suffix[father[named]] = "Jr", "Sr"


def _middle(sex: Text, rng: np.random.Generator) -> Text:
    middle = np.full(len(sex), "", dtype=object)
    for letter in ("F", "M"):
        at = np.flatnonzero((sex == letter) & (rng.random(len(sex)) < 0.8))
        names = given_names(letter)[0]
        middle[at] = names[rng.integers(0, len(names), len(at))]
    return middle


def _races(household: Ints, adult: Flags, place: Ints, rng: np.random.Generator) -> Text:
    count = int(household[-1]) + 1
    one = rng.choice(len(RACES), count, p=_RACE_SHARES)
    other = np.where(rng.random(count) < 0.1, rng.choice(len(RACES), count, p=_RACE_SHARES), one)
    low, high = RACES[np.minimum(one, other)][household], RACES[np.maximum(one, other)][household]
    both = np.where(low == high, low, np.where(low < high, low + " " + high, high + " " + low))
    return np.where(~adult, both, np.where(place == 0, RACES[one][household], RACES[other][household])).astype(object)


def _language(race: Text, rng: np.random.Generator) -> Text:
    home = pd.Series(race).str.split(" ").str[0].map(_LANGUAGES).fillna("eng").to_numpy(dtype=object)
    return np.where(rng.random(len(race)) < 0.5, home, "eng").astype(object)


def _ssn(count: int, rng: np.random.Generator) -> Text:
    """Nine digits; area 001-665, group 01-99, serial 0001-9999, no number twice."""
    number = rng.choice(665 * 99 * 9999, count, replace=False, shuffle=True)
    area, rest = np.divmod(number, 99 * 9999)
    group, serial = np.divmod(rest, 9999)
    return numbered("", (area + 1) * 1_000_000 + (group + 1) * 10_000 + serial + 1, 9)


def _homes(count: int, calendar: Calendar, rng: np.random.Generator) -> pd.DataFrame:
    now, was = _addresses(count, rng), _addresses(count, rng)
    moved = calendar.moments(count, rng)
    never = rng.random(count) > 0.2
    moved[never] = np.datetime64("NaT")
    return now.assign(**{f"was_{name}": was[name] for name in was}, moved_on=moved)


def _addresses(count: int, rng: np.random.Generator) -> pd.DataFrame:
    number = pd.Series(rng.integers(1, 9900, count)).astype("string")
    street = pd.Series(streets()[rng.integers(0, len(streets()), count)])
    unit = "Apt " + pd.Series(rng.integers(1, 60, count)).astype("string")
    town = rng.choice(len(_TOWNS), count, p=[0.4, 0.18, 0.16, 0.12, 0.08, 0.06])
    phone = (
        rng.choice([319, 515, 641], count) * 10_000_000
        + rng.integers(200, 999, count) * 10_000
        + rng.integers(0, 9999, count)
    )
    return pd.DataFrame(
        {
            "line1": (number + " " + street).to_numpy(dtype=object),
            "unit": unit.where(rng.random(count) < 0.3, "").to_numpy(dtype=object),
            "city": np.array(_TOWNS, dtype=object)[town],
            "zip": numbered("", 50300 + town * 3 + rng.integers(0, 3, count), 5),
            "phone": numbered("", phone, 10),
        },
        dtype=object,
    )
