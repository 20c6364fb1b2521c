"""Hostile and broken delimited files, each in four dialects of the field."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.hostile.cases import COLUMNS, Bytes, Case, Pupil, Verdict, changed, of_bytes, pupils


@dataclass(frozen=True)
class Dialect:
    """How one kind of delimited file is written."""

    kind: str
    delimiter: str
    quoted: bool
    encoding: str = "utf-8"

    def line(self, cells: Sequence[str]) -> str:
        return self.delimiter.join(cells)

    def text(self, rows: Sequence[Pupil], header: Sequence[str] = COLUMNS, *, end: str = "\n") -> str:
        return "".join(f"{self.line(cells)}{end}" for cells in (header, *rows))

    def file(self, rows: Sequence[Pupil], **more: str) -> bytes:
        return self.text(rows, **more).encode(self.encoding)  # type: ignore[arg-type]


DIALECTS = (
    Dialect("comma", ",", quoted=True),
    Dialect("semicolon", ";", quoted=True, encoding="cp1252"),
    Dialect("tab", "\t", quoted=False),
    Dialect("pipe", "|", quoted=False),
)
ROWS = pupils()


def delimited_cases() -> Iterator[Case]:
    """Every damage in every dialect it can befall."""
    for dialect in DIALECTS:
        parts = (_forms, _values, _records, _none_of_it)
        for name, data, verdict, code in (told for part in parts for told in part(dialect)):
            yield of_bytes(f"{dialect.kind}: {name}", dialect.kind, data, verdict, code)


Told = tuple[str, Bytes, Verdict, str | None]


def _forms(d: Dialect) -> Iterator[Told]:
    """The same rows, written otherwise."""
    text, rows = d.text(ROWS), ROWS
    yield "as declared", d.file(rows), "accepted", None
    yield "CRLF", d.file(rows, end="\r\n"), "accepted", None
    yield "CR alone", d.file(rows, end="\r"), "accepted", None
    yield "line ends mixed", text.replace("\n", "\r\n", 7).encode(), "accepted", None
    yield "no last line end", text.rstrip("\n").encode(), "findings", "no_final_line_end"
    yield "blank lines", text.replace("\n", "\n\n").encode(), "accepted", None
    yield "lines of separators", f"{text}{d.delimiter * 4}\n{d.delimiter * 4}\n".encode(), "accepted", None
    yield (
        "blanks around values",
        d.text([tuple(f" {cell} " for cell in row) for row in rows]).encode(),
        "accepted",
        None,
    )  # type: ignore[misc]
    mark: Verdict = "accepted" if d.encoding == "utf-8" else "findings"
    yield "byte order mark", b"\xef\xbb\xbf" + text.encode(), mark, None
    for name in ("utf-16", "utf-16-be", "utf-32"):
        data = ("\ufeff" if name.endswith("be") else "") + text
        yield f"{name} with its mark", data.encode(name), "findings", "encoding_changed"
    order = [3, 1, 0, 4, 2]
    mixed = d.line([COLUMNS[n] for n in order]) + "\n" + "".join(f"{d.line([r[n] for n in order])}\n" for r in rows)
    yield "columns in another order", mixed.encode(), "accepted", None
    yield "columns in capitals", text.replace("Surname", "SURNAME").encode(), "findings", "recased_column"
    yield "columns with blanks", text.replace("Surname", "Sur name").encode(), "findings", "recased_column"
    wider = "".join(f"{line}{d.delimiter}x\n" for line in text.splitlines())
    yield "a new column", wider.encode(), "findings", "new_column"
    narrow = "".join(f"{line.rpartition(d.delimiter)[0]}\n" for line in text.splitlines())
    yield "an unused column is gone", narrow.encode(), "findings", "missing_column"
    lines = text.splitlines(keepends=True)
    yield "header once more", "".join([*lines[:9], lines[0], *lines[9:]]).encode(), "findings", "repeated_header"
    if d.quoted:
        yield "all in quotes", d.text([tuple(f'"{c}"' for c in r) for r in rows]).encode(), "accepted", None  # type: ignore[misc]
        inside = changed(rows, 3, Note=f'"of{d.delimiter} ""late""\nentry"')
        yield "separators and line ends in quotes", d.file(inside), "accepted", None
        yield "quotes never closed", d.file(changed(rows, 17, Note='"never')), "quarantined", "unclosed_quote"
    else:
        yield "a quote as a character", d.file(changed(rows, 3, Surname='O"Dell')), "accepted", None


def _values(d: Dialect) -> Iterator[Told]:
    """A value that is hostile, damaged or impossible."""
    for name, column, value, code in (
        ("a code nobody knows", "Sex", "Q7", "unmapped_code"),
        ("sentinel date", "Born", "1900-01-01", "sentinel_date"),
        ("zero date", "Born", "0000-00-00", "unparsable_date"),
        ("day of no month", "Born", "2011-02-30", "unparsable_date"),
        ("date in the future", "Born", "2031-01-01", "future_date"),
        ("day and month swapped", "Born", "15/06/2012", "unparsable_date"),
        ("serial date of a spreadsheet", "Born", "41075", "unparsable_date"),
        ("hashes for a date", "Born", "########", "unparsable_date"),
        ("partial date", "Born", "2012-XX-01", "unparsable_date"),
        ("zeros lost", "No", "4003", "repaired_identifier"),
        ("number too long", "No", "00040031", "bad_identifier"),
    ):
        yield name, d.file(changed(ROWS, 3, **{column: value})), "findings", code
    digit, long_ = "person_name.surname_has_no_digit", "person_name.surname_is_short"
    formula = "=cmd|'/C calc'!A0" if d.delimiter != "|" else "=cmd('/C calc')!A0"
    sql = "'); DROP TABLE student; --" if d.delimiter != ";" else "') DROP TABLE student --"
    letters = "Zoë \U0001f9d2" if d.encoding == "utf-8" else "Zoë Weiß"
    for name, value, code in (
        ("a formula", formula, digit),
        ("a formula with at", "@SUM(1+1)*cmd", digit),
        ("SQL", sql, None),
        ("a script", "<script>alert(1)</script>", digit),
        ("a path", "../../../../etc/passwd", None),
        ("a template", "{{7*7}}${jndi:ldap://x}", digit),
        ("percent and backslash", "%s%n\\u0000\\", digit),
        ("a very long name", "Q" * 20_000, long_),
        ("the word NULL", "NULL", None),
        ("the word nan", "nan", None),
        ("the word true", "true", None),
        ("letters of elsewhere", letters, None),
    ):
        told: Verdict = "findings" if code else "accepted"
        yield f"for a name {name}", d.text(changed(ROWS, 3, Surname=value)).encode(d.encoding), told, code
    wrapped = '"=""004003"""' if d.quoted else '="004003"'
    yield "a number wrapped for a spreadsheet", d.file(changed(ROWS, 3, No=wrapped)), "findings", "repaired_identifier"
    yield "a number in powers of ten", d.file(changed(ROWS, 3, No="4.003E+3")), "quarantined", "damaged_identifier"
    yield "no key", d.file(changed(ROWS, 3, No="")), "quarantined", "blank_required"
    yield "no name", d.file(changed(ROWS, 3, Surname="")), "quarantined", "blank_required"
    yield "a key of blanks that nobody sees", d.file(changed(ROWS, 3, No="\u00a0" * 3)), "quarantined", "blank_required"
    nul = d.file(changed(ROWS, 3, Surname="Os\0ei"))
    yield "a NUL", nul, "findings", "nul_characters"
    yield "a NUL in the key", d.file(changed(ROWS, 3, No="004\x00003")), "findings", "nul_characters"
    if d.encoding == "utf-8":
        yield "text encoded twice", d.text(changed(ROWS, 3, Surname="JosÃ©")).encode(), "findings", "repaired_text"
        yield (
            "CP1252 declared as UTF-8",
            d.text(changed(ROWS, 3, Surname="José")).encode("cp1252"),
            "findings",
            "encoding_changed",
        )
        broken = d.text(changed(ROWS, 3, Surname="Zoë")).encode().replace(ROWS[5][1].encode(), b"Os\xc3(ei", 1)
        yield "a byte that means nothing", broken, "findings", None
        overlong = d.line(["009001", "A", "2011-01-01", "1", "é"]).encode().replace(b"A", b"\xc0\xafA", 1)
        yield "an overlong encoding", d.file(ROWS) + overlong + b"\n", "findings", None


def _records(d: Dialect) -> Iterator[Told]:
    """A record that is none, or stands twice."""
    lines = d.text(ROWS).splitlines(keepends=True)
    short, long_ = d.line(ROWS[4][:3]) + "\n", d.line([*ROWS[4], "x", "y"]) + "\n"
    yield "a field too few", "".join([*lines[:5], short, *lines[6:]]).encode(), "quarantined", "ragged"
    yield "fields too many", "".join([*lines[:5], long_, *lines[6:]]).encode(), "quarantined", "ragged"
    yield "the last record cut", "".join(lines)[:-14].encode(), "quarantined", "ragged"
    yield "a sentence at the end", ("".join(lines) + "20 rows selected.\n").encode(), "quarantined", "ragged"
    yield "a row twice", ("".join(lines) + lines[5]).encode(), "findings", "exact_copy"
    other = changed(ROWS, 5, Surname="Elsewhere")[5]
    yield "a key twice, and not the same", d.file([*ROWS, other]), "quarantined", "conflicting_key"
    bad = ROWS
    for n in range(6):
        bad = changed(bad, n, Surname="")
    yield "too many rows in error", d.file(bad), "held", "error_limit"
    ragged = "".join([lines[0], *(d.line([*row, "x"]) + "\n" for row in ROWS)])
    yield "every record too long", ragged.encode(), "held", "error_limit"
    text = "".join(lines).encode()
    yield "a line of two megabytes", lambda: text + b"Q" * 2_000_000 + b"\n", "quarantined", "ragged"
    yield "a line of forty megabytes", lambda: text + b"Q" * 40_000_000 + b"\n", "held", "unreadable"
    if d.quoted:
        yield "a quote that swallows megabytes", lambda: _swallowed(d), "held", "unclosed_quote"


def _swallowed(d: Dialect) -> bytes:
    return d.file([*ROWS, *pupils(60_000, seed=9)]).replace(b"Osei", b'"Osei', 1)


def _none_of_it(d: Dialect) -> Iterator[Told]:
    """Files that are not of this feed at all."""
    header, other = d.line(COLUMNS), "," if d.delimiter != "," else ";"
    rng = random.Random(11)
    for name, data, reason in (
        ("nothing", b"", "empty"),
        ("a line end", b"\n", "empty"),
        ("blanks", b"   \r\n  \r\n", "empty"),
        ("a byte order mark alone", b"\xef\xbb\xbf", "empty"),
        ("header alone", f"{header}\n".encode(), "empty"),
        ("header without line end", header.encode(), "empty"),
        ("another delimiter", d.text(ROWS).replace(d.delimiter, other).encode(), "layout"),
        ("no header", d.text(ROWS).split("\n", 1)[1].encode(), "layout"),
        ("the key column gone", d.text(ROWS).replace("No", "Nr", 1).encode(), "layout"),
        ("a required column gone", d.text(ROWS).replace("Surname", "Family", 1).encode(), "layout"),
        ("the key column twice", d.text(ROWS).replace("Note", "No", 1).encode(), "layout"),
        (
            "another agency's file",
            b"ORI,INCIDENT,UCR\nMA0241100,25-1,13A\n".replace(b",", d.delimiter.encode()),
            "layout",
        ),
        ("a page of an error", b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "layout"),
        ("JSON", b'{"pupils": [{"No": "004000"}]}\n', "layout"),
        ("a picture", b"\x89PNG\r\n\x1a\n" + rng.randbytes(4096), "layout"),
        ("a program", b"\x7fELF" + rng.randbytes(4096), "layout"),
        ("noise", rng.randbytes(65_536), "layout"),
        ("NULs alone", b"\0" * 65_536, None),
        ("SQL dump", b"INSERT INTO student VALUES (1);\n" * 50, "layout"),
        ("a message", b"ORA-01555: snapshot too old\n", "layout"),
    ):
        yield name, data, "held", reason
