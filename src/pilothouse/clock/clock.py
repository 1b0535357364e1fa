"""`Clock`: what every part asks for the time, and the machine's own."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from pilothouse.clock.timestamps import format_micro_time, format_time
from pilothouse.clock.worker import Worker


class Clock:
    """Time, timers and chance. Times are seconds; wall time counts from 1970-01-01 UTC.

    `random` is the one source of chance; a seed makes it repeat.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.random = random.Random(seed) if seed is not None else random.SystemRandom()

    def now(self) -> float:
        """Wall time, seconds since 1970."""
        raise NotImplementedError

    def monotonic(self) -> float:
        """Seconds since an unspecified point; never goes back. Equals the running loop's `time()` scale."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Waits `seconds`; 0 or less lets other tasks run once."""
        await asyncio.sleep(max(0.0, seconds))

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """`async with clock.timeout(5):` raises TimeoutError after that many seconds."""
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Calls `callback(*args)` on the running loop after `seconds`; `.cancel()` on the handle takes it back."""
        return asyncio.get_running_loop().call_later(seconds, callback, *args)

    def worker(self, name: str) -> Worker:
        """A thread that works for the running loop."""
        return Worker(name)

    def timestamp(self) -> str:
        """Now, as metav1.Time."""
        return format_time(self.now())

    def micro_timestamp(self) -> str:
        """Now, as metav1.MicroTime."""
        return format_micro_time(self.now())

    def uuid(self) -> str:
        """A fresh UUID, version 4."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


class RealClock(Clock):
    """The machine's time and the operating system's chance (or a seeded one)."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
