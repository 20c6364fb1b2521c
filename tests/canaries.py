"""Sixty invented personal values and where each is planted: a value that shows up anywhere else is a leak."""

from __future__ import annotations

import re

_WORDS = ("Abel", "Brunno", "Cassow", "Dremel", "Estrup", "Fjordal", "Gremsted", "Holvik", "Isbrand", "Jelling")


def _made(kind: str, number: int) -> list[str]:
    return [f"Q{kind}{_WORDS[n % 10]}{chr(97 + n // 10)}x" for n in range(number)]


GIVEN, SURNAMES, QUARANTINED = _made("g", 8), _made("s", 8), _made("q", 6)
COURT, FAILING = _made("c", 6), _made("f", 4)
CODES, FILES, HEADLESS = _made("k", 2), _made("n", 2), _made("l", 4)
COLUMNS = ["QhAbelax 615-61-6624", "Qh-Brunnoax 2009-12-08"]
NARRATIVE = [f"his {word.lower()}stepfather locked the cellar" for word in _made("t", 4)]
STREETS = [f"{4711 + n} {word} Terrace" for n, word in enumerate(_made("a", 4))]
SSNS = ["612-48-3391", "613-59-4402", "614-60-5513"]
PHONES = ["413-558-0917", "413-558-0926"]
BORN = ["2011-02-28", "2012-10-23", "2010-06-17"]
CASES = ["JV-88-104417", "JV-88-104428"]
PERSONAL = [*GIVEN, *SURNAMES, *QUARANTINED, *COURT, *FAILING, *CODES, *COLUMNS, *FILES, *HEADLESS, *NARRATIVE,
            *STREETS, *SSNS, *PHONES, *BORN, *CASES]  # fmt: skip


def students() -> str:
    """A file with rows that are accepted, quarantined, unreadable and shifted into wrong columns."""
    well = [f"0051{n:02},{GIVEN[n]},{SURNAMES[n]},{BORN[n % 3]},{1 + n % 2},12B" for n in range(8)]
    wrong = [
        f"005120,{QUARANTINED[0]},,2013-08-08,2,12B",
        f"005121,{QUARANTINED[1]},Ord,{NARRATIVE[0]},2,12B",
        f"005122,{QUARANTINED[2]},Ord,2013-08-08,{CODES[0]},{SSNS[0]}",
        f"005123,{QUARANTINED[3]},Ord,{SSNS[1]},{PHONES[0]},{STREETS[0]}",
        f"{CASES[0]},{QUARANTINED[4]},Ord,2013-08-08,{CODES[1]},10A",
        f"005124,{QUARANTINED[5]},Ord,2013-08-08,2,10A,{NARRATIVE[1]},{STREETS[1]},{SSNS[2]}",
        f'005125,"{NARRATIVE[2]},Ord,2013-08-08,2,10A',
    ]
    return "\n".join(["StudentNo,First,Last,DOB,Sex,Homeroom", *well, *wrong]) + "\n"


def manifest(of: str) -> str:
    """A manifest whose lines bear values of persons where names of files, numbers and hashes should stand."""
    lines = [f"{of},15,{STREETS[3]}", f"{NARRATIVE[3]},{PHONES[0]},{SSNS[0]}", f"students_{FILES[1]}.csv,3,{CASES[1]}"]
    return "\n".join(["file,rows,sha256", *lines]) + "\n"


def headless() -> str:
    """A file whose header was lost: its first row stands where the names of the columns should."""
    rows = [f"{6001 + n:06},{HEADLESS[n]},{STREETS[2]},{BORN[0]},1,{CASES[1]}" for n in range(4)]
    return "\n".join(rows) + "\n"


def new_columns() -> str:
    """A file with values of a person among the names of its columns."""
    header = ",".join(["StudentNo,First,Last,DOB,Sex,Homeroom", *COLUMNS, PHONES[1]])
    return f"{header}\n007001,Bo,Ek,2012-03-03,1,1A,x,y,z\n"


def found_in(content: bytes, values: list[str]) -> set[str]:
    """Which of some values stand in a content, in any case, with or without the signs between their digits."""
    folded = content.lower()
    bare = re.sub(rb"[-./ ]", b"", folded)
    return {v for v in values if v.lower().encode() in folded
            or (v[-1].isdigit() and re.sub(r"\D", "", v).encode() in bare and not v.startswith("20"))}  # fmt: skip
