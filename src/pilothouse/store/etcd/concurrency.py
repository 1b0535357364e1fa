"""v3lockpb.Lock and v3electionpb.Election: queues of keys below a name, each held by a lease. Whose key is the oldest
has the lock, or leads.

Source of the behaviour: etcd's v3lock, v3election and client/v3/concurrency; the keys are theirs too, so that both
can take part.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from pilothouse.store.etcd import encoding
from pilothouse.store.etcd.auth.book import READ, WRITE
from pilothouse.store.etcd.context import Context
from pilothouse.store.interface import (
    Compare,
    Delete,
    KeyValue,
    Put,
    Range,
    RangeResult,
    StoreError,
    Txn,
    TxnResult,
    prefix_end,
)
from pilothouse.store.rpc.messages import mvccpb, v3electionpb, v3lockpb
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError, Status

_TTL_S: Final = 60  # of the lease that is made where none is given


class _Queue:
    """What locks and elections share."""

    def __init__(self, context: Context) -> None:
        self._context, self._store = context, context.store

    def _check(self, call: Call, name: bytes) -> None:
        self._context.guard.check(call, WRITE, name + b"/", prefix_end(name + b"/"))
        self._context.guard.check(call, READ, name + b"/", prefix_end(name + b"/"))

    async def _enter(self, name: bytes, value: bytes, lease: int) -> tuple[bytes, int, TxnResult]:
        """The key that stands in the queue, and the revision since when."""
        key = name + b"/" + f"{lease:x}".encode()
        absent = Compare(key, "create", "=", 0)
        result = await self._store.txn(Txn([absent], [Put(key, value, lease)], [Range(key)]))
        if result.succeeded:
            return key, result.revision, result
        found = result.responses[0]
        assert isinstance(found, RangeResult)
        return key, found.kvs[0].create_revision, result

    async def _lease(self, lease: int) -> int:
        return lease or await self._store.lease_grant(_TTL_S)

    async def _wait_turn(self, name: bytes, created: int) -> None:
        """Returns once no key of the queue is older than revision `created`."""
        prefix = name + b"/"
        while True:
            before = await self._store.range(
                Range(prefix, prefix_end(prefix), limit=1, sort_target="create", descending=True,
                      max_create_revision=created - 1)
            )  # fmt: skip
            if not before.kvs:
                return
            await self._wait_gone(before.kvs[0].key, before.revision + 1)

    async def _wait_gone(self, key: bytes, revision: int) -> None:
        watch = self._store.watch(key, start_revision=revision, no_put=True)
        try:
            async for events, _ in watch:
                if events:
                    return
        finally:
            await watch.cancel()

    async def _leave(self, key: bytes, created: int) -> int:
        """Takes the key out of the queue where it still stands. Returns the revision."""
        mine = Compare(key, "create", "=", created)
        return (await self._store.txn(Txn([mine], [Delete(key)]))).revision

    def _headed(self, response: Any, revision: int, **fields: Any) -> Any:
        return response(header=self._context.header.message(revision), **fields)


def _plain(handler: Any) -> Any:
    """etcd's locks and elections are clients of its other services, and say what those refused without its code."""

    @wraps(handler)
    async def call(self: _Queue, request: Any, call: Call) -> Any:
        try:
            return await handler(self, request, call)
        except (StoreError, RpcError) as error:
            raise RpcError(Status.UNKNOWN, str(error)) from None

    return call


class Lock(_Queue):
    @_plain
    async def lock(self, request: Any, call: Call) -> Any:
        self._check(call, request.name)
        lease = await self._lease(request.lease)
        key, created, result = await self._enter(request.name, b"", lease)
        try:
            await self._wait_turn(request.name, created)
        except BaseException:
            await self._leave(key, created)
            raise
        held = await self._store.range(Range(key))
        if not held.kvs:  # the lease ended meanwhile
            raise RpcError(Status.UNKNOWN, "mutex: session is expired")
        return self._headed(v3lockpb.LockResponse, result.revision, key=key)

    @_plain
    async def unlock(self, request: Any, call: Call) -> Any:
        self._context.guard.check(call, WRITE, request.key, b"")
        result = await self._store.delete(Delete(request.key))
        return self._headed(v3lockpb.UnlockResponse, result.revision)


class Election(_Queue):
    @_plain
    async def campaign(self, request: Any, call: Call) -> Any:
        self._check(call, request.name)
        lease = await self._lease(request.lease)
        key, created, result = await self._enter(request.name, request.value, lease)
        if not result.succeeded:
            found = result.responses[0]
            assert isinstance(found, RangeResult)
            if found.kvs[0].value != request.value:
                await self._announce(key, created, request.value, lease)
        try:
            await self._wait_turn(request.name, created)
        except BaseException:
            await self._leave(key, created)
            raise
        leader = {"name": request.name, "key": key, "rev": created, "lease": lease}
        return self._headed(v3electionpb.CampaignResponse, result.revision, leader=leader)

    async def _announce(self, key: bytes, created: int, value: bytes, lease: int) -> int:
        mine = Compare(key, "create", "=", created)
        result = await self._store.txn(Txn([mine], [Put(key, value, lease)]))
        if not result.succeeded:
            raise RpcError(Status.UNKNOWN, "election: not leader")
        return result.revision

    def _leader_key(self, request: Any) -> Any:
        if not request.HasField("leader"):
            raise RpcError(Status.UNKNOWN, '"leader" field must be provided')
        return request.leader

    @_plain
    async def proclaim(self, request: Any, call: Call) -> Any:
        leader = self._leader_key(request)
        self._context.guard.check(call, WRITE, leader.key, b"")
        revision = await self._announce(leader.key, leader.rev, request.value, await self._lease(leader.lease))
        return self._headed(v3electionpb.ProclaimResponse, revision)

    @_plain
    async def resign(self, request: Any, call: Call) -> Any:
        leader = self._leader_key(request)
        self._context.guard.check(call, WRITE, leader.key, b"")
        return self._headed(v3electionpb.ResignResponse, await self._leave(leader.key, leader.rev))

    @_plain
    async def leader(self, request: Any, call: Call) -> Any:
        self._context.guard.check(call, READ, request.name + b"/", prefix_end(request.name + b"/"))
        result = await self._first(request.name)
        if not result.kvs:
            raise RpcError(Status.UNKNOWN, "election: no leader")
        return self._answer(result.revision, result.kvs[0])

    async def _first(self, name: bytes) -> RangeResult:
        prefix = name + b"/"
        return await self._store.range(Range(prefix, prefix_end(prefix), limit=1, sort_target="create"))

    def _answer(self, revision: int, kv: KeyValue) -> Any:
        found = mvccpb.KeyValue.FromString(encoding.key_value(kv))
        return self._headed(v3electionpb.LeaderResponse, revision, kv=found)

    async def observe(self, request: Any, call: Call) -> None:
        """Each leader and each of its values, as they come. Who may not see them sees it end, as with etcd."""
        prefix = request.name + b"/"
        try:
            self._context.guard.check(call, READ, prefix, prefix_end(prefix))
        except RpcError:
            return
        result = await self._first(request.name)
        revision = result.revision
        last: KeyValue | None = None
        watch = self._store.watch(prefix, prefix_end(prefix), start_revision=revision + 1)
        try:
            if result.kvs:
                last = result.kvs[0]
                await call.send_message(self._answer(revision, last))
            async for events, _ in watch:
                if not events:
                    continue
                result = await self._first(request.name)
                if result.kvs and result.kvs[0] != last:
                    last = result.kvs[0]
                    await call.send_message(self._answer(result.revision, last))
        finally:
            await watch.cancel()
