"""Hostile and broken fixed-width, XML and JSON files, and files that are wrong only after what came before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from xml.sax.saxutils import escape

from tests.hostile.cases import COLUMNS, Bytes, Case, Verdict, changed, of_bytes, pupils
from tests.hostile.delimited import DIALECTS

ROWS = pupils()
COMMA = DIALECTS[0]
GOOD = COMMA.file(ROWS)
WIDTHS = (6, 20, 10, 1, 10)


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
        ("a line of two megabytes", (text + "Q" * 2_000_000 + "\nTRL 21\n").encode(), "quarantined", "long_record"),
        ("a line end lost", (text.replace("\n", "", 1) + "TRL 19\n").encode(), "quarantined", "long_record"),
        ("no line ends", (text.replace("\n", "") + "\nTRL 1\n").encode(), "held", "no_line_ends"),
        ("pages", (text.replace("\n", "\n\f", 3) + "TRL 20\n").encode(), "accepted", None),
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
            "held",
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
        ("a number", b"7", "held", "no_key_column"),
        ("arrays for objects", json.dumps([list(row) for row in ROWS]).encode(), "held", "no_key_column"),
        ("wrapped in an object", json.dumps({"pupils": _objects()}).encode(), "held", "no_key_column"),
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
    for family in (fixed_width_cases, xml_cases, json_cases, deliveries):
        yield from family()
