"""etcdserverpb.Lease."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.store.etcd.context import Context
from pilothouse.store.interface import LeaseNotFound
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError, Status

_TTL_S_MAX: Final = 9_000_000_000


class Lease:
    def __init__(self, context: Context) -> None:
        self._context, self._store, self._guard = context, context.store, context.guard

    async def lease_grant(self, request: Any, call: Call) -> Any:
        self._guard.check_known(call)
        if request.TTL > _TTL_S_MAX:
            raise RpcError(Status.OUT_OF_RANGE, "etcdserver: too large lease TTL")
        lease = await self._store.lease_grant(request.TTL, request.ID)
        granted = await self._store.lease_time_to_live(lease)
        self._context.counts.granted += 1
        self._context.counts.ttls.add(granted.granted_ttl_s)
        return await self._context.headed(pb.LeaseGrantResponse, ID=lease, TTL=granted.granted_ttl_s)

    async def lease_revoke(self, request: Any, call: Call) -> Any:
        self._guard.check_known(call)
        await self._guard.check_lease(call, request.ID)
        await self._store.lease_revoke(request.ID)
        self._context.counts.revoked += 1
        return await self._context.headed(pb.LeaseRevokeResponse)

    async def lease_keep_alive(self, call: Call) -> None:
        async for request in call:
            self._guard.check_known(call)
            await self._guard.check_lease(call, request.ID)
            header = self._context.header.message(await self._store.revision())
            try:
                ttl_s = await self._store.lease_keep_alive(request.ID)
                self._context.counts.renewed += 1
            except LeaseNotFound:
                ttl_s = 0
            await call.send_message(pb.LeaseKeepAliveResponse(header=header, ID=request.ID, TTL=ttl_s))

    async def lease_time_to_live(self, request: Any, call: Call) -> Any:
        self._guard.check_known(call)
        if request.keys:
            await self._guard.check_lease_keys(call, request.ID)
        try:
            found = await self._store.lease_time_to_live(request.ID, keys=request.keys)
        except LeaseNotFound:
            return await self._context.headed(pb.LeaseTimeToLiveResponse, ID=request.ID, TTL=-1)
        return await self._context.headed(
            pb.LeaseTimeToLiveResponse,
            ID=request.ID,
            TTL=max(0, int(found.left_s)),
            grantedTTL=found.granted_ttl_s,
            keys=found.keys,
        )

    async def lease_leases(self, request: Any, call: Call) -> Any:
        await self._guard.check_leases(call)
        leases = [pb.LeaseStatus(ID=lease) for lease in await self._store.lease_list()]
        return await self._context.headed(pb.LeaseLeasesResponse, leases=leases)
