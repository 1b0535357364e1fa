"""Watches. One that has caught up is in the group of all watches that ask for the same, and a commit's events are put together
once for each group, and handed once to whoever takes them for several watches. One that begins in the past, or does not read what
it is brought, reads the history at its own pace until it has caught up; where compaction overtakes it, it ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

from pilothouse.clock import Clock
from pilothouse.store.embedded.state import State, inside
from pilothouse.store.interface import (
    Compacted,
    Event,
    KeyValue,
    StoreError,
    T,
    Taker,
    Unavailable,
    WatchBatch,
    Watching,
    prefix_end,
)

log = logging.getLogger(__name__)

BACKLOG_EVENTS, BACKLOG_BYTES = 4_096, 4 << 20  # more than that is not kept for a reader
_SLICE = 1_000  # revisions or events of history that are read in one go
_KEPT_BYTES = 2 * BACKLOG_BYTES  # of slices of history


class Selection(NamedTuple):
    """What a watch asks for."""

    key: bytes
    range_end: bytes
    prev_kv: bool
    no_put: bool
    no_delete: bool

    def shape(self, events: Sequence[Event], compacted: int = 0) -> list[Event]:
        """Of events in the range, those asked for. What was before the revision `compacted` cannot be told any more."""
        if self.prev_kv:
            events = [
                Event(e.type, e.kv, _before(e, events)) if e.kv.mod_revision > compacted else Event(e.type, e.kv)
                for e in events
            ]
        else:
            events = [Event(type_, kv) for type_, kv, _ in events]
        if self.no_put or self.no_delete:
            unwanted = ("PUT",) * self.no_put + ("DELETE",) * self.no_delete
            events = [event for event in events if event.type not in unwanted]
        return events


def _before(event: Event, events: Sequence[Event]) -> KeyValue | None:
    """What the key was before the event's revision, which may have put it and then deleted it."""
    prev = event.prev_kv
    if prev is None or prev.mod_revision < event.kv.mod_revision:
        return prev
    return next(e.prev_kv for e in events if e.kv == prev)


def _size(events: Iterable[Event]) -> int:
    """Bytes, about."""
    size = 0
    for _, kv, prev in events:
        size += len(kv.value) + 100
        if prev is not None:
            size += len(prev.value)
    return size


class Past:
    """The history, in slices. Those that were read last are kept while any watch is behind: the others that ask for the same and
    fell behind with it read them, too."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._slices: dict[tuple[Selection, int, int], tuple[WatchBatch, int]] = {}  # oldest first; with their sizes
        self._bytes = 0

    def read(self, selection: Selection, first: int, durable: int) -> WatchBatch:
        """Events from revision `first` on, which was not compacted; up to the batch's revision, perhaps none. Slices end where
        those of others do, wherever they begin."""
        at = (selection, first, self._state.compacted)
        known = self._slices.get(at)
        if known is not None:
            return known[0]
        found: list[Event] = []
        seen, size, stop = 0, 0, min(first - first % _SLICE + _SLICE, durable + 1)
        revision = first
        while revision < stop and seen < _SLICE and size < BACKLOG_BYTES:
            events = self._state.history.get(revision)
            wanted = [event for event in events if inside(event.kv.key, selection.key, selection.range_end)]
            found += wanted
            seen += len(events)
            size += _size(wanted)
            revision += 1
        batch = WatchBatch(selection.shape(found, self._state.compacted), revision - 1)
        if batch.events:
            self._keep(at, batch, size)
        return batch

    def _keep(self, at: tuple[Selection, int, int], batch: WatchBatch, size: int) -> None:
        self._slices[at] = batch, size
        self._bytes += size
        while self._bytes > _KEPT_BYTES:
            oldest = next(iter(self._slices))
            self._bytes -= self._slices.pop(oldest)[1]

    def forget(self) -> None:
        self._slices.clear()
        self._bytes = 0


class Group:
    """All caught-up watches that ask for the same."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.watches: dict[EmbeddedWatch, None] = {}  # that are read
        self.handed: dict[Taker[Any], dict[EmbeddedWatch, Any]] = {}  # with their names

    def remove(self, watch: EmbeddedWatch) -> None:
        if watch.taker is None:
            self.watches.pop(watch, None)
            return
        handed = self.handed[watch.taker]
        del handed[watch]
        if not handed:
            del self.handed[watch.taker]

    def deliver(self, batch: WatchBatch) -> None:
        size = _size(batch.events)
        for watch in list(self.watches):
            watch.offer(batch, size)
        for taker, watches in list(self.handed.items()):
            try:
                taken = taker.take(list(watches.values()), batch)
            except Exception:  # a defect of that one's, amid a commit of everybody's
                log.exception("watches end because who takes them failed")
                for watch in list(watches):
                    watch.end(Unavailable("etcdserver: watch failed"))
                continue
            if taken < len(watches):
                for watch in list(watches)[taken:]:
                    watch.give_back(batch, size)


class EmbeddedWatch:
    def __init__(self, hub: Hub, selection: Selection, start: int) -> None:
        self.selection = selection
        self._hub = hub
        self._start = start
        self._next = start  # the revision to go on from
        self._caught_up = False
        self._queue: deque[tuple[WatchBatch, int]] = deque()  # with its size
        self._backlog = self._backlog_bytes = 0
        self._wanted: asyncio.Future[None] | None = None
        self._progress = False
        self.taker: Taker[Any] | None = None  # it is handed to
        self._name: Any = None  # for that
        self._ended = False
        self._error: StoreError | None = None
        if start > hub.durable:
            self._join()

    def _join(self) -> None:
        self._caught_up = True
        self._hub.join(self)
        if self._progress:
            self._progress = False
            self.request_progress()

    def offer(self, batch: WatchBatch, size: int) -> None:
        """`size`: bytes of the batch."""
        events = batch.events
        if events[0].kv.mod_revision < self._next:  # begins in the future
            events = [event for event in events if event.kv.mod_revision >= self._next]
            if not events:
                return
            batch = WatchBatch(events, batch.revision)
        full = self._backlog + len(events) > BACKLOG_EVENTS or self._backlog_bytes + size > BACKLOG_BYTES
        if self._backlog and full:
            self._caught_up = False
            self._next = max(self._next, events[0].kv.mod_revision)
            self._hub.leave(self)
            self._hub.behind.add(self)
            return
        self._offer(batch, size)
        if self._progress:
            self._progress = False
            self.request_progress()

    def _offer(self, batch: WatchBatch, size: int = 0) -> None:
        self._queue.append((batch, size))
        self._backlog += len(batch.events)
        self._backlog_bytes += size
        self._wake()

    def hand_to(self, taker: Taker[T], name: T) -> bool:
        if not self._caught_up or self._queue or self._ended or self._next > self._hub.durable + 1:
            return False
        self._hub.hand(self, taker, name)
        self.taker, self._name = taker, name
        return True

    def give_back(self, batch: WatchBatch, size: int = 0) -> None:
        """The taker did not take this."""
        taker, name = self.taker, self._name
        assert taker is not None
        self._hub.take_back(self)
        self.taker = self._name = None
        self._offer(batch, size)
        taker.behind(name)

    def _wake(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    def end(self, error: StoreError | None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
            self._hub.forget(self)
            self._wake()
            if self.taker is not None and error is not None:
                self.taker.behind(self._name)
            self.taker = self._name = None

    @property
    def caught_up(self) -> bool:
        return self._caught_up

    @property
    def pending(self) -> int:
        """Events that were brought and not yet read."""
        return self._backlog

    def __aiter__(self) -> AsyncIterator[WatchBatch]:
        return self

    async def __anext__(self) -> WatchBatch:
        while True:
            if self._queue:
                batch, size = self._queue.popleft()
                self._backlog -= len(batch.events)
                self._backlog_bytes -= size
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
        hub = self._hub
        while not self._ended:
            if self._next < hub.state.compacted:
                self.end(Compacted(hub.state.compacted))
                return None
            batch = hub.past.read(self.selection, self._next, hub.durable)
            self._next = batch.revision + 1
            if self._next > hub.durable:
                self._join()
            if batch.events:
                # A progress notification that joining put in the queue comes after them.
                return batch
            if self._caught_up:
                return None
            await hub.clock.sleep(0)
        return None

    def request_progress(self) -> None:
        if not self._caught_up or self._ended or self._start > self._hub.durable + 1:
            self._progress = True
            return
        batch = WatchBatch([], self._hub.durable)
        if self.taker is not None:
            if not self.taker.take([self._name], batch):
                self.give_back(batch)
        elif self._queue and not self._queue[-1][0].events:
            self._queue[-1] = (batch, 0)  # the last one was not read yet
        else:
            self._offer(batch)

    async def cancel(self) -> None:
        self._queue.clear()
        self.end(None)


class Hub:
    """Brings events to the watches they concern."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.state, self.clock = state, clock
        self.loop = asyncio.get_running_loop()
        self.durable = state.applied
        self.past = Past(state)
        self.behind: set[EmbeddedWatch] = set()
        self._watches: dict[EmbeddedWatch, None] = {}
        self._groups: dict[Selection, Group] = {}
        self._by_key: dict[bytes, list[Group]] = {}
        self._by_prefix: dict[bytes, list[Group]] = {}
        self._prefix_lengths: list[int] = []
        self._others: list[Group] = []

    def watch(self, selection: Selection, start: int) -> EmbeddedWatch:
        watch = EmbeddedWatch(self, selection, start if start > 0 else self.durable + 1)
        self._watches[watch] = None
        if not watch.caught_up:
            self.behind.add(watch)
        return watch

    def watching(self) -> Watching:
        return Watching(len(self._watches), len(self.behind), sum(watch.pending for watch in self._watches))

    def join(self, watch: EmbeddedWatch) -> None:
        group = self._groups.get(watch.selection)
        if group is None:
            group = self._groups[watch.selection] = Group(watch.selection)
            home, name = self._home(group)
            home.setdefault(name, []).append(group) if home is not None else self._others.append(group)
            self._prefix_lengths = sorted({len(prefix) for prefix in self._by_prefix})
        group.watches[watch] = None
        self._not_behind(watch)

    def _not_behind(self, watch: EmbeddedWatch) -> None:
        self.behind.discard(watch)
        if not self.behind:
            self.past.forget()

    def hand(self, watch: EmbeddedWatch, taker: Taker[T], name: T) -> None:
        """The watch, which has joined, is not read any more."""
        group = self._groups[watch.selection]
        del group.watches[watch]
        group.handed.setdefault(taker, {})[watch] = name

    def take_back(self, watch: EmbeddedWatch) -> None:
        group = self._groups[watch.selection]
        group.remove(watch)
        group.watches[watch] = None

    def _home(self, group: Group) -> tuple[dict[bytes, list[Group]] | None, bytes]:
        key, range_end = group.selection.key, group.selection.range_end
        if not range_end:
            return self._by_key, key
        if (key, range_end) == (b"\0", b"\0"):
            return self._by_prefix, b""
        if range_end == prefix_end(key):
            return self._by_prefix, key
        return None, b""

    def forget(self, watch: EmbeddedWatch) -> None:
        self._watches.pop(watch, None)
        self._not_behind(watch)
        self.leave(watch)

    def leave(self, watch: EmbeddedWatch) -> None:
        group = self._groups.get(watch.selection)
        if group is None:
            return
        group.remove(watch)
        if group.watches or group.handed:
            return
        del self._groups[watch.selection]
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
            for event in self.state.history.get(revision):
                key = event.kv.key
                for group in self._by_key.get(key, ()):
                    found.setdefault(group, []).append(event)
                for length in self._prefix_lengths:
                    if length > len(key):
                        break
                    for group in self._by_prefix.get(key[:length], ()):
                        found.setdefault(group, []).append(event)
                for group in self._others:
                    if inside(key, group.selection.key, group.selection.range_end):
                        found.setdefault(group, []).append(event)
        for group, events in found.items():
            events = group.selection.shape(events)
            if events:
                group.deliver(WatchBatch(events, durable))

    def end(self, error: StoreError) -> None:
        for watch in list(self._watches):
            watch.end(error)
