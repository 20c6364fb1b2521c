"""What must not stand in the record: sealed cases, restricted clients and reports, and who reported."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from demo.reference_county.observed import Observed
from demo.reference_county.truth import Sealed
from demo.reference_county.verdicts import Line, judged

KEPT_OF_A_REPORTER = {"FKREFERL_T", "LST_UPD_TS", "_present_only"}
"""All that may be read of the table that holds who reported."""


def order_lines(seen: Observed) -> Iterator[Line]:
    """One line a sealed case, one for restricted records, one for the reporters."""
    for case in seen.truth.sealed:
        if case.delivery <= seen.delivery:
            faults = [*case_faults(seen, case.agency, case.case_id), *_party_faults(seen, case)]
            yield judged("sealed", seen.delivery, f"{case.agency} {case.case_id}", "nowhere in the record", faults)
    yield judged("restricted", seen.delivery, "clients and reports", "nowhere in the record", _restricted_faults(seen))
    yield judged("reporter", seen.delivery, "REPTR_T", "only its key is read", _reporter_faults(seen))


def case_faults(seen: Observed, agency: str, case_id: str) -> list[str]:
    """Where in the record a case still shows: by reference, key or number, or by its charges."""
    if not seen.number("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'shown'"):
        _find_cases(seen)
    query = "SELECT DISTINCT place FROM shown WHERE agency = ? AND case_id = ?"
    return [f"stands in {place}" for (place,) in seen.rows(query, [agency, case_id])]


def _find_cases(seen: Observed) -> None:
    """Makes the table `shown` (agency, case_id, place): every column of the record that bears a case of the truth."""
    seen.con.execute("CREATE TEMP TABLE words (agency VARCHAR, case_id VARCHAR, word VARCHAR)")
    for case in seen.truth.sealed:
        charges = [f"{case.agency}/charge/{key}" for key in _charges_of(seen, case)]
        for word in (f"{case.agency}/case_hdr/{case.case_id}", case.case_id, case.case_no, *charges):
            seen.con.execute("INSERT INTO words VALUES (?, ?, ?)", [case.agency, case.case_id, word])
    seen.con.execute("CREATE TEMP TABLE shown (agency VARCHAR, case_id VARCHAR, place VARCHAR)")
    for table, column in _columns(seen):
        values = f'SELECT DISTINCT "{column}" AS value FROM record."{table}" WHERE "{column}" IS NOT NULL'
        parts = f"SELECT value AS part FROM ({values}) UNION SELECT unnest(string_split(value, '|')) FROM ({values})"
        found = f"SELECT DISTINCT agency, case_id, '{table}.{column}' FROM words JOIN ({parts}) ON part = word"
        seen.con.execute(f"INSERT INTO shown {found}")


def _charges_of(seen: Observed, case: Sealed) -> list[str]:
    if (case.agency, "charge") not in seen.states:
        return []
    query = f"SELECT charge_id FROM {seen.state(case.agency, 'charge')} WHERE case_id = ?"
    return [str(key) for (key,) in seen.rows(query, [case.case_id])]


def _columns(seen: Observed) -> list[tuple[str, str]]:
    query = (
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'record' AND data_type = 'VARCHAR' ORDER BY 1, 2"
    )
    return [(str(table), str(column)) for table, column in seen.rows(query)]


def _party_faults(seen: Observed, case: Sealed) -> list[str]:
    """A party stays in the record only for a part in a case that may be seen."""
    ref = f"{case.agency}/party/{case.party}"
    if not seen.number("SELECT count(*) FROM record.person_source WHERE person_ref = ?", [ref]):
        return []
    open_parts = "SELECT count(*) FROM record.case_participant WHERE person_ref = ?"
    return [] if seen.number(open_parts, [ref]) else ["its party stands in the record without an open case"]


def _restricted_faults(seen: Observed) -> list[str]:
    agency = "child_services"
    clients = f"SELECT client_id, ncands_chid FROM {seen.state(agency, 'CLIENT_T')} WHERE sensitivity IN ('R', 'S')"
    reports = f"SELECT report_id FROM {seen.state(agency, 'REFERL_T')} WHERE access IN ('R', 'S')"
    seen.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE hidden AS
        SELECT '{agency}/CLIENT_T/' || client_id AS ref FROM ({clients})
        UNION ALL SELECT '{agency}/NCANDS.CHID/' || ncands_chid FROM ({clients}) WHERE ncands_chid IS NOT NULL
        UNION ALL SELECT '{agency}/REFERL_T/' || report_id FROM ({reports})
    """)
    return [
        f"stands in {table}.{column}"
        for table, column in _columns(seen)
        if seen.number(f'SELECT count(*) FROM record."{table}" WHERE "{column}" IN (SELECT ref FROM hidden)')
    ]


def _reporter_faults(seen: Observed) -> Iterator[str]:
    for extract in (*seen.earlier, *seen.arrived):
        if extract.feed == "REPTR_T":
            for column in set(pq.read_schema(extract.path).names) - KEPT_OF_A_REPORTER:
                yield f"{column} was read"
    for table in {table for table, column in _columns(seen) if column == "feed"}:
        if seen.number(f"SELECT count(*) FROM record.\"{table}\" WHERE feed = 'REPTR_T'"):
            yield f"a row of it stands in {table}"
