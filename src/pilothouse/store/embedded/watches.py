"""Watches: who hears of which keys. Watches of the same range share one selection of the events.

Source of the semantics: etcd's server/storage/mvcc (`watchable_store`); a reader that is too slow is cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final

from pilothouse.store.embedded.state import Change, event_of
from pilothouse.store.interface import Event, Overrun, StoreError, WatchBatch

BACKLOG_EVENTS_MAX: Final = 200_000
_ALL: Final = b"\0"


class EmbeddedWatch:
    """interface.Watch."""

    def __init__(self, hub: Hub, key: bytes, end: bytes, start: int, prev_kv: bool) -> None:
        self.key, self.end, self.start, self.prev_kv = key, end, start, prev_kv
        self._hub = hub
        self._batches: deque[WatchBatch] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._backlog = 0
        self._failure: StoreError | None = None
        self._ended = False

    def deliver(self, batch: WatchBatch) -> None:
        if self._ended:
            return
        self._backlog += len(batch.events)
        if self._backlog > BACKLOG_EVENTS_MAX:
            self.fail(Overrun("the watcher was too slow and was cut off"))
            return
        self._batches.append(batch)
        self._wake()

    def fail(self, failure: StoreError | None) -> None:
        """Ends it: after what is delivered already, or at once where the reader was too slow."""
        if isinstance(failure, Overrun):
            self._batches.clear()
        self._failure, self._ended = failure, True
        self._hub.remove(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __aiter__(self) -> AsyncIterator[WatchBatch]:
        while True:
            while self._batches:
                batch = self._batches.popleft()
                self._backlog -= len(batch.events)
                yield batch
            if self._ended:
                if self._failure is not None:
                    raise self._failure
                return
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None

    def request_progress(self) -> None:
        self._hub.progress(self)

    async def cancel(self) -> None:
        self.fail(None)


class Hub:
    """All watches of a store. `revision` is how far they have been told."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self._groups: dict[tuple[bytes, bytes], set[EmbeddedWatch]] = {}

    def open(self, key: bytes, end: bytes, start: int, prev_kv: bool) -> EmbeddedWatch:
        watch = EmbeddedWatch(self, key, end, start, prev_kv)
        self._groups.setdefault((key, end), set()).add(watch)
        return watch

    def remove(self, watch: EmbeddedWatch) -> None:
        group = self._groups.get((watch.key, watch.end))
        if group is not None:
            group.discard(watch)
            if not group:
                del self._groups[watch.key, watch.end]

    def progress(self, watch: EmbeddedWatch) -> None:
        watch.deliver(WatchBatch([], self.revision))

    def tell(self, revisions: Iterable[list[Change]], revision: int) -> None:
        """Everything up to `revision` is durable: every watch hears its part."""
        self.revision = revision
        changes = [change for one in revisions for change in one]
        if not changes:
            return
        for (key, end), group in list(self._groups.items()):
            found = select(changes, key, end)
            if not found:
                continue
            bare: WatchBatch | None = None
            for watch in list(group):
                if watch.start > found[0].revision:
                    later = [c for c in found if c.revision >= watch.start]
                    if later:
                        watch.deliver(batch_of(later, revision, watch.prev_kv))
                elif watch.prev_kv:
                    watch.deliver(batch_of(found, revision, True))
                else:
                    bare = bare or batch_of(found, revision, False)
                    watch.deliver(bare)

    def end(self, failure: StoreError | None) -> None:
        for group in list(self._groups.values()):
            for watch in list(group):
                watch.fail(failure)


def select(changes: list[Change], key: bytes, end: bytes) -> list[Change]:
    if not end:
        return [c for c in changes if c.key == key]
    if end == _ALL:
        return [c for c in changes if c.key >= key]
    return [c for c in changes if key <= c.key < end]


def batch_of(changes: list[Change], revision: int, prev_kv: bool) -> WatchBatch:
    events: list[Event] = [event_of(c) for c in changes]
    if not prev_kv:
        events = [e._replace(prev_kv=None) if e.prev_kv is not None else e for e in events]
    return WatchBatch(events, revision)
