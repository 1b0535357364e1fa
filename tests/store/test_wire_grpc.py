"""The gRPC server, asked by grpcio's client."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from wire_tools import serving

from pilothouse.store.wire import rpc
from pilothouse.store.wire.rpc import Status


def _unary(channel: Any, name: str) -> Any:
    return channel.unary_unary(f"/test.Service/{name}")


@pytest.mark.parametrize("method", ["Echo", "EchoTask"])
async def test_unary_calls_of_all_sizes(method: str) -> None:
    async with serving() as (_, port, _s), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = _unary(channel, method)
        bodies = [b"", b"x", b"y" * 16_379, b"z" * 16_380, b"a" * 70_000, b"b" * 1_000_000]
        assert await asyncio.gather(*(call(body) for body in bodies)) == bodies


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_answers_in_pieces(compression: grpc.Compression) -> None:
    """Larger than the windows and a turn, several at once on one connection."""
    options = [("grpc.max_receive_message_length", -1)]
    async with serving() as (_, port, _s), grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        call = _unary(channel, "Pieces")
        numbers = [0, 1, 64, 65, 500, 20_000, 19_999]
        answers = await asyncio.gather(*(call(b"%d" % number, compression=compression) for number in numbers))
        for number, answer in zip(numbers, answers, strict=True):
            assert answer == b"".join(b"%d," % i * (i % 50) for i in range(number))
        leaving = asyncio.ensure_future(call(b"200000"))
        await asyncio.sleep(0.05)
        leaving.cancel()
        assert await call(b"3") == b"1,2,2,"


async def test_many_calls_at_once_on_one_connection() -> None:
    async with serving() as (server, port, _), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = _unary(channel, "Echo")
        bodies = [b"%d" % number for number in range(300)]
        assert await asyncio.gather(*(call(body) for body in bodies)) == bodies
        calls = server.methods["/test.Service/Echo"].calls
        assert (calls.started, calls.received, calls.sent, calls.ended) == (300, 300, 300, {Status.OK: 300})


async def test_a_stream_larger_than_all_windows() -> None:
    async with serving() as (_, port, _s), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream("/test.Service/Count")
        numbers = [int(message[:9]) async for message in call(b"600")]
        assert numbers == list(range(600))


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize(("count", "size"), [(1, 0), (300, 20), (1_000, 700), (1_000, 9_000), (5, 1_500_000)])
async def test_messages_that_end_alike(count: int, size: int, compression: grpc.Compression) -> None:
    async with serving() as (server, port, services), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream("/test.Service/Alike")
        messages = [message async for message in call(b"%d %d" % (count, size), compression=compression)]
        assert messages == [b"%06d:" % number + b"e" * size for number in range(count)]
        assert server.methods["/test.Service/Alike"].calls.sent == count
        if compression is grpc.Compression.NoCompression:
            assert (services.congested > 0) == (count * size > 2 << 20)


async def test_both_directions() -> None:
    async with serving() as (_, port, _s), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/test.Service/Chat")()
        for body in (b"one", b"", b"three" * 200_000):
            await call.write(body)
            assert await call.read() == body
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("method", "body", "code", "message"),
    [
        ("Fail", "nicht da: ä %".encode(), grpc.StatusCode.NOT_FOUND, "nicht da: ä %"),
        ("Fail", b"unexpected", grpc.StatusCode.INTERNAL, "ZeroDivisionError"),
        ("Missing", b"", grpc.StatusCode.UNIMPLEMENTED, "unknown method Missing for service test.Service"),
        ("Echo", b"x" * (1 << 20) + b"y", grpc.StatusCode.RESOURCE_EXHAUSTED,
         "grpc: received message larger than max (1048577 vs. 1048576)"),
        ("Echo", b"not a message", grpc.StatusCode.INTERNAL,
         "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"),
    ],
)  # fmt: skip
async def test_failures(method: str, body: bytes, code: grpc.StatusCode, message: str) -> None:
    async with serving() as (_, port, _s), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _unary(channel, method)(body)
        assert (caught.value.code(), caught.value.details()) == (code, message)
        assert await _unary(channel, "Echo")(b"still there") == b"still there"


async def test_an_answer_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_SENT_BYTES_MOST", 1_000)
    async with serving() as (_, port, _s), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert len(await _unary(channel, "Pieces")(b"26")) == 930
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _unary(channel, "Pieces")(b"30")
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "grpc: trying to send message larger than max (1260 vs. 1000)"


async def test_an_unknown_service() -> None:
    async with serving() as (_, port, _s), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/other.Service/Echo")(b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert caught.value.details() == "unknown service other.Service"


@pytest.mark.parametrize("method", ["Later", "LaterInline"])
async def test_a_deadline_ends_the_handler(method: str) -> None:
    async with serving() as (server, port, services), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _unary(channel, method)(b"5", timeout=0.05)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(5):
            while not services.cancelled or any(connection.running for connection in server.connections):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["Later", "LaterInline"])
async def test_a_client_that_leaves_ends_the_handler(method: str) -> None:
    async with serving() as (server, port, services), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = _unary(channel, method)(b"5")
        await asyncio.sleep(0.1)
        call.cancel()
        async with asyncio.timeout(5):
            while not services.cancelled or any(connection.running for connection in server.connections):
                await asyncio.sleep(0.01)


async def test_compression() -> None:
    async with (
        serving() as (_, port, _s),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip) as channel,
    ):
        body = b"abc" * 100_000
        assert await _unary(channel, "Echo")(body) == body
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # a message that grows beyond the limit
            await _unary(channel, "Echo")(b"0" * (2 << 20))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_unknown_compression_is_refused() -> None:
    async with (
        serving() as (_, port, _s),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Deflate) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _unary(channel, "Echo")(b"abc" * 1000)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert caught.value.details() == 'grpc: Decompressor is not installed for grpc-encoding "deflate"'


async def test_closing_lets_running_calls_end() -> None:
    async with serving() as (server, port, _), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = _unary(channel, "Later")(b"0.2")
        await asyncio.sleep(0.1)
        await server.close(grace_s=2)
        assert await call == b"0.2"
