"""How a process that holds a cluster sets itself up: Python's garbage collector, and the limit of open files.

Objects are trees, which counting references frees at once; only what the machinery around them leaves in circles is the
collector's. So it need not look often, and never again at what was there from the start: a look at everything takes longer than
the loop may be held.
"""

from __future__ import annotations

import gc
import resource
from typing import Final

_YOUNG: Final = 5_000  # more objects than were freed, before the young ones are looked at
_MIDDLE: Final = 5
_OLD: Final = 400


def starting() -> None:
    """Nothing that a start makes is garbage. As many files as the system allows: every watch is a connection."""
    gc.disable()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def settled() -> None:
    """The process is ready: what it has made so far stays."""
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.enable()
