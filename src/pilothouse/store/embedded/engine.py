"""`EmbeddedStore`: the store in this process. Writes change the state at once and in order, and return once they are durable;
reads answer from what is durable; watches hear of nothing earlier.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pilothouse.clock import Clock
from pilothouse.store.embedded import records
from pilothouse.store.embedded.commits import Commits
from pilothouse.store.embedded.disk import Disk
from pilothouse.store.embedded.lease import Leases
from pilothouse.store.embedded.snapshot import slices
from pilothouse.store.embedded.state import Changed, State
from pilothouse.store.embedded.txn import Transaction, check, writes
from pilothouse.store.embedded.watch import EmbeddedWatch, Hub
from pilothouse.store.interface import (
    Compacted,
    Delete,
    DeleteResult,
    FutureRevision,
    NoSpace,
    Op,
    OpResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    StoreError,
    Txn,
    TxnResult,
    Unavailable,
)

log = logging.getLogger(__name__)

QUOTA_BYTES = 8 << 30  # what etcd suggests as the most
_SLICE = 1_000  # events or keys that are handled in one go, about a millisecond's worth
_CHECKPOINT_S = 300.0  # how often what is left of long leases is written down, as etcd does
_GARBAGE_BYTES = 4 << 20  # less is not worth a snapshot


class _Loader(State):
    """The state as the disk tells it, with the leases beside."""

    def __init__(self) -> None:
        super().__init__()
        self.leases: dict[int, tuple[int, float]] = {}

    def load_lease(self, lease: int, ttl_s: int, left_s: float) -> None:
        self.leases[lease] = (ttl_s, left_s)

    def load_revoke(self, lease: int) -> None:
        self.leases.pop(lease, None)

    def load_revision(self, revision: int) -> None:
        if len(self.history) > 1 and revision != self.applied + 1:
            raise records.BadRecord(f"revision {revision} follows revision {self.applied}")
        super().load_revision(revision)

    def load_compact(self, revision: int) -> None:
        self.compacted = max(self.compacted, revision)


async def open_store(path: Path | None, clock: Clock, *, quota_bytes: int = QUOTA_BYTES) -> EmbeddedStore:
    """The store in directory `path`, which is made where there is none; without a path, one in memory alone.
    Raises InUse, Corrupt, Unavailable; each says in one sentence what to do."""
    state = _Loader()
    if path is None:
        state.loaded()
        return EmbeddedStore(None, None, state, state.leases, clock, quota_bytes)
    disk = Disk(path)
    executor = ThreadPoolExecutor(1, thread_name_prefix="store")

    def load() -> None:
        disk.open(state)
        state.loaded()

    try:
        await asyncio.get_running_loop().run_in_executor(executor, load)
    except BaseException:
        executor.shutdown(wait=False)
        raise
    return EmbeddedStore(disk, executor, state, state.leases, clock, quota_bytes)


class EmbeddedStore:
    def __init__(
        self,
        disk: Disk | None,
        executor: ThreadPoolExecutor | None,
        state: State,
        leases: dict[int, tuple[int, float]],
        clock: Clock,
        quota_bytes: int,
    ) -> None:
        self._disk, self._executor, self._state, self._clock = disk, executor, state, clock
        self._quota_bytes = quota_bytes
        self._hub = Hub(state, clock)
        self._leases = Leases(clock)
        for lease, (ttl_s, left_s) in leases.items():
            self._leases.set(lease, ttl_s, left_s)
        self._commits = Commits(disk, executor, lambda: state.applied, self._hub.deliver, self._hub.end)
        self._timer: asyncio.TimerHandle | None = None
        self._checkpoint = clock.call_later(_CHECKPOINT_S, self._checkpoint_leases)
        self._set_timer()
        self._stopped: StoreError | None = None
        self._compacting: asyncio.Task[None] | None = None
        self._compact_again = False
        if state.floor < state.compacted:
            self._tidy()

    # Reads

    async def revision(self) -> int:
        self._check_open()
        return self._hub.durable

    async def range(self, request: Range) -> RangeResult:
        self._check_open()
        check(request)
        state, durable = self._state, self._hub.durable
        if request.revision <= 0:
            changed = state.changed_since(durable, request.key, request.range_end) if state.applied > durable else {}
            return state.read(request, changed, durable)
        state.check_revision(request.revision, durable)
        changed = await self._changed_since(request.revision, request.key, request.range_end)
        return state.read(request, changed, self._hub.durable)

    async def _changed_since(self, revision: int, start: bytes, end: bytes) -> Changed:
        """As State's, in slices; complete when it returns."""
        state, changed, seen = self._state, Changed(), revision
        while True:
            stop = min(seen + _SLICE, state.applied)
            state.add_changes(changed, seen, stop, start, end)
            seen = stop
            if seen == state.applied:
                return changed
            await self._clock.sleep(0)
            state.check_revision(revision, state.applied)

    # Writes

    async def put(self, request: Put) -> PutResult:
        result = await self._write(request)
        assert isinstance(result, PutResult)
        return result

    async def delete(self, request: Delete) -> DeleteResult:
        result = await self._write(request)
        assert isinstance(result, DeleteResult)
        return result

    async def txn(self, request: Txn) -> TxnResult:
        result = await self._write(request)
        assert isinstance(result, TxnResult)
        return result

    async def _write(self, op: Op) -> OpResult:
        self._check_open()
        check(op)
        if self._state.size > self._quota_bytes and writes(op):
            raise NoSpace
        transaction = Transaction(self._state, self._leases)
        result = transaction.run(op)
        self._record(transaction)
        await self._commits.wait()  # for what it read, too
        return result

    def _record(self, transaction: Transaction) -> None:
        if transaction.events:
            self._state.commit(transaction.revision, transaction.events)
            self._commits.record(records.encode_changes(transaction.revision, transaction.events))

    def _check_open(self) -> None:
        error = self._stopped or self._commits.error
        if error is not None:
            raise error

    # Watches

    def watch(
        self, key: bytes, range_end: bytes = b"", *, start_revision: int = 0, prev_kv: bool = False
    ) -> EmbeddedWatch:
        self._check_open()
        return self._hub.watch(key, range_end, start_revision, prev_kv)

    # Leases

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        self._check_open()
        lease, ttl_s = self._leases.grant(ttl_s, lease)
        self._commits.record(records.encode_lease(lease, ttl_s, ttl_s))
        self._set_timer()
        await self._commits.wait()
        return lease

    async def lease_keep_alive(self, lease: int) -> int:
        self._check_open()
        return self._leases.keep_alive(lease)

    async def lease_revoke(self, lease: int) -> None:
        self._check_open()
        self._revoke(lease)
        await self._commits.wait()

    async def lease_time_to_live(self, lease: int) -> tuple[int, float, list[bytes]]:
        """(time to live, seconds left, its keys in order). Raises LeaseNotFound."""
        self._check_open()
        return *self._leases.left(lease), sorted(self._state.attached.get(lease, ()))

    async def leases(self) -> list[int]:
        self._check_open()
        return self._leases.ids()

    def _revoke(self, lease: int) -> None:
        """The lease and all its keys, in one revision."""
        self._leases.remove(lease)
        transaction = Transaction(self._state, self._leases)
        transaction.remove(sorted(self._state.attached.get(lease, ())))
        self._record(transaction)
        self._commits.record(records.encode_revoke(lease))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = self._leases.next_end()
        if end is not None:
            self._timer = self._clock.call_later(max(0.0, end - self._clock.monotonic()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._commits.error is not None:
            return
        keys = 0
        while keys < _SLICE and (lease := self._leases.ended()) is not None:
            keys += 1 + len(self._state.attached.get(lease, ()))
            self._revoke(lease)
        self._set_timer()

    def _checkpoint_leases(self) -> None:
        if self._commits.error is not None:
            return
        for lease in self._leases.ids():
            ttl_s, left_s = self._leases.left(lease)
            if ttl_s > _CHECKPOINT_S:
                self._commits.record(records.encode_lease(lease, ttl_s, left_s))
        self._checkpoint = self._clock.call_later(_CHECKPOINT_S, self._checkpoint_leases)

    # Compaction

    async def compact(self, revision: int) -> None:
        """Returns once it is durable that earlier revisions cannot be read; memory and disk are freed in the background."""
        self._check_open()
        state = self._state
        if revision <= state.compacted:
            raise Compacted(state.compacted)
        if revision > self._hub.durable:
            raise FutureRevision
        state.compacted = revision
        self._commits.record(records.encode_compact(revision))
        await self._commits.wait()
        self._tidy()

    async def tidied(self) -> None:
        """Returns once compaction has freed what it could."""
        if self._compacting is not None:
            await asyncio.shield(self._compacting)

    @property
    def memory_bytes(self) -> int:
        """Of all versions of all keys held, about."""
        return self._state.size

    @property
    def disk_bytes(self) -> int:
        return self._disk.snapshot_bytes + self._disk.log_bytes if self._disk is not None else 0

    def _tidy(self) -> None:
        self._compact_again = True
        if self._compacting is None or self._compacting.done():
            self._compacting = asyncio.create_task(self._free(), name="store compaction")

    async def _free(self) -> None:
        try:
            while self._compact_again:
                self._compact_again = False
                while self._state.prune(_SLICE):
                    await self._clock.sleep(0)
                if self.disk_bytes > 2 * self._state.size + _GARBAGE_BYTES:
                    await self._snapshot()
        except StoreError as error:
            log.warning("compaction gave up: %s", error)
        except OSError as error:
            log.warning("no snapshot could be written: %s", error)

    async def _snapshot(self) -> None:
        """Replaces the logs so far. Nothing is pruned while it is written."""
        file, last = await self._commits.rotate()
        loop = asyncio.get_running_loop()
        try:
            async for payload in slices(self._state, last, self._clock):
                if self._stopped is not None:
                    return
                await loop.run_in_executor(None, file.add, payload)
            await loop.run_in_executor(None, file.add, self._lease_records() + records.encode_end(last))
            await loop.run_in_executor(None, file.finish)
        finally:
            file.abandon()

    def _lease_records(self) -> bytes:
        return b"".join(records.encode_lease(lease, *self._leases.left(lease)) for lease in self._leases.ids())

    async def close(self) -> None:
        """Writes what is left, and lets go of the directory. Calls made from now on raise Unavailable."""
        if self._stopped is not None:
            return
        self._stopped = Unavailable("etcdserver: server stopped")
        if self._timer is not None:
            self._timer.cancel()
        self._checkpoint.cancel()
        if self._compacting is not None:
            await self._compacting
        await self._commits.close()
        self._hub.end(self._stopped)
        if self._executor is not None:
            self._executor.shutdown()
        if self._disk is not None:
            self._disk.close()
