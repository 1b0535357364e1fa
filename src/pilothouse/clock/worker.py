"""`Worker`: a thread that does one piece of work after the other for a loop, and wakes it with as little ado as can be: an
executor's two futures cost several times what it costs to hand work over and back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """Belongs to the running loop. Made by `Clock.worker`; `close` it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[Callable[[], Callable[[], None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Calls `work()` on the thread, then `done` on the loop with what it returned or raised."""

        def outcome() -> Callable[[], None]:
            try:
                found: T | Exception = work()
            except Exception as error:
                found = error
            return lambda: done(found)

        self._work.put(outcome)

    def _run(self) -> None:
        while (outcome := self._work.get()) is not None:
            tell = outcome()
            try:
                self._loop.call_soon_threadsafe(tell)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                return

    def close(self) -> None:
        """Waits for the work that was given."""
        self._work.put(None)
        self._thread.join()
