"""From a feed's declaration to one DuckDB statement that maps every record of an extract."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import duckdb

from mappings.code_lookup import CodeNames, look_up
from mappings.conversions import SQL_TYPES, Names, cases, conversion, sql_conversion
from mappings.crosswalks import Crosswalk
from mappings.declarations import Element, Feed, split_template, template_parts
from mappings.mend_text import INVISIBLE
from mappings.scoped_codes import SCOPES_TYPE, look_up_scopes
from standard.rules import rule_macros
from store.home import literal, quoted

_OTHER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_RECORD_COLUMNS = {"_record": "BIGINT", "_line": "BIGINT"} | dict.fromkeys(
    ("_key", "_hash", "_action", "_version", "_problems", "_missing"), "VARCHAR"
)


@dataclass(frozen=True)
class CompiledFeed:
    """The SQL of one feed for one day.

    Both statements read a relation `arriving` with the columns `_record, _line, _marks` and every column of the feed
    as trimmed text; a column that did not arrive is NULL.
    """

    select: str
    """One row per record, with the columns of mapped.parquet (see `mapped_columns`)."""
    select_key: str
    """`_record`, `_key` and `_key_start` (the parts of the key before the first that is missing or has not its form):
    for records of which no more can be read, and for a census."""


def mapped_columns(feed: Feed) -> dict[str, str]:
    """The columns of the feed's mapped rows with their SQL types, in order."""
    return _RECORD_COLUMNS | element_columns(feed)


def element_columns(feed: Feed) -> dict[str, str]:
    """The columns the feed's elements make, with their SQL types: a code x makes x, x_source and x_match.

    A code whose scope stands in another feed's row also makes x_scopes, from which `resolved_sql` makes x and x_match.
    """
    columns: dict[str, str] = {}
    for name, element in feed.elements.items():
        columns[name] = SQL_TYPES[element.common_type]
        if element.code is not None:
            columns |= {f"{name}_source": "VARCHAR", f"{name}_match": "VARCHAR"}
        if name in feed.scoped_by_lookup:
            columns[f"{name}_scopes"] = SCOPES_TYPE
    return columns


def install_macros(connection: duckdb.DuckDBPyConnection, *, called_in: str | None = None) -> None:
    """Makes the macros known that the SQL of declarations (`sql`, `when`, `drop`, `deleted_when`) may call.

    Args:
        connection: Where they are made; they must not be there yet.
        called_in: The SQL that will be run; the macros it does not call are left out. None: all are made.
    """
    made: list[str] = []
    for name, statement in reversed(_macros().items()):
        # Backwards, because a macro may call those that stand before it.
        if called_in is None or re.search(rf"\b{name}\b", " ".join([called_in, *made]), re.IGNORECASE):
            made.insert(0, statement)
    if made:
        connection.execute("".join(made))


@cache
def _macros() -> dict[str, str]:
    """The macros by name, in the order in which they can be made."""
    text = files("mappings").joinpath("macros.sql").read_text(encoding="utf-8")
    statements = re.split(r"^(?=CREATE MACRO )", text, flags=re.MULTILINE)[1:]
    return {statement.split("(")[0].split()[-1]: statement for statement in statements} | rule_macros()


def compile_feed(feed: Feed, crosswalks: Mapping[str, Crosswalk], *, as_of: dt.date) -> CompiledFeed:
    """The statements of a feed whose declaration was checked by `load_agency`.

    Args:
        feed: The declaration.
        crosswalks: The agency's crosswalks by name.
        as_of: The day the extract speaks for.
    """
    plan = _Plan(feed, crosswalks, as_of)
    names = list(feed.elements)
    return CompiledFeed(
        plan.select(names, _row(feed)),
        plan.select(
            _with_needed(feed, feed.key), ["_record", f"{_key(feed)} AS _key", f"{_key_start(feed)} AS _key_start"]
        ),
    )


def needs(element: Element) -> list[str]:
    """The other elements an element is computed from."""
    if element.sql is not None:
        return _OTHER.findall(element.sql)
    code = element.code
    return [name for name in (code.scope, code.on) if name and "." not in name] if code is not None else []


def levels(elements: Mapping[str, Element]) -> list[list[str]]:
    """The elements in the order in which they can be computed: each list needs only the lists before it.

    Raises:
        ValueError: Elements need each other in a circle; names them.
    """
    done: dict[str, int] = {}
    while waiting := [name for name in elements if name not in done]:
        ready = [name for name in waiting if all(other in done for other in needs(elements[name]))]
        if not ready:
            raise ValueError(f"{', '.join(waiting)} need each other in a circle")
        done |= {name: max((done[other] + 1 for other in needs(elements[name])), default=0) for name in ready}
    return [[name for name in elements if done[name] == level] for level in range(1 + max(done.values(), default=-1))]


def sql_of(element: Element) -> str:
    """The `sql` of an element with each `{other}` as the identifier of that element's value."""
    return _OTHER.sub(lambda found: value_name(found.group(1)), element.sql or "NULL")


def value_name(element: str) -> str:
    """The identifier of an element's value while it is computed; it can be no column's name as sent."""
    return quoted("{" + element + "}")


def _part(element: str, part: str) -> str:
    """Identifier of a part of an element: `t` text as sent, `c` candidate, `x` match, `p` problem, `m` missing,
    `s` what a code means in each scope."""
    return quoted("{" + element + "}" + part)


def _with_needed(feed: Feed, names: Iterable[str]) -> list[str]:
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += needs(feed.elements[name])
    return [name for name in feed.elements if name in wanted]


def part_sql(sql: str, *, alone: bool) -> str:
    """A part of a key or of a template as text; one of several has its own bars and backslashes marked by a backslash,
    so that two rows never share a key because of where their bars stand."""
    text = f"CAST({sql} AS VARCHAR)"
    return text if alone else f"replace(replace({text}, '\\', '\\\\'), '|', '\\|')"


def template_sql(template: str, named: Callable[[str], str] = quoted) -> str:
    """A template as SQL; NULL if a part is. `named` gives the SQL of a part's name."""
    alone = len(template_parts(template)) == 1
    pieces = [part_sql(named(p), alone=alone) if is_part else literal(p) for is_part, p in split_template(template)]
    return f"({' || '.join(pieces)})"


def _key(feed: Feed) -> str:
    return " || '|' || ".join(part_sql(quoted(name), alone=len(feed.key) == 1) for name in feed.key)


def _key_start(feed: Feed) -> str:
    start = "''"
    for name in reversed(feed.key):
        formless = literal(f" {name}:bad_identifier ")
        text = part_sql(quoted(name), alone=len(feed.key) == 1)
        part = f"CASE WHEN NOT contains(concat(' ', _problems, ' '), {formless}) THEN {text} END"
        start = f"coalesce('|' || {part} || {start}, '')"
    return f"nullif(substr({start}, 2), '')"


def _row(feed: Feed) -> list[str]:
    """The final row over the plain names of the elements."""
    columns = ["_record", "_line", f"{_key(feed)} AS _key", "_hash", f"{_action(feed)} AS _action"]
    columns += [f"{_version(feed)} AS _version", "_problems", "_missing"]
    return columns + [quoted(name) for name in element_columns(feed)]


def _action(feed: Feed) -> str:
    deletes = []
    if feed.actions is not None:
        element = feed.actions.element
        told = quoted(f"{element}_source" if feed.elements[element].code is not None else element)
        words = ", ".join(literal(word.strip().upper()) for word in feed.actions.delete)
        deletes.append(f"upper(trim({told})) IN ({words})")
    if feed.deleted_when is not None:
        deletes.append(f"(\n{feed.deleted_when}\n)")
    return cases(tuple((condition, "delete") for condition in deletes), otherwise="'upsert'")


def _version(feed: Feed) -> str:
    if feed.version is None:
        return "CAST(NULL AS VARCHAR)"
    if feed.elements[feed.version].common_type == "integer":
        return f"lpad(CAST({quoted(feed.version)} AS VARCHAR), 12, '0')"
    return f"CAST({quoted(feed.version)} AS VARCHAR)"


class _Plan:
    """The common table expressions of one feed: each step adds columns to the one before, so nothing runs twice."""

    def __init__(self, feed: Feed, crosswalks: Mapping[str, Crosswalk], as_of: dt.date) -> None:
        self.feed, self.crosswalks, self.as_of = feed, crosswalks, as_of

    def select(self, names: list[str], row: list[str]) -> str:
        """The statement that computes some elements, and what it selects of them."""
        elements = {name: self.feed.elements[name] for name in names}
        steps = [f"SELECT {', '.join(_as_sent(self.feed))} FROM arriving"]
        texts = [
            f"{_text(element)} AS {_part(name, 't')}" for name, element in elements.items() if _has_own_text(element)
        ]
        steps.append(f"SELECT *, {', '.join(texts)} FROM {{before}}" if texts else "SELECT * FROM {before}")
        for level in levels(elements):
            steps += self._level(f"lookup{len(steps)}", {name: elements[name] for name in level})
        steps.append(f"SELECT {', '.join(self._named(elements))} FROM {{before}}")
        named = [f"step{n} AS (\n{step.replace('{before}', f'step{n - 1}')}\n)" for n, step in enumerate(steps)]
        return f"WITH {', '.join(named)}\nSELECT {', '.join(row)} FROM step{len(steps) - 1}"

    def _level(self, alias: str, elements: Mapping[str, Element]) -> list[str]:
        """Three steps: candidates and looked-up codes, then values, then their problems and missing reasons."""
        first, second, third, joins = ["before.*"], ["*"], ["*"], []
        for number, (name, element) in enumerate(elements.items()):
            if element.code is not None:
                joins += self._code(f"{alias}_{number}", name, first)
            else:
                self._converted(name, element, (first, second, third))
        return [
            f"SELECT {', '.join(first)} FROM {{before}} AS before {' '.join(joins)}",
            f"SELECT {', '.join(second)} FROM {{before}}",
            f"SELECT {', '.join(third)} FROM {{before}}",
        ]

    def _code(self, alias: str, name: str, columns: list[str]) -> list[str]:
        element = self.feed.elements[name]
        code = element.code
        assert code is not None
        if name in self.feed.scoped_by_lookup:
            return self._scopes(alias, name, columns)
        names = CodeNames(_text_name(name, element), self._told(code.scope), code.on and value_name(code.on))
        found = look_up(alias, self.crosswalks[code.crosswalk], names, element=name, blank=element.blank)
        problem = found.problem
        if element.required:
            blank = f"{names.text} IS NULL AND {found.common} IS NULL"
            problem = f"CASE WHEN {blank} THEN {literal(f'{name}:blank_required')} ELSE {problem} END"
        columns += [f"{found.common} AS {value_name(name)}", f"{found.match} AS {_part(name, 'x')}"]
        columns += [f"{problem} AS {_part(name, 'p')}", f"{found.missing} AS {_part(name, 'm')}"]
        return found.joins

    def _scopes(self, alias: str, name: str, columns: list[str]) -> list[str]:
        """A code of which the row tells only what it means in each scope."""
        element = self.feed.elements[name]
        assert element.code is not None
        text = _text_name(name, element)
        found = look_up_scopes(
            alias, self.crosswalks[element.code.crosswalk],
            CodeNames(text, None, element.code.on and value_name(element.code.on)),
        )  # fmt: skip
        blank = ((f"{text} IS NULL AND {found.scopes} IS NULL", f"{name}:blank_required"),) if element.required else ()
        columns += [f"{found.scopes} AS {_part(name, 's')}", f"CAST(NULL AS VARCHAR) AS {value_name(name)}"]
        columns += [f"CAST(NULL AS VARCHAR) AS {_part(name, 'x')}", f"{cases(blank)} AS {_part(name, 'p')}"]
        columns.append(f"CAST(NULL AS VARCHAR) AS {_part(name, 'm')}")
        return [found.join]

    def _told(self, scope: str | None) -> str | None:
        """The scope as the agency writes it: the text as sent where the scope is itself a code."""
        if scope is None:
            return None
        element = self.feed.elements[scope]
        return _text_name(scope, element) if element.code is not None else value_name(scope)

    def _converted(self, name: str, element: Element, steps: tuple[list[str], list[str], list[str]]) -> None:
        first, second, third = steps
        names = Names(_text_name(name, element), _part(name, "c"), self.as_of)
        found = sql_conversion(element, names, sql_of(element)) if element.sql else conversion(element, names)
        if found.candidate is not None:
            first.append(f"{found.candidate} AS {names.candidate}")
        problems = [(condition, f"{name}:{word}" if word else "") for condition, word in found.problems]
        if element.required:
            problems.insert(0, (f"{names.text} IS NULL", f"{name}:blank_required"))
        reasons = [(f"{names.text} IS NULL", f"{name}:{element.blank}"), (f"{value_name(name)} IS NOT NULL", "")]
        reasons += [(condition, f"{name}:{word}") for condition, word in found.missing]
        second.append(f"{found.value} AS {value_name(name)}")
        third.append(f"{cases(tuple(problems))} AS {_part(name, 'p')}")
        third.append(f"{cases(tuple(reasons))} AS {_part(name, 'm')}")

    def _named(self, elements: Mapping[str, Element]) -> list[str]:
        columns = [
            "_record",
            "_line",
            "_hash",
            f"DATE {literal(self.as_of.isoformat())} AS as_of",
            f"{_problems(elements)} AS _problems",
            f"{_missing(elements)} AS _missing",
        ]
        for name, element in elements.items():
            columns.append(f"{value_name(name)} AS {quoted(name)}")
            if element.code is not None:
                columns.append(f"{_text_name(name, element)} AS {quoted(f'{name}_source')}")
                columns.append(f"{_part(name, 'x')} AS {quoted(f'{name}_match')}")
            if name in self.feed.scoped_by_lookup:
                columns.append(f"{_part(name, 's')} AS {quoted(f'{name}_scopes')}")
        return columns


def _as_sent(feed: Feed) -> list[str]:
    """Every column, blank as NULL, and the hash of them all (the same in every version of DuckDB)."""
    sent = [f"{_or_null(quoted(column), feed.format.null_values)} AS {quoted(column)}" for column in feed.columns]
    content = ", ".join(f"coalesce({quoted(column)}, '')" for column in feed.columns)
    return ["_record", "_line", "_marks", f"substr(md5(concat_ws(chr(31), {content})), 1, 16) AS _hash", *sent]


def _has_own_text(element: Element) -> bool:
    return element.sql is None and (len(element.sent) > 1 or bool(element.null_values))


def _text_name(name: str, element: Element) -> str:
    """Where the text stands that an element is read from; for `sql` the expression's own value."""
    if element.sql is not None:
        return _part(name, "c")
    return _part(name, "t") if _has_own_text(element) else quoted(element.sent[0])


def _text(element: Element) -> str:
    """The text an element is read from: its columns joined by a blank, its null values taken for blank."""
    text = quoted(element.sent[0])
    if len(element.sent) > 1:
        text = f"nullif(concat_ws(' ', {', '.join(quoted(column) for column in element.sent)}), '')"
    return _or_null(text, element.null_values) if element.null_values else text


def _or_null(text: str, null_values: Iterable[str]) -> str:
    """A text that is NULL where it is blank or stands for nothing."""
    nothing = ", ".join(literal(value) for value in ("", *null_values))
    return f"CASE WHEN {text} NOT IN ({nothing}) THEN {text} END" if null_values else f"nullif({text}, '')"


def _problems(elements: Mapping[str, Element]) -> str:
    found = [_part(name, "p") for name in elements]
    marks = [
        f"CASE WHEN contains(_marks, {literal(f'|{column}:{code}|')}) THEN {literal(f'{name}:{code}')} END"
        for name, element in elements.items()
        for column in element.sent
        for code in ("replaced_bytes", "repaired_text")
    ]
    # An identifier with a character that nobody sees was repaired; of other text nothing was lost.
    marks += [
        f"CASE WHEN contains(_marks, {literal(f'|{column}:{INVISIBLE}|')})"
        f" AND NOT coalesce(contains({_part(name, 'p')}, 'repaired_identifier'), false)"
        f" THEN {literal(f'{name}:repaired_identifier')} END"
        for name, element in elements.items()
        for column in element.sent
        if element.kind in ("identifier", "ssn", "phone")
    ]
    marked = f"CASE WHEN _marks IS NOT NULL THEN nullif(concat_ws(' ', {', '.join(marks)}), '') END"
    return f"nullif(concat_ws(' ', {', '.join([*found, marked])}), '')"


def _missing(elements: Mapping[str, Element]) -> str:
    return f"nullif(concat_ws(' ', {', '.join(_part(name, 'm') for name in elements)}), '')"
