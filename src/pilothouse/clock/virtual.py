"""A simulation's time: it stands still while there is work, and jumps to the next timer when there is none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from pilothouse.clock.clock import Clock
from pilothouse.clock.worker import Worker

T = TypeVar("T")

START_S = 1_767_322_800.0  # 2026-01-02T03:00:00Z: where a simulation's wall time begins unless told otherwise


class VirtualClock(Clock):
    """Virtual time with seeded chance: the same seed and the same program give the same run.

    Only a program started with `VirtualClock.run` lives in its time.
    """

    def __init__(self, seed: int = 0, start_s: float = START_S) -> None:
        super().__init__(seed)
        self._start_s = start_s
        self._elapsed_s = 0.0

    def now(self) -> float:
        return self._start_s + self._elapsed_s

    def monotonic(self) -> float:
        return self._elapsed_s

    def worker(self, name: str) -> Worker:
        return _VirtualWorker(name)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs `main` to its end on a fresh event loop whose time is this clock's."""
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(main)

    def _advance(self, seconds: float) -> None:
        assert seconds >= 0, "virtual time never goes back"
        self._elapsed_s += seconds


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._outside = 0
        super().__init__(_VirtualSelector(self))

    def time(self) -> float:
        return self._clock.monotonic()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        # Work on a thread takes no virtual time, so time must not jump while it runs.
        self._outside += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _: asyncio.Future[Any]) -> None:
        self._outside -= 1


class _VirtualWorker(Worker):
    """Its work takes no virtual time either."""

    def do(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        loop = self._loop
        if not isinstance(loop, _VirtualLoop):
            super().do(work, done)
            return

        def came_back(found: T | Exception) -> None:
            loop._outside -= 1
            done(found)

        loop._outside += 1
        super().do(work, came_back)


class _VirtualSelector(selectors.DefaultSelector):
    """Where asyncio would wait `timeout` seconds for input, moves the clock by them instead."""

    def __init__(self, loop: _VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or self._loop._outside:
            return super().select(timeout)
        self._loop._clock._advance(timeout)
        return ready
