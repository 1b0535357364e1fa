"""`Stream`: one request and its answer. Its receiving half is its subclasses'; the sending half obeys flow control."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final

from pilothouse.store.wire import frames
from pilothouse.store.wire.frames import Code
from pilothouse.store.wire.sending import Sending

BACKLOG_BYTES_MAX: Final = 1 << 20  # what may wait for the peer's window before `drained` makes the sender wait
_TURN_BYTES: Final = 256 << 10  # more than that does not wait for others


class Stream:
    __slots__ = (
        "_backlog", "_consumed", "_drained", "_ending", "_source", "_waiting",
        "connection", "done", "id", "received_end", "window",
    )  # fmt: skip

    def __init__(self, connection: Sending, stream_id: int) -> None:
        self.connection, self.id = connection, stream_id
        self.window = connection.peer_window
        self.received_end = False
        self.done = False  # the answer is complete, or the stream was reset
        self._waiting: deque[bytes | memoryview] | None = None
        self._source: Iterator[bytes] | None = None  # of what comes after that
        self._backlog = 0
        self._ending: bytes | None = None  # the header block that ends the stream once all is sent
        self._drained: list[asyncio.Future[None]] = []  # one for each that waits
        self._consumed = 0

    # What a subclass does with what comes.

    def received(self, data: bytes, end: bool) -> None:
        raise NotImplementedError

    def closed(self) -> None:
        """The peer reset the stream, or the connection is gone. Nothing can be sent any more."""
        raise NotImplementedError

    # What it sends.

    def consumed(self, size: int) -> None:
        """`size` bytes received were taken: the peer may send as many more."""
        self._consumed += size
        if self._consumed >= self.connection.limits.stream_window >> 1 and not self.received_end and not self.done:
            self.connection.write(frames.window_update(self.id, self._consumed))
            self._consumed = 0

    def send_headers(self, block: bytes, *, end: bool = False) -> None:
        if self.done:
            return
        self.connection.send_block(self.id, block, end=end)
        if end:
            self._finish()

    def send(self, *pieces: bytes) -> None:
        """Sends `pieces` soon, together with what else there will be by then, or queues them."""
        if self.done:
            return
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
            self.connection.pump_soon(self)
        waiting += pieces
        self._backlog += sum(map(len, pieces))
        if self._backlog >= _TURN_BYTES:
            self.pump()

    def send_from(self, source: Iterator[bytes]) -> None:
        """Sends all of `source`, which is asked for more as the windows and the socket take it."""
        if self.done:
            return
        assert self._source is None, "one at a time"
        if self._waiting is None:
            self._waiting = deque()
        self._source = source
        self.pump()

    def end(self, block: bytes) -> None:
        """Ends the answer with these trailers, after all that was sent."""
        if self.done:
            return
        if self._waiting is not None:
            self._ending = block
            return
        self.connection.send_block(self.id, block, end=True)
        self._finish()

    def answer(self, frames_before: bytes, data: bytes, block: bytes) -> bool:
        """A whole answer at once, where the windows allow it: a frame of headers, one of data, and trailers."""
        if self.done or self._waiting is not None or not self.connection.send_whole(self, frames_before, data, block):
            return False
        self._finish()
        return True

    def pump(self) -> None:
        """Sends what the windows allow."""
        waiting = self._waiting
        if waiting is None or self.done:
            return
        connection = self.connection
        while waiting or self._more(waiting):
            room = min(self.window, connection.window, connection.peer_frame_bytes)
            if room <= 0 or connection.paused:
                if connection.window <= 0 or connection.paused:
                    connection.blocked[self] = None
                break
            pieces: list[bytes | memoryview] = []
            left = room
            while waiting and left:
                data = waiting.popleft()
                if len(data) > left:
                    view = memoryview(data)
                    waiting.appendleft(view[left:])
                    data = view[:left]
                pieces.append(data)
                left -= len(data)
            self._backlog -= room - left
            connection.send_data(self, pieces, room - left)
        if self._drained and self._backlog <= BACKLOG_BYTES_MAX:
            self._wake()
        if not waiting and self._source is None:
            self._waiting = None
            if self._ending is not None:
                connection.send_block(self.id, self._ending, end=True)
                self._finish()

    def _more(self, waiting: deque[bytes | memoryview]) -> bool:
        """Whether there is more to send now."""
        if self._source is None:
            return False
        if self.connection.full:
            self.connection.blocked[self] = None
            return False
        data = next(self._source, None)
        if data is None:
            self._source = None
            return False
        waiting.append(data)
        self._backlog += len(data)
        return True

    @property
    def congested(self) -> bool:
        """Whether so much waits for the peer that no more should be sent."""
        return self._backlog > BACKLOG_BYTES_MAX

    async def drained(self) -> None:
        """Returns once the peer has taken most of what was sent, or will never."""
        while self._backlog > BACKLOG_BYTES_MAX and not self.done:
            future = self.connection.loop.create_future()
            self._drained.append(future)
            await future

    def _wake(self) -> None:
        waiting, self._drained = self._drained, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def reset(self, code: Code) -> None:
        """Ends the stream at once."""
        if not self.done:
            self.connection.write(frames.reset(self.id, code))
            self._finish(complete=False)

    def lost(self) -> None:
        """For the connection: the peer is not interested any more."""
        if not self.done:
            self._finish(complete=False)
            self.closed()

    def _finish(self, *, complete: bool = True) -> None:
        self.done = True
        self._waiting = self._source = None
        self._backlog = 0
        if not self.received_end and complete:
            self.connection.write(frames.reset(self.id, Code.NO_ERROR))  # the rest of the request is not wanted
        self.connection.finished(self)
        self._wake()
