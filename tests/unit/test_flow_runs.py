"""The run ledger: one run at a time holds a home, fences grow, and a killed run is seen as dead."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from standard.errors import BusyError, SourceError
from store.home import Home
from store.ledger import Ledger, open_ledger, run, stage
from store.runs import finish_run, hold_home, is_held, stage_of, start_run


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    opened = open_ledger(home.ledger_file)
    yield opened
    opened.close()


def states(ledger: Ledger, table: sa.Table) -> list[str]:
    with ledger.reading() as connection:
        return list(connection.execute(sa.select(table.c.state).order_by(table.c.started_at)).scalars())


def test_a_second_run_is_refused_while_the_first_holds_the_home(home: Home) -> None:
    with hold_home(home):
        assert is_held(home)
        with pytest.raises(BusyError) as refused, hold_home(home):
            pass
    assert refused.value.exit_status == 9
    assert not is_held(home)


def test_a_run_that_waits_gets_the_home_when_the_first_leaves_it(home: Home) -> None:
    script = (
        "import sys, time; from pathlib import Path; from store.home import Home; from store.runs import hold_home\n"
        "with hold_home(Home(Path(sys.argv[1]))):\n  print('held', flush=True); time.sleep(1)"
    )
    first = subprocess.Popen([sys.executable, "-c", script, str(home.root)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    with pytest.raises(BusyError), hold_home(home):
        pass
    with hold_home(home, wait=30):
        assert first.wait(10) == 0


def test_looking_whether_a_home_is_held_turns_no_run_away(home: Home) -> None:
    assert not is_held(home)
    with hold_home(home):
        pass


def test_fences_grow_with_every_run(ledger: Ledger) -> None:
    assert [start_run(ledger).fence for _ in range(3)] == [1, 2, 3]


def test_a_killed_run_and_its_stage_are_seen_as_dead_by_the_next(home: Home, ledger: Ledger) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from store.home import Home; from store.ledger import open_ledger\n"
        "from store.runs import hold_home, stage_of, start_run\n"
        "home = Home(Path(sys.argv[1])); ledger = open_ledger(home.ledger_file)\n"
        "with hold_home(home), stage_of(ledger, start_run(ledger).run_id, 'map', agency='a'):\n"
        "  print('mapping', flush=True); time.sleep(60)"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, str(home.root)], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None and killed.stdout.readline() == "mapping\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert (states(ledger, run), states(ledger, stage)) == (["running"], ["running"])
    with hold_home(home):
        finish_run(ledger, start_run(ledger).run_id, state="finished")
    assert (sorted(states(ledger, run)), states(ledger, stage)) == (["dead", "finished"], ["dead"])


def test_a_failed_stage_is_recorded_by_the_class_of_its_error_and_not_its_text(ledger: Ledger) -> None:
    run_id = start_run(ledger).run_id
    with pytest.raises(ValueError), stage_of(ledger, run_id, "map"):
        raise ValueError("Ana Ode, born 2011-02-03")
    with pytest.raises(SourceError), stage_of(ledger, run_id, "fetch", agency="a"):
        raise SourceError("refused")
    with stage_of(ledger, run_id, "fold", extract_id="e1") as going:
        going.rows = 7
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(stage.c.name, stage.c.state, stage.c.rows, stage.c.error_code)).all()
    assert [tuple(row) for row in rows] == [
        ("map", "failed", None, "ValueError/1"),
        ("fetch", "failed", None, "SourceError/4"),
        ("fold", "finished", 7, None),
    ]
