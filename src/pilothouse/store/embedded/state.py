"""`State`: everything the store holds, in memory, without waiting and without disks.

The newest state is a dict of live keys with their order beside it. The past is a list of events for each revision that was not
compacted, and each event knows what it replaced: the state at revision R is the newest one with whatever the revisions after R
touched set back to what the first of them replaced (`view`). That makes a read of the recent past cost what changed since, and
makes compaction the removal of the oldest lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sortedcontainers import SortedList

from pilothouse.store.embedded.history import History
from pilothouse.store.embedded.records import new
from pilothouse.store.interface import Compacted, Event, FutureRevision, KeyValue

KEY_OVERHEAD = 44  # what a record takes on disk beside its key and value


def inside(key: bytes, start: bytes, end: bytes) -> bool:
    """Whether `key` is in the range that `start` and `end` mean in requests."""
    if not end:
        return key == start
    return key >= start and (end == b"\0" or key < end)


def size_of(kv: KeyValue) -> int:
    return len(kv.key) + len(kv.value) + KEY_OVERHEAD


class State:
    def __init__(self) -> None:
        self.live: dict[bytes, KeyValue] = {}
        self.keys: SortedList = SortedList()
        self.history = History()
        self.attached: dict[int, set[bytes]] = {}  # lease: its keys
        self.applied = 1  # the newest revision
        self.compacted = -1  # the oldest that may be read; etcd's number for none, seen in answers
        self.floor = 2  # the oldest whose events are held
        # Which change of its revision made a version before `floor`, if not the first. By revision, since one dict of all
        # keys would hold the loop whenever it grows.
        self._subs: dict[int, dict[bytes, int]] = {}
        self.size = 0  # of all versions held
        self._pins: Counter[int] = Counter()

    # Changes, all of the revision after `applied` until they are committed

    def put(self, key: bytes, value: bytes, lease: int) -> Event:
        revision = self.applied + 1
        old = self.live.get(key)
        if old is None:
            kv = new(KeyValue, (key, value, revision, revision, 1, lease))
            self.keys.add(key)
            before = 0
        else:
            kv = new(KeyValue, (key, value, old[2], revision, old[4] + 1, lease))
            before = old[5]
        if lease or before:
            self._attach(key, before, lease)
        self.live[key] = kv
        self.size += len(key) + len(value) + KEY_OVERHEAD
        return new(Event, ("PUT", kv, old))

    def remove(self, key: bytes) -> Event | None:
        """None where there is no such key."""
        old = self.live.pop(key, None)
        if old is None:
            return None
        self.keys.remove(key)
        return self._removed(old)

    def remove_range(self, start: bytes, end: bytes) -> list[Event]:
        """In order of key."""
        if not end:
            event = self.remove(start)
            return [event] if event is not None else []
        low, high = self.bounds(start, end)
        gone = self.slice(low, high)
        del self.keys[low:high]  # at once: one by one takes as long as all the rest
        for kv in gone:
            del self.live[kv[0]]
        return [self._removed(kv) for kv in gone]

    def _removed(self, old: KeyValue) -> Event:
        key, lease = old[0], old[5]
        if lease:
            self._attach(key, lease, 0)
        self.size += len(key) + KEY_OVERHEAD
        return new(Event, ("DELETE", new(KeyValue, (key, b"", 0, self.applied + 1, 0, 0)), old))

    def _attach(self, key: bytes, before: int, after: int) -> None:
        if before == after:
            return
        if before:
            keys = self.attached.get(before)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self.attached[before]
        if after:
            self.attached.setdefault(after, set()).add(key)

    def commit(self, events: list[Event]) -> int:
        """Returns the revision they are."""
        self.applied = revision = self.applied + 1
        self.history.put(revision, events)
        return revision

    # Reads

    def names(self, start: bytes, end: bytes) -> Iterator[bytes]:
        """The live keys of a range, in order."""
        if not end:
            return iter((start,) if start in self.live else ())
        low, high = self.bounds(start, end)
        return self.keys.islice(low, high)  # type: ignore[no-any-return]

    def bounds(self, start: bytes, end: bytes) -> tuple[int, int]:
        low = self.keys.bisect_left(start)
        high = len(self.keys) if end == b"\0" else self.keys.bisect_left(end)
        return low, max(low, high)

    def check_revision(self, revision: int, newest: int) -> None:
        if revision > newest:
            raise FutureRevision
        if revision < self.compacted:
            raise Compacted(self.compacted)

    def sub_of(self, kv: KeyValue) -> int:
        """Which change of its revision made `kv`."""
        if kv.mod_revision < self.floor:
            return self.old_sub_of(kv)
        events = self.history.get(kv.mod_revision)
        return next((i for i, event in enumerate(events) if event.kv.key == kv.key), 0) if len(events) > 1 else 0

    def old_sub_of(self, kv: KeyValue) -> int:
        """The same of a version before `floor`."""
        subs = self._subs.get(kv.mod_revision)
        return subs.get(kv.key, 0) if subs is not None else 0

    def set_sub(self, kv: KeyValue, sub: int) -> None:
        if sub:
            self._subs.setdefault(kv.mod_revision, {})[kv.key] = sub

    # Compaction

    def pin(self, revision: int) -> None:
        """The state at `revision` must remain readable until `unpin`."""
        self._pins[revision] += 1

    def unpin(self, revision: int) -> None:
        self._pins[revision] -= 1
        if not self._pins[revision]:
            del self._pins[revision]

    @property
    def prunable(self) -> bool:
        return self.floor < self._prune_end()

    def _prune_end(self) -> int:
        return min(self.compacted, 1 + min(self._pins, default=self.compacted))

    def prune(self, limit: int) -> None:
        """Forgets what compaction made unreadable and nobody reads, about `limit` events of it."""
        end = self._prune_end()
        while self.floor < end and limit > 0:
            events = self.history.pop(self.floor)
            for sub, (type_, kv, prev) in enumerate(events):
                if prev is not None:
                    self.size -= size_of(prev)
                    self._forget_sub(prev)
                if type_ == "DELETE":
                    self.size -= size_of(kv)
                elif sub:
                    self.set_sub(kv, sub)
            limit -= len(events) + 1
            self.floor += 1

    def _forget_sub(self, kv: KeyValue) -> None:
        subs = self._subs.get(kv.mod_revision)
        if subs is not None and subs.pop(kv.key, 0) and not subs:
            del self._subs[kv.mod_revision]

    def slice(self, low: int, high: int) -> list[KeyValue]:
        """The live keys at places [low, high) of their order."""
        live = self.live
        return [live[key] for key in self.keys.islice(low, high)]
