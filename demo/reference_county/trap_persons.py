"""Verdicts on the traps about persons: who must not be joined, who must be joined or shown for review."""

from __future__ import annotations

from collections.abc import Iterator

from demo.reference_county.observed import Observed
from demo.reference_county.trap_rows import Judge
from demo.reference_county.truth import Trap
from store.home import literal

_TABLES = {
    "riverbend_schools": "students", "metro_police": "RMS_PERSON",
    "county_court": "party", "child_services": "CLIENT_T",
}  # fmt: skip


def _persons(seen: Observed, refs: list[str]) -> dict[str, str]:
    """The person of each reference that stands in the record."""
    query = "SELECT person_ref, person_id FROM record.person_source WHERE list_contains(?, person_ref)"
    return {str(ref): str(person) for ref, person in seen.rows(query, [refs])}


def _arrived(seen: Observed, refs: list[str]) -> list[str]:
    """Those of the references that are in force by now."""
    query = "SELECT DISTINCT person_ref FROM entity.person WHERE list_contains(?, person_ref)"
    return [str(ref) for (ref,) in seen.rows(query, [refs])]


def _in_force_and_shown(seen: Observed, refs: list[str]) -> Iterator[str]:
    if not _arrived(seen, refs):
        yield "none of its references is in force"


def kept_apart(seen: Observed, trap: Trap) -> Iterator[str]:
    """No reference of one person shares a person id with one of another."""
    groups = [set(_persons(seen, refs).values()) for refs in trap.rows]
    for refs in trap.rows:
        yield from _in_force_and_shown(seen, refs)
    for number, group in enumerate(groups):
        if any(group & other for other in groups[number + 1 :]):
            yield "two persons are joined"


def adopted(seen: Observed, trap: Trap) -> Iterator[str]:
    """The identities before and after are kept apart, and no relative of the one stands with the other."""
    yield from kept_apart(seen, trap)
    before, after = ([*refs] for refs in trap.rows)
    former = seen.rows(
        "SELECT DISTINCT related_ref FROM entity.relationship WHERE list_contains(?, person_ref)", [before]
    )
    new = list(set(_persons(seen, after).values()))
    query = """
        SELECT count(*) FROM record.relationship r JOIN record.person_source s ON s.person_ref = r.related_ref
        WHERE list_contains(?, r.person_id) AND list_contains(?, r.related_ref)"""
    if seen.number(query, [new, [str(ref) for (ref,) in former]]):
        yield "a former relative stands on the new record"


def joined_or_shown(seen: Observed, trap: Trap) -> Iterator[str]:
    """All references of the person are one person, or a pair that would join them waits for review."""
    for refs in trap.rows:
        persons = _persons(seen, refs)
        if not persons:
            yield "none of its references is in the record"
        elif not _connected(seen, set(persons.values())):
            yield "is several persons and no pair waits for review"


def _connected(seen: Observed, persons: set[str]) -> bool:
    """Whether pairs for review connect the persons."""
    chosen = ", ".join(literal(person) for person in sorted(persons))
    pairs = seen.rows(f"""
        SELECT DISTINCT a.person_id, b.person_id FROM review e
        JOIN record.person_source a ON a.person_ref = e.record_l
        JOIN record.person_source b ON b.person_ref = e.record_r
        WHERE a.person_id IN ({chosen}) AND b.person_id IN ({chosen})""")
    reached = {min(persons)}
    for _ in persons:
        for one, other in pairs:
            if str(one) in reached or str(other) in reached:
                reached |= {str(one), str(other)}
    return reached == persons


def both_surnames_kept(seen: Observed, trap: Trap) -> Iterator[str]:
    """As `joined_or_shown`, and every surname in force stands in the record."""
    yield from joined_or_shown(seen, trap)
    yield from _kept(seen, trap, "person_name", "upper(surname)", "a surname is lost")


def both_birth_dates_kept(seen: Observed, trap: Trap) -> Iterator[str]:
    """As `joined_or_shown`, and the contradicting birth dates both stand in the record."""
    yield from joined_or_shown(seen, trap)
    yield from _kept(seen, trap, "person_demographic", "birth_date", "a birth date is lost")


def _kept(seen: Observed, trap: Trap, table: str, value: str, fault: str) -> Iterator[str]:
    query = "SELECT count(DISTINCT {value}) FROM {schema}.{table} WHERE list_contains(?, person_ref)"
    for refs in trap.rows:
        shown = list(_persons(seen, refs))
        there, published = (
            seen.number(query.format(value=value, schema=schema, table=table), [shown])
            for schema in ("entity", "record")
        )
        if published < there:
            yield fault


def never_linked(seen: Observed, trap: Trap) -> Iterator[str]:
    """A placeholder is a person of its own: nobody else's reference has its person id."""
    refs = [ref for group in trap.rows for ref in ([group] if isinstance(group, str) else group)]
    whole = [ref if "/" in ref else f"{trap.agency}/{_TABLES[trap.agency]}/{ref}" for ref in refs]
    yield from _in_force_and_shown(seen, whole)
    usable = "SELECT count(*) FROM entity.person WHERE list_contains(?, person_ref) AND placeholder IS NOT TRUE"
    if seen.number(usable, [whole]):
        yield "is not known as a placeholder"
    query = """
        SELECT count(*) FROM record.person_source o
        JOIN record.person_source s ON s.person_id = o.person_id AND list_contains(?, s.person_ref)
        WHERE o.person_ref <> s.person_ref AND NOT EXISTS (
            SELECT 1 FROM entity.person p WHERE (p.person_ref, p.same_as) IN (
                (o.person_ref, s.person_ref), (s.person_ref, o.person_ref)))"""
    if seen.number(query, [whole]):
        yield "is linked to another"


def no_ssn(seen: Observed, trap: Trap) -> Iterator[str]:
    """The placeholder is no number of the person; the row loads."""
    refs = [f"{trap.agency}/{trap.where.split('.')[0]}/{key}" for key in trap.rows]
    yield from _in_force_and_shown(seen, refs)
    placeholder = "replace(value, substr(value, 1, 1), '') = '' OR value IN ('123456789', '987654321')"
    of_refs = "type = 'ssn' AND list_contains(?, person_ref)"
    query = f"SELECT count(*) FROM entity.person_identifier WHERE {of_refs} AND ({placeholder})"
    if seen.number(query, [refs]):
        yield "the placeholder is kept as a number"


JUDGES: dict[str, Judge] = {
    "adoption": adopted,
    "day_month_swap": both_birth_dates_kept,
    "hyphenated_surname": joined_or_shown,
    "jr_sr_one_household": kept_apart,
    "marriage_surname": both_surnames_kept,
    "parent_ssn_on_child": kept_apart,
    "placeholder_identity": never_linked,
    "placeholder_newborn": never_linked,
    "placeholder_ssn": no_ssn,
    "same_name_cousins": kept_apart,
    "swapped_first_last": joined_or_shown,
    "twins": kept_apart,
}
"""All of these must hold from their delivery on."""
