"""How one element is read: SQL for its value, for the problem met in it, and for the reason why it is missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from mappings.declarations import Dated, Element
from store.home import literal

SQL_TYPES = {
    "text": "VARCHAR", "code": "VARCHAR", "date": "DATE", "timestamp": "TIMESTAMP", "integer": "INTEGER",
    "decimal": "DECIMAL(9,4)", "boolean": "BOOLEAN",
}  # fmt: skip
"""SQL type of each common type, in mapped rows as in the common schema."""

_DATE_FORMATS = ("%Y-%m-%d",)
_TIMESTAMP_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f")
_WIDTHS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "j": 3, "I": 2}

Cases = tuple[tuple[str, str], ...]
"""(condition, word): the first condition that holds gives the word."""


@dataclass(frozen=True)
class Conversion:
    """SQL of one conversion."""

    candidate: str | None
    """What is computed first, under the candidate's name, so that it is computed once."""
    value: str
    problems: Cases = ()
    missing: Cases = ()
    """Reasons beside the one of a blank; asked only where the value is NULL."""


@dataclass(frozen=True)
class Names:
    """The SQL identifiers of an element's text as sent and of its candidate, and the day the extract speaks for."""

    text: str
    candidate: str
    as_of: dt.date


def conversion(element: Element, names: Names) -> Conversion:
    """The SQL of an element's conversion (not of code and sql, which need other elements)."""
    return _CONVERSIONS[element.kind](element, names)


def sql_conversion(element: Element, names: Names, sql: str) -> Conversion:
    """The SQL of an element that is declared as SQL; a value that is not of the declared type is a problem."""
    kind = SQL_TYPES[element.common_type]
    if element.common_type == "text":
        return Conversion(f"nullif(trim(CAST((\n{sql}\n) AS VARCHAR)), '')", names.candidate)
    value = f"TRY_CAST({names.candidate} AS {kind})"
    word = {"date": "date", "timestamp": "date", "boolean": "boolean"}.get(element.common_type, "number")
    problem = (f"{names.candidate} IS NOT NULL AND {value} IS NULL", f"unparsable_{word}")
    return Conversion(f"(\n{sql}\n)", value, (problem,), ((f"{names.candidate} IS NOT NULL", "unparsable"),))


def cases(words: Cases, *, otherwise: str = "NULL") -> str:
    """An SQL CASE giving the first word whose condition holds; an empty word is NULL."""
    if not words:
        return otherwise
    branches = " ".join(f"WHEN {condition} THEN {literal(word) if word else 'NULL'}" for condition, word in words)
    return f"CASE {branches} ELSE {otherwise} END"


def _text(element: Element, names: Names) -> Conversion:
    longest = element.text.max_length if element.text else None
    too_long = ((f"length({names.text}) > {longest}", "too_long"),) if longest else ()
    return _unless_error(names.text, names.text, too_long)


def _folded(_element: Element, names: Names) -> Conversion:
    return _unless_error(names.text, f"fold_blanks({names.text})")


def _unless_error(t: str, value: str, problems: Cases = ()) -> Conversion:
    """A text, unless it is what a spreadsheet shows of a formula that failed."""
    lost = f"is_spreadsheet_error({t})"
    return Conversion(
        None, f"CASE WHEN {lost} THEN NULL ELSE {value} END", ((lost, "damaged_text"), *problems), ((lost, "damaged"),)
    )


def _dated(element: Element, names: Names) -> Conversion:
    rule = element.date or element.timestamp
    assert rule is not None
    t, c = names.text, names.candidate
    kind = SQL_TYPES[element.kind]
    formats = rule.formats or (_DATE_FORMATS if element.kind == "date" else _TIMESTAMP_FORMATS)
    latest = _bound(rule.not_after, names.as_of)
    tries = [_parsed(t, form, latest) for form in formats]
    serial = f"CAST(excel_day({t}) AS {kind})"
    if rule.excel_serial:
        tries.append(serial)
    candidate = f"CAST(coalesce({', '.join(tries)}, NULL) AS {kind})"
    sentinel = _is_sentinel(rule, formats, names)
    future = f"{c} >= {latest} + INTERVAL 1 DAY" if latest else "false"
    earliest = _bound(rule.not_before, names.as_of)
    early = f"{c} < {earliest}" if earliest else "false"
    unparsable = f"({c} IS NULL OR is_no_date({t}, {c}))"
    problems: list[tuple[str, str]] = [(f"{t} IS NULL", ""), (sentinel, "sentinel_date")]
    problems += [(unparsable, "unparsable_date"), (future, "future_date"), (early, "sentinel_date")]
    if rule.excel_serial:
        problems.append((f"{c} = {serial}", "repaired_excel_date"))
    return Conversion(
        candidate,
        f"CASE WHEN {sentinel} OR {unparsable} OR {future} OR {early} THEN NULL ELSE {c} END",
        tuple((condition, word) for condition, word in problems if condition != "false"),
        ((f"{sentinel} OR NOT {unparsable}", "placeholder"), ("true", "unparsable")),
    )


def _parsed(t: str, form: str, latest: str | None) -> str:
    """One format; where it has no separators the number of characters must be the format's own."""
    value = f"try_strptime({t}, {literal(form)})"
    letters = form.replace("%", "")
    if all(letter in _WIDTHS for letter in letters):
        value = f"CASE WHEN length({t}) = {sum(_WIDTHS[letter] for letter in letters)} THEN {value} END"
    if "%y" in form and latest:
        value = f"CASE WHEN {value} > {latest} THEN {value} - INTERVAL 100 YEAR ELSE {value} END"
    return value


def _bound(bound: str | None, as_of: dt.date) -> str | None:
    if bound is None:
        return None
    return f"DATE {literal(as_of.isoformat() if bound == 'as_of' else bound)}"


def _is_sentinel(rule: Dated, formats: tuple[str, ...], names: Names) -> str:
    if not rule.sentinels:
        return "false"
    t, c = names.text, names.candidate
    texts = ", ".join(literal(text) for text in rule.sentinels)
    days = {f"TIMESTAMP {literal(day.isoformat(' '))}" for text in rule.sentinels for day in _readings(text, formats)}
    same_day = f" OR {c} IN ({', '.join(sorted(days))})" if days else ""
    return f"({t} IN ({texts}){same_day})"


def _readings(text: str, formats: tuple[str, ...]) -> list[dt.datetime]:
    readings = []
    for form in formats:
        try:
            readings.append(dt.datetime.strptime(text, form))
        except ValueError:
            continue  # another format may read it; a sentinel like 00000000 is no date in any
    return readings


def _identifier(element: Element, names: Names) -> Conversion:
    rule = element.identifier
    assert rule is not None
    t, c = names.text, names.candidate
    candidate = f"without_formula_quotes({t})"
    damaged = (f"is_damaged_number({c})", "damaged_identifier")
    # A letter that only looks like another (a Cyrillic A) would be the beginning of another identity.
    strange = (f"strlen({c}) <> length({c})", "bad_identifier")
    unwrapped = (f"starts_with({t}, '=\"') AND {c} <> {t}", "repaired_identifier")
    missing = ((f"{t} IS NOT NULL", "damaged"),)
    if rule.width is None:
        value = f"CASE WHEN {damaged[0]} THEN NULL ELSE {c} END"
        return Conversion(candidate, value, (damaged, strange, unwrapped), missing)
    short = f"lost_leading_zeros({c}, {rule.width})" if rule.pad else "false"
    value = f"CASE WHEN {damaged[0]} THEN NULL WHEN {short} THEN with_leading_zeros({c}, {rule.width}) ELSE {c} END"
    other_width = (f"length({c}) <> {rule.width}", "bad_identifier")
    problems = (damaged, (short, "repaired_identifier"), other_width, strange, unwrapped)
    return Conversion(candidate, value, problems, missing)


def _numbered(kind: str) -> Callable[[Element, Names], Conversion]:
    """An SSN or a telephone: digits by a macro, placeholders and impossible numbers told apart."""

    def convert(_element: Element, names: Names) -> Conversion:
        t, c = names.text, names.candidate
        placeholder, possible = f"is_placeholder_{kind}({c})", f"is_possible_{kind}({c})"
        problems = [
            (f"{t} IS NULL", ""), (f"is_damaged_number({t})", "damaged_identifier"), (f"{c} IS NULL", "bad_identifier"),
            (placeholder, "placeholder_value"), (f"NOT {possible}", "bad_identifier"),
        ]  # fmt: skip
        if kind == "ssn":
            problems.append((f"length({t}) < 9 OR ends_with({t}, '.0')", "repaired_identifier"))
        return Conversion(
            f"{kind}_digits({t})",
            f"CASE WHEN {placeholder} OR NOT {possible} THEN NULL ELSE {c} END",
            tuple(problems),
            ((f"is_damaged_number({t})", "damaged"), (placeholder, "placeholder"), (f"{t} IS NOT NULL", "unparsable")),
        )

    return convert


def _boolean(element: Element, names: Names) -> Conversion:
    rule = element.boolean
    assert rule is not None
    t, c = names.text, names.candidate
    yes, no = (", ".join(literal(text) for text in words) or "NULL" for words in (rule.true, rule.false))
    value = f"CASE WHEN {t} IN ({yes}) THEN true WHEN {t} IN ({no}) THEN false END"
    return Conversion(
        value, c, ((f"{t} IS NOT NULL AND {c} IS NULL", "unparsable_boolean"),), ((f"{t} IS NOT NULL", "unparsable"),)
    )


def _number(pattern: str) -> Callable[[Element, Names], Conversion]:
    def convert(element: Element, names: Names) -> Conversion:
        t, c = names.text, names.candidate
        number = f"TRY_CAST({t} AS {SQL_TYPES[element.kind]})"
        value = f"CASE WHEN regexp_full_match({t}, {literal(pattern)}) THEN {number} END"
        problem = (f"{t} IS NOT NULL AND {c} IS NULL", "unparsable_number")
        return Conversion(value, c, (problem,), ((f"{t} IS NOT NULL", "unparsable"),))

    return convert


_CONVERSIONS: dict[str, Callable[[Element, Names], Conversion]] = {
    "text": _text, "name": _folded, "address": _folded, "date": _dated, "timestamp": _dated,
    "identifier": _identifier, "ssn": _numbered("ssn"), "phone": _numbered("phone"), "boolean": _boolean,
    "integer": _number(r"[+-]?[0-9]{1,12}(\.0*)?"),
    "decimal": _number(r"[+-]?([0-9]{1,12}(\.[0-9]*)?|\.[0-9]+)"),
}  # fmt: skip
