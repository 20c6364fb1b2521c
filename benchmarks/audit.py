"""The audit log: how fast it is written and checked, and whether 1,000 ways of tampering with it are all found."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from store.audit_check import Found, check_log
from store.audit_entry import canonical, head_mac, mac_of
from store.audit_log import HEAD, Event, append, checkpoint, head, intent
from store.home import Home

Lines = list[bytes]
Tamper = Callable[[Random, Lines, bytes], Lines]


def a_log(root: Path, *, entries: int = 30) -> Home:
    """A home whose log has some entries, two months, checkpoints, and heads that stand in receipts and a manifest."""
    home = Home(root).create()
    for number in range(entries):
        event = Event("release", f"r{number}", "r_ode", agreement="DUL-1", counts={"rows": number})
        if number % 5:
            append(home, event)
        else:
            with intent(home, event) as going:
                going.counts["persons"] = number
        if number % 10 == 9:
            checkpoint(home)
            _witness(home.receipts / "school" / f"r{number}.json", home)
    append(home, Event("publish", "s1", "exchange", role="exchange"))
    _witness(home.record / "snapshots" / "s1" / "manifest.json", home)
    _into_two_months(home)
    return home


def _witness(path: Path, home: Home) -> None:
    end = head(home)
    assert end is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"audit": end.told()}), "utf-8")


def _into_two_months(home: Home) -> None:
    """The first two thirds are moved into a file of an earlier month: a log has a file for each."""
    (path,) = home.audit.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    cut = len(lines) * 2 // 3
    path.with_name("2020-01.jsonl").write_bytes(b"".join(lines[:cut]))
    path.write_bytes(b"".join(lines[cut:]))


def _values(line: bytes) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(line)
    return values


def _a_byte(random: Random, lines: Lines, _key: bytes) -> Lines:
    at = random.randrange(len(lines))
    place = random.randrange(len(lines[at]))
    other = random.choice([b for b in range(32, 127) if b != lines[at][place]])
    return [*lines[:at], lines[at][:place] + bytes([other]) + lines[at][place + 1 :], *lines[at + 1 :]]


def _edited(random: Random, values: dict[str, Any]) -> dict[str, Any]:
    changes: list[dict[str, Any]] = [
        {"actor": "somebody"}, {"object": "r999"}, {"decision": "allowed"}, {"counts": {"rows": 0}},
        {"at": "2020-01-01T00:00:00.000+00:00"}, {"reason": "R01"}, {"agreement": "DUL-2"}, {"of": 1},
    ]  # fmt: skip
    return {**values, **random.choice(changes)}


def _a_value(random: Random, lines: Lines, _key: bytes) -> Lines:
    at = random.randrange(len(lines))
    return [*lines[:at], canonical(_edited(random, _values(lines[at]))), *lines[at + 1 :]]


def _a_value_with_its_mac(random: Random, lines: Lines, key: bytes) -> Lines:
    at = random.randrange(len(lines))
    values = _edited(random, _values(lines[at]))
    return [*lines[:at], canonical({**values, "mac": mac_of(values, key)}), *lines[at + 1 :]]


def _without_mac(random: Random, lines: Lines, _key: bytes) -> Lines:
    at = random.randrange(len(lines))
    values = {name: value for name, value in _values(lines[at]).items() if name != "mac"}
    return [*lines[:at], canonical(values), *lines[at + 1 :]]


def _delete(random: Random, lines: Lines, _key: bytes) -> Lines:
    at = random.randrange(len(lines))
    return lines[:at] + lines[at + random.randint(1, 3) :]


def _cut(random: Random, lines: Lines, _key: bytes) -> Lines:
    return lines[: random.randrange(len(lines))]


def _insert_copy(random: Random, lines: Lines, _key: bytes) -> Lines:
    at = random.randrange(len(lines) + 1)
    return [*lines[:at], random.choice(lines), *lines[at:]]


def _swap(random: Random, lines: Lines, _key: bytes) -> Lines:
    one, two = random.sample(range(len(lines)), 2)
    lines = list(lines)
    lines[one], lines[two] = lines[two], lines[one]
    return lines


def _other_form(random: Random, lines: Lines, _key: bytes) -> Lines:
    at = random.randrange(len(lines))
    form = random.choice([lines[at] + b" ", lines[at] + b"\r", b"\xef\xbb\xbf" + lines[at],
                          json.dumps(_values(lines[at])).encode(), lines[at][:-1] + b',"seq":1}'])  # fmt: skip
    return [*lines[:at], form, *lines[at + 1 :]]


def _chained_anew(random: Random, lines: Lines, key: bytes) -> Lines:
    """Who has the log's key edits, deletes or adds a line and makes every MAC and link after it again."""
    at = random.randrange(len(lines) - 1)
    values = [_values(line) for line in lines]
    change = random.choice(["edit", "delete", "add", "cut"])
    if change == "edit":
        values[at] = _edited(random, values[at])
    elif change == "add":
        values.insert(at, {**values[at], "object": "r998"})
    else:
        del values[at : len(values) if change == "cut" else at + 1]
    return chain(values, key)


def chain(values: list[dict[str, Any]], key: bytes) -> Lines:
    """Lines with numbers, links and MACs that fit each other."""

    made: Lines = []
    before = "0" * 64
    for seq, each in enumerate(values, start=1):
        told = {**each, "seq": seq, "prev": before}
        made.append(canonical({**told, "mac": mac_of(told, key)}))
        before = hashlib.sha256(made[-1]).hexdigest()
    return made


TAMPERS: tuple[Tamper, ...] = (_a_byte, _a_value, _a_value_with_its_mac, _without_mac, _delete, _cut, _insert_copy,
                               _swap, _other_form, _chained_anew)  # fmt: skip


def tamper(random: Random, home: Home) -> str:
    """Does one thing to the log of a home that must be found; its name."""
    key = bytes.fromhex((home.keys / "audit_key").read_text())
    paths = sorted(home.audit.glob("*.jsonl"))
    if random.random() < 0.15:
        return _tamper_with_files(random, home, paths)
    how = random.choice(TAMPERS)
    before = [path.read_bytes().splitlines() for path in paths]
    lines = [line for each in before for line in each]
    after = how(random, lines, key)
    while after == lines:
        after = how(random, lines, key)
    cut = min(len(before[0]), len(after))
    for path, part in zip(paths, (after[:cut], after[cut:]), strict=True):
        path.write_bytes(b"".join(line + b"\n" for line in part))
    if how is _chained_anew or (how is _cut and random.random() < 0.5):
        _head_anew(home, after, key)
    return how.__name__.strip("_")


def _head_anew(home: Home, lines: Lines, key: bytes) -> None:
    """The head is made to fit, with the last checkpoint that is left: what only who has the key can do."""

    if not lines:
        (home.audit / HEAD).unlink()
        return
    last = _values(lines[-1])
    told = {"seq": last["seq"], "sha256": hashlib.sha256(lines[-1]).hexdigest(), "at": last["at"], "checkpoint": None}
    (home.audit / HEAD).write_bytes(canonical({**told, "mac": head_mac(told, key)}))


def _tamper_with_files(random: Random, home: Home, paths: list[Path]) -> str:
    what = random.choice(["half a line", "a file gone", "files exchanged", "head gone", "head altered",
                          "head of before", "all gone", "another key"])  # fmt: skip
    first, last = paths
    if what == "half a line":
        path = random.choice(paths)
        path.write_bytes(path.read_bytes()[: -random.randint(1, 200)])
    elif what == "a file gone":
        random.choice(paths).unlink()
    elif what == "files exchanged":
        one, two = first.read_bytes(), last.read_bytes()
        first.write_bytes(two)
        last.write_bytes(one)
    elif what == "head gone":
        (home.audit / HEAD).unlink()
    elif what == "head altered":
        content = (home.audit / HEAD).read_bytes()
        place = random.randrange(len(content))
        (home.audit / HEAD).write_bytes(content[:place] + b"~" + content[place + 1 :])
    elif what == "head of before":
        lines = first.read_bytes().splitlines()
        _head_anew(home, lines[: random.randrange(1, len(lines))], bytes.fromhex((home.keys / "audit_key").read_text()))
    elif what == "all gone":
        shutil.rmtree(home.audit)
    else:
        (home.keys / "audit_key").write_text("ab" * 32)
    return what


def missed(home: Home, work: Path, *, mutations: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """(what was done to copies of a home's log -> how often, what of it was not found)."""
    random, done, not_found = Random(seed), Counter[str](), Counter[str]()
    for number in range(mutations):
        copy = Home(work / str(number))
        shutil.copytree(home.root, copy.root)
        what = tamper(random, copy)
        done[what] += 1
        if not _faults(copy):
            not_found[what] += 1
        shutil.rmtree(copy.root)
    return done, not_found


def _faults(home: Home) -> Found | None:
    found = check_log(home)
    return found if found.faults else None


def main(arguments: list[str] | None = None) -> int:
    """Prints the figures; 1 where anything was not found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--mutations", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kith-audit-") as folder:
        home = a_log(Path(folder) / "home")
        whole = check_log(home)
        if whole.faults:
            print(f"a log that nobody touched has faults: {whole.faults[0]}")
            return 1
        done, not_found = missed(home, Path(folder), mutations=given.mutations, seed=given.seed)
        print(f"{given.mutations:,} mutations, {not_found.total()} not found {dict(not_found) or ''}")
        print(", ".join(f"{what} {times}" for what, times in sorted(done.items())))
        began = time.perf_counter()
        for number in range(200):
            append(home, Event("release", f"x{number}", "r_ode"))
        print(f"an entry, on the disk before it returns: {(time.perf_counter() - began) * 5:.1f} ms")
        print(f"checked: {_long(home, 200_000):,.0f} entries a second")
    return 1 if not_found else 0


def _long(home: Home, entries: int) -> float:
    """How many entries a second are checked of a long log."""
    key = bytes.fromhex((home.keys / "audit_key").read_text())
    lines = [line for path in sorted(home.audit.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    values = [_values(lines[0])] * entries
    made = chain(values, key)
    for path in home.audit.glob("*.jsonl"):
        path.unlink()
    (home.audit / "2026-01.jsonl").write_bytes(b"".join(line + b"\n" for line in made))
    _head_anew(home, made, key)
    for pattern in ("receipts", "record"):
        shutil.rmtree(home.root / pattern)
    began = time.perf_counter()
    if check_log(home).faults:
        raise SystemExit("the long log has faults")
    return entries / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
