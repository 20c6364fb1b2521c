"""The audit log is written before what it tells of, line by line, and comes back from a kill saying so."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from standard.errors import AuditError, DeclarationError
from store.audit_entry import KEY_VARIABLE, parse_line, signed_bytes
from store.audit_log import Event, append, checkpoint, head, intent
from store.home import Home
from store.sign import is_signed, public_key


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def entries(home: Home) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(home.audit.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def an_event(number: int = 1) -> Event:
    return Event("release", f"r{number}", "r_ode", role="officer", agreement="DUL-1", counts={"rows": number})


def test_nothing_was_ever_logged(home: Home) -> None:
    assert head(home) is None and checkpoint(home) is None


def test_each_line_names_the_one_before_and_the_head_names_the_last(home: Home) -> None:
    written = [append(home, an_event(n)) for n in range(1, 5)]
    assert [(e["seq"], e["prev"]) for e in entries(home)] == [
        (n, before) for n, before in enumerate(["0" * 64, *(e.sha256 for e in written[:-1])], start=1)
    ]
    end = head(home)
    assert end is not None and (end.seq, end.sha256, end.checkpoint) == (4, written[-1].sha256, None)


def test_a_line_holds_nothing_that_was_not_told(home: Home) -> None:
    append(home, Event("publish", "s1", "exchange", role="exchange"))
    assert set(entries(home)[0]) == {"action", "actor", "at", "mac", "object", "prev", "role", "seq"}


def test_the_files_are_private(home: Home) -> None:
    with intent(home, an_event()):
        pass
    assert {oct(path.stat().st_mode & 0o777) for path in home.audit.iterdir()} == {"0o600"}
    assert oct(home.audit.stat().st_mode & 0o777) == "0o700"


def test_an_intent_stands_before_the_work_and_its_outcome_after(home: Home) -> None:
    with intent(home, an_event()) as going:
        assert entries(home)[-1]["decision"] == "intent"
        going.counts["persons"] = 3
    assert [(e["seq"], e.get("of"), e["decision"], e["counts"]) for e in entries(home)] == [
        (1, None, "intent", {"rows": 1}), (2, 1, "done", {"persons": 3, "rows": 1}),
    ]  # fmt: skip


def test_of_a_failure_the_class_is_told_and_never_the_text(home: Home) -> None:
    with pytest.raises(ValueError, match="Ana"), intent(home, an_event()):
        raise ValueError("Ana Ode")
    assert (entries(home)[-1]["decision"], entries(home)[-1]["reason"]) == ("failed", "ValueError")
    assert "Ana" not in "".join(path.read_text() for path in home.audit.glob("*.jsonl"))


_FILLS = """
import os, sys
from pathlib import Path
from standard.errors import AuditError
from store.audit_log import Event, append, head, intent
from store.home import Home
home = Home(Path(sys.argv[1])).create()
filler = home.root / "filler"
def fill():
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for size in (65536, 4096, 1):
        try:
            while True: os.write(handle, b"x" * size)
        except OSError: pass
    os.close(handle)
with intent(home, Event("release", "r1", "me")) as going:
    fill()
print("told", head(home).seq)
fill()
try:
    with intent(home, Event("release", "r2", "me")):
        print("begun")
except AuditError as error:
    print("refused", error.exit_status, head(home).seq)
filler.unlink()
append(home, Event("release", "r3", "me"))
print("goes on", head(home).seq)
"""


def test_a_disk_that_fills_keeps_the_outcome_and_refuses_what_comes_next(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=2m none {disk} && exec {sys.executable} -c '{_FILLS}' {disk}/home"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    if "Operation not permitted" in done.stderr:
        pytest.skip("this machine lets nobody mount a small disk")
    assert done.stdout.split("\n")[:3] == ["told 2", "refused 11 2", "goes on 3"], done.stderr


def test_half_a_line_of_a_killed_append_is_taken_away_and_the_log_says_so(home: Home) -> None:
    append(home, an_event(1))
    with next(home.audit.glob("*.jsonl")).open("ab") as log:
        log.write(b'{"action":"rel')
    append(home, an_event(2))
    assert [(e["action"], e["counts"]) for e in entries(home)] == [
        ("release", {"rows": 1}), ("recovered", {"bytes": 14}), ("release", {"rows": 2}),
    ]  # fmt: skip


def test_half_a_first_line_is_taken_away_too(home: Home) -> None:
    append(home, an_event(1))
    for path in (home.audit / "HEAD", log := next(home.audit.glob("*.jsonl"))):
        path.unlink()
    log.write_bytes(b'{"half')
    append(home, an_event(2))
    assert [(e["seq"], e["action"]) for e in entries(home)] == [(1, "recovered"), (2, "release")]


def test_a_line_whose_head_was_not_written_any_more_counts(home: Home) -> None:
    append(home, an_event(1))
    kept = (home.audit / "HEAD").read_bytes()
    append(home, an_event(2))
    (home.audit / "HEAD").write_bytes(kept)
    assert append(home, an_event(3)).seq == 3


def test_nothing_is_added_to_a_log_that_was_cut(home: Home) -> None:
    for n in range(3):
        append(home, an_event(n))
    log = next(home.audit.glob("*.jsonl"))
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(AuditError, match="ends with line 2, its head says 3"):
        append(home, an_event())


def test_a_new_key_is_not_made_beside_a_log_that_has_one(home: Home) -> None:
    append(home, an_event())
    (home.keys / "audit_key").unlink()
    with pytest.raises(AuditError, match="the key of the audit log is not there"):
        append(home, an_event())
    assert not (home.keys / "audit_key").exists()


def test_a_key_that_others_can_read_is_refused(home: Home) -> None:
    append(home, an_event())
    (home.keys / "audit_key").chmod(0o644)
    with pytest.raises(DeclarationError, match="can be read by others"):
        append(home, an_event())


def test_the_key_may_lie_outside_the_home(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "elsewhere" / "audit_key"))
    append(home, an_event())
    assert (tmp_path / "elsewhere" / "audit_key").is_file() and not (home.keys / "audit_key").exists()


def test_a_checkpoint_is_signed_and_made_once(home: Home) -> None:
    last = append(home, an_event())
    first, again = checkpoint(home), checkpoint(home)
    assert first == again and first is not None and first.checkpoint is not None
    signed = first.checkpoint
    assert (signed.seq, signed.sha256) == (last.seq, last.sha256)
    assert is_signed(signed_bytes(last.seq, last.sha256), base64.b64decode(signed.signature), public_key(home.keys))


def test_writers_side_by_side_make_one_chain(home: Home) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda n: append(home, an_event(n)).seq, range(20)))
    assert sorted(written) == list(range(1, 21))
    assert [e["seq"] for e in entries(home)] == list(range(1, 21))


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"seq": 1}', b"nothing", b'{"a":1,"a":1}'])
def test_what_is_no_line_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_line(line)
