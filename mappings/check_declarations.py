"""What must hold between the parts of an agency's declarations, so that nothing wrong is found out only at night."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from mappings.check_entities import check_entities
from mappings.check_sql import SqlCheck
from mappings.columns import column_key, vital_columns
from mappings.compile import levels, needs, sql_of
from mappings.conversions import SQL_TYPES
from mappings.crosswalks import Crosswalk
from mappings.declarations import Element, Feed, template_parts
from mappings.layouts import RECORD_TYPE, Layout
from mappings.paths import parse_path, parse_place
from mappings.places import Place


@dataclass(frozen=True)
class Declared:
    """The declarations of one agency, as far as they are read."""

    folder: Path
    sources: frozenset[str]
    feeds: Mapping[str, Feed]
    crosswalks: Mapping[str, Crosswalk]
    layouts: Mapping[str, Layout]


def check_feed(feed: Feed, declared: Declared, connection: duckdb.DuckDBPyConnection) -> None:
    """Checks one feed against itself, its agency and the common schema.

    Raises:
        DeclarationError: The first thing that is wrong, with file and line.
    """
    place = Place(declared.folder / f"{feed.feed}.yaml")
    _check_names(feed, declared, place)
    _check_columns(feed, declared, place)
    _check_elements(feed, declared, place)
    _check_references(feed, declared, place)
    _check_scopes(feed, declared, place)
    _check_sql(feed, declared, SqlCheck(connection, place))
    check_entities(feed, declared.feeds, declared.crosswalks, place)


def _check_names(feed: Feed, declared: Declared, place: Place) -> None:
    if feed.source not in declared.sources:
        raise place.wrong(f"there is no source {feed.source!r}", "source", mend="name one of agency.yaml's sources")
    if feed.manifest is not None:
        manifest = declared.feeds.get(feed.manifest.feed)
        if manifest is None or not {"file", "rows", "sha256"} <= set(manifest.elements):
            raise place.wrong(
                f"{feed.manifest.feed!r} is no feed with the elements file, rows and sha256", "manifest",
                mend="declare the manifest as a feed with these three elements",
            )  # fmt: skip
    for key, names in _named_elements(feed):
        for name in names:
            if name not in feed.elements:
                raise place.wrong(
                    f"{key} names {name!r}, which is no element of this feed", key, mend="name an element"
                )


def _named_elements(feed: Feed) -> Iterator[tuple[str, Iterable[str]]]:
    yield "key", feed.key
    yield "window", feed.window
    yield "version", [feed.version] if feed.version else []
    yield "actions", [feed.actions.element] if feed.actions else []
    yield "withhold", [part for rule in feed.withhold for part in template_parts(rule.covers)]
    yield "references", [name for reference in feed.references for name in reference.elements]
    yield "lookups", [name for lookup in feed.lookups.values() for name in lookup.on]


def _check_columns(feed: Feed, declared: Declared, place: Place) -> None:
    mapped = {column for element in feed.elements.values() for column in element.sent}
    for column in feed.unused_columns:
        if column in mapped:
            raise place.wrong(f"the column {column} is mapped and unused", "unused_columns", column, mend="keep one")
    layouts = [feed, *(feed.of_day(each.valid_to) for each in feed.earlier)]
    for layout in layouts:
        _check_format(layout, place)
    given = [_given_columns(layout, declared, place) for layout in layouts if not layout.format.columns_are_paths]
    known = [columns for columns in given if columns is not None]
    if len(known) == len(layouts):
        _check_known(feed, known, place)
    for columns in known:
        _check_given(feed, columns, place)


def _check_format(feed: Feed, place: Place) -> None:
    """The names of columns in one layout."""
    if feed.format.columns_are_paths:
        _check_paths(feed, place)
        return
    seen: dict[str, str] = {}
    for column in [*feed.columns, *(a for names in feed.format.aliases.values() for a in names)]:
        if seen.setdefault(column_key(column), column) != column:
            raise place.wrong(
                f"the columns {seen[column_key(column)]} and {column} have the same name but for case and punctuation",
                "elements", mend="write a column's name in one way",
            )  # fmt: skip
    for column in feed.format.aliases:
        if column not in feed.columns:
            raise place.wrong(f"aliases name the unknown column {column}", "format", "aliases", mend="name a column")


def _check_paths(feed: Feed, place: Place) -> None:
    """Of XML and JSON: a column is named by its path in the record, and the records by their place in the file."""
    known = {"", *feed.format.namespaces} if feed.format.kind == "xml" else {""}
    for keys, names, parse in (
        (("format", "records"), feed.format.records, parse_place), (("elements",), feed.columns, parse_path),
    ):  # fmt: skip
        for name in names:
            try:
                parse(name)
            except ValueError as error:
                raise place.wrong(str(error), *keys, mend="see paths in docs/mapping.md") from error
            for prefix in re.findall(r"([\w.-]+):", re.sub("'[^']*'", "", name)):
                if prefix not in known:
                    raise place.wrong(
                        f"the prefix {prefix!r} stands for no namespace", *keys, mend="add it to namespaces: of format"
                    )


def _given_columns(feed: Feed, declared: Declared, place: Place) -> list[str] | None:
    """The columns that are known before a file comes: of a layout, or of a file without a header."""
    form = feed.format
    if form.layout is None:
        return list(form.columns) or None
    layout = declared.layouts.get(form.layout)
    if layout is None:
        raise place.wrong(
            f"there is no layout {form.layout!r}", "format", "layout",
            mend=f"add layouts/{form.layout}.csv with the columns field,start,end",
        )  # fmt: skip
    for name in (*form.records, *form.carries):
        if name not in {record.name for record in layout.records}:
            raise place.wrong(f"the layout has no record {name!r}", "format", mend=f"see {layout.path.name}")
    own = [field.name for record in layout.types(form.records) for field in record.fields]
    carried = [name for names in form.carries.values() for name in names]
    for record, names in form.carries.items():
        there = {field.name for field in layout.types([record])[0].fields}
        if not names or not set(names) <= there or set(names) & set(own):
            raise place.wrong(
                f"carries names what is no field of {record}, or a field of the feed's own", "format", "carries",
                mend="name fields of that record, and give a field of the same name another name in the layout",
            )  # fmt: skip
    return list(dict.fromkeys([*own, *carried]))


def _check_given(feed: Feed, given: list[str], place: Place) -> None:
    """Every column that one layout gives is spoken for."""
    for column in given:
        if column not in feed.columns:
            raise place.wrong(
                f"the column {column} is neither mapped nor unused", "unused_columns",
                mend=f"map {column}, or list it under unused_columns with the reason",
            )  # fmt: skip


def _check_known(feed: Feed, layouts: list[list[str]], place: Place) -> None:
    """Every column is in a layout, and those without which no record can be used are in all of them."""
    told = {RECORD_TYPE} if feed.format.records else set()
    vital = vital_columns(feed)
    for column in feed.columns:
        there = [column in given or column in told for given in layouts]
        if not (all(there) if column in vital else any(there)):
            raise place.wrong(f"the column {column} is not in the layout", "elements", mend="name a column it has")


def _check_elements(feed: Feed, declared: Declared, place: Place) -> None:
    for name, element in feed.elements.items():
        for other in needs(element):
            if other not in feed.elements:
                raise place.wrong(
                    f"{name} needs {other!r}, which is no element of this feed",
                    "elements",
                    name,
                    mend="name an element",
                )
        if element.code is not None:
            _check_code(name, element, feed, declared, place)
    try:
        levels(feed.elements)
    except ValueError as error:
        raise place.wrong(str(error), "elements", mend="let one of them be read from columns alone") from error


def _check_code(name: str, element: Element, feed: Feed, declared: Declared, place: Place) -> None:
    code = element.code
    assert code is not None
    crosswalk = declared.crosswalks.get(code.crosswalk)
    if crosswalk is None:
        raise place.wrong(
            f"there is no crosswalk {code.crosswalk!r}", "elements", name,
            mend=f"add crosswalks/{code.crosswalk}.csv with the columns value,common,match",
        )  # fmt: skip
    if crosswalk.scoped and code.scope is None:
        raise place.wrong(f"{crosswalk.path.name} has scopes", "elements", name, mend="name the element as scope:")
    if code.on is not None and feed.elements[code.on].common_type not in ("date", "timestamp"):
        raise place.wrong(f"{code.on} is no date", "elements", name, mend="name a date as on:")
    changing = {(e.scope, e.value) for e in crosswalk.entries} - {(e.scope, e.value) for e in crosswalk.undated()}
    if changing and code.on is None:
        raise place.wrong(
            f"{crosswalk.path.name} has values whose meaning changes with time", "elements", name,
            mend="name the date on which the code was given as on:",
        )  # fmt: skip


def _check_scopes(feed: Feed, declared: Declared, place: Place) -> None:
    """A code whose scope stands in another feed's row is known only when that row is: nothing before may need it."""
    for name, (alias, element) in feed.scoped_by_lookup.items():
        lookup = feed.lookups.get(alias)
        other = declared.feeds.get(lookup.feed) if lookup is not None else None
        if lookup is None or other is None or element not in other.elements or other is feed:
            raise place.wrong(
                f"{name} has its scope in {alias}.{element}, which no lookup of another feed gives", "elements", name,
                mend="name an element of the feed that the lookup finds",
            )  # fmt: skip
        if not any(reference.feed == lookup.feed and set(lookup.on) <= set(reference.elements)
                   for reference in feed.references):  # fmt: skip
            raise place.wrong(
                f"{name} has its scope in {alias}.{element}, which may not be there", "elements", name,
                mend=f"name {', '.join(lookup.on)} under references: a row waits for the one that gives the scope",
            )  # fmt: skip
        needed = [*feed.key, *feed.window, *lookup.on, *([feed.version] if feed.version else [])]
        needed += [each for of in feed.elements.values() for each in needs(of)]
        needed += [each for reference in feed.references for each in reference.elements]
        if name in needed:
            raise place.wrong(
                f"{name} is needed before the row is known that gives its scope", "elements", name,
                mend="keep it out of key, window, version, references, lookups and other elements",
            )  # fmt: skip


def _check_references(feed: Feed, declared: Declared, place: Place) -> None:
    for reference in feed.references:
        other = declared.feeds.get(reference.feed)
        for name in reference.to:
            if other is None or name not in other.elements:
                raise place.wrong(
                    f"there is no element {name!r} of a feed {reference.feed!r}", "references", mend="name one there is"
                )
    for alias, lookup in feed.lookups.items():
        if alias in feed.elements:
            raise place.wrong(f"{alias} is an element and a lookup", "lookups", alias, mend="rename the lookup")
        other = declared.feeds.get(lookup.feed)
        if other is None or sorted(lookup.on.values()) != sorted(other.key):
            raise place.wrong(
                f"a lookup finds one row of the feed {lookup.feed!r} by its whole key", "lookups", alias,
                mend="write on: {own element: key element of the other feed}, for each part of its key",
            )  # fmt: skip


def _check_sql(feed: Feed, declared: Declared, check: SqlCheck) -> None:
    for name, element in feed.elements.items():
        if element.sql is None:
            continue
        others = {f"{{{other}}}": SQL_TYPES[feed.elements[other].common_type] for other in needs(element)}
        used = dict.fromkeys(element.sent, "VARCHAR")
        kind = SQL_TYPES[element.common_type]
        check.expression(f"TRY_CAST((\n{sql_of(element)}\n) AS {kind})", used | others, "elements", name)
    row = check.row_of(feed)
    if feed.deleted_when is not None:
        check.condition(feed.deleted_when, check.arriving_row_of(feed), "deleted_when")
    for rule in feed.scope:
        check.condition(rule.drop, row, "scope")
    for order in feed.withhold:
        check.condition(order.when, row, "withhold")
    projected = check.projected_row_of(feed, declared.feeds)
    for entity, rows in feed.entities.items():
        for number, values in enumerate(rows):
            if "when" in values:
                check.condition(values["when"], projected, "entities", entity, number)
