"""HTTP/2 by hand: what breaks the rules gets the code that RFC 9113 names, and the server goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_tools import REQUEST, Raw, request_frames, serving

from pilothouse.store.wire import frames
from pilothouse.store.wire.connection import Limits
from pilothouse.store.wire.frames import Code, frame
from pilothouse.store.wire.hpack import encode

_BLOCK = encode(REQUEST)
_OPEN = frame(frames.HEADERS, frames.END_HEADERS, 1, _BLOCK)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(frames.DATA, 0, 1, b"x"), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 0, _BLOCK), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 2, _BLOCK), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x80"), Code.COMPRESSION_ERROR),
        (frame(frames.HEADERS, 0, 1, _BLOCK) + frame(frames.PING, 0, 0, b"12345678"), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, _BLOCK) + frame(frames.CONTINUATION, 0, 3, b""), Code.PROTOCOL_ERROR),
        (frame(frames.CONTINUATION, 0, 1, _BLOCK), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.PADDED, 1, b"\xff"), Code.PROTOCOL_ERROR),
        (frame(frames.PING, 0, 0, b"short"), Code.FRAME_SIZE_ERROR),
        (frame(frames.PING, 0, 1, b"12345678"), Code.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"short"), Code.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 1), Code.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, frames.ACK, 0, b"123456"), Code.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"\0\x04\xff\xff\xff\xff"), Code.FLOW_CONTROL_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"\0\x05\0\0\0\1"), Code.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"\0\x02\0\0\0\2"), Code.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), Code.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), Code.FLOW_CONTROL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"short"), Code.FRAME_SIZE_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 9, b"\0\0\0\1"), Code.PROTOCOL_ERROR),
        (frame(frames.RST_STREAM, 0, 9, b"\0\0\0\0"), Code.PROTOCOL_ERROR),
        (frame(frames.RST_STREAM, 0, 1, b""), Code.FRAME_SIZE_ERROR),
        (frame(frames.PRIORITY, 0, 0, b"\0\0\0\0\0"), Code.PROTOCOL_ERROR),
        (frame(frames.PUSH_PROMISE, 0, 1, b"\0\0\0\2"), Code.PROTOCOL_ERROR),
        (b"\xff\xff\xff\0\0\0\0\0\1", Code.FRAME_SIZE_ERROR),
        (frame(frames.HEADERS, 0, 1, b"a" * 16_000) + frame(frames.CONTINUATION, 0, 1, b"a" * 16_000) * 4,
         Code.ENHANCE_YOUR_CALM),
        (frame(frames.PING, 0, 0, b"12345678") * 4, Code.ENHANCE_YOUR_CALM),
        (frames.settings({}) * 10_001, Code.ENHANCE_YOUR_CALM),
    ],
)  # fmt: skip
async def test_ends_the_connection(data: bytes, code: Code) -> None:
    async with serving() as (server, port, _):
        raw = await Raw.open(port)
        raw.send(data)
        found = await raw.until(frames.GOAWAY)
        assert found is not None
        assert Code(int.from_bytes(found[3][4:8], "big")) == code
        assert await raw.until(99) is None
        await raw.close()
        await asyncio.sleep(0)
        assert not server.connections


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_OPEN + frame(frames.WINDOW_UPDATE, 0, 1, b"\0\0\0\0"), Code.PROTOCOL_ERROR),
        (_OPEN + frame(frames.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), Code.FLOW_CONTROL_ERROR),
        (_OPEN + frame(frames.PRIORITY, 0, 1, b"short"[:4]), Code.FRAME_SIZE_ERROR),
        (_OPEN + frame(frames.HEADERS, frames.END_HEADERS, 1, _BLOCK), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, encode([*REQUEST, (b"Upper", b"1")])), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, encode([*REQUEST, (b":path", b"/")])), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, encode([*REQUEST, (b"connection", b"x")])), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, encode(REQUEST[1:])), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, encode([*REQUEST, (b"x", b"a\r\nb")])), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, encode([*REQUEST, (b"grpc-timeout", b"1x")])),
         Code.PROTOCOL_ERROR),
    ],
)  # fmt: skip
async def test_ends_the_stream_alone(data: bytes, code: Code) -> None:
    async with serving() as (_, port, _s):
        raw = await Raw.open(port)
        raw.send(data)
        found = await raw.until(frames.RST_STREAM)
        assert found is not None
        assert (found[2], Code(int.from_bytes(found[3], "big"))) == (1, code)
        raw.send(request_frames(3, b"on"))
        found = await raw.until(frames.DATA)
        assert found is not None
        assert found[2:] == (3, b"\0\0\0\0\x02on")
        await raw.close()


async def test_streams_beyond_the_limit_are_refused() -> None:
    async with serving(Limits(streams=2)) as (_, port, _s):
        raw = await Raw.open(port)
        for stream in (1, 3, 5):
            raw.send(frame(frames.HEADERS, frames.END_HEADERS, stream, _BLOCK))
        found = await raw.until(frames.RST_STREAM)
        assert found is not None
        assert (found[2], Code(int.from_bytes(found[3], "big"))) == (5, Code.REFUSED_STREAM)
        await raw.close()


async def test_waits_for_the_window() -> None:
    async with serving() as (_, port, _s):
        raw = await Raw.open(port, greet=False)
        raw.send(frames.PREFACE + frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 10}))
        raw.send(request_frames(1, b"0123456789"))
        found = await raw.until(frames.DATA)
        assert found is not None
        assert found[3] == b"\0\0\0\0\x0a01234"
        raw.send(frames.window_update(1, 3))
        found = await raw.until(frames.DATA)
        assert found is not None
        assert found[3] == b"567"
        raw.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 12}))
        found = await raw.until(frames.DATA)
        assert found is not None
        assert found[3] == b"89"
        found = await raw.until(frames.HEADERS)
        assert found is not None
        assert found[1] & frames.END_STREAM
        await raw.close()


async def test_small_messages_share_frames() -> None:
    async with serving() as (_, port, _s):
        raw = await Raw.open(port)
        head = [(name, b"/test.Service/Alike" if name == b":path" else value) for name, value in REQUEST]
        raw.send(request_frames(1, b"100 500", head))
        sizes, data = [], b""
        while len(data) < 100 * (5 + 7 + 500):
            found = await raw.until(frames.DATA)
            assert found is not None
            sizes.append(len(found[3]))
            data += found[3]
        assert data == b"".join(b"\0\0\0\x01\xfb%06d:" % number + b"e" * 500 for number in range(100))
        assert sizes[:-1] == [frames.FRAME_BYTES_MAX] * 3
        await raw.close()


async def test_a_request_byte_by_byte() -> None:
    async with serving() as (_, port, _s):
        raw = await Raw.open(port, greet=False)
        for byte in frames.PREFACE + frames.settings({}) + request_frames(1, b"slow"):
            raw.send(bytes([byte]))
            await raw.writer.drain()
            await asyncio.sleep(0)
        found = await raw.until(frames.DATA)
        assert found is not None
        assert found[3] == b"\0\0\0\0\x04slow"
        await raw.close()


async def test_a_client_that_is_silent_is_asked_and_cut_off() -> None:
    async with serving(Limits(keepalive_s=0.1, keepalive_timeout_s=0.2)) as (server, port, _):
        raw = await Raw.open(port)
        raw.send(request_frames(1, b"x"))
        found = await raw.until(frames.PING)
        assert found is not None
        assert await raw.until(99) is None
        assert not server.connections
        await raw.close()


async def test_http1_and_http2_without_grpc_reach_the_same_handler() -> None:
    async with serving() as (_, port, _s):
        async with aiohttp.ClientSession() as session:
            async with session.post(f"http://127.0.0.1:{port}/some?q=1", data=b"abc") as answer:
                assert (answer.status, await answer.text()) == (200, "POST /some?q=1 3")
            async with session.get(f"http://127.0.0.1:{port}/lines") as answer:
                assert await answer.text() == "0\n1\n2\n"
        raw = await Raw.open(port)
        plain = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/health"), (b":authority", b"x")]
        raw.send(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, encode(plain)))
        found = await raw.until(frames.DATA)
        assert found is not None
        assert found[3] == b"GET /health 0"
        await raw.close()


_FRAMES = st.builds(
    frame, st.integers(0, 12), st.integers(0, 255), st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1]), st.binary(max_size=60)
)
_GOOD = st.sampled_from([1, 3, 5, 7]).map(lambda stream: request_frames(stream, b"m"))
_PARTS = st.lists(st.one_of(_FRAMES, _GOOD, st.just(_OPEN), st.binary(max_size=30)), max_size=10)


class _Wire(asyncio.Transport):
    """Takes what is written, and checks that it is frames."""

    def __init__(self) -> None:
        super().__init__()
        self.data, self.closed = bytearray(), False

    def write(self, data: Any) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_PARTS, st.integers(1, 50))
def test_noise_never_breaks_it(parts: list[bytes], cut: int) -> None:
    async def run() -> None:
        async with serving() as (server, _, _s):
            failed: list[Any] = []
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context))
            wire, connection = _Wire(), server.connection()
            connection.connection_made(wire)
            data = frames.PREFACE + frames.settings({}) + b"".join(parts)
            for at in range(0, len(data), cut):
                if not wire.closed:
                    connection.data_received(data[at : at + cut])
            await asyncio.sleep(0.001)
            connection.connection_lost(None)
            await asyncio.sleep(0.001)
            assert not failed
            assert connection.running == 0
            at = 0
            while at < len(wire.data):
                high, low, kind, _, _ = frames.HEADER.unpack_from(wire.data, at)
                assert kind <= frames.CONTINUATION
                at += frames.HEADER_SIZE + (high << 16 | low)
            assert at == len(wire.data)

    asyncio.run(run())
