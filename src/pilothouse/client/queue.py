"""`WorkQueue`: a queue of keys with client-go's semantics, delays and rate limits.

Source: client-go's util/workqueue. A key waits once, however often it is added; while a worker has it no other gets it, and
an addition meanwhile puts it back when the worker is done. So the queue is never longer than the keys there are.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from itertools import count
from typing import Final, Generic, TypeVar

from pilothouse.clock import Clock

K = TypeVar("K", bound="str | tuple[str, ...]")

KEYS_MAX: Final = 1_000_000


class RateLimiter(Generic[K]):
    """client-go's default for controllers: the longer of a key's own growing delay and of one bucket for all keys."""

    def __init__(
        self,
        clock: Clock,
        *,
        first_s: float = 0.005,
        most_s: float = 1000.0,
        per_second: float = 10.0,
        burst: int = 100,
    ) -> None:
        self._clock, self._first_s, self._most_s = clock, first_s, most_s
        self._per_second, self._burst = per_second, float(burst)
        self._tokens, self._filled_at = float(burst), clock.monotonic()
        self._failures: dict[K, int] = {}

    def delay_s(self, key: K) -> float:
        """How long the key must wait this time; counts as one more failure of it."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own_s = min(self._first_s * 2.0 ** min(failures, 60), self._most_s)
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second) - 1.0
        self._filled_at = now
        shared_s = 0.0 if self._tokens >= 0 else -self._tokens / self._per_second
        return max(own_s, shared_s)

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)


class QueueClosed(Exception):
    """The queue is shut down and empty: the worker ends."""


class WorkQueue(Generic[K]):
    """`get` and `done` by workers; `add`, `add_after` and `add_rate_limited` by anyone, never waiting."""

    def __init__(self, clock: Clock, limiter: RateLimiter[K] | None = None, keys_max: int = KEYS_MAX) -> None:
        self._clock, self._keys_max = clock, keys_max
        self._limiter: RateLimiter[K] = limiter or RateLimiter(clock)
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # has to be worked on
        self._working: set[K] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._due: dict[K, float] = {}  # of the keys that are delayed; what the heap says otherwise is out of date
        self._heap: list[tuple[float, int, K]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Keys that are ready for a worker."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Nothing is ready and no worker has a key (delayed keys do not count)."""
        return not self._ready and not self._working

    def add(self, key: K) -> None:
        if self._closed or key in self._dirty:
            return
        if len(self._dirty) >= self._keys_max:
            raise OverflowError(f"a work queue holds more than {self._keys_max} keys")
        self._dirty.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._wake_one()

    def add_after(self, key: K, delay_s: float) -> None:
        """Adds the key after `delay_s`; of several pending delays of a key the earliest counts."""
        if self._closed:
            return
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay_s
        if due >= self._due.get(key, float("inf")):
            return
        if len(self._due) >= self._keys_max:
            raise OverflowError(f"a work queue delays more than {self._keys_max} keys")
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        if self._heap[0][2] == key:
            self._arm()

    def add_rate_limited(self, key: K) -> None:
        """Adds the key after a delay that grows with each failure until `forget`."""
        self.add_after(key, self._limiter.delay_s(key))

    def forget(self, key: K) -> None:
        self._limiter.forget(key)

    def failures(self, key: K) -> int:
        return self._limiter.failures(key)

    async def get(self) -> K:
        """The next key, for this worker alone until `done(key)`. Raises QueueClosed."""
        while not self._ready:
            if self._closed:
                raise QueueClosed
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self._ready:
                    self._wake_one()  # the wake-up was this worker's and must not be lost
                raise
        key = self._ready.popleft()
        self._working.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake_one()

    def shut_down(self) -> None:
        """Takes nothing more; workers get what is ready, then QueueClosed."""
        self._closed = True
        self._due.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._getters:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = self._heap[0][0] - self._clock.monotonic()
        self._timer = self._clock.call_later(max(0.0, wait_s), self._release)

    def _release(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now + 1e-9:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        if self._heap:
            self._arm()
