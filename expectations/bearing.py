"""The names under which a row of a feed may be meant by an order: its own key, and the references it bears."""

from __future__ import annotations

from collections.abc import Iterator

from expectations.relation import value_sql
from mappings.declarations import Feed
from standard.schema import DEFINED_BY, entities
from store.home import literal
from store.seal_index import Token

_SAID_OF_ANOTHER = "same_as"


def tokens_of(agency: str, feed: Feed) -> list[Token]:
    """What an order may name of a feed's rows, as SQL over their elements: `agency/feed/key` of the row itself, and
    each `agency/table/key` it bears (but what it only says to be the same)."""
    covered = [rule.covers for rule in feed.withhold]
    borne = (text for _, column, text in _references(feed) if column != _SAID_OF_ANOTHER)
    own = (f"{agency}/{feed.feed}", f"({literal(f'{agency}/{feed.feed}/')} || _key)")
    return [own, *(_token(agency, text) for text in dict.fromkeys([*covered, *borne]))]


def defined_by(agency: str, feed: Feed) -> list[Token]:
    """The references to the things (case, report, charge, removal and so on) whose own rows the feed's rows are."""
    things = [text for entity, column, text in _references(feed) if DEFINED_BY.get(column) == entity]
    return [_token(agency, text) for text in dict.fromkeys(things)]


def places_of(agency: str, feed: Feed) -> set[str]:
    """The `agency/table` an order may name of a feed's rows."""
    return {place for place, _ in tokens_of(agency, feed) if place}


def _references(feed: Feed) -> Iterator[tuple[str, str, str]]:
    """(entity, column, template) of every reference that is made of elements."""
    for entity, rows in feed.entities.items():
        columns = entities()[entity].columns
        for row in rows:
            for column, text in row.items():
                if column != "when" and columns[column].type == "reference" and "{" in text:
                    yield entity, column, text


def _token(agency: str, template: str) -> Token:
    table = template.partition("/")[0]
    return "" if "{" in table else f"{agency}/{table}", f"({literal(f'{agency}/')} || {value_sql(template)})"
