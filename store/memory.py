"""The memory of this process between two stages: what its libraries keep of work that is done goes back."""

from __future__ import annotations

import ctypes

import pyarrow as pa

from store.at_once import CORES

_M_ARENA_MAX = -8
"""malloc.h of glibc: how many arenas there may be."""


def bound_arenas() -> None:
    """Lets all threads share a few arenas: glibc gives each of a database's threads its own, and each keeps what was
    freed in it. To be called before threads are started; another C library is left as it is."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_ARENA_MAX, CORES)


def give_back() -> None:
    """Gives the system what Arrow keeps for work to come."""
    pa.default_memory_pool().release_unused()
