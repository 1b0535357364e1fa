"""etcdserverpb.KV: reads, writes and transactions."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.store.etcd import encoding, requests
from pilothouse.store.etcd.context import Context
from pilothouse.store.etcd.proposals import Proposals
from pilothouse.store.interface import RangeResult
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError, Status

_SLICE_KEYS: Final = 2_000  # encoded in one go, one or two milliseconds' worth
_FIRST_CHUNK_KEYS: Final = 10
_CHUNK_BYTES: Final = 256 << 10


class KV:
    def __init__(self, context: Context) -> None:
        self._store, self._clock, self._header = context.store, context.clock, context.header
        self._guard, self._counts = context.guard, context.counts
        self._max_txn_ops = context.config.max_txn_ops
        self._proposals = Proposals(context)

    async def range(self, request: Any, call: Call) -> list[bytes]:
        operation = requests.range_of(request)
        self._guard.check_range(call, request)
        result = await self._store.range(operation)
        self._counts.ranges += 1
        pieces = [self._header.field(result.revision)]
        for at in range(0, len(result.kvs), _SLICE_KEYS):
            if at:
                await self._clock.sleep(0)  # others have their turn
            pieces += encoding.key_values(result.kvs[at : at + _SLICE_KEYS])
        pieces.append(encoding.range_end_fields(result))
        return pieces

    async def range_stream(self, request: Any, call: Call) -> None:
        """As range, in chunks; the last has the header and the count (etcd 3.7)."""
        operation = requests.range_of(request)
        if operation.descending or (request.sort_order and request.sort_target):
            raise RpcError(Status.UNIMPLEMENTED, "RangeStream does not support custom sort orders")
        if (
            request.min_mod_revision
            or request.max_mod_revision
            or request.min_create_revision
            or request.max_create_revision
        ):
            raise RpcError(Status.UNIMPLEMENTED, "RangeStream does not support revision filters")
        self._guard.check_range(call, request)
        result = await self._store.range(operation)
        self._counts.ranges += 1
        kvs, keys, done = result.kvs, _FIRST_CHUNK_KEYS, 0
        while len(kvs) - done > keys:
            chunk = encoding.key_values(kvs[done : done + keys])
            size = sum(map(len, chunk))
            await call.send_message((b"\x0a", encoding.varint(size), *chunk))
            done += keys
            keys = max(1, keys * 2 if size < _CHUNK_BYTES // 2 else keys // 2 if size > _CHUNK_BYTES else keys)
        last = RangeResult(kvs[done:], result.count, result.more, result.revision)
        await call.send_message(
            encoding.field(b"\x0a", self._header.field(result.revision) + encoding.range_fields(last))
        )

    async def put(self, request: Any, call: Call) -> bytes:
        operation = requests.put_of(request)
        self._proposals.check_size(request, operation, call)
        if self._guard.on:
            await self._guard.check_put(call, request)
        result = await self._store.put(operation)
        self._counts.puts += 1
        self._counts.put_bytes += len(operation.key) + len(operation.value)
        return self._header.field(result.revision) + encoding.put_fields(result)

    async def delete_range(self, request: Any, call: Call) -> bytes:
        operation = requests.delete_of(request)
        self._proposals.check_size(request, operation, call)
        if self._guard.on:
            self._guard.check_delete(call, request)
        result = await self._store.delete(operation)
        self._counts.deletes += 1
        return self._header.field(result.revision) + encoding.delete_fields(result)

    async def txn(self, request: Any, call: Call) -> bytes:
        operation = requests.txn_of(request, self._max_txn_ops)
        self._proposals.check_size(request, operation, call)
        if self._guard.on:
            await self._guard.check_txn(call, request)
        result = await self._store.txn(operation)
        self._counts.txns += self._counts.transaction(operation, result) > 1
        return self._header.field(result.revision) + encoding.txn_fields(result)

    async def compact(self, request: Any, call: Call) -> bytes:
        self._guard.check_admin(call)
        await self._store.compact(request.revision, physical=request.physical)
        return self._header.field(await self._store.revision())
