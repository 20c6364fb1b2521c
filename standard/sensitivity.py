"""The sensitivity classes of the common schema in their order: who may receive a value depends on its class."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Sensitivity(StrEnum):
    """What a value tells of a person, from the least restrictive class to the most."""

    ADMINISTRATIVE = "administrative"
    """Nothing about a person of whom the record is kept."""
    DEMOGRAPHIC = "demographic"
    """Age, sex, family and the like, without telling who it is."""
    EDUCATION = "education"
    CRIMINAL_JUSTICE = "criminal_justice"
    JUVENILE_COURT = "juvenile_court"
    CHILD_PROTECTION = "child_protection"
    HEALTH = "health"
    SUBSTANCE_USE = "substance_use"
    DIRECT_IDENTIFIER = "direct_identifier"
    """Tells who it is: names, numbers, references, the day of birth, the address."""
    CONFIDENTIAL_ADDRESS = "confidential_address"
    REPORTER_IDENTITY = "reporter_identity"
    """Tells who reported a suspected abuse: no agreement and no policy can release it."""


_ORDER = list(Sensitivity)


def most_restrictive(classes: Iterable[Sensitivity]) -> Sensitivity:
    """The class of a value that is derived from values of these classes.

    Raises:
        ValueError: There is none: a value that is derived from nothing known has no class.
    """
    return max(classes, key=_ORDER.index)
