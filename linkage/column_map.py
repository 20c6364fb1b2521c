"""A column map drafted from the header of a people table nobody has seen before; a person looks it over."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linkage.people import read_header

WORDS = {
    "record_id": ("record id", "id", "unique id", "uid", "rec id", "row id", "person id", "client id", "key"),
    "source": ("source", "agency", "system", "dataset", "data source"),
    "given": (
        "given",
        "given name",
        "first name",
        "firstname",
        "first",
        "fname",
        "forename",
        "vorname",
        "prenom",
        "nombre",
    ),
    "middle": ("middle", "middle name", "middlename", "mname", "mi", "middle initial", "second name"),
    "surname": (
        "surname",
        "last name",
        "lastname",
        "last",
        "last surname",
        "lname",
        "family name",
        "nachname",
        "nom",
        "apellido",
    ),
    "suffix": ("suffix", "name suffix", "generation"),
    "birth_date": ("birth date", "birthdate", "date of birth", "dateofbirth", "dob", "born", "birth", "geburtsdatum"),
    "sex": ("sex", "gender", "sex at birth"),
    "race": ("race", "ethnicity", "race ethnicity"),
    "ssn": ("ssn", "soc sec id", "social security number", "ss number", "ssn9"),
    "student_id": ("student id", "state student id", "sasid", "lasid", "student no", "student number"),
    "address": ("address", "street", "street address", "address 1", "address1", "address line 1", "addr", "line1"),
    "city": ("city", "town", "suburb", "municipality"),
    "zip": ("zip", "zip code", "zipcode", "postcode", "postal code", "zip5"),
    "phone": ("phone", "phone number", "telephone", "tel", "mobile", "cell", "home phone"),
}
"""Common column -> what others call it, the most telling first."""


@dataclass(frozen=True)
class DraftedMap:
    """Common column -> column of the file, and the columns of the file that no common column is known for."""

    people: Path
    columns: dict[str, str]
    left_out: list[str]


def draft_column_map(people: Path) -> DraftedMap:
    """Guesses from the header alone which common column each column is; no value is read.

    Raises:
        LinkageError: The file cannot be read.
    """
    header = read_header(people)
    found = common_columns(header)
    taken = set(found.values())
    return DraftedMap(people, found, [name for name in header if name not in taken])


def common_columns(header: Sequence[str]) -> dict[str, str]:
    """Common column -> the column of a header that is called like it."""
    called = {_plain(name): name for name in reversed(header)}
    return {
        common: called[word]
        for common, words in WORDS.items()
        if (word := next((word for word in (common.replace("_", " "), *words) if word in called), None)) is not None
    }


def _plain(name: str) -> str:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"[^a-z0-9]+", " ", apart.lower()).strip()


def map_as_yaml(drafted: DraftedMap) -> str:
    """The map as a file for `kith link --columns`, with what is to be looked at as remarks."""
    lines = [f"# drafted from the header of {drafted.people.name}: look it over"]
    lines += [] if "record_id" in drafted.columns else ["# record_id is needed: the column that tells rows apart"]
    lines += ["columns:", *(f"  {common}: {_quoted(name)}" for common, name in drafted.columns.items())]
    lines += [f"# not used: {', '.join(drafted.left_out)}"] if drafted.left_out else []
    lines += ["# several columns are joined by a blank:  given: [first, second]"]
    lines += ['# birth_date_format: "%m/%d/%Y"    # where dates are not written YYYY-MM-DD']
    return "\n".join(lines)


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
