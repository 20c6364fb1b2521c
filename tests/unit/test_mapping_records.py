"""Fixed-width files of several record types: vintages, groups that repeat, and what parents give to their children."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings import read_fixed_width
from mappings.load import load_agency
from standard.errors import DeclarationError
from tests.mapping_cases import HEAD, Mapped, map_file, write_agency

LAYOUT = """record,field,start,end,is
header,TITLE,1,3,HDR
header,STATE,4,5,
family,TAG,1,1,F
family,CASE,2,4,
child_old,TAG,1,1,C
child_old,ID,2,5,
child_old,,1,5,
child_new,TAG,1,1,C
child_new,ID,2,5,
child_new,PET,6,8,
child_new,,6,99,
twin,TAG,1,1,C
twin,ID,9,12,*
twin,,6,99,
"""
FORM = """{kind: fixed_width, layout: child, records: [child_old, child_new, twin],
  carries: {header: [STATE], family: [CASE]}, trailer: {prefix: END}}"""
FEED = (
    HEAD.replace("{kind: delimited}", FORM).replace("[id]", "[case, id]")
    + """
unused_columns: {TAG: tells the record}
elements:
  id: {column: ID, identifier: {}, required: true}
  case: {column: CASE, identifier: {}}
  state: {column: STATE, text: {}}
  pet: {column: PET, text: {}}
  kind: {column: record_type, text: {}}
"""
)


def _map(folder: Path, text: str, layout: str = LAYOUT) -> Mapped:
    return map_file(folder, text, feed=FEED, layouts={"child": layout})


def _rows(got: Mapped) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in ("_record", "_line", "state", "case", "id", "pet", "kind")) for row in got.rows]


def test_each_line_is_read_by_the_record_its_text_and_length_tell(tmp_path: Path) -> None:
    got = _map(tmp_path, "HDRMA\nF001\nC0001\nC0002Rex0003\nF002\nC0004Tom\nEND 5\n")
    assert _rows(got) == [
        (1, 3, "MA", "001", "0001", None, "child_old"), (2, 4, "MA", "001", "0002", "Rex", "child_new"),
        (3, 4, "MA", "001", "0003", None, "twin"), (4, 6, "MA", "002", "0004", "Tom", "child_new"),
    ]  # fmt: skip
    assert (got.batch.hold, got.batch.declared, got.found) == (None, None, [])


def test_a_trailer_counts_the_records_of_all_feeds_without_the_header(tmp_path: Path) -> None:
    assert _map(tmp_path, "HDRMA\nF001\nC0001\nEND 3\n").batch.hold == "truncated"


def test_a_file_with_records_of_other_feeds_only_is_not_empty(tmp_path: Path) -> None:
    assert _map(tmp_path, "HDRMA\nF001\nEND 1\n").batch.hold is None


def test_a_child_behind_a_line_that_may_have_been_its_family_belongs_to_none(tmp_path: Path) -> None:
    got = _map(tmp_path, "HDRMA\nF001\nX002\nC0001\nF\nC0002\nF003\nC0003\nEND 6\n")
    assert _rows(got) == [(4, 8, "MA", "003", "0003", None, "child_old")]
    assert [row[:3] for row in got.unreadable] == [
        (1, 3, "unknown_record"), (2, 4, "no_parent"), (3, 6, "no_parent"),
    ]  # fmt: skip


def test_a_child_before_the_first_family_belongs_to_none(tmp_path: Path) -> None:
    got = _map(tmp_path, "HDRMA\nC0001\nF001\nC0002\nEND 3\n")
    assert [row["id"] for row in got.rows] == ["0002"] and got.unreadable[0][2] == "no_parent"


def test_parents_are_remembered_over_the_blocks_of_a_large_file(tmp_path: Path) -> None:
    families = "".join(f"F{n % 1000:03d}\n" + "C0001\n" * 40 for n in range(10_000))
    got = _map(tmp_path, f"HDRMA\n{families}END {10_000 * 41}\n")
    assert (len(got.rows), got.unreadable, got.batch.hold) == (400_000, [], None)
    assert all(int(row["case"]) == (row["_record"] - 1) // 40 % 1000 for row in got.rows)


def test_a_file_of_another_layout_is_held_and_its_lines_are_only_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_fixed_width, "MOST_UNREADABLE", 10)
    got = _map(tmp_path, "HDRMA\n" + "something else\n" * 200_000 + "END 9\n")
    assert (got.batch.hold, got.batch.received, len(got.rows)) == ("layout", 200_000, 0)
    assert len(got.unreadable) == 200_000 and "other_layout" in got.found


def test_a_line_without_an_end_is_held_and_not_gathered(tmp_path: Path) -> None:
    got = _map(tmp_path, "HDRMA\nF001\nC0001" + " " * 3_000_000 + "\nEND 2\n")
    assert got.batch.hold == "unreadable" and "endless_line" in got.found


@pytest.mark.parametrize(
    ("layout", "form"),
    [
        (LAYOUT, FORM.replace("twin]", "cousin]")), (LAYOUT, FORM.replace("[STATE]", "[CITY]")),
        (LAYOUT.replace("header,STATE", "header,PET"), FORM.replace("[STATE]", "[PET]")),
        (LAYOUT + ",loose,1,2,\n", FORM), (LAYOUT + "twin,ID,1,2,\n", FORM),
    ],
)  # fmt: skip
def test_a_layout_that_contradicts_the_feed_is_refused(tmp_path: Path, layout: str, form: str) -> None:
    with pytest.raises(DeclarationError):
        load_agency(write_agency(tmp_path, {"students": FEED.replace(FORM, form)}, layouts={"child": layout}))
