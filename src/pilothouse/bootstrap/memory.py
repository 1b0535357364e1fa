"""How Python's garbage collector is set for a process that holds a cluster.

Objects are trees, which counting references frees at once; only what the machinery around them leaves in circles is the
collector's. So it need not look often, and never again at what was there from the start: a look at everything takes longer than
the loop may be held.
"""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 10_000  # more objects than were freed, before the young ones are looked at
_MIDDLE: Final = 10
_OLD: Final = 100


def starting() -> None:
    """Nothing that a start makes is garbage."""
    gc.disable()


def settled() -> None:
    """The process is ready: what it has made so far stays."""
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.enable()
