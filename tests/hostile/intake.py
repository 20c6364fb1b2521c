"""Take a set of cases in through the real intake, each in a feed of its own, and say what became of each."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import sqlalchemy as sa

from flows.fetching import fetch_agency
from flows.intake import load_extracts
from flows.lay_out_home import lay_out_home, write_settings
from flows.run import open_night
from receipts.receipt import REFUSALS
from store.home import Home, connect
from store.ledger import Ledger, account, extract, file_finding, open_ledger, stage
from tests.hostile.archives import packed_cases
from tests.hostile.cases import Case, of_bytes
from tests.hostile.delimited import delimited_cases
from tests.hostile.encrypted import KEYRING, KINDS, SENDER, Sender, encrypted_cases, lay_out_keys
from tests.hostile.no_files import gigabytes, things_that_are_no_files
from tests.hostile.other_forms import other_cases

PARTS = 8
"""Processes by which the whole corpus is taken in, one after the other."""
NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)
FORMS = {
    "comma": "format: {kind: delimited}",
    "semicolon": 'format: {kind: delimited, encoding: cp1252, delimiter: ";"}',
    "tab": 'format: {kind: delimited, delimiter: "\\t", quote: null}',
    "pipe": 'format: {kind: delimited, delimiter: "|", quote: null}',
    "fixed": "format: {kind: fixed_width, layout: pupil, encoding: ascii, trailer: {prefix: TRL}}",
    "xml": "format: {kind: xml, records: [/Pupils/Pupil]}",
    "json": "format: {kind: json, records: [/]}",
    "lines": "format: {kind: json_lines}",
    "excel": "format: {kind: excel}",
    "zip": "format: {kind: delimited}",
    "gzip": "format: {kind: delimited}",
    **dict.fromkeys(KINDS, "format: {kind: delimited}"),
}
PACKED = {"zip": "zip", "gzip": "gzip"} | KINDS
FEED = """feed: NAME
title: Pupils
source: drop
arrives: {files: "NAME_{as_of:%Y%m%d}.dat"PACKED}
FORM
holds: full
key: [no]
unused_columns: {Note: nobody asks}
elements:
  no: {column: No, identifier: {width: 6}, required: true}
  surname: {column: Surname, name: {}, required: true}
  born: {column: Born, date: {formats: ["%Y-%m-%d"], sentinels: ["1900-01-01"], not_after: as_of}}
  sex: {column: Sex, code: {crosswalk: sex}}
entities:
  person: [{person_ref: "pupil/{no}"}]
  person_name: [{person_ref: "pupil/{no}", use: =legal, surname: surname}]
  person_demographic: [{person_ref: "pupil/{no}", birth_date: born, sex: sex}]
"""
_GOOD = b"No,Surname,Born,Sex,Note\n004000,Osei,2012-01-11,1,\n"
WARM_UP = of_bytes("warm-up", "comma", _GOOD.replace(b"Osei", b"Ruiz"), "accepted", before=_GOOD)
"""What the first file of every night takes longer, whatever is in it: the judge of expectations starts with it."""
LAYOUT = "field,start,end\nNo,1,6\nSurname,7,26\nBorn,27,36\nSex,37,37\nNote,38,47\n"


@dataclass(frozen=True)
class Became:
    """What became of a case."""

    name: str
    verdict: str
    codes: tuple[str, ...]
    """The reason it is held for, and everything that was found."""
    seconds: float


def peak_mib() -> int:
    """Most memory that this process held, in MiB; what `getrusage` tells begins with that of the process before it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def all_cases() -> list[Case]:
    """The whole corpus."""
    cases = [*delimited_cases(), *other_cases(), *packed_cases(), *gigabytes(), *things_that_are_no_files()]
    return [*cases, *(encrypted_cases() if shutil.which("gpg") else ())]


def some_cases(count: int = 40) -> list[Case]:
    """Cases from every part of the corpus, always the same; of those that take a gigabyte of disk, none."""
    cases = [case for case in all_cases() if not case.name.startswith("huge: ")]
    return [cases[n * len(cases) // count] for n in range(count)]


def take_in(cases: Sequence[Case], folder: Path) -> list[Became]:
    """Lays out an exchange of one agency, a feed a case, and takes all their files in as one night would."""
    home, drop = lay_out_home(folder / "home", name="Hostile"), folder / "drop"
    drop.mkdir()
    agency = home.agencies / "hostile"
    (agency / "crosswalks").mkdir(parents=True)
    (agency / "layouts").mkdir()
    (agency / "crosswalks" / "sex.csv").write_text("value,common,match\n1,F,exact\n2,M,exact\n")
    (agency / "layouts" / "pupil.csv").write_text(LAYOUT)
    names = [f"f{number:03}" for number in range(len(cases))]
    keys = ""
    if any(case.kind in KINDS for case in cases):
        signers = ", ".join(lay_out_keys(folder / SENDER, home.keys))
        keys = f", pgp: {{keyring: {KEYRING}, signers: [{signers}]}}"
    for name, case in zip(names, cases, strict=True):
        packed = f", packed: [{PACKED[case.kind]}]" if case.kind in PACKED else ""
        told = FEED.replace("NAME", name).replace("FORM", FORMS[case.kind]).replace("PACKED", packed)
        (agency / f"{name}.yaml").write_text(told)
        if case.before is not None:
            (drop / f"{name}_20260907.dat").write_bytes(case.before)
    (agency / "agency.yaml").write_text(
        "agency: hostile\nname: Hostile\nsector: education\n"
        f"sources: {{drop: {{folder: {{path: {drop}, settle: 0{keys}}}}}}}\nfeeds: [{', '.join(names)}]\n"
    )
    write_settings(home, "exchange: Hostile\nagencies: [hostile]\n")
    ready = folder / "ready"
    ready.mkdir()
    # By another process, that what it takes to make the files is not counted as what it takes to read them.
    maker = get_context("fork").Process(target=_make, args=(cases, names, ready))
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    if keys:
        Sender(folder / SENDER).close()
    if any(case.before for case in cases):
        _one_night(home, drop, NOW - timedelta(days=7))
    for path in ready.iterdir():
        path.rename(drop / path.name)
    _one_night(home, drop, NOW)
    ledger = open_ledger(home.ledger_file)
    try:
        return [_became(ledger, home.batches, name, case) for name, case in zip(names, cases, strict=True)]
    finally:
        ledger.close()


def _make(cases: Sequence[Case], names: Sequence[str], drop: Path) -> None:
    for name, case in zip(names, cases, strict=True):
        case.make(drop / f"{name}_20260914.dat")


def _one_night(home: Home, drop: Path, now: datetime) -> None:
    _settle(drop)
    with open_night(home, now=now, progress=lambda _: None) as night:
        fetch_agency(night, "hostile")
        with night.surviving("load"):  # a case that breaks the intake is told as failed
            load_extracts(night, "hostile")


def _settle(drop: Path) -> None:
    an_hour_ago = time.time() - 3600
    for path in drop.iterdir():
        os.utime(path, (an_hour_ago, an_hour_ago), follow_symlinks=False)


def _became(ledger: Ledger, batches: Path, feed: str, case: Case) -> Became:
    newest = sa.select(extract).where(extract.c.feed == feed).order_by(extract.c.as_of.desc(), extract.c.seq.desc())
    with ledger.reading() as connection:
        row = connection.execute(newest.limit(1)).first()
        if row is None:
            return Became(case.name, "ignored", (), 0.0)
        of = row.extract_id
        accounts = connection.execute(sa.select(account).where(account.c.extract_id == of)).all()
        files = (
            connection.execute(sa.select(file_finding.c.code).where(file_finding.c.extract_id == of)).scalars().all()
        )
        stages = connection.execute(sa.select(stage).where(stage.c.extract_id == of)).all()
    codes = {*files, *(a.reason for a in accounts if a.reason), *_row_codes(batches / of / "findings.parquet")}
    went = {a.disposition for a in accounts if a.rows}
    verdict = "findings" if codes else "accepted"
    if row.status == "held":
        verdict = "refused" if row.status_reason in REFUSALS else "held"
        codes.add(row.status_reason)
    elif row.status == "duplicate":
        verdict = "duplicate"
    elif row.status in ("landed", "mapped", "checked"):
        verdict = "failed"
    elif "quarantined" in went:
        verdict = "quarantined"
    seconds = sum(
        (datetime.fromisoformat(s.finished_at) - datetime.fromisoformat(s.started_at)).total_seconds()
        for s in stages
        if s.finished_at
    )
    return Became(case.name, verdict, tuple(sorted(codes)), seconds)


def _row_codes(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with connect() as con:
        found = con.execute(f"SELECT DISTINCT coalesce(code, rule) FROM read_parquet('{path}')").fetchall()
    return {str(code) for (code,) in found if code}


def differences(cases: Sequence[Case], became: Sequence[Became]) -> list[str]:
    """The cases that got another verdict, or of which not was told what must be."""
    wrong = []
    for case, got in zip(cases, became, strict=True):
        if got.verdict != case.verdict or (case.code is not None and case.code not in got.codes):
            wrong.append(f"{case.name}: {got.verdict} {', '.join(got.codes)}; must be {case.verdict} {case.code or ''}")
    return wrong


def main() -> None:
    """Takes cases in by this process and writes what became of them as JSON, with the peak of memory."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("folder", type=Path, help="a folder that is not there yet")
    options.add_argument("--part", type=int, help=f"of {PARTS}; without it some cases of every part")
    options.add_argument("--only", help="cases whose name holds this")
    given = options.parse_args()
    chosen = some_cases() if given.part is None and given.only is None else all_cases()
    if given.part is not None:
        chosen = chosen[given.part :: PARTS]
    cases = [case for case in chosen if (given.only or "") in case.name]
    given.folder.mkdir()
    became = take_in([WARM_UP, *cases], given.folder)[1:]
    told = {
        "cases": len(cases),
        "differences": differences(cases, became),
        "slowest": asdict(max(became, key=lambda each: each.seconds, default=Became("", "", (), 0.0))),
        "peak_mib": peak_mib(),
    }
    (given.folder / "became.json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
