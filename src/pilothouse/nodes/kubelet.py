"""The kubelets' endpoint, one for all simulated nodes: what the API server asks them for when a user runs `kubectl logs`.

Source: upstream's pkg/kubelet/server: paths, parameters and refusals.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pilothouse.clock import Clock, format_micro_time, parse_time

if TYPE_CHECKING:
    from aiohttp import web

    from pilothouse.nodes.lifecycle import Container
    from pilothouse.nodes.simulator import NodeSimulator

_FOLLOW_PERIOD_S: Final = 0.5
_STREAMS: Final = ("exec", "attach", "portForward", "run")


class KubeletEndpoint:
    """`await stop()` closes it. `port` is where it listens, on the loopback address."""

    def __init__(self, runner: web.ServerRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    async def stop(self) -> None:
        await self._runner.cleanup()


class _Logs:
    def __init__(self, nodes: NodeSimulator, clock: Clock) -> None:
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

        life = self.nodes.life_of(namespace, name)
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
        while found.running and self.nodes.life_of(namespace, name) is life:
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
    nodes: NodeSimulator, clock: Clock, sock: socket.socket, ssl_context: ssl.SSLContext
) -> KubeletEndpoint:
    """Listens on `sock` (a bound socket), with TLS."""
    from aiohttp import web

    runner = web.ServerRunner(web.Server(_Logs(nodes, clock).handle, access_log=None), shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, sock, ssl_context=ssl_context).start()
    return KubeletEndpoint(runner, runner.addresses[0][1])
