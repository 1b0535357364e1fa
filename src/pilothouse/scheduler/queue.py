"""Which pod is next: by priority, then by age. Pods that found no node wait for something to change.

Source: upstream's pkg/scheduler/backend/queue: active, back-off (1 s doubling to 10 s) and unschedulable (5 min at most).
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass
from itertools import count
from typing import Final

from pilothouse.api.objects import Obj, key_of
from pilothouse.clock import Clock

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 10.0
UNSCHEDULABLE_MAX_S: Final = 300.0


@dataclass(slots=True)
class _Entry:
    pod: Obj
    added_s: float
    attempts: int = 0
    parked_s: float | None = None  # when it was found unschedulable
    event: int = 0  # the cluster's events when its attempt began
    place: int = -1  # its token in the heap; others are out of date


class SchedulingQueue:
    """`add` and `remove` as pods come and go, `pop` for the next, `park` for one that found no node, `wake` on news."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[float, float, int, str]] = []
        self._order = count()
        self._ready = asyncio.Event()
        self._news = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, pod: Obj) -> None:
        """A new pod, or a new state of one: whatever changed in it may make it fit."""
        key = key_of(pod)
        entry = self._entries.get(key)
        if entry is None or entry.pod["metadata"]["uid"] != pod["metadata"]["uid"]:
            entry = self._entries[key] = _Entry(pod, self._clock.monotonic())
            self._push(key, entry)
            return
        changed = entry.pod["spec"] != pod["spec"] or entry.pod["metadata"].get("labels") != pod["metadata"].get(
            "labels"
        )
        entry.pod = pod
        if changed and entry.parked_s is not None:
            self._unpark(key, entry)

    def remove(self, key: str) -> None:
        self._entries.pop(key, None)

    def _push(self, key: str, entry: _Entry) -> None:
        entry.place = next(self._order)
        entry.parked_s = None
        priority = float(entry.pod["spec"].get("priority") or 0)
        heapq.heappush(self._heap, (-priority, entry.added_s, entry.place, key))
        self._ready.set()

    async def pop(self) -> Obj:
        """Waits for the next pod."""
        while True:
            while self._heap:
                *_, place, key = heapq.heappop(self._heap)
                entry = self._entries.get(key)
                if entry is not None and entry.place == place:
                    entry.attempts += 1
                    entry.event = self._news
                    entry.place = -1
                    return entry.pod
            self._ready.clear()
            await self._ready.wait()

    def park(self, pod: Obj, *, failed: bool = False) -> None:
        """It found no node, or (`failed`) something went wrong: it is tried again when news come, or after its back-off."""
        key = key_of(pod)
        entry = self._entries.get(key)
        if entry is None or entry.place >= 0:
            return
        if failed or entry.event != self._news:
            self._unpark(key, entry)
            return
        entry.parked_s = self._clock.monotonic()
        self._clock.call_later(UNSCHEDULABLE_MAX_S, self._overdue, key, entry.parked_s)

    def _overdue(self, key: str, parked_s: float) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry.parked_s == parked_s:
            self._unpark(key, entry)

    def _unpark(self, key: str, entry: _Entry) -> None:
        delay_s = min(BACKOFF_FIRST_S * 2.0 ** min(entry.attempts - 1, 10), BACKOFF_MAX_S) if entry.attempts else 0.0
        if entry.parked_s is not None:
            delay_s -= self._clock.monotonic() - entry.parked_s
        entry.parked_s = None
        if delay_s <= 0:
            self._push(key, entry)
        else:
            self._clock.call_later(delay_s, self._again, key, entry)

    def _again(self, key: str, entry: _Entry) -> None:
        if self._entries.get(key) is entry and entry.place < 0:
            self._push(key, entry)

    def wake(self) -> None:
        """Something changed that may make room: all that wait are tried again after their back-off."""
        self._news += 1
        for key, entry in list(self._entries.items()):
            if entry.parked_s is not None:
                self._unpark(key, entry)
