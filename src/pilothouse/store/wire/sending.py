"""`Sending`: the sending half of an HTTP/2 connection. What is written in one turn of the loop goes out together, and the data
of a stream in as few frames as can be; it obeys the windows of its stream and of the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from pilothouse.store.wire import frames

_TURN_BYTES: Final = 256 << 10
_JOINED_BYTES_MAX: Final = 64 << 10  # of data; more is given to the socket in its pieces, because to copy it costs more


class Limits(Protocol):
    """What the other half sets for the peer."""

    @property
    def stream_window(self) -> int: ...


class Flow(Protocol):
    """A stream, as far as its connection sends for it."""

    id: int
    window: int

    def pump(self) -> None:
        """Sends what the windows allow."""
        ...


class Sending(asyncio.Protocol):
    """`limits`: what the peer was told. `running`: handlers of streams, those of reset streams too."""

    def __init__(self, limits: Limits) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.running = 0
        self.blocked: dict[Flow, None] = {}  # wait for the connection's window or the socket
        self._ready: dict[Flow, None] = {}  # have something to send with the next flush
        self.window = self.peer_window = frames.WINDOW_DEFAULT
        self.peer_frame_bytes = frames.FRAME_BYTES_MAX
        self.paused = False
        self.sent_bytes = 0
        self.ping_strikes = 0  # of the peer, since something else was sent
        self.transport: asyncio.Transport
        self.encrypted = False
        self._flush_due = False
        self._out: list[bytes | memoryview] = []
        self._turn_bytes = 0  # of data, in `_out`

    @property
    def full(self) -> bool:
        """Whether a large answer must wait: for the socket, or for the next turn, so that it neither holds the loop nor
        stands in memory twice."""
        return self.paused or self._turn_bytes >= _TURN_BYTES

    def finished(self, stream: Flow) -> None:
        """The stream's answer is complete."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self.flush)
        self._out.append(data)

    def pump_soon(self, stream: Flow) -> None:
        """The stream sends in the next turn but one, so that whoever hears in the next of what it tells answers in one write with
        it: one commit brings events to watches and answers to writers."""
        self._ready[stream] = None
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self.loop.call_soon, self.flush)

    def flush(self) -> None:
        if self._ready:
            ready, self._ready = self._ready, {}
            for stream in ready:
                stream.pump()
        self._flush_due = False
        out, large = self._out, self._turn_bytes > _JOINED_BYTES_MAX
        self._out, self._turn_bytes = [], 0
        if out and not self.transport.is_closing():
            self.sent_bytes += sum(map(len, out))
            if large and not self.encrypted:  # each piece would be a record of its own
                self.transport.writelines(out)
            else:
                self.transport.write(b"".join(out))
            if self.blocked and not self.paused:
                self.pump_blocked()

    def send_block(self, stream_id: int, block: bytes, *, end: bool) -> None:
        self.ping_strikes = 0
        kind, first = frames.HEADERS, frames.END_STREAM if end else 0
        while len(block) > self.peer_frame_bytes:
            self.write(frames.frame(kind, first, stream_id, block[: self.peer_frame_bytes]))
            kind, first, block = frames.CONTINUATION, 0, block[self.peer_frame_bytes :]
        self.write(frames.frame(kind, first | frames.END_HEADERS, stream_id, block))

    def send_data(self, stream: Flow, pieces: Sequence[bytes | memoryview], size: int) -> None:
        """One frame of `size` bytes, which the windows allow."""
        stream.window -= size
        self.window -= size
        self._turn_bytes += size
        self.ping_strikes = 0
        self.write(frames.HEADER.pack(size >> 16, size & 0xFFFF, frames.DATA, 0, stream.id))
        self._out += pieces

    def send_whole(self, stream: Flow, headers: bytes, data: bytes, trailers: bytes) -> bool:
        """Headers, data and trailers where they all fit. Whether they did."""
        size = len(data)
        if size > stream.window or size > self.window or size > self.peer_frame_bytes or self.paused:
            return False
        self.window -= size
        self.ping_strikes = 0
        pack, stream_id = frames.HEADER.pack, stream.id
        self.write(
            b"".join(
                (
                    pack(0, len(headers), frames.HEADERS, frames.END_HEADERS, stream_id),
                    headers,
                    pack(size >> 16, size & 0xFFFF, frames.DATA, 0, stream_id),
                    data,
                    pack(0, len(trailers), frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream_id),
                    trailers,
                )
            )
        )
        return True

    def pump_blocked(self) -> None:
        blocked, self.blocked = self.blocked, {}
        for stream in blocked:
            stream.pump()
