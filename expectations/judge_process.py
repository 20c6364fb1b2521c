"""Great Expectations in a process of its own: while it judges one batch, the exchange maps and checks others."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import duckdb

from expectations.check_batch import Verdicts
from expectations.compile import Outcome
from expectations.suites import Check
from standard.errors import AccountError, ExchangeError
from store.encryption_home import unlock_above
from store.home import connect, literal


class JudgeProcess:
    """A `Judge` of `check_batch` that works beside this process; it may be asked from any thread, and goes by turns.

    It is meant for much work: the other process imports Great Expectations for itself, which takes seconds.
    """

    def __init__(self, spill: Path) -> None:
        """Starts it.

        Args:
            spill: A folder below the home for what does not fit into its memory.
        """
        command = [sys.executable, "-W", "ignore", "-m", __name__, str(spill)]
        # What its libraries say of an error may hold a value. Arrow's own pool keeps the memory of a large batch.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
        )  # fmt: skip
        self._turns = ThreadPoolExecutor(max_workers=1)

    def close(self) -> None:
        """Ends the process; what it was still asked is not answered."""
        self._process.kill()
        self._turns.shutdown(cancel_futures=True)
        self._process.communicate()

    def __call__(
        self, con: duckdb.DuckDBPyConnection, checks: Sequence[Check], relation: str, *, beside: Path
    ) -> Verdicts:
        """Passes a relation on and comes back at once.

        Args:
            con: The connection that has the relation.
            checks: What is asked of it.
            relation: A table or view.
            beside: A folder below the home that may hold the rows meanwhile.
        """
        rows = beside / f".{relation}.part"
        con.execute(f"COPY {relation} TO {literal(rows)} (FORMAT parquet, COMPRESSION snappy)")
        return self._turns.submit(self._ask, checks, rows).result

    def _ask(self, checks: Sequence[Check], rows: Path) -> Sequence[Outcome]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((checks, rows), self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise AccountError(
                f"the process of Great Expectations has ended ({type(error).__name__})",
                where=f"batch {rows.parent.name}",
                mend="look at the memory of this machine, then: kith run",
            ) from None
        finally:
            rows.unlink(missing_ok=True)
        if isinstance(answer, dict):
            raise AccountError(**answer)
        outcomes: Sequence[Outcome] = answer
        return outcomes


def _serve(requests: BinaryIO, answers: BinaryIO, spill: Path) -> None:
    _import_engine()
    unlock_above(spill)
    with connect(temp=spill, memory_limit="500MB") as con:
        while True:
            try:
                checks, rows = pickle.load(requests)
            except EOFError:
                return
            pickle.dump(_answer(con, checks, rows), answers)
            answers.flush()


def _import_engine() -> None:
    """Imports the engine before the first request comes; what stays is not looked through for garbage again."""
    gc.disable()
    from expectations.great_expectations_engine import expectation_suite

    expectation_suite([])
    gc.freeze()
    gc.enable()


def _answer(con: duckdb.DuckDBPyConnection, checks: Sequence[Check], rows: Path) -> Sequence[Outcome] | dict[str, str]:
    """The outcomes, or the words of an error."""
    from expectations.great_expectations_engine import validate

    try:
        con.execute(f"CREATE OR REPLACE VIEW checked AS FROM read_parquet({literal(rows)})")
        return validate(con, checks, "checked")
    except ExchangeError as error:
        return {"what": error.what, "where": error.where, "mend": error.mend}
    except Exception as error:
        # Its own words may hold a value.
        what = f"Great Expectations could not judge the batch ({type(error).__name__})"
        where = f"batch {rows.parent.name}"
        return {"what": what, "where": where, "mend": "report it; nothing of this extract is used"}


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    _serve(sys.stdin.buffer, answers, Path(sys.argv[1]))
