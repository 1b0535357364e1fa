"""HTTP/1.1 to the byte: what a client may send, in what pieces, and what ends a connection."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from pilothouse.api.exchange import Request, Response
from pilothouse.apiserver import http
from pilothouse.apiserver.http.connection import Connections
from pilothouse.apiserver.server import APIServer

HOST = "Host: a\r\nAuthorization: Bearer admintok\r\n"
CM = "/api/v1/namespaces/default/configmaps"
BODY = '{"metadata":{"name":"%s"}}'


@pytest.fixture
async def front(server: APIServer) -> AsyncIterator[http.Front]:
    found = await http.serve(server)
    yield found
    await found.stop()


@asynccontextmanager
async def dial(front: http.Front) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next answer: its status, headers in lower case, and body."""
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read() if headers.get("connection") == "close" else b""
    return int(status.split()[1]), headers, body


def post(name: str, extra: str = "") -> bytes:
    body = BODY % name
    return f"POST {CM} HTTP/1.1\r\n{HOST}{extra}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_byte_by_byte_and_all_at_once(front: http.Front) -> None:
    async with dial(front) as (reader, writer):
        for byte in post("slow"):
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await answer(reader))[0] == 201
        names = [f"piped-{n}" for n in range(20)]
        writer.write(b"".join(post(name) for name in names))
        for name in names:
            status, headers, body = await answer(reader)
            assert status == 201
            assert f'"name":"{name}"'.encode() in body, "answers come in the order of the requests"
            assert "connection" not in headers
            assert headers["date"].endswith(" GMT")


async def test_chunked_bodies_and_expectations(front: http.Front) -> None:
    async with dial(front) as (reader, writer):
        body = (BODY % "chunked").encode()
        writer.write(f"POST {CM} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n".encode())
        for at in range(0, len(body), 7):
            piece = body[at : at + 7]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\nAuthorization: Bearer nobody\r\n\r\n")
        assert (await answer(reader))[0] == 201, "what trails a body is no header"
        body = (BODY % "expected").encode()
        writer.write(
            f"POST {CM} HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        assert (await answer(reader))[0] == 100
        writer.write(body)
        assert (await answer(reader))[0] == 201
        writer.write(f"POST {CM} HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n".encode())
        status, headers, _ = await answer(reader)
        assert status == 413
        assert headers["connection"] == "close"


async def test_http_1_0(front: http.Front) -> None:
    async with dial(front) as (reader, writer):
        writer.write(f"GET /version HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\n".encode())
        status, headers, _ = await answer(reader)
        assert (status, headers["connection"]) == (200, "keep-alive")
        writer.write(f"GET {CM}?watch=1&timeoutSeconds=1 HTTP/1.0\r\n{HOST}\r\n".encode())
        status, headers, _ = await answer(reader)
        assert status == 200
        assert not {"connection", "transfer-encoding"} & set(headers)  # its end is the connection's
        assert await asyncio.wait_for(reader.read(), 5) == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 what is this\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1 << 21), 431),
        (b"GET /version\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
async def test_refusals_end_the_connection(front: http.Front, sent: bytes, status: int) -> None:
    async with dial(front) as (reader, writer):
        writer.write(sent)
        found, headers, _ = await answer(reader)
        assert (found, headers["connection"]) == (status, "close")
        assert await asyncio.wait_for(reader.read(), 5) == b""


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"GET /version HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n"),
        (
            b"GET /version HTTP/2.0\r\nHost: a\r\n\r\n",
            b"HTTP/1.1 505 HTTP Version Not Supported: unsupported protocol version\r\n",
        ),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
    ],
)
async def test_status_lines(front: http.Front, sent: bytes, answered: bytes) -> None:
    async with dial(front) as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.readline(), 5) == answered


async def test_head_and_other_forms_of_target(front: http.Front) -> None:
    async with dial(front) as (reader, writer):
        writer.write(f"HEAD /healthz HTTP/1.1\r\n{HOST}\r\n".encode())
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nContent-Length: " in head
        for target, status in (("http://a/version", 200), ("*", 404), ("/version?a=%zz#b", 200), ("//version", 404)):
            writer.write(f"GET {target} HTTP/1.1\r\n{HOST}\r\n".encode())
            assert (await answer(reader))[0] == status, target


async def test_an_upgrade_that_is_not_taken(front: http.Front) -> None:
    async with dial(front) as (reader, writer):
        writer.write(f"GET /version HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n".encode())
        status, _, body = await answer(reader)
        assert status == 200
        assert b"gitVersion" in body


async def test_slow_clients_are_cut_off(server: APIServer) -> None:
    connections = Connections(server)
    loop = asyncio.get_running_loop()
    from pilothouse.apiserver.http.connection import Connection

    listening = await loop.create_server(lambda: Connection(connections), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    now = server.clock.monotonic
    for sent, seconds in (
        (b"", 90),
        (b"GET / HT", 32),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx", 34),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        await asyncio.sleep(0.05)
        (connection,) = connections._open
        connection.sweep(now() + seconds - 1)
        await asyncio.sleep(0.01)
        assert connections._open, "its time is not over"
        connection.sweep(now() + seconds + 1)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert not connections._open
        writer.close()
    listening.close()
    await connections.end(1)


async def test_closed_connections_are_freed_at_once(server: APIServer) -> None:
    """What is in a circle waits for the collector, which comes seldom: a thousand watches may have come and gone by then."""
    front = await http.serve(server)
    gc.disable()
    try:
        for query in ("", "?watch=1&resourceVersion=0"):
            async with dial(front) as (reader, writer):
                writer.write(f"GET {CM}{query} HTTP/1.1\r\n{HOST}\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
                (connection,) = front._connections._open
                gone = asyncio.Event()
                weakref.finalize(connection, gone.set)
                del connection
            async with asyncio.timeout(5):
                await gone.wait()
    finally:
        gc.enable()
        await front.stop()


async def test_the_end_lets_answers_finish(server: APIServer) -> None:
    front = await http.serve(server)
    async with dial(front) as (reader, writer), dial(front) as (watch, writes):
        writes.write(f"GET {CM}?watch=1&resourceVersion=0 HTTP/1.1\r\n{HOST}\r\n".encode())
        await watch.readuntil(b"\r\n\r\n")
        writer.write(post("last"))
        await asyncio.sleep(0)
        await asyncio.wait_for(front.stop(), 5)
        assert b"0\r\n\r\n" not in await asyncio.wait_for(watch.read(), 5), "a stream that breaks off is not complete"
        assert await asyncio.wait_for(reader.read(), 5) is not None


async def test_an_upgrade_that_is_taken(server: APIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the tunnels do: the handler makes a WebSocket of the connection, and gives it back when it is done."""

    async def echo(request: Request) -> Response:
        assert request.connection is not None
        found = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await found.prepare(request.connection)
        async for message in found:
            await found.send_bytes(message.data)
        return Response(101, taken=found)

    monkeypatch.setattr(server, "handle", echo)
    front = await http.serve(server)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{front.port}/x", protocols=("v5.channel.k8s.io",)) as socket,
    ):
        assert socket.protocol == "v5.channel.k8s.io"
        for size in (0, 10, 100_000):
            await socket.send_bytes(b"\x00" * size)
            assert await socket.receive_bytes(timeout=5) == b"\x00" * size
    await asyncio.wait_for(front.stop(), 5)


async def test_garbage(front: http.Front, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is sent, in whatever pieces: an answer or the end of the connection, and no traceback."""
    chance = random.Random(11)
    whole = post(
        "garbage", "X-A: b\r\nExpect: 100-continue\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    )
    parts = [
        b"\r\n",
        b"\0",
        b"\xff",
        b":",
        b" ",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 9\r\n",
        b"GET / HTTP/1.1\r\n",
    ]

    async def once() -> None:
        sent = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(sent))
            if chance.random() < 0.5:
                sent[at : at + chance.randrange(8)] = chance.choice(parts)
            else:
                sent[at] = chance.randrange(256)
        async with dial(front) as (reader, writer):
            cut = chance.randrange(len(sent))
            writer.write(bytes(sent[:cut]))
            await asyncio.sleep(0)
            writer.write(bytes(sent[cut:]))
            if writer.can_write_eof():
                writer.write_eof()
            try:
                await asyncio.wait_for(reader.read(), 5)
            except ConnectionError:
                pass

    for _ in range(30):
        await asyncio.gather(*(once() for _ in range(10)))
    assert not [r for r in caplog.records if r.exc_info or r.levelname in ("ERROR", "CRITICAL")]
    async with dial(front) as (reader, writer):
        writer.write(f"GET /version HTTP/1.1\r\n{HOST}\r\n".encode())
        assert (await answer(reader))[0] == 200


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("FOO /api/v1/pods", 405, b"does not allow this method"),
        ("FOO /healthz", 200, b"ok"),
        ("get /healthz", 200, b"ok"),
        ("CONNECT /api/v1/pods", 405, b"does not allow this method"),
        ("GET //api/v1/pods", 404, b"404 page not found"),
        ("GET /api/v1/%zz", 400, b"400 Bad Request"),
        ("GET /api/v1/pods?limit=x;&limit=1", 200, b"PodList"),
        ("GET /api/v1/pods?limit=x%&limit=1", 200, b"PodList"),
        ("GET /api/v1/namespaces/%00", 404, rb"namespaces \"\\x00\" not found"),
    ],
)
async def test_odd_lines(front: http.Front, line: str, status: int, words: bytes) -> None:
    async with dial(front) as (reader, writer):
        writer.write(f"{line} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
        code, _, body = await answer(reader)
        assert code == status
        assert words in body


async def test_an_unheard_of_method_is_one_request_among_others(front: http.Front) -> None:
    async with dial(front) as (reader, writer):
        for method, status in (("GET", 200), ("FOO", 405), ("GET", 200)):
            writer.write(f"{method} /api/v1/pods HTTP/1.1\r\n{HOST}\r\n".encode())
            assert (await answer(reader))[0] == status


async def test_answers_name_their_flow(front: http.Front, server: APIServer) -> None:
    async with dial(front) as (reader, writer):
        writer.write(f"GET /api/v1/pods HTTP/1.1\r\n{HOST}\r\n".encode())
        _, headers, _ = await answer(reader)
        schema = await server.objects.get_live("flowcontrol.apiserver.k8s.io", "flowschemas", "", "exempt")
        assert schema is not None
        assert headers["x-kubernetes-pf-flowschema-uid"] == schema["metadata"]["uid"]
