"""Hostile and broken fixed-width, XML, JSON and Excel files, archives, and things that are no files."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from tests.hostile.cases import COLUMNS, Bytes, Case, Verdict, changed, of_bytes, pupils, write
from tests.hostile.delimited import DIALECTS

ROWS = pupils()
COMMA = DIALECTS[0]
GOOD = COMMA.file(ROWS)
WIDTHS = (6, 20, 10, 1, 10)
BLOCK = b"0" * (1 << 20)
"""A megabyte of what packs well."""


def fixed_text(rows: object = None) -> str:
    chosen = ROWS if rows is None else rows
    return "".join("".join(cell.ljust(w) for cell, w in zip(r, WIDTHS, strict=True)) + "\n" for r in chosen)  # type: ignore[attr-defined]


def fixed_width_cases() -> Iterator[Case]:
    text = fixed_text()
    trailer = f"TRL{len(ROWS):07}\n"
    lines = text.splitlines(keepends=True)
    told: list[tuple[str, Bytes, Verdict, str | None]] = [
        ("as declared", (text + "TRL 20\n").encode(), "accepted", None),
        ("CRLF", (text + "TRL 20\n").replace("\n", "\r\n").encode(), "accepted", None),
        ("blank lines", (text.replace("\n", "\n\n") + "TRL 20\n").encode(), "accepted", None),
        ("no trailer", text.encode(), "held", "truncated"),
        ("cut in the middle", (text + trailer).encode()[: len(text) // 2], "held", "truncated"),
        ("a record missing", ("".join(lines[1:]) + "TRL 20\n").encode(), "held", "truncated"),
        ("a record too many", (text + lines[0] + "TRL 20\n").encode(), "held", "truncated"),
        ("trailer without a count", (text + "TRL many\n").encode(), "held", "truncated"),
        ("trailer alone", b"TRL 0\n", "accepted", None),
        ("nothing", b"", "held", "empty"),
        (
            "a short record",
            ("".join([*lines[:3], "004003Ose\n", *lines[4:]]) + "TRL 20\n").encode(),
            "quarantined",
            "short_record",
        ),
        (
            "a longer record",
            ("".join([*lines[:3], lines[3].rstrip("\n") + "ABCDEF\n", *lines[4:]]) + "TRL 20\n").encode(),
            "accepted",
            None,
        ),
        ("no key", (fixed_text(changed(ROWS, 3, No="")) + "TRL 20\n").encode(), "quarantined", "blank_required"),
        (
            "a code nobody knows",
            (fixed_text(changed(ROWS, 3, Sex="Q")) + "TRL 20\n").encode(),
            "findings",
            "unmapped_code",
        ),
        (
            "a date of no month",
            (fixed_text(changed(ROWS, 3, Born="2011-02-30")) + "TRL 20\n").encode(),
            "findings",
            "unparsable_date",
        ),
        ("a NUL", (text.replace("Osei", "Os\0i", 1) + "TRL 20\n").encode(), "findings", "nul_characters"),
        ("a line without end", ("Q" * 2_000_000).encode(), "held", "truncated"),
        ("a line of two megabytes", (text + "Q" * 2_000_000 + "\nTRL 21\n").encode(), "findings", "unmapped_code"),
        ("tabs for blanks", (text.replace("  ", "\t") + "TRL 20\n").encode(), "held", "error_limit"),
        ("noise", os.urandom(0) + bytes(range(256)) * 64, "held", None),
    ]
    for name, data, verdict, code in told:
        yield of_bytes(f"fixed width: {name}", "fixed", data, verdict, code)


def xml_text(rows: object = None, head: str = "<?xml version='1.0' encoding='UTF-8'?>\n") -> str:
    chosen = ROWS if rows is None else rows
    items = "".join(
        "<Pupil>" + "".join(f"<{c}>{escape(v)}</{c}>" for c, v in zip(COLUMNS, r, strict=True)) + "</Pupil>\n"
        for r in chosen  # type: ignore[attr-defined]
    )
    return f"{head}<Pupils>\n{items}</Pupils>\n"


_LOL = (
    "<!DOCTYPE l [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{('&' + chr(97 + n) + ';') * 10}'>" for n in range(9))
    + "]>"
)
_DOCTYPES = {
    "entities that multiply": _LOL,
    "an entity of a file": "<!DOCTYPE l [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
    "an entity of the network": "<!DOCTYPE l [<!ENTITY x SYSTEM 'http://127.0.0.1:9/x'>]>",
    "a parameter entity": "<!DOCTYPE l [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/x.dtd'> %p;]>",
    "a document type elsewhere": "<!DOCTYPE Pupils SYSTEM 'http://127.0.0.1:9/pupils.dtd'>",
    "an empty document type": "<!DOCTYPE Pupils>",
    "entities that grow by squares": f"<!DOCTYPE l [<!ENTITY a '{'A' * 5000}'>]>",
}


def xml_cases() -> Iterator[Case]:
    text = xml_text()
    told: list[tuple[str, Bytes, Verdict, str | None]] = [
        ("as declared", text.encode(), "accepted", None),
        ("CRLF", text.replace("\n", "\r\n").encode(), "accepted", None),
        (
            "UTF-16",
            xml_text(head="<?xml version='1.0' encoding='UTF-16'?>").encode("utf-16"),
            "findings",
            "encoding_changed",
        ),
        ("a byte order mark", b"\xef\xbb\xbf" + text.encode(), "accepted", None),
        ("a comment", text.replace("<Pupils>", "<Pupils><!-- <Pupil> -->").encode(), "accepted", None),
        ("CDATA", text.replace("Oseia", "<![CDATA[Oseia]]>").encode(), "accepted", None),
        ("an instruction", text.replace("<Pupils>", "<Pupils><?php system('id') ?>").encode(), "accepted", None),
        ("a name with a path", xml_text(changed(ROWS, 3, Surname="../../etc")).encode(), "accepted", None),
        (
            "an element nobody declared",
            text.replace("<Note>", "<Pet>x</Pet><Note>", 1).encode(),
            "findings",
            "new_column",
        ),
        ("a code nobody knows", xml_text(changed(ROWS, 3, Sex="Q")).encode(), "findings", "unmapped_code"),
        ("no key", xml_text(changed(ROWS, 3, No="")).encode(), "quarantined", "blank_required"),
        (
            "a key twice",
            xml_text([*ROWS, changed(ROWS, 3, Surname="Other")[3]]).encode(),
            "quarantined",
            "conflicting_key",
        ),
        ("cut off", text.encode()[: len(text) // 2], "held", "truncated"),
        ("cut at its end", text.replace("</Pupils>", "").encode(), "held", "truncated"),
        ("an element not closed", text.replace("</Pupil>", "", 1).encode(), "held", None),
        (
            "an entity nobody declared",
            text.replace("Oseia", "&nbsp;").replace("<Surname>", "<Surname>&nope;", 1).encode(),
            "held",
            None,
        ),
        ("two roots", (text + "<Pupils/>").encode(), "held", None),
        ("another root", text.replace("Pupils>", "Schools>").encode(), "held", None),
        ("a control character", text.replace("<Surname>", "<Surname>\x01", 1).encode(), "held", None),
        ("nothing", b"", "held", "empty"),
        ("no record", b"<Pupils></Pupils>", "held", "empty"),
        ("text", b"Dear colleagues\n", "held", None),
        ("JSON", b'{"a": 1}', "held", None),
        ("deep nesting", b"<Pupils>" + b"<a>" * 200_000, "held", None),
        (
            "a record of twenty megabytes",
            lambda: f"<Pupils><Pupil><No>004000</No><Surname>{'Q' * 20_000_000}</Surname></Pupil></Pupils>".encode(),
            "held",
            None,
        ),
        (
            "a million attributes",
            b"<Pupils><Pupil " + b"".join(b'a%d="" ' % n for n in range(200_000)) + b"/></Pupils>",
            "quarantined",
            "new_column",
        ),
    ]
    for name, data, verdict, code in told:
        yield of_bytes(f"xml: {name}", "xml", data, verdict, code)
    for name, doctype in _DOCTYPES.items():
        bomb = xml_text(head=f"<?xml version='1.0'?>\n{doctype}\n")
        yield of_bytes(f"xml: {name}", "xml", bomb.encode(), "held", "document_type")


def _objects(rows: object = None) -> list[dict[str, str]]:
    chosen = ROWS if rows is None else rows
    return [dict(zip(COLUMNS, row, strict=True)) for row in chosen]  # type: ignore[attr-defined]


def json_cases() -> Iterator[Case]:
    good = json.dumps(_objects())
    told: list[tuple[str, Bytes, Verdict, str | None]] = [
        ("as declared", good.encode(), "accepted", None),
        ("indented", json.dumps(_objects(), indent=2).encode(), "accepted", None),
        ("a byte order mark", b"\xef\xbb\xbf" + good.encode(), "accepted", None),
        (
            "a number for a key",
            json.dumps([*_objects()[:19], {**_objects()[19], "No": 4019}]).encode(),
            "findings",
            "repaired_identifier",
        ),
        (
            "a member nobody declared",
            json.dumps([{**_objects()[0], "Pet": "Rex"}, *_objects()[1:]]).encode(),
            "findings",
            "new_column",
        ),
        (
            "null for a key",
            json.dumps([{**_objects()[0], "No": None}, *_objects()[1:]]).encode(),
            "quarantined",
            "blank_required",
        ),
        ("an escape alone", good.replace("Osei", "\\ud800", 1).encode(), "findings", None),
        ("cut off", good[:-200].encode(), "held", "not_json"),
        ("no end", good[:-1].encode(), "held", None),
        ("something after its end", (good + "x").encode(), "held", None),
        ("a comma too many", good.replace("]", ",]").encode(), "held", None),
        ("a name twice in an object", good.replace('"Note"', '"No"', 1).encode(), "held", None),
        ("nothing", b"", "held", "empty"),
        ("an empty array", b"[]", "held", "empty"),
        ("a number", b"7", "quarantined", "blank_required"),
        ("deep nesting", b"[" * 100_000, "held", None),
        ("NaN", good.replace('"1"', "NaN", 1).encode(), "findings", "unmapped_code"),
        ("a comment", b"// pupils\n" + good.encode(), "held", None),
        ("XML", xml_text().encode(), "held", None),
        ("noise", bytes(range(256)) * 200, "held", None),
        ("a number of a million digits", b'[{"No": ' + b"9" * 1_000_000 + b"}]", "quarantined", "bad_identifier"),
    ]
    for name, data, verdict, code in told:
        yield of_bytes(f"json: {name}", "json", data, verdict, code)
    lines = "".join(json.dumps(each) + "\n" for each in _objects())
    broken = lines.splitlines(keepends=True)
    for name, data, verdict, code in (
        ("as declared", lines, "accepted", None),
        ("CRLF", lines.replace("\n", "\r\n"), "accepted", None),
        ("a line that is none", "".join([*broken[:4], "{broken\n", *broken[5:]]), "quarantined", "bad_json"),
        ("a name twice in a line", lines.replace('"Note"', '"No"', 1), "quarantined", "bad_json"),
        ("the last line cut", lines[:-30], "quarantined", "bad_json"),
        ("an array for a line", "[1, 2]\n" + lines, "quarantined", None),
        ("nothing", "", "held", "empty"),
        ("CSV", GOOD.decode(), "held", None),
    ):
        yield of_bytes(f"json lines: {name}", "lines", data.encode(), verdict, code)  # type: ignore[arg-type]


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def _with_attributes(mode: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("pupils.csv")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    return packed.getvalue()


def _twice() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in (GOOD, b"x"):
            archive.writestr("pupils.csv", content)
    return packed.getvalue()


def _locked(archive: bytes) -> bytes:
    """An archive whose only member says that it needs a password."""
    data = bytearray(archive)
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def archive_cases() -> Iterator[Case]:
    one, two = {"pupils.csv": GOOD}, {"pupils.csv": GOOD, "b.csv": GOOD}
    blank = zipped(one)
    told: list[tuple[str, Bytes, Verdict, str | None]] = [
        ("as declared", zipped(one), "accepted", None),
        ("stored", zipped(one, zipfile.ZIP_STORED), "accepted", None),
        ("in a folder", zipped({"export/pupils.csv": GOOD}), "accepted", None),
        ("with what a Mac adds", zipped({"pupils.csv": GOOD, "__MACOSX/._pupils.csv": b"x"}), "accepted", None),
        ("two members", zipped(two), "refused", "archive_members"),
        ("no member", zipped({}), "refused", "archive_members"),
        ("a path above", zipped({"../../pupils.csv": GOOD}), "refused", "archive_name"),
        ("an absolute path", zipped({"/etc/cron.d/pupils.csv": GOOD}), "refused", "archive_name"),
        ("a drive", zipped({"C:pupils.csv": GOOD}), "refused", "archive_name"),
        ("a backslash", zipped({"..\\pupils.csv": GOOD}), "refused", "archive_name"),
        ("a line end in a name", zipped({"pup\nils.csv": GOOD}), "refused", "archive_name"),
        ("a link", _with_attributes(0o120777), "refused", "archive_name"),
        ("a device", _with_attributes(0o020666), "refused", "archive_name"),
        ("within an archive", zipped({"pupils.csv": blank}), "refused", "archive_nested"),
        ("by lzma", zipped(one, zipfile.ZIP_LZMA), "refused", "archive_broken"),
        ("by bzip2", zipped(one, zipfile.ZIP_BZIP2), "refused", "archive_broken"),
        ("cut", blank[:-40], "refused", "archive_broken"),
        ("a byte changed", blank[:60] + b"\xff\xff" + blank[62:], "refused", "archive_broken"),
        ("no archive", GOOD, "refused", "archive_broken"),
        ("nothing", b"", "refused", "archive_broken"),
        ("a name twice", _twice(), "refused", "archive_name"),
        ("a password", _locked(blank), "refused", "archive_encrypted"),
        ("a share of a network", zipped({"\\\\host\\share\\pupils.csv": GOOD}), "refused", "archive_name"),
        ("of two thousand members", zipped({f"{n}.csv": b"" for n in range(2000)}), "refused", "archive_bomb"),
    ]
    for name, data, verdict, code in told:
        yield of_bytes(f"zip: {name}", "zip", data, verdict, code)
    packed = gzip.compress(GOOD, mtime=0)
    for name, data, verdict, code in (
        ("as declared", packed, "accepted", None),
        ("in two parts", gzip.compress(GOOD[:100], mtime=0) + gzip.compress(GOOD[100:], mtime=0), "accepted", None),
        ("cut", packed[:-20], "refused", "archive_broken"),
        ("with another sum", packed[:-8] + b"\0" * 8, "refused", "archive_broken"),
        ("not packed", GOOD, "refused", "archive_broken"),
        ("packed twice", gzip.compress(packed, mtime=0), "refused", "archive_nested"),
        ("nothing", b"", "held", "empty"),
    ):
        yield of_bytes(f"gzip: {name}", "gzip", data, verdict, code)  # type: ignore[arg-type]


def bombs() -> Iterator[Case]:
    yield Case("zip: a bomb", "zip", lambda path: _zip_bomb(path, "pupils.csv"), "refused", "archive_bomb")
    yield Case("gzip: a bomb", "gzip", _gzip_bomb, "refused", "archive_bomb")
    yield Case("excel: a bomb", "excel", lambda path: _zip_bomb(path, "xl/workbook.xml"), "held", "too_large")


def _zip_bomb(path: Path, member: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<a/>") if "/" in member else None
        with archive.open(member, "w") as out:
            for _ in range(320):
                out.write(BLOCK)


def _gzip_bomb(path: Path) -> None:
    with gzip.open(path, "wb") as out:
        for _ in range(320):
            out.write(BLOCK)


def excel_cases() -> Iterator[Case]:
    for name, data, code in (
        ("CSV under its name", GOOD, None),
        ("a zip that is none", zipped({"a.txt": b"x"}), None),
        ("nothing", b"", None),
        ("an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 4096, None),
        ("HTML under its name", b"<html><table></table></html>", None),
    ):
        yield of_bytes(f"excel: {name}", "excel", data, "held", code)


def _named(name: str) -> Callable[[Path], None]:
    return lambda path: write(path.with_name(name), GOOD)


def _socket(path: Path) -> None:
    # A socket's name must be short, however long the path of its folder is.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


GIGABYTE = 1 << 30


def _gigabyte(before: bytes, fill: bytes | None, after: bytes) -> Callable[[Path], None]:
    """A file with a gigabyte in one line: of a byte that is written out, or of NULs that take no room on the disk."""

    def make(path: Path) -> None:
        with path.open("wb") as out:
            out.write(before)
            if fill is None:
                out.seek(GIGABYTE, os.SEEK_CUR)
            else:
                for _ in range(GIGABYTE >> 20):
                    out.write(fill * (1 << 20))
            out.write(after)

    return make


def gigabytes() -> Iterator[Case]:
    """Lines, values and records of a gigabyte."""
    comma, quote = GOOD + b"004900,", b'004900,"'
    for name, kind, before, fill, after, code in (
        ("a line of a gigabyte", "comma", comma, b"Q", b"\n", "unreadable"),
        ("a line of a gigabyte of NULs", "comma", comma, None, b"\n" + GOOD[-40:], "unreadable"),
        ("a quoted value of a gigabyte", "comma", GOOD + quote, None, b'",,,\n', "unreadable"),
        ("a header of a gigabyte", "comma", b"", None, b"\n" + GOOD, None),
        ("fixed width: a line of a gigabyte", "fixed", fixed_text().encode(), None, b"\nTRL 21\n", None),
        ("xml: a value of a gigabyte", "xml", b"<Pupils><Pupil><No>", b"4", b"</No></Pupil></Pupils>", None),
        ("json: a value of a gigabyte", "json", b'[{"No": "', b"4", b'"}]', None),
        ("json lines: a line of a gigabyte", "lines", b'{"No": "', b"4", b'"}\n', None),
    ):
        yield Case(f"huge: {name}", kind, _gigabyte(before, fill, after), "held", code)


def things_that_are_no_files() -> Iterator[Case]:
    def to(target: str) -> Callable[[Path], None]:
        return lambda path: path.symlink_to(target)

    yield Case("a link to a secret", "comma", to("/etc/passwd"), "ignored")
    yield Case("a link to nothing", "comma", to("nowhere"), "ignored")
    yield Case("a link to itself", "comma", lambda path: path.symlink_to(path.name), "ignored")
    yield Case("a link to what never ends", "comma", to("/dev/zero"), "ignored")
    yield Case("a pipe", "comma", os.mkfifo, "ignored")
    yield Case("a socket", "comma", _socket, "ignored")
    if os.geteuid() == 0:  # nobody else may make one
        yield Case("a device", "comma", lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)), "ignored")
    yield Case("a folder", "comma", Path.mkdir, "ignored")
    for name, other in (
        ("a line end in its name", "f\n_20260914.dat"),
        ("a date that is none", "f_20261399.dat"),
        ("a part of a file", ".f_20260914.dat.part"),
        ("a name that is an option", "-rf_20260914.dat"),
        ("a name of markup", "<img src=x>_20260914.dat"),
        ("a name with an escape", "\x1b[2Jf_20260914.dat"),
        ("the longest name", "f" * 250 + ".dat"),
    ):
        yield Case(name, "comma", _named(other), "ignored")
    yield Case(
        "a name that is no text",
        "comma",
        lambda path: write(Path(os.fsdecode(os.fsencode(path) + b"\xff\xfe")), GOOD),
        "ignored",
    )
    yield Case("a folder full of files", "comma", lambda path: (path / "a" / "b").mkdir(parents=True), "ignored")


def deliveries() -> Iterator[Case]:
    """Files that are in order, but for what came before them."""
    before = COMMA.file(pupils(60))
    rows = pupils(60)
    for name, data, verdict, code in (
        ("the same once more", before, "duplicate", None),
        ("in another order", COMMA.file(rows[::-1]), "accepted", None),
        ("half of it is gone", COMMA.file(rows[:30]), "held", "mass_withdrawal"),
        ("all but one are gone", COMMA.file(rows[:1]), "held", "mass_withdrawal"),
        ("other keys throughout", COMMA.file([(f"9{r[0][1:]}", *r[1:]) for r in rows]), "held", None),
        ("a few are gone", COMMA.file(rows[:55]), "accepted", None),
        ("nothing but the header", COMMA.file([]), "held", "empty"),
    ):
        yield of_bytes(f"after a good file: {name}", "comma", data, verdict, code, before=before)  # type: ignore[arg-type]


def other_cases() -> Iterator[Case]:
    for family in (
        fixed_width_cases,
        xml_cases,
        json_cases,
        archive_cases,
        bombs,
        gigabytes,
        excel_cases,
        things_that_are_no_files,
        deliveries,
    ):
        yield from family()
