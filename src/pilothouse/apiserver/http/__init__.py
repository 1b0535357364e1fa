"""The server on the wire: HTTP/1.1 over TLS in front of `APIServer.handle`.

A request becomes an `exchange.Request`, its answer bytes, slices or a stream of chunks. A client that goes away cancels its
request. A connection that asks to be upgraded is handed to aiohttp, whose WebSockets the tunnels use.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from pilothouse.apiserver.http.connection import Connection, Connections
from pilothouse.apiserver.server import APIServer

_BACKLOG: Final = 512
_SHUTDOWN_S: Final = 5.0
_SWEEP_S: Final = 5.0


class Front:
    """One listening address. `await stop()` ends its watches and closes it."""

    def __init__(self, listening: asyncio.Server, connections: Connections, sweeping: asyncio.Task[None]) -> None:
        self._listening, self._connections, self._sweeping = listening, connections, sweeping
        self.port: int = listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Answers under way get a few seconds; streams end at once."""
        self._listening.close()
        self._sweeping.cancel()
        await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._connections.end(_SHUTDOWN_S)


async def serve(
    server: APIServer, host: str = "127.0.0.1", port: int = 0, ssl_context: ssl.SSLContext | None = None,
    sock: socket.socket | None = None,
) -> Front:  # fmt: skip
    """Listens, on `sock` where one is given; port 0 takes a free one. `ssl_context` should ask for client certificates
    (CERT_OPTIONAL)."""
    connections = Connections(server)
    loop = asyncio.get_running_loop()

    def made() -> Connection:
        return Connection(connections)

    if sock is not None:
        listening = await loop.create_server(made, sock=sock, ssl=ssl_context, backlog=_BACKLOG)
    else:
        listening = await loop.create_server(made, host, port, ssl=ssl_context, backlog=_BACKLOG)

    async def sweep() -> None:
        while True:
            await server.clock.sleep(_SWEEP_S)
            connections.sweep()

    return Front(listening, connections, asyncio.create_task(sweep(), name="http sweep"))
