"""`WatchCache`: all objects of one resource in memory, in the store's order, and the recent events for watches to resume from.

It is filled on first use. Every object is decoded once; reads, lists and all watchers share it.
Source: upstream's k8s.io/apiserver/pkg/storage/cacher and KEP-3157 (watch list), KEP-2340 (consistent reads from cache).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from typing import cast

from sortedcontainers import SortedDict

from pilothouse.api import errors
from pilothouse.api.objects import Obj
from pilothouse.apiserver.registry.entries import Entry, with_revision
from pilothouse.apiserver.registry.feed import Feed
from pilothouse.apiserver.registry.indexes import Indexes
from pilothouse.apiserver.registry.resources import Stored
from pilothouse.apiserver.registry.watching import CacheEvent, Predicate, Trigger, Watcher, Watchers
from pilothouse.clock import Clock
from pilothouse.store.interface import Event, KeyValue, Range, Store, prefix_end
from pilothouse.store.packing import Packer

log = logging.getLogger(__name__)

_PAGE_KEYS = 500  # decoded without a pause
_EXPECTED_MOST = 1000  # writes under way
_HISTORY_LEAST = 1000  # events kept whatever their age
_HISTORY_MOST = 100_000
_FRESH_MOST = 500  # replaced objects that watchers may be about to get
_HISTORY_S = 75.0  # younger ones are kept past _HISTORY_LEAST (upstream's eventFreshDuration)


class _Expected:
    """A value that this server is writing: its event need not be decoded."""

    __slots__ = ("entry", "obj")

    def __init__(self, obj: Obj) -> None:
        self.obj = obj
        self.entry: Entry | None = None


class WatchCache:
    def __init__(self, stored: Stored, store: Store, feed: Feed, clock: Clock) -> None:
        self.stored, self._store, self._feed, self._clock = stored, store, feed, clock
        self._entries: SortedDict[str, Entry] = SortedDict()
        self._history: deque[CacheEvent] = deque()
        self._replaced: deque[Entry] = deque()  # of the history, what is not packed yet
        self._packer = Packer()
        self._oldest = 0  # the history holds every event after this revision
        self._changed_at = 0
        self._base = 0  # the revision of the state that the cache was filled with
        self._filled = False
        self._filling: asyncio.Task[None] | None = None
        self._pending: list[Event] = []
        self.watchers = Watchers(stored.prefix, stored.namespaced)
        self._indexes = Indexes(clock)
        self._expected: dict[tuple[str, bytes], _Expected] = {}
        feed.attach(stored.prefix, self)

    def detach(self) -> None:
        """The resource is served no more: its watches end."""
        self._feed.detach(self.stored.prefix)
        self.watchers.close()
        if self._filling is not None:
            self._filling.cancel()

    # Filling

    @property
    def filled(self) -> bool:
        return self._filled

    async def ready(self) -> None:
        """Returns once the cache holds the resource."""
        while not self._filled:
            if self._filling is None:
                self._filling = asyncio.create_task(self._fill(), name=f"fill {self.stored.prefix}")
            await asyncio.shield(self._filling)

    async def _fill(self) -> None:
        self._pending = []
        try:
            start = self.stored.prefix.encode()
            end = prefix_end(start)
            revision = 0
            found: list[tuple[str, Entry]] = []
            while True:
                result = await self._store.range(Range(start, end, limit=_PAGE_KEYS, revision=revision))
                revision = revision or result.revision
                for kv in result.kvs:
                    entry = self._decode(kv)
                    if entry is not None:
                        found.append((entry.key, entry))
                if not result.more:
                    break
                start = result.kvs[-1].key + b"\0"
                await self._clock.sleep(0)
            self._entries = SortedDict(found)
            self._indexes.clear()
            self._history.clear()
            self._replaced.clear()
            self._base = self._oldest = self._changed_at = revision
            self._filled = True
            pending, self._pending = self._pending, []
            self.apply(pending)
        finally:
            self._filling = None

    def _decode(self, kv: KeyValue) -> Entry | None:
        try:
            return Entry.of_value(self.stored, kv.key.decode(), kv.mod_revision, kv.value)
        except (ValueError, KeyError) as error:
            log.error("the value of %r in the store cannot be read: %s", kv.key, error)
            return None

    def reset(self) -> None:
        """Events were lost: the watches end, and the next use fills the cache again."""
        self._filled = False
        self._expected.clear()
        self.watchers.close()

    # Events

    def expect(self, key: str, value: bytes, obj: Obj) -> None:
        """This server is about to write `value`, which is `obj`. Whoever calls this gives obj away."""
        if len(self._expected) >= _EXPECTED_MOST:
            self._expected.pop(next(iter(self._expected)))
        self._expected[key, value] = _Expected(obj)

    def unexpect(self, key: str, value: bytes) -> None:
        """The write failed."""
        self._expected.pop((key, value), None)

    def written(self, key: str, value: bytes, obj: Obj, revision: int) -> Entry:
        """The entry of a value that was written, the very one that watchers get."""
        return self._entry_of(key, value, revision) or self._of_write(key, value, obj, revision)

    def _of_write(self, key: str, value: bytes, obj: Obj, revision: int) -> Entry:
        return Entry(self.stored, key, revision, with_revision(obj, revision), value)

    def _entry_of(self, key: str, value: bytes, revision: int) -> Entry | None:
        """Writer and event come here in either order; the second of them takes the expectation away."""
        expected = self._expected.get((key, value))
        if expected is None:
            return None
        if expected.entry is None:
            expected.entry = self._of_write(key, value, expected.obj, revision)
            return expected.entry
        del self._expected[key, value]
        return expected.entry if expected.entry.revision == revision else None

    def apply(self, events: list[Event]) -> None:
        if not self._filled:
            if self._filling is not None:
                self._pending.extend(events)
            else:
                self._expected.clear()
            return
        now_s = self._clock.monotonic()
        for type_, kv, _ in events:
            revision = kv.mod_revision
            if revision <= self._base:
                continue
            key = kv.key.decode()
            if type_ == "DELETE":
                previous = self._entries.pop(key, None)
                if previous is None:
                    continue
                self._indexes.update(previous, None)
                event = CacheEvent("DELETED", previous.at(revision), previous, revision, now_s)
                self._replaced.append(event.entry)
            else:
                entry = self._entry_of(key, kv.value, revision) or self._decode(kv)
                if entry is None:
                    continue
                previous = self._entries.get(key)
                self._entries[key] = entry
                self._indexes.update(previous, entry)
                event = CacheEvent("MODIFIED" if previous else "ADDED", entry, previous, revision, now_s)
            self._history.append(event)
            if previous is not None:
                self._replaced.append(previous)
            self._changed_at = revision
            self.watchers.hand_out(event)
        self._trim(now_s)
        while len(self._replaced) > _FRESH_MOST:
            self._replaced.popleft().pack(self._packer)

    def _trim(self, now_s: float) -> None:
        history = self._history
        while len(history) > _HISTORY_LEAST and (len(history) > _HISTORY_MOST or history[0].at_s < now_s - _HISTORY_S):
            self._oldest = history.popleft().revision

    # Reading. All of it is of the present state; whoever needs it fresh waits for the feed first.

    @property
    def revision(self) -> int:
        return max(self._feed.revision, self._base)

    @property
    def changed_at(self) -> int:
        """The state has been what it is since this revision."""
        return self._changed_at

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        return cast("Entry | None", self._entries.get(key))

    def entries(self, namespace: str = "") -> Iterator[Entry]:
        """All entries, or those of one namespace, in order of their keys. Not to be held over an await."""
        if not namespace:
            return iter(self._entries.values())
        prefix = f"{self.stored.prefix}{namespace}/"
        return map(self._entries.__getitem__, self._entries.irange(prefix, prefix + "\U0010ffff"))

    def entries_from(self, key: str, namespace: str = "") -> Iterator[Entry]:
        prefix = f"{self.stored.prefix}{namespace}/" if namespace else self.stored.prefix
        return map(self._entries.__getitem__, self._entries.irange(max(key, prefix), prefix + "\U0010ffff"))

    def count_after(self, key: str, namespace: str = "") -> int:
        """How many entries follow that key."""
        prefix = f"{self.stored.prefix}{namespace}/" if namespace else self.stored.prefix
        return int(self._entries.bisect_left(prefix + "\U0010ffff") - self._entries.bisect_right(key))

    async def index(self, trigger: Trigger) -> None:
        """Makes `having` possible for triggers of that field."""
        await self._indexes.build((trigger.kind, trigger.at), self._entries)

    def having(self, trigger: Trigger) -> list[Entry] | None:
        """The entries that have one value of a field, in order of their keys; None where there is no index of it."""
        return self._indexes.find(trigger)

    # Watching

    def watch(
        self, *, namespace: str = "", key: str = "", predicate: Predicate | None = None, trigger: Trigger | None = None,
        after: int | None, limit: int,
    ) -> Watcher:  # fmt: skip
        """A watcher of the whole resource, of one namespace or of one key. `after`: of events after that revision; None:
        of the present objects (`initial`, before the predicate is asked) and the events after them. `trigger`: what the
        predicate asks for among other things; the namespace is the predicate's affair then. Raises 410 where the history
        does not reach back."""
        address = Watchers.address(namespace, key, trigger)
        watcher = Watcher(self.watchers.wakes, address, predicate, limit, after or 0)
        if after is None:
            having = self.having(trigger) if trigger is not None else None
            if key:
                one = self._entries.get(key)
                watcher.initial = [] if one is None else [one]
            else:
                watcher.initial = list(self.entries(namespace)) if having is None else having
        else:
            watcher.replay(self._missed(namespace, key, after))
        self.watchers.add(watcher)
        return watcher

    def _missed(self, namespace: str, key: str, after: int) -> list[CacheEvent]:
        if after < self._oldest:
            raise errors.gone(f"too old resource version: {after} ({self._oldest})")
        prefix = f"{self.stored.prefix}{namespace}/" if namespace else ""
        missed = []
        for event in reversed(self._history):
            if event.revision <= after:
                break
            if (not key or event.entry.key == key) and event.entry.key.startswith(prefix):
                missed.append(event)
        missed.reverse()
        return missed


async def read_live(stored: Stored, store: Store, key: str) -> Entry | None:
    """The object at `key` from the store itself."""
    result = await store.range(Range(key.encode()))
    if not result.kvs:
        return None
    kv = result.kvs[0]
    return Entry.of_value(stored, key, kv.mod_revision, kv.value)
