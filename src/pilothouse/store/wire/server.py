"""`Server`: gRPC methods and an HTTP handler on any number of addresses, plain or TLS, HTTP/2 and HTTP/1.1 on each.

HTTP/1.1 is aiohttp's; a request over HTTP/2 that is not gRPC reaches the same handler.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pilothouse.clock import Clock
from pilothouse.store.wire import frames
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.connection import Connection, Limits
from pilothouse.store.wire.frames import Code, StreamFailure
from pilothouse.store.wire.hpack import Fields, encode
from pilothouse.store.wire.rpc import BadHead, Head, Method, RpcError, Status, head_of, trailers
from pilothouse.store.wire.stream import Stream

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_BODY_BYTES_MAX: Final = 4 << 20
_SNIFF_S: Final = 10.0


@dataclass(slots=True)
class HttpRequest:
    method: str
    target: str  # path and query, as sent
    headers: dict[str, str]  # names in lower case
    body: bytes
    peer_certificate: dict[str, object] | None


@dataclass(slots=True)
class HttpAnswer:
    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


HttpHandler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


class Server:
    """`failure` says what the client is told of a handler's exception. Raises OSError from `listen`."""

    def __init__(
        self,
        methods: Iterable[Method],
        http: HttpHandler,
        clock: Clock,
        *,
        failure: Callable[[Exception], RpcError],
        message_bytes_max: int,
        limits: Limits | None = None,
    ) -> None:
        self.message_bytes_max = message_bytes_max
        self.failure = failure
        self.connections: set[Connection] = set()
        self.received_bytes = self.sent_bytes = 0  # of connections that have ended
        self.methods = {method.path: method for method in methods}
        self._services = {path.split("/")[1] for path in self.methods}
        self._http, self._clock, self._limits = http, clock, limits or Limits()
        self._servers: list[asyncio.Server] = []
        self._sockets: list[Path] = []
        self._http1: web.Server | None = None
        self._sniffing: set[_Sniffer] = set()

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None, *, grpc: bool = True) -> int:
        """Returns the port, a free one where 0 was asked for. `grpc`: whether it serves HTTP/2. Raises OSError."""
        _negotiate(tls, grpc)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Sniffer(self, grpc), host, port, ssl=tls, backlog=_BACKLOG)
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def listen_unix(self, path: Path, tls: ssl.SSLContext | None = None, *, grpc: bool = True) -> None:
        """On a socket in place of what is at `path`, until `close`. Raises OSError."""
        _negotiate(tls, grpc)
        _remove(path)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Sniffer(self, grpc), path, ssl=tls, backlog=_BACKLOG)
        self._servers.append(server)
        self._sockets.append(path)

    async def close(self, grace_s: float = 2.0) -> None:
        """Takes no more; calls that are running have `grace_s` to end."""
        for server in self._servers:
            server.close()
        for path in self._sockets:
            _remove(path)
        for sniffer in list(self._sniffing):
            sniffer.drop()
        for connection in list(self.connections):
            connection.shut_down()
            for stream in list(connection.streams.values()):
                if isinstance(stream, Call) and stream.method.server_streams:
                    stream.cancel()
        deadline_s = self._clock.monotonic() + grace_s
        while self.connections and self._clock.monotonic() < deadline_s:
            await self._clock.sleep(0.01)
        for connection in list(self.connections):
            connection.transport.abort()
        if self._http1 is not None:
            await self._http1.shutdown(grace_s)
        await self._clock.sleep(0)

    def connection(self) -> Connection:
        made = Connection(self._open, self._gone, self._limits)
        self.connections.add(made)
        return made

    def _gone(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.received_bytes += connection.received_bytes
        self.sent_bytes += connection.sent_bytes

    # HTTP/2

    def _open(self, connection: Connection, stream_id: int, fields: Fields, end: bool) -> Stream:
        try:
            head = head_of(fields)
        except BadHead as error:
            raise StreamFailure(stream_id, Code.PROTOCOL_ERROR, str(error)) from None
        if not head.is_grpc:
            return _Plain(connection, stream_id, head, self._http)
        method = self.methods.get(head.path)
        refused = self._refused(head, method)
        if refused is not None or method is None:
            stream = _Refused(connection, stream_id)
            stream.received_end = end
            stream.end(refused or b"")
            return stream
        return Call(connection, stream_id, head, method, self)

    def _refused(self, head: Head, method: Method | None) -> bytes | None:
        """The answer to what is no call of ours."""
        if head.method != "POST":
            return encode([(b":status", b"405")])
        if method is not None:
            if head.encoding in ("", "identity", "gzip"):
                return None
            message = f'grpc: Decompressor is not installed for grpc-encoding "{head.encoding}"'
        else:
            service, _, name = head.path[1:].rpartition("/")
            if not head.path.startswith("/") or not service:
                message = f'malformed method name: "{head.path}"'
            elif service in self._services:
                message = f"unknown method {name} for service {service}"
            else:
                message = f"unknown service {service}"
        return trailers(Status.UNIMPLEMENTED, message, only=True)

    # HTTP/1.1

    def http1(self) -> asyncio.Protocol:
        """aiohttp's protocol for one connection."""
        from aiohttp import web

        if self._http1 is None:
            self._http1 = web.Server(self._serve_http1, handler_cancellation=True, access_log=None)
        return self._http1()

    async def _serve_http1(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        body = bytearray()
        async for part in request.content.iter_any():
            body += part
            if len(body) > _BODY_BYTES_MAX:
                return web.Response(status=413, text="request body too large\n")
        headers = {name.lower(): value for name, value in request.headers.items()}
        certificate = request.get_extra_info("peercert")
        answer = await self._http(HttpRequest(request.method, request.raw_path, headers, bytes(body), certificate))
        head = {"Content-Type": answer.content_type, **answer.headers}
        if isinstance(answer.body, bytes):
            return web.Response(status=answer.status, body=answer.body, headers=head)
        response = web.StreamResponse(status=answer.status, headers=head)
        await response.prepare(request)
        async for part in answer.body:
            await response.write(part)
        return response


def _negotiate(tls: ssl.SSLContext | None, grpc: bool) -> None:
    if tls is not None:
        tls.set_alpn_protocols(["h2", "http/1.1"] if grpc else ["http/1.1"])


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


class _Sniffer(asyncio.Protocol):
    """The first bytes of a connection tell which protocol it speaks."""

    def __init__(self, server: Server, grpc: bool) -> None:
        self._server, self._grpc = server, grpc
        self._first = b""
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server._sniffing.add(self)
        self._timer = asyncio.get_running_loop().call_later(_SNIFF_S, self._transport.abort)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._first += data
        head = self._first[: len(frames.PREFACE)]
        if self._grpc and head == frames.PREFACE[: len(head)]:
            if len(head) < len(frames.PREFACE):
                return
            self._hand_over(self._server.connection())
        else:
            self._hand_over(self._server.http1())

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        self._left()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._first)

    def connection_lost(self, error: Exception | None) -> None:
        self._left()

    def _left(self) -> None:
        self._timer.cancel()
        self._server._sniffing.discard(self)

    def drop(self) -> None:
        self._transport.abort()


class _Refused(Stream):
    """Was answered when it was opened."""

    __slots__ = ()

    def received(self, data: bytes, end: bool) -> None:
        pass

    def closed(self) -> None:
        pass


class _Plain(Stream):
    """A request that is not gRPC."""

    __slots__ = ("_body", "_handler", "_head", "_task")

    def __init__(self, connection: Connection, stream_id: int, head: Head, handler: HttpHandler) -> None:
        super().__init__(connection, stream_id)
        self._head, self._handler = head, handler
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None
        connection.running += 1

    def received(self, data: bytes, end: bool) -> None:
        self._body += data
        self.consumed(len(data))
        if len(self._body) > _BODY_BYTES_MAX:
            self.connection.running -= 1
            self.end(encode([(b":status", b"413")]))
        elif end:
            self._task = self.connection.loop.create_task(self._serve())
            self._task.add_done_callback(self._served)

    async def _serve(self) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._head.fields}
        certificate = self.connection.transport.get_extra_info("peercert")
        request = HttpRequest(self._head.method, self._head.path, headers, bytes(self._body), certificate)
        answer = await self._handler(request)
        extra = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        status, kind = str(answer.status).encode(), answer.content_type.encode()
        self.send_headers(encode([(b":status", status), (b"content-type", kind), *extra]))
        if isinstance(answer.body, bytes):
            self.send(answer.body)
        else:
            async for part in answer.body:
                self.send(part)
                await self.drained()
        self.end(encode([]))

    def _served(self, task: asyncio.Task[None]) -> None:
        self.connection.running -= 1
        if not task.cancelled() and task.exception() is not None:
            log.error("a request failed", exc_info=task.exception())
            self.reset(Code.INTERNAL_ERROR)

    def closed(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif not self.received_end:
            self.connection.running -= 1
