"""Work that is done side by side: one small statement of the database leaves a core idle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")

CORES = 2
"""How much is done at one time; more would need more memory."""


def at_once(work: Callable[[T], object], given: Iterable[T], *, stop: Callable[[], None] = lambda: None) -> None:
    """Does the same work on all that is given, some at a time, each in its own context.

    Args:
        work: What is done.
        given: To what.
        stop: Called when one has failed, or this is interrupted, before the others that go on are waited for.

    Raises:
        Exception: What the first of them failed of; those that had not begun are left out.
    """
    with ThreadPoolExecutor(CORES) as pool:
        try:
            for going in [pool.submit(copy_context().run, work, each) for each in given]:
                going.result()
        except BaseException:
            stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
