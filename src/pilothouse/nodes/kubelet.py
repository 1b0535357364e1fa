"""The kubelets' endpoint, one for all simulated nodes: what the API server asks them for when a user runs `kubectl logs`.

Source: upstream's pkg/kubelet/server: paths, parameters and refusals.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pilothouse.clock import Clock, format_micro_time, parse_time

if TYPE_CHECKING:
    from aiohttp import web

    from pilothouse.nodes.lifecycle import Container
    from pilothouse.nodes.simulator import NodeSimulator

_FOLLOW_PERIOD_S: Final = 0.5
_SHUTDOWN_S: Final = 0.5
_STREAMS: Final = ("exec", "attach", "portForward", "run")


class KubeletEndpoint:
    """`await stop()` closes it. `port` is where it listens, on the loopback address."""

    def __init__(self, logs: _Logs) -> None:
        self._logs = logs
        self._front: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self.port = 0

    async def listen(self, sock: socket.socket, ssl_context: ssl.SSLContext) -> None:
        self._listening = await asyncio.get_running_loop().create_server(self._connection, sock=sock, ssl=ssl_context)
        self.port = self._listening.sockets[0].getsockname()[1]

    def _connection(self) -> asyncio.BaseProtocol:
        if self._front is None:
            from aiohttp import web  # at the first connection: most clusters start without anyone asking for logs

            self._front = web.Server(self._logs.handle, access_log=None)
        return self._front()

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.close()
        if self._front is not None:
            await self._front.shutdown(_SHUTDOWN_S)


class _Logs:
    def __init__(self, nodes: Callable[[], NodeSimulator], clock: Clock) -> None:
        self.nodes, self.clock = nodes, clock

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        parts = request.path.strip("/").split("/")
        if parts[0] == "healthz":
            return web.Response(text="ok")
        if parts[0] == "containerLogs" and len(parts) == 4 and request.method == "GET":
            return await self._logs(request, *parts[1:])
        if parts[0] in _STREAMS:
            text = "simulated containers have no processes: exec, attach and port-forward need a real node"
            return web.Response(status=400, text=text)
        return web.Response(status=404, text="404 page not found\n")

    async def _logs(self, request: web.BaseRequest, namespace: str, name: str, container: str) -> web.StreamResponse:
        from aiohttp import web

        life = self.nodes().life_of(namespace, name)
        found = next((c for c in life.containers if c.name == container), None) if life is not None else None
        if life is None or found is None:
            return web.Response(status=404, text=f'pod "{name}" not found\n')
        query = request.query
        previous = query.get("previous") == "true"
        if previous and not found.restarts:
            text = f'previous terminated container "{container}" in pod "{name}" not found'
            return web.Response(status=400, text=text)
        if not previous and found.started_s is None:
            text = f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating'
            return web.Response(status=400, text=text)
        text = self._cut(found, found.log(previous), query)
        if query.get("follow") != "true" or previous:
            return web.Response(text=text)
        out = web.StreamResponse()
        await out.prepare(request)
        await out.write(text.encode())
        while found.running and self.nodes().life_of(namespace, name) is life:
            await self.clock.sleep(_FOLLOW_PERIOD_S)
        await out.write_eof()
        return out

    def _cut(self, found: Container, text: str, query: Mapping[str, str]) -> str:
        started_s = found.started_s or 0.0
        since_s = 0.0
        if "sinceTime" in query:
            since_s = parse_time(query["sinceTime"])
        elif "sinceSeconds" in query:
            since_s = self.clock.now() - float(query["sinceSeconds"])
        lines = text.splitlines(keepends=True) if started_s >= since_s else []
        tail = query.get("tailLines")
        if tail is not None:
            lines = lines[-int(tail) :] if int(tail) else []
        if query.get("timestamps") == "true":
            lines = [f"{format_micro_time(started_s)} {line}" for line in lines]
        whole = "".join(lines)
        limit = query.get("limitBytes")
        return whole.encode()[: int(limit)].decode(errors="ignore") if limit else whole


async def serve(
    nodes: Callable[[], NodeSimulator], clock: Clock, sock: socket.socket, ssl_context: ssl.SSLContext
) -> KubeletEndpoint:
    """Listens on `sock` (a bound socket), with TLS."""
    endpoint = KubeletEndpoint(_Logs(nodes, clock))
    await endpoint.listen(sock, ssl_context)
    return endpoint
