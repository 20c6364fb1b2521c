"""A run over a home while it goes on: what its stages need, what went wrong so far, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from expectations.check_batch import Judge, judge_here
from expectations.judge_process import JudgeProcess
from flows import failures
from flows.failures import Failure, failure_of
from flows.settings import Settings, load_agencies_of, load_settings, open_home_ledger
from mappings.load import Agency
from standard.errors import DeclarationError
from store.at_once import at_once
from store.home import Home, clear_leftovers
from store.ledger import Ledger, extract
from store.memory import bound_arenas, give_back
from store.runs import Run, finish_run, hold_home, start_run
from store.take_over import finish_remaps

if TYPE_CHECKING:
    from flows.publishing import Linked

log = logging.getLogger(__name__)

MUCH_TO_JUDGE = 8_000_000
"""Bytes of all extracts of a home from which on Great Expectations gets a process of its own."""

Progress = Callable[[str], None]
"""Told one line where something begins or ends; never a personal value."""


@dataclass(frozen=True)
class NightResult:
    """How a night went."""

    run_id: str
    snapshot_id: str | None
    """The snapshot in force after the night; None where none was ever published."""
    published: bool
    """Whether the night published a new one."""
    failures: tuple[Failure, ...]
    held: tuple[str, ...]
    """Extracts that this night held whole."""
    report: Path | None

    @property
    def exit_status(self) -> int:
        """0, or the status of the first failure, or 5 where all went well but an extract is held."""
        if self.failures:
            return self.failures[0].exit_status
        return 5 if self.held else 0


@dataclass
class Night:
    """A run while it goes on: what the stages need, and what went wrong so far."""

    home: Home
    settings: Settings
    agencies: dict[str, Agency]
    """All agencies of the exchange; those outside `wanted` keep their state of before."""
    wanted: tuple[str, ...]
    ledger: Ledger
    run: Run
    now: datetime
    progress: Progress
    failures: list[Failure] = field(default_factory=list)
    scrubbed: dict[tuple[str, str | None], Failure] = field(default_factory=dict)
    """(stage, agency) -> what is behind an error that was scrubbed on its way through Prefect."""
    held: list[str] = field(default_factory=list)
    linked: Linked | None = None
    snapshot_id: str | None = None
    published: bool = False
    report: Path | None = None
    judge: Judge = judge_here
    stopping: bool = False
    """Set where the run was interrupted: no agency begins another extract."""
    _asked: dict[str, Event] = field(init=False)
    _choosing: Lock = field(default_factory=Lock)
    _chosen: bool = False

    def __post_init__(self) -> None:
        self._asked = {agency: Event() for agency in self.wanted}

    def each_agency(self, work: Callable[[str], object]) -> None:
        """Does the work of every wanted agency, of some at a time; each has its own context."""
        at_once(partial(self._of_agency, work), self.wanted, stop=self._stop)
        self.end_judge()
        give_back()
        self.failures.sort(key=lambda failure: self.wanted.index(failure.agency) if failure.agency else -1)

    def _stop(self) -> None:
        self.stopping = True

    def _of_agency(self, work: Callable[[str], object], agency: str) -> None:
        try:
            work(agency)
        finally:
            self._asked[agency].set()

    @contextmanager
    def in_turn(self, agency: str) -> Iterator[None]:
        """Waits until the agencies before this one were asked: what comes is numbered, in every run in one order."""
        try:
            if place := self.wanted.index(agency):
                self._asked[self.wanted[place - 1]].wait()
            yield
        finally:
            self._asked[agency].set()

    def choose_judge(self) -> None:
        """Gives Great Expectations a process of its own in a home that takes in much; chosen once, before the first."""
        with self._choosing:
            if self._chosen:
                return
            with self.ledger.reading() as connection:
                taken_in = connection.execute(sa.select(sa.func.sum(extract.c.size))).scalar() or 0
            if taken_in >= MUCH_TO_JUDGE:
                self.judge = JudgeProcess(self.home.root / "work")
            self._chosen = True

    def end_judge(self) -> None:
        """Ends the process of Great Expectations, if there is one."""
        if isinstance(self.judge, JudgeProcess):
            self.judge.close()
        self.judge, self._chosen = judge_here, False

    @contextmanager
    def surviving(self, stage: str, agency: str | None = None) -> Iterator[None]:
        """Lets the night go on where its body fails; the failure stands in the result."""
        try:
            yield
        except Exception as error:
            failure = self.scrubbed.pop((stage, agency), None) or failure_of(error, stage=stage, agency=agency)
            self.failures.append(failure)
            self.progress(f"{agency or 'exchange'}: {stage} failed: {failure.what}")

    def result(self) -> NightResult:
        """How the night went so far."""
        return NightResult(
            self.run.run_id, self.snapshot_id, self.published, tuple(self.failures), tuple(self.held), self.report
        )


@contextmanager
def open_night(
    home: Home, *, now: datetime, agencies: Iterable[str] | None = None, progress: Progress = log.info, wait: int = 0
) -> Iterator[Night]:
    """Holds the home (after at most `wait` seconds) and opens a run; after the body it is finished, or failed.

    Raises:
        BusyError: Another run holds the home.
        DeclarationError: The settings or an agency's declarations are wrong; nothing was begun.
    """
    bound_arenas()
    settings = load_settings(home)
    declared = load_agencies_of(home, settings)
    wanted = those_wanted(home, declared, agencies)
    with hold_home(home, wait=wait):
        clear_leftovers(home)
        ledger = open_home_ledger(home, settings)
        try:
            finish_remaps(home, ledger)
            night = Night(home, settings, declared, wanted, ledger, start_run(ledger), now, progress)
            yield from _until_finished(night)
        finally:
            night.end_judge()
            ledger.close()


def those_wanted(home: Home, declared: Mapping[str, Agency], agencies: Iterable[str] | None) -> tuple[str, ...]:
    """The agencies that are named, each once; all where none is.

    Raises:
        DeclarationError: The home has no such agency.
    """
    wanted = tuple(declared if agencies is None else dict.fromkeys(agencies))
    if unknown := [name for name in wanted if name not in declared]:
        raise DeclarationError(
            f"no agency here is called {unknown[0]!r}",
            where=str(home.settings_file),
            mend=f"name one of: {', '.join(declared) or '(there is none yet)'}",
        )
    return wanted


def _until_finished(night: Night) -> Iterator[Night]:
    try:
        yield night
    except BaseException as error:
        night.failures.append(failure_of(error, stage="run"))
        raise
    finally:
        # A run that is killed stays as running in the ledger and is found dead.
        state = "failed" if night.failures else "finished"
        error_text = failures.to_json(night.failures) if night.failures else None
        finish_run(night.ledger, night.run.run_id, state=state, error=error_text)
