"""What always holds of the mapping: no record is lost or moved, and a value never depends on its neighbours."""

from __future__ import annotations

import csv
import datetime as dt
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mappings.read_delimited
from mappings.load import Agency, load_agency
from mappings.mend_text import undouble
from tests.mapping_cases import ELEMENTS, HEAD, convert, map_file, write_agency

SLOW = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
QUICK = settings(max_examples=300, deadline=None)

# Letters, separators, quotes, line ends and blanks, thickly.
names = st.text(alphabet=st.sampled_from('ab ,"\n\té'), max_size=8)
records = st.lists(st.tuples(st.integers(0, 9999), names), min_size=1, max_size=30)


def _written(rows: list[list[str]], quoting: int) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Agency:
    feed = HEAD + ELEMENTS + "  ssn: {column: SSN, ssn: {}}\n  phone: {column: Tel, phone: {}}\n"
    return load_agency(write_agency(tmp_path_factory.mktemp("agency"), {"students": feed}))


@SLOW
@given(records=records, quote_all=st.booleans(), block=st.sampled_from([256, 1 << 20]))
def test_what_a_csv_writer_wrote_is_read_record_by_record_and_line_by_line(
    agency: Agency, records: list[tuple[int, str]], quote_all: bool, block: int
) -> None:
    rows = [[f"{number:04d}", name, ""] for number, name in records]
    header = ["ID", "Name", "Born"]
    text = _written([header, *rows], csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    starts = [2 + sum(row[1].count("\n") + 1 for row in rows[:n]) for n in range(len(rows))]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mappings.read_delimited, "BLOCK", block)
        got = map_file(Path(folder), text, agency=agency)
    assert [(r["_record"], r["_line"], r["_key"]) for r in got.rows] == [
        (n, starts[n - 1], row[0]) for n, row in enumerate(rows, start=1)
    ]
    assert [r["surname"] or "" for r in got.rows] == [" ".join(row[1].split()) for row in rows]
    assert got.unreadable == []


damage = st.lists(st.sampled_from(["whole", "short", "long", "blank"]), min_size=1, max_size=40)


@SLOW
@given(lines=damage, block=st.sampled_from([64, 1 << 20]))
def test_no_record_is_lost_and_none_is_shifted_whatever_lines_are_damaged(
    agency: Agency, lines: list[str], block: int
) -> None:
    shapes = {
        "whole": "{:04d},N{:04d},1/2/2010",
        "short": "{:04d},N{:04d}",
        "long": "{:04d},N{:04d},1/2/2010,x",
        "blank": "",
    }
    text = "ID,Name,Born\n" + "".join(shapes[kind].format(n, n) + "\n" for n, kind in enumerate(lines))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mappings.read_delimited, "BLOCK", block)
        got = map_file(Path(folder), text, agency=agency)
    placed = [(n, kind) for n, kind in enumerate(lines) if kind != "blank"]
    expected = {record: (n + 2, f"{n:04d}", kind) for record, (n, kind) in enumerate(placed, start=1)}
    read = {r["_record"]: (r["_line"], r["_key"], "whole") for r in got.rows}
    aside = {record: (line, key, expected[record][2]) for record, line, _, key in got.unreadable}
    assert read | aside == expected and got.batch.received == len(placed)
    assert all(expected[record][2] in ("short", "long") for record in aside)
    assert all(r["surname"] == f"N{r['_key']}" for r in got.rows)


@SLOW
@given(content=st.binary(max_size=400))
def test_any_bytes_end_in_rows_unreadable_records_or_a_hold_and_every_record_is_counted(
    agency: Agency, content: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        got = map_file(Path(folder), b"ID,Name,Born\n" + content, agency=agency)
    assert got.batch.received == len(got.rows) + len(got.unreadable)
    numbers = sorted([r["_record"] for r in got.rows] + [row[0] for row in got.unreadable])
    assert numbers == list(range(1, len(numbers) + 1))
    assert got.batch.received or got.batch.hold == "empty"


@SLOW
@given(content=st.text(alphabet=st.sampled_from('01a",\n'), max_size=200))
def test_any_mixture_of_quotes_and_line_ends_keeps_the_numbers_of_records(agency: Agency, content: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        got = map_file(Path(folder), "ID,Name,Born\n" + content, agency=agency)
    numbers = sorted([r["_record"] for r in got.rows] + [row[0] for row in got.unreadable])
    assert numbers == list(range(1, got.batch.received + 1))
    lines = [r["_line"] for r in got.rows]
    assert lines == sorted(set(lines)) and all(2 <= line <= 2 + content.count("\n") for line in lines)


def test_every_date_reads_back_and_no_other_day_does(agency: Agency) -> None:
    days = [dt.date(1900, 1, 1) + dt.timedelta(days=n) for n in range(0, 46000, 7)]
    sent = [f"{day.month}/{day.day}/{day.year}" for day in days]
    rows = convert(agency, [{"ID": "1", "Born": text} for text in sent])
    as_of = dt.date(2026, 3, 23)
    assert [r["born"] for r in rows] == [day if day <= as_of else None for day in days]


@settings(max_examples=10, deadline=None)
@given(
    texts=st.lists(st.text(alphabet=st.sampled_from("0123456789-/. E+x()#="), max_size=14), min_size=50, max_size=400)
)
def test_a_value_is_whole_or_null_with_its_problem_and_its_reason(agency: Agency, texts: list[str]) -> None:
    rows = convert(agency, [{"ID": text, "Born": text, "SSN": text, "Tel": text} for text in map(str.strip, texts)])
    for text, row in zip(texts, rows, strict=True):
        problems = dict(p.split(":") for p in (row["_problems"] or "").split())
        missing = dict(p.split(":") for p in (row["_missing"] or "").split())
        for element in ("id", "born", "ssn", "phone"):
            assert (row[element] is None) == (element in missing)
            if row[element] is None and text.strip():
                assert element in problems
        assert row["ssn"] is None or (len(row["ssn"]) == 9 and row["ssn"].isdigit())
        assert row["phone"] is None or (len(row["phone"]) == 10 and row["phone"].isdigit())


@QUICK
@given(text=st.text(alphabet=st.characters(min_codepoint=0xA0, max_codepoint=0x17F), min_size=1))
def test_what_was_encoded_twice_is_what_was_meant(text: str) -> None:
    try:
        doubled = text.encode("utf-8").decode("cp1252")
    except UnicodeDecodeError:
        return  # bytes that cp1252 does not have are lost, so nothing can be proved
    assert undouble(doubled) == text


@QUICK
@given(text=st.text(alphabet=st.sampled_from("abcxyzéñöÃÂ’ ")))
def test_text_that_was_not_encoded_twice_is_left_alone(text: str) -> None:
    meant = undouble(text)
    assert meant is None or meant.encode("utf-8").decode("cp1252", "replace") == text
