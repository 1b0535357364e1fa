"""`Connection`: the server's side of an HTTP/2 connection: reads frames, and keeps the streams and their windows.

The peer's errors end the stream or the connection with the code that RFC 9113 names; its excesses (open streams,
headers, settings, pings, resets) end the connection with ENHANCE_YOUR_CALM.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from pilothouse.store.wire import frames
from pilothouse.store.wire.frames import Code, ConnectionFailure, Setting, StreamFailure
from pilothouse.store.wire.hpack import LIST_BYTES_MAX, BadBlock, Decoder, Fields
from pilothouse.store.wire.sending import Flow, Sending
from pilothouse.store.wire.stream import Stream

_PING_STRIKES_MAX: Final = 2
_PING_IDLE_S: Final = 7200.0  # how often a peer without a stream may ping, as grpc has it
_CONTROL_FRAMES_MAX: Final = 10_000  # settings and resets between two requests that were served


@dataclass(frozen=True, slots=True)
class Limits:
    streams: int = 10_000  # that are open, or whose handler still runs
    stream_window: int = 1 << 20
    connection_window: int = 16 << 20
    header_bytes: int = LIST_BYTES_MAX
    ping_interval_s: float = 5.0  # the least that a peer may leave between two pings
    keepalive_s: float = 7200.0  # after so long without a sign of life the peer is asked for one …
    keepalive_timeout_s: float = 20.0  # … and cut off where it does not answer


class Connection(Sending):
    """`opened(connection, stream id, headers, whether that is all)` makes the Stream of a request, or raises
    StreamFailure. `gone(connection)` is called at the end."""

    def __init__(
        self,
        opened: Callable[[Connection, int, Fields, bool], Stream],
        gone: Callable[[Connection], None],
        limits: Limits,
    ) -> None:
        super().__init__(limits)
        self.limits: Limits = limits
        self.streams: dict[int, Stream] = {}
        self.received_bytes = 0
        self._opened, self._gone = opened, gone
        self._decoder = Decoder()
        self._rest = b""
        self._preface_due = True
        self._settings_due = True
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags, and what came of its headers
        self._last_stream = 0
        self._received = 0  # since the last credit for the connection
        self._closing = False
        self._draining = False
        self._control = 0
        self._pinged_s = -_PING_IDLE_S
        self._alive_s = self.loop.time()
        self._keepalive: asyncio.TimerHandle | None = None

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.encrypted = transport.get_extra_info("sslcontext") is not None
        limits = self.limits
        self.write(
            frames.settings(
                {
                    Setting.MAX_CONCURRENT_STREAMS: limits.streams,
                    Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
                    Setting.MAX_HEADER_LIST_SIZE: limits.header_bytes,
                }
            )
            + frames.window_update(0, limits.connection_window - frames.WINDOW_DEFAULT)
        )
        self._keepalive = self.loop.call_later(limits.keepalive_s, self._check_alive)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        if self._keepalive is not None:
            self._keepalive.cancel()
        self.blocked.clear()
        for stream in list(self.streams.values()):
            stream.lost()
        self._gone(self)

    def pause_writing(self) -> None:
        self.paused = True
        self.transport.pause_reading()  # one that does not read is not listened to

    def resume_writing(self) -> None:
        self.paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self.pump_blocked()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._alive_s = self.loop.time()
        self.received_bytes += len(data)
        try:
            self._receive(self._rest + data if self._rest else data)
        except ConnectionFailure as failure:
            self._fail(failure)

    def eof_received(self) -> bool:
        return False

    # Reading

    def _receive(self, data: bytes) -> None:
        pos, size = 0, len(data)
        if self._preface_due:
            head = data[: len(frames.PREFACE)]
            if not frames.PREFACE.startswith(head):
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "not HTTP/2's preface")
            if len(head) < len(frames.PREFACE):
                self._rest = data
                return
            self._preface_due, pos = False, len(frames.PREFACE)
        unpack, least = frames.HEADER.unpack_from, frames.HEADER_SIZE
        while size - pos >= least:
            high, low, kind, flags, stream_id = unpack(data, pos)
            length = (high << 16) | low
            if length > frames.FRAME_BYTES_MAX:
                raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "a frame larger than allowed")
            stop = pos + least + length
            if stop > size:
                break
            payload = data[pos + least : stop]
            pos = stop
            try:
                self._frame(kind, flags, stream_id & 0x7FFFFFFF, payload)
            except StreamFailure as failure:
                self._fail_stream(failure)
            if self._closing:
                return
        self._rest = data[pos:]

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "another frame amid headers")
        if kind == frames.DATA:
            self._data(flags, stream_id, payload)
        elif self._settings_due and kind != frames.SETTINGS:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        elif kind == frames.HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(stream_id, payload)
        elif kind == frames.PING:
            self._ping(flags, stream_id, payload)
        elif kind == frames.SETTINGS:
            self._settings(flags, stream_id, payload)
        elif kind == frames.RST_STREAM:
            self._reset(stream_id, payload)
        elif kind == frames.CONTINUATION:
            self._continuation(flags, stream_id, payload)
        elif kind == frames.PRIORITY:
            if not stream_id:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "priority of the connection")
            if len(payload) != 5:
                raise StreamFailure(stream_id, Code.FRAME_SIZE_ERROR, "a priority of a broken size")
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "a client cannot push")
        elif kind == frames.GOAWAY and (stream_id or len(payload) < 8):
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "a broken GOAWAY")

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._received += size
        if self._received >= self.limits.connection_window >> 1:
            self.write(frames.window_update(0, self._received))
            self._received = 0
        stream = self.streams.get(stream_id)
        if stream is None or stream.received_end:
            if self._settings_due or not stream_id & 1 or stream_id > self._last_stream:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "data of a stream that is not open")
            if stream is not None:
                raise StreamFailure(stream_id, Code.STREAM_CLOSED, "data after the end")
            return  # of a stream that we have ended
        if flags:
            payload = frames.unpadded(payload, flags)
            if len(payload) != size:
                stream.consumed(size - len(payload))
            if flags & frames.END_STREAM:
                stream.received_end = True
        stream.received(payload, stream.received_end)

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "headers of a stream that a client cannot open")
        if flags & (frames.PADDED | frames.WITH_PRIORITY):
            payload = frames.unpadded(payload, flags)
            if flags & frames.WITH_PRIORITY:
                if len(payload) < 5:
                    raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "headers without their priority")
                payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._request(stream_id, flags, payload)
        else:
            self._block = (stream_id, flags, bytearray(payload))

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "a continuation of nothing")
        _, first_flags, block = self._block
        block += payload
        if not payload or len(block) > self.limits.header_bytes:
            raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, "headers larger than allowed")
        if flags & frames.END_HEADERS:
            self._block = None
            self._request(stream_id, first_flags, bytes(block))

    def _request(self, stream_id: int, flags: int, block: bytes) -> None:
        try:
            fields = self._decoder.decode(block)
        except BadBlock as error:
            raise ConnectionFailure(Code.COMPRESSION_ERROR, str(error)) from None
        end = bool(flags & frames.END_STREAM)
        if stream_id <= self._last_stream:
            self._trailers(stream_id, end)
            return
        self._last_stream = stream_id
        if self._draining or self.running >= self.limits.streams:
            raise StreamFailure(stream_id, Code.REFUSED_STREAM, "too many streams")
        self._control = 0 if self._control < 100 else self._control - 100
        stream = self._opened(self, stream_id, fields, end)
        if stream.done:  # refused at once
            return
        self.streams[stream_id] = stream
        if end:
            stream.received_end = True
            stream.received(b"", True)

    def _trailers(self, stream_id: int, end: bool) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            return  # of a stream that we have ended
        if stream.received_end:
            raise StreamFailure(stream_id, Code.STREAM_CLOSED, "headers after the end")
        if not end:
            raise StreamFailure(stream_id, Code.PROTOCOL_ERROR, "headers amid the body")
        stream.received_end = True
        stream.received(b"", True)

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        credit = frames.read_u32(payload) & 0x7FFFFFFF
        if not stream_id:
            if not credit:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "a credit of nothing")
            self.window += credit
            if self.window > frames.WINDOW_MAX:
                raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "the window is too large")
            self.pump_blocked()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id > self._last_stream or not stream_id & 1:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "credit for a stream that is not open")
            return
        if not credit:
            raise StreamFailure(stream_id, Code.PROTOCOL_ERROR, "a credit of nothing")
        stream.window += credit
        if stream.window > frames.WINDOW_MAX:
            raise StreamFailure(stream_id, Code.FLOW_CONTROL_ERROR, "the window is too large")
        stream.pump()

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id or (flags & frames.ACK and payload):
            raise ConnectionFailure(Code.PROTOCOL_ERROR if stream_id else Code.FRAME_SIZE_ERROR, "broken settings")
        if flags & frames.ACK:
            return
        self._settings_due = False
        self._count_control()
        found = frames.read_settings(payload)
        self.write(frames.frame(frames.SETTINGS, frames.ACK, 0))  # before any data that only the new window allows
        for name, value in found:
            if name == Setting.INITIAL_WINDOW_SIZE:
                if value > frames.WINDOW_MAX:
                    raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "a window too large")
                change, self.peer_window = value - self.peer_window, value
                for stream in list(self.streams.values()):
                    stream.window += change
                    if stream.window > frames.WINDOW_MAX:
                        raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "a window too large")
                    if change > 0:
                        stream.pump()
            elif name == Setting.MAX_FRAME_SIZE:
                if not frames.FRAME_BYTES_MAX <= value < 1 << 24:
                    raise ConnectionFailure(Code.PROTOCOL_ERROR, "frames of an impossible size")
                self.peer_frame_bytes = min(value, 1 << 18)
            elif name == Setting.ENABLE_PUSH and value > 1:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "neither with nor without push")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "a ping of a stream")
        if len(payload) != 8:
            raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "a ping of a broken size")
        if flags & frames.ACK:
            return
        self.write(frames.frame(frames.PING, frames.ACK, 0, payload))
        least = self.limits.ping_interval_s if self.streams else _PING_IDLE_S
        if self._alive_s - self._pinged_s < least:
            self.ping_strikes += 1
            if self.ping_strikes > _PING_STRIKES_MAX:
                raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, "too_many_pings")
        self._pinged_s = self._alive_s

    def _reset(self, stream_id: int, payload: bytes) -> None:
        frames.read_u32(payload)
        if stream_id > self._last_stream or not stream_id & 1:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "reset of a stream that is not open")
        self._count_control()
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.lost()

    def _count_control(self) -> None:
        self._control += 1
        if self._control > _CONTROL_FRAMES_MAX:
            raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, "too many settings and resets")

    def finished(self, stream: Flow) -> None:
        self.blocked.pop(stream, None)
        self.streams.pop(stream.id, None)
        if self._draining and not self.streams:
            self.flush()
            self.transport.close()

    # The end

    def _fail_stream(self, failure: StreamFailure) -> None:
        stream = self.streams.get(failure.stream)
        self._count_control()
        self.write(frames.reset(failure.stream, failure.code))
        if stream is not None:
            stream.lost()

    def _fail(self, failure: ConnectionFailure) -> None:
        self.write(frames.goaway(self._last_stream, failure.code, str(failure)))
        self.flush()
        self._closing = True
        self.transport.close()

    def shut_down(self) -> None:
        """No more streams; closes once those that are open have ended."""
        if self._closing or self._draining:
            return
        self._draining = True
        self.write(frames.goaway(self._last_stream, Code.NO_ERROR))
        if not self.streams:
            self.flush()
            self.transport.close()

    def _check_alive(self) -> None:
        idle_s = self.loop.time() - self._alive_s
        limits = self.limits
        if idle_s >= limits.keepalive_s + limits.keepalive_timeout_s:
            self.transport.abort()
            return
        wait_s = limits.keepalive_s - idle_s
        if wait_s <= 0:
            self.write(frames.frame(frames.PING, 0, 0, b"keep it "))
            wait_s = limits.keepalive_timeout_s
        self._keepalive = self.loop.call_later(wait_s, self._check_alive)
