"""`RemoteStore`: interface.Store over an etcd cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pilothouse.clock import Clock
from pilothouse.store.interface import (
    Compacted,
    Delete,
    DeleteResult,
    LeaseNotFound,
    LeaseStatus,
    Put,
    PutResult,
    Range,
    RangeResult,
    Status,
    StoreError,
    Txn,
    TxnResult,
    Unavailable,
    writes,
)  # fmt: skip
from pilothouse.store.remote.calls import ATTEMPT_S, CALL_S, PROPOSAL_S, Calls
from pilothouse.store.remote.convert import Converter
from pilothouse.store.remote.endpoints import Endpoints, Options, metadata
from pilothouse.store.remote.failures import failure_of, is_unanswered
from pilothouse.store.remote.repeats import FENCE, fence_of, fenced, is_guarded, may_come_late, settle
from pilothouse.store.remote.watch import RemoteWatch
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.rpc.services import method

CONNECT_S: Final = 20.0  # upstream's API server gives up as late
_KV, _LEASE, _MAINTENANCE = "etcdserverpb.KV", "etcdserverpb.Lease", "etcdserverpb.Maintenance"
_RANGE, _PUT, _DELETE = method(_KV, "Range"), method(_KV, "Put"), method(_KV, "DeleteRange")
_TXN, _COMPACT = method(_KV, "Txn"), method(_KV, "Compact")
_GRANT, _REVOKE, _KEEP = method(_LEASE, "LeaseGrant"), method(_LEASE, "LeaseRevoke"), method(_LEASE, "LeaseKeepAlive")
_LEFT, _LEASES = method(_LEASE, "LeaseTimeToLive"), method(_LEASE, "LeaseLeases")
_STATUS = method(_MAINTENANCE, "Status")
_SHARED_S: Final = 0.05
_PROBE: Final = b"/registry/health"
# Before these, progress notifications may come before the events that they speak of (etcd issue 15220).
_OLDEST: Final = {(3, 4): 31, (3, 5): 13}


async def open_remote(options: Options, clock: Clock) -> RemoteStore:
    """Returns once a member answers. Raises StoreError (a wrong option, an etcd that is too old) and Unavailable."""
    endpoints = Endpoints(options, clock)
    endpoints.open()
    calls = Calls(endpoints, clock)
    try:
        try:
            async with clock.timeout(CONNECT_S):
                status = (await calls.unary(_STATUS, pb.StatusRequest(), repeat=True)).response
        except TimeoutError:
            raise Unavailable(f"no etcd server answers: {await _why(endpoints)}") from None
        _check_version(status.version)
        return RemoteStore(calls, Converter(options.prefix))
    except BaseException:
        await endpoints.close()
        raise


async def _why(endpoints: Endpoints) -> str:
    """What each member says, or the way to it."""
    import grpc

    said = []
    for endpoint in endpoints.all:
        try:
            await endpoint.call(_STATUS)(pb.StatusRequest().SerializeToString(), timeout=1, metadata=metadata())
        except grpc.aio.AioRpcError as error:
            text = re.sub(r"^\w+: (ipv[46]:\S+: )?", "", (error.details() or "").rpartition("last error: ")[2])
            if "TSI_DATA_CORRUPTED" in text:  # as gRPC sees the alert of TLS 1.3 that comes after the handshake
                text = "it refused the client certificate, or misses one"
            said.append(f"{endpoint.url} ({text or error.code().name})")
    return ", ".join(said) or "they did for a moment"


def _check_version(version: str) -> None:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        raise StoreError(f'the etcd server calls its version "{version}"')
    major, minor, patch = map(int, found.groups())
    if (major, minor) < (3, 4) or patch < _OLDEST.get((major, minor), 0):
        raise StoreError(
            f"etcd {version} is too old: its watches report progress too early; "
            "3.4.31, 3.5.13 and all of 3.6 and later do not"
        )


class RemoteStore:
    """Made by `open_remote`; belongs to the running loop."""

    def __init__(self, calls: Calls, converter: Converter) -> None:
        self._calls, self._converter = calls, converter
        self._newest = 0  # of the revisions heard of
        self._asked: asyncio.Task[int] | None = None  # a question for the revision that is on its way
        self._next: asyncio.Task[int] | None = None  # the one after it
        self._fence = 0  # the revision at which FENCE was last written, as far as is known
        self._moving_fence = asyncio.Lock()
        self._watches: set[RemoteWatch] = set()
        self._starting: set[asyncio.Task[int]] = set()  # watches that are to begin after the present revision
        self._closed = False

    def _heard(self, response: Any) -> int:
        revision: int = response.header.revision
        if revision > self._newest:
            self._newest = revision
        return revision

    # Reads

    async def range(self, request: Range) -> RangeResult:
        response = (await self._calls.unary(_RANGE, self._converter.range(request), repeat=True)).response
        return self._converter.range_result(response, self._heard(response))

    async def revision(self) -> int:
        """Whoever asks while a question is on its way shares the next one: an answer may be older than its asking."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask_revision(self._asked), name="etcd revision")
        return await asyncio.shield(self._next)

    async def _ask_revision(self, before: asyncio.Task[int] | None) -> int:
        if before is not None:
            await asyncio.wait([before], timeout=_SHARED_S)  # a member that hangs must not hold up all
        self._asked, self._next = self._next, None
        request = pb.RangeRequest(key=self._converter.out(_PROBE), count_only=True)
        return self._heard((await self._calls.unary(_RANGE, request, repeat=True)).response)

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
    ) -> RemoteWatch:
        first: asyncio.Task[int] | None = None
        if not start_revision:
            first = asyncio.create_task(self._after_present(), name="etcd watch start")
            self._starting.add(first)
            first.add_done_callback(self._started)

        async def start() -> int:
            return start_revision if first is None else await asyncio.shield(first)

        wanted = self._converter.watch(key, range_end, prev_kv=prev_kv, no_put=no_put, no_delete=no_delete)
        watch = RemoteWatch(self._calls, self._converter, wanted, start, lambda: self._newest, self._watches.discard)
        self._watches.add(watch)
        return watch

    async def _after_present(self) -> int:
        return await self.revision() + 1

    def _started(self, task: asyncio.Task[int]) -> None:
        self._starting.discard(task)
        if not task.cancelled():
            task.exception()  # the watch raises it

    # Writes

    async def put(self, request: Put) -> PutResult:
        response = await self._write(_PUT, self._converter.put(request))
        return self._converter.put_result(response, self._heard(response))

    async def delete(self, request: Delete) -> DeleteResult:
        response = await self._write(_DELETE, self._converter.delete(request))
        return self._converter.delete_result(response, self._heard(response))

    async def txn(self, request: Txn) -> TxnResult:
        """One that is not answered is repeated where that does no harm: where it only reads, and where its compare tells
        whether it was carried out already (`repeats`). Raises Unavailable for another: it may or may not have happened."""
        guarded = is_guarded(request)
        if guarded and may_come_late(request):
            return await self._fenced(request)
        repeat = guarded or not writes(request)
        response, repeated = await self._unary_write(_TXN, self._converter.txn(request), repeat)
        result = self._converter.txn_result(response, self._heard(response))
        return settle(request, result) if repeated and guarded else result

    async def _fenced(self, request: Txn) -> TxnResult:
        """A guarded transaction of which no attempt may be carried out after another was answered."""
        sent = -1
        lost: set[int] = set()  # the fences of attempts that were not answered

        async def current() -> Any:
            nonlocal sent
            if self._fence in lost:
                async with self._moving_fence:
                    if self._fence in lost:
                        put = pb.PutRequest(key=self._converter.out(FENCE))
                        self._fence = self._heard((await self._calls.unary(_PUT, put, repeat=True)).response)
            sent = self._fence
            return self._converter.txn(fenced(request, sent))

        async def renew() -> Any:
            lost.add(sent)
            return await current()

        while True:
            response, _ = await self._unary_write(_TXN, await current(), True, renew)
            result, fence = fence_of(self._converter.txn_result(response, self._heard(response)))
            if fence is None or fence == sent:
                return settle(request, result) if lost else result
            self._fence = fence  # another moved it: this attempt was not carried out

    async def _write(self, of: Any, request: Any) -> Any:
        return (await self._unary_write(of, request, False))[0]

    async def _unary_write(
        self, of: Any, request: Any, repeat: bool, renew: Callable[[], Awaitable[Any]] | None = None
    ) -> tuple[Any, bool]:
        if self._starting:  # what a watch is to see must not come before it
            await asyncio.wait(list(self._starting))
        first_s = PROPOSAL_S if repeat else ATTEMPT_S
        return await self._calls.unary(of, request, repeat=repeat, first_s=first_s, renew=renew)

    async def compact(self, revision: int, *, physical: bool = False) -> None:
        request = pb.CompactionRequest(revision=revision, physical=physical)
        try:
            response, _ = await self._calls.unary(_COMPACT, request, repeat=False)
        except Unavailable:  # asked again it is compacted, or was already
            try:
                response, _ = await self._calls.unary(_COMPACT, request, repeat=True)
            except Compacted:
                return
        self._heard(response)

    # Leases

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        request = pb.LeaseGrantRequest(TTL=ttl_s, ID=lease)
        answer = await self._calls.unary(_GRANT, request, repeat=not lease)
        self._heard(answer.response)
        identity: int = answer.response.ID
        return identity

    async def lease_keep_alive(self, lease: int) -> int:
        try:
            async with self._calls.clock.timeout(CALL_S):
                ttl_s = await self._keep_alive(lease)
        except TimeoutError:
            raise Unavailable("context deadline exceeded") from None
        if ttl_s <= 0:
            raise LeaseNotFound
        return ttl_s

    async def _keep_alive(self, lease: int) -> int:
        import grpc

        data = pb.LeaseKeepAliveRequest(ID=lease).SerializeToString()
        while True:
            endpoint = await self._calls.endpoints.pick()
            stream = endpoint.call(_KEEP)(timeout=ATTEMPT_S, metadata=metadata(require_leader=True))
            try:
                await stream.write(data)
                response = await stream.read()
                if response is not grpc.aio.EOF:
                    ttl_s: int = response.TTL
                    return ttl_s
            except grpc.aio.AioRpcError as error:
                if not is_unanswered(error):
                    raise failure_of(error) from None
            finally:
                stream.cancel()
            await self._calls.backoff()

    async def lease_revoke(self, lease: int) -> None:
        answer = await self._calls.unary(_REVOKE, pb.LeaseRevokeRequest(ID=lease), repeat=False)
        self._heard(answer.response)

    async def lease_time_to_live(self, lease: int, *, keys: bool = False) -> LeaseStatus:
        request = pb.LeaseTimeToLiveRequest(ID=lease, keys=keys)
        found = (await self._calls.unary(_LEFT, request, repeat=True)).response
        if found.TTL < 0:
            raise LeaseNotFound
        return LeaseStatus(lease, found.grantedTTL, found.TTL, [self._converter.into(key) for key in found.keys])

    async def lease_list(self) -> list[int]:
        found = (await self._calls.unary(_LEASES, pb.LeaseLeasesRequest(), repeat=True)).response
        return [lease.ID for lease in found.leases]

    async def status(self) -> Status:
        """Of one member, whichever answers."""
        said = (await self._calls.unary(_STATUS, pb.StatusRequest(), repeat=True)).response
        return Status(self._heard(said), said.dbSize, said.dbSizeInUse, said.raftIndex, said.raftTerm)

    async def close(self) -> None:
        """Ends the watches and the connections."""
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(watch.cancel() for watch in list(self._watches)))
        tasks = [task for task in (self._asked, self._next, *self._starting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._calls.endpoints.close()
