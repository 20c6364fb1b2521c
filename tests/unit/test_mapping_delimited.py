"""Delimited files as they really come: ragged, cut, doubly encoded, in the wrong shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.load import load_agency
from mappings.manifest import ManifestEntry
from mappings.map_extract import map_extract
from mappings.read_delimited import count_lines
from mappings.text_stream import TextStream
from tests.mapping_cases import ELEMENTS, HEAD, extract_of, map_file, write_agency

GOOD = "ID,Name,Born\n0001,Ode,1/2/2010\n0002,Lind,3/4/2011\n"
TRAILER = HEAD.replace("{kind: delimited}", "{kind: delimited, trailer: {prefix: TRL, count_field: 2}}")
UNQUOTED = HEAD.replace("{kind: delimited}", "{kind: delimited, quote: null, delimiter: '|'}")


def _in(encoding: str) -> str:
    return HEAD.replace("{kind: delimited}", f"{{kind: delimited, encoding: {encoding}}}") + ELEMENTS


def test_every_record_is_mapped_under_its_record_and_line(tmp_path: Path) -> None:
    got = map_file(tmp_path, GOOD)
    assert [(r["_record"], r["_line"], r["_key"], r["surname"], str(r["born"])) for r in got.rows] == [
        (1, 2, "0001", "Ode", "2010-01-02"), (2, 3, "0002", "Lind", "2011-03-04"),
    ]  # fmt: skip
    assert (got.batch.received, got.batch.hold, got.found) == (2, None, [])


def test_a_record_with_a_field_too_many_or_too_few_is_unreadable_and_never_shifted(tmp_path: Path) -> None:
    got = map_file(tmp_path, "ID,Name,Born\n0001,Ode,1/2/2010\n0002,Lind,Jr,3/4/2011\n0003,Moss\n0004,Fen,5/6/2012\n")
    assert [(r["_record"], r["_key"]) for r in got.rows] == [(1, "0001"), (4, "0004")]
    assert got.unreadable == [(2, 3, "ragged", "0002"), (3, 4, "ragged", "0003")]
    assert got.batch.received == 4


def test_the_key_of_a_ragged_record_is_read_only_where_it_cannot_be_mistaken(tmp_path: Path) -> None:
    feed = HEAD.replace("[id]", "[id, surname, born]") + ELEMENTS
    got = map_file(tmp_path, "ID,Name,Born\n1,Ode,Jr,1/2/2010\nx,y,z,w\n", feed=feed)
    assert [row[3] for row in got.unreadable] == ["0001", None]


def test_a_record_over_several_lines_counts_once_and_the_next_one_has_its_own_line(tmp_path: Path) -> None:
    got = map_file(
        tmp_path, 'ID,Name,Born\r\n0001,"Ode\r\nAna",1/2/2010\r\n0002,Lind,3/4/2011\r\n0003\r\n0004,Fen,\r\n'
    )
    assert [(r["_record"], r["_line"], r["surname"]) for r in got.rows] == [
        (1, 2, "Ode Ana"),
        (2, 4, "Lind"),
        (4, 6, "Fen"),
    ]
    assert got.unreadable == [(3, 5, "ragged", "0003")]


def test_blank_lines_are_no_records_but_count_as_lines(tmp_path: Path) -> None:
    got = map_file(tmp_path, "\nID,Name,Born\n0001,Ode,\n\n\n0002,Lind,\n,,\n")
    assert [(r["_record"], r["_line"]) for r in got.rows] == [(1, 3), (2, 6)]
    assert got.batch.received == 2


def test_old_line_ends_are_line_ends(tmp_path: Path) -> None:
    got = map_file(tmp_path, GOOD.replace("\n", "\r"))
    assert [(r["_line"], r["_key"]) for r in got.rows] == [(2, "0001"), (3, "0002")]


def test_records_that_an_unclosed_quote_has_run_together_are_all_unreadable(tmp_path: Path) -> None:
    # Without care 0001 would get the birth date of 0004, and 0002 and 0003 would be gone.
    text = 'ID,Name,Born\n0001,"Ode,1/2/2010\n0002,Lind,3/4/2011\n0003,Moss,3/4/2011\n0004,Fen",5/6/2012\n0005,Gray,\n'
    got = map_file(tmp_path, text)
    assert [r["_key"] for r in got.rows] == ["0005"]
    assert [(r[0], r[1], r[2]) for r in got.unreadable] == [(n, n + 1, "unclosed_quote") for n in (1, 2, 3, 4)]
    assert {row[3] for row in got.unreadable[1:]} == {"0002", "0003", "0004"}
    assert (got.rows[0]["_record"], got.rows[0]["_line"]) == (5, 6)


def test_only_line_ends_part_the_records_that_an_unclosed_quote_has_run_together(tmp_path: Path) -> None:
    text = 'ID,Name,Born\n0001,"Ode,1/2/2010\n0002,Li\u2028n\x0bd,3/4/2011\n0003,Fen",5/6/2012\n0005,Gray,\n'
    got = map_file(tmp_path, text)
    assert [(r[0], r[1]) for r in got.unreadable] == [(1, 2), (2, 3), (3, 4)]
    assert (got.batch.received, got.rows[0]["_record"], got.rows[0]["_line"]) == (4, 4, 5)


def test_a_header_within_the_file_is_no_person(tmp_path: Path) -> None:
    # Two files put one behind the other, each with its byte order mark and its header.
    one, two = "ID,Name,Born\n0001,Ode,1/2/2010\n", "ID, Name,Born\n0002,Lind,3/4/2011\n"
    got = map_file(tmp_path, f"\ufeff{one}\ufeff{two}\ufeff0003,Moss,3/4/2011\n")
    assert [(r["_record"], r["_line"], r["_key"]) for r in got.rows] == [(1, 2, "0001"), (2, 4, "0002"), (3, 5, "0003")]
    assert (got.found, got.batch.received, got.unreadable) == (["repeated_header"], 3, [])


def test_a_file_that_ends_inside_a_quoted_value_loses_no_other_record(tmp_path: Path) -> None:
    got = map_file(tmp_path, '"ID","Name","Born"\n"0001","Ode","1/2/2010"\n"0002","Lind","3/4/20')
    assert [r["_key"] for r in got.rows] == ["0001"]
    assert got.unreadable == [(2, 3, "unclosed_quote", "0002")]


def test_a_file_that_a_quote_swallows_whole_is_held_with_each_line_counted(tmp_path: Path) -> None:
    lines = "".join(f"{n:04d},Ode,1/2/2010\n" for n in range(1, 9000))
    got = map_file(tmp_path, 'ID,Name,Born\n0000,"Ode,1/2/2010\n' + lines * 16)
    assert (got.batch.hold, got.rows, got.batch.received) == ("unreadable", [], 1 + 8999 * 16)
    assert "unclosed_quote" in got.found and len(got.unreadable) == got.batch.received


def test_without_quoting_a_quote_is_a_character(tmp_path: Path) -> None:
    got = map_file(tmp_path, 'ID|Name|Born\n0001|"Ode|\n0002|O"D|\n', feed=UNQUOTED + ELEMENTS)
    assert [r["surname"] for r in got.rows] == ['"Ode', 'O"D']


@pytest.mark.parametrize(
    ("content", "hold", "finding"),
    [
        (b"", "empty", "empty_file"),
        (b"\n", "empty", "empty_file"),
        (b"ID,Name,Born\n", "empty", "no_records"),
        (b"ID;Name;Born\n0001;Ode;1/2/2010\n", "layout", "wrong_delimiter"),
        (b"0001,Ode,1/2/2010\n0002,Lind,3/4/2011\n", "layout", "missing_header"),
        (b"ID,Name\n0001,Ode\n", None, "missing_column"),
        (b"Name,Born\nOde,1/2/2010\n", "layout", "missing_column"),
        (b"ID,Name,Born,Name\n0001,Ode,,x\n", "layout", "repeated_column"),
        (b"ID,Name,Born,Pet\n0001,Ode,,Rex\n", None, "new_column"),
        (b"id,NAME,Born\n0001,Ode,\n", None, "recased_column"),
        (b"Born,ID,Name\n1/2/2010,0001,Ode\n", None, None),
    ],
)
def test_a_file_of_another_shape_is_told(tmp_path: Path, content: bytes, hold: str | None, finding: str | None) -> None:
    got = map_file(tmp_path, content)
    assert got.batch.hold == hold
    assert finding in got.found if finding else got.found == []
    if hold is None:
        assert [r["_key"] for r in got.rows] == ["0001"] and got.rows[0]["surname"] == "Ode"


def test_every_line_of_a_file_that_is_held_for_its_layout_is_accounted_for(tmp_path: Path) -> None:
    got = map_file(tmp_path, b"0001,Ode,1/2/2010\n\n0002,Lind,3/4/2011\n0003,Fen,")
    assert (got.batch.received, len(got.unreadable), got.rows) == (3, 3, [])
    got = map_file(tmp_path, b"ID;Name;Born\n0001;Ode;1/2/2010\n")
    assert (got.batch.received, len(got.unreadable)) == (1, 1)


def test_findings_about_a_file_without_its_header_show_no_value(tmp_path: Path) -> None:
    got = map_file(tmp_path, b"0001,Ode,1/2/2010\n")
    assert not any(word in f.detail for f in got.batch.findings for word in ("Ode", "0001", "2010"))


def test_a_column_under_an_earlier_name_is_found_and_told(tmp_path: Path) -> None:
    feed = HEAD.replace("{kind: delimited}", "{kind: delimited, aliases: {Name: [LastName]}}") + ELEMENTS
    got = map_file(tmp_path, "ID,Last_Name,Born\n0001,Ode,\n", feed=feed)
    assert (got.rows[0]["surname"], got.found) == ("Ode", ["renamed_column"])


def test_a_file_without_a_header_is_read_by_place(tmp_path: Path) -> None:
    form = "{kind: delimited, header: false, columns: [ID, Name, Born]}"
    feed = HEAD.replace("{kind: delimited}", form) + ELEMENTS
    got = map_file(tmp_path, "0001,Ode,1/2/2010\n0002,Lind,\n", feed=feed)
    assert [(r["_record"], r["_line"], r["_key"]) for r in got.rows] == [(1, 1, "0001"), (2, 2, "0002")]
    assert map_file(tmp_path, "0001,Ode\n", feed=feed).batch.hold == "layout"


def test_a_trailer_is_no_row_and_proves_the_count(tmp_path: Path) -> None:
    got = map_file(tmp_path, GOOD + "TRL,2\n", feed=TRAILER + ELEMENTS)
    assert (len(got.rows), got.batch.declared, got.batch.hold) == (2, 2, None)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (GOOD + "TRL,3\n", "trailer_disagrees"),
        (GOOD, "no_trailer"),
        (GOOD[:-9], "no_trailer"),
        (GOOD + "TRL\n", "bad_trailer"),
        (GOOD + "TRL,many\n", "bad_trailer"),
    ],
)
def test_a_trailer_that_is_missing_or_disagrees_holds_the_file(tmp_path: Path, content: str, finding: str) -> None:
    got = map_file(tmp_path, content, feed=TRAILER + ELEMENTS)
    assert got.batch.hold == "truncated" and finding in got.found


def test_a_night_without_rows_is_no_empty_file(tmp_path: Path) -> None:
    got = map_file(tmp_path, "ID,Name,Born\nTRL,0\n", feed=TRAILER + ELEMENTS)
    assert (got.batch.received, got.batch.hold, got.rows) == (0, None, [])


def test_a_trailer_in_the_middle_is_an_unreadable_record(tmp_path: Path) -> None:
    got = map_file(tmp_path, GOOD + "TRL,2\n0003,Fen,\nTRL,4\n", feed=TRAILER + ELEMENTS)
    assert (got.batch.hold, [row[0] for row in got.unreadable]) == (None, [3])


def test_a_byte_that_means_nothing_is_marked_in_its_row_and_counted(tmp_path: Path) -> None:
    got = map_file(tmp_path, b"ID,Name,Born\n0001,O\x81de,\n0002,Ren\xe9,\n", feed=_in("cp1252"))
    assert [r["surname"] for r in got.rows] == ["O\ufffdde", "René"]
    assert [r["_problems"] for r in got.rows] == ["surname:replaced_bytes", None]
    assert [(f.code, f.rows) for f in got.batch.findings] == [("replaced_bytes", 1)]


@pytest.mark.parametrize(
    ("declared", "content"),
    [
        ("utf-8", "\ufeff" + GOOD),
        ("utf-16", GOOD),
        ("utf-16-le", GOOD),
        ("cp1252", GOOD),
    ],
)
def test_an_encoding_is_read_with_or_without_its_mark(tmp_path: Path, declared: str, content: str) -> None:
    got = map_file(tmp_path, content.encode(declared), feed=_in(declared))
    assert [r["_key"] for r in got.rows] == ["0001", "0002"]
    assert got.batch.hold is None


def test_a_trailer_is_found_in_a_wide_encoding_too(tmp_path: Path) -> None:
    form = "{kind: delimited, encoding: utf-16, trailer: {prefix: TRL, count_field: 2}}"
    feed = HEAD.replace("{kind: delimited}", form) + ELEMENTS
    got = map_file(tmp_path, (GOOD + "TRL,2\n").encode("utf-16"), feed=feed)
    assert (len(got.rows), got.batch.hold) == (2, None)


def test_a_mark_that_proves_another_encoding_is_believed_and_told(tmp_path: Path) -> None:
    got = map_file(tmp_path, b"\xef\xbb\xbf" + "ID,Name,Born\n0001,René,\n".encode(), feed=_in("cp1252"))
    assert (got.rows[0]["surname"], got.found) == ("René", ["encoding_changed"])


def test_wide_text_declared_as_narrow_is_held(tmp_path: Path) -> None:
    got = map_file(tmp_path, GOOD.encode("utf-16-le"), feed=_in("cp1252"))
    assert got.batch.hold == "layout"


def test_characters_that_no_text_holds_are_told(tmp_path: Path) -> None:
    got = map_file(tmp_path, b"ID,Name,Born\n0001,O\0de,\n")
    assert (got.rows[0]["_problems"], got.found) == ("surname:replaced_bytes", ["nul_characters", "replaced_bytes"])


def test_doubly_encoded_text_is_put_right_and_told(tmp_path: Path) -> None:
    names = ["José", "Núñez-Ödön", "Łódź", "d’Arc", "Ode"]
    doubled = [name.encode().decode("cp1252", errors="ignore") if name != "Ode" else name for name in names]
    provable = [n for n, d in zip(names, doubled, strict=True) if d.encode("cp1252").decode("utf-8", "replace") == n]
    text = "ID,Name,Born\n" + "".join(f"{n:04d},{name},\n" for n, name in enumerate(doubled, start=1))
    got = map_file(tmp_path, text)
    repaired = [r["surname"] for r in got.rows if (r["_problems"] or "") == "surname:repaired_text"]
    assert repaired == [name for name in provable if name != "Ode"]
    assert "repaired_text" in got.found and "José" in repaired


def test_text_that_only_looks_doubly_encoded_stays_as_sent(tmp_path: Path) -> None:
    got = map_file(tmp_path, "ID,Name,Born\n0001,Ãna,\n0002,café Ã,\n")
    assert [r["surname"] for r in got.rows] == ["Ãna", "café Ã"]
    assert [r["_problems"] for r in got.rows] == [None, None]


def test_a_manifest_proves_a_file_whole(tmp_path: Path) -> None:
    feed = HEAD + "manifest: {feed: manifest}\n" + ELEMENTS
    path = tmp_path / "students_20260323.csv"
    path.write_text(GOOD, encoding="utf-8")
    sha256 = extract_of(path).sha256
    listing = {
        "whole": (ManifestEntry(path.name, 2, sha256), None),
        "other count": (ManifestEntry(path.name, 3, sha256), "truncated"),
        "other content": (ManifestEntry(path.name, 2, "0" * 64), "truncated"),
        "not listed": (None, "unlisted"),
    }
    for what, (entry, hold) in listing.items():
        got = _with_manifest(tmp_path / what, feed, entry)
        assert got == hold, what


def _with_manifest(folder: Path, feed: str, entry: ManifestEntry | None) -> str | None:
    manifest = (
        HEAD.replace("feed: students", "feed: manifest").replace("[id]", "[file]")
        + "elements:\n  file: {column: F, text: {}}\n  rows: {column: R, integer: {}}\n"
        + "  sha256: {column: S, text: {}}\n"
    )
    agency = load_agency(write_agency(folder, {"students": feed, "manifest": manifest}))
    path = folder / "students_20260323.csv"
    path.write_text(GOOD, encoding="utf-8")
    return map_extract(extract_of(path), agency, agency.feeds["students"], into=folder / "b", manifest=entry).hold


def test_a_file_of_another_sender_is_held(tmp_path: Path) -> None:
    feed = HEAD + "sender: {column: ORI, is: MA01}\n" + ELEMENTS
    good = "ID,Name,Born,ORI\n0001,Ode,,MA01 \n"
    assert map_file(tmp_path, good, feed=feed).batch.hold is None
    got = map_file(tmp_path, good + "0002,Lind,,MA02\n0003,Fen,,\n", feed=feed)
    assert got.batch.hold == "wrong_sender"
    assert [(f.code, f.rows) for f in got.batch.findings] == [("wrong_sender", 2)]


def test_a_row_is_deleted_by_its_action_or_by_what_the_declaration_says(tmp_path: Path) -> None:
    elements = ELEMENTS + "  act: {column: Act, text: {}}\n"
    text = "ID,Name,Born,Act\n0001,Ode,,D\n0002,Gone,,I\n0003,Fen,,I\n"
    by_action = HEAD + "actions: {element: act, delete: [D, X]}\n" + elements
    assert [r["_action"] for r in map_file(tmp_path, text, feed=by_action).rows] == ["delete", "upsert", "upsert"]
    other_case = text.replace(",D\n", ",d \n")
    assert [r["_action"] for r in map_file(tmp_path, other_case, feed=by_action).rows] == ["delete", "upsert", "upsert"]
    by_sql = HEAD + "deleted_when: \"surname = 'Gone' AND as_of = DATE '2026-03-23'\"\n" + elements
    assert [r["_action"] for r in map_file(tmp_path, text, feed=by_sql).rows] == ["upsert", "delete", "upsert"]


def test_the_same_content_has_the_same_hash_whatever_surrounds_it(tmp_path: Path) -> None:
    rows = map_file(tmp_path, 'ID,Name,Born\n0001,Ode,\n0001, Ode ,\n0001,"Ode",\n0001,Odd,\n').rows
    hashes = [row["_hash"] for row in rows]
    assert len({*hashes[:3]}) == 1 and hashes[3] not in hashes[:3]


def test_a_version_sorts_by_age(tmp_path: Path) -> None:
    elements = ELEMENTS + "  n: {column: N, integer: {}}\n"
    rows = map_file(tmp_path, "ID,Name,Born,N\n0001,a,,9\n0002,b,,10\n", feed=HEAD + "version: n\n" + elements).rows
    assert rows[0]["_version"] < rows[1]["_version"]


def test_a_required_value_that_is_blank_is_named(tmp_path: Path) -> None:
    row = map_file(tmp_path, "ID,Name,Born\n,Ode,\n").rows[0]
    assert (row["_key"], row["_problems"]) == (None, "id:blank_required")
    assert row["_missing"].split() == ["id:not_collected", "born:not_collected"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16-le"])
def test_the_lines_of_a_file_that_cannot_be_split_are_counted_as_they_would_be_read(
    tmp_path: Path, encoding: str
) -> None:
    text = "a,b\r\n\0\n \t\n\né\r4,5\n\x1a"
    (tmp_path / "lines").write_bytes(text.encode(encoding))
    assert count_lines(TextStream(tmp_path / "lines", encoding)) == 4, "a NUL is no blank, the mark of an end no line"


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x1e"])
def test_records_that_end_in_no_line_end_are_held_and_no_value_is_shown_for_a_column(tmp_path: Path, end: str) -> None:
    got = map_file(tmp_path, GOOD.replace("\n", end))
    assert got.batch.hold == "layout"
    assert not any(value in f.detail for f in got.batch.findings for value in ("Ode", "Lind"))


def test_a_file_of_one_line_shows_no_value_for_a_column(tmp_path: Path) -> None:
    got = map_file(tmp_path, GOOD.replace("\n", ","))
    assert [f.detail for f in got.batch.findings if f.code == "new_column"] == ["7 more than declared"]


def test_of_many_new_columns_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    got = map_file(tmp_path, "".join(f"{line}{',x' * 90}\n" for line in GOOD.splitlines()).replace("x", "Pet"))
    new = [f.detail for f in got.batch.findings if f.code == "new_column"]
    assert (len(new), new[0], new[-1]) == (21, "Pet", "and 70 more than declared")


@pytest.mark.parametrize(
    ("told", "hold"), [("2.0", None), ('"0,002"', None), ("2 rows", "truncated"), ("2.5", "truncated")]
)
def test_a_trailer_tells_its_count_also_as_a_spreadsheet_writes_it(tmp_path: Path, told: str, hold: str | None) -> None:
    assert map_file(tmp_path, f"{GOOD}TRL,{told}\n", feed=TRAILER + ELEMENTS).batch.hold == hold
