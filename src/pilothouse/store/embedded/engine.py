"""`EmbeddedStore`: interface.Store over the state in memory and the disk behind it.

A write changes the state in memory at once and joins the batch that waits for the disk; one commit with one sync serves all
that came meanwhile. Nobody hears of a write before it is durable: not its writer, no reader, no watcher. Where the disk fails,
the state in memory is ahead of it, so the store refuses everything from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pilothouse.clock import Clock
from pilothouse.store.embedded import rules
from pilothouse.store.embedded.disk import Batch, Disk
from pilothouse.store.embedded.leases import Leases
from pilothouse.store.embedded.state import Change, State
from pilothouse.store.embedded.watches import EmbeddedWatch, Hub, batch_of, select
from pilothouse.store.interface import (
    Compacted,
    Compare,
    Delete,
    DeleteResult,
    InvalidRequest,
    KeyValue,
    LeaseNotFound,
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
)  # fmt: skip

log = logging.getLogger(__name__)

_DROP_AT_ONCE: Final = 2000


async def open_store(path: Path | None, clock: Clock) -> EmbeddedStore:
    """Raises InUse, Corrupt and Unavailable; each says in one sentence what to do."""
    disk = Disk(path) if path is not None else None
    try:
        return EmbeddedStore(disk, clock)
    except BaseException:
        if disk is not None:
            disk.close()
        raise


class EmbeddedStore:
    """Belongs to the running event loop. Made by `open_store`."""

    def __init__(self, disk: Disk | None, clock: Clock) -> None:
        self._disk, self._clock = disk, clock
        self._state = State()
        self._leases = Leases(clock, self._expire)
        if disk is not None:
            self._load(disk)
        self._hub = Hub(self._state.revision)
        self._batch = Batch()
        self._told = self._state.revision  # durable up to here
        self._waiting: asyncio.Future[None] | None = None  # for the batch that gathers
        self._committing: asyncio.Task[None] | None = None
        self._in_flight: asyncio.Future[None] | None = None
        self._failure: StoreError | None = None
        self._thread = ThreadPoolExecutor(1, "store")
        self._tasks: set[asyncio.Task[None]] = set()

    def _load(self, disk: Disk) -> None:
        state = self._state
        last, compacted = disk.numbers()
        state.load(disk.load())
        state.compacted = compacted
        state.revision = max(state.revision, last, compacted, 1)
        while state.log and state.log[0][0].revision <= compacted:
            state.log.popleft()
        for identity, ttl_s in disk.leases().items():
            self._leases.grant(ttl_s, identity)
        for kv in state.range(Range(b"\0", b"\0")).kvs:
            if kv.lease and kv.lease in self._leases:
                self._leases.attach(kv.key, kv.lease, 0)

    # Reads

    async def range(self, request: Range) -> RangeResult:
        rules.check(request)
        self._alive()
        result = self._state.range(request)
        await self._durable()
        return result

    async def revision(self) -> int:
        self._alive()
        found = self._state.revision
        await self._durable()
        return found

    def watch(
        self, key: bytes, range_end: bytes = b"", *, start_revision: int = 0, prev_kv: bool = False
    ) -> EmbeddedWatch:
        state = self._state
        watch = self._hub.open(key, range_end, start_revision or state.revision + 1, prev_kv)
        if self._failure is not None:
            watch.fail(self._failure)
        elif start_revision:
            try:
                past = state.changes_since(start_revision)
            except Compacted as error:
                watch.fail(error)
                return watch
            changes = select([c for one in past for c in one if c.revision <= self._told], key, range_end)
            if changes:
                watch.deliver(batch_of(changes, self._told, prev_kv))
        return watch

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
        rules.check(op)
        self._alive()
        result = self._execute(op)
        await self._durable()
        return result

    def _execute(self, op: Op) -> OpResult:
        """Everything of one request, in memory, as one revision. Raises before anything is changed."""
        write = _Write(self._state, self._leases)
        chosen = write.plan(op)
        result = write.run(op, chosen)
        if write.changes:
            for change in write.changes:
                self._batch.put(change.revision, change.sub, change.key, change.kv)
            self._gather()
        return result

    async def compact(self, revision: int) -> None:
        self._alive()
        gone = self._state.compact(revision)
        self._batch.compacted = revision
        for at in range(0, max(len(gone), 1), _DROP_AT_ONCE):
            self._batch.drop(gone[at : at + _DROP_AT_ONCE])
            self._gather()
            await self._durable()

    # Leases

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        self._alive()
        granted = self._leases.grant(max(1, ttl_s), lease)
        self._batch.leases[granted.identity] = granted.ttl_s
        self._gather()
        await self._durable()
        return granted.identity

    async def lease_keep_alive(self, lease: int) -> int:
        self._alive()
        return self._leases.renew(lease)

    async def lease_revoke(self, lease: int) -> None:
        self._alive()
        dropped = self._leases.drop(lease)
        self._batch.leases[lease] = None
        if dropped.keys:
            state = self._state
            revision = state.revision + 1
            for sub, key in enumerate(sorted(dropped.keys)):
                change = Change(revision, sub, key, None, state.get(key))
                state.apply(change)
                self._batch.put(revision, sub, key, None)
        self._gather()
        await self._durable()

    def _expire(self, lease: int) -> None:
        if self._failure is None:
            task = asyncio.get_running_loop().create_task(self._revoke(lease), name=f"lease {lease}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _revoke(self, lease: int) -> None:
        try:
            await self.lease_revoke(lease)
        except LeaseNotFound:
            return
        except StoreError as error:
            log.error("lease %d could not expire: %s", lease, error)

    # The way to the disk

    def _alive(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _gather(self) -> None:
        """There is something to commit: a commit starts, or follows the one that runs."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit_all(), name="store commits")

    async def _durable(self) -> None:
        """Returns once all that the state shows now is on disk."""
        future = self._waiting or self._in_flight
        if future is not None:
            await asyncio.shield(future)

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting is not None and self._failure is None:
                batch, future, revision = self._batch, self._waiting, self._state.revision
                self._batch, self._waiting, self._in_flight = Batch(), None, future
                try:
                    if self._disk is not None:
                        await loop.run_in_executor(self._thread, self._disk.commit, batch)
                except StoreError as error:
                    self._fail(error, future)
                    return
                self._in_flight = None
                self._tell(revision)
                if not future.done():
                    future.set_result(None)
        finally:
            self._committing = None

    def _tell(self, revision: int) -> None:
        if revision > self._told:
            fresh = []
            for changes in reversed(self._state.log):
                number = changes[0].revision
                if number <= self._told:
                    break
                if number <= revision:
                    fresh.append(changes)
            fresh.reverse()
            self._told = revision
            self._hub.tell(fresh, revision)

    def _fail(self, error: StoreError, future: asyncio.Future[None]) -> None:
        log.error("%s", error)
        self._failure = error
        for waiting in (future, self._waiting):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # nobody may be waiting
        self._waiting = self._in_flight = None
        self._hub.end(error)

    async def close(self) -> None:
        """Commits what is under way, ends the watches and lets go of the directory."""
        if self._failure is None:
            try:
                await self._durable()
            except StoreError as error:
                log.error("closing: %s", error)
        self._failure = self._failure or Unavailable("the store is closed")
        if self._committing is not None:
            await asyncio.gather(self._committing, return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._hub.end(None)
        self._thread.shutdown(wait=True)
        if self._disk is not None:
            self._disk.close()
            self._disk = None


class _Write:
    """One request against the state: first `plan`, which raises what there is to refuse, then `run`."""

    def __init__(self, state: State, leases: Leases) -> None:
        self._state, self._leases = state, leases
        self._revision = state.revision + 1
        self.changes: list[Change] = []

    def plan(self, op: Op) -> list[bool]:
        """Which branch each transaction takes, in order of visit. Compares see the state before the request."""
        chosen: list[bool] = []
        self._plan(op, chosen)
        return chosen

    def _plan(self, op: Op, chosen: list[bool]) -> None:
        if isinstance(op, Txn):
            holds = all(self._compare(c) for c in op.compare)
            chosen.append(holds)
            for inner in op.success if holds else op.failure:
                self._plan(inner, chosen)
        elif isinstance(op, Range):
            self._state.check(op)
        elif isinstance(op, Put):
            if op.lease and op.lease not in self._leases:
                raise LeaseNotFound
            if (op.ignore_value or op.ignore_lease) and self._state.get(op.key) is None:
                raise InvalidRequest("etcdserver: key not found")

    def run(self, op: Op, chosen: Sequence[bool]) -> OpResult:
        return self._run(op, iter(chosen).__next__)

    def _run(self, op: Op, choose: object) -> OpResult:
        if isinstance(op, Txn):
            holds = choose()  # type: ignore[operator]
            responses = [self._run(inner, choose) for inner in (op.success if holds else op.failure)]
            return TxnResult(holds, responses, self._state.revision)
        if isinstance(op, Range):
            return self._state.range(op)
        if isinstance(op, Put):
            return self._put(op)
        return self._delete(op)

    def _change(self, key: bytes, kv: KeyValue | None, previous: KeyValue | None) -> None:
        change = Change(self._revision, len(self.changes), key, kv, previous)
        self.changes.append(change)
        self._state.apply(change)

    def _put(self, op: Put) -> PutResult:
        old = self._state.get(op.key)
        lease = old.lease if op.ignore_lease and old is not None else op.lease
        value = old.value if op.ignore_value and old is not None else op.value
        create, version = (old.create_revision, old.version + 1) if old is not None else (self._revision, 1)
        self._change(op.key, KeyValue(op.key, value, create, self._revision, version, lease), old)
        before = old.lease if old is not None else 0
        if lease or before:
            self._leases.attach(op.key, lease, before)
        return PutResult(self._revision, old if op.prev_kv else None)

    def _delete(self, op: Delete) -> DeleteResult:
        gone = []
        for key in self._state.keys(op.key, op.range_end):
            old = self._state.get(key)
            assert old is not None
            self._change(key, None, old)
            if old.lease:
                self._leases.attach(key, 0, old.lease)
            gone.append(old)
        return DeleteResult(self._state.revision, len(gone), gone if op.prev_kv else [])

    def _compare(self, compare: Compare) -> bool:
        if compare.range_end:
            found = self._state.range(Range(compare.key, compare.range_end)).kvs
            return all(_holds(compare, kv) for kv in found)
        return _holds(compare, self._state.get(compare.key))


def _holds(compare: Compare, kv: KeyValue | None) -> bool:
    actual: int | bytes
    if compare.target == "value":
        if kv is None:
            return False
        actual = kv.value
    elif kv is None:
        actual = 0
    else:
        actual = {
            "version": kv.version, "create": kv.create_revision, "mod": kv.mod_revision, "lease": kv.lease,
        }[compare.target]  # fmt: skip
    wanted = compare.value
    match compare.op:
        case "=":
            return actual == wanted
        case "!=":
            return actual != wanted
        case ">":
            return actual > wanted  # type: ignore[operator]
        case _:
            return actual < wanted  # type: ignore[operator]
