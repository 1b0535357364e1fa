"""`State`: everything the store holds, in memory, without waiting and without disks.

The newest state is a dict of live keys with their order beside it. The past is a list of events for each revision that was not
compacted, and each event knows what it replaced: the state at revision R is the newest one with whatever the revisions after R
touched set back to what the first of them replaced. That makes a read of the recent past cost what changed since, and makes
compaction the removal of the oldest lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter

from sortedcontainers import SortedList

from pilothouse.store.interface import Compacted, Event, FutureRevision, KeyValue, Range, RangeResult

Changed = dict[bytes, KeyValue | None]

_KEY_OVERHEAD = 40  # what a record takes on disk beside its key and value
_SORTS = {
    "version": attrgetter("version"),
    "create": attrgetter("create_revision"),
    "mod": attrgetter("mod_revision"),
    "value": attrgetter("value"),
}


def inside(key: bytes, start: bytes, end: bytes) -> bool:
    """Whether `key` is in the range that `start` and `end` mean in requests."""
    if not end:
        return key == start
    return key >= start and (end == b"\0" or key < end)


def size_of(kv: KeyValue) -> int:
    return len(kv.key) + len(kv.value) + _KEY_OVERHEAD


class State:
    def __init__(self) -> None:
        self.live: dict[bytes, KeyValue] = {}
        self.keys: SortedList = SortedList()
        self.history: dict[int, list[Event]] = {}
        self.attached: dict[int, set[bytes]] = {}  # lease: its keys
        self.applied = 1  # the newest revision
        self.compacted = 0  # the oldest that may be read
        self.floor = 2  # the oldest whose events are held
        self.size = 0  # of all versions held

    # Changes

    def set(self, kv: KeyValue) -> KeyValue | None:
        """Returns what it replaces."""
        key = kv.key
        old = self.live.get(key)
        if old is None:
            self.keys.add(key)
        if kv.lease or (old is not None and old.lease):
            self._attach(key, old.lease if old is not None else 0, kv.lease)
        self.live[key] = kv
        self.size += size_of(kv)
        return old

    def remove(self, key: bytes) -> KeyValue | None:
        old = self.live.pop(key, None)
        if old is not None:
            self.keys.remove(key)
            if old.lease:
                self._attach(key, old.lease, 0)
            self.size += len(key) + _KEY_OVERHEAD
        return old

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

    def commit(self, revision: int, events: list[Event]) -> None:
        self.history[revision] = events
        self.applied = revision

    # Reads

    def names(self, start: bytes, end: bytes) -> Iterator[bytes]:
        """The live keys of a range, in order."""
        if not end:
            return iter((start,) if start in self.live else ())
        low, high = self._bounds(start, end)
        return self.keys.islice(low, high)  # type: ignore[no-any-return]

    def _bounds(self, start: bytes, end: bytes) -> tuple[int, int]:
        low = self.keys.bisect_left(start)
        high = len(self.keys) if end == b"\0" else self.keys.bisect_left(end)
        return low, max(low, high)

    def check_revision(self, revision: int, newest: int) -> None:
        if revision > newest:
            raise FutureRevision
        if revision < self.compacted:
            raise Compacted(self.compacted)

    def changed_since(self, revision: int, start: bytes, end: bytes) -> Changed:
        """For each key of the range that was touched after `revision`: what it was then."""
        changed: Changed = {}
        self.add_changes(changed, revision, self.applied, start, end)
        return changed

    def add_changes(self, changed: Changed, after: int, upto: int, start: bytes, end: bytes) -> None:
        history, setdefault = self.history, changed.setdefault
        for revision in range(after + 1, upto + 1):
            for _, kv, prev in history.get(revision, ()):
                if inside(kv.key, start, end):
                    setdefault(kv.key, prev)

    def read(self, request: Range, changed: Changed, revision: int) -> RangeResult:
        """Answers `request` from the newest state with `changed` set back. `revision` is the one to answer with."""
        start, end = request.key, request.range_end
        if not end:
            kv = changed[start] if start in changed else self.live.get(start)
            found = [kv] if kv is not None else []
            return self._shape(request, found, len(found), revision)
        low, high = self._bounds(start, end)
        count = high - low
        for key, kv in changed.items():
            count += (kv is not None) - (key in self.live)
        if request.count_only:
            return RangeResult([], count, False, revision)
        limit = 0 if _filters(request) else max(0, request.limit)
        kvs: list[KeyValue]
        if not changed:
            live = self.live
            stop = min(high, low + limit + 1) if limit else high
            kvs = [live[key] for key in self.keys.islice(low, stop)]
        else:
            kvs = list(islice(self._then(low, high, changed), limit + 1 if limit else None))
        return self._shape(request, kvs, count, revision)

    def _then(self, low: int, high: int, changed: Changed) -> Iterator[KeyValue]:
        gone = sorted(key for key, kv in changed.items() if kv is not None and key not in self.live)
        live = self.live
        names: Iterable[bytes] = merge(self.keys.islice(low, high), gone)
        for key in names:
            kv = changed[key] if key in changed else live[key]
            if kv is not None:
                yield kv

    @staticmethod
    def _shape(request: Range, kvs: list[KeyValue], count: int, revision: int) -> RangeResult:
        if request.count_only:
            return RangeResult([], count, False, revision)
        if _filters(request):
            kvs = [kv for kv in kvs if _passes(request, kv)]
            if request.sort_target != "key":
                kvs.sort(key=_SORTS[request.sort_target], reverse=request.descending)
            elif request.descending:
                kvs.reverse()
        more = 0 < request.limit < len(kvs)
        if more:
            kvs = kvs[: request.limit]
        if request.keys_only:
            kvs = [kv._replace(value=b"") for kv in kvs]
        return RangeResult(kvs, count, more, revision)

    # Compaction

    def prune(self, limit: int) -> bool:
        """Forgets what compaction made unreadable, about `limit` events of it. Returns whether more is left."""
        while self.floor < self.compacted and limit > 0:
            events = self.history.pop(self.floor, [])
            for type_, kv, prev in events:
                if prev is not None:
                    self.size -= size_of(prev)
                if type_ == "DELETE":
                    self.size -= size_of(kv)
            limit -= len(events) + 1
            self.floor += 1
        return self.floor < self.compacted

    # Loading (records.Loader's part)

    def load_key(self, kv: KeyValue) -> None:
        self.live[kv.key] = kv
        self.size += size_of(kv)

    def load_put(self, revision: int, kv: KeyValue) -> None:
        old = self.live.get(kv.key)
        self.live[kv.key] = kv
        self.size += size_of(kv)
        self.history.setdefault(revision, []).append(Event("PUT", kv, old))

    def load_delete(self, revision: int, key: bytes) -> None:
        old = self.live.pop(key, None)
        self.size += len(key) + _KEY_OVERHEAD
        self.history.setdefault(revision, []).append(Event("DELETE", KeyValue(key, b"", 0, revision, 0), old))

    def load_revision(self, revision: int) -> None:
        self.applied = revision

    def loaded(self) -> None:
        """Builds what is derived."""
        self.keys = SortedList(self.live)
        self.floor = next(iter(self.history), self.applied + 1)
        for kv in self.live.values():
            if kv.lease:
                self.attached.setdefault(kv.lease, set()).add(kv.key)


def _filters(request: Range) -> bool:
    """Whether all keys must be seen before the limit applies."""
    return bool(
        request.sort_target != "key"
        or request.descending
        or request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _passes(request: Range, kv: KeyValue) -> bool:
    return not (
        (request.min_mod_revision and kv.mod_revision < request.min_mod_revision)
        or (request.max_mod_revision and kv.mod_revision > request.max_mod_revision)
        or (request.min_create_revision and kv.create_revision < request.min_create_revision)
        or (request.max_create_revision and kv.create_revision > request.max_create_revision)
    )
