"""A small gRPC server of its own and raw HTTP/2 to talk to it with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.message import DecodeError

from pilothouse.clock import RealClock
from pilothouse.store.wire import frames
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.connection import Limits
from pilothouse.store.wire.hpack import encode
from pilothouse.store.wire.rpc import Method, RpcError, Status
from pilothouse.store.wire.server import HttpAnswer, HttpRequest, Server


class Message:
    """A message that is its bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def FromString(cls, data: bytes) -> Message:
        if data == b"not a message":
            raise DecodeError
        return cls(data)

    def SerializeToString(self) -> bytes:
        return self.data


class Services:
    """`cancelled`: how many handlers were. `congested`: how often a call was."""

    def __init__(self) -> None:
        self.cancelled = self.congested = 0

    async def echo(self, request: Message, call: Call) -> Message:
        return request

    async def pieces(self, request: Message, call: Call) -> list[bytes]:
        """As many pieces as the request says, of growing size."""
        return [b"%d," % number * (number % 50) for number in range(int(request.data))]

    async def later(self, request: Message, call: Call) -> Message:
        try:
            await asyncio.sleep(float(request.data))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return request

    async def fail(self, request: Message, call: Call) -> Message:
        if request.data == b"unexpected":
            raise ZeroDivisionError
        raise RpcError(Status.NOT_FOUND, request.data.decode())

    async def count(self, request: Message, call: Call) -> None:
        """As many messages as the request says, of 10,000 bytes."""
        for number in range(int(request.data)):
            await call.send_message(b"%09d:" % number * 1000)

    async def alike(self, request: Message, call: Call) -> None:
        """As many messages as the request says first, that end in as many bytes as it says then."""
        count, size = map(int, request.data.split())
        beginnings, posted = [b"%06d:" % number for number in range(count)], 0
        while posted < count:
            await call.drained()
            posted += call.post_alike(beginnings[posted:], b"e" * size)
            self.congested += posted < count

    async def chat(self, call: Call) -> None:
        async for request in call:
            await call.send_message(request)

    def methods(self) -> list[Method]:
        def of(name: str, handler: Any, **more: bool) -> Method:
            return Method(f"/test.Service/{name}", handler, Message, Message, **more)

        return [
            of("Echo", self.echo, inline=True),
            of("EchoTask", self.echo),
            of("Pieces", self.pieces, inline=True),
            of("Later", self.later),
            of("LaterInline", self.later, inline=True),
            of("Fail", self.fail, inline=True),
            of("Count", self.count, server_streams=True),
            of("Alike", self.alike, server_streams=True),
            of("Chat", self.chat, client_streams=True, server_streams=True),
        ]


async def _http(request: HttpRequest) -> HttpAnswer:
    if request.target == "/lines":

        async def lines() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d\n" % number

        return HttpAnswer(200, lines(), "text/plain")
    return HttpAnswer(200, f"{request.method} {request.target} {len(request.body)}".encode(), "text/plain")


def _failure(error: Exception) -> RpcError:
    return RpcError(Status.INTERNAL, type(error).__name__)


@asynccontextmanager
async def serving(
    limits: Limits | None = None, message_bytes_max: int = 1 << 20, tls: Any = None
) -> AsyncIterator[Any]:
    """Yields (server, port, services)."""
    services = Services()
    server = Server(
        services.methods(), _http, RealClock(), failure=_failure, message_bytes_max=message_bytes_max, limits=limits
    )
    port = await server.listen("127.0.0.1", 0, tls)
    try:
        yield server, port, services
    finally:
        await server.close(grace_s=0.2)


REQUEST = [
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/test.Service/Echo"), (b":authority", b"x"),
    (b"content-type", b"application/grpc"), (b"te", b"trailers"),
]  # fmt: skip


def request_frames(stream: int, message: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> bytes:
    """A whole unary call."""
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return frames.frame(frames.HEADERS, frames.END_HEADERS, stream, encode(headers or REQUEST)) + frames.frame(
        frames.DATA, frames.END_STREAM, stream, body
    )


class Raw:
    """A connection that sends what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, *, greet: bool = True) -> Raw:
        raw = cls(*await asyncio.open_connection("127.0.0.1", port))
        if greet:
            raw.send(frames.PREFACE + frames.settings({}))
        return raw

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> tuple[int, int, int, bytes] | None:
        """(type, flags, stream, payload), or None at the end."""
        try:
            head = await self.reader.readexactly(9)
            high, low, kind, flags, stream = frames.HEADER.unpack(head)
            return kind, flags, stream, await self.reader.readexactly(high << 16 | low)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def until(self, kind: int) -> tuple[int, int, int, bytes] | None:
        """The next frame of a type."""
        async with asyncio.timeout(5):
            while (found := await self.frame()) is not None and found[0] != kind:
                pass
        return found

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass
