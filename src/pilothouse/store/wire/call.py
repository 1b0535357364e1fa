"""`Call`: a gRPC call on a stream. Messages in and out, compression, the deadline, and how its handler is run.

A handler marked `inline` is not given a task: its first step runs while its request is being read, so that all
requests of one read reach the store before its next commit, and it goes on from the callback of what it waits for. It
may await futures, but not use what needs a current task (timeouts, task groups).
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from google.protobuf.message import DecodeError

from pilothouse.store.wire.frames import Code, StreamFailure
from pilothouse.store.wire.rpc import (
    GZIP_HEADERS_BLOCK,
    HEADERS_BLOCK,
    OK_TRAILERS,
    Head,
    Method,
    RpcError,
    Status,
    check_size,
    pieces,
    trailers,
)
from pilothouse.store.wire.stream import Stream

if TYPE_CHECKING:
    from pilothouse.store.wire.connection import Connection

log = logging.getLogger(__name__)

_PREFIX: Final = Struct(">BI")
_COMPRESS_FROM_BYTES: Final = 1024
_UNCOPIED_BYTES: Final = 256
_ALIKE_BYTES: Final = 128 << 10  # that are sent together before it is asked how much of them waits
_AT_ONCE: Final = 64  # pieces of a response that are joined; of more, each time the connection takes some


class Services(Protocol):
    """What a call needs of its server."""

    message_bytes_max: int

    def failure(self, error: Exception) -> RpcError:
        """What the client is told of an exception that is no RpcError."""
        ...


class Call(Stream):
    __slots__ = (
        "_awaited", "_coroutine", "_deadline", "_ended", "_headers_sent", "_held", "_messages", "_needed", "_pieces",
        "_queued", "_reader", "_services", "_started", "_task", "head", "method",
    )  # fmt: skip

    def __init__(self, connection: Connection, stream_id: int, head: Head, method: Method, services: Services) -> None:
        super().__init__(connection, stream_id)
        self.head, self.method = head, method
        self._services = services
        self._pieces: list[bytes] = []  # of a message that is not whole
        self._held, self._needed = 0, 5  # their bytes; how many there must be for the next look
        self._messages: deque[tuple[bytes, int]] = deque()
        self._queued = 0
        self._reader: asyncio.Future[None] | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._awaited: asyncio.Future[Any] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._headers_sent = self._started = self._ended = False
        self._deadline: asyncio.TimerHandle | None = None
        connection.running += 1
        method.calls.started += 1
        if head.timeout_s is not None:
            self._deadline = connection.loop.call_later(head.timeout_s, self._expire)
        if method.client_streams:
            self._start(method.handler(self))

    # Receiving

    def received(self, data: bytes, end: bool) -> None:
        if self._ended:
            return
        try:
            if self.method.client_streams:
                self._receive_many(data, end)
            else:
                self._receive_one(data, end)
        except RpcError as error:
            self._fail(error)

    def _receive_one(self, data: bytes, end: bool) -> None:
        self.consumed(len(data))
        whole = data if end and not self._pieces else self._gathered(data)
        if len(whole) >= 5:
            stop = 5 + self._message_size(whole, 0)
            if len(whole) > stop:
                raise RpcError(Status.INTERNAL, "grpc: more than one message in a request of one")
            if end and len(whole) == stop:
                self._pieces.clear()
                self._start(self.method.handler(self._decode(whole[0], whole[5:]), self))
                return
        if end:
            raise RpcError(Status.INTERNAL, "grpc: the request ends before its message does")

    def _receive_many(self, data: bytes, end: bool) -> None:
        whole = self._gathered(data)
        if whole:
            pos = 0
            while len(whole) - pos >= 5:
                stop = pos + 5 + self._message_size(whole, pos)
                if stop > len(whole):
                    break
                self._messages.append((whole[pos:stop], stop - pos))
                self._queued += stop - pos
                pos = stop
            self._pieces.clear()
            self._held, self._needed = 0, 5
            self._gathered(whole[pos:])
        if self._queued > 2 * self.connection.limits.stream_window + self._services.message_bytes_max:
            raise StreamFailure(self.id, Code.FLOW_CONTROL_ERROR, "more than the window allows")
        if self._held > self.connection.limits.stream_window >> 1:
            self.consumed(len(data))  # a message larger than the window
        if end and self._held:
            raise RpcError(Status.INTERNAL, "grpc: the request ends before its message does")
        if self._reader is not None and not self._reader.done() and (self._messages or end):
            self._reader.set_result(None)

    def _gathered(self, data: bytes) -> bytes:
        """All that came, once there is a whole message in it; else nothing. Joined once and not with each frame, which would
        copy a large message a hundred times."""
        pieces = self._pieces
        pieces.append(data)
        self._held += len(data)
        if self._held < self._needed:
            return b""
        if len(pieces) > 1:
            pieces[:] = [b"".join(pieces)]
        self._needed = 5 + self._message_size(pieces[0], 0)
        return pieces[0] if self._held >= self._needed else b""

    def _message_size(self, buffer: bytes, pos: int) -> int:
        flag, size = _PREFIX.unpack_from(buffer, pos)
        if flag > 1:
            raise RpcError(Status.INTERNAL, f"grpc: received unexpected payload format {flag}")
        if size > self._services.message_bytes_max:
            raise RpcError(
                Status.RESOURCE_EXHAUSTED,
                f"grpc: received message larger than max ({size} vs. {self._services.message_bytes_max})",
            )
        found: int = size
        return found

    def _decode(self, flag: int, data: bytes) -> Any:
        self.method.calls.received += 1
        if flag:
            data = self._decompressed(data)
        try:
            return self.method.request.FromString(data)
        except DecodeError:
            raise RpcError(
                Status.INTERNAL, "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"
            ) from None

    def _decompressed(self, data: bytes) -> bytes:
        if self.head.encoding in ("", "identity"):
            raise RpcError(Status.INTERNAL, "grpc: compressed flag set with identity or empty encoding")
        limit = self._services.message_bytes_max
        try:
            inflate = zlib.decompressobj(31)
            found = inflate.decompress(data, limit + 1)
        except zlib.error as error:
            raise RpcError(Status.INTERNAL, f"grpc: failed to decompress the received message: {error}") from None
        if len(found) > limit:
            raise RpcError(
                Status.RESOURCE_EXHAUSTED, f"grpc: received message after decompression larger than max {limit}"
            )
        return found

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> Any:
        """The next request of a stream."""
        while not self._messages:
            if self.received_end:
                raise StopAsyncIteration
            self._reader = self.connection.loop.create_future()
            await self._reader
        data, size = self._messages.popleft()
        self._queued -= size
        if size <= self.connection.limits.stream_window >> 1:
            self.consumed(size)
        return self._decode(data[0], data[5:])

    # Sending

    async def send_message(self, message: Any) -> None:
        """Sends one response of a stream; returns once the peer has taken most of those before it."""
        self.post_message(message)
        await self.drained()

    def post_message(self, message: Any) -> None:
        """Sends or queues one response of a stream."""
        if self.done:
            return
        if not self._headers_sent:
            self.send_header()
        self.send(self._framed(message))

    def post_alike(self, beginnings: Sequence[bytes], rest: bytes) -> int:
        """Sends or queues responses that differ only in how they begin, until the call is congested. Returns how many."""
        if not self._headers_sent and not self.done:
            self.send_header()
        some = 1 + _ALIKE_BYTES // (len(rest) + 1)
        for at in range(0, len(beginnings), some):
            if self.congested:
                return at
            if not self.done:
                self.send(*self._framed_alike(beginnings[at : at + some], rest))
        return len(beginnings)

    def send_header(self) -> None:
        """Tells the client that its call was accepted, before the first response."""
        self._headers_sent = True
        self.send_headers(GZIP_HEADERS_BLOCK if self.head.encoding == "gzip" else HEADERS_BLOCK)

    def _framed(self, message: Any) -> bytes:
        self.method.calls.sent += 1
        parts = pieces(message)
        size = sum(map(len, parts))
        if self.head.encoding == "gzip" and size >= _COMPRESS_FROM_BYTES:
            data = gzip.compress(b"".join(parts), 1, mtime=0)
            return _PREFIX.pack(1, len(data)) + data
        return b"".join((_PREFIX.pack(0, size), *parts))

    def _framed_alike(self, beginnings: Sequence[bytes], rest: bytes) -> list[bytes]:
        """Each message in one piece, or in two where the second is large: that one is the same for all, and not copied."""
        if self.head.encoding == "gzip":
            return [self._framed((beginning, rest)) for beginning in beginnings]
        self.method.calls.sent += len(beginnings)
        pack, size = _PREFIX.pack, len(rest)
        if size < _UNCOPIED_BYTES:
            return [pack(0, len(beginning) + size) + beginning + rest for beginning in beginnings]
        return [part for beginning in beginnings for part in (pack(0, len(beginning) + size) + beginning, rest)]

    def _succeed(self, response: Any) -> None:
        try:
            check_size(response)
        except RpcError as error:
            self._fail(error)
            return
        self._end(Status.OK)
        if self.method.server_streams:
            if not self._headers_sent:
                self.send_header()
            self.end(OK_TRAILERS)
            return
        if isinstance(response, list) and len(response) > _AT_ONCE and self.head.encoding != "gzip":
            self.method.calls.sent += 1
            self.send_headers(HEADERS_BLOCK)
            self.send_from(_joined(response))
            self.end(OK_TRAILERS)
            return
        framed = self._framed(response)
        block = GZIP_HEADERS_BLOCK if self.head.encoding == "gzip" else HEADERS_BLOCK
        if not self.answer(block, framed, OK_TRAILERS):
            self.send_headers(block)
            self.send(framed)
            self.end(OK_TRAILERS)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, StreamFailure):
            self._end(Status.INTERNAL)
            self.reset(error.code)
            return
        if not isinstance(error, RpcError):
            error = self._services.failure(error)
        self._end(error.status)
        self.end(trailers(error.status, str(error), only=not self._headers_sent))
        self._cancel()

    # Running the handler

    def _start(self, coroutine: Coroutine[Any, Any, Any] | Any) -> None:
        self._coroutine = coroutine
        self._started = True
        if self.method.inline:
            self._step()
            return
        self._task = self.connection.loop.create_task(coroutine)
        self._task.add_done_callback(self._task_done)

    def _step(self, _: object = None) -> None:
        """Lets the handler run until it waits for something."""
        coroutine = self._coroutine
        assert coroutine is not None
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            self._coroutine = self._awaited = None
            self._ran()
            if not self._ended:
                self._succeed(stop.value)
        except asyncio.CancelledError:
            self._coroutine = self._awaited = None
            self._ran()
        except Exception as error:
            self._coroutine = self._awaited = None
            self._ran()
            if not self._ended:
                self._fail(error)
        else:
            self._awaited = awaited
            if awaited is None:
                self.connection.loop.call_soon(self._step)
            else:
                awaited._asyncio_future_blocking = False
                awaited.add_done_callback(self._step)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._coroutine = self._task = None
        self._ran()
        if task.cancelled():
            if not self._ended:
                self._fail(RpcError(Status.UNAVAILABLE, "transport is closing"))
            return
        error = task.exception()
        if self._ended:
            return
        if error is None:
            self._succeed(task.result())
        elif isinstance(error, Exception):
            self._fail(error)

    def _ran(self) -> None:
        self.connection.running -= 1

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif self._awaited is not None:
            self._awaited.cancel()

    def cancel(self) -> None:
        """For the server's end: the handler is cancelled, and the client told so."""
        self._cancel()

    def _expire(self) -> None:
        self._fail(RpcError(Status.DEADLINE_EXCEEDED, "context deadline exceeded"))

    def closed(self) -> None:
        if not self._ended:
            self._end(Status.CANCELLED)
        self._cancel()
        if self._reader is not None and not self._reader.done():
            self._reader.cancel()

    def _end(self, status: Status) -> None:
        self._ended = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self._started:
            self._ran()
        self.method.calls.ended[status] += 1


def _joined(parts: list[bytes]) -> Iterator[bytes]:
    """A message in pieces, some of them at a time."""
    yield _PREFIX.pack(0, sum(map(len, parts))) + b"".join(parts[:_AT_ONCE])
    for at in range(_AT_ONCE, len(parts), _AT_ONCE):
        yield b"".join(parts[at : at + _AT_ONCE])
