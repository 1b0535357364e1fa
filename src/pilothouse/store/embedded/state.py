"""The multi-version state in memory: what every key is now, and was at each revision since the last compaction.

Source of the semantics: etcd's `rpc.proto` and server/storage/mvcc (`index`, `kvstore_txn`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from sortedcontainers import SortedDict, SortedSet

from pilothouse.store.interface import Compacted, Event, FutureRevision, KeyValue, Range, RangeResult

_ALL: Final = b"\0"


class Change(NamedTuple):
    """One key's change within a revision. kv None: it was deleted."""

    revision: int
    sub: int  # its place within the revision
    key: bytes
    kv: KeyValue | None
    previous: KeyValue | None


class Version(NamedTuple):
    revision: int
    sub: int
    kv: KeyValue | None


class State:
    """Single-threaded. `revision` is that of the last write, `compacted` the oldest that can be read."""

    def __init__(self) -> None:
        self.revision = 1  # etcd's first
        self.compacted = 0
        self._live: SortedDict[bytes, KeyValue] = SortedDict()
        self._known: SortedSet[bytes] = SortedSet()  # every key that has a history
        self._history: dict[bytes, list[Version]] = {}
        self.log: deque[list[Change]] = deque()  # since the compaction, one entry a revision

    def get(self, key: bytes) -> KeyValue | None:
        found: KeyValue | None = self._live.get(key)
        return found

    def keys(self, key: bytes, range_end: bytes) -> list[bytes]:
        """The present keys of [key, range_end)."""
        if not range_end:
            return [key] if key in self._live else []
        return list(self._live.irange(key, None if range_end == _ALL else range_end, inclusive=(True, False)))

    def apply(self, change: Change) -> None:
        """Makes one change; those of one revision come one after the other."""
        key, kv = change.key, change.kv
        self._history.setdefault(key, []).append(Version(change.revision, change.sub, kv))
        self._known.add(key)
        if kv is None:
            self._live.pop(key, None)
        else:
            self._live[key] = kv
        self.revision = change.revision
        if self.log and self.log[-1][0].revision == change.revision:
            self.log[-1].append(change)
        else:
            self.log.append([change])

    def load(self, changes: Iterable[tuple[int, int, bytes, KeyValue | None]]) -> None:
        """Takes up what the disk holds, in order of revision."""
        for revision, sub, key, kv in changes:
            self.apply(Change(revision, sub, key, kv, self._live.get(key)))

    def changes_since(self, revision: int) -> list[list[Change]]:
        """Those of `revision` and later. Raises Compacted."""
        if revision <= self.compacted:
            raise Compacted(self.compacted)
        found = []
        for changes in reversed(self.log):
            if changes[0].revision < revision:
                break
            found.append(changes)
        found.reverse()
        return found

    # Reads

    def check(self, request: Range) -> None:
        """Raises for a revision that cannot be read."""
        if request.revision > self.revision:
            raise FutureRevision
        if 0 < request.revision < self.compacted:
            raise Compacted(self.compacted)

    def range(self, request: Range) -> RangeResult:
        """Raises FutureRevision and Compacted."""
        self.check(request)
        key, end = request.key, request.range_end
        past = 0 < request.revision < self.revision
        if not end:
            kv = self._at(key, request.revision) if past else self._live.get(key)
            kvs, count = ([kv], 1) if kv is not None else ([], 0)
        else:
            stop = None if end == _ALL else end
            if past:
                every = (self._at(k, request.revision) for k in self._known.irange(key, stop, inclusive=(True, False)))
                kvs = [kv for kv in every if kv is not None]
                count = len(kvs)
            else:
                upper = len(self._live) if stop is None else self._live.bisect_left(stop)
                lower = self._live.bisect_left(key)
                count = max(0, upper - lower)
                if request.count_only:
                    return RangeResult([], count, False, self.revision)
                plain = request.sort_target == "key" and not request.descending and not _filters(request)
                if request.limit and plain:
                    upper = min(upper, lower + request.limit)
                kvs = self._live.values()[lower:upper] if upper > lower else []
        if _filters(request):
            kvs = [kv for kv in kvs if _passes(request, kv)]
        if request.count_only:
            return RangeResult([], count, False, self.revision)
        if request.sort_target != "key" or request.descending:
            kvs = _sorted(request, kvs)
        more = False
        if request.limit and end:
            more = count > request.limit if not _filters(request) else len(kvs) > request.limit
            kvs = kvs[: request.limit]
        if request.keys_only:
            kvs = [kv._replace(value=b"") for kv in kvs]
        return RangeResult(list(kvs), count, more, self.revision)

    def _at(self, key: bytes, revision: int) -> KeyValue | None:
        history = self._history.get(key)
        if not history:
            return None
        place = bisect_right(history, revision, key=lambda v: v.revision)
        return history[place - 1].kv if place else None

    # Compaction

    def compact(self, revision: int) -> list[tuple[int, int]]:
        """Forgets what nobody can read any more; returns (revision, sub) of what may leave the disk.

        Raises Compacted and FutureRevision.
        """
        if revision <= self.compacted:
            raise Compacted(self.compacted)
        if revision > self.revision:
            raise FutureRevision
        self.compacted = revision
        gone: list[tuple[int, int]] = []
        while self.log and self.log[0][0].revision <= revision:
            for change in self.log.popleft():
                self._prune(change.key, revision, gone)
        return gone

    def _prune(self, key: bytes, revision: int, gone: list[tuple[int, int]]) -> None:
        history = self._history.get(key)
        if history is None:
            return
        place = bisect_right(history, revision, key=lambda v: v.revision)
        keep = place - 1 if place and history[place - 1].kv is not None else place
        gone += [(v.revision, v.sub) for v in history[:keep]]
        if keep:
            del history[:keep]
        if not history:
            del self._history[key]
            self._known.discard(key)


def event_of(change: Change) -> Event:
    if change.kv is None:
        return Event("DELETE", KeyValue(change.key, b"", 0, change.revision, 0), change.previous)
    return Event("PUT", change.kv, change.previous)


def _filters(request: Range) -> bool:
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _passes(request: Range, kv: KeyValue) -> bool:
    return (
        kv.mod_revision >= request.min_mod_revision
        and (not request.max_mod_revision or kv.mod_revision <= request.max_mod_revision)
        and kv.create_revision >= request.min_create_revision
        and (not request.max_create_revision or kv.create_revision <= request.max_create_revision)
    )


def _sorted(request: Range, kvs: list[KeyValue]) -> list[KeyValue]:
    def by(kv: KeyValue) -> bytes | int:
        match request.sort_target:
            case "version":
                return kv.version
            case "create":
                return kv.create_revision
            case "mod":
                return kv.mod_revision
            case "value":
                return kv.value
            case _:
                return kv.key

    return sorted(kvs, key=by, reverse=request.descending)
