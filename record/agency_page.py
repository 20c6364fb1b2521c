"""The page of one agency: its columns, terms and definitions, what they become, how well it fits, what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.crosswalks import Entry
from mappings.declarations import Feed, template_parts
from mappings.load import Agency
from record.dictionary import markdown_table
from standard.code_sets import code_set
from standard.schema import entities

_LOST = {
    "exact": "nothing",
    "close": "a shade of meaning; the value as sent stays beside it",
    "broad": "the finer distinction; the value as sent stays beside it",
    "narrow": "the common term is not applied; the value as sent stays",
    "related": "the common term is not applied; the value as sent stays",
}


def agency_dictionary(agency: Agency) -> str:
    """The page as Markdown, printed from the agency's declarations."""
    lines = [
        f"# {agency.name}",
        "",
        f"What its files and tables say ({', '.join(filter(None, (agency.sector, agency.state)))}), and what becomes",
        "of it in the record. Printed from the declarations by `kith dictionary --agency`; not written by hand.",
        "",
    ]
    for feed in agency.feeds.values():
        lines += _feed(agency, feed)
    return "\n".join(lines).rstrip() + "\n"


def _feed(agency: Agency, feed: Feed) -> list[str]:
    lines = [f"## {feed.feed}", "", f"{feed.title}.", ""]
    rows = [
        [", ".join(f"`{column}`" for column in element.sent), f"`{name}`", element.kind, _becomes(feed, name)]
        for name, element in feed.elements.items()
    ]
    if feed.sender is not None:
        rows.append([f"`{feed.sender.column}`", "", "text", "(tells whose file it is)"])
    lines += markdown_table(["its column", "element", "read as", "becomes"], rows)
    for name, element in feed.elements.items():
        if element.code is not None:
            crosswalk = agency.crosswalks[element.code.crosswalk]
            lines += [f"### {feed.feed}: the codes of {', '.join(f'`{column}`' for column in element.sent)}", ""]
            meanings = _meanings(feed, name)
            header = ["value", "its term", "its definition", "ours", "we mean", "match", "holds", "reviewer", "lost"]
            lines += markdown_table(header, (_code(entry, meanings) for entry in crosswalk.entries))
    if feed.unused_columns:
        lines += ["Not taken over:", ""]
        lines += markdown_table(["its column", "because"], ([f"`{c}`", why] for c, why in feed.unused_columns.items()))
    return lines


def _becomes(feed: Feed, element: str) -> str:
    """The columns of the record into which an element of a feed goes."""
    found = (f"`{entity}.{column}`" for entity, column, given in _given(feed) if _names(given, element))
    return ", ".join(dict.fromkeys(found)) or "(used by other elements and rules alone)"


def _given(feed: Feed) -> Iterator[tuple[str, str, str]]:
    for entity, rows in feed.entities.items():
        for row in rows:
            yield from ((entity, column, given) for column, given in row.items() if column != "when")


def _names(given: str, element: str) -> bool:
    return given == element or ("{" in given and element in template_parts(given))


def _meanings(feed: Feed, element: str) -> dict[str, str]:
    """What the common terms mean in the columns which a code reaches."""
    meanings: dict[str, str] = {}
    for entity, column, given in _given(feed):
        name = entities()[entity].columns[column].code_set
        if given == element and name:
            meanings |= code_set(name)
    return meanings


def _code(entry: Entry, meanings: dict[str, str]) -> Sequence[str]:
    holds = " ".join(part for part in (f"in {entry.scope}" if entry.scope else "", entry.period) if part)
    common = f"`{entry.common}`" if entry.common else "(on purpose none)"
    lost = entry.note or (_LOST[entry.match] if entry.common else "it has no common term; the value as sent stays")
    value = f"`{entry.value}`" if entry.value else "(blank)"
    match = entry.match if entry.common else ""
    return [value, entry.label, entry.definition, common, meanings.get(entry.common or "", ""), match, holds,
            entry.reviewer, lost]  # fmt: skip
