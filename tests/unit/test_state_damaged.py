"""A number that a spreadsheet damaged on its way does not put out the one known before."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from store.extracts import Batch, Extract, Holds, Status
from store.state import Rules, fold

ACCEPTED = "(SELECT _record, 'accepted' AS disposition, '' AS reason FROM mapped)"


def batch_of(folder: Path, seq: int, rows: str) -> Batch:
    folder.mkdir()
    columns = "(_record, _key, pupil, state_number, _missing)"
    written = """
        _record::BIGINT AS _record, NULL::BIGINT AS _line, _key, md5(_key || _record) AS _hash, 'upsert' AS _action,
        NULL::VARCHAR AS _version, NULL::VARCHAR AS _problems, _missing::VARCHAR AS _missing, pupil,
        state_number::VARCHAR AS state_number"""
    source = f"SELECT {written} FROM (VALUES {rows}) AS t{columns}"
    duckdb.sql(f"COPY ({source}) TO '{folder / 'mapped.parquet'}' (FORMAT parquet)")
    extract = Extract(
        f"x{seq}", "hill_school", "pupils", f"pupils_{seq}.csv", "0" * 64, 1, datetime(2026, 9, seq, tzinfo=UTC),
        date(2026, 9, seq), seq, Holds.FULL, Status.CHECKED, folder / "sent",
    )  # fmt: skip
    return Batch(extract, folder, received=2, declared=None)


def numbers(path: Path) -> list[tuple[str, str | None]]:
    return duckdb.sql(f"SELECT _key, state_number FROM '{path}' ORDER BY _key").fetchall()


def test_a_damaged_number_keeps_the_one_known_before_and_a_blank_one_does_not(tmp_path: Path) -> None:
    rules = Rules(Holds.FULL, ("pupil",))
    week1 = batch_of(tmp_path / "1", 1, "(1, '01', '01', '1002003001', NULL), (2, '02', '02', '1002003002', NULL)")
    first = fold(None, week1, ACCEPTED, rules, into=tmp_path / "first.parquet")

    week2 = batch_of(
        tmp_path / "2", 2,
        "(1, '01', '01', NULL, 'state_number:damaged'), (2, '02', '02', NULL, 'state_number:not_collected')",
    )  # fmt: skip
    second = fold(first, week2, ACCEPTED, rules, into=tmp_path / "second.parquet")

    assert numbers(second) == [("01", "1002003001"), ("02", None)]


def test_a_damaged_number_of_a_new_row_stays_empty(tmp_path: Path) -> None:
    week1 = batch_of(tmp_path / "1", 1, "(1, '01', '01', NULL, 'state_number:damaged')")
    state = fold(None, week1, ACCEPTED, Rules(Holds.FULL, ("pupil",)), into=tmp_path / "state.parquet")
    assert numbers(state) == [("01", None)]
