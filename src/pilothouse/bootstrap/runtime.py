"""How a process that holds a cluster sets itself up: Python's garbage collector, the C library's heap, the limit of files.

Objects are trees, which counting references frees at once; only what the machinery around them leaves in circles is the
collector's. So it need not look often, and never again at what was there from the start: a look at everything takes longer than
the loop may be held.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
from typing import Any, Final

from pilothouse.clock import Clock

_YOUNG: Final = 5_000  # more objects than were freed, before the young ones are looked at
_MIDDLE: Final = 5
_OLD: Final = 400
_M_MMAP_THRESHOLD: Final = -3  # of malloc.h
_MAPPED_BYTES: Final = 128 << 10
_TIDY_S: Final = 15.0


def starting() -> None:
    """Nothing that a start makes is garbage. As many files as the system allows: every watch is a connection."""
    gc.disable()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Large blocks stay out of the heap, whatever was freed before: uvloop holds 256 kB for each TLS connection and touches little
    # of it, but among other blocks all of it becomes resident, and stays.
    mallopt = _libc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def settled() -> None:
    """The process is ready: what it has made so far stays."""
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.enable()


async def tidy(clock: Clock) -> None:
    """Until it is cancelled: gives the system back what a load has left free between the blocks that stay. It takes up to 10 ms,
    beside the loop."""
    trim = _libc("malloc_trim")
    loop = asyncio.get_running_loop()
    while trim is not None:
        await clock.sleep(_TIDY_S)
        await loop.run_in_executor(None, trim, 0)


def _libc(name: str) -> Any:
    """A function of glibc; None in another C library, which does as it likes."""
    return getattr(ctypes.CDLL(None), name, None)
