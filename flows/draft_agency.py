"""Draft an agency's folder from samples of its files: layout, elements as far as they are plain, the rest undecided."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from flows.read_sample import Sample, read_sample
from linkage.column_map import common_columns
from mappings.declarations import RESERVED
from mappings.load import Agency, load_agency
from standard.code_sets import choice_of, code_set
from standard.errors import DeclarationError

UNDECIDED = "not yet decided"
_DATE_FORMATS = {
    "%Y-%m-%d": r"\d{4}-\d\d-\d\d",
    "%m/%d/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%Y%m%d": r"(19|20)\d{6}",
    "%Y-%m-%d %H:%M:%S": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "%m-%d-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%d-%b-%Y": r"\d{1,2}-[A-Za-z]{3}-\d{4}",
}
_SSN, _PHONE = r"\d{3}-\d{2}-\d{4}", r"(\+?1[ .-]?)?\(?\d{3}\)?[ .-]?\d{3}[ .-]?\d{4}"
_KEY = re.compile(r"(^|[_ ])(id|no|nr|num|number|key)$|Id$|ID$|No$|Number$")
_ENOUGH = 0.95
_MOST_CODES = 25
_MOST_OF_KEY = 8
_CODED = {"sex"}
_SHORT = {
    "nm": "name", "nme": "name", "dt": "date", "addr": "address", "adr": "address", "ph": "phone", "frst": "first",
    "fst": "first", "lst": "last", "mid": "middle", "mdl": "middle", "gndr": "gender", "brth": "birth",
}  # fmt: skip
"""Words of headers -> what they are short for."""
_THE_RECORDS_OWN = {
    "student", "stu", "stud", "pupil", "child", "client", "clnt", "person", "participant", "member", "patient", "legal",
    "home",
}  # fmt: skip
"""Words before a header's own that say only whose record it is."""


@dataclass
class _Drafted:
    """One feed while it is drafted."""

    sample: Sample
    feed: str
    elements: dict[str, str] = field(default_factory=dict)
    """Element -> its conversion, in YAML."""
    columns: dict[str, str] = field(default_factory=dict)
    """Element -> its column."""
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    """Element -> its values, most frequent first."""
    key: list[str] = field(default_factory=list)


def draft_agency(name: str, samples: Sequence[Path], into: Path, *, sector: str) -> Agency:
    """Writes a folder of declarations for an agency of which there are only samples; gives it as loaded.

    Elements are drafted for columns of which header and content agree what they are: the key, names, dates, SSNs,
    telephones, codes. All others stand under `unused_columns` as not yet decided. A code has an empty crosswalk; the
    values met stand in `draft/`, to be mapped by a person. Nothing else of the sample is written.

    Raises:
        DeclarationError: The folder is there already, or the name or the sector cannot be used.
        ExtractError: A sample is in no form that can be recognised.
    """
    folder = into / name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or sector not in code_set("sector"):
        raise DeclarationError(
            f"{name!r} of sector {sector!r} cannot be declared", where=str(folder),
            mend=f"use lower case letters, digits and _ for the name; the sector is {choice_of('sector')}",
        )  # fmt: skip
    if folder.exists():
        raise DeclarationError("this agency is declared already", where=str(folder), mend="give another name")
    drafts = [_draft(read_sample(path)) for path in samples]
    if len({draft.feed for draft in drafts}) < len(drafts):
        raise DeclarationError(
            "two samples are of one feed, by their names", where=str(folder), mend="give one sample of each feed"
        )
    (folder / "crosswalks").mkdir(mode=0o700, parents=True)
    for draft in drafts:
        _write_feed(folder, draft)
    (folder / "agency.yaml").write_text(
        f"agency: {name}\nname: {name.replace('_', ' ').title()}   # its full name\nsector: {sector}\n"
        f'sources:\n  drop: {{folder: {{path: "${{{name.upper()}_DROP}}"}}}}   # or sftp: see docs/mapping.md\n'
        f"feeds: [{', '.join(draft.feed for draft in drafts)}]\n",
        "utf-8",
    )
    return load_agency(folder)


def undecided(agency: Agency) -> dict[str, list[str]]:
    """Feed -> its columns of which nobody has decided yet what becomes of them."""
    found = {
        name: [column for column, why in feed.unused_columns.items() if why == UNDECIDED]
        for name, feed in agency.feeds.items()
    }
    return {name: columns for name, columns in found.items() if columns}


def _draft(sample: Sample) -> _Drafted:
    draft = _Drafted(sample, _feed_name(sample.path.name))
    called = _called([_last(column) for column in sample.columns])
    for column, values in sample.columns.items():
        given = [value for value in values if value]
        if kind := _kind(called.get(_last(column), ""), given):
            _add(draft, called.get(_last(column)) or _plain(_last(column)), column, kind, given)
    _choose_key(draft)
    return draft


def _add(draft: _Drafted, name: str, column: str, kind: str, given: Sequence[str]) -> None:
    element = _free(draft, name)
    if kind == "code":
        draft.codes[element] = Counter(given)
        kind = f"code: {{crosswalk: {draft.feed}_{element}}}"
    draft.elements[element], draft.columns[element] = kind, column


def _kind(common: str, given: Sequence[str]) -> str | None:
    """The conversion of a column by what its header says and its values show; None: it is not plain."""
    if not given:
        return None
    if form := next((f for f, pattern in _DATE_FORMATS.items() if _all_like(pattern, given)), None):
        kind = "timestamp" if "%H" in form else "date"
        bound = ", not_after: as_of" if common == "birth_date" else ""
        return f'{kind}: {{formats: ["{form}"]{bound}}}'
    if _all_like(_SSN, given) or (common == "ssn" and _all_like(r"\d{7,9}", given)):
        return "ssn: {}"
    if common == "phone" and _all_like(_PHONE, given):
        return "phone: {}"
    if common in ("given", "middle", "surname") and not _all_like(r"[\d.]+", given):
        return "name: {}"
    if common in ("address", "city") and not _all_like(r"[\d.]+", given):
        return "address: {}" if common == "address" else "text: {}"
    if common == "zip" and _all_like(r"\d{5}(-?\d{4})?", given):
        return "text: {}"
    if common in _CODED and len(set(given)) <= _MOST_CODES:
        return "code"
    return None


def _all_like(pattern: str, given: Sequence[str]) -> bool:
    return sum(re.fullmatch(pattern, value) is not None for value in given) >= _ENOUGH * len(given)


def _choose_key(draft: _Drafted) -> None:
    """The fewest columns that tell the records apart, rather ones that are named like a number."""
    chosen = _telling(draft.sample)
    draft.key = []
    for column in chosen:
        element = next((e for e, of in draft.columns.items() if of == column), None)
        if element is None or draft.elements[element].startswith(("name", "text", "address", "phone", "code")):
            draft.codes.pop(element or "", None)
            if element is not None:
                del draft.elements[element], draft.columns[element]
            element = _free(draft, _plain(_last(column)))
            draft.elements[element], draft.columns[element] = _identifier(draft.sample.columns[column]), column
        draft.elements[element] += ", required: true"
        draft.key.append(element)


def _telling(sample: Sample) -> Sequence[str]:
    full = [column for column, values in sample.columns.items() if values and "" not in values]
    ordered = sorted(full, key=lambda column: _KEY.search(_last(column)) is None)[:_MOST_OF_KEY]
    for size in (1, 2, 3):
        for columns in combinations(ordered, size):
            rows = list(zip(*(sample.columns[column] for column in columns), strict=True))
            if len(set(rows)) == len(rows):
                return columns
    return ordered or list(sample.columns)[:1]


def _identifier(values: Sequence[str]) -> str:
    widths = {len(value) for value in values if value}
    digits = all(value.isdecimal() for value in values)
    return f"identifier: {{width: {widths.pop()}}}" if digits and len(widths) == 1 else "identifier: {}"


def _free(draft: _Drafted, name: str) -> str:
    """The name, or one like it that no other element has."""
    numbered = (f"{name}_{number}" for number in range(2, len(draft.elements) + 3))
    return next(each for each in (name, *numbered) if each not in draft.elements)


def _write_feed(folder: Path, draft: _Drafted) -> None:
    sample = draft.sample
    left = [column for column in sample.columns if column not in draft.columns.values()]
    elements = [
        f"  {name}: {{column: {_quoted(draft.columns[name])}, {kind}}}" for name, kind in draft.elements.items()
    ]
    entities = _entities(draft)
    lines = [
        f"# Drafted from one sample of {sample.records:,} records: look every line over.",
        f"feed: {draft.feed}", f"title: {draft.feed} (say what a file holds, and how often it comes)", "source: drop",
        f"arrives: {{files: {_quoted(_pattern(sample.path.name))}{sample.packed}}}   # and schedule, grace, calendar",
        f"format: {sample.form}", "holds: full   # or delta: only what is new or changed",
        f"key: [{', '.join(draft.key)}]",
        "unused_columns:" if left else "unused_columns: {}", *(f"  {_quoted(column)}: {UNDECIDED}" for column in left),
        "elements:", *elements, *(["entities:", *entities] if entities else []),
    ]  # fmt: skip
    (folder / f"{draft.feed}.yaml").write_text("\n".join(lines) + "\n", "utf-8")
    if sample.layout:
        (folder / "layouts").mkdir(mode=0o700, exist_ok=True)
        (folder / "layouts" / f"{sample.layout_name}.csv").write_text(sample.layout, "utf-8")
    for element, values in draft.codes.items():
        _write_crosswalk(folder, f"{draft.feed}_{element}", values)


def _entities(draft: _Drafted) -> list[str]:
    """A person of each record, where the record plainly is one."""
    if "surname" not in draft.elements:
        return []
    ref = f'person_ref: "{draft.feed}/{"|".join(f"{{{part}}}" for part in draft.key)}"'
    names = "".join(f", {part}: {part}" for part in ("given", "middle", "surname") if part in draft.elements)
    facts = "".join(f", {part}: {part}" for part in ("birth_date", "sex") if part in draft.elements)
    lines = [f"  person: [{{{ref}}}]", f"  person_name: [{{{ref}, use: =legal{names}}}]"]
    return [*lines, *([f"  person_demographic: [{{{ref}{facts}}}]"] if facts else [])]


def _write_crosswalk(folder: Path, name: str, values: Mapping[str, int]) -> None:
    (folder / "crosswalks" / f"{name}.csv").write_text("value,common,match\n", "utf-8")
    (folder / "draft").mkdir(mode=0o700, exist_ok=True)
    with (folder / "draft" / f"{name}.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["value", "common", "match", "note"])
        writer.writerows([value, "", "", f"{rows} records"] for value, rows in values.items())


def _feed_name(name: str) -> str:
    stem = re.sub(r"(19|20)\d\d[-_]?\d\d[-_]?\d\d", "", name).split(".")[0]
    plain = _plain(stem)
    return plain if plain != "agency" else "agency_feed"


def _pattern(name: str) -> str:
    for form, expression in (
        ("%Y%m%d", r"20\d{6}"),
        ("%Y-%m-%d", r"20\d\d-\d\d-\d\d"),
        ("%Y_%m_%d", r"20\d\d_\d\d_\d\d"),
    ):
        if re.search(expression, name):
            return re.sub(expression, f"{{as_of:{form}}}", name, count=1)
    stem, dot, ending = name.partition(".")
    return f"{stem}*{dot}{ending}"


def _last(column: str) -> str:
    """Of a path its last name."""
    return re.sub(r"^.*[/@:]", "", column) or column


def _called(headers: Sequence[str]) -> dict[str, str]:
    """Header -> the common column it plainly is: as it stands, else spelled out where no other header is it."""
    found = {header: common for common, header in common_columns(headers).items()}
    spelled = {_spelled_out(header): header for header in reversed(headers)}
    for common, words in common_columns(list(spelled)).items():
        if common not in found.values():
            found.setdefault(spelled[words], common)
    return found


def _spelled_out(header: str) -> str:
    """FIRST_NM is first name, STU_BIRTH_DT birth date, GENDER_CD gender; GUARDIAN_FIRST_NM stays somebody else's."""
    words = [_SHORT.get(word, word) for word in _plain(header).split("_") if word not in ("cd", "code")]
    return " ".join(words[1:] if words and words[0] in _THE_RECORDS_OWN and words[-1] != "id" else words)


def _plain(text: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    found = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    found = found if re.match("[a-z]", found) else f"c_{found}".rstrip("_")
    return f"{found}_sent" if found in RESERVED else found


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
