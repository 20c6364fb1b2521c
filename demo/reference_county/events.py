"""Counts of events by common type against the truth: in force before withholding, or visible in the record."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from demo.reference_county.observed import Arrived, Observed
from demo.reference_county.truth import EventCount, Truth
from demo.reference_county.verdicts import Line, judged
from store.home import literal

SCHOOLS, POLICE, COURT, WELFARE = "riverbend_schools", "metro_police", "county_court", "child_services"


@dataclass(frozen=True)
class Counted:
    """How a common type is counted: SQL of one number over the schemas `entity` and `record`."""

    agency: str
    query: str
    feed: str | None = None
    """The full file the count comes from: while it is held, the count of the delivery before stays."""


def _rows(agency: str, entity: str, where: str = "true", *, feed: str | None = None, schema: str = "entity") -> Counted:
    query = f"SELECT count(*) FROM {schema}.{entity} WHERE agency_id = '{agency}' AND ({where})"
    return Counted(agency, query, feed)


def _absence(status: str) -> Counted:
    return _rows(SCHOOLS, "attendance_day", f"status = '{status}'", feed="attendance")


def _cases(kind: str, *, visible: bool = False) -> Counted:
    return _rows(COURT, '"case"', f"type = '{kind}'", schema="record" if visible else "entity")


_UNEXCUSED = f"entity.attendance_day WHERE agency_id = '{SCHOOLS}' AND status = 'absent_unexcused'"
_CASE_TYPES = {
    "petition_delinquency": "delinquency", "petition_status_offense": "status_offense",
    "petition_dependency": "dependency", "case_criminal": "criminal", "case_family": "family",
}  # fmt: skip

TYPES: dict[str, Counted] = {
    "enrollment": _rows(SCHOOLS, "enrollment", feed="students"),
    "enrollment_active": _rows(SCHOOLS, "enrollment", "status = 'open'", feed="students"),
    "students_distinct_children": Counted(
        SCHOOLS,
        "SELECT count(DISTINCT t.true_person_id) FROM entity.enrollment e JOIN truth.person t"
        " ON e.person_ref = concat_ws('/', t.agency, t.table_or_file, t.source_person_key)"
        f" WHERE e.agency_id = '{SCHOOLS}'",
        "students",
    ),
    "absence_unexcused": _absence("absent_unexcused"),
    "absence_excused": _absence("absent_excused"),
    "tardy_unexcused": _absence("tardy_unexcused"),
    "absence_suspension": _absence("suspended_out_of_school"),
    "unexcused_days": Counted(SCHOOLS, f"SELECT floor(sum(duration_fraction)) FROM {_UNEXCUSED}", "attendance"),
    "truant_by_district_rule": Counted(
        SCHOOLS,
        f"SELECT count(*) FROM (SELECT person_ref FROM {_UNEXCUSED} AND date >= DATE '2025-09-02'"
        " GROUP BY 1 HAVING count(*) >= 8)",
        "attendance",
    ),
    "discipline": _rows(SCHOOLS, "discipline", feed="discipline"),
    "discipline_reported_to_police": _rows(SCHOOLS, "discipline", "reported_to_police", feed="discipline"),
    "person_rows_in_force": _rows(POLICE, "police_contact"),
    "arrest_custody_or_onview": _rows(POLICE, "police_contact", "starts_with(kind, 'arrest')"),
    "citation_summons": _rows(POLICE, "police_contact", "kind = 'citation_summons'"),
    "field_contact": _rows(POLICE, "police_contact", "kind = 'field_contact'"),
    "runaway_report": _rows(POLICE, "police_contact", "kind = 'runaway_report'"),
    "victim_report": _rows(POLICE, "police_contact", "kind = 'victim_report'"),
    "suspect": _rows(POLICE, "police_contact", "kind = 'suspect'"),
    "status_offense_rows": _rows(POLICE, "police_contact", "offense_class = 'status'"),
    "under18_referred": _rows(POLICE, "police_contact", "under18_disposition = 'referred_other'"),
    "under18_handled_within": _rows(POLICE, "police_contact", "under18_disposition = 'handled_within'"),
    **{name: _cases(kind) for name, kind in _CASE_TYPES.items()},
    **{f"{name}_visible": _cases(kind, visible=True) for name, kind in _CASE_TYPES.items()},
    "hearing_held": _rows(COURT, "court_event", "result_source IS NOT NULL"),
    "disposition_order": _rows(COURT, "disposition"),
    "referral_cw_report": _rows(WELFARE, "cw_report"),
    "referral_screened_in": _rows(WELFARE, "cw_report", "screening = 'screened_in'"),
    "allegation_confirmed_high": _rows(WELFARE, "allegation", "finding = 'confirmed_high'"),
    "allegation_confirmed_low": _rows(WELFARE, "allegation", "finding = 'confirmed_low'"),
    "allegation_not_confirmed": _rows(WELFARE, "allegation", "finding = 'not_confirmed'"),
    "allegation_alternative_response": _rows(WELFARE, "allegation", "finding = 'alternative_response'"),
    "allegation_no_finding_yet_or_screened_out": _rows(WELFARE, "allegation", "finding_source IS NULL"),
    "case_open": _rows(WELFARE, '"case"', "closed_on IS NULL"),
    "removal_open": _rows(WELFARE, "removal", "ended_on IS NULL"),
    "placement": _rows(WELFARE, "placement"),
    "consent_G": _rows(WELFARE, "consent", "decision = 'granted'"),
    "consent_W": _rows(WELFARE, "consent", "decision = 'withheld'"),
    "consent_D": _rows(WELFARE, "consent", "decision = 'withdrawn'"),
    "consent_O": _rows(WELFARE, "consent", "decision = 'overridden'"),
}

_CODE_OF_ABSENCE = {
    "absence_unexcused": "A", "absence_excused": "AE", "tardy_unexcused": "T", "absence_suspension": "S",
}  # fmt: skip
_SUMS_OF_ABSENCES = ("unexcused_days", "truant_by_district_rule")
_FINDINGS = {
    "allegation_confirmed_high": "= '45'", "allegation_confirmed_low": "= '46'", "allegation_not_confirmed": "= '47'",
    "allegation_alternative_response": "= '48'", "allegation_no_finding_yet_or_screened_out": "IS NULL",
}  # fmt: skip


def event_lines(seen: Observed) -> Iterator[Line]:
    """One line a common type of the delivery."""
    seen.con.execute("CREATE SCHEMA IF NOT EXISTS truth")
    persons = f"read_csv({literal(seen.truth.persons)}, header = true, all_varchar = true)"
    seen.con.execute(f"CREATE OR REPLACE VIEW truth.person AS SELECT * FROM {persons}")
    for expected in seen.truth.events:
        if expected.delivery == seen.delivery:
            yield _event_line(seen, expected)


def _event_line(seen: Observed, expected: EventCount) -> Line:
    subject = f"{expected.agency} {expected.type}"
    counted = TYPES.get(expected.type)
    if counted is None:
        return judged("event", seen.delivery, subject, str(expected.count), ["this type is not counted yet"])
    wanted = _expected_count(seen.truth, expected, counted)
    least = seen.number(counted.query) + _known_though_not_loaded(seen, expected.type)
    most = least + _perhaps_meant(seen, expected.type)
    actual = f"{least}" if least == most else f"{least}..{most}"
    return Line("event", seen.delivery, subject, str(wanted), actual, least <= wanted <= most)


def _expected_count(truth: Truth, expected: EventCount, counted: Counted) -> int:
    """The truth counts the file as it was exported; while we hold it, what was in force before stays."""
    delivery = expected.delivery
    while counted.feed and delivery > 1 and _is_held(truth, delivery, counted):
        delivery -= 1
    return next(
        e.count for e in truth.events if (e.delivery, e.agency, e.type) == (delivery, expected.agency, expected.type)
    )


def _is_held(truth: Truth, delivery: int, counted: Counted) -> bool:
    return not any(
        sent.status.startswith("load")
        for sent in truth.sent
        if (sent.delivery, sent.agency) == (delivery, counted.agency) and f"_{counted.feed}_" in sent.file
    )


def _known_though_not_loaded(seen: Observed, kind: str) -> int:
    """Rows that the truth counts as of the undamaged source although they are in quarantine with us."""
    if kind in _FINDINGS:
        return _orphan_allegations(seen, _FINDINGS[kind])
    return _damaged_absences(seen).count(_CODE_OF_ABSENCE[kind]) if kind in _CODE_OF_ABSENCE else 0


def _perhaps_meant(seen: Observed, kind: str) -> int:
    """How many rows the truth may count beyond: it knows what an unseen code replaced and what a damaged row held."""
    if kind not in (*_CODE_OF_ABSENCE, *_SUMS_OF_ABSENCES):
        return 0
    unseen = seen.number("SELECT count(*) FROM entity.attendance_day WHERE status_match = 'unmapped'")
    return unseen + (_damaged_absences(seen).count("A") if kind in _SUMS_OF_ABSENCES else 0)


def _orphan_allegations(seen: Observed, code: str) -> int:
    extracts = [e for e in (*seen.earlier, *seen.arrived) if e.feed == "ALLGTN_T" and e.has_rows]
    orphans = " UNION ".join(
        f"SELECT m._key FROM {seen.mapped(e)} m JOIN {seen.dispositions(e)} r USING (_record)"
        f" WHERE r.disposition = 'quarantined' AND r.reason = 'orphan' AND m.finding_source {code}"
        for e in extracts
    )
    in_force = f"SELECT _key FROM {seen.state(WELFARE, 'ALLGTN_T')}"
    return seen.number(f"SELECT count(DISTINCT _key) FROM ({orphans}) WHERE _key NOT IN ({in_force})")


def _damaged_absences(seen: Observed) -> list[str]:
    """The codes, as far as the line still shows them, of the rows of the attendance file that could not be split."""
    extracts = [e for e in seen.arrived if e.feed == "attendance" and e.has_rows and e.status == "loaded"]
    return [code for extract in extracts for code in _codes_of_unreadable(seen, extract)]


def _codes_of_unreadable(seen: Observed, extract: Arrived) -> Iterator[str]:
    found = seen.rows(f"SELECT _line FROM read_parquet('{extract.folder / 'unreadable.parquet'}')")
    wanted = {int(str(line)) for (line,) in found}
    with extract.path.open(encoding="cp1252", errors="replace", newline="") as lines:
        texts = [text for number, text in enumerate(lines, start=1) if number in wanted]
    for fields in csv.reader(texts):
        yield fields[3] if len(fields) > 3 else ""
