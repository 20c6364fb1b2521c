"""Fetch a file in ranges, several under way at once, and hash what is whole from the front meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, takewhile
from queue import SimpleQueue
from threading import Event
from typing import Protocol

from connectors.files import FileChanged
from store.parts import Part

# Short ranges, two of them under way on each connection, keep paramiko's buffers small, which it searches end to end.
SMALLEST_REQUEST, LARGEST_REQUEST = 32 << 10, 255 << 10  # what every server gives at once, and what OpenSSH gives
_RANGE = 4 * LARGEST_REQUEST


class RangedFile(Protocol):
    """An open file of which blocks can be asked for together."""

    def readv(self, chunks: Sequence[tuple[int, int]], /) -> Iterator[bytes]:
        """The blocks at these offsets and of these lengths."""


class RangeReader:
    """Reads ranges of a file over one connection, the next one asked for before the last one is taken in."""

    def __init__(self, handles: Sequence[RangedFile], size: int, request: int) -> None:
        self._handles, self._size, self._request = handles, size, request

    def read(self, starts: Iterator[int], part: Part) -> Iterator[int]:
        """Writes range after range to the part, as long as there are starts, and tells each that is whole."""
        handle, other = self._handles
        before: tuple[int, Iterator[bytes]] | None = None
        for start in starts:
            asked = start, self._asked_for(handle, start, min(start + _RANGE, self._size))
            if before is not None:
                yield self._take_in(*before, part)
            before, handle, other = asked, other, handle
        if before is not None:
            yield self._take_in(*before, part)

    def _asked_for(self, handle: RangedFile, start: int, end: int) -> Iterator[bytes]:
        """The blocks of a range; the requests are under way when this returns."""
        blocks = handle.readv([(at, min(self._request, end - at)) for at in range(start, end, self._request)])
        first = next(blocks)
        return chain([first], blocks)

    def _take_in(self, start: int, blocks: Iterator[bytes], part: Part) -> int:
        came = list(blocks)
        if sum(map(len, came)) != min(_RANGE, self._size - start):
            raise FileChanged
        part.write(start, came)
        return start


def fetch_ranges(readers: list[RangeReader], size: int, part: Part) -> None:
    """Fetches ranges over all connections side by side, and hashes what is whole from the front meanwhile."""
    starts = iter(range(part.done, size, _RANGE))
    told: SimpleQueue[int | None] = SimpleQueue()
    failed = Event()

    def work(reader: RangeReader) -> None:
        try:
            for start in reader.read(takewhile(lambda _: not failed.is_set(), starts), part):
                told.put(start)
        except BaseException:
            failed.set()
            raise
        finally:
            told.put(None)

    with ThreadPoolExecutor(len(readers), thread_name_prefix="sftp") as workers:
        work_done = [workers.submit(work, reader) for reader in readers]
        try:
            _advance(told, len(readers), size, part)
        except BaseException:
            failed.set()
            raise
    for one in work_done:
        one.result()


def _advance(told: SimpleQueue[int | None], workers: int, size: int, part: Part) -> None:
    """Takes in which ranges are whole, in whatever order, until every worker has ended."""
    whole: set[int] = set()
    while workers:
        start = told.get()
        if start is None:
            workers -= 1
        else:
            whole.add(start)
        while part.done in whole:
            whole.remove(part.done)
            part.advance(min(part.done + _RANGE, size))
