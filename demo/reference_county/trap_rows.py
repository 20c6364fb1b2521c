"""Verdicts on the traps that stand in files and rows: damage, copies, orphans, codes, layouts, late and held files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from demo.reference_county.observed import Arrived, Observed
from demo.reference_county.orders import case_faults
from demo.reference_county.truth import Trap

Judge = Callable[[Observed, Trap], Iterator[str]]
"""Gives the faults found; none means that the trap was not sprung."""

_NUMBERED = re.compile(r"(?:data row|record) (\d+)")
_ALSO_NAMED_BY = {"guardians": "contact_id"}
"""Feeds whose rows the truth also names by an element that is no part of their key."""
_BY_KEY = "(_key = ? OR list_contains(string_split(_key, '|'), ?))"


def _extracts(seen: Observed, trap: Trap) -> list[Arrived]:
    """The extracts of the night that a trap's `where` speaks of: a file, a table, or table.column."""
    feed = trap.where.split(".")[0]
    return [e for e in seen.arrived if e.agency == trap.agency and (e.name == trap.where or e.feed == feed)]


def _records(seen: Observed, extract: Arrived, item: Any) -> list[tuple[int, str, str]]:
    """(record, disposition, reason) of the rows that an item names: a record number, a whole key or a part of it."""
    numbered = _NUMBERED.fullmatch(str(item))
    query = f"SELECT _record, disposition, reason FROM {seen.dispositions(extract)} WHERE "
    if numbered:
        rows = seen.rows(query + "_record = ?", [int(numbered.group(1))])
    elif extract.feed in _ALSO_NAMED_BY:
        named = f"SELECT _record FROM {seen.mapped(extract)} WHERE {_ALSO_NAMED_BY[extract.feed]} = ?"
        rows = seen.rows(f"{query} {_BY_KEY} OR _record IN ({named}) ORDER BY _record", [str(item)] * 3)
    else:
        rows = seen.rows(f"{query} {_BY_KEY} ORDER BY _record", [str(item)] * 2)
    return [(int(str(record)), str(word), str(reason)) for record, word, reason in rows]


def _of_item(seen: Observed, trap: Trap, item: str) -> list[tuple[Arrived, int, str, str]]:
    """The rows of one item of a trap in the extracts it speaks of."""
    checked = [extract for extract in _extracts(seen, trap) if extract.has_rows]
    return [(extract, *row) for extract in checked for row in _records(seen, extract, item)]


def _of_trap(seen: Observed, trap: Trap) -> list[tuple[Arrived, int, str, str]]:
    """The rows of all items of a trap."""
    return [row for item in _items(trap) for row in _of_item(seen, trap, item)]


def _items(trap: Trap) -> list[str]:
    """The keys a trap names; a plan is named by its two key columns."""
    if "SFTY_PLNT" in trap.where:
        return ["|".join(trap.rows)]
    return [str(item) for item in trap.rows]


def _finding_codes(seen: Observed, extract: Arrived, record: int) -> set[str]:
    query = f"SELECT DISTINCT unnest([code, rule]) FROM {seen.findings(extract)} WHERE _record = {record}"
    return {str(code) for (code,) in seen.rows(query)}


def goes_to(*words: str, reason: str | None = None) -> Judge:
    """Every row of the trap has one of the dispositions (and the reason)."""

    def judge(seen: Observed, trap: Trap) -> Iterator[str]:
        rows = _of_trap(seen, trap)
        if not rows:
            yield "there is no such row"
        for _, _, word, why in rows:
            if word not in words or (reason is not None and why != reason):
                yield f"is {word} {why}"

    return judge


def noted(*codes: str, or_quarantined: bool = False) -> Judge:
    """A row of each item is accepted with one of the findings, or quarantined where that is as good."""

    def judge(seen: Observed, trap: Trap) -> Iterator[str]:
        good = {"accepted", "quarantined"} if or_quarantined else {"accepted"}
        for item in _items(trap):
            rows = _of_item(seen, trap, item)
            yield from (f"is {word} {why}" for _, _, word, why in rows if word not in good)
            if not any(word == "quarantined" or _finding_codes(seen, e, n) & set(codes) for e, n, word, _ in rows):
                yield "is not noted" if rows else "there is no such row"

    return judge


def counted_once(seen: Observed, trap: Trap) -> Iterator[str]:
    """A copy is set apart, and its key is in force once."""
    rows = _of_trap(seen, trap)
    if not any((word, why) == ("duplicate", "exact_copy") for _, _, word, why in rows):
        yield "no copy was set apart"
    for extract in _extracts(seen, trap):
        query = f"SELECT count(*) - count(DISTINCT _key) FROM {seen.state(extract.agency, extract.feed)}"
        if seen.number(query):
            yield "a key is in force twice"


def first_stays(seen: Observed, trap: Trap) -> Iterator[str]:
    """Of two rows of one key that disagree the first stays and the second is quarantined."""
    words = [(word, why) for _, _, word, why in _of_trap(seen, trap)]
    if ("quarantined", "conflicting_key") not in words:
        yield "the second row is not quarantined"
    if not words or words[0][0] != "accepted":
        yield "the first row is not kept"


def out_of_scope(seen: Observed, trap: Trap) -> Iterator[str]:
    """The row is withheld as out of scope and stands nowhere in force."""
    yield from goes_to("withheld", reason="out_of_scope")(seen, trap)
    for extract in _extracts(seen, trap):
        for item in trap.rows:
            query = f"SELECT count(*) FROM {seen.state(extract.agency, extract.feed)} WHERE starts_with(_key, ?)"
            if seen.number(query, [f"{item}|"]):
                yield "is in force"


def held(reason: str) -> Judge:
    """The file is held, and none of its rows is in force."""

    def judge(seen: Observed, trap: Trap) -> Iterator[str]:
        extracts = [e for e in _extracts(seen, trap) if e.name == trap.where]
        if not extracts:
            yield "there is no such file"
        for extract in extracts:
            if (extract.status, extract.reason) != ("held", reason):
                yield f"is {extract.status} {extract.reason}"
            used = f"SELECT count(*) FROM {seen.state(extract.agency, extract.feed)} WHERE _extract = ?"
            if seen.number(used, [extract.extract_id]):
                yield "its rows are in force"

    return judge


def truncated(seen: Observed, trap: Trap) -> Iterator[str]:
    """The file is held and nobody was withdrawn because of it."""
    yield from held("truncated")(seen, trap)
    for extract in _extracts(seen, trap):
        query = (
            f"SELECT count(*) FROM read_parquet('{seen.states[extract.agency, extract.feed]}')"
            " WHERE _deleted = 'withdrawn' AND _extract = ?"
        )
        if seen.number(query, [extract.extract_id]):
            yield "rows were withdrawn"


def resent(seen: Observed, trap: Trap) -> Iterator[str]:
    """The same content under another name changes nothing."""
    found = [extract.status for extract in seen.arrived if extract.name == trap.where]
    if not found:
        yield "there is no such file"
    yield from (f"is {status}" for status in found if status != "duplicate")


def unseen_code(seen: Observed, trap: Trap) -> Iterator[str]:
    """The code waits to be mapped; rows that the trap names are accepted and unmapped."""
    pending = {str(value) for (value,) in seen.rows("SELECT value FROM code_pending WHERE agency = ?", [trap.agency])}
    codes = [item for item in trap.rows if item in pending]
    rows = _of_trap(seen, trap)
    if not codes and not any(
        "unmapped_code" in _finding_codes(seen, extract, record) for extract, record, _, _ in rows
    ):
        yield "no unmapped code waits"
    for extract, record, word, why in rows:
        if word != "accepted":
            yield f"is {word} {why}"
        elif "unmapped_code" not in _finding_codes(seen, extract, record):
            yield "is accepted without the finding"


def lost_zeros(seen: Observed, trap: Trap) -> Iterator[str]:
    """A number without its leading zeros is repaired or quarantined, makes no new child and withdraws no known one."""
    width = 7
    for item in trap.rows:
        whole = str(item).zfill(width)
        if seen.number("SELECT count(*) FROM entity.person WHERE person_ref LIKE ?", [f"%/students/{item}"]):
            yield "made a new child"
        if not seen.number("SELECT count(*) FROM entity.enrollment WHERE person_ref LIKE ?", [f"%/students/{whole}"]):
            yield "the known child is gone"
    padded = Trap(**{**trap.__dict__, "rows": [str(item).zfill(width) for item in trap.rows]})
    yield from noted("repaired_identifier", or_quarantined=True)(seen, padded)


def lost_digits(seen: Observed, trap: Trap) -> Iterator[str]:
    """A state number in scientific notation is no evidence; the number known before stays."""
    yield from noted("damaged_identifier")(seen, trap)
    for item in trap.rows:
        query = (
            "SELECT count(*) FILTER (regexp_full_match(value, '[0-9]{10}')), count(*) FILTER (value LIKE '%E+%')"
            " FROM entity.person_identifier WHERE type = 'state_student_id' AND person_ref LIKE ?"
        )
        kept, damaged = seen.rows(query, [f"%/students/{item}"])[0]
        if damaged:
            yield "the damaged number is kept as a number"
        if not kept:
            yield "the number known before is lost"


def layout_changed(seen: Observed, trap: Trap) -> Iterator[str]:
    """The file is held, or loaded with a notice and every version read from its own column."""
    for extract in _extracts(seen, trap):
        if extract.name != trap.where or extract.status == "held":
            continue
        codes = "('renamed_column', 'new_column', 'missing_column')"
        query = f"SELECT count(*) FROM file_finding WHERE extract_id = ? AND code IN {codes}"
        if not seen.number(query, [extract.extract_id]):
            yield "loaded without a notice"
        wrong = f"SELECT count(*) FROM {seen.mapped(extract)} WHERE NOT regexp_full_match(_version, '[0-9]{{14}}')"
        if extract.agency == "metro_police" and seen.number(wrong):
            yield "the version was read from another column"
    if not [e for e in seen.arrived if e.name == trap.where]:
        yield "there is no such file"


def late_file(seen: Observed, trap: Trap) -> Iterator[str]:
    """An older file that comes late never overwrites a newer version."""
    extracts = [e for e in seen.arrived if e.name == trap.where]
    if not extracts:
        yield "there is no such file"
    for extract in extracts:
        if extract.status != "loaded_late":
            yield f"is {extract.status}"
        query = f"""
            SELECT count(*) FROM {seen.mapped(extract)} m JOIN {seen.state(extract.agency, extract.feed)} s USING (_key)
            WHERE m._version > s._version OR (s._extract = ? AND m._version < s._version)"""
        if seen.number(query, [extract.extract_id]):
            yield "a newer version was overwritten, or an older one kept"
        for item in trap.rows:
            older = f"SELECT count(*) FROM {seen.state(extract.agency, extract.feed)} WHERE _key = ? AND _extract <> ?"
            if not seen.number(older, [str(item), extract.extract_id]):
                yield "the newer correction is gone"


def missing_birth_date(seen: Observed, trap: Trap) -> Iterator[str]:
    """The row loads, and its birth date is missing with a reason."""
    missing = "list_has_any(string_split(_missing, ' '), ['birth_date:placeholder', 'birth_date:unparsable'])"
    yield from goes_to("accepted")(seen, trap)
    for item in _items(trap):
        found = [
            seen.number(
                f"SELECT count(*) FROM {seen.mapped(e)} WHERE _record = {n} AND birth_date IS NULL AND {missing}"
            )
            for e, n, _, _ in _of_item(seen, trap, item)
        ]
        if not any(found):
            yield "the birth date is not missing with a reason"


def text_as_sent(seen: Observed, trap: Trap) -> Iterator[str]:
    """The text loads as text, in one row."""
    yield from goes_to("accepted")(seen, trap)
    if trap.agency == "riverbend_schools" and "discipline" in trap.where:
        for item in trap.rows:
            query = "SELECT count(*), count(description) FROM entity.discipline WHERE incident_id = ?"
            rows, texts = seen.rows(query, [str(item)])[0]
            if not rows or rows != texts:
                yield "the text is not kept"


def repaired_text(seen: Observed, trap: Trap) -> Iterator[str]:
    """Doubly encoded text is repaired, and the repair is noted."""
    yield from noted("repaired_text")(seen, trap)
    for item in trap.rows:
        query = (
            "SELECT count(*) FROM entity.person_name WHERE person_ref LIKE ?"
            " AND regexp_matches(concat_ws(' ', given, middle, surname), '[ÃÂ]')"
        )
        if seen.number(query, [f"%/students/{item}"]):
            yield "a name is still damaged"


def sealed_case(seen: Observed, trap: Trap) -> Iterator[str]:
    """A sealed or expunged case stands nowhere in the record."""
    known = {case.case_id for case in seen.truth.sealed if case.agency == trap.agency}
    for item in trap.rows:
        yield from case_faults(seen, trap.agency, str(item))
        if item not in known:
            yield "the truth does not list the case as sealed"


def sealed_resent(seen: Observed, trap: Trap) -> Iterator[str]:
    """A case that comes back unsealed stays out, and its row is withheld."""
    yield from sealed_case(seen, trap)
    yield from goes_to("withheld")(seen, trap)


def police_row_of_sealed(seen: Observed, trap: Trap) -> Iterator[str]:
    """The police row may load, and no case of a person it names that was sealed shows again."""
    yield from goes_to("accepted")(seen, trap)
    for case in seen.truth.sealed:
        if case.delivery <= seen.delivery:
            yield from case_faults(seen, case.agency, case.case_id)


def refused_override(seen: Observed, trap: Trap) -> Iterator[str]:
    """An override without reason, authority and approver is marked as no permission."""
    yield from goes_to("accepted")(seen, trap)
    for item in trap.rows:
        query = "SELECT count(*) FROM entity.consent WHERE source_key = ? AND override_complete IS DISTINCT FROM false"
        if seen.number(query, [str(item)]):
            yield "counts as a permission"


JUDGES: dict[str, Judge] = {
    "case_expunged": sealed_case,
    "case_sealed": sealed_case,
    "changed_layout": layout_changed,
    "conflicting_duplicate_key": first_stays,
    "consent_override_without_reason": refused_override,
    "delete_unknown_key": goes_to("quarantined", reason="delete_unknown_key"),
    "duplicate_row": counted_once,
    "embedded_newline_or_quote": text_as_sent,
    "excel_lost_zeros": lost_zeros,
    "excel_scientific": lost_digits,
    "excel_serial_date": noted("repaired_excel_date", or_quarantined=True),
    "expunged_rows_hard_deleted": sealed_case,
    "formula_injection": text_as_sent,
    "identical_file_resent": resent,
    "late_older_file": late_file,
    "mojibake": repaired_text,
    "orphan_row": goes_to("quarantined", reason="orphan"),
    "placeholder_or_future_birth_date": missing_birth_date,
    "police_row_of_sealed_case_resent": police_row_of_sealed,
    "ragged_row": goes_to("quarantined"),
    "sealed_case_resent_unsealed": sealed_resent,
    "short_fixed_width_record": goes_to("quarantined", reason="short_record"),
    "test_record_out_of_scope": out_of_scope,
    "trailer_mismatch": held("truncated"),
    "truncated_full_file": truncated,
    "undefined_byte": noted("replaced_bytes"),
    "unseen_code": unseen_code,
    "wrong_sender": held("wrong_sender"),
}
LASTING = {"case_expunged", "case_sealed"}
"""Kinds that must hold from their delivery on."""
