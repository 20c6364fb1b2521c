"""Whether what an agency sends may come in: every element of a feed stands in a sharing agreement in force."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from governance.agreements import Agreement
from governance.load import Governance
from governance.rules import class_of_sector
from mappings.declarations import Feed, template_parts
from mappings.load import Agency
from standard.schema import entities
from standard.sensitivity import Sensitivity


def why_not_covered(governance: Governance, agency: Agency, feed: Feed, day: date) -> str | None:
    """Why a feed may not be loaded on a day, in words that name agreements and elements; None where it may."""
    sharing = [a for a in governance.in_force("DSA", day) if agency.agency in a.parties.discloser]
    if not sharing:
        return f"no sharing agreement of {agency.agency} is in force{_standing_of(governance, agency, day)}"
    joined = "person" in feed.entities
    for element, needed in _needs(agency, feed).items():
        faults = [_fault(agreement, f"{feed.feed}.{element}", needed, joined=joined) for agreement in sharing]
        if all(faults):
            return faults[0]
    return None


def _standing_of(governance: Governance, agency: Agency, day: date) -> str:
    own = [f for f in governance.filed.values() if f.agreement.kind == "DSA"
           and agency.agency in f.agreement.parties.discloser]  # fmt: skip
    return "".join(f"; {f.agreement.id}: {governance.why_not(f.agreement.id, day)}" for f in own)


def _fault(agreement: Agreement, field: str, needed: set[Sensitivity], *, joined: bool) -> str | None:
    assert agreement.fields_ is not None and agreement.linkage is not None  # a DSA says both
    if not agreement.fields_.covers(field):
        return f"{agreement.id} does not allow {field}"
    if missing := needed - set(agreement.classes):
        return f"{agreement.id} does not name the class {min(missing)}, of which {field} is"
    if joined and not agreement.linkage.allowed:
        return f"{agreement.id} does not allow linkage, and a feed of persons is linked"
    return None


def needed_classes(agency: Agency) -> set[Sensitivity]:
    """All classes that a sharing agreement must name so that every feed of an agency may be loaded."""
    return set().union(*(c for feed in agency.feeds.values() for c in _needs(agency, feed).values()))


def _needs(agency: Agency, feed: Feed) -> dict[str, set[Sensitivity]]:
    """Element of a feed -> the classes an agreement must name: its agency's, and those of the columns it reaches."""
    here = class_of_sector(agency.sector)
    needs = {element: {here} for element in feed.elements}
    for element, reached in reached_classes(agency, feed):
        needs[element].add(reached)
    return needs


def reached_classes(agency: Agency, feed: Feed) -> Iterator[tuple[str, Sensitivity]]:
    """(element, class) for every column of the common schema that an element of the feed reaches, in any feed."""
    for other in agency.feeds.values():
        for name, rows in other.entities.items():
            classes = entities()[name].classes()
            given = [(row[column], classes[column]) for row in rows for column in row if column in classes]
            for text, sensitivity in given:
                named = _elements_of(text, other, feed)
                yield from ((element, sensitivity) for element in named if element in feed.elements)


def _elements_of(given: str, owner: Feed, feed: Feed) -> list[str]:
    """The elements of a feed that an entity row of `owner` names; `lookup.element` stands in the feed looked up."""
    named = template_parts(given) if "{" in given else [] if given.startswith("=") else [given]
    found = []
    for name in named:
        lookup, _, element = name.rpartition(".")
        stands_in = owner.lookups[lookup].feed if lookup else owner.feed
        if stands_in == feed.feed:
            found.append(element)
    return found
