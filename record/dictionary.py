"""The data dictionary, printed from the declarations: tables, columns, codes, and which agency's columns feed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mappings.declarations import Feed, template_parts
from mappings.load import Agency
from record.classes import column_classes
from record.in_force import PERSON_PARTNERS
from record.tables import MEANINGS, main_code, table_names
from standard.code_sets import code_set
from standard.schema import PROVENANCE, Column, Entity, entities
from standard.sensitivity import Sensitivity


def data_dictionary(agencies: Mapping[str, Agency]) -> str:
    """The dictionary as Markdown.

    Args:
        agencies: The declarations that feed the record; without any only the common schema is told.
    """
    lines = [
        "# Data dictionary",
        "",
        "Printed from the declarations by `kith dictionary`; not written by hand.",
        "",
        "Every table of the record with its columns. A code `x` has two columns beside it: `x_source`, the value as",
        "sent, and `x_match`, how well the common term fits it (SKOS: exact, close, broad, narrow, related; unmapped",
        "where no term was found). `missing` tells why an element is empty, as `element:reason`.",
        "",
        *markdown_table(
            ["table", "what it holds"], ([f"[{name}](#{name})", meaning_of_table(name)] for name in table_names())
        ),
    ]
    for name in table_names():
        lines += _own_table(name) if name in MEANINGS else _entity(entities()[name], agencies)
    lines += ["## Columns of every entity table", ""]
    lines += markdown_table(["column", "type", "meaning"], ([f"`{n}`", k, m] for n, (k, m) in PROVENANCE.items()))
    lines += ["## Code sets", ""]
    for name in sorted({c.code_set for e in entities().values() for c in e.columns.values() if c.code_set}):
        lines += [
            f"### {name}",
            "",
            *markdown_table(["code", "meaning"], ([f"`{c}`", m] for c, m in code_set(name).items())),
        ]
    return "\n".join(lines).rstrip() + "\n"


def meaning_of_table(name: str) -> str:
    """What a table of the record holds."""
    own = {
        "person": "One row for each person of the record.",
        "person_source": "One row for each reference by which an agency knows a person.",
        "timeline": "One row for each event and each person who takes part in it, over all event tables.",
    }
    return own.get(name) or entities()[name].meaning


def meaning_of_column(table: str, name: str) -> str:
    """What a column of the record means."""
    if table in MEANINGS:
        return MEANINGS[table][name]
    declared = entities()[table].columns
    if name in declared:
        return declared[name].meaning
    if name in PROVENANCE:
        return PROVENANCE[name][1]
    named = next((reference for reference, partner in PERSON_PARTNERS.items() if partner == name), None)
    if named is not None:
        return f"The person of the record whom `{named}` names."
    if name == "missing":
        return "Why an element is empty, as `element:reason`, separated by a blank."
    of, _, what = name.rpartition("_")
    return f"`{of}` as sent." if what == "source" else f"How well the common term of `{of}` fits (SKOS)."


def _own_table(name: str) -> list[str]:
    classes = column_classes()[name]
    columns = ([f"`{column}`", meaning, classes[column].sensitivity] for column, meaning in MEANINGS[name].items())
    return [f"## {name}", "", meaning_of_table(name), "", *markdown_table(["column", "meaning", "class"], columns)]


def _entity(entity: Entity, agencies: Mapping[str, Agency]) -> list[str]:
    lines = [f"## {entity.entity}", "", entity.meaning, ""]
    if entity.event:
        code = main_code(entity)
        lines += [f"Stands in `timeline` on its `{entity.event.date}`{f', told by its `{code}`' if code else ''}.", ""]
    classes = entity.classes()
    rows = (row for name, column in entity.columns.items() for row in _columns(name, column, classes[name]))
    lines += markdown_table(["column", "type", "meaning", "class", "codes"], rows)
    fed = list(_fed_by(entity, agencies))
    if fed:
        lines += ["Fed by:", "", *markdown_table(["column", "agency", "feed", "from", "match of its codes"], fed)]
    return lines


def _columns(name: str, column: Column, sensitivity: Sensitivity) -> Iterator[Sequence[str]]:
    codes = f"[{column.code_set}](#{column.code_set})" if column.code_set else ""
    required = " Always there." if column.required else ""
    yield [f"`{name}`", column.type, column.meaning + required, sensitivity, codes]
    if name in PERSON_PARTNERS:
        whom = f"The person of the record whom `{name}` names."
        yield [f"`{PERSON_PARTNERS[name]}`", "identifier", whom, sensitivity, ""]


def _fed_by(entity: Entity, agencies: Mapping[str, Agency]) -> Iterator[Sequence[str]]:
    """One line for every column of the entity, feed and place in the feed that gives it, without repetitions."""
    for column in entity.columns:
        seen: set[tuple[str, ...]] = set()
        for name, agency in agencies.items():
            for feed in agency.feeds.values():
                for row in feed.entities.get(entity.entity, ()):
                    line = (f"`{column}`", name, feed.feed, *_source(row.get(column), feed, agency))
                    if column in row and line not in seen:
                        seen.add(line)
                        yield line


def _source(given: str | None, feed: Feed, agency: Agency) -> tuple[str, str]:
    """What an entity row says of a column: the agency's columns (or a constant), and the strengths of a crosswalk."""
    if given is None:
        return "", ""
    if given.startswith("="):
        return f"always `{given[1:]}`", ""
    if "{" in given:
        return ", ".join(_sent(part, feed, agency) for part in template_parts(given)), ""
    owner, element = _owner(given, feed, agency)
    code = owner.elements[element].code if element in owner.elements else None
    return _sent(given, feed, agency), _strengths(agency, code.crosswalk) if code else ""


def _owner(name: str, feed: Feed, agency: Agency) -> tuple[Feed, str]:
    """The feed in which an element stands, and its plain name: `lookup.element` stands in the feed it looks up."""
    if "." not in name:
        return feed, name
    lookup, element = name.split(".", 1)
    return agency.feeds[feed.lookups[lookup].feed], element


def _sent(name: str, feed: Feed, agency: Agency) -> str:
    owner, element = _owner(name, feed, agency)
    if element not in owner.elements:
        return f"`{name}`"
    columns = ", ".join(f"`{column}`" for column in owner.elements[element].sent)
    return columns if owner is feed else f"{columns} of {owner.feed}"


def _strengths(agency: Agency, crosswalk: str) -> str:
    found = Counter(entry.match if entry.common else "no common term" for entry in agency.crosswalks[crosswalk].entries)
    return ", ".join(f"{match} {times}" for match, times in sorted(found.items()))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown, with an empty line after it."""
    lines = [_line(header), _line(["---"] * len(header)), *map(_line, rows)]
    return [*lines, ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"
