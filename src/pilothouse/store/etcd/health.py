"""grpc.health.v1.Health: of the server as a whole, which is all that etcd reports."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.store.etcd.context import Context
from pilothouse.store.interface import StoreError
from pilothouse.store.rpc.messages import health as pb
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError, Status

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_POLL_S: Final = 1.0


class Health:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def _status(self) -> int:
        try:
            await self._context.store.revision()
        except StoreError:
            return _NOT_SERVING
        return _SERVING

    async def check(self, request: Any, call: Call) -> Any:
        if request.service:
            raise RpcError(Status.NOT_FOUND, "unknown service")
        return pb.HealthCheckResponse(status=await self._status())

    async def list(self, request: Any, call: Call) -> Any:
        return pb.HealthListResponse(statuses={"": pb.HealthCheckResponse(status=await self._status())})

    async def watch(self, request: Any, call: Call) -> None:
        """Tells each change; ends with the call."""
        last = 0
        while not call.done:
            status = _SERVICE_UNKNOWN if request.service else await self._status()
            if status != last:
                await call.send_message(pb.HealthCheckResponse(status=status))
                last = status
            await self._context.clock.sleep(_POLL_S)
