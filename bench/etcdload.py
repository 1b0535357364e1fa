"""A load of gRPC calls, as light as can be: requests are bytes made before, and of the answers only the status is looked
at, so that what is measured is the server. `clients` calls are open at any time, spread over a few connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from pilothouse.store.wire import frames
from pilothouse.store.wire.hpack import Decoder, encode

_WINDOW = 1 << 30
_CLIENTS_A_CONNECTION = 128


def block_of(path: str, authority: str) -> bytes:
    """A request's headers, as Go's client sends them."""
    return encode(
        [
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", authority.encode()),
            (b"content-type", b"application/grpc"), (b"user-agent", b"bench"), (b"te", b"trailers"),
        ]
    )  # fmt: skip


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


@dataclass
class Outcome:
    calls: int = 0
    failed: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    def quantile_ms(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


class Channel(asyncio.Protocol):
    """One connection. `ended(stream, ok)` is called for each call that ends, `got(stream, data)` for each DATA frame."""

    def __init__(self, ended: Callable[[int, bool], None], got: Callable[[int, bytes], None] | None = None) -> None:
        self._ended, self._got = ended, got
        self._decoder = Decoder()
        self._rest = b""
        self._received = 0
        self._next = 1
        self._open: set[int] = set()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            frames.PREFACE
            + frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: _WINDOW})
            + frames.window_update(0, _WINDOW)
        )

    def call(self, block: bytes, body: bytes, *, end: bool = True) -> int:
        """Opens a call. Returns its stream."""
        stream = self._next
        self._next += 2
        pieces = [frames.frame(frames.HEADERS, frames.END_HEADERS, stream, block)]
        for at in range(0, len(body), frames.FRAME_BYTES_MAX):
            part = body[at : at + frames.FRAME_BYTES_MAX]
            last = end and at + len(part) == len(body)
            pieces.append(frames.frame(frames.DATA, frames.END_STREAM if last else 0, stream, part))
        self.transport.write(b"".join(pieces))
        self._open.add(stream)
        return stream

    def send(self, stream: int, body: bytes) -> None:
        """More requests on an open call."""
        self.transport.write(frames.frame(frames.DATA, 0, stream, body))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        pos, size = 0, len(data)
        while size - pos >= frames.HEADER_SIZE:
            high, low, kind, flags, stream = frames.HEADER.unpack_from(data, pos)
            stop = pos + frames.HEADER_SIZE + (high << 16 | low)
            if stop > size:
                break
            payload = data[pos + frames.HEADER_SIZE : stop]
            pos = stop
            if kind == frames.DATA:
                self._received += len(payload)
                if self._got is not None:
                    self._got(stream, payload)
            elif kind == frames.HEADERS:
                fields = self._decoder.decode(payload)
                if flags & frames.END_STREAM:
                    self._end(stream, (b"grpc-status", b"0") in fields)
            elif kind == frames.SETTINGS and not flags & frames.ACK:
                self.transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
            elif kind == frames.PING and not flags & frames.ACK:
                self.transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))
            elif kind == frames.RST_STREAM:
                self._end(stream, False)
        self._rest = data[pos:]
        if self._received > _WINDOW >> 2:
            self.transport.write(frames.window_update(0, self._received))
            self._received = 0

    def connection_lost(self, error: Exception | None) -> None:
        for stream in list(self._open):
            self._end(stream, False)

    def _end(self, stream: int, ok: bool) -> None:
        if stream in self._open:
            self._open.discard(stream)
            self._ended(stream, ok)


async def connect(
    port: int, ended: Callable[[int, bool], None], got: Callable[[int, bytes], None] | None = None
) -> Channel:
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_connection(lambda: Channel(ended, got), "127.0.0.1", port)
    await asyncio.sleep(0.05)  # settings
    return channel


async def run(port: int, path: str, message: Callable[[int], bytes], clients: int, seconds: float) -> Outcome:
    """Keeps `clients` unary calls open for a time; `message(n)` is the n-th request."""
    outcome = Outcome()
    block = block_of(path, f"127.0.0.1:{port}")
    done = asyncio.get_running_loop().create_future()
    open_calls = sent = 0
    deadline = 0.0

    async def one_connection(share: int) -> tuple[Channel, Callable[[], None]]:
        started: dict[int, float] = {}

        def send() -> None:
            nonlocal open_calls, sent
            stream = channel.call(block, framed(message(sent)))
            sent += 1
            open_calls += 1
            started[stream] = time.perf_counter()

        def ended(stream: int, ok: bool) -> None:
            nonlocal open_calls
            open_calls -= 1
            now = time.perf_counter()
            outcome.calls += 1
            outcome.failed += not ok
            outcome.latencies.append(now - started.pop(stream))
            if now < deadline:
                send()
            elif not open_calls and not done.done():
                done.set_result(None)

        channel = await connect(port, ended)

        def begin() -> None:
            for _ in range(share):
                send()

        return channel, begin

    count = -(-clients // _CLIENTS_A_CONNECTION)
    shares = [clients // count + (number < clients % count) for number in range(count)]
    connections = [await one_connection(share) for share in shares]
    begun = time.perf_counter()
    deadline = begun + seconds
    for _, begin in connections:
        begin()
    await done
    outcome.seconds = time.perf_counter() - begun
    for channel, _ in connections:
        channel.transport.close()
    return outcome
