"""How agencies get a person wrong: typing errors, short and former names, missing and false numbers, old addresses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demo.calendar import Dates
from demo.names import Text
from demo.population import Flags, Ints, Population

FALSE_SSN = "999999999"
FALSE_BIRTH = "1900-01-01"


@dataclass(frozen=True)
class Quality:
    """How well an agency knows people: the share of its mentions with each fault."""

    typing_error: float = 0.01
    nickname: float = 0.02
    former_surname: float = 0.1
    swapped_names: float = 0.002
    no_middle: float = 0.3
    middle_initial: float = 0.4
    no_suffix: float = 0.3
    no_birth: float = 0.0
    wrong_birth: float = 0.01
    false_birth: float = 0.0
    no_ssn: float = 1.0
    wrong_ssn: float = 0.01
    false_ssn: float = 0.0
    no_phone: float = 0.2
    no_address: float = 0.01
    late_with_moves: float = 0.1


def mention(
    population: Population, who: Ints, *, quality: Quality, on: Dates | np.datetime64, rng: np.random.Generator
) -> pd.DataFrame:
    """How an agency wrote people down on a day.

    Args:
        population: The county.
        who: Positions of the people, one for each row.
        quality: How well the agency knows them.
        on: The day(s) of writing: before a move the address of then.
        rng: Draws the errors.

    Returns:
        person_id, household, sex, race, language, given, middle, surname, suffix, birth (yyyy-mm-dd), ssn, line1, unit,
        city, zip, phone; all text but household, '' where nothing was written.
    """
    size = len(who)

    def some(share: float) -> Flags:
        return rng.random(size) < share

    given, nickname, surname, former = (
        population.column(n, who) for n in ("given", "nickname", "surname", "former_surname")
    )
    given = typed(np.where(some(quality.nickname) & (nickname != ""), nickname, given), quality.typing_error, rng)
    surname = typed(np.where(some(quality.former_surname) & (former != ""), former, surname), quality.typing_error, rng)
    swap = some(quality.swapped_names)
    middle = population.column("middle", who)
    middle = np.where(some(quality.middle_initial), _initial(middle), middle)
    return pd.DataFrame(
        {
            **{name: population.column(name, who) for name in ("person_id", "household", "sex", "race", "language")},
            "given": np.where(swap, surname, given),
            "middle": np.where(some(quality.no_middle), "", middle),
            "surname": np.where(swap, given, surname),
            "suffix": np.where(some(quality.no_suffix), "", population.column("suffix", who)),
            "birth": _births(population.column("birth", who), quality, rng),
            "ssn": _ssn(population.column("ssn", who), quality, rng),
            **_homes(population, who, quality, on, rng),
        },
        dtype=object,
    )


def typed(words: Text, share: float, rng: np.random.Generator) -> Text:
    """The words with one typing error in that share of them: a letter left out, doubled, swapped or replaced."""
    hit = np.flatnonzero((rng.random(len(words)) < share) & (words != ""))
    if not len(hit):
        return words
    result = words.astype(object)
    result[hit] = _mistype(words[hit].astype(str), rng)
    return result


def _mistype(words: NDArray[np.str_], rng: np.random.Generator) -> Text:
    width = int(np.char.str_len(words).max()) + 1
    letters = np.ascontiguousarray(words.astype(f"U{width}")).view(np.uint32).reshape(len(words), width)
    rows, length, kind = np.arange(len(words)), np.char.str_len(words), rng.integers(0, 4, len(words))
    at = np.minimum(1 + (rng.random(len(words)) * (length - 1)).astype(int), np.maximum(length - 1, 0))
    take = np.tile(np.arange(width), (len(words), 1))
    take += (kind == 0)[:, None] & (take >= at[:, None])
    take -= (kind == 1)[:, None] & (take > at[:, None])
    swap = np.flatnonzero((kind == 2) & (at > 0))
    take[swap, at[swap]], take[swap, at[swap] - 1] = at[swap] - 1, at[swap]
    mistyped = np.take_along_axis(letters, take.clip(0, width - 1), axis=1)
    replaced = np.flatnonzero(kind == 3)
    mistyped[rows[replaced], at[replaced]] = rng.integers(ord("a"), ord("z") + 1, len(replaced))
    return np.ascontiguousarray(mistyped).view(f"U{width}").ravel().astype(object)


def _initial(words: Text) -> Text:
    return pd.Series(words, dtype="string").str[:1].to_numpy(dtype=object)


def _births(birth: Dates, quality: Quality, rng: np.random.Generator) -> Text:
    part = rng.random(len(birth))
    share = quality.wrong_birth / 3
    slip = np.where(part < share, 1, 0) + np.where((part >= share) & (part < 2 * share), 365, 0)
    days = pd.Series(birth.astype("datetime64[s]") - slip.astype("timedelta64[D]"))
    text = days.dt.strftime("%Y-%m-%d").to_numpy(dtype=object)
    swap = np.flatnonzero((part >= 2 * share) & (part < 3 * share) & (days.dt.day <= 12).to_numpy())
    text[swap] = days.iloc[swap].dt.strftime("%Y-%d-%m").to_numpy(dtype=object)
    text[rng.random(len(birth)) < quality.false_birth] = FALSE_BIRTH
    text[rng.random(len(birth)) < quality.no_birth] = ""
    return np.asarray(text)


def _ssn(ssn: Text, quality: Quality, rng: np.random.Generator) -> Text:
    size = len(ssn)
    digit = (pd.Series(ssn, dtype="string").str[-1].astype(int) + rng.integers(1, 10, size)) % 10
    wrong = (pd.Series(ssn, dtype="string").str[:-1] + digit.astype("string")).to_numpy(dtype=object)
    text = np.where(rng.random(size) < quality.wrong_ssn, wrong, ssn)
    text = np.where(rng.random(size) < quality.false_ssn, FALSE_SSN, text)
    return np.where(rng.random(size) < quality.no_ssn, "", text).astype(object)


def _homes(
    population: Population, who: Ints, quality: Quality, on: Dates | np.datetime64, rng: np.random.Generator
) -> dict[str, Text]:
    homes, at = population.homes, population.column("household", who)
    moved_on = homes["moved_on"].to_numpy().astype("datetime64[D]")[at]
    moved = ~np.isnat(moved_on)
    before = (on < moved_on) | (moved & (rng.random(len(at)) < quality.late_with_moves))
    found = {}
    for name in ("line1", "unit", "city", "zip", "phone"):
        found[name] = np.where(before, homes[f"was_{name}"].to_numpy()[at], homes[name].to_numpy()[at])
    nowhere = rng.random(len(at)) < quality.no_address
    silent = rng.random(len(at)) < quality.no_phone
    found["line1"] = typed(found["line1"], quality.typing_error, rng)
    return {
        name: np.where(silent if name == "phone" else nowhere, "", text).astype(object) for name, text in found.items()
    }
