"""Watches. One that has caught up is in the group of all watches on its range, and a commit's events are put together once
for each group. One that begins in the past reads the history at its reader's pace until it has caught up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from pilothouse.clock import Clock
from pilothouse.store.embedded.state import State, inside
from pilothouse.store.interface import Compacted, Event, Overrun, StoreError, WatchBatch, prefix_end

BACKLOG_EVENTS = 65_536
_SLICE = 1_000  # revisions or events of history that are read in one go

_Key = tuple[bytes, bytes, bool]


class Group:
    """All caught-up watches on one range."""

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.watches: dict[EmbeddedWatch, None] = {}


class EmbeddedWatch:
    def __init__(self, hub: Hub, key: bytes, range_end: bytes, start: int, prev_kv: bool) -> None:
        self.range: _Key = (key, range_end, prev_kv)
        self._hub = hub
        self._next = start  # the revision to go on from
        self._caught_up = False
        self._queue: deque[WatchBatch] = deque()
        self._backlog = 0
        self._wanted: asyncio.Future[None] | None = None
        self._progress = False
        self._ended = False
        self._error: StoreError | None = None
        if start > hub.durable:
            self._join()

    def _join(self) -> None:
        self._caught_up = True
        self._hub.join(self)
        if self._progress:
            self._progress = False
            self._offer(WatchBatch([], self._hub.durable), 0)

    def offer(self, batch: WatchBatch) -> None:
        events = batch.events
        if events[0].kv.mod_revision < self._next:  # begins in the future
            events = [event for event in events if event.kv.mod_revision >= self._next]
            if not events:
                return
            batch = WatchBatch(events, batch.revision)
        if self._backlog and self._backlog + len(events) > BACKLOG_EVENTS:
            self._queue.clear()
            self.end(Overrun("etcdserver: watch canceled: its reader is too slow"))
            return
        self._offer(batch, len(events))

    def _offer(self, batch: WatchBatch, size: int) -> None:
        self._queue.append(batch)
        self._backlog += size
        self._wake()

    def _wake(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    def end(self, error: StoreError | None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
            self._hub.leave(self)
            self._wake()

    def __aiter__(self) -> AsyncIterator[WatchBatch]:
        return self

    async def __anext__(self) -> WatchBatch:
        while True:
            if self._queue:
                batch = self._queue.popleft()
                self._backlog -= len(batch.events)
                return batch
            if self._ended:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            if not self._caught_up:
                past = await self._catch_up()
                if past is not None:
                    return past
                continue
            self._wanted = self._hub.loop.create_future()
            await self._wanted

    async def _catch_up(self) -> WatchBatch | None:
        """The next events of history, or None with the watch caught up or ended."""
        key, range_end, prev_kv = self.range
        state = self._hub.state
        while not self._ended:
            if self._next < state.compacted:
                self.end(Compacted(state.compacted))
                return None
            events: list[Event] = []
            stop = min(self._next + _SLICE, self._hub.durable + 1)
            while self._next < stop and len(events) < _SLICE:
                events.extend(
                    event if prev_kv else Event(event.type, event.kv)
                    for event in state.history.get(self._next, ())
                    if inside(event.kv.key, key, range_end)
                )
                self._next += 1
            revision = self._next - 1
            if self._next > self._hub.durable:
                self._join()
            if events:
                # A progress notification that joining put in the queue comes after them.
                return WatchBatch(events, revision)
            if self._caught_up:
                return None
            await self._hub.clock.sleep(0)
        return None

    def request_progress(self) -> None:
        if self._caught_up and not self._ended:
            # A revision in the future has yet to come; what lies before it was not asked for.
            self._offer(WatchBatch([], self._hub.durable), 0)
        else:
            self._progress = True

    async def cancel(self) -> None:
        self._queue.clear()
        self.end(None)


class Hub:
    """Brings events to the watches they concern."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.state, self.clock = state, clock
        self.loop = asyncio.get_running_loop()
        self.durable = state.applied
        self._watches: dict[EmbeddedWatch, None] = {}
        self._groups: dict[_Key, Group] = {}
        self._by_key: dict[bytes, list[Group]] = {}
        self._by_prefix: dict[bytes, list[Group]] = {}
        self._prefix_lengths: list[int] = []
        self._others: list[Group] = []

    def watch(self, key: bytes, range_end: bytes, start: int, prev_kv: bool) -> EmbeddedWatch:
        watch = EmbeddedWatch(self, key or b"\0", range_end, start if start > 0 else self.durable + 1, prev_kv)
        self._watches[watch] = None
        return watch

    def join(self, watch: EmbeddedWatch) -> None:
        group = self._groups.get(watch.range)
        if group is None:
            group = self._groups[watch.range] = Group(watch.range)
            home, name = self._home(group)
            home.setdefault(name, []).append(group) if home is not None else self._others.append(group)
            self._prefix_lengths = sorted({len(prefix) for prefix in self._by_prefix})
        group.watches[watch] = None

    def _home(self, group: Group) -> tuple[dict[bytes, list[Group]] | None, bytes]:
        key, range_end, _ = group.key
        if not range_end:
            return self._by_key, key
        if (key, range_end) == (b"\0", b"\0"):
            return self._by_prefix, b""
        if range_end == prefix_end(key):
            return self._by_prefix, key
        return None, b""

    def leave(self, watch: EmbeddedWatch) -> None:
        self._watches.pop(watch, None)
        group = self._groups.get(watch.range)
        if group is None or watch not in group.watches:
            return
        del group.watches[watch]
        if group.watches:
            return
        del self._groups[watch.range]
        home, name = self._home(group)
        if home is None:
            self._others.remove(group)
            return
        home[name].remove(group)
        if not home[name]:
            del home[name]
            self._prefix_lengths = sorted({len(prefix) for prefix in self._by_prefix})

    def deliver(self, durable: int) -> None:
        """Everything up to revision `durable` is on disk."""
        first, self.durable = self.durable + 1, durable
        if not self._groups:
            return
        found: dict[Group, list[Event]] = {}
        for revision in range(first, durable + 1):
            for event in self.state.history.get(revision, ()):
                key = event.kv.key
                for group in self._by_key.get(key, ()):
                    found.setdefault(group, []).append(event)
                for length in self._prefix_lengths:
                    if length > len(key):
                        break
                    for group in self._by_prefix.get(key[:length], ()):
                        found.setdefault(group, []).append(event)
                for group in self._others:
                    if inside(key, group.key[0], group.key[1]):
                        found.setdefault(group, []).append(event)
        for group, events in found.items():
            if not group.key[2]:
                events = [Event(type_, kv) for type_, kv, _ in events]
            batch = WatchBatch(events, durable)
            for watch in list(group.watches):
                watch.offer(batch)

    def end(self, error: StoreError) -> None:
        for watch in list(self._watches):
            watch.end(error)
