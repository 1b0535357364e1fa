"""Watchers of one resource, and what each of them is to see of an event.

Watchers are found by what they watch: a namespace (or all), one object, or one value of a selectable field, so that a thousand
kubelets that each watch the pods of their own node cost an event two look-ups and not a thousand comparisons. What they see of an
event is shared, down to its bytes.
Source: upstream's k8s.io/apiserver/pkg/storage/cacher (cache_watcher, indexedWatchers and its triggers).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Literal, NamedTuple, TypeAlias

from pilothouse.api.kinds.kind import Kind
from pilothouse.apiserver.registry.entries import Entry

Change: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
Predicate: TypeAlias = Callable[[Entry], bool]


class Trigger(NamedTuple):
    """A field of the kind, by its place in `Entry.fields`, and the one value that all matching objects have there."""

    kind: Kind
    at: int
    value: str


class Delivery:
    """What watchers are to see of an event."""

    __slots__ = ("_frames", "entry", "revision", "type")

    def __init__(self, type_: Change, entry: Entry, revision: int) -> None:
        self.type, self.entry, self.revision = type_, entry, revision
        self._frames: dict[Hashable, bytes] | None = None

    def frame(self, form: Hashable, make: Callable[[Delivery], bytes]) -> bytes:
        """Its bytes in one form, made once for all that watch in it."""
        frames = self._frames
        if frames is None:
            frames = self._frames = {}
            if len(_FRAMED) >= _FRAMED_MOST:
                _FRAMED.popleft()._frames = None
            _FRAMED.append(self)
        found = frames.get(form)
        if found is None:
            found = frames[form] = make(self)
        return found


_FRAMED_MOST: Final = 256
_FRAMED: Final[deque[Delivery]] = deque()  # those that have bytes: the last ones, which watchers are about to get


class CacheEvent(Delivery):
    """`entry` is the object after the event; of a deletion, the last one with the deletion's revision. `at_s`: monotonic.
    Most watchers see the event as it is."""

    __slots__ = ("_others", "at_s", "previous")

    def __init__(self, type_: Change, entry: Entry, previous: Entry | None, revision: int, at_s: float) -> None:
        super().__init__(type_, entry, revision)
        self.previous, self.at_s = previous, at_s
        self._others: dict[Change, Delivery] | None = None

    def seen(self, predicate: Predicate | None) -> Delivery | None:
        """An object that comes to match is added for its watcher, one that ceases to is deleted."""
        if predicate is None:
            return self
        previous = self.previous
        now = self.type != "DELETED" and predicate(self.entry)
        before = previous is not None and predicate(previous)
        if not now and not before:
            return None
        type_: Change = "DELETED" if not now else "MODIFIED" if before else "ADDED"
        return self if type_ == self.type else self._other(type_)

    def _other(self, type_: Change) -> Delivery:
        if self._others is None:
            self._others = {}
        found = self._others.get(type_)
        if found is None:
            entry = self.entry
            if type_ == "DELETED":
                assert self.previous is not None
                entry = self.previous.at(self.revision)
            found = self._others[type_] = Delivery(type_, entry, self.revision)
        return found


class Wakes:
    """Wakes so many in one turn of the loop and the others in the next ones: a thousand watchers of one event do not hold it, and
    what happens until a watcher's turn comes reaches it together, in one write."""

    __slots__ = ("_due", "_left", "_turning")

    def __init__(self) -> None:
        self._due: deque[asyncio.Future[None]] = deque()
        self._left = 0
        self._turning = False

    def wake(self, waiting: asyncio.Future[None]) -> None:
        if not self._turning:
            self._turning, self._left = True, _WOKEN_AT_ONCE
            waiting.get_loop().call_soon(self._turn)
        if self._left and not waiting.done():
            self._left -= 1
            waiting.set_result(None)
        else:
            self._due.append(waiting)

    def _turn(self) -> None:
        due = self._due
        for _ in range(min(len(due), _WOKEN_AT_ONCE)):
            waiting = due.popleft()
            if not waiting.done():
                waiting.set_result(None)
        self._left = 0
        self._turning = bool(due)
        if due:
            due[0].get_loop().call_soon(self._turn)


_WOKEN_AT_ONCE: Final = 64  # about a millisecond's worth


class Watcher:
    """One watch: `take()` waits for the next deliveries. Too many waiting, and it is cut off: `take()` then gives None."""

    __slots__ = (
        "_after",
        "_limit",
        "_nudged",
        "_predicate",
        "_queue",
        "_wake",
        "_wakes",
        "address",
        "closed",
        "initial",
    )

    def __init__(
        self, wakes: Wakes, address: Hashable, predicate: Predicate | None, limit: int, after: int = 0
    ) -> None:  # fmt: skip
        self._wakes = wakes
        self.address, self._predicate, self._limit, self._after = address, predicate, limit, after
        self._queue: list[Delivery] = []
        self._wake: asyncio.Future[None] | None = None
        self._nudged = False
        self.initial: list[Entry] = []
        self.closed = False

    def offer(self, event: CacheEvent) -> None:
        if self.closed or event.revision <= self._after:
            return
        delivery = event.seen(self._predicate)
        if delivery is None:
            return
        if len(self._queue) >= self._limit:
            self.close()
            return
        self._queue.append(delivery)
        self._rouse()

    def replay(self, events: list[CacheEvent]) -> None:
        """Events of the past, which do not count towards the limit."""
        limit, self._limit = self._limit, len(events) + 1
        for event in events:
            self.offer(event)
        self._limit = limit + len(events)

    def _rouse(self) -> None:
        waiting, self._wake = self._wake, None
        if waiting is not None:
            self._wakes.wake(waiting)

    def nudge(self) -> None:
        """`take()` returns, with nothing if need be."""
        self._nudged = True
        self._rouse()

    def close(self) -> None:
        self.closed = True
        self._queue.clear()
        self._rouse()

    async def take(self) -> list[Delivery] | None:
        """The deliveries since the last call, at least one unless it was nudged; None at the end."""
        while not self._queue and not self._nudged:
            if self.closed:
                return None
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        self._nudged = False
        out, self._queue = self._queue, []
        return out

    @property
    def idle(self) -> bool:
        return not self._queue and not self.closed


class Watchers:
    """All of one resource. `prefix`: of its keys; what follows it up to the next slash is the namespace."""

    def __init__(self, prefix: str, namespaced: bool) -> None:
        self._start, self._namespaced = len(prefix), namespaced
        self.wakes = Wakes()
        self._groups: dict[Hashable, dict[Watcher, None]] = {}
        self._fields: dict[tuple[Kind, int], int] = {}  # those that someone watches by, and how many do

    @staticmethod
    def address(namespace: str, key: str, trigger: Trigger | None) -> Hashable:
        """Where a watcher is found."""
        return key or trigger or ("", namespace)

    def add(self, watcher: Watcher) -> None:
        self._groups.setdefault(watcher.address, {})[watcher] = None
        if isinstance(watcher.address, Trigger):
            field = watcher.address[:2]
            self._fields[field] = self._fields.get(field, 0) + 1

    def discard(self, watcher: Watcher) -> None:
        group = self._groups.get(watcher.address)
        if group is None or watcher not in group:
            return
        del group[watcher]
        if not group:
            del self._groups[watcher.address]
        if isinstance(watcher.address, Trigger):
            field = watcher.address[:2]
            self._fields[field] -= 1
            if not self._fields[field]:
                del self._fields[field]

    def close(self) -> None:
        """All of them end."""
        for group in self._groups.values():
            for watcher in group:
                watcher.close()
        self._groups.clear()
        self._fields.clear()

    def hand_out(self, event: CacheEvent) -> None:
        groups = self._groups
        if not groups:
            return
        key = event.entry.key
        for watcher in groups.get(("", ""), ()):
            watcher.offer(event)
        for watcher in groups.get(key, ()):
            watcher.offer(event)
        if self._namespaced:
            for watcher in groups.get(("", key[self._start : key.find("/", self._start)]), ()):
                watcher.offer(event)
        for kind, at in self._fields:
            values = {event.entry.fields(kind)[at]}
            if event.previous is not None:
                values.add(event.previous.fields(kind)[at])
            for value in values:
                for watcher in groups.get((kind, at, value), ()):
                    watcher.offer(event)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))
