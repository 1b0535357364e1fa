"""`EmbeddedStore`: the store in this process. Writes change the state at once and in order, and return once they are durable;
reads answer from what is durable; watches hear of nothing earlier.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pilothouse.clock import Clock
from pilothouse.store.durations import Durations
from pilothouse.store.embedded import records
from pilothouse.store.embedded.commits import Commits
from pilothouse.store.embedded.disk import Disk
from pilothouse.store.embedded.export import exporting, hash_versions
from pilothouse.store.embedded.files import Files
from pilothouse.store.embedded.freeing import Freeing
from pilothouse.store.embedded.hashes import CompactionHashes
from pilothouse.store.embedded.lease import Leases
from pilothouse.store.embedded.loading import Loading
from pilothouse.store.embedded.quota import LEASE_COST, QUOTA_BYTES, Quota
from pilothouse.store.embedded.rules import MAX_OPS, MAX_REQUEST_BYTES, judge
from pilothouse.store.embedded.txn import carry_out, remove
from pilothouse.store.embedded.view import Answer, View, point, wanted
from pilothouse.store.embedded.watch import EmbeddedWatch, Hub, Selection
from pilothouse.store.interface import (
    Alarm,
    Compacted,
    Delete,
    DeleteResult,
    Event,
    Export,
    FutureRevision,
    KeysHash,
    LeaseStatus,
    NoSpace,
    Op,
    Put,
    PutResult,
    Range,
    RangeResult,
    Status,
    StoreError,
    Txn,
    TxnResult,
    Unavailable,
    Watching,
    writes,
)

_SLICE = 2_000  # events or keys that are handled in one go, about a millisecond's worth
_CHECKPOINT_S = 300.0  # how often what is left of long leases is written down, as etcd does
_RETRY_S = 1.0
_RECORD_BYTES = 64  # more than any record without a value takes


async def open_store(
    path: Path | None,
    clock: Clock,
    *,
    quota_bytes: int = QUOTA_BYTES,
    max_txn_ops: int = MAX_OPS,
    max_request_bytes: int = MAX_REQUEST_BYTES,
    snapshot_every: int = 0,
    hash_compactions: bool = False,
    files: Files | None = None,
) -> EmbeddedStore:
    """The store in directory `path`, which is made where there is none; without a path, one in memory alone.
    `snapshot_every`: revisions after which a snapshot replaces the log; 0 leaves it to the log's size.
    `hash_compactions`: as etcd, keep for HashKV what was held before each compaction.
    Raises InUse, Corrupt, Unavailable; each says in one sentence what to do."""
    loading = Loading()
    disk = Disk(path, files) if path is not None else None

    def load() -> None:
        if disk is not None:
            disk.open(loading)
        loading.finish()

    collects = gc.isenabled()
    gc.disable()  # loading makes no garbage, and a collector that looks for it takes half the time
    try:
        await asyncio.get_running_loop().run_in_executor(None, load)
    finally:
        if collects:
            gc.enable()
    if len(loading.state.live) > _SLICE:
        gc.freeze()  # what was loaded stays: no collection need look at it again
    return EmbeddedStore(
        disk, loading, clock, quota_bytes, max_txn_ops, max_request_bytes, snapshot_every, hash_compactions
    )


class EmbeddedStore:
    """interface.Maintained. Belongs to the running event loop; made by `open_store`."""

    def __init__(
        self,
        disk: Disk | None,
        loaded: Loading,
        clock: Clock,
        quota_bytes: int,
        max_txn_ops: int,
        max_request_bytes: int,
        snapshot_every: int,
        hash_compactions: bool,
    ) -> None:
        self._disk, self._state, self._clock = disk, loaded.state, clock
        self._max_txn_ops, self._max_request_bytes = max_txn_ops, max_request_bytes
        self._meta = loaded.meta
        self._quota = Quota(quota_bytes, loaded.meta)
        self._hub = Hub(self._state, clock)
        self._leases = Leases(clock)
        for lease, (ttl_s, left_s) in loaded.leases.items():
            self._leases.set(lease, ttl_s, left_s)
        self._hashes = CompactionHashes(self._state, clock, wanted=hash_compactions)
        worker = clock.worker("store") if disk is not None else None
        self._commits = Commits(disk, worker, lambda: self._state.applied, self._deliver, self._fail)
        self.term = loaded.term + 1
        self.leases_expired = 0
        if self._commits.left >= _RECORD_BYTES:
            self._note(records.encode_term(self.term))
        self._timer: asyncio.TimerHandle | None = None
        self._checkpoint = clock.call_later(_CHECKPOINT_S, self._checkpoint_leases)
        self._set_timer()
        self._ended: StoreError | None = None  # what every call raises from now on
        self._closed = False
        self._freeing = Freeing(self._state, self._commits, disk, self._hashes, clock, self._facts, snapshot_every)
        if self._state.prunable:
            self._freeing.begin()

    # Reads

    async def revision(self) -> int:
        self._check_open()
        return self._hub.durable

    async def range(self, request: Range) -> RangeResult:
        self._check_open()
        judge(request, self._state)
        state, durable = self._state, self._hub.durable
        if request.revision > 0:
            state.check_revision(request.revision, durable)
        elif not request.range_end:
            kv = state.live.get(request.key)
            if state.applied == durable or (kv is not None and kv.mod_revision <= durable):
                return point(request, kv, durable)
        at = request.revision if request.revision > 0 else durable
        found, most, taken = Answer(request), wanted(request), 0
        with View(state, at, request.key, request.range_end) as view:
            await self._follow(view)
            while taken < most and not view.ended:
                kvs = view.take(min(most - taken, _SLICE))
                taken += len(kvs)
                found.add(kvs)
                if not view.ended and most > _SLICE:
                    await self._clock.sleep(0)
                    await self._follow(view)
            count, revision = view.count(), self._hub.durable
        while not found.order(_SLICE):
            await self._clock.sleep(0)
        return found.result(count, revision)

    async def _follow(self, view: View) -> None:
        while not view.follow(_SLICE):
            await self._clock.sleep(0)

    # Writes

    def put(self, request: Put) -> Awaitable[PutResult]:
        return self._write(request)

    def delete(self, request: Delete) -> Awaitable[DeleteResult]:
        return self._write(request)

    def txn(self, request: Txn) -> Awaitable[TxnResult]:
        return self._write(request)

    def _write(self, op: Op) -> Awaitable[Any]:
        """The result of the operation's kind. No coroutine where there is space, which is quicker by a fifteenth."""
        if self._ended is not None:
            raise self._ended
        cost, size = judge(op, self._state, self._max_txn_ops, self._max_request_bytes)
        if self._state.size + cost >= self._quota.below or size > self._commits.left:
            return self._write_with_space(op, cost, size)
        return self._carry_out(op, size)

    async def _write_with_space(self, op: Op, cost: int, size: int) -> Any:
        if writes(op):
            self._quota.check_sound()
        await self._claim(cost, size)
        return await self._carry_out(op, size)

    def _carry_out(self, op: Op, size: int) -> asyncio.Future[Any]:
        events: list[Event] = []
        result = carry_out(op, self._state, self._leases, events)
        if events:
            self._commit(events, size)
        return self._commits.durable(result)  # what it read must be so, too

    async def _claim(self, cost: int, size: int) -> None:
        """Returns once there is space for a request, within the quota and on the disk. Raises NoSpace."""
        if cost and not self._quota.check(self._state.size, cost):
            await self.set_alarm("NOSPACE", True)
            raise NoSpace
        if size > self._commits.left:
            await self._commits.make_room(size)
            self._check_open()

    def _commit(self, events: list[Event], size: int) -> None:
        revision = self._state.commit(events)
        self._commits.record(records.changes(revision, events), size)

    def _note(self, record: bytes) -> None:
        self._commits.record((record,), len(record))

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._ended

    def _fail(self, error: StoreError) -> None:
        if self._ended is None:
            self._ended = error
        self._freeing.stop()
        self._hub.end(error)

    # Watches

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
    ) -> EmbeddedWatch:
        self._check_open()
        return self._hub.watch(Selection(key or b"\0", range_end, prev_kv, no_put, no_delete), start_revision)

    # Leases

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        self._check_open()
        self._quota.check_sound()
        await self._claim(LEASE_COST, _RECORD_BYTES)
        lease, ttl_s = self._leases.grant(ttl_s, lease)
        self._note(records.encode_lease(lease, ttl_s, ttl_s))
        self._set_timer()
        await self._commits.durable(None)
        return lease

    async def lease_keep_alive(self, lease: int) -> int:
        self._check_open()
        ttl_s, shortened = self._leases.keep_alive(lease)
        if shortened:
            await self._claim(0, _RECORD_BYTES)
            self._note(records.encode_lease(lease, ttl_s, ttl_s))
            await self._commits.durable(None)
        return ttl_s

    async def lease_revoke(self, lease: int) -> None:
        self._check_open()
        self._quota.check_sound()
        await self._claim(0, self._revocation_bytes(lease))
        self._revoke(lease)
        await self._commits.durable(None)

    async def lease_time_to_live(self, lease: int, *, keys: bool = False) -> LeaseStatus:
        self._check_open()
        return self._lease_status(lease, keys)

    async def lease_list(self) -> list[int]:
        self._check_open()
        return self._leases.ids()

    def _lease_status(self, lease: int, keys: bool) -> LeaseStatus:
        ttl_s, left_s = self._leases.left(lease)
        return LeaseStatus(lease, ttl_s, left_s, sorted(self._state.attached.get(lease, ())) if keys else [])

    def _revocation_bytes(self, lease: int) -> int:
        return _RECORD_BYTES + sum(len(key) + 8 for key in self._state.attached.get(lease, ()))

    def _revoke(self, lease: int) -> None:
        """The lease and all its keys, in one revision."""
        self._leases.remove(lease)
        size, events = self._revocation_bytes(lease), list[Event]()
        remove(sorted(self._state.attached.get(lease, ())), self._state, events)
        if events:
            self._commit(events, size)
        self._note(records.encode_revoke(lease))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = self._leases.next_end()
        if end is not None:
            self._timer = self._clock.call_later(max(0.0, end - self._clock.monotonic()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._ended is not None:
            return
        keys = 0
        while keys < _SLICE and (lease := self._leases.ended()) is not None:
            if self._commits.left < self._revocation_bytes(lease):
                self._timer = self._clock.call_later(_RETRY_S, self._expire)  # the disk is full
                return
            keys += 1 + len(self._state.attached.get(lease, ()))
            self._revoke(lease)
            self.leases_expired += 1
        self._set_timer()

    def _checkpoint_leases(self) -> None:
        if self._ended is not None:
            return
        if self._commits.left >= _RECORD_BYTES * len(self._leases):
            for lease, ttl_s, left_s in self._leases.checkpoint(_CHECKPOINT_S):
                if left_s < ttl_s:
                    self._note(records.encode_lease(lease, ttl_s, left_s))
        self._checkpoint = self._clock.call_later(_CHECKPOINT_S, self._checkpoint_leases)

    # Compaction

    async def compact(self, revision: int, *, physical: bool = False) -> None:
        """Returns once it is durable that earlier revisions cannot be read. Memory and disk are freed in the background."""
        self._check_open()
        self._quota.check_sound()
        await self._claim(0, _RECORD_BYTES)
        state = self._state
        if revision <= state.compacted:
            raise Compacted(state.compacted)
        if revision > self._hub.durable:
            raise FutureRevision
        self._hashes.due(state.compacted, revision)
        state.compacted = revision
        self._note(records.encode_compact(revision))
        await self._commits.durable(None)
        self._freeing.begin()
        if physical:
            await self._freeing.finished()

    async def defragment(self) -> None:
        self._check_open()
        self._freeing.begin(snapshot=True)
        await self._freeing.finished()

    def _deliver(self, durable: int) -> None:
        before = self._hub.durable
        self._hub.deliver(durable)
        self._state.history.pack(durable - before)
        self._freeing.written(durable)

    def _facts(self) -> bytes:
        """The records of what there is beside the keys."""
        parts = [records.encode_lease(*lease) for lease in self._leases.checkpoint(_CHECKPOINT_S)]
        parts += [records.encode_meta(name, value) for name, value in self._meta.items()]
        return b"".join(parts) + records.encode_term(self.term)

    # What the gRPC front needs besides (interface.Maintained)

    @property
    def commits_took(self) -> Durations:
        return self._commits.took

    @property
    def index(self) -> int:
        return self._commits.index

    async def status(self) -> Status:
        self._check_open()
        return Status(
            self._hub.durable, self._freeing.disk_bytes, self._state.size, self.index, self.term, self._state.compacted
        )

    def watching(self) -> Watching:
        return self._hub.watching()

    @asynccontextmanager
    async def export(self) -> AsyncIterator[Export]:
        self._check_open()
        state, durable = self._state, self._hub.durable
        leases = [self._lease_status(lease, True) for lease in self._leases.ids()]
        with exporting(state, durable, self._clock) as versions:
            yield Export(durable, state.compacted, self.index, self.term, leases, dict(self._meta), versions)

    async def hash_kv(self, revision: int = 0) -> KeysHash:
        self._check_open()
        state = self._state
        known = self._hashes.get(revision)
        if known is not None:
            return known
        revision = revision or self._hub.durable
        if revision > 0:
            state.check_revision(revision, self._hub.durable)
        compacted = state.compacted
        return KeysHash(await hash_versions(state, revision, compacted, self._clock), revision, compacted)

    @property
    def alarms(self) -> frozenset[Alarm]:
        return self._quota.alarms

    async def set_alarm(self, alarm: Alarm, active: bool) -> None:
        self._check_open()
        if (alarm in self._quota.alarms) != active:
            await self.set_meta(*self._quota.set(alarm, active))

    @property
    def meta(self) -> Mapping[str, bytes]:
        return MappingProxyType(self._meta)

    async def set_meta(self, name: str, value: bytes | None) -> None:
        self._check_open()
        await self._claim(0, _RECORD_BYTES + len(name.encode()) + len(value or b""))
        if value is None:
            self._meta.pop(name, None)
        else:
            self._meta[name] = value
        self._note(records.encode_meta(name, value))
        await self._commits.durable(None)

    async def close(self) -> None:
        """Writes what is left, and lets go of the directory. Calls made from now on raise Unavailable."""
        if self._closed:
            return
        self._closed, self._ended = True, Unavailable("etcdserver: server stopped")
        if self._timer is not None:
            self._timer.cancel()
        self._checkpoint.cancel()
        self._freeing.stop()
        await self._freeing.finished()
        await self._commits.close()
        self._hub.end(self._ended)
        if self._disk is not None:
            self._disk.close()
