"""Whether what a feed gives to the common schema fits it: entities, columns, types, codes."""

from __future__ import annotations

from collections.abc import Mapping

from mappings.crosswalks import Crosswalk
from mappings.declarations import Element, Feed, template_parts
from mappings.places import Place
from standard.code_sets import choice_of, code_set
from standard.errors import DeclarationError
from standard.schema import Column, Entity, entities

_FITS: dict[str, tuple[str, ...]] = {
    "code": ("code", "text"), "date": ("date", "timestamp"), "timestamp": ("timestamp", "date"),
    "integer": ("integer",), "decimal": ("decimal", "integer"), "boolean": ("boolean",),
} | dict.fromkeys(("text", "name", "identifier", "reference"), ("text", "code", "integer"))  # fmt: skip
"""Type of an entity's column -> the types of elements that may fill it."""


def check_entities(
    feed: Feed, feeds: Mapping[str, Feed], crosswalks: Mapping[str, Crosswalk], place: Place
) -> None:  # fmt: skip
    """Checks every entity row of a feed.

    Raises:
        DeclarationError: The first that does not fit the common schema, with file and line.
    """
    for name, rows in feed.entities.items():
        entity = entities().get(name)
        if entity is None:
            raise place.wrong(f"there is no entity {name!r}", "entities", name, mend="see standard/entities")
        for number, row in enumerate(rows):
            _check_row(feed, feeds, crosswalks, entity, row, _At(place, name, number))


class _At:
    """Where an entity row stands."""

    def __init__(self, place: Place, entity: str, number: int) -> None:
        self.place, self.keys = place, ("entities", entity, number)

    def wrong(self, what: str, column: str, *, mend: str) -> DeclarationError:
        return self.place.wrong(what, *self.keys, column, mend=mend)


def _check_row(
    feed: Feed, feeds: Mapping[str, Feed], crosswalks: Mapping[str, Crosswalk], entity: Entity,
    row: Mapping[str, str], at: _At,
) -> None:  # fmt: skip
    for required in (name for name, column in entity.columns.items() if column.required and name not in row):
        raise at.wrong(f"{entity.entity} needs {required}", required, mend=f"give {required}")
    for name, value in row.items():
        if name == "when":
            continue
        column = entity.columns.get(name)
        if column is None:
            raise at.wrong(f"{entity.entity} has no column {name!r}", name, mend=f"it has {', '.join(entity.columns)}")
        if value.startswith("="):
            _check_constant(column, value[1:], name, at)
        elif "{" in value:
            _check_template(feed, feeds, column, value, name, at)
        else:
            element, owner = find_element(feed, feeds, value)
            _check_fit(column, element, value, name, at)
            if element is not None and element.code is not None and owner is feed:
                _check_targets(column, crosswalks[element.code.crosswalk], name, at)


def find_element(feed: Feed, feeds: Mapping[str, Feed], name: str) -> tuple[Element | None, Feed]:
    """The element that `element` or `lookup.element` names, and the feed it stands in."""
    if "." not in name:
        return feed.elements.get(name), feed
    alias, _, other = name.partition(".")
    if alias not in feed.lookups:
        return None, feed
    owner = feeds[feed.lookups[alias].feed]
    return owner.elements.get(other), owner


def _check_constant(column: Column, value: str, name: str, at: _At) -> None:
    if column.code_set is not None and value not in code_set(column.code_set):
        raise at.wrong(
            f"{value!r} is not in the code set {column.code_set}", name, mend=f"take {choice_of(column.code_set)}"
        )
    if column.type == "boolean" and value not in ("true", "false"):
        raise at.wrong(f"{name} is true or false", name, mend="write =true or =false")
    if column.type in ("date", "timestamp", "integer", "decimal"):
        raise at.wrong(f"{name} cannot be the same for every row", name, mend="name an element")


def _check_template(
    feed: Feed, feeds: Mapping[str, Feed], column: Column, value: str, name: str, at: _At
) -> None:  # fmt: skip
    if column.type not in ("reference", "text", "identifier"):
        raise at.wrong(f"{name} is no text, so no template can fill it", name, mend="name an element")
    unknown = [part for part in template_parts(value) if find_element(feed, feeds, part)[0] is None]
    if unknown or not template_parts(value):
        raise at.wrong(f"the template names {(unknown or ['nothing'])[0]!r}", name, mend="name elements of this feed")


def _check_fit(column: Column, element: Element | None, value: str, name: str, at: _At) -> None:
    if element is None:
        raise at.wrong(f"{value!r} is no element of this feed", name, mend="name an element, or write =constant")
    if element.common_type not in _FITS[column.type]:
        raise at.wrong(
            f"{name} is of type {column.type}, the element {value} is {element.common_type}", name,
            mend="read the element by the conversion of that type",
        )  # fmt: skip
    if column.type == "code" and element.code is None and element.sql is None:
        raise at.wrong(f"{name} is a code; {value} is text as sent", name, mend="read it by code: {crosswalk: ...}")


def _check_targets(column: Column, crosswalk: Crosswalk, name: str, at: _At) -> None:
    """Every common term of the crosswalk must exist in the code set of the column it reaches."""
    if column.code_set is None:
        return
    known = code_set(column.code_set)
    for entry in crosswalk.entries:
        if entry.common is not None and entry.common not in known:
            raise DeclarationError(
                f"{entry.common!r} is not in the code set {column.code_set} of {at.keys[1]}.{name}",
                where=f"{crosswalk.path}, line {entry.line}",
                mend=f"take {choice_of(column.code_set)}",
            )
