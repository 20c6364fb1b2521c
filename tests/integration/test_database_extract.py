"""What an extract of a table holds: exact values, changed rows, a census of keys; on PostgreSQL and SQLite."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from connectors.wanted import TableWanted
from standard.errors import DeclarationError, SourceError
from tests.integration.conftest import NOW, PARTY, THREE, Court, present, rows, whole


def test_the_first_read_is_whole_and_names_stand_as_declared(court: Court) -> None:
    court.made(*THREE)
    arrival = court.fetch(replace(PARTY, columns=("PARTY_ID", "LST_NM", "LAST_MOD_TS")))
    assert rows(arrival) == [
        {"PARTY_ID": "P001", "LST_NM": "Quill   ", "LAST_MOD_TS": "2026-03-01 10:00:00", "_present_only": False},
        {"PARTY_ID": "P002", "LST_NM": "Ode     ", "LAST_MOD_TS": "2026-03-20 10:00:00.5", "_present_only": False},
        {"PARTY_ID": "P003", "LST_NM": None, "LAST_MOD_TS": "2026-03-28 10:00:00", "_present_only": False},
    ]
    assert (arrival.watermark, arrival.as_of, arrival.name) == ("2026-03-28 10:00:00", NOW.date(), "PARTY")


def test_later_only_changed_rows_are_given_whole_and_the_others_by_key(court: Court) -> None:
    court.made(*THREE)
    arrival = court.fetch(replace(PARTY, since="2026-03-21 10:00:00"))
    assert (whole(arrival), present(arrival)) == (["P002", "P003"], ["P001"])


def test_a_purged_row_is_missing_from_the_census(court: Court) -> None:
    court.made(*THREE)
    wanted = replace(PARTY, columns=("PARTY_ID",), since="2026-03-28 10:00:00")
    assert present(court.fetch(wanted)) == ["P001", "P002"]
    court.run("DELETE FROM party WHERE party_id = 'P001'")
    assert present(court.fetch(wanted)) == ["P002"]


def test_a_row_without_a_watermark_is_always_given_whole(court: Court) -> None:
    court.made(*THREE, "'P004', 'Rook', NULL")
    assert whole(court.fetch(replace(PARTY, columns=("PARTY_ID",), since="2026-03-28 10:00:00"))) == ["P003", "P004"]


def test_a_row_that_comes_in_with_an_old_watermark_is_given_whole(court: Court) -> None:
    court.made(*THREE)
    wanted = replace(PARTY, columns=("PARTY_ID", "LST_NM"))
    before = court.fetch(wanted).path
    court.run("INSERT INTO party VALUES ('P009', 'Late', '2025-01-01 00:00:00')")
    arrival = court.fetch(replace(wanted, since="2026-03-28 10:00:00", before=before))
    assert (whole(arrival), present(arrival)) == (["P003", "P009"], ["P001", "P002"])


def test_many_rows_with_old_watermarks_or_a_lost_reading_before_read_the_table_whole(court: Court) -> None:
    court.made(*THREE)
    wanted = replace(PARTY, columns=("PARTY_ID",), since="2026-03-28 10:00:00")
    before = court.fetch(replace(wanted, since=None)).path
    assert len(whole(court.fetch(replace(wanted, before=before.with_name("gone"))))) == 3
    court.run(*(f"INSERT INTO party VALUES ('Q{n:03}', 'Late', '2025-01-01 00:00:00')" for n in range(600)))
    assert len(whole(court.fetch(replace(wanted, before=before)))) == 603


def test_a_watermark_of_the_future_is_not_believed(court: Court) -> None:
    court.made(*THREE, "'P004', 'Rook', '2099-01-01 00:00:00'")
    arrival = court.fetch(replace(PARTY, columns=("PARTY_ID",), since="2026-03-21 10:00:00"))
    assert arrival.watermark == "2026-03-28 10:00:00"
    assert whole(arrival) == ["P002", "P003", "P004"]


def test_a_table_restored_from_a_backup_is_read_whole(court: Court) -> None:
    court.made(THREE[0])
    arrival = court.fetch(replace(PARTY, columns=("PARTY_ID",), since="2026-03-28 10:00:00"))
    assert (whole(arrival), arrival.watermark) == (["P001"], "2026-03-01 10:00:00")


def test_an_empty_table_is_an_extract_without_rows(court: Court) -> None:
    court.made()
    arrival = court.fetch(PARTY)
    assert (rows(arrival), arrival.watermark) == ([], None)


def test_a_watermark_may_be_a_number(court: Court) -> None:
    court.run("CREATE TABLE party (party_id INTEGER PRIMARY KEY, version BIGINT)")
    court.run(*(f"INSERT INTO party VALUES ({n}, {n * 10})" for n in range(1, 6)))
    wanted = TableWanted(
        "PARTY", ("PARTY_ID", "VERSION"), ("PARTY_ID",), "VERSION", overlap=10, census=True, since="40"
    )
    arrival = court.fetch(wanted)
    assert (whole(arrival), present(arrival), arrival.watermark) == (["3", "4", "5"], ["1", "2"], "50")
    with pytest.raises(SourceError, match="different kinds"):
        court.fetch(replace(wanted, overlap=timedelta(days=1)))


def test_a_watermark_may_be_a_date(court: Court) -> None:
    court.run("CREATE TABLE party (party_id CHAR(1), changed DATE)")
    court.run(*(f"INSERT INTO party VALUES ('{n}', '2026-03-0{n}')" for n in range(1, 6)))
    wanted = TableWanted(
        "party", ("party_id",), ("party_id",), "changed", overlap=timedelta(days=1), since="2026-03-04"
    )
    assert whole(court.fetch(wanted), "party_id") == ["3", "4", "5"]


@pytest.mark.parametrize("form", ["{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M:%S}", "{:%Y%m%d}", "{:%Y-%m-%d}"])
def test_a_watermark_may_be_text_that_sorts_by_time(court: Court, form: str) -> None:
    court.run("CREATE TABLE party (party_id CHAR(2), changed VARCHAR(30))")
    moments = [datetime(2026, 3, day, 12) for day in range(1, 10)]
    court.run(*(f"INSERT INTO party VALUES ('{m.day}', '{form.format(m)}')" for m in moments))
    wanted = TableWanted("party", ("party_id",), ("party_id",), "changed", overlap=timedelta(days=1), census=True)
    since = court.fetch(wanted).watermark
    arrival = court.fetch(replace(wanted, since=since))
    assert [key.strip() for key in whole(arrival, "party_id")] == ["8", "9"]
    assert len(present(arrival, "party_id")) == 7


def test_a_watermark_that_cannot_be_ordered_is_said(court: Court) -> None:
    court.run("CREATE TABLE party (party_id CHAR(2), changed VARCHAR(30))", "INSERT INTO party VALUES ('1', 'May 3rd')")
    with pytest.raises(SourceError, match="neither times") as raised:
        court.fetch(TableWanted("party", key=("party_id",), watermark="changed"))
    assert "May 3rd" not in str(raised.value)


def test_what_is_never_read_does_not_leave_the_source(court: Court) -> None:
    court.run(
        "CREATE TABLE reptr (ref_id INTEGER, last_nm VARCHAR(20))", "INSERT INTO reptr VALUES (7, 'Secretkeeper')"
    )
    arrival = court.fetch(TableWanted("REPTR", never_read=("LAST_NM",)))
    assert pq.read_schema(arrival.path).names == ["ref_id", "_present_only"]
    assert b"Secretkeeper" not in arrival.path.read_bytes()


def test_a_column_that_is_not_declared_is_named_but_not_read(court: Court) -> None:
    court.run(
        "CREATE TABLE reptr (ref_id INTEGER, nickname VARCHAR(20))", "INSERT INTO reptr VALUES (7, 'Secretkeeper')"
    )
    arrival = court.fetch(TableWanted("REPTR", columns=("REF_ID", "GONE"), never_read=("LAST_NM",)))
    assert rows(arrival) == [{"REF_ID": "7", "nickname": None, "_present_only": False}]
    assert b"Secretkeeper" not in arrival.path.read_bytes()


def test_key_and_watermark_must_be_read() -> None:
    with pytest.raises(DeclarationError):
        replace(PARTY, never_read=("party_id",))
    with pytest.raises(DeclarationError):
        TableWanted("PARTY", census=True)


@pytest.mark.parametrize("wanted", [replace(PARTY, key=("CASE_ID",)), replace(PARTY, watermark="CHANGED")])
def test_a_missing_key_or_watermark_is_named_with_what_there_is(court: Court, wanted: TableWanted) -> None:
    court.made(*THREE)
    with pytest.raises(SourceError) as raised:
        court.fetch(wanted)
    assert "lst_nm" in raised.value.mend
    assert "CASE_ID" in raised.value.what or "CHANGED" in raised.value.what


def test_a_hostile_table_name_is_not_sql(court: Court) -> None:
    court.made(*THREE)
    for name in ('party"; DROP TABLE party; --', "party; DELETE FROM party", "party WHERE 1=1"):
        with pytest.raises(SourceError, match="no table"):
            court.fetch(TableWanted(name))
    assert len(rows(court.fetch(TableWanted("party")))) == 3


def test_strange_names_of_tables_and_columns_are_read(court: Court) -> None:
    court.run('CREATE TABLE "Case Party; --" ("select" INTEGER, "né ""x"" %s" INTEGER)')
    court.run('INSERT INTO "Case Party; --" VALUES (1, 2)')
    assert rows(court.fetch(TableWanted("case party; --"))) == [
        {"select": "1", 'né "x" %s': "2", "_present_only": False}
    ]


def test_a_view_is_read_like_a_table(court: Court) -> None:
    court.made(*THREE)
    court.run("CREATE VIEW party_export AS SELECT party_id FROM party")
    assert len(rows(court.fetch(TableWanted("PARTY_EXPORT")))) == 3


def test_values_of_postgresql_come_as_exact_text(postgresql: Court) -> None:
    values = {
        "CHAR(6)": ("'ab'", "ab    "), "VARCHAR(6)": ("'ab '", "ab "), "TEXT": ("E'a\\nb'", "a\nb"),
        "DATE": ("'2008-02-29'", "2008-02-29"), "TIMESTAMP": ("'2026-03-08 02:30:00.120000'", "2026-03-08 02:30:00.12"),
        "TIMESTAMPTZ": ("'2026-03-08 12:00:00-05'", "2026-03-08 17:00:00+00"), "TIME": ("'07:05'", "07:05:00"),
        "INTEGER": ("-7", "-7"), "BIGINT": ("9007199254740993", "9007199254740993"),
        "NUMERIC(10,2)": ("1.50", "1.50"), "NUMERIC": ("12345678901234567890.5",) * 2,
        "DOUBLE PRECISION": ("0.1", "0.1"), "FLOAT8": ("1e20", "100000000000000000000"), "REAL": ("1e-7", "0.0000001"),
        "BOOLEAN": ("true", "true"), "BYTEA": ("'\\x00ff'", "\\x00ff"), "UUID": (f"'{uuid4()}'",) * 2,
        "JSONB": ("'{\"a\": 1}'", '{"a": 1}'), "INTEGER[]": ("'{1,2}'", "{1,2}"), "DATE ": ("'infinity'", "infinity"),
    }  # fmt: skip
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(values))
    postgresql.run(f"CREATE TABLE kinds ({columns})")
    postgresql.run(f"INSERT INTO kinds VALUES ({', '.join(sent for sent, _ in values.values())})")
    postgresql.run("INSERT INTO kinds DEFAULT VALUES")
    name = postgresql.engine.url.database
    for setting in ("DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Tokyo'"):
        postgresql.run(f'ALTER DATABASE "{name}" SET {setting}')
    full, empty = rows(postgresql.fetch(TableWanted("kinds")))
    expected = {kind: text.strip("'") for kind, (_, text) in values.items()}
    assert {kind: full[f"c{n}"] for n, kind in enumerate(values)} == expected
    assert {empty[f"c{n}"] for n in range(len(values))} == {None}


def test_values_of_sqlite_come_as_they_are_stored(sqlite: Court) -> None:
    sqlite.run("CREATE TABLE kinds (d DATE, t TIMESTAMP, n INTEGER, r REAL, b BOOLEAN, x BLOB, s CHAR(4), any_)")
    sqlite.run(
        "INSERT INTO kinds VALUES ('2008-02-29', '2026-03-08 02:30:00', 9007199254740993, 0.1, 1, x'00ff', 'ab', 'v')",
        "INSERT INTO kinds VALUES ('not a date', 'x', 'text', 1e20, 0, NULL, '', 1.5)",
        "INSERT INTO kinds VALUES (CAST(x'4a6f73e9' AS TEXT), '', -1, 1.0, 'maybe', NULL, NULL, 7)",
    )
    names = ["d", "t", "n", "r", "b", "x", "s", "any_"]
    assert [[row[name] for name in names] for row in rows(sqlite.fetch(TableWanted("kinds")))] == [
        ["2008-02-29", "2026-03-08 02:30:00", "9007199254740993", "0.1", "true", "\\x00ff", "ab", "v"],
        ["not a date", "x", "text", "100000000000000000000", "false", None, "", "1.5"],
        ["Jos\ufffd", "", "-1", "1", "maybe", None, None, "7"],
    ]
