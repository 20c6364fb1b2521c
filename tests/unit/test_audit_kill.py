"""Whoever is killed while the audit log is written leaves a log that goes on, and loses nothing that was told."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

from store.audit_check import check_log, read_entries
from store.audit_log import Event, append
from store.home import Home

WRITES = """
import sys
from pathlib import Path
from store.audit_log import Event, append, checkpoint, intent
from store.home import Home
home = Home(Path(sys.argv[1])).create()
while True:
    print(append(home, Event("release", "r", "me")).seq, flush=True)
    with intent(home, Event("seal", "o", "me")):
        checkpoint(home)
"""


def test_a_process_killed_at_any_moment_loses_no_line_that_it_was_told_of(tmp_path: Path) -> None:
    home, random, told = Home(tmp_path / "home").create(), Random(5), 0
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITES, str(home.root)], stdout=subprocess.PIPE, text=True,
                                  env={"PYTHONPATH": ":".join(sys.path)})  # fmt: skip
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.random() / 10)
        writer.kill()
        last = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        writer.wait()
        told = max([told, *(int(line) for line in last)])
        assert append(home, Event("release", "after", "me")).seq > told
        assert check_log(home).faults == []
    assert [entry.seq for entry in read_entries(home)] == list(range(1, len(list(read_entries(home))) + 1))
    assert not list(home.audit.glob(".HEAD.*"))
