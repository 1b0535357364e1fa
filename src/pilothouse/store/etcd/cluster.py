"""etcdserverpb.Cluster: a cluster of one member, which cannot be changed."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.store.etcd.context import Context
from pilothouse.store.etcd.values import BadValue, address
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError, Status

_SINGLE: Final = (
    "etcdserver: not capable: this store is a cluster of one member, which cannot be changed; "
    "restore a snapshot of it into an etcd cluster for more"
)


class Cluster:
    def __init__(self, context: Context) -> None:
        self._context = context

    def _member(self) -> Any:
        config = self._context.config
        return pb.Member(
            ID=self._context.header.member_id,
            name=config.name,
            peerURLs=config.initial_advertise_peer_urls,
            clientURLs=config.advertise_client_urls or config.listen_client_urls,
        )

    async def member_list(self, request: Any, call: Call) -> Any:
        self._context.guard.check_known(call)
        return pb.MemberListResponse(header=self._context.header.message(0), members=[self._member()])

    def _known(self, member_id: int) -> None:
        if member_id != self._context.header.member_id:
            raise RpcError(Status.NOT_FOUND, "etcdserver: member not found")

    async def member_add(self, request: Any, call: Call) -> Any:
        try:
            addresses = [address(url.strip()) for url in request.peerURLs]
        except BadValue:
            addresses = []
        if not addresses:
            raise RpcError(Status.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")
        self._context.guard.check_admin(call)
        raise RpcError(Status.FAILED_PRECONDITION, _SINGLE)

    async def member_remove(self, request: Any, call: Call) -> Any:
        self._context.guard.check_admin(call)
        self._known(request.ID)
        raise RpcError(Status.FAILED_PRECONDITION, _SINGLE)

    async def member_update(self, request: Any, call: Call) -> Any:
        self._context.guard.check_admin(call)
        self._known(request.ID)
        raise RpcError(Status.FAILED_PRECONDITION, _SINGLE)

    async def member_promote(self, request: Any, call: Call) -> Any:
        self._context.guard.check_admin(call)
        self._known(request.ID)
        raise RpcError(Status.FAILED_PRECONDITION, "etcdserver: can only promote a learner member")
