"""A store in a dict, for tests of what stands on one: all revisions kept, watches from any of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pilothouse.store.interface import (
    Compacted,
    Compare,
    Delete,
    DeleteResult,
    Event,
    FutureRevision,
    KeyValue,
    Op,
    OpResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
    WatchBatch,
)


def _inside(key: bytes, start: bytes, end: bytes) -> bool:
    if not end:
        return key == start
    return key >= start and (end == b"\0" or key < end)


class MemoryWatch:
    def __init__(self, store: MemoryStore, key: bytes, end: bytes, start: int, prev_kv: bool) -> None:
        self._store, self.key, self.end, self.prev_kv = store, key, end, prev_kv
        self._queue: asyncio.Queue[WatchBatch | None] = asyncio.Queue()
        if start:
            for revision in range(start, store.now + 1):
                self.offer(store.history.get(revision, []), revision)

    def offer(self, events: list[Event], revision: int) -> None:
        own = [e for e in events if _inside(e.kv.key, self.key, self.end)]
        if own:
            self._queue.put_nowait(WatchBatch(own, revision))

    def __aiter__(self) -> AsyncIterator[WatchBatch]:
        return self._run()

    async def _run(self) -> AsyncIterator[WatchBatch]:
        while (batch := await self._queue.get()) is not None:
            yield batch

    def request_progress(self) -> None:
        self._queue.put_nowait(WatchBatch([], self._store.now))

    async def cancel(self) -> None:
        self._store.watches.discard(self)
        self._queue.put_nowait(None)


class MemoryStore:
    def __init__(self) -> None:
        self.now = 1
        self.compacted = 0
        self.data: dict[bytes, KeyValue] = {}
        self.past: dict[bytes, list[tuple[int, KeyValue | None]]] = {}
        self.history: dict[int, list[Event]] = {}
        self.watches: set[MemoryWatch] = set()
        self.leases: dict[int, int] = {}

    async def revision(self) -> int:
        return self.now

    def _at(self, key: bytes, revision: int) -> KeyValue | None:
        found = None
        for at, kv in self.past.get(key, []):
            if at <= revision:
                found = kv
        return found

    def _range(self, request: Range) -> RangeResult:
        if request.revision > self.now:
            raise FutureRevision
        if request.revision and request.revision < self.compacted:
            raise Compacted(self.compacted)
        kvs = []
        for key in sorted(self.past):
            if _inside(key, request.key, request.range_end):
                kv = self._at(key, request.revision) if request.revision else self.data.get(key)
                if kv is not None:
                    kvs.append(kv)
        count = len(kvs)
        more = bool(request.limit) and count > request.limit
        return RangeResult(kvs[: request.limit] if request.limit else kvs, count, more, self.now)

    async def range(self, request: Range) -> RangeResult:
        return self._range(request)

    def _holds(self, compare: Compare) -> bool:
        kv = self.data.get(compare.key)
        found = {
            "version": kv.version if kv else 0,
            "create": kv.create_revision if kv else 0,
            "mod": kv.mod_revision if kv else 0,
            "lease": kv.lease if kv else 0,
            "value": kv.value if kv else None,
        }[compare.target]
        return found == compare.value if compare.op == "=" else found != compare.value

    def _apply(self, op: Op, revision: int, events: list[Event]) -> OpResult:
        if isinstance(op, Range):
            return self._range(op)
        if isinstance(op, Put):
            old = self.data.get(op.key)
            kv = KeyValue(
                op.key,
                op.value,
                old.create_revision if old else revision,
                revision,
                old.version + 1 if old else 1,
                op.lease,
            )
            self.data[op.key] = kv
            self.past.setdefault(op.key, []).append((revision, kv))
            events.append(Event("PUT", kv, old))
            return PutResult(revision, old if op.prev_kv else None)
        assert isinstance(op, Delete)
        keys = [k for k in self.data if _inside(k, op.key, op.range_end)]
        for key in keys:
            old = self.data.pop(key)
            self.past[key].append((revision, None))
            events.append(Event("DELETE", KeyValue(key, b"", 0, revision, 0), old))
        return DeleteResult(revision, len(keys))

    async def txn(self, request: Txn) -> TxnResult:
        await asyncio.sleep(0)
        succeeded = all(self._holds(c) for c in request.compare)
        events: list[Event] = []
        revision = self.now + 1
        responses = [self._apply(op, revision, events) for op in (request.success if succeeded else request.failure)]
        if events:
            self.now = revision
            self.history[revision] = events
            for watch in self.watches:
                watch.offer(events, revision)
        return TxnResult(succeeded, responses, self.now)

    async def put(self, request: Put) -> PutResult:
        result = (await self.txn(Txn(success=[request]))).responses[0]
        assert isinstance(result, PutResult)
        return result

    async def delete(self, request: Delete) -> DeleteResult:
        result = (await self.txn(Txn(success=[request]))).responses[0]
        assert isinstance(result, DeleteResult)
        return result

    def watch(
        self, key: bytes, range_end: bytes = b"", *, start_revision: int = 0, prev_kv: bool = False
    ) -> MemoryWatch:
        watch = MemoryWatch(self, key, range_end, start_revision, prev_kv)
        self.watches.add(watch)
        return watch

    async def compact(self, revision: int) -> None:
        self.compacted = revision

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        lease = lease or len(self.leases) + 1
        self.leases[lease] = ttl_s
        return lease

    async def lease_keep_alive(self, lease: int) -> int:
        return self.leases[lease]

    async def lease_revoke(self, lease: int) -> None:
        del self.leases[lease]

    async def close(self) -> None:
        return None
