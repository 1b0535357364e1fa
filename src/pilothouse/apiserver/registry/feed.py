"""`Feed`: the server's one watch on the store. It hands every event to the cache that it belongs to, and knows up to which
revision all caches are complete, so that a read can be as fresh as the store without asking it for the objects.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from pilothouse.clock import Clock
from pilothouse.store.interface import Event, Store, StoreError, Watch, prefix_end

log = logging.getLogger(__name__)

ROOT = b"/registry/"
_RETRY_S = 1.0


class Sink(Protocol):
    """Takes the events of the keys below its prefix."""

    def apply(self, events: list[Event]) -> None: ...

    def reset(self) -> None:
        """Events were lost: forget everything and fill again when asked."""
        ...


class Feed:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._sinks: dict[bytes, Sink] = {}
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None
        self.revision = 0

    async def start(self) -> None:
        self.revision = await self._store.revision()
        self._watch = self._store.watch(ROOT, prefix_end(ROOT), start_revision=self.revision + 1)
        self._task = asyncio.create_task(self._run(), name="apiserver feed")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._watch is not None:
            await self._watch.cancel()
        for _, future in self._waiters:
            future.cancel()
        self._waiters.clear()

    def attach(self, prefix: str, sink: Sink) -> None:
        """`prefix` below ROOT, with its slash at the end: of one or two segments."""
        self._sinks[prefix.encode()] = sink

    def detach(self, prefix: str) -> None:
        self._sinks.pop(prefix.encode(), None)

    async def fresh(self) -> int:
        """Returns when every cache holds all that the store held at the call; the store's revision then."""
        revision = await self._store.revision()
        if self.revision < revision:
            await self.wait(revision)
        return revision

    async def wait(self, revision: int) -> None:
        """Returns once the caches are complete up to `revision`."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, future))
        if self._watch is not None:
            self._watch.request_progress()
        await future

    async def _run(self) -> None:
        while True:
            assert self._watch is not None
            try:
                async for events, revision in self._watch:
                    if events:
                        self._dispatch(events)
                    self._advance(revision, progress=not events)
                log.error("the store's watch ended; starting anew")
            except StoreError as error:
                log.error("the store's watch failed, starting anew: %s", error)
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("an event could not be taken in, starting anew")
            await self._restart()

    async def _restart(self) -> None:
        while True:
            try:
                if self._watch is not None:
                    await self._watch.cancel()
                revision = await self._store.revision()
                self._watch = self._store.watch(ROOT, prefix_end(ROOT), start_revision=revision + 1)
                break
            except StoreError as error:
                log.warning("the store does not answer: %s", error)
                await self._clock.sleep(_RETRY_S)
        for sink in self._sinks.values():
            sink.reset()
        self._advance(revision, progress=True)

    def _dispatch(self, events: list[Event]) -> None:
        if len(events) == 1:
            sink = self._sink_of(events[0].kv.key)
            if sink is not None:
                sink.apply(events)
            return
        groups: dict[int, tuple[Sink, list[Event]]] = {}
        for event in events:
            sink = self._sink_of(event.kv.key)
            if sink is not None:
                groups.setdefault(id(sink), (sink, []))[1].append(event)
        for sink, own in groups.values():
            sink.apply(own)

    def _sink_of(self, key: bytes) -> Sink | None:
        first = key.find(b"/", len(ROOT)) + 1
        if not first:
            return None
        found = self._sinks.get(key[:first])
        if found is None:
            second = key.find(b"/", first) + 1
            if second:
                found = self._sinks.get(key[:second])
        return found

    def _advance(self, revision: int, *, progress: bool) -> None:
        if revision > self.revision:
            self.revision = revision
        if self._waiters:
            left = []
            for wanted, future in self._waiters:
                if wanted <= self.revision:
                    if not future.done():
                        future.set_result(None)
                elif not future.done():
                    left.append((wanted, future))
            self._waiters = left
            if left and not progress and self._watch is not None:
                self._watch.request_progress()  # other keys than ours may have used the revisions in between
