"""What is withheld, and that nothing about it is left in any table."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from record_rows import (
    ANA,
    ANA_CLIENT,
    ANA_COURT,
    ANA_FEDERAL,
    ANA_MOTHER,
    BEN,
    BEN_CLIENT,
    BEN_COURT,
    CASE,
    COUNTY,
    NONE_RESTRICTED,
    OTHER_CASE,
    PERSONS,
    REPORT,
    Row,
    add_order,
    inputs_of,
    new_home,
    write_entities,
)

from record.in_force import DEFINED_BY, PERSON_PARTNERS, SAME_PERSON
from record.publish import publish
from record.reader import Record, open_record
from record.withhold import REFERENCE_SCHEMA, entities_to_link
from standard.schema import entities
from store.home import connect


def table(*rows: tuple[str, str]) -> pa.Table:
    return pa.table([[r[0] for r in rows], [r[1] for r in rows]], schema=REFERENCE_SCHEMA)


def with_rows(**more: list[Row]) -> dict[str, list[Row]]:
    return {name: [*COUNTY.get(name, []), *more.get(name, [])] for name in {*COUNTY, *more}}


def published(
    tmp_path: Path,
    rows: dict[str, list[Row]] = COUNTY,
    *,
    orders: tuple[str, ...] = (),
    restricted: tuple[str, ...] = (),
    persons: dict[str, str] = PERSONS,
) -> Record:
    home, ledger = new_home(tmp_path / "home")
    for ref in orders:
        add_order(ledger, ref)
    inputs = inputs_of(tmp_path / "in", rows, persons, table(*((ref, "restricted") for ref in restricted)))
    publish(home, ledger, inputs, run_id="run-1", fence=1)
    return open_record(home)


def everywhere(record: Record) -> str:
    """All that stands in the record, as one text."""
    return "\n".join(str(record.table(name).to_arrow().to_pylist()) for name in record.tables())


def people(record: Record) -> set[str]:
    return set(record.table("person_source").to_pandas()["person_ref"])


def test_every_reference_column_of_the_schema_is_known_to_name_a_person_or_a_thing() -> None:
    named = {column for entity in entities().values() for column in entity.references()}
    assert named <= {*PERSON_PARTNERS, *DEFINED_BY, SAME_PERSON}


def test_a_sealed_case_takes_all_that_stands_below_it(tmp_path: Path) -> None:
    rows = with_rows(
        removal=[{"person_ref": ANA_COURT, "removal_ref": "court/removal/e1", "case_ref": CASE,
                  "removed_on": date(2025, 6, 1)}],
        placement=[{"person_ref": ANA_COURT, "removal_ref": "court/removal/e1", "started_on": date(2025, 6, 2)}],
    )  # fmt: skip
    record = published(tmp_path, rows, orders=(CASE,))
    for name in ("charge", "disposition", "removal", "placement"):
        assert record.table(name).to_arrow().num_rows == 0, name
    assert set(record.table("case").to_pandas()["case_ref"]) == {OTHER_CASE}
    assert CASE not in everywhere(record)


def test_a_person_with_an_open_case_stays_and_one_known_only_by_sealed_cases_goes(tmp_path: Path) -> None:
    record = published(tmp_path, orders=(CASE,))
    assert ANA_COURT in people(record)
    assert ANA_MOTHER not in people(record)
    assert ANA_MOTHER not in everywhere(record)
    assert "MOM" not in set(record.table("person").to_pandas()["person_id"])


def test_a_person_in_two_sealed_cases_is_withheld_wholly(tmp_path: Path) -> None:
    record = published(tmp_path, orders=(CASE, OTHER_CASE))
    assert people(record) & {ANA_COURT, BEN_COURT, ANA_MOTHER} == set()
    assert {ANA, BEN} <= people(record)


def test_a_person_known_only_by_a_sealed_case_does_not_come_back_when_the_case_is_purged(tmp_path: Path) -> None:
    left = {name: [row for row in rows if row.get("case_ref") != CASE] for name, rows in COUNTY.items()}
    record = published(tmp_path, left, orders=(CASE,))
    assert ANA_MOTHER not in people(record)
    assert ANA_COURT in people(record), "she has a part in a case that may be seen"
    assert ANA_MOTHER in people(published(tmp_path / "no order", left))


def test_a_person_in_no_case_stays_while_no_case_under_an_order_was_purged(tmp_path: Path) -> None:
    alone = "court/party/P9"
    rows = with_rows(person=[{"person_ref": alone}])
    record = published(tmp_path, rows, orders=(CASE, BEN), persons={**PERSONS, alone: "NEW"})
    assert alone in people(record), "the sealed case still has its parties"
    assert BEN not in people(record)
    assert ANA in people(record), "an order on one pupil says nothing about another"


def test_an_order_that_was_lifted_withholds_nothing(tmp_path: Path) -> None:
    home, ledger = new_home(tmp_path / "home")
    add_order(ledger, CASE)
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE order_ SET lifted_at = '2026-01-01'")
    publish(home, ledger, inputs_of(tmp_path / "in"), run_id="run-1", fence=1)
    assert CASE in set(open_record(home).table("case").to_pandas()["case_ref"])


def test_a_restricted_person_is_not_known_to_exist(tmp_path: Path) -> None:
    record = published(tmp_path, restricted=(ANA_CLIENT,))
    assert ANA_CLIENT not in everywhere(record)
    assert ANA_FEDERAL not in everywhere(record), "the same person under the agency's other number"
    assert BEN_CLIENT in people(record)


def test_a_restricted_report_takes_those_known_only_through_it(tmp_path: Path) -> None:
    rows = with_rows(
        case=[{"case_ref": "care/CASE_T/k1"}],
        case_participant=[{"case_ref": "care/CASE_T/k1", "person_ref": BEN_CLIENT, "role": "father"}],
    )
    record = published(tmp_path, rows, restricted=(REPORT,))
    assert record.table("cw_report").to_arrow().num_rows == 0
    assert record.table("allegation").to_arrow().num_rows == 0
    assert people(record) & {ANA_CLIENT, ANA_FEDERAL} == set()
    assert BEN_CLIENT in people(record)


def test_a_case_that_is_only_about_a_restricted_person_is_withheld_too(tmp_path: Path) -> None:
    rows = with_rows(
        case=[{"case_ref": "care/CASE_T/k1"}],
        case_participant=[{"case_ref": "care/CASE_T/k1", "person_ref": ANA_CLIENT, "role": "child"}],
    )
    assert "care/CASE_T/k1" not in everywhere(published(tmp_path, rows, restricted=(ANA_CLIENT,)))


def test_a_confidential_address_and_the_text_of_a_contact_restriction_are_withheld(tmp_path: Path) -> None:
    rows = with_rows(address=[{"person_ref": ANA, "line1": "9 Hidden Ln", "confidential": True}])
    record = published(tmp_path, rows)
    assert "9 Hidden Ln" not in everywhere(record)
    assert "9 Ash Rd" not in everywhere(record)
    assert record.table("relationship").to_arrow().num_rows == 1
    assert record.manifest["withheld"] == {"address": {"confidential": 1}}
    assert record.manifest["withheld_values"] == {"relationship.restriction": 1, "address.confidential": 0}
    persons = record.table("person").to_arrow().to_pylist()
    assert {row["person_id"] for row in persons if row["address_protected"]} == {"ANA"}


REFUSED = {"person_ref": ANA_CLIENT, "decision": "withheld", "purpose": "individual_case_planning",
           "recipient": "all", "scope": "EDU", "effective_on": date(2026, 1, 1)}  # fmt: skip
LATER_GRANT = {**REFUSED, "decision": "granted", "effective_on": date(2026, 2, 1)}
OVERRIDE = {**LATER_GRANT, "decision": "overridden", "override_complete": True}
CONSENTS = {
    "refused to all": ([REFUSED], True),
    "refused for all data": ([{**REFUSED, "recipient": "schools", "scope": "ALL"}], True),
    "refused for all data among others": ([{**REFUSED, "recipient": "schools", "scope": "EDU, ALL"}], True),
    "refused to schools for one kind of data": ([{**REFUSED, "recipient": "schools"}], False),
    "refused from a later day": ([{**REFUSED, "effective_on": date(2026, 4, 1)}], False),
    "refused until an earlier day": ([{**REFUSED, "expires_on": date(2026, 3, 29)}], False),
    "refused until today": ([{**REFUSED, "expires_on": date(2026, 3, 30)}], True),
    "withdrawn": ([{**REFUSED, "decision": "withdrawn", "withdrawn_on": date(2026, 3, 1)}], True),
    "withdrawn from tomorrow": ([{**REFUSED, "decision": "withdrawn", "withdrawn_on": date(2026, 3, 31)}], False),
    "withdrawn without a day": ([{**REFUSED, "decision": "withdrawn"}], True),
    "granted, then withdrawn in the same row": ([{**LATER_GRANT, "withdrawn_on": date(2026, 3, 1)}], True),
    "refused, then granted": ([REFUSED, LATER_GRANT], False),
    "refused, then granted for another purpose": ([REFUSED, {**LATER_GRANT, "purpose": "emergency_safety"}], True),
    "refused, then granted to another": ([REFUSED, {**LATER_GRANT, "recipient": "police"}], True),
    "granted, then refused": ([{**REFUSED, "effective_on": date(2026, 3, 1)}, LATER_GRANT], True),
    "refused, then a grant that has ended": ([REFUSED, {**LATER_GRANT, "expires_on": date(2026, 3, 1)}], True),
    "refused, then a whole override": ([REFUSED, OVERRIDE], False),
    "refused, then an override without reason": ([REFUSED, {**OVERRIDE, "override_complete": False}], True),
    "only an override without reason": ([{**OVERRIDE, "override_complete": False}], True),
    "a decision in an unseen code": ([{**REFUSED, "decision": None, "decision_source": "Q"}], True),
    "granted": ([LATER_GRANT], False),
}


@pytest.mark.parametrize("story", CONSENTS)
def test_consent_decides_about_the_details_of_one_agency(tmp_path: Path, story: str) -> None:
    decisions, refused = CONSENTS[story]
    record = published(tmp_path, with_rows(consent=decisions))
    names = set(record.table("person_name").to_pandas()["person_ref"])
    assert (ANA_CLIENT not in names) == refused
    assert ANA in names, "the school's rows are not care's to refuse"
    assert ANA_CLIENT in people(record), "existence stays"
    assert record.table("consent").to_arrow().num_rows == len(decisions)
    parts = set(record.table("report_participant").to_pandas()["person_ref"])
    assert (ANA_CLIENT not in parts) == refused


def test_a_refusal_covers_every_reference_the_agency_has_for_the_person(tmp_path: Path) -> None:
    second = "care/CLIENT_T/c9"
    rows = with_rows(
        consent=[REFUSED], person=[{"person_ref": second}], person_name=[{"person_ref": second, "given": "Anna"}]
    )
    record = published(tmp_path, rows, persons={**PERSONS, second: "ANA"})
    assert second in people(record)
    assert "Anna" not in everywhere(record)


def test_linkage_sees_no_row_about_a_person_withheld_wholly(tmp_path: Path) -> None:
    paths = write_entities(tmp_path / "in", COUNTY)
    orders, restricted = table((CASE, "sealed")), table((ANA_CLIENT, "restricted"))
    with connect() as con:
        views = entities_to_link(con, paths, orders=orders, restricted=restricted)
        gone = con.sql("SELECT ref, reason FROM withheld SEMI JOIN in_force.person ON ref = person_ref ORDER BY 1")
        assert gone.fetchall() == [(ANA_CLIENT, "restricted"), (ANA_MOTHER, "sealed")]
        text = "\n".join(str(con.sql(f"FROM {view}").fetchall()) for view in views.values())
    assert ANA_CLIENT not in text
    assert ANA_MOTHER not in text
    assert ANA_COURT in text


def test_rows_in_force_are_published_or_counted_as_withheld(tmp_path: Path) -> None:
    record = published(tmp_path, with_rows(consent=[REFUSED]), orders=(CASE,), restricted=(REPORT,))
    for name, in_force in record.manifest["in_force"].items():
        withheld = sum(record.manifest["withheld"].get(name, {}).values())
        if name != "person":
            assert in_force == withheld + record.manifest["tables"][name]["rows"], name
    assert {r for reasons in record.manifest["withheld"].values() for r in reasons} == {"sealed", "restricted"}


def test_nothing_is_withheld_where_nothing_asks_for_it(tmp_path: Path) -> None:
    paths = write_entities(tmp_path / "in", COUNTY)
    with connect() as con:
        entities_to_link(con, paths, orders=NONE_RESTRICTED, restricted=NONE_RESTRICTED)
        assert con.sql("FROM withheld").fetchall() == []
